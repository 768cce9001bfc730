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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::OpenFlags;
    use crate::ops::testkit::World;
    use crate::ops::{mkdir, tmpfile};

    #[test]
    fn link_counts_and_stamps() {
        let mut world = World::new(false);
        let dir = world.mkdir(Ino::ROOT, "d");
        let file = world.mkfile(Ino::ROOT, "f");
        let mtime = world.attr(file).mtime;
        let attr = world.ok(|tx, cx, _| link(tx, cx, file, dir, b"g"));
        assert_eq!((attr.nlink, attr.ctime, attr.mtime), (2, world.now(), mtime));
        assert_eq!((world.attr(dir).mtime, world.attr(dir).ctime), (world.now(), world.now()));
        assert_eq!(world.record(file).parent, dir);
        assert_eq!(world.err(|tx, cx, _| link(tx, cx, file, dir, b"g")), ErrorKind::AlreadyExists);
        assert_eq!(world.err(|tx, cx, _| link(tx, cx, dir, dir, b"x")), ErrorKind::NotPermitted);
        assert_eq!(world.err(|tx, cx, _| link(tx, cx, Ino(99), dir, b"x")), ErrorKind::Stale);
        world.check();
    }

    #[test]
    fn links_end_at_their_most() {
        let mut world = World::new(false);
        let file = world.mkfile(Ino::ROOT, "f");
        let mut record = world.record(file);
        record.nlink = LINKS_MAX;
        world.kv.0.insert(crate::format::keys::inode_key(file), record.encode());
        assert_eq!(world.err(|tx, cx, _| link(tx, cx, file, Ino::ROOT, b"x")), ErrorKind::TooManyLinks);
    }

    #[test]
    fn the_last_unlink_leaves_an_orphan_that_cannot_be_named_again() {
        let mut world = World::new(false);
        let file = world.mkfile(Ino::ROOT, "f");
        world.ok(|tx, cx, _| link(tx, cx, file, Ino::ROOT, b"g"));
        let removed = world.ok(|tx, cx, _| unlink(tx, cx, Ino::ROOT, b"f"));
        assert_eq!(removed, Removed { ino: file, kind: FileKind::File, orphaned: false });
        assert_eq!((world.attr(file).nlink, world.attr(file).ctime), (1, world.now()));
        let removed = world.ok(|tx, cx, _| unlink(tx, cx, Ino::ROOT, b"g"));
        assert!(removed.orphaned);
        assert_eq!((world.attr(file).nlink, world.attr(file).ctime), (0, world.now()));
        assert_eq!((world.attr(Ino::ROOT).mtime, world.attr(Ino::ROOT).ctime), (world.now(), world.now()));
        assert_eq!(crate::ops::orphans(&world.kv, Ino(0), 9).expect("resident"), [file]);
        assert_eq!(world.err(|tx, cx, _| link(tx, cx, file, Ino::ROOT, b"h")), ErrorKind::NotFound);
        world.check();
    }

    #[test]
    fn an_unnamed_file_can_be_named_unless_exclusive() {
        let mut world = World::new(false);
        let make = |world: &mut World, exclusive| {
            let flags = OpenFlags { exclusive, ..OpenFlags::default() };
            world.ok(|tx, cx, new| tmpfile(tx, cx, Ino::ROOT, 0o600, 0, flags, new)).ino
        };
        let (open, closed) = (make(&mut world, false), make(&mut world, true));
        assert_eq!(world.attr(open).nlink, 0);
        world.check();
        assert_eq!(world.ok(|tx, cx, _| link(tx, cx, open, Ino::ROOT, b"f")).nlink, 1);
        assert_eq!(world.err(|tx, cx, _| link(tx, cx, closed, Ino::ROOT, b"g")), ErrorKind::NotFound);
        assert_eq!(crate::ops::orphans(&world.kv, Ino(0), 9).expect("resident"), [closed]);
        world.check();
    }

    #[test]
    fn removing_fails_for_the_right_reason() {
        let mut world = World::new(false);
        let dir = world.mkdir(Ino::ROOT, "d");
        let file = world.mkfile(dir, "f");
        let mut unlink_err = |parent, name: &[u8]| world.err(|tx, cx, _| unlink(tx, cx, parent, name));
        assert_eq!(unlink_err(Ino::ROOT, b"d"), ErrorKind::IsADirectory);
        assert_eq!(unlink_err(Ino::ROOT, b"x"), ErrorKind::NotFound);
        assert_eq!(unlink_err(Ino::ROOT, b"."), ErrorKind::InvalidArgument);
        assert_eq!(unlink_err(file, b"x"), ErrorKind::NotADirectory);
        let mut rmdir_err = |parent, name: &[u8]| world.err(|tx, cx, _| rmdir(tx, cx, parent, name));
        assert_eq!(rmdir_err(Ino::ROOT, b"d"), ErrorKind::NotEmpty);
        assert_eq!(rmdir_err(dir, b"f"), ErrorKind::NotADirectory);
        assert_eq!(rmdir_err(dir, b".."), ErrorKind::InvalidArgument);
        assert_eq!(rmdir_err(dir, &[b'x'; 256]), ErrorKind::NameTooLong);
        world.check();
    }

    #[test]
    fn a_removed_directory_takes_no_names() {
        let mut world = World::new(false);
        let dir = world.mkdir(Ino::ROOT, "d");
        let removed = world.ok(|tx, cx, _| rmdir(tx, cx, Ino::ROOT, b"d"));
        assert_eq!(removed, Removed { ino: dir, kind: FileKind::Dir, orphaned: true });
        assert_eq!((world.attr(dir).nlink, world.attr(dir).ctime), (0, world.now()));
        assert_eq!(world.attr(Ino::ROOT).nlink, 2);
        assert_eq!(world.err(|tx, cx, new| mkdir(tx, cx, dir, b"x", 0, 0, new)), ErrorKind::NotFound);
        assert_eq!(world.names(dir), "");
        world.check();
    }
}
