//! Attributes: reading and changing them, and the rule for access times.

use crate::error::{Error, ErrorKind};
use crate::format::InodeRecord;
use crate::fs::{Attr, FileKind, SetAttr, SetTime};
use crate::kv::{KvRead, OpResult, Txn};
use crate::types::{Ino, Timestamp};

use super::{OpCx, data, inode, xattr};

/// Age in seconds at which an access time is renewed in any case (Linux `relatime`: one day).
const RELATIME_AGE_SECS: i64 = 24 * 60 * 60;

/// Attributes of an inode.
///
/// # Errors
/// `Stale`, `Corrupt`.
pub fn getattr(kv: &dyn KvRead, ino: Ino) -> OpResult<Attr> {
    Ok(inode::attr(&inode::load(kv, ino)?, ino))
}

/// Target of a symlink.
///
/// # Errors
/// `InvalidArgument` for what is not a symlink, `Stale`.
pub fn readlink(kv: &dyn KvRead, ino: Ino) -> OpResult<Vec<u8>> {
    let record = inode::load(kv, ino)?;
    if record.kind != FileKind::Symlink {
        return Err(Error::new(ErrorKind::InvalidArgument, format!("inode {ino} is not a symlink")).into());
    }
    Ok(record.target)
}

/// Changes attributes, all at once. Nothing asked for changes nothing, not even ctime.
///
/// Owner and group: suid and sgid of what is not a directory go, and its capabilities. Permission bits: the access ACL
/// follows. Size: as [`data::truncate`]. A time that is set explicitly wins over one that another change would stamp.
///
/// # Errors
/// `Stale`; for permission bits `InvalidArgument` past 0o7777, `NotSupported` on a symlink; for a size `IsADirectory`,
/// `InvalidArgument`, `FileTooLarge`; `Corrupt`.
pub fn setattr(tx: &mut Txn<'_>, cx: &OpCx, ino: Ino, set: SetAttr) -> OpResult<Attr> {
    if set == SetAttr::default() {
        return getattr(tx, ino);
    }
    let mut record = inode::load(tx, ino)?;
    check_perm(&record, &set)?;
    if set.size.is_some() {
        inode::check_file(ino, &record)?;
    }
    record.ctime = cx.now;
    if let Some(size) = set.size {
        data::set_size(tx, (ino, &mut record), size)?;
        record.mtime = cx.now;
        xattr::kill_capabilities(tx, ino)?;
    }
    if set.kill_suid_sgid {
        inode::kill_suid_sgid(&mut record);
    }
    set_owner(tx, (ino, &mut record), &set)?;
    if let Some(perm) = set.perm {
        record.perm = perm;
        xattr::chmod_acl(tx, ino, record.perm)?;
    }
    set_times(&mut record, cx, &set);
    inode::store(tx, ino, &record);
    Ok(inode::attr(&record, ino))
}

fn check_perm(record: &InodeRecord, set: &SetAttr) -> OpResult<()> {
    match set.perm {
        Some(perm) if perm > 0o7777 => Err(Error::new(ErrorKind::InvalidArgument, format!("perm {perm:o}")).into()),
        Some(_) if record.kind == FileKind::Symlink => {
            Err(Error::new(ErrorKind::NotSupported, "symlinks have no permission bits").into())
        }
        _ => Ok(()),
    }
}

fn set_owner(tx: &mut Txn<'_>, (ino, record): (Ino, &mut InodeRecord), set: &SetAttr) -> OpResult<()> {
    if set.uid.is_none() && set.gid.is_none() {
        return Ok(());
    }
    record.uid = set.uid.unwrap_or(record.uid);
    record.gid = set.gid.unwrap_or(record.gid);
    inode::kill_suid_sgid(record);
    if record.kind == FileKind::Dir { Ok(()) } else { xattr::kill_capabilities(tx, ino) }
}

fn set_times(record: &mut InodeRecord, cx: &OpCx, set: &SetAttr) {
    let time = |value: SetTime| match value {
        SetTime::Now => cx.now,
        SetTime::At(time) => time,
    };
    record.atime = set.atime.map_or(record.atime, time);
    record.mtime = set.mtime.map_or(record.mtime, time);
    record.ctime = set.ctime.unwrap_or(record.ctime);
    record.btime = set.btime.unwrap_or(record.btime);
}

/// Whether an access at `now` is to be recorded under the `relatime` rule: the access time is not after the last change, or
/// it is a day old.
#[must_use]
pub fn relatime(attr: &Attr, now: Timestamp) -> bool {
    attr.atime <= attr.mtime
        || attr.atime <= attr.ctime
        || now.secs.saturating_sub(attr.atime.secs) >= RELATIME_AGE_SECS
}

/// Records an access, if [`relatime`] says so; whether it did. An inode that has gone is fine.
///
/// # Errors
/// `Corrupt`.
pub fn touch_atime(tx: &mut Txn<'_>, cx: &OpCx, ino: Ino) -> OpResult<bool> {
    let Some(mut record) = inode::try_load(tx, ino)? else { return Ok(false) };
    if record.atime == cx.now || !relatime(&inode::attr(&record, ino), cx.now) {
        return Ok(false);
    }
    record.atime = cx.now;
    inode::store(tx, ino, &record);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::XATTR_ACCESS;
    use crate::fs::{OpenFlags, XattrMode};
    use crate::ops::testkit::World;
    use crate::ops::{create, setxattr, symlink};

    fn file_with(world: &mut World, perm: u16) -> Ino {
        world.ok(|tx, cx, new| create(tx, cx, Ino::ROOT, b"f", perm, 0, OpenFlags::default(), new)).attr.ino
    }

    #[test]
    fn nothing_asked_changes_nothing() {
        let mut world = World::new(false);
        let before = world.attr(Ino::ROOT);
        assert_eq!(world.ok(|tx, cx, _| setattr(tx, cx, Ino::ROOT, SetAttr::default())), before);
        assert_eq!(world.attr(Ino::ROOT), before);
    }

    #[test]
    fn chown_takes_suid_and_meaningful_sgid_from_files_only() {
        for (perm, expected) in [(0o6755, 0o755), (0o6745, 0o2745), (0o644, 0o644)] {
            let mut world = World::new(false);
            let file = file_with(&mut world, perm);
            let set = SetAttr { uid: Some(1), ..SetAttr::default() };
            let attr = world.ok(|tx, cx, _| setattr(tx, cx, file, set));
            assert_eq!((attr.perm, attr.uid, attr.gid, attr.ctime), (expected, 1, 20, world.now()), "{perm:o}");
        }
        let mut world = World::new(false);
        let set = SetAttr { perm: Some(0o6755), ..SetAttr::default() };
        world.ok(|tx, cx, _| setattr(tx, cx, Ino::ROOT, set));
        let set = SetAttr { gid: Some(1), ..SetAttr::default() };
        assert_eq!(world.ok(|tx, cx, _| setattr(tx, cx, Ino::ROOT, set)).perm, 0o6755);
    }

    #[test]
    fn size_and_owner_changes_drop_capabilities() {
        for set in [SetAttr { uid: Some(1), ..SetAttr::default() }, SetAttr { size: Some(0), ..SetAttr::default() }] {
            let mut world = World::new(false);
            let file = file_with(&mut world, 0o755);
            let name = b"security.capability";
            world.ok(|tx, cx, _| setxattr(tx, cx, file, name, b"c", XattrMode::Set));
            world.ok(|tx, cx, _| setattr(tx, cx, file, set));
            assert!(crate::ops::getxattr(&world.kv, file, name).is_err());
        }
    }

    #[test]
    fn times_are_set_and_ctime_follows_unless_given() {
        let mut world = World::new(false);
        let then = Timestamp::new(-5, 7);
        let set = SetAttr { atime: Some(SetTime::At(then)), mtime: Some(SetTime::Now), ..SetAttr::default() };
        let attr = world.ok(|tx, cx, _| setattr(tx, cx, Ino::ROOT, set));
        assert_eq!((attr.atime, attr.mtime, attr.ctime), (then, world.now(), world.now()));
        let set = SetAttr { ctime: Some(then), btime: Some(then), size: None, ..SetAttr::default() };
        let attr = world.ok(|tx, cx, _| setattr(tx, cx, Ino::ROOT, set));
        assert_eq!((attr.ctime, attr.btime), (then, then));
    }

    #[test]
    fn size_stamps_cuts_and_may_clear_suid() {
        let mut world = World::new(false);
        let file = file_with(&mut world, 0o6777);
        world.write(file, 0, 100, 1, 0);
        let set = SetAttr { size: Some(40), ..SetAttr::default() };
        let attr = world.ok(|tx, cx, _| setattr(tx, cx, file, set));
        assert_eq!((attr.size, attr.allocated_bytes, attr.mtime, attr.ctime), (40, 40, world.now(), world.now()));
        assert_eq!((attr.perm, world.usage(1)), (0o6777, 40));
        let set = SetAttr { size: Some(90), kill_suid_sgid: true, ..SetAttr::default() };
        let attr = world.ok(|tx, cx, _| setattr(tx, cx, file, set));
        assert_eq!((attr.size, attr.allocated_bytes, attr.perm), (90, 40, 0o777));
        world.check();
    }

    #[test]
    fn changes_that_cannot_be_are_refused() {
        let mut world = World::new(false);
        let file = file_with(&mut world, 0o644);
        let link = world.ok(|tx, cx, new| symlink(tx, cx, Ino::ROOT, b"s", b"t", new)).ino;
        for (ino, set, kind) in [
            (Ino::ROOT, SetAttr { size: Some(1), ..SetAttr::default() }, ErrorKind::IsADirectory),
            (link, SetAttr { size: Some(1), ..SetAttr::default() }, ErrorKind::InvalidArgument),
            (link, SetAttr { perm: Some(0), ..SetAttr::default() }, ErrorKind::NotSupported),
            (file, SetAttr { perm: Some(0o10000), ..SetAttr::default() }, ErrorKind::InvalidArgument),
            (file, SetAttr { size: Some(1 << 63), ..SetAttr::default() }, ErrorKind::FileTooLarge),
            (Ino(99), SetAttr { perm: Some(0), ..SetAttr::default() }, ErrorKind::Stale),
        ] {
            assert_eq!(world.err(|tx, cx, _| setattr(tx, cx, ino, set)), kind, "{set:?}");
        }
        assert_eq!(readlink(&world.kv, link).expect("a symlink"), b"t");
        assert!(readlink(&world.kv, file).is_err());
    }

    #[test]
    fn chmod_changes_the_mask_of_an_acl() {
        let mut world = World::new(false);
        let file = file_with(&mut world, 0o644);
        let acl = crate::ops::xattr::testing::acl_value(&[(1, 6), (2, 7), (4, 4), (16, 7), (32, 4)]);
        world.ok(|tx, cx, _| setxattr(tx, cx, file, XATTR_ACCESS, &acl, XattrMode::Set));
        assert_eq!(world.attr(file).perm, 0o674);
        let set = SetAttr { perm: Some(0o640), ..SetAttr::default() };
        world.ok(|tx, cx, _| setattr(tx, cx, file, set));
        let expected = crate::ops::xattr::testing::acl_value(&[(1, 6), (2, 7), (4, 4), (16, 4), (32, 0)]);
        assert_eq!(crate::ops::getxattr(&world.kv, file, XATTR_ACCESS).expect("kept"), expected);
        world.check();
    }

    #[test]
    fn relatime_records_the_first_access_after_a_change_and_one_a_day() {
        let at = |secs| Timestamp::new(secs, 0);
        let world = World::new(false);
        let base = world.attr(Ino::ROOT);
        for (atime, mtime, ctime, now, expected) in [
            (10, 10, 5, 11, true),
            (10, 5, 10, 11, true),
            (10, 9, 9, 11, false),
            (10, 9, 9, 10 + RELATIME_AGE_SECS - 1, false),
            (10, 9, 9, 10 + RELATIME_AGE_SECS, true),
        ] {
            let attr = Attr { atime: at(atime), mtime: at(mtime), ctime: at(ctime), ..base };
            assert_eq!(relatime(&attr, at(now)), expected, "{atime} {mtime} {ctime} {now}");
        }
    }

    #[test]
    fn an_access_changes_nothing_but_atime() {
        let mut world = World::new(false);
        let before = world.attr(Ino::ROOT);
        assert!(world.ok(|tx, cx, _| touch_atime(tx, cx, Ino::ROOT)));
        assert_eq!(world.attr(Ino::ROOT), Attr { atime: world.now(), ..before });
        assert!(!world.ok(|tx, cx, _| touch_atime(tx, cx, Ino::ROOT)), "not again");
        assert!(!world.ok(|tx, cx, _| touch_atime(tx, cx, Ino(99))), "gone");
    }
}
