//! The file-system interface: what every adapter calls and what the engine and the reference model implement.
//!
//! Owns the request and reply types in POSIX terms. Names are bytes; an adapter converts. Permission checks by mode and ACL
//! are the adapter's kernel's task (FUSE `default_permissions`); rules that change state (sgid inheritance, clearing of suid,
//! default ACLs) are the implementor's. No protocol type appears here.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::changes::ChangeFeed;
use crate::error::Result;
use crate::meter::Meter;
use crate::types::{Ino, Timestamp};

/// Longest name of a directory entry in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest symlink target in bytes (Linux PATH_MAX - 1).
pub const SYMLINK_BYTES_MAX: usize = 4095;
/// Longest extended-attribute value in bytes (Linux XATTR_SIZE_MAX is 64 KiB; pages bound ours).
pub const XATTR_VALUE_BYTES_MAX: usize = 65536;
/// Largest file size in bytes: offsets are signed 64-bit on every platform.
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;
/// Most hard links to one inode.
pub const LINKS_MAX: u32 = 65_000;

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Process id, for locks; 0 if unknown.
    pub pid: u32,
}

/// An open file or directory, given by `open`, `create`, `opendir` and ended by `release`, `releasedir`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u64);

/// Type of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Regular file.
    File,
    /// Directory.
    Dir,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
}

/// Attributes of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Inode number.
    pub ino: Ino,
    /// Type.
    pub kind: FileKind,
    /// Permission bits with suid, sgid and sticky: 0..=0o7777.
    pub perm: u16,
    /// Hard links; for a directory 2 + subdirectories.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number for devices, in the kernel's encoding; else 0.
    pub rdev: u32,
    /// Length in bytes (symlink: of the target; directory: an implementor's choice).
    pub size: u64,
    /// Bytes that hold data, a multiple of 512 is not needed; the adapter rounds up to blocks.
    pub allocated_bytes: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of attributes.
    pub ctime: Timestamp,
    /// Creation.
    pub btime: Timestamp,
}

/// A time to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The implementor's clock.
    Now,
    /// This value.
    At(Timestamp),
}

/// Attribute changes; `None` leaves a field alone. All in one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// New permission bits, 0..=0o7777.
    pub perm: Option<u16>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New length; data beyond is dropped, growth reads as zeros.
    pub size: Option<u64>,
    /// New access time.
    pub atime: Option<SetTime>,
    /// New modification time.
    pub mtime: Option<SetTime>,
    /// New change time (else the clock's, when anything else changes).
    pub ctime: Option<Timestamp>,
    /// New creation time.
    pub btime: Option<Timestamp>,
    /// Clear suid (and sgid if group-executable) as the caller lacks the right to keep them (truncate by a non-owner).
    pub kill_suid_sgid: bool,
}

/// What `mknod` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// Any kind but directory and symlink.
    pub kind: FileKind,
    /// Requested permission bits.
    pub perm: u16,
    /// The caller's umask; applied only where no default ACL takes its place.
    pub umask: u16,
    /// Device number for devices.
    pub rdev: u32,
}

/// How a rename treats an existing target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenameMode {
    /// Replace it (POSIX).
    #[default]
    Replace,
    /// Fail if it exists.
    NoReplace,
    /// Swap the two; both must exist.
    Exchange,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenFlags {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Every write goes to the end (the kernel has already chosen the offset on FUSE).
    pub append: bool,
    /// Cut to length 0.
    pub truncate: bool,
    /// With `create`: fail if the name exists.
    pub exclusive: bool,
    /// Every write is a sync operation (O_SYNC or O_DSYNC).
    pub sync: bool,
    /// Clear suid/sgid on truncate, as for [`SetAttr::kill_suid_sgid`].
    pub kill_suid_sgid: bool,
}

/// How a write is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteFlags {
    /// Clear suid (and sgid if group-executable) with the write.
    pub kill_suid_sgid: bool,
    /// The write is a sync operation.
    pub sync: bool,
}

/// One entry of a directory listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Name in bytes; `.` and `..` come first.
    pub name: Bytes,
    /// The entry's inode.
    pub ino: Ino,
    /// Its type.
    pub kind: FileKind,
    /// Pass to `readdir` to go on after this entry. Never 0.
    pub cookie: u64,
    /// Attributes, when asked for (never for `.` and `..`).
    pub attr: Option<Attr>,
}

/// An entry as its directory keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedEntry {
    /// Name in bytes, spelt as when the entry was made; on a case-insensitive volume others may have asked for it otherwise.
    pub name: Bytes,
    /// Attributes of the entry's inode.
    pub attr: Attr,
}

/// How `setxattr` treats an existing attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XattrMode {
    /// Create or replace.
    #[default]
    Set,
    /// Fail with [`crate::ErrorKind::AlreadyExists`] if it exists.
    Create,
    /// Fail with [`crate::ErrorKind::NoAttribute`] if it does not.
    Replace,
}

/// What `fallocate` does to the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallocateMode {
    /// Reserve; extend the file if the range ends past it. (Nothing is really reserved: space is checked at write.)
    Allocate,
    /// Reserve without changing the size.
    KeepSize,
    /// Turn the range into a hole; the size stays.
    PunchHole,
    /// Make the range read as zeros, extending the file if it ends past it.
    ZeroRange,
    /// Make the range read as zeros; the size stays.
    ZeroRangeKeepSize,
}

/// Which edge `lseek` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekWhence {
    /// Next byte that holds data.
    Data,
    /// Next hole; the end of the file counts as one.
    Hole,
}

/// Type of a file lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Shared.
    Read,
    /// Exclusive.
    Write,
    /// None: release.
    Unlock,
}

/// A byte-range lock. flock locks are given as the whole range with their own owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileLock {
    /// First byte.
    pub start: u64,
    /// Last byte, inclusive; `u64::MAX` means to the end for ever.
    pub end: u64,
    /// Shared, exclusive or none.
    pub kind: LockKind,
    /// Process that holds or asks.
    pub pid: u32,
}

/// Which family a lock belongs to; the two do not see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockFamily {
    /// fcntl (POSIX record) locks.
    Posix,
    /// flock locks.
    Flock,
}

/// Size and room of the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatFs {
    /// Bytes in all (quota, or a large made-up number when unlimited).
    pub total_bytes: u64,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Inodes in all.
    pub total_inodes: u64,
    /// Inodes in use.
    pub used_inodes: u64,
}

/// A file system: the engine's volume, or the reference model.
///
/// Each method is one atomic operation in the volume's history. Its reply comes after the operation is in the replay log
/// (the model: at once). "Sync operation" has the meaning of docs/SEMANTICS.md, promise 1. Dropping a future never undoes an
/// operation and never loses one that was acknowledged.
///
/// Unknown inodes give [`crate::ErrorKind::Stale`]; unknown names [`crate::ErrorKind::NotFound`]. A read-only mount answers
/// every mutation with [`crate::ErrorKind::ReadOnly`].
pub trait FileSystem: Send + Sync + 'static {
    /// Tells what changes without having been asked for through this interface, from now on. `None` when nothing ever does.
    fn changes(&self) -> Option<ChangeFeed> {
        None
    }

    /// Where adapters note the operations that they carry out. One that nobody looks at, unless the file system has its own.
    fn meter(&self) -> Arc<Meter> {
        Arc::default()
    }

    /// Size and room. Never touches the network.
    fn statfs(&self) -> impl Future<Output = Result<StatFs>> + Send;

    /// Finds `name` in a directory; `.` and `..` are understood.
    fn lookup(&self, parent: Ino, name: &[u8]) -> impl Future<Output = Result<Attr>> + Send;

    /// As [`FileSystem::lookup`], with the name as the entry has it; `.` and `..` are given back as they are.
    ///
    /// What is provided is right where names are found only as they are spelt.
    fn find(&self, parent: Ino, name: &[u8]) -> impl Future<Output = Result<NamedEntry>> + Send {
        async move {
            let attr = self.lookup(parent, name).await?;
            Ok(NamedEntry { name: Bytes::copy_from_slice(name), attr })
        }
    }

    /// Entries whose names come after `after` (whether or not that is there; `None`: from the start), in the order of the
    /// names' bytes (folded on a case-insensitive volume), some tens to some hundreds; empty at the end. `.` and `..` are left
    /// out. A removed directory has none. Access times stay as they are.
    fn entries_after(&self, dir: Ino, after: Option<&[u8]>) -> impl Future<Output = Result<Vec<NamedEntry>>> + Send;

    /// Attributes of an inode.
    fn getattr(&self, ino: Ino) -> impl Future<Output = Result<Attr>> + Send;

    /// Changes attributes. chown clears suid/sgid of executables as POSIX demands; chmod updates the access ACL's mask.
    fn setattr(&self, caller: Caller, ino: Ino, set: SetAttr) -> impl Future<Output = Result<Attr>> + Send;

    /// Target of a symlink.
    fn readlink(&self, ino: Ino) -> impl Future<Output = Result<Bytes>> + Send;

    /// Makes a file, fifo, socket or device.
    fn mknod(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        node: NewNode,
    ) -> impl Future<Output = Result<Attr>> + Send;

    /// Makes a directory.
    fn mkdir(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        perm: u16,
        umask: u16,
    ) -> impl Future<Output = Result<Attr>> + Send;

    /// Makes a symlink. An empty target is [`crate::ErrorKind::NotFound`].
    fn symlink(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        target: &[u8],
    ) -> impl Future<Output = Result<Attr>> + Send;

    /// Removes a name that is not a directory; the inode lives on as an orphan while it is open.
    fn unlink(&self, caller: Caller, parent: Ino, name: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// Removes an empty directory.
    fn rmdir(&self, caller: Caller, parent: Ino, name: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// Moves a name, atomically.
    fn rename(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        new_parent: Ino,
        new_name: &[u8],
        mode: RenameMode,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Makes a hard link. Directories are [`crate::ErrorKind::NotPermitted`].
    fn link(
        &self,
        caller: Caller,
        ino: Ino,
        new_parent: Ino,
        new_name: &[u8],
    ) -> impl Future<Output = Result<Attr>> + Send;

    /// Creates (or, unless `exclusive`, opens) a regular file.
    fn create(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        perm: u16,
        umask: u16,
        flags: OpenFlags,
    ) -> impl Future<Output = Result<(Attr, Handle)>> + Send;

    /// Creates an unnamed file in a directory's volume (O_TMPFILE); `link` may name it later.
    fn tmpfile(
        &self,
        caller: Caller,
        parent: Ino,
        perm: u16,
        umask: u16,
        flags: OpenFlags,
    ) -> impl Future<Output = Result<(Attr, Handle)>> + Send;

    /// Opens a regular file.
    fn open(&self, caller: Caller, ino: Ino, flags: OpenFlags) -> impl Future<Output = Result<Handle>> + Send;

    /// Reads up to `len` bytes at `offset`; fewer only at the end of the file. Chunks are in order; holes are zeros.
    fn read(&self, handle: Handle, offset: u64, len: u32) -> impl Future<Output = Result<Vec<Bytes>>> + Send;

    /// Writes all of `data` at `offset`, extending the file as needed.
    fn write(
        &self,
        handle: Handle,
        offset: u64,
        data: Bytes,
        flags: WriteFlags,
    ) -> impl Future<Output = Result<()>> + Send;

    /// A descriptor was closed (there may be others): POSIX locks of `lock_owner` go.
    fn flush(&self, handle: Handle, lock_owner: u64) -> impl Future<Output = Result<()>> + Send;

    /// The last descriptor of a handle was closed. flock locks of `flock_owner` go.
    fn release(&self, handle: Handle, flock_owner: Option<u64>) -> impl Future<Output = Result<()>> + Send;

    /// Sync operation on a file: its data and metadata are committed on return.
    fn fsync(&self, handle: Handle, data_only: bool) -> impl Future<Output = Result<()>> + Send;

    /// Opens a directory stream.
    fn opendir(&self, caller: Caller, ino: Ino) -> impl Future<Output = Result<Handle>> + Send;

    /// Entries after `cookie` (0 = from the start), some tens to some hundreds; empty at the end. The caller may use only the
    /// first few and come back with the cookie of the last one used. An entry present throughout is seen exactly once.
    fn readdir(
        &self,
        handle: Handle,
        cookie: u64,
        with_attrs: bool,
    ) -> impl Future<Output = Result<Vec<DirEntry>>> + Send;

    /// Ends a directory stream.
    fn releasedir(&self, handle: Handle) -> impl Future<Output = Result<()>> + Send;

    /// Sync operation on a directory.
    fn fsyncdir(&self, handle: Handle) -> impl Future<Output = Result<()>> + Send;

    /// Sync operation on the whole volume.
    fn syncfs(&self) -> impl Future<Output = Result<()>> + Send;

    /// Sets an extended attribute. `system.posix_acl_access` and `_default` are checked and keep mode and ACL in step.
    fn setxattr(
        &self,
        caller: Caller,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Value of an extended attribute.
    fn getxattr(&self, ino: Ino, name: &[u8]) -> impl Future<Output = Result<Bytes>> + Send;

    /// Names of all extended attributes, in byte order.
    fn listxattr(&self, ino: Ino) -> impl Future<Output = Result<Vec<Bytes>>> + Send;

    /// Removes an extended attribute.
    fn removexattr(&self, caller: Caller, ino: Ino, name: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// The first lock that would be in the way of `lock`, if any.
    fn getlk(
        &self,
        handle: Handle,
        owner: u64,
        lock: FileLock,
    ) -> impl Future<Output = Result<Option<FileLock>>> + Send;

    /// Takes, changes or releases a lock. With `wait`, waits until it is free; the wait ends when the future is dropped.
    fn setlk(
        &self,
        handle: Handle,
        family: LockFamily,
        owner: u64,
        lock: FileLock,
        wait: bool,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Reserves, punches or zeroes a range.
    fn fallocate(
        &self,
        handle: Handle,
        offset: u64,
        len: u64,
        mode: FallocateMode,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Next data or hole at or after `offset`.
    fn lseek(&self, handle: Handle, offset: u64, whence: SeekWhence) -> impl Future<Output = Result<u64>> + Send;

    /// Copies a range by sharing extents; returns the bytes copied (less only at the source's end).
    fn copy_file_range(
        &self,
        from: Handle,
        from_offset: u64,
        to: Handle,
        to_offset: u64,
        len: u64,
    ) -> impl Future<Output = Result<u64>> + Send;
}
