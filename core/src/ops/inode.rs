//! Inode records: loading, storing, and the questions that every operation asks of them.

use crate::error::{Error, ErrorKind};
use crate::format::{InodeRecord, keys};
use crate::fs::{Attr, FileKind};
use crate::kv::{KvRead, OpResult, Txn};
use crate::types::{Ino, Timestamp};

/// What `stat` shows as the size of a directory: one block, whatever it holds.
pub const DIR_SIZE_BYTES: u64 = 4096;

/// Set-user-id bit.
pub(crate) const SUID: u16 = 0o4000;
/// Set-group-id bit.
pub(crate) const SGID: u16 = 0o2000;
/// Group-execute bit: without it, sgid does not mean "run as the group".
const GROUP_EXEC: u16 = 0o010;

/// The record of an inode.
///
/// # Errors
/// `Stale` if there is none, `Corrupt` if it does not decode.
pub fn load(kv: &dyn KvRead, ino: Ino) -> OpResult<InodeRecord> {
    try_load(kv, ino)?.ok_or_else(|| Error::new(ErrorKind::Stale, format!("inode {ino} does not exist")).into())
}

/// The record of an inode, if there is one.
///
/// # Errors
/// `Corrupt` if it does not decode.
pub fn try_load(kv: &dyn KvRead, ino: Ino) -> OpResult<Option<InodeRecord>> {
    match kv.get(&keys::inode_key(ino))? {
        Some(value) => Ok(Some(InodeRecord::decode(&value)?)),
        None => Ok(None),
    }
}

/// Writes the record of an inode.
pub fn store(tx: &mut Txn<'_>, ino: Ino, record: &InodeRecord) {
    tx.put(keys::inode_key(ino), record.encode());
}

/// What `stat` shows.
#[must_use]
pub fn attr(record: &InodeRecord, ino: Ino) -> Attr {
    Attr {
        ino,
        kind: record.kind,
        perm: record.perm,
        nlink: record.nlink,
        uid: record.uid,
        gid: record.gid,
        rdev: record.rdev,
        size: if record.kind == FileKind::Dir { DIR_SIZE_BYTES } else { record.size },
        allocated_bytes: record.allocated_bytes,
        atime: record.atime,
        mtime: record.mtime,
        ctime: record.ctime,
        btime: record.btime,
    }
}

/// The record of a directory, removed or not.
///
/// # Errors
/// `Stale`, or `NotADirectory`.
pub(crate) fn load_dir(kv: &dyn KvRead, ino: Ino) -> OpResult<InodeRecord> {
    let record = load(kv, ino)?;
    if record.kind != FileKind::Dir {
        return Err(Error::new(ErrorKind::NotADirectory, format!("inode {ino} is not a directory")).into());
    }
    Ok(record)
}

/// The record of a directory in which names may be made.
///
/// # Errors
/// `Stale`, `NotADirectory`, or `NotFound` for a directory that was removed and is only still open.
pub(crate) fn load_live_dir(kv: &dyn KvRead, ino: Ino) -> OpResult<InodeRecord> {
    let record = load_dir(kv, ino)?;
    check_live(ino, &record)?;
    Ok(record)
}

/// Fails if a directory was removed and is only still open.
///
/// # Errors
/// `NotFound`.
pub(crate) fn check_live(ino: Ino, record: &InodeRecord) -> OpResult<()> {
    if record.nlink == 0 {
        return Err(Error::new(ErrorKind::NotFound, format!("directory {ino} was removed")).into());
    }
    Ok(())
}

/// The record of a regular file.
///
/// # Errors
/// `Stale`, `IsADirectory`, or `InvalidArgument` for the other kinds.
pub(crate) fn load_file(kv: &dyn KvRead, ino: Ino) -> OpResult<InodeRecord> {
    let record = load(kv, ino)?;
    check_file(ino, &record)?;
    Ok(record)
}

/// Fails unless the record is a regular file's.
///
/// # Errors
/// `IsADirectory`, or `InvalidArgument` for the other kinds.
pub(crate) fn check_file(ino: Ino, record: &InodeRecord) -> OpResult<()> {
    match record.kind {
        FileKind::File => Ok(()),
        FileKind::Dir => Err(Error::new(ErrorKind::IsADirectory, format!("inode {ino} is a directory")).into()),
        _ => Err(Error::new(ErrorKind::InvalidArgument, format!("inode {ino} is not a regular file")).into()),
    }
}

/// Marks a change of content: mtime and ctime.
pub(crate) fn touch_content(record: &mut InodeRecord, now: Timestamp) {
    record.mtime = now;
    record.ctime = now;
}

/// Clears suid, and sgid where it means "run as the group". Directories keep both: there they mean something else.
pub(crate) fn kill_suid_sgid(record: &mut InodeRecord) {
    if record.kind == FileKind::Dir {
        return;
    }
    record.perm &= !SUID;
    if record.perm & GROUP_EXEC != 0 {
        record.perm &= !SGID;
    }
}
