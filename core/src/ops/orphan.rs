//! Inodes without a name, and their removal once nobody has them open.
//!
//! An operation that takes the last name of an inode sets its link count to 0 and writes an orphan record in the same
//! transaction. The record goes with the inode, or when a name is given to an unnamed file. So the orphan records are
//! exactly the inodes with link count 0.

use std::ops::ControlFlow;

use crate::error::{Error, ErrorKind};
use crate::format::{Extent, InodeRecord, Key, keys, orphan};
use crate::kv::{KvRead, OpResult, Txn};
use crate::types::Ino;

use super::usage::UsageChange;
use super::{OpCx, inode, successor, xattr};

/// How far [`reap_step`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReapProgress {
    /// Extents are left; call again.
    More,
    /// The inode and its orphan record are gone.
    Done,
}

/// Removes up to `extents_max` (at least 1) extents of an orphan from its start, or when none is left, everything else of it.
///
/// Each step leaves a volume without contradictions, and an inode that is already gone is `Done`, so that reaping may stop and
/// begin again anywhere. The caller makes sure that nobody has the inode open.
///
/// # Errors
/// `Corrupt` if the inode still has a name.
pub fn reap_step(tx: &mut Txn<'_>, _cx: &OpCx, ino: Ino, extents_max: usize) -> OpResult<ReapProgress> {
    let Some(mut record) = inode::try_load(tx, ino)? else {
        remove(tx, ino);
        return Ok(ReapProgress::Done);
    };
    if record.nlink != 0 {
        let context = format!("inode {ino} is to be reaped and has {} links", record.nlink);
        return Err(Error::new(ErrorKind::Corrupt, context).into());
    }
    let more = drop_extents(tx, (ino, &mut record), extents_max.max(1))?;
    if more {
        inode::store(tx, ino, &record);
        return Ok(ReapProgress::More);
    }
    xattr::remove_all(tx, ino)?;
    tx.delete(keys::inode_key(ino));
    remove(tx, ino);
    Ok(ReapProgress::Done)
}

/// Up to `max` orphans with numbers above `after`, ascending.
///
/// # Errors
/// `Corrupt` for a record that does not decode.
pub fn orphans(kv: &dyn KvRead, after: Ino, max: usize) -> OpResult<Vec<Ino>> {
    let mut found = Vec::new();
    if max > 0 {
        let (_, to) = keys::orphan_range();
        kv.scan(&successor(keys::orphan_key(after)), &to, &mut |key, _| {
            found.push(Key::decode(key));
            if found.len() == max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    found
        .into_iter()
        .map(|key| match key? {
            Key::Orphan(ino) => Ok(ino),
            other => Err(Error::new(ErrorKind::Corrupt, format!("{other:?} among the orphans")).into()),
        })
        .collect()
}

/// Writes the orphan record.
pub(crate) fn add(tx: &mut Txn<'_>, ino: Ino) {
    tx.put(keys::orphan_key(ino), orphan::encode());
}

/// Removes the orphan record.
pub(crate) fn remove(tx: &mut Txn<'_>, ino: Ino) {
    tx.delete(keys::orphan_key(ino));
}

/// Drops the first `max` extents; whether more are left.
fn drop_extents(tx: &mut Txn<'_>, (ino, record): (Ino, &mut InodeRecord), max: usize) -> OpResult<bool> {
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut more = false;
    let (from, to) = keys::extent_range(ino);
    tx.scan(&from, &to, &mut |key, value| {
        if found.len() == max {
            more = true;
            return ControlFlow::Break(());
        }
        found.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    let mut usage = UsageChange::default();
    for (key, value) in found {
        let extent = Extent::decode(&value)?;
        usage.sub(extent.segment, extent.len);
        record.allocated_bytes = record.allocated_bytes.checked_sub(extent.len).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, format!("inode {ino} has more extents than allocated bytes"))
        })?;
        tx.delete(key);
    }
    usage.apply(tx)?;
    Ok(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::XattrMode;
    use crate::ops::testkit::World;
    use crate::ops::{setxattr, unlink};

    #[test]
    fn reaping_goes_by_steps_that_each_leave_a_sound_volume() {
        let mut world = World::new(false);
        let file = world.mkfile(Ino::ROOT, "f");
        for i in 0..5 {
            world.write(file, i * 20, 10, i % 2, i * 10);
        }
        world.ok(|tx, cx, _| setxattr(tx, cx, file, b"user.x", b"1", XattrMode::Set));
        let early = world.err(|tx, cx, _| reap_step(tx, cx, file, 2));
        assert_eq!(early, ErrorKind::Corrupt, "it still has a name");
        world.ok(|tx, cx, _| unlink(tx, cx, Ino::ROOT, b"f"));
        for (step, allocated) in [30, 10].into_iter().enumerate() {
            assert_eq!(world.ok(|tx, cx, _| reap_step(tx, cx, file, 2)), ReapProgress::More, "step {step}");
            assert_eq!(world.attr(file).allocated_bytes, allocated);
            world.check();
        }
        assert_eq!(world.ok(|tx, cx, _| reap_step(tx, cx, file, 2)), ReapProgress::Done);
        world.check();
        assert!(world.kv.0.range(keys::inode_range(file).0..keys::inode_range(file).1).next().is_none());
        assert_eq!((world.usage(0), world.usage(1)), (0, 0));
        assert!(world.kv.0.contains_key(&keys::segment_usage_key(crate::ops::testkit::segment(1))), "the record stays");
        assert_eq!(world.ok(|tx, cx, _| reap_step(tx, cx, file, 2)), ReapProgress::Done, "again is fine");
    }

    #[test]
    fn orphans_are_listed_in_pages() {
        let mut world = World::new(false);
        let inos: Vec<Ino> = (0..3).map(|i| world.mkfile(Ino::ROOT, &format!("f{i}"))).collect();
        for i in 0..3 {
            world.ok(|tx, cx, _| unlink(tx, cx, Ino::ROOT, format!("f{i}").as_bytes()));
        }
        assert_eq!(orphans(&world.kv, Ino(0), 2).expect("resident"), inos[..2]);
        assert_eq!(orphans(&world.kv, inos[1], 2).expect("resident"), inos[2..]);
    }
}
