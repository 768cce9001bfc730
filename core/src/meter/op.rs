//! The kinds of operation that are counted.

/// What a program asks of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Finds a name.
    Lookup,
    /// Reads attributes.
    Getattr,
    /// Changes attributes.
    Setattr,
    /// Reads a symlink.
    Readlink,
    /// Makes a file or special file.
    Mknod,
    /// Makes a directory.
    Mkdir,
    /// Removes a name.
    Unlink,
    /// Removes a directory.
    Rmdir,
    /// Makes a symlink.
    Symlink,
    /// Renames.
    Rename,
    /// Makes a hard link.
    Link,
    /// Opens a file.
    Open,
    /// Makes and opens a file.
    Create,
    /// Reads data.
    Read,
    /// Writes data.
    Write,
    /// Closes a descriptor.
    Flush,
    /// Forgets an open file.
    Release,
    /// Commits a file.
    Fsync,
    /// Opens a directory.
    Opendir,
    /// Lists names.
    Readdir,
    /// Lists names with attributes.
    Readdirplus,
    /// Forgets an open directory.
    Releasedir,
    /// Commits a directory.
    Fsyncdir,
    /// Asks for size and room.
    Statfs,
    /// Sets an extended attribute.
    Setxattr,
    /// Reads an extended attribute.
    Getxattr,
    /// Lists extended attributes.
    Listxattr,
    /// Removes an extended attribute.
    Removexattr,
    /// Looks at a lock.
    Getlk,
    /// Sets a lock or fails.
    Setlk,
    /// Waits for a lock.
    LockWait,
    /// Sets room aside or punches a hole.
    Fallocate,
    /// Finds data or holes.
    Lseek,
    /// Copies within the volume.
    CopyFileRange,
    /// Releases what is left at the end of a mount.
    End,
}

impl Op {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 35] = [
        Self::Lookup,
        Self::Getattr,
        Self::Setattr,
        Self::Readlink,
        Self::Mknod,
        Self::Mkdir,
        Self::Unlink,
        Self::Rmdir,
        Self::Symlink,
        Self::Rename,
        Self::Link,
        Self::Open,
        Self::Create,
        Self::Read,
        Self::Write,
        Self::Flush,
        Self::Release,
        Self::Fsync,
        Self::Opendir,
        Self::Readdir,
        Self::Readdirplus,
        Self::Releasedir,
        Self::Fsyncdir,
        Self::Statfs,
        Self::Setxattr,
        Self::Getxattr,
        Self::Listxattr,
        Self::Removexattr,
        Self::Getlk,
        Self::Setlk,
        Self::LockWait,
        Self::Fallocate,
        Self::Lseek,
        Self::CopyFileRange,
        Self::End,
    ];

    /// Its name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Getattr => "getattr",
            Self::Setattr => "setattr",
            Self::Readlink => "readlink",
            Self::Mknod => "mknod",
            Self::Mkdir => "mkdir",
            Self::Unlink => "unlink",
            Self::Rmdir => "rmdir",
            Self::Symlink => "symlink",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Release => "release",
            Self::Fsync => "fsync",
            Self::Opendir => "opendir",
            Self::Readdir => "readdir",
            Self::Readdirplus => "readdirplus",
            Self::Releasedir => "releasedir",
            Self::Fsyncdir => "fsyncdir",
            Self::Statfs => "statfs",
            Self::Setxattr => "setxattr",
            Self::Getxattr => "getxattr",
            Self::Listxattr => "listxattr",
            Self::Removexattr => "removexattr",
            Self::Getlk => "getlk",
            Self::Setlk => "setlk",
            Self::LockWait => "setlkw",
            Self::Fallocate => "fallocate",
            Self::Lseek => "lseek",
            Self::CopyFileRange => "copy_file_range",
            Self::End => "end",
        }
    }

    /// Whether it may wait for somebody else without end, by its nature.
    #[must_use]
    pub fn may_wait_for_ever(self) -> bool {
        self == Self::LockWait
    }
}
