//! Modes, owners, times, extended attributes.

use proxyfs_core::ErrorKind;
use proxyfs_core::fs::{FileSystem, SetAttr, SetTime, WriteFlags, XattrMode};
use proxyfs_core::types::Timestamp;

use crate::world::{ME, READ_WRITE, ROOT, World, kind, now};

const NONE: SetAttr = SetAttr {
    perm: None,
    uid: None,
    gid: None,
    size: None,
    atime: None,
    mtime: None,
    ctime: None,
    btime: None,
    kill_suid_sgid: false,
};

#[test]
fn chown_clears_suid_always_and_sgid_where_the_group_may_execute() {
    let cases = [(0o6755, 0o755), (0o4644, 0o644), (0o2755, 0o755), (0o2745, 0o2745), (0o755, 0o755)];
    for (before, after) in cases {
        let w = World::new();
        let f = w.file(ROOT, "f");
        w.chmod(f, before);
        let attr = w.set(f, SetAttr { gid: Some(5), ..NONE });
        assert_eq!((attr.perm, attr.gid, attr.uid), (after, 5, 1000), "{before:o}");
    }
}

#[test]
fn chown_leaves_a_directorys_bits_alone() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    w.chmod(d, 0o7777);
    assert_eq!(w.set(d, SetAttr { uid: Some(5), ..NONE }).perm, 0o7777);
}

#[test]
fn writes_and_truncates_clear_suid_and_sgid_only_when_told() {
    let w = World::new();
    let (attr, handle) = w.create(ROOT, "f");
    w.chmod(attr.ino, 0o6755);
    w.write(handle, 0, b"x").expect("write");
    assert_eq!(w.attr(attr.ino).perm, 0o6755);
    let kill = WriteFlags { kill_suid_sgid: true, sync: false };
    now(w.fs.write(handle, 0, b"x"[..].into(), kill)).expect("write");
    assert_eq!(w.attr(attr.ino).perm, 0o755);
    w.chmod(attr.ino, 0o6711);
    assert_eq!(w.set(attr.ino, SetAttr { size: Some(0), kill_suid_sgid: true, ..NONE }).perm, 0o711);
    w.chmod(attr.ino, 0o4700);
    let flags = proxyfs_core::fs::OpenFlags { truncate: true, kill_suid_sgid: true, ..READ_WRITE };
    now(w.fs.open(ME, attr.ino, flags)).expect("open");
    assert_eq!(w.attr(attr.ino).perm, 0o700);
}

#[test]
fn setting_nothing_changes_nothing_and_setting_anything_moves_the_change_time() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    let before = w.attr(f);
    let t = w.tick();
    assert_eq!(w.set(f, NONE), before);
    assert_eq!(w.chmod(f, 0o600).ctime, t);
    let chosen = Timestamp::new(-5, 7);
    let attr = w.set(f, SetAttr { atime: Some(SetTime::At(chosen)), mtime: Some(SetTime::Now), ..NONE });
    assert_eq!((attr.atime, attr.mtime, attr.ctime), (chosen, t, t));
    assert_eq!(w.set(f, SetAttr { ctime: Some(chosen), btime: Some(chosen), ..NONE }).ctime, chosen);
}

#[test]
fn truncate_sets_mtime_even_at_the_same_length() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    let t = w.tick();
    let attr = w.set(f, SetAttr { size: Some(0), ..NONE });
    assert_eq!((attr.mtime, attr.ctime), (t, t));
}

#[test]
fn truncate_is_for_regular_files_up_to_the_largest_offset() {
    let w = World::new();
    let size = |size| SetAttr { size: Some(size), ..NONE };
    let f = w.file(ROOT, "f");
    let s = now(w.fs.symlink(ME, ROOT, b"s", b"t")).expect("symlink").ino;
    assert_eq!(kind(now(w.fs.setattr(ME, ROOT, size(0)))), ErrorKind::IsADirectory);
    assert_eq!(kind(now(w.fs.setattr(ME, s, size(0)))), ErrorKind::InvalidArgument);
    assert_eq!(kind(now(w.fs.setattr(ME, f, size(1 << 63)))), ErrorKind::FileTooLarge);
    assert_eq!(w.set(f, size((1 << 63) - 1)).size, (1 << 63) - 1);
}

#[test]
fn xattrs_are_created_and_replaced_as_asked_and_move_only_the_change_time() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    let made = w.time();
    let t = w.tick();
    let set = |mode| now(w.fs.setxattr(ME, f, b"user.a", b"1", mode));
    assert_eq!(kind(set(XattrMode::Replace)), ErrorKind::NoAttribute);
    set(XattrMode::Create).expect("create");
    assert_eq!(kind(set(XattrMode::Create)), ErrorKind::AlreadyExists);
    w.setxattr(f, "security.z", b"").expect("set");
    let names = now(w.fs.listxattr(f)).expect("list");
    assert_eq!(names, ["security.z", "user.a"]);
    assert_eq!((w.attr(f).ctime, w.attr(f).mtime), (t, made));
    now(w.fs.removexattr(ME, f, b"user.a")).expect("remove");
    assert_eq!(kind(now(w.fs.removexattr(ME, f, b"user.a"))), ErrorKind::NoAttribute);
    assert_eq!(kind(w.getxattr(f, "user.a")), ErrorKind::NoAttribute);
}

#[test]
fn xattr_names_and_values_are_checked() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    let s = now(w.fs.symlink(ME, ROOT, b"s", b"t")).expect("symlink").ino;
    let long = format!("user.{}", "x".repeat(251));
    for (ino, name, len, expected) in [
        (f, "other.a", 1, ErrorKind::NotSupported),
        (f, "system.other", 1, ErrorKind::NotSupported),
        (f, "user.", 1, ErrorKind::InvalidArgument),
        (f, "user.a", 65_537, ErrorKind::NameTooLong),
        (f, long.as_str(), 1, ErrorKind::NameTooLong),
        (s, "user.a", 1, ErrorKind::NotPermitted),
    ] {
        assert_eq!(kind(w.setxattr(ino, name, &vec![0; len])), expected, "{name}");
    }
    w.setxattr(f, "user.a", &[0; 65_536]).expect("the largest value");
    w.setxattr(s, "trusted.a", b"1").expect("on a symlink");
}

#[test]
fn capabilities_go_with_the_content_and_the_owner() {
    let w = World::new();
    let (attr, handle) = w.create(ROOT, "f");
    let set = || w.setxattr(attr.ino, "security.capability", b"c").expect("set");
    let gone = || kind(w.getxattr(attr.ino, "security.capability")) == ErrorKind::NoAttribute;
    set();
    w.write(handle, 0, b"x").expect("write");
    assert!(gone());
    set();
    w.set(attr.ino, SetAttr { uid: Some(1), ..NONE });
    assert!(gone());
    set();
    w.set(attr.ino, SetAttr { size: Some(0), ..NONE });
    assert!(gone());
}
