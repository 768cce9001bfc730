//! Giving names to inodes and taking them away.

use crate::error::{Error, ErrorKind};
use crate::format::InodeRecord;
use crate::fs::{Attr, FileKind, LINKS_MAX};
use crate::kv::{KvRead, OpResult, Txn};
use crate::types::Ino;

use super::{OpCx, dir, inode, name, orphan};

/// An inode that lost a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The inode.
    pub ino: Ino,
    /// Its type.
    pub kind: FileKind,
    /// It has no name left and an orphan record now: the engine reaps it when nobody has it open.
    pub orphaned: bool,
}

/// Makes a hard link. Names an unnamed file for good.
///
/// # Errors
/// `NotPermitted` for a directory, `TooManyLinks`, `NotFound` for a file whose last name was removed, `AlreadyExists`,
/// `NotADirectory`, `Stale`, errors of the name.
pub fn link(tx: &mut Txn<'_>, cx: &OpCx, ino: Ino, new_parent: Ino, new_name: &[u8]) -> OpResult<Attr> {
    let mut record = inode::load(tx, ino)?;
    let mut dir = dir::load_for_new(tx, cx, new_parent, new_name)?;
    check_linkable(ino, &record)?;
    if record.nlink == 0 {
        orphan::remove(tx, ino);
    }
    record.nlink += 1;
    record.parent = new_parent;
    record.ctime = cx.now;
    dir::add(tx, cx, (new_parent, &mut dir), new_name, (ino, record.kind))?;
    inode::touch_content(&mut dir, cx.now);
    inode::store(tx, new_parent, &dir);
    inode::store(tx, ino, &record);
    Ok(inode::attr(&record, ino))
}

/// Removes a name that is not a directory.
///
/// # Errors
/// `NotFound`, `IsADirectory`, `NotADirectory`, `Stale`, errors of the name.
pub fn unlink(tx: &mut Txn<'_>, cx: &OpCx, parent: Ino, name: &[u8]) -> OpResult<Removed> {
    let mut dir = inode::load_dir(tx, parent)?;
    name::check_entry(name)?;
    let entry = dir::get(tx, cx, parent, name)?;
    if entry.kind == FileKind::Dir {
        return Err(Error::new(ErrorKind::IsADirectory, format!("inode {} is a directory", entry.ino)).into());
    }
    dir::drop(tx, cx, (parent, &mut dir), name, entry.kind)?;
    inode::touch_content(&mut dir, cx.now);
    inode::store(tx, parent, &dir);
    drop_link(tx, cx, parent, entry.ino)
}

/// Removes an empty directory.
///
/// # Errors
/// `NotFound`, `NotADirectory`, `NotEmpty`, `Stale`, errors of the name.
pub fn rmdir(tx: &mut Txn<'_>, cx: &OpCx, parent: Ino, name: &[u8]) -> OpResult<Removed> {
    let mut dir = inode::load_dir(tx, parent)?;
    name::check_entry(name)?;
    let entry = dir::get(tx, cx, parent, name)?;
    if entry.kind != FileKind::Dir {
        return Err(Error::new(ErrorKind::NotADirectory, format!("inode {} is not a directory", entry.ino)).into());
    }
    check_empty(tx, entry.ino)?;
    dir::drop(tx, cx, (parent, &mut dir), name, FileKind::Dir)?;
    inode::touch_content(&mut dir, cx.now);
    inode::store(tx, parent, &dir);
    drop_link(tx, cx, parent, entry.ino)
}

/// Fails unless a directory has no entries.
///
/// # Errors
/// `NotEmpty`, `Corrupt` if the directory does not exist.
pub(crate) fn check_empty(kv: &dyn KvRead, ino: Ino) -> OpResult<()> {
    let record = inode::try_load(kv, ino)?.ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, format!("an entry names directory {ino}, which does not exist"))
    })?;
    if record.entry_count != 0 {
        return Err(Error::new(ErrorKind::NotEmpty, format!("directory {ino} is not empty")).into());
    }
    Ok(())
}

/// Takes one link off an inode whose entry in `dir` has just been dropped; a directory loses all of its links.
pub(crate) fn drop_link(tx: &mut Txn<'_>, cx: &OpCx, dir: Ino, ino: Ino) -> OpResult<Removed> {
    let mut record = inode::try_load(tx, ino)?.filter(|record| record.nlink > 0).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, format!("directory {dir} names inode {ino}, which has no link"))
    })?;
    record.nlink = if record.kind == FileKind::Dir { 0 } else { record.nlink - 1 };
    record.ctime = cx.now;
    let orphaned = record.nlink == 0;
    if orphaned {
        orphan::add(tx, ino);
    }
    inode::store(tx, ino, &record);
    Ok(Removed { ino, kind: record.kind, orphaned })
}

/// Fails unless an inode can take another name. An orphan can if it never had one, which its parent 0 tells.
fn check_linkable(ino: Ino, record: &InodeRecord) -> OpResult<()> {
    if record.kind == FileKind::Dir {
        return Err(Error::new(ErrorKind::NotPermitted, format!("inode {ino} is a directory")).into());
    }
    if record.nlink == 0 && record.parent != Ino(0) {
        return Err(Error::new(ErrorKind::NotFound, format!("inode {ino} was removed")).into());
    }
    if record.nlink >= LINKS_MAX {
        return Err(Error::new(ErrorKind::TooManyLinks, format!("inode {ino} has {} links", record.nlink)).into());
    }
    Ok(())
}
