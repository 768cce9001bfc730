//! Making, linking and removing names.

use proxyfs_core::ErrorKind;
use proxyfs_core::fs::{FileKind, FileSystem, LINKS_MAX, NewNode, OpenFlags};
use proxyfs_core::types::Ino;

use crate::world::{ME, READ_WRITE, ROOT, World, kind, now};

#[test]
fn a_directory_has_two_links_and_one_for_each_subdirectory() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    w.dir(d, "x");
    w.dir(d, "y");
    w.file(d, "f");
    assert_eq!((w.attr(ROOT).nlink, w.attr(d).nlink), (3, 4));
    w.rmdir(d, "x").expect("rmdir");
    assert_eq!(w.attr(d).nlink, 3);
}

#[test]
fn making_a_name_sets_all_times_of_the_new_inode_and_two_of_the_directory() {
    let w = World::new();
    let made = w.time();
    let t = w.tick();
    let f = w.attr(w.file(ROOT, "f"));
    assert_eq!((f.atime, f.mtime, f.ctime, f.btime), (t, t, t, t));
    let root = w.attr(ROOT);
    assert_eq!((root.atime, root.mtime, root.ctime, root.btime), (made, t, t, made));
}

#[test]
fn failed_operations_change_no_times() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    let f = w.file(d, "f");
    let before = (w.attr(ROOT), w.attr(d), w.attr(f));
    w.tick();
    assert_eq!(kind(now(w.fs.mkdir(ME, d, b"f", 0o755, 0))), ErrorKind::AlreadyExists);
    assert_eq!(kind(w.link(f, ROOT, "d")), ErrorKind::AlreadyExists);
    assert_eq!(kind(w.rmdir(ROOT, "d")), ErrorKind::NotEmpty);
    assert_eq!(kind(w.rmdir(d, "f")), ErrorKind::NotADirectory);
    assert_eq!(kind(w.unlink(ROOT, "d")), ErrorKind::IsADirectory);
    assert_eq!(kind(w.unlink(d, "g")), ErrorKind::NotFound);
    assert_eq!(kind(w.link(d, ROOT, "e")), ErrorKind::NotPermitted);
    assert_eq!((w.attr(ROOT), w.attr(d), w.attr(f)), before);
}

#[test]
fn link_and_unlink_set_the_change_time_of_the_inode() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    let made = w.time();
    let linked = w.tick();
    let attr = w.link(f, ROOT, "g").expect("link");
    assert_eq!((attr.nlink, attr.ctime, attr.mtime), (2, linked, made));
    let unlinked = w.tick();
    w.unlink(ROOT, "f").expect("unlink");
    let attr = w.attr(f);
    assert_eq!((attr.nlink, attr.ctime, attr.mtime), (1, unlinked, made));
    assert_eq!(w.attr(ROOT).mtime, unlinked);
}

#[test]
fn an_unlinked_file_lives_until_its_last_handle_goes() {
    let w = World::new();
    let (attr, first) = w.create(ROOT, "f");
    let second = w.open(attr.ino).expect("open");
    w.unlink(ROOT, "f").expect("unlink");
    w.write(first, 0, b"alive").expect("write");
    w.close(first);
    assert_eq!(w.read(second, 0, 9), b"alive");
    assert_eq!(w.attr(attr.ino).nlink, 0);
    assert_eq!(kind(w.link(attr.ino, ROOT, "g")), ErrorKind::NotFound);
    w.close(second);
    assert_eq!(kind(now(w.fs.getattr(attr.ino))), ErrorKind::Stale);
    assert_eq!(w.fs.inode_count(), 1);
}

#[test]
fn nothing_is_made_in_a_removed_directory() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    let stream = now(w.fs.opendir(ME, d)).expect("opendir");
    w.rmdir(ROOT, "d").expect("rmdir");
    assert_eq!(kind(now(w.fs.mkdir(ME, d, b"x", 0o755, 0))), ErrorKind::NotFound);
    assert_eq!(w.attr(d).nlink, 0);
    now(w.fs.releasedir(stream)).expect("releasedir");
    assert_eq!(kind(now(w.fs.getattr(d))), ErrorKind::Stale);
}

#[test]
fn an_unnamed_file_can_be_linked_once_from_nothing_unless_exclusive() {
    let w = World::new();
    let before = w.attr(ROOT);
    w.tick();
    let (attr, handle) = now(w.fs.tmpfile(ME, ROOT, 0o600, 0, READ_WRITE)).expect("tmpfile");
    assert_eq!((attr.nlink, w.attr(ROOT)), (0, before));
    assert_eq!(w.link(attr.ino, ROOT, "f").expect("link").nlink, 1);
    w.unlink(ROOT, "f").expect("unlink");
    assert_eq!(kind(w.link(attr.ino, ROOT, "g")), ErrorKind::NotFound);
    w.close(handle);
    let exclusive = OpenFlags { exclusive: true, ..READ_WRITE };
    let (attr, _) = now(w.fs.tmpfile(ME, ROOT, 0o600, 0, exclusive)).expect("tmpfile");
    assert_eq!(kind(w.link(attr.ino, ROOT, "h")), ErrorKind::NotFound);
}

#[test]
fn links_have_a_limit() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    for i in 1..LINKS_MAX {
        w.link(f, ROOT, &format!("l{i}")).expect("link");
    }
    assert_eq!(kind(w.link(f, ROOT, "more")), ErrorKind::TooManyLinks);
}

#[test]
fn names_and_targets_have_limits() {
    let w = World::new();
    let (longest, longer) = ("n".repeat(255), "n".repeat(256));
    w.file(ROOT, &longest);
    assert_eq!(kind(now(w.fs.mkdir(ME, ROOT, longer.as_bytes(), 0o755, 0))), ErrorKind::NameTooLong);
    assert_eq!(kind(w.lookup(ROOT, &longer)), ErrorKind::NameTooLong);
    now(w.fs.symlink(ME, ROOT, b"s", &[b't'; 4095])).expect("symlink");
    assert_eq!(kind(now(w.fs.symlink(ME, ROOT, b"t", &[b't'; 4096]))), ErrorKind::NameTooLong);
    assert_eq!(kind(now(w.fs.symlink(ME, ROOT, b"t", b""))), ErrorKind::NotFound);
}

#[test]
fn lookup_understands_dots_and_knows_what_is_stale() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    let e = w.dir(d, "e");
    assert_eq!(w.lookup(e, ".").expect(".").ino, e);
    assert_eq!(w.lookup(e, "..").expect("..").ino, d);
    assert_eq!(w.lookup(ROOT, "..").expect("..").ino, ROOT);
    assert_eq!(kind(w.lookup(Ino(99), "x")), ErrorKind::Stale);
    assert_eq!(kind(w.lookup(w.file(d, "f"), "x")), ErrorKind::NotADirectory);
}

#[test]
fn a_setgid_directory_hands_down_its_group_and_to_directories_the_bit() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    w.set(d, proxyfs_core::fs::SetAttr { gid: Some(500), perm: Some(0o2775), ..Default::default() });
    let (file, dir) = (w.attr(w.file(d, "f")), w.attr(w.dir(d, "s")));
    assert_eq!((file.uid, file.gid, file.perm), (1000, 500, 0o644));
    assert_eq!((dir.gid, dir.perm), (500, 0o2755));
    let plain = w.attr(w.file(ROOT, "f"));
    assert_eq!((plain.uid, plain.gid), (1000, 100));
}

#[test]
fn the_umask_applies_and_a_symlink_has_all_permissions() {
    let w = World::new();
    let d = now(w.fs.mkdir(ME, ROOT, b"d", 0o777, 0o027)).expect("mkdir");
    let s = now(w.fs.symlink(ME, ROOT, b"s", b"target")).expect("symlink");
    assert_eq!((d.perm, s.perm, s.size), (0o750, 0o777, 6));
}

#[test]
fn only_devices_have_a_device_number() {
    let w = World::new();
    let make = |name: &str, kind| {
        let node = NewNode { kind, perm: 0o600, umask: 0, rdev: 0x105 };
        now(w.fs.mknod(ME, ROOT, name.as_bytes(), node))
    };
    assert_eq!(make("c", FileKind::CharDevice).expect("mknod").rdev, 0x105);
    assert_eq!(make("p", FileKind::Fifo).expect("mknod").rdev, 0);
    assert_eq!(kind(make("d", FileKind::Dir)), ErrorKind::InvalidArgument);
}

#[test]
fn create_opens_what_is_there_unless_exclusive() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    w.dir(ROOT, "d");
    let create = |name: &[u8], flags| now(w.fs.create(ME, ROOT, name, 0o600, 0, flags));
    assert_eq!(create(b"f", READ_WRITE).expect("create").0.ino, f);
    assert_eq!(kind(create(b"f", OpenFlags { exclusive: true, ..READ_WRITE })), ErrorKind::AlreadyExists);
    assert_eq!(kind(create(b"d", READ_WRITE)), ErrorKind::IsADirectory);
}
