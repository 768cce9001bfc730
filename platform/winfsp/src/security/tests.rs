//! Descriptors against permission bits, and damaged ones.

use proptest::prelude::*;
use proxyfs_core::types::{Ino, Timestamp};

use super::*;

fn attr(kind: FileKind, perm: u16, uid: u32, gid: u32) -> Attr {
    let time = Timestamp::default();
    Attr {
        ino: Ino(7),
        kind,
        perm,
        nlink: 1,
        uid,
        gid,
        rdev: 0,
        size: 0,
        allocated_bytes: 0,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
    }
}

fn who() -> Identity {
    Identity { user: Sid::new(5, &[21, 1, 2, 3, 1001]), group: Sid::new(5, &[21, 1, 2, 3, 513]), uid: 1000, gid: 100 }
}

fn owners(descriptor: &[u8]) -> (String, String) {
    let parsed = Parsed::of(descriptor).unwrap();
    let show = |sid: Option<&[u8]>| Sid::parse(sid.unwrap()).unwrap().to_string();
    (show(parsed.owner), show(parsed.group))
}

fn rights_of(descriptor: &[u8], sids: &[Sid]) -> u32 {
    allowed(Parsed::of(descriptor).unwrap().dacl.unwrap(), sids).unwrap()
}

#[test]
fn every_mode_comes_back() {
    for perm in 0..0o1000 {
        let derived = derive(&attr(FileKind::Dir, perm, 1000, 100), &who());
        assert_eq!(check(&derived), Ok(()));
        assert_eq!(permissions(&derived, FileKind::Dir, 0, &who()), Ok(perm), "directory {perm:o}");
        let derived = derive(&attr(FileKind::File, perm, 1000, 100), &who());
        assert_eq!(permissions(&derived, FileKind::File, perm, &who()), Ok(perm), "file {perm:o}");
    }
}

#[test]
fn the_volumes_user_is_the_user_and_others_are_unix_ones() {
    let (owner, group) = owners(&derive(&attr(FileKind::File, 0o640, 1000, 100), &who()));
    assert_eq!((owner.as_str(), group.as_str()), ("S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-513"));
    let (owner, group) = owners(&derive(&attr(FileKind::File, 0o640, 5, 6), &who()));
    assert_eq!((owner.as_str(), group.as_str()), ("S-1-22-1-5", "S-1-22-2-6"));
}

#[test]
fn bits_give_the_rights_that_they_mean() {
    let derived = derive(&attr(FileKind::File, 0o640, 1000, 100), &who());
    let user = rights_of(&derived, &[who().user, Sid::everyone()]);
    assert_eq!(user & right::FILE_READ, right::FILE_READ);
    assert_eq!(user & right::FILE_WRITE, right::FILE_WRITE);
    assert_ne!(user & right::DELETE, 0);
    let group = rights_of(&derived, &[who().group, Sid::everyone()]);
    assert_eq!(group & right::READ_DATA, right::READ_DATA);
    assert_ne!(group & right::EXECUTE, 0, "what can be read can be run");
    assert_eq!(group & (right::WRITE_DATA | right::DELETE), 0);
    assert_eq!(rights_of(&derived, &[Sid::everyone()]), right::LOOK);
    assert_eq!(rights_of(&derived, &[Sid::administrators(), Sid::everyone()]), right::FILE_ALL);
    assert_eq!(rights_of(&derived, &[Sid::system()]), right::FILE_ALL);
}

#[test]
fn an_owner_with_fewer_rights_than_others_does_not_get_theirs() {
    let derived = derive(&attr(FileKind::Dir, 0o077, 1000, 100), &who());
    let user = rights_of(&derived, &[who().user, Sid::everyone()]);
    assert_eq!(user & (right::READ_DATA | right::WRITE_DATA | right::EXECUTE), 0);
    assert_ne!(user & right::OWNER, 0);
    let derived = derive(&attr(FileKind::Dir, 0o705, 1000, 100), &who());
    assert_eq!(rights_of(&derived, &[who().group, Sid::everyone()]), right::LOOK);
}

#[test]
fn a_descriptor_without_a_list_allows_everything() {
    let open = assemble(0, None, None, None, None);
    assert_eq!(permissions(&open, FileKind::Dir, 0, &who()), Ok(0o777));
    assert_eq!(permissions(&open, FileKind::File, 0o100, &who()), Ok(0o766));
    let nothing = assemble(DACL_PRESENT, None, None, None, Some(&Acl::default().finish()));
    assert_eq!(permissions(&nothing, FileKind::Dir, 0o777, &who()), Ok(0));
}

#[test]
fn generic_rights_are_those_of_files() {
    let mut acl = Acl::default();
    acl.push(ACE_ALLOW, 0, right::GENERIC_READ, &Sid::everyone());
    acl.push(ACE_ALLOW, 0, right::GENERIC_ALL, &who().user);
    acl.push(ACE_ALLOW, ACE_INHERIT_ONLY, right::GENERIC_ALL, &Sid::everyone());
    let descriptor = assemble(DACL_PRESENT, None, None, None, Some(&acl.finish()));
    assert_eq!(permissions(&descriptor, FileKind::File, 0, &who()), Ok(0o644));
}

#[test]
fn a_change_replaces_the_parts_that_it_names_and_no_others() {
    let now = derive(&attr(FileKind::File, 0o600, 1000, 100), &who());
    let change = derive(&attr(FileKind::File, 0o644, 5, 6), &who());
    let merged = merge(&now, part::DACL, &change).unwrap();
    assert_eq!(owners(&merged), owners(&now));
    assert_eq!(Parsed::of(&merged).unwrap().dacl, Parsed::of(&change).unwrap().dacl);
    let merged = merge(&now, part::OWNER | part::GROUP, &change).unwrap();
    assert_eq!(owners(&merged), owners(&change));
    assert_eq!(Parsed::of(&merged).unwrap().dacl, Parsed::of(&now).unwrap().dacl);
    assert_eq!(merge(&now, 0, &change).unwrap(), now);
}

#[test]
fn damaged_descriptors_are_refused() {
    let good = derive(&attr(FileKind::File, 0o644, 1000, 100), &who());
    assert_eq!(check(&[]), Err(Status::INVALID_SECURITY_DESCR));
    for (at, value, expected) in [
        (0, 2, Status::INVALID_SECURITY_DESCR),
        (3, 0, Status::INVALID_SECURITY_DESCR),
        (OWNER_AT + 1, 200, Status::INVALID_SECURITY_DESCR),
        (HEADER + 3, 200, Status::INVALID_ACL),
        (HEADER + 5, 200, Status::INVALID_ACL),
    ] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(check(&bad), Err(expected), "byte {at} is {value}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), cut in any::<bool>()) {
        if !cut && bytes.len() >= 4 {
            bytes[0] = 1;
            bytes[3] |= 0x80;
        }
        let _refused = check(&bytes).is_err() && permissions(&bytes, FileKind::File, 0, &who()).is_err();
        let good = derive(&attr(FileKind::File, 0o644, 1000, 100), &who());
        let _merged = merge(&good, 0xf, &bytes);
    }
}
