//! Making inodes: files, directories, symlinks, special files, unnamed files.
//!
//! The new inode inherits as on Linux file systems: the group of a set-group-id directory (a directory also its bit), and
//! the default ACL, which takes the umask's place. The caller hands in a number that was never used.

use crate::acl::{self, Acl};
use crate::error::{Error, ErrorKind};
use crate::format::InodeRecord;
use crate::fs::{Attr, FileKind, NewNode, OpenFlags, SYMLINK_BYTES_MAX};
use crate::kv::{KvRead, OpResult, Txn};
use crate::types::Ino;

use super::{OpCx, data, dir, inode, name, orphan, xattr};

/// The bits that mkdir takes: a directory's sgid comes from its parent only.
const MKDIR_PERM: u16 = 0o1777;

/// What [`create`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// The file.
    pub attr: Attr,
    /// Whether it was made; else it was there before, and `new_ino` was not used.
    pub fresh: bool,
}

/// The permission bits that were asked for, and the umask.
#[derive(Clone, Copy, Debug)]
struct Mode {
    perm: u16,
    umask: u16,
}

/// Writes the first record of a new volume: an empty root directory that belongs to the caller.
pub fn make_root(tx: &mut Txn<'_>, cx: &OpCx, perm: u16) {
    let mut record = blank(cx, FileKind::Dir);
    record.perm = perm;
    record.parent = Ino::ROOT;
    inode::store(tx, Ino::ROOT, &record);
}

/// Makes a file, fifo, socket or device.
///
/// # Errors
/// `AlreadyExists`, `NotFound` (in a removed directory), `NotADirectory`, `Stale`, errors of the name, and `InvalidArgument`
/// for a directory or a symlink.
pub fn mknod(tx: &mut Txn<'_>, cx: &OpCx, parent: Ino, name: &[u8], node: NewNode, new_ino: Ino) -> OpResult<Attr> {
    if matches!(node.kind, FileKind::Dir | FileKind::Symlink) {
        return Err(Error::new(ErrorKind::InvalidArgument, "mknod makes no directories and no symlinks").into());
    }
    let mut record = blank(cx, node.kind);
    if matches!(node.kind, FileKind::CharDevice | FileKind::BlockDevice) {
        record.rdev = node.rdev;
    }
    make(tx, cx, parent, name, record, Mode { perm: node.perm, umask: node.umask }, new_ino)
}

/// Makes a directory.
///
/// # Errors
/// As for [`mknod`], and `TooManyLinks`.
pub fn mkdir(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    parent: Ino,
    name: &[u8],
    perm: u16,
    umask: u16,
    new_ino: Ino,
) -> OpResult<Attr> {
    let record = blank(cx, FileKind::Dir);
    make(tx, cx, parent, name, record, Mode { perm: perm & MKDIR_PERM, umask }, new_ino)
}

/// Makes a symlink. Its permission bits are 0o777 and mean nothing.
///
/// # Errors
/// As for [`mknod`]; `NotFound` for an empty target, `NameTooLong` for one that is too long, `InvalidArgument` for one with a NUL.
pub fn symlink(tx: &mut Txn<'_>, cx: &OpCx, parent: Ino, name: &[u8], target: &[u8], new_ino: Ino) -> OpResult<Attr> {
    if target.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "empty symlink target").into());
    }
    if target.len() > SYMLINK_BYTES_MAX {
        return Err(Error::new(ErrorKind::NameTooLong, format!("symlink target of {} bytes", target.len())).into());
    }
    if target.contains(&0) {
        return Err(Error::new(ErrorKind::InvalidArgument, "symlink target with a NUL").into());
    }
    let mut record = blank(cx, FileKind::Symlink);
    record.target = target.to_vec();
    record.size = target.len() as u64;
    make(tx, cx, parent, name, record, Mode { perm: 0o777, umask: 0 }, new_ino)
}

/// Creates a regular file, or unless `flags.exclusive` answers with the one that is there, cut to length 0 if
/// `flags.truncate`.
///
/// # Errors
/// As for [`mknod`]; `IsADirectory` for a directory, `InvalidArgument` for anything else that is not a regular file.
#[expect(clippy::too_many_arguments, reason = "what open(2) with O_CREAT is told, and the number")]
pub fn create(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    parent: Ino,
    name: &[u8],
    perm: u16,
    umask: u16,
    flags: OpenFlags,
    new_ino: Ino,
) -> OpResult<Created> {
    inode::load_dir(tx, parent)?;
    name::check_length(name)?;
    if let (false, Some(ino)) = (flags.exclusive, find_any(tx, cx, parent, name)?) {
        return Ok(Created { attr: open_existing(tx, cx, ino, flags)?, fresh: false });
    }
    let node = NewNode { kind: FileKind::File, perm, umask, rdev: 0 };
    Ok(Created { attr: mknod(tx, cx, parent, name, node, new_ino)?, fresh: true })
}

/// Creates a regular file without a name: an orphan until [`super::link`] names it, for ever if `flags.exclusive`.
///
/// # Errors
/// `NotADirectory`, `NotFound`, `Stale`.
pub fn tmpfile(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    parent: Ino,
    perm: u16,
    umask: u16,
    flags: OpenFlags,
    new_ino: Ino,
) -> OpResult<Attr> {
    let dir = inode::load_live_dir(tx, parent)?;
    let mut record = blank(cx, FileKind::File);
    inherit(tx, (parent, &dir), (new_ino, &mut record), Mode { perm, umask })?;
    record.nlink = 0;
    if flags.exclusive {
        // What has a parent and no link was removed, as far as `link` can see.
        record.parent = parent;
    }
    inode::store(tx, new_ino, &record);
    orphan::add(tx, new_ino);
    Ok(inode::attr(&record, new_ino))
}

/// The entry `name`, with `.` and `..` as the directories that they are.
fn find_any(kv: &dyn KvRead, cx: &OpCx, parent: Ino, name: &[u8]) -> OpResult<Option<Ino>> {
    match name {
        b"." | b".." => Ok(Some(parent)),
        _ => Ok(dir::find(kv, cx, parent, name)?.map(|entry| entry.ino)),
    }
}

fn open_existing(tx: &mut Txn<'_>, cx: &OpCx, ino: Ino, flags: OpenFlags) -> OpResult<Attr> {
    if flags.truncate {
        return data::truncate(tx, cx, ino, 0, flags.kill_suid_sgid);
    }
    Ok(inode::attr(&inode::load_file(tx, ino)?, ino))
}

/// A record that belongs to the caller, made now.
fn blank(cx: &OpCx, kind: FileKind) -> InodeRecord {
    InodeRecord { uid: cx.caller.uid, gid: cx.caller.gid, ..InodeRecord::new(kind, 0, cx.now) }
}

/// Names a prepared record in `parent`.
fn make(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    parent: Ino,
    name: &[u8],
    mut record: InodeRecord,
    mode: Mode,
    new_ino: Ino,
) -> OpResult<Attr> {
    let mut dir = dir::load_for_new(tx, cx, parent, name)?;
    inherit(tx, (parent, &dir), (new_ino, &mut record), mode)?;
    record.parent = parent;
    dir::add(tx, cx, (parent, &mut dir), name, (new_ino, record.kind))?;
    inode::touch_content(&mut dir, cx.now);
    inode::store(tx, parent, &dir);
    inode::store(tx, new_ino, &record);
    Ok(inode::attr(&record, new_ino))
}

/// Gives a new inode the group, the permission bits and the ACLs that its directory decides.
fn inherit(
    tx: &mut Txn<'_>,
    (parent, dir): (Ino, &InodeRecord),
    (ino, record): (Ino, &mut InodeRecord),
    mode: Mode,
) -> OpResult<()> {
    let is_dir = record.kind == FileKind::Dir;
    record.perm = mode.perm & 0o7777;
    if dir.perm & inode::SGID != 0 {
        record.gid = dir.gid;
        if is_dir {
            record.perm |= inode::SGID;
        }
    }
    if record.kind == FileKind::Symlink {
        return Ok(());
    }
    let Some(default) = default_acl(tx, parent)? else {
        record.perm &= !(mode.umask & 0o777);
        return Ok(());
    };
    let (access, perm) = default.inherit(record.perm);
    record.perm = perm;
    if let Some(access) = access {
        xattr::put_raw(tx, ino, acl::XATTR_ACCESS, &access.encode());
    }
    if is_dir {
        xattr::put_raw(tx, ino, acl::XATTR_DEFAULT, &default.encode());
    }
    Ok(())
}

/// The default ACL of a directory.
fn default_acl(kv: &dyn KvRead, dir: Ino) -> OpResult<Option<Acl>> {
    xattr::load_acl(kv, dir, acl::XATTR_DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Caller;
    use crate::ops::testkit::World;
    use crate::types::Timestamp;

    #[test]
    fn a_new_inode_is_stamped_owned_and_counted() {
        let mut world = World::new(false);
        let root_before = world.record(Ino::ROOT);
        let dir = world.mkdir(Ino::ROOT, "d");
        let (root, attr) = (world.record(Ino::ROOT), world.attr(dir));
        assert_eq!((root.nlink, root.entry_count), (3, 1));
        assert_eq!((root.mtime, root.ctime, root.atime), (world.now(), world.now(), root_before.atime));
        assert_eq!((attr.nlink, attr.uid, attr.gid, attr.perm), (2, 10, 20, 0o755));
        assert_eq!([attr.atime, attr.mtime, attr.ctime, attr.btime], [world.now(); 4]);
        let fifo = world.mknod(Ino::ROOT, "p", FileKind::Fifo, 0o600);
        assert_eq!((fifo.nlink, fifo.rdev, fifo.kind), (1, 0, FileKind::Fifo));
        assert_eq!(world.record(Ino::ROOT).nlink, 3, "only directories count as links");
        world.check();
    }

    #[test]
    fn umask_applies_and_devices_keep_their_number() {
        let mut world = World::new(false);
        let node = NewNode { kind: FileKind::CharDevice, perm: 0o4777, umask: 0o27, rdev: 0x103 };
        let attr = world.ok(|tx, cx, new| mknod(tx, cx, Ino::ROOT, b"c", node, new));
        assert_eq!((attr.perm, attr.rdev), (0o4750, 0x103));
        let node = NewNode { kind: FileKind::File, ..node };
        assert_eq!(world.ok(|tx, cx, new| mknod(tx, cx, Ino::ROOT, b"f", node, new)).rdev, 0);
        let node = NewNode { kind: FileKind::Dir, ..node };
        assert_eq!(world.err(|tx, cx, new| mknod(tx, cx, Ino::ROOT, b"x", node, new)), ErrorKind::InvalidArgument);
    }

    #[test]
    fn a_set_group_id_directory_passes_its_group_on() {
        let mut world = World::new(false);
        let dir = world.mkdir(Ino::ROOT, "d");
        let set = crate::fs::SetAttr { perm: Some(0o2775), gid: Some(77), ..Default::default() };
        world.ok(|tx, cx, _| crate::ops::setattr(tx, cx, dir, set));
        let sub = world.mkdir(dir, "sub");
        let file = world.mkfile(dir, "f");
        assert_eq!((world.attr(sub).gid, world.attr(sub).perm), (77, 0o2755));
        assert_eq!((world.attr(file).gid, world.attr(file).perm), (77, 0o644));
        let own = world.ok(|tx, cx, new| mkdir(tx, cx, Ino::ROOT, b"own", 0o6777, 0, new));
        assert_eq!(own.perm, 0o777, "a directory's sgid comes from its parent only");
    }

    #[test]
    fn creating_fails_for_the_right_reason() {
        let mut world = World::new(false);
        let file = world.mkfile(Ino::ROOT, "f");
        let gone = world.mkdir(Ino::ROOT, "gone");
        world.ok(|tx, cx, _| crate::ops::rmdir(tx, cx, Ino::ROOT, b"gone"));
        for (parent, name, kind) in [
            (Ino::ROOT, &b"f"[..], ErrorKind::AlreadyExists),
            (Ino::ROOT, b".", ErrorKind::AlreadyExists),
            (Ino::ROOT, b"..", ErrorKind::AlreadyExists),
            (Ino::ROOT, b"", ErrorKind::NotFound),
            (Ino::ROOT, b"a/b", ErrorKind::InvalidArgument),
            (Ino::ROOT, &[b'x'; 256], ErrorKind::NameTooLong),
            (file, b"x", ErrorKind::NotADirectory),
            (gone, b"x", ErrorKind::NotFound),
            (Ino(99), b"x", ErrorKind::Stale),
        ] {
            assert_eq!(world.err(|tx, cx, new| mkdir(tx, cx, parent, name, 0, 0, new)), kind, "{name:?}");
        }
        let mut symlink_err = |target: &[u8]| world.err(|tx, cx, new| symlink(tx, cx, Ino::ROOT, b"s", target, new));
        assert_eq!(symlink_err(b""), ErrorKind::NotFound);
        assert_eq!(symlink_err(&[b'x'; 4096]), ErrorKind::NameTooLong);
        world.check();
    }

    #[test]
    fn create_opens_what_is_there_unless_exclusive() {
        let mut world = World::new(false);
        let file = world.mkfile(Ino::ROOT, "f");
        world.write(file, 0, 10, 1, 0);
        world.mkdir(Ino::ROOT, "d");
        world.mknod(Ino::ROOT, "p", FileKind::Fifo, 0);
        let run = |world: &mut World, name: &[u8], exclusive, truncate| {
            let flags = OpenFlags { exclusive, truncate, ..OpenFlags::default() };
            world.run(|tx, cx, new| create(tx, cx, Ino::ROOT, name, 0o666, 0o22, flags, new))
        };
        let opened = run(&mut world, b"f", false, false).expect("opens");
        assert_eq!((opened.attr.ino, opened.attr.size, opened.fresh), (file, 10, false));
        let cut = run(&mut world, b"f", false, true).expect("opens");
        assert_eq!((cut.attr.size, cut.attr.allocated_bytes, cut.attr.mtime), (0, 0, world.now()));
        assert_eq!(run(&mut world, b"f", true, false), Err(ErrorKind::AlreadyExists));
        assert_eq!(run(&mut world, b"d", false, false), Err(ErrorKind::IsADirectory));
        assert_eq!(run(&mut world, b"p", false, false), Err(ErrorKind::InvalidArgument));
        let made = run(&mut world, b"new", true, false).expect("creates");
        assert_eq!((made.fresh, made.attr.perm), (true, 0o644));
        world.check();
    }

    #[test]
    fn the_root_belongs_to_who_makes_it() {
        let mut world = World::new(false);
        let caller = Caller { uid: 5, gid: 6, pid: 0 };
        world.cx = OpCx { caller, now: Timestamp::new(1, 2), case_insensitive: false };
        world.ok(|tx, cx, _| {
            make_root(tx, cx, 0o700);
            Ok(())
        });
        let root = world.attr(Ino::ROOT);
        assert_eq!((root.uid, root.gid, root.perm, root.nlink), (5, 6, 0o700, 2));
        world.check();
    }
}
