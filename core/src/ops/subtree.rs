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
use std::collections::btree_map::Entry;

use crate::format::InodeRecord;
use crate::fs::FileKind;
use crate::kv::{KvRead, OpResult, Txn};
use crate::types::Ino;

use super::inode;

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
/// Those of loading records. A counter that would become negative becomes 0 instead, and a circle of parents is left after it has
/// been gone round: a wrong counter must not keep the volume from being written, and the checker finds it.
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
    // A directory on the chain that is looked for again, at ever longer distances: a circle is left, the checker reports it.
    let (mut mark, mut steps, mut distance) = (None, 0, 1);
    while mark != Some(at) {
        if steps == distance {
            (mark, steps, distance) = (Some(at), 0, distance * 2);
        }
        steps += 1;
        let (record, sum_bytes, sum_inodes) = match sums.entry(at) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => match inode::try_load(kv, at)? {
                Some(record) if record.kind == FileKind::Dir && record.nlink > 0 => new.insert((record, 0, 0)),
                Some(_) | None => return Ok(()),
            },
        };
        *sum_bytes = sum_bytes.saturating_add(bytes);
        *sum_inodes = sum_inodes.saturating_add(inodes);
        if at == Ino::ROOT {
            return Ok(());
        }
        at = record.parent;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RenameMode;
    use crate::ops::check::check_subtrees;
    use crate::ops::testkit::World;
    use crate::ops::{link, rename, rmdir, unlink};

    const ROOT: Ino = Ino::ROOT;

    /// Bytes and inodes below a directory, as of the last fold.
    fn below(world: &World, dir: Ino) -> (u64, u64) {
        let record = world.record(dir);
        (record.subtree_bytes, record.subtree_inodes)
    }

    #[test]
    fn counters_reach_the_root_at_a_fold() {
        let mut world = World::new(false);
        let a = world.mkdir(ROOT, "a");
        let b = world.mkdir(a, "b");
        let file = world.mkfile(b, "f");
        world.write(file, 0, 100, 1, 0);
        world.write(file, 50, 100, 1, 200);
        assert_eq!(below(&world, ROOT), (0, 0), "before the fold");
        world.fold();
        assert_eq!([below(&world, b), below(&world, a), below(&world, ROOT)], [(150, 1), (150, 2), (150, 3)]);
        assert_eq!(check_subtrees(&world.kv).expect("resident"), []);
    }

    #[test]
    fn a_directory_moves_with_what_is_folded_and_what_is_pending() {
        let mut world = World::new(false);
        let (a, b) = (world.mkdir(ROOT, "a"), world.mkdir(ROOT, "b"));
        let sub = world.mkdir(a, "sub");
        let file = world.mkfile(sub, "f");
        world.write(file, 0, 10, 1, 0);
        world.fold();
        world.write(file, 10, 10, 1, 10);
        world.ok(|tx, cx, _| rename(tx, cx, a, b"sub", b, b"sub", RenameMode::Replace));
        world.write(file, 20, 10, 1, 20);
        world.fold();
        assert_eq!([below(&world, a), below(&world, b), below(&world, sub)], [(0, 0), (30, 2), (30, 1)]);
        assert_eq!(check_subtrees(&world.kv).expect("resident"), []);
    }

    #[test]
    fn an_orphan_counts_nowhere_and_a_hard_link_once() {
        let mut world = World::new(false);
        let (a, b) = (world.mkdir(ROOT, "a"), world.mkdir(ROOT, "b"));
        let file = world.mkfile(a, "f");
        world.write(file, 0, 10, 1, 0);
        world.ok(|tx, cx, _| link(tx, cx, file, b, b"g"));
        world.fold();
        assert_eq!([below(&world, a), below(&world, b), below(&world, ROOT)], [(0, 0), (10, 1), (10, 3)]);
        world.ok(|tx, cx, _| unlink(tx, cx, a, b"f"));
        world.ok(|tx, cx, _| unlink(tx, cx, b, b"g"));
        world.write(file, 10, 10, 1, 10);
        world.fold();
        assert_eq!([below(&world, a), below(&world, b), below(&world, ROOT)], [(0, 0), (0, 0), (0, 2)]);
    }

    #[test]
    fn a_file_whose_naming_directory_is_gone_counts_again_when_named() {
        let mut world = World::new(false);
        let (a, b) = (world.mkdir(ROOT, "a"), world.mkdir(ROOT, "b"));
        let file = world.mkfile(a, "f");
        world.write(file, 0, 10, 1, 0);
        world.ok(|tx, cx, _| link(tx, cx, file, b, b"g"));
        world.ok(|tx, cx, _| unlink(tx, cx, b, b"g"));
        world.fold();
        assert_eq!(below(&world, b), (10, 1), "stays where it was named last");
        world.ok(|tx, cx, _| rmdir(tx, cx, ROOT, b"b"));
        world.write(file, 10, 10, 1, 10);
        world.fold();
        assert_eq!([below(&world, a), below(&world, ROOT)], [(0, 0), (0, 1)]);
        world.ok(|tx, cx, _| rename(tx, cx, a, b"f", ROOT, b"f", RenameMode::Replace));
        world.fold();
        assert_eq!(below(&world, ROOT), (20, 2));
        assert_eq!(check_subtrees(&world.kv).expect("resident"), []);
    }

    #[test]
    fn records_that_stay_where_they_are_report_only_files_bytes() {
        let mut world = World::new(false);
        let dir = world.mkdir(ROOT, "d");
        let file = world.mkfile(dir, "f");
        let (d, f) = (world.record(dir), world.record(file));
        assert_eq!(subtree_delta(dir, Some(&d), Some(&InodeRecord { subtree_bytes: 9, ..d.clone() })), []);
        let grown = InodeRecord { allocated_bytes: 5, ..f.clone() };
        assert_eq!(subtree_delta(file, Some(&f), Some(&grown)), [(dir, 5, 0)]);
        assert_eq!(subtree_delta(file, Some(&grown), None), [(dir, -5, -1)]);
        assert_eq!(subtree_delta(file, None, Some(&InodeRecord { nlink: 0, ..f })), []);
        assert_eq!(subtree_delta(ROOT, None, Some(&world.record(ROOT))), []);
    }
}
