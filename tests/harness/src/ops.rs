//! Random file-system operations over a tiny world: few names, few slots, offsets near the borders that matter.
//!
//! An [`Op`] speaks of paths and slots, never of inode numbers or handles, so that one sequence runs on any implementation.
//! [`apply`] runs one operation and says what came of it in a form that two implementations can be compared by.

mod apply;
mod generate;
mod outcome;
mod slots;

use proxyfs_core::fs::{FallocateMode, FileKind, LockFamily, LockKind, RenameMode, SeekWhence, XattrMode};

pub use apply::apply;
pub(crate) use apply::read_all;
pub use generate::{Profile, op_strategy, ops_from_bytes, seeded_ops};
pub use outcome::{AttrView, EntryView, Outcome, Reply, TimeView};
pub use slots::{Mask, Slots};

/// Slots for open files.
pub const FILE_SLOTS: u8 = 3;
/// Slots for open directory streams.
pub const DIR_SLOTS: u8 = 2;

/// An index into the alphabet of names: `a` to `d`, a name of the longest length, and one that is too long.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub u8);

impl Name {
    /// The longest name that is allowed.
    pub const LONGEST: Self = Self(4);
    /// A name that is one byte too long.
    pub const TOO_LONG: Self = Self(5);

    /// The name itself.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::LONGEST => vec![b'n'; 255],
            Self::TOO_LONG => vec![b'n'; 256],
            Self(index) => vec![b'a' + index],
        }
    }
}

/// A place in the tree: directories from the root, then a name in the last one.
#[derive(Clone, PartialEq, Eq)]
pub struct Path {
    /// Directories to walk through.
    pub dir: Vec<Name>,
    /// The entry meant.
    pub name: Name,
}

/// An inode: by path, or by an open slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The root directory.
    Root,
    /// What a path leads to; symlinks are not followed.
    Path(Path),
    /// What is open in a file slot, possibly unlinked.
    Slot(u8),
}

/// Reading or writing or both, with the flags that change results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Open for reading.
    pub read: bool,
    /// Open for writing.
    pub write: bool,
    /// Writes go to the end.
    pub append: bool,
    /// Cut to length 0.
    pub truncate: bool,
}

/// A stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u32,
}

/// One operation. `who` chooses one of a few callers, `slot` a place to keep or find an open file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the parameters of the operations in fs::FileSystem, by the same names")]
pub enum Op {
    /// Make (or open) a file and keep it open; what was open in the slot is closed.
    Create { who: u8, path: Path, perm: u16, umask: u16, exclusive: bool, access: Access, slot: u8 },
    /// Make a file without a name and keep it open.
    Tmpfile { who: u8, dir: Target, perm: u16, exclusive: bool, slot: u8 },
    /// Open a file and keep it open; what was open in the slot is closed.
    Open { target: Target, access: Access, slot: u8 },
    /// Close a slot.
    Close { slot: u8 },
    /// Read.
    Read { slot: u8, span: Span },
    /// Write bytes that `seed` makes up.
    Write { slot: u8, span: Span, seed: u8, kill: bool, sync: bool },
    /// Cut or grow.
    Truncate { target: Target, size: u64, kill: bool },
    /// Reserve, punch, zero.
    Fallocate { slot: u8, span: Span, mode: FallocateMode },
    /// Find data or a hole, and check what was found by reading.
    Seek { slot: u8, offset: u64, whence: SeekWhence },
    /// Copy a range.
    Copy { from: u8, from_offset: u64, to: u8, to_offset: u64, len: u64 },
    /// Sync a file.
    Fsync { slot: u8, data_only: bool },
    /// Make a directory.
    Mkdir { who: u8, path: Path, perm: u16, umask: u16 },
    /// Make a special file, or a plain one that is not opened.
    Mknod { who: u8, path: Path, kind: FileKind, perm: u16, umask: u16 },
    /// Make a symlink with a target of `len` bytes.
    Symlink { who: u8, path: Path, len: u16 },
    /// Read a symlink.
    Readlink { target: Target },
    /// Remove what is not a directory.
    Unlink { path: Path },
    /// Remove an empty directory.
    Rmdir { path: Path },
    /// Move.
    Rename { from: Path, to: Path, mode: RenameMode },
    /// Make a hard link.
    Link { target: Target, path: Path },
    /// Change permissions.
    Chmod { target: Target, perm: u16 },
    /// Change owner, group or both.
    Chown { target: Target, uid: Option<u32>, gid: Option<u32> },
    /// Set times; `None` is now.
    Utimens { target: Target, atime_secs: Option<i64>, mtime_secs: Option<i64> },
    /// Look at attributes.
    Getattr { target: Target },
    /// Look a name up.
    Lookup { path: Path },
    /// Set an extended attribute from a few names.
    Setxattr { target: Target, name: u8, len: u32, seed: u8, mode: XattrMode },
    /// Set an access control list from a few good and bad ones.
    SetAcl { target: Target, default: bool, list: u8 },
    /// Read an extended attribute.
    Getxattr { target: Target, name: u8 },
    /// List extended attributes.
    Listxattr { target: Target },
    /// Remove an extended attribute.
    Removexattr { target: Target, name: u8 },
    /// List a whole directory.
    List { target: Target, with_attrs: bool },
    /// Open a directory stream and keep it open.
    Opendir { target: Target, slot: u8 },
    /// Take some entries from a stream.
    Readdir { slot: u8, take: u8 },
    /// Close a directory stream.
    Closedir { slot: u8 },
    /// Sync an open directory.
    Fsyncdir { slot: u8 },
    /// Sync the volume.
    Syncfs,
    /// Ask for the size of the volume.
    Statfs,
    /// Take or release a lock, without waiting.
    Lock { slot: u8, family: LockFamily, owner: u8, start: u8, len: u8, kind: LockKind },
    /// Ask which lock is in the way.
    Getlock { slot: u8, owner: u8, start: u8, len: u8, write: bool },
    /// Close a descriptor of a slot that stays open: locks of an owner go.
    Flush { slot: u8, owner: u8 },
    /// Have the implementation write a checkpoint.
    Checkpoint,
    /// Close everything, unmount and mount again.
    Remount,
    /// Have the implementation forget what it can load again.
    DropCaches,
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::LONGEST => f.write_str("<255>"),
            Self::TOO_LONG => f.write_str("<256>"),
            Self(index) => write!(f, "{}", char::from(b'a' + index)),
        }
    }
}

impl std::fmt::Debug for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for dir in &self.dir {
            write!(f, "/{dir:?}")?;
        }
        write!(f, "/{:?}", self.name)
    }
}
