//! Access control lists.

use proxyfs_core::ErrorKind;
use proxyfs_core::fs::FileSystem;

use crate::world::{ME, ROOT, World, kind, now};

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// The xattr form of entries: tag, permissions, id.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(perm.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

const ANY: u32 = u32::MAX;
/// Owner rwx, user 5 rw, group rx, mask rwx, others x.
const NAMED: [(u16, u16, u32); 5] = [(1, 7, ANY), (2, 6, 5), (4, 5, ANY), (16, 7, ANY), (32, 1, ANY)];

#[test]
fn the_mode_follows_the_list_and_shows_the_mask_as_the_group() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    w.chmod(f, 0o4644);
    let t = w.tick();
    w.setxattr(f, ACCESS, &acl(&NAMED)).expect("set");
    assert_eq!((w.attr(f).perm, w.attr(f).ctime), (0o4771, t));
    assert_eq!(w.getxattr(f, ACCESS).expect("get"), acl(&NAMED));
    assert_eq!(now(w.fs.listxattr(f)).expect("list"), [ACCESS]);
}

#[test]
fn a_list_that_says_no_more_than_a_mode_is_not_kept() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    w.setxattr(f, ACCESS, &acl(&NAMED)).expect("set");
    w.setxattr(f, ACCESS, &acl(&[(1, 6, ANY), (4, 4, ANY), (32, 0, ANY)])).expect("set");
    assert_eq!(w.attr(f).perm, 0o640);
    assert_eq!(kind(w.getxattr(f, ACCESS)), ErrorKind::NoAttribute);
}

#[test]
fn chmod_changes_the_mask_where_there_is_one() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    w.setxattr(f, ACCESS, &acl(&NAMED)).expect("set");
    w.chmod(f, 0o604);
    let expected = acl(&[(1, 6, ANY), (2, 6, 5), (4, 5, ANY), (16, 0, ANY), (32, 4, ANY)]);
    assert_eq!(w.getxattr(f, ACCESS).expect("get"), expected);
}

#[test]
fn bad_lists_are_refused() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    let mut version_3 = acl(&NAMED);
    version_3[0] = 3;
    let cases = [
        ("no mask", acl(&[NAMED[0], NAMED[1], NAMED[2], NAMED[4]]), ErrorKind::InvalidArgument),
        ("order", acl(&[NAMED[2], NAMED[0], NAMED[4]]), ErrorKind::InvalidArgument),
        ("permissions", acl(&[(1, 8, ANY), NAMED[2], NAMED[4]]), ErrorKind::InvalidArgument),
        ("no others", acl(&[NAMED[0], NAMED[2]]), ErrorKind::InvalidArgument),
        ("tag", acl(&[NAMED[0], NAMED[2], NAMED[4], (64, 0, ANY)]), ErrorKind::InvalidArgument),
        ("cut off", acl(&NAMED)[..9].to_vec(), ErrorKind::InvalidArgument),
        ("version", version_3, ErrorKind::NotSupported),
    ];
    for (what, value, expected) in cases {
        assert_eq!(kind(w.setxattr(f, ACCESS, &value)), expected, "{what}");
    }
    assert_eq!(w.attr(f).perm, 0o644);
    assert_eq!(kind(w.setxattr(f, DEFAULT, &acl(&NAMED))), ErrorKind::AccessDenied);
}

#[test]
fn an_empty_list_or_removal_takes_it_away_and_removing_none_is_fine() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    w.setxattr(d, DEFAULT, &acl(&NAMED)).expect("set");
    w.setxattr(d, DEFAULT, &acl(&[])).expect("empty");
    assert_eq!(kind(w.getxattr(d, DEFAULT)), ErrorKind::NoAttribute);
    w.setxattr(d, ACCESS, &acl(&NAMED)).expect("set");
    now(w.fs.removexattr(ME, d, ACCESS.as_bytes())).expect("remove");
    now(w.fs.removexattr(ME, d, ACCESS.as_bytes())).expect("remove again");
    assert_eq!(w.attr(d).perm, 0o771);
}

#[test]
fn children_inherit_the_default_list_in_place_of_the_umask() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    w.setxattr(d, DEFAULT, &acl(&NAMED)).expect("set");
    let sub = now(w.fs.mkdir(ME, d, b"s", 0o770, 0o077)).expect("mkdir");
    assert_eq!(sub.perm, 0o770);
    let expected = acl(&[(1, 7, ANY), (2, 6, 5), (4, 5, ANY), (16, 7, ANY), (32, 0, ANY)]);
    assert_eq!(w.getxattr(sub.ino, ACCESS).expect("access"), expected);
    assert_eq!(w.getxattr(sub.ino, DEFAULT).expect("default"), acl(&NAMED));
    let f = w.file(d, "f");
    assert_eq!(w.attr(f).perm, 0o640);
    assert_eq!(kind(w.getxattr(f, DEFAULT)), ErrorKind::NoAttribute);
    let s = now(w.fs.symlink(ME, d, b"l", b"t")).expect("symlink");
    assert_eq!((s.perm, kind(w.getxattr(s.ino, ACCESS))), (0o777, ErrorKind::NoAttribute));
}
