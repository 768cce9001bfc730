//! The rules of the file system, as synchronous functions over a transaction.
//!
//! Each operation reads and writes one [`Txn`](crate::kv::Txn) and nothing else, so that it is one atomic record in the
//! volume's history and may be run again from its start after a [`Miss`](crate::kv::Miss). An operation that fails leaves
//! nothing behind: its caller drops the transaction. Operations that only read take any [`KvRead`](crate::kv::KvRead). Who may
//! do what is the kernel's question and not asked here. What Linux's ext4 does decides where POSIX leaves a choice.
//!
//! Invariants between operations, which [`check::check_all`] verifies:
//!
//! - the extents of a file do not overlap, lie inside its size, and sum up to its allocated bytes;
//! - the usage of a segment is the sum of the lengths of all extents that name it;
//! - the link count of an inode is the number of entries that name it; of a directory, 2 + its subdirectories, or 0 when removed;
//! - each directory counts its entries and has one entry in its parent;
//! - every entry names an inode of its kind, and the orphan records are exactly the inodes with link count 0.
//!
//! Handles, open counts, locks, quotas and the allocation of numbers are the engine's.

pub mod attrs;
pub mod check;
pub mod create;
pub mod data;
pub mod dir;
pub mod extents;
pub mod inode;
pub mod link;
pub mod name;
pub mod orphan;
pub mod path;
#[cfg(test)]
mod random;
pub mod rename;
pub mod subtree;
#[cfg(test)]
mod testkit;
pub mod usage;
pub mod xattr;

pub use attrs::{getattr, readlink, relatime, setattr, touch_atime};
pub use create::{Created, create, make_root, mkdir, mknod, symlink, tmpfile};
pub use data::{fallocate, share_range, truncate, write_extent};
pub use dir::{Entry, entries_after, find_named, lookup, readdir_page};
pub use extents::{Mapped, Source, map_range, seek_data, seek_hole};
pub use link::{Removed, link, rmdir, unlink};
pub use orphan::{ReapProgress, orphans, reap_step};
pub use rename::{Renamed, rename};
pub use xattr::{getxattr, listxattr, removexattr, setxattr};

use crate::error::Error;
use crate::format::FormatError;
use crate::fs::Caller;
use crate::kv::OpError;
use crate::types::Timestamp;

/// What every operation is told besides its arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpCx {
    /// The time to stamp changes with; the same in every run of one operation.
    pub now: Timestamp,
    /// Who asks: owns what is created.
    pub caller: Caller,
    /// Whether names that differ only in case are the same on this volume.
    pub case_insensitive: bool,
}

impl From<FormatError> for OpError {
    fn from(error: FormatError) -> Self {
        Self::Fs(Error::from(error))
    }
}

/// The smallest key above `key`.
fn successor(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}
