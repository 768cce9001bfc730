//! What came of an operation, without anything that two correct implementations may differ in.

use std::hash::{DefaultHasher, Hash, Hasher};

use proxyfs_core::ErrorKind;
use proxyfs_core::fs::{FileKind, LockKind};
use proxyfs_core::types::Timestamp;

/// The reply to an operation, and how the inodes that it concerned look afterwards (also when it failed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was answered.
    pub reply: Reply,
    /// The inodes concerned, as they are now; an error kind for one that is gone.
    pub after: Vec<Result<AttrView, ErrorKind>>,
}

/// An answer, normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The slot was empty: nothing was asked.
    Skipped,
    /// It worked; there is nothing to say.
    Done,
    /// It failed.
    Failed(ErrorKind),
    /// Attributes.
    Attr(AttrView),
    /// File bytes.
    Data {
        /// How many.
        len: u64,
        /// What they are.
        hash: u64,
    },
    /// Small bytes: a symlink's target, an attribute's value, names.
    Bytes(Vec<Vec<u8>>),
    /// Bytes copied.
    Copied(u64),
    /// A whole directory, sorted by name.
    Entries(Vec<EntryView>),
    /// A check of its own kind: what was found wrong. Empty when all is well.
    Checked(Vec<String>),
    /// The lock in the way: first byte, last byte, kind.
    Blocker(Option<(u64, u64, LockKind)>),
}

/// Attributes with the inode number replaced by its order of appearance, and no size for directories.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of fs::Attr")]
pub struct AttrView {
    pub id: u32,
    pub kind: FileKind,
    pub perm: u16,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u32,
    pub size: Option<u64>,
    pub atime: TimeView,
    pub mtime: TimeView,
    pub ctime: TimeView,
    pub btime: TimeView,
}

/// A time, as far as it can be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TimeView {
    /// Exactly this.
    Exact(Timestamp),
    /// Some reading of a clock that is not shared.
    Clock,
    /// Not compared.
    Masked,
}

impl std::fmt::Debug for TimeView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(time) => write!(f, "{}.{:09}", time.secs, time.nanos),
            Self::Clock => f.write_str("clock"),
            Self::Masked => f.write_str("-"),
        }
    }
}

/// One directory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryView {
    /// Its name.
    pub name: Vec<u8>,
    /// Its type as the listing gave it.
    pub kind: FileKind,
    /// Its attributes, if asked for.
    pub attr: Option<AttrView>,
}

impl Reply {
    /// A reply that says how many bytes there were and stands for them.
    pub(crate) fn data<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Self {
        let bytes: Vec<u8> = chunks.flatten().copied().collect();
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let len = bytes.len() as u64;
        Self::Data { len, hash: hasher.finish() }
    }
}
