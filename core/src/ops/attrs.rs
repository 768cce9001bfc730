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
