//! Recursive counters: how many bytes and inodes lie below each directory.
//!
//! Definition. An inode *counts* if its link count is not 0. It counts in its parent (the `parent` of its record), in its
//! parent's parent, and so on; the chain ends at the root, or earlier at a directory that does not exist any more or was removed.
//! `subtree_inodes` of a directory is how many counting inodes have it on their chain, `subtree_bytes` the sum of their
//! allocated bytes. A directory itself is not in its own counters, the root is in none.
//!
//! A file with several names counts once, under the directory that named it last. If that name goes while others stay, it goes
//! on counting there; if that directory is removed, it counts nowhere until it is named again. (Finding another name of it
//! would take a search of the volume.)
//!
//! The stored counters may lag: an operation only reports how its own writes change them ([`subtree_delta`]), the engine sums
//! the reports up, and [`fold`] adds the sums to the records in one transaction. Because a pending report names a directory and
//! is passed up along the chain as it is at the time of the fold, moving or removing a directory in between moves exactly
//! what its record holds, and the rest finds its way. After a fold with nothing pending, the counters are exact.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};
use crate::format::InodeRecord;
use crate::fs::FileKind;
use crate::kv::{KvRead, OpResult, Txn};
use crate::types::Ino;

use super::inode;
use super::rename::DEPTH_MAX;

/// A change of one directory's counters, and of all above it: (directory, bytes, inodes).
pub type SubtreeDelta = (Ino, i64, i64);

/// What a write of inode `ino` changes in the counters of the directories above it: at most one entry for the parent it had and
/// one for the parent it has, or one if they are the same; none if nothing changes.
///
/// `before` is the record as the transaction found it, `after` as the transaction leaves it; `None` for no record.
#[must_use]
pub fn subtree_delta(ino: Ino, before: Option<&InodeRecord>, after: Option<&InodeRecord>) -> Vec<SubtreeDelta> {
    let mut deltas = Vec::with_capacity(2);
    match (before.and_then(|r| counted(ino, r)), after.and_then(|r| counted(ino, r))) {
        (Some(old), Some(new)) if old.0 == new.0 => {
            // A directory that stays where it is reports nothing: its content reports itself.
            if after.is_some_and(|record| record.kind != FileKind::Dir) && old != new {
                deltas.push((new.0, new.1 - old.1, new.2 - old.2));
            }
        }
        (old, new) => {
            deltas.extend(old.map(|(parent, bytes, inodes)| (parent, -bytes, -inodes)));
            deltas.extend(new);
        }
    }
    deltas
}

/// Adds pending changes to the counters of the directories they name and of all above.
///
/// # Errors
/// `Corrupt` if a chain of parents does not end. A counter that would become negative becomes 0 instead: a wrong counter must
/// not keep the volume from being written, and the checker finds it.
pub fn fold(tx: &mut Txn<'_>, deltas: &BTreeMap<Ino, (i64, i64)>) -> OpResult<()> {
    let mut sums: BTreeMap<Ino, (InodeRecord, i64, i64)> = BTreeMap::new();
    for (&dir, &(bytes, inodes)) in deltas.iter().filter(|(_, delta)| **delta != (0, 0)) {
        add_along_chain(tx, &mut sums, dir, (bytes, inodes))?;
    }
    for (ino, (mut record, bytes, inodes)) in sums {
        record.subtree_bytes = record.subtree_bytes.saturating_add_signed(bytes);
        record.subtree_inodes = record.subtree_inodes.saturating_add_signed(inodes);
        inode::store(tx, ino, &record);
    }
    Ok(())
}

/// Whether an inode counts, and then where and how much, itself and what its record has below it.
fn counted(ino: Ino, record: &InodeRecord) -> Option<SubtreeDelta> {
    if record.nlink == 0 || ino == Ino::ROOT {
        return None;
    }
    let (bytes, inodes) = match record.kind {
        FileKind::Dir => (record.subtree_bytes, record.subtree_inodes.saturating_add(1)),
        _ => (record.allocated_bytes, 1),
    };
    Some((record.parent, i64::try_from(bytes).unwrap_or(i64::MAX), i64::try_from(inodes).unwrap_or(i64::MAX)))
}

fn add_along_chain(
    kv: &dyn KvRead,
    sums: &mut BTreeMap<Ino, (InodeRecord, i64, i64)>,
    dir: Ino,
    (bytes, inodes): (i64, i64),
) -> OpResult<()> {
    let mut at = dir;
    for _ in 0..DEPTH_MAX {
        if !sums.contains_key(&at) {
            let live = inode::try_load(kv, at)?.filter(|r| r.kind == FileKind::Dir && r.nlink > 0);
            let Some(record) = live else { return Ok(()) };
            sums.insert(at, (record, 0, 0));
        }
        let Some((record, sum_bytes, sum_inodes)) = sums.get_mut(&at) else { return Ok(()) };
        *sum_bytes = sum_bytes.saturating_add(bytes);
        *sum_inodes = sum_inodes.saturating_add(inodes);
        if at == Ino::ROOT {
            return Ok(());
        }
        at = record.parent;
    }
    Err(Error::new(ErrorKind::Corrupt, format!("the parents of directory {dir} do not lead to the root")).into())
}
