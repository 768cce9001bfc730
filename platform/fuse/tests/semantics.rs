//! What programs see through a mount of the reference model, where the adapter has a hand in it.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "a test program")]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use common::{Lab, can_mount, is_root};
use proxyfs_fuse::MountOptions;
use proxyfs_harness::model::Model;
use rustix::fs::{
    CWD, FallocateFlags, RenameFlags, SeekFrom as Whence, XattrFlags, copy_file_range, fallocate, getxattr, listxattr,
    removexattr, renameat_with, seek, setxattr, statvfs,
};
use rustix::io::Errno;

/// A user without rights.
const NOBODY: u32 = 65534;

/// A mount of an empty model, or none where mounting is not possible.
fn lab(test: &str) -> Option<Lab<Model>> {
    can_mount(test).then(|| Lab::mount(Model::default(), MountOptions { allow_other: true, ..MountOptions::default() }))
}

#[test]
fn content_of_many_requests_round_trips() {
    let Some(lab) = lab("content_of_many_requests_round_trips") else { return };
    let bytes: Vec<u8> = (0..5_000_000_u32).flat_map(|n| (n % 251) as u8..(n % 251) as u8 + 1).collect();
    fs::write(lab.path("file"), &bytes).expect("a write");
    let ino = proxyfs_core::types::Ino(fs::metadata(lab.path("file")).expect("attributes").ino());
    lab.mounted().invalidator().inode(ino).expect("so that it is read from the file system");
    assert!(fs::read(lab.path("file")).expect("a read") == bytes);
    let mut file = OpenOptions::new().append(true).open(lab.path("file")).expect("an append");
    file.write_all(b"end").expect("a write");
    assert_eq!(file.metadata().expect("attributes").len(), 5_000_003);
    drop(OpenOptions::new().write(true).truncate(true).open(lab.path("file")).expect("a truncation"));
    assert_eq!(fs::read(lab.path("file")).expect("a read"), b"");
}

#[test]
fn a_large_directory_is_listed_completely_and_once() {
    let Some(lab) = lab("a_large_directory_is_listed_completely_and_once") else { return };
    let names: BTreeSet<String> = (0..3000).map(|n| format!("entry-with-a-longish-name-{n:06}")).collect();
    for name in &names {
        File::create(lab.path(name)).expect("a file");
    }
    for with_attributes in [false, true] {
        let mut listed: Vec<String> = Vec::new();
        for entry in fs::read_dir(lab.root()).expect("a listing") {
            let entry = entry.expect("an entry");
            if with_attributes {
                assert!(entry.metadata().expect("attributes").is_file());
            }
            listed.push(entry.file_name().into_string().expect("a plain name"));
        }
        assert_eq!(listed.len(), names.len());
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), names);
    }
}

#[test]
fn times_before_1970_and_nanoseconds_are_kept() {
    let Some(lab) = lab("times_before_1970_and_nanoseconds_are_kept") else { return };
    let file = File::create(lab.path("file")).expect("a file");
    let accessed = UNIX_EPOCH - Duration::new(1, 200_000_001);
    let modified = UNIX_EPOCH + Duration::new(4_000_000_000, 123_456_789);
    file.set_times(FileTimes::new().set_accessed(accessed).set_modified(modified)).expect("times");
    drop(file);
    let ino = proxyfs_core::types::Ino(fs::metadata(lab.path("file")).expect("attributes").ino());
    lab.mounted().invalidator().attributes(ino).expect("an invalidation");
    let found = fs::metadata(lab.path("file")).expect("attributes");
    assert_eq!((found.atime(), found.atime_nsec()), (-2, 799_999_999));
    assert_eq!(found.modified().expect("a time"), modified);
}

#[test]
fn blocks_block_size_and_room_are_told() {
    let Some(lab) = lab("blocks_block_size_and_room_are_told") else { return };
    fs::write(lab.path("file"), vec![1_u8; 10_000]).expect("a write");
    let attributes = fs::metadata(lab.path("file")).expect("attributes");
    assert_eq!(attributes.blksize(), 128 * 1024);
    assert!(attributes.blocks() >= 20, "{}", attributes.blocks());
    let room = statvfs(lab.root()).expect("statvfs");
    assert_eq!((room.f_bsize, room.f_frsize, room.f_namemax), (4096, 4096, 255));
    assert!(room.f_bavail > 0 && room.f_bavail <= room.f_blocks);
}

#[test]
fn extended_attributes_follow_buffer_sizes_and_flags() {
    let Some(lab) = lab("extended_attributes_follow_buffer_sizes_and_flags") else { return };
    let path = lab.path("file");
    fs::write(&path, b"").expect("a file");
    let mut small = [0_u8; 3];
    let mut room = vec![0_u8; 70_000];
    assert_eq!(getxattr(&path, "user.a", &mut room), Err(Errno::NODATA));
    assert_eq!(setxattr(&path, "user.a", b"value", XattrFlags::REPLACE), Err(Errno::NODATA));
    setxattr(&path, "user.a", b"value", XattrFlags::CREATE).expect("a new one");
    assert_eq!(setxattr(&path, "user.a", b"value", XattrFlags::CREATE), Err(Errno::EXIST));
    assert_eq!(getxattr(&path, "user.a", &mut small), Err(Errno::RANGE));
    assert_eq!(getxattr(&path, "user.a", &mut room), Ok(5));
    assert_eq!(&room[..5], b"value");
    setxattr(&path, "user.b", b"", XattrFlags::empty()).expect("an empty one");
    assert_eq!(listxattr(&path, &mut small), Err(Errno::RANGE));
    assert_eq!(listxattr(&path, &mut room), Ok(14));
    assert_eq!(&room[..14], b"user.a\0user.b\0");
    assert_eq!(setxattr(&path, "user.c", &vec![0; 65_537], XattrFlags::empty()), Err(Errno::TOOBIG));
    setxattr(&path, "user.c", &vec![7; 65_536], XattrFlags::empty()).expect("the largest");
    assert_eq!(getxattr(&path, "user.c", &mut room), Ok(65_536));
    removexattr(&path, "user.a").expect("a removal");
    assert_eq!(removexattr(&path, "user.a"), Err(Errno::NODATA));
}

#[test]
fn holes_are_made_found_and_filled() {
    let Some(lab) = lab("holes_are_made_found_and_filled") else { return };
    let open = OpenOptions::new().read(true).write(true).create_new(true).open(lab.path("file"));
    let mut file = open.expect("a file");
    file.write_all(&[1; 1 << 20]).expect("a write");
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, punch, 262_144, 262_144).expect("a hole");
    assert_eq!(seek(&file, Whence::Hole(0)), Ok(262_144));
    assert_eq!(seek(&file, Whence::Data(262_144)), Ok(524_288));
    assert_eq!(seek(&file, Whence::Data(1 << 20)), Err(Errno::NXIO));
    let mut byte = [9];
    file.read_exact_at(&mut byte, 300_000).expect("a read in the hole");
    assert_eq!(byte, [0]);
    fallocate(&file, FallocateFlags::ZERO_RANGE, 1 << 20, 10).expect("zeros at the end");
    fallocate(&file, FallocateFlags::KEEP_SIZE, 1 << 21, 10).expect("a reservation");
    assert_eq!(file.metadata().expect("attributes").len(), (1 << 20) + 10);
    assert_eq!(fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, 4096), Err(Errno::OPNOTSUPP));
    file.seek(SeekFrom::Start(0)).expect("a plain seek");
    file.read_exact(&mut byte).expect("a read");
    assert_eq!(byte, [1]);
}

#[test]
fn ranges_are_copied_between_files() {
    let Some(lab) = lab("ranges_are_copied_between_files") else { return };
    fs::write(lab.path("from"), b"0123456789").expect("a write");
    let (from, to) = (File::open(lab.path("from")).expect("open"), File::create(lab.path("to")).expect("a file"));
    let (mut at, mut into) = (2, 1);
    assert_eq!(copy_file_range(&from, Some(&mut at), &to, Some(&mut into), 100), Ok(8));
    assert_eq!((at, into), (10, 9));
    assert_eq!(fs::read(lab.path("to")).expect("a read"), b"\x0023456789");
}

#[test]
fn renames_take_their_flags() {
    let Some(lab) = lab("renames_take_their_flags") else { return };
    fs::write(lab.path("a"), b"a").expect("a write");
    fs::write(lab.path("b"), b"b").expect("a write");
    let rename = |flags| renameat_with(CWD, lab.path("a"), CWD, lab.path("b"), flags);
    assert_eq!(rename(RenameFlags::NOREPLACE), Err(Errno::EXIST));
    rename(RenameFlags::EXCHANGE).expect("an exchange");
    assert_eq!(fs::read(lab.path("a")).expect("a read"), b"b");
    assert_eq!(rename(RenameFlags::WHITEOUT), Err(Errno::INVAL));
    rename(RenameFlags::empty()).expect("a replacement");
    assert_eq!(fs::read(lab.path("b")).expect("a read"), b"b");
    assert!(!lab.path("a").exists());
}

#[test]
fn unnamed_files_are_not_offered() {
    let Some(lab) = lab("unnamed_files_are_not_offered") else { return };
    let error = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(lab.root());
    assert_eq!(error.map_err(|e| e.raw_os_error()).err(), Some(Some(libc::EOPNOTSUPP)));
}

#[test]
fn the_umask_holds_and_a_default_acl_takes_its_place() {
    let Some(lab) = lab("the_umask_holds_and_a_default_acl_takes_its_place") else { return };
    // user::rwx group::rwx other::--- as the kernel stores it: version 2, then tag, permissions, id of each entry.
    let mut acl = vec![2_u8, 0, 0, 0];
    for (tag, perm) in [(0x01_u16, 7_u16), (0x04, 7), (0x20, 0)] {
        acl.extend(tag.to_le_bytes());
        acl.extend(perm.to_le_bytes());
        acl.extend(u32::MAX.to_le_bytes());
    }
    for name in ["plain", "shared"] {
        fs::create_dir(lab.path(name)).expect("a directory");
    }
    setxattr(lab.path("shared"), "system.posix_acl_default", &acl, XattrFlags::empty()).expect("a default ACL");
    for (dir, mode) in [("plain", 0o644), ("shared", 0o660)] {
        let file = lab.path(dir).join("file");
        let script = format!("umask 022; : > '{}'", file.display());
        assert!(Command::new("sh").args(["-c", &script]).status().expect("a shell").success());
        assert_eq!(fs::metadata(&file).expect("attributes").mode() & 0o7777, mode, "{dir}");
    }
}

#[test]
fn set_user_id_bits_fall_when_another_user_changes_the_content() {
    const NAME: &str = "set_user_id_bits_fall_when_another_user_changes_the_content";
    let Some(lab) = lab(NAME) else { return };
    if !is_root(NAME) {
        return;
    }
    fs::set_permissions(lab.root(), Permissions::from_mode(0o777)).expect("open to all");
    let changes = [
        ("write", "printf x | dd of=FILE conv=notrunc status=none"),
        ("truncate", "truncate -s 3 FILE"),
        ("open with truncation", ": > FILE"),
        ("fallocate", "fallocate -l 100000 FILE"),
    ];
    for (change, script) in changes {
        let path = lab.path("program");
        let modes = [("root", "", 0o6777), ("other", "setpriv --reuid=65534 --regid=65534 --clear-groups ", 0o777)];
        for (who, prefix, expected) in modes {
            fs::write(&path, b"content").expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(0o6777)).expect("set-user-id");
            let script = script.replace("FILE", path.to_str().expect("a plain path"));
            let status =
                Command::new("sh").args(["-c", &format!("{prefix}sh -c '{script}'")]).status().expect("a shell");
            assert!(status.success(), "{change} by {who}");
            let mode = fs::metadata(&path).expect("attributes").mode() & 0o7777;
            assert_eq!(mode, expected, "{change} by {who}");
            fs::remove_file(&path).expect("a removal");
        }
    }
}

#[test]
fn permissions_are_enforced_and_owners_are_the_callers() {
    const NAME: &str = "permissions_are_enforced_and_owners_are_the_callers";
    let Some(lab) = lab(NAME) else { return };
    if !is_root(NAME) {
        return;
    }
    let as_nobody = |program: &str, path: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]).arg(path);
        command.stderr(std::process::Stdio::null()).status().expect("it runs").success()
    };
    fs::set_permissions(lab.root(), Permissions::from_mode(0o755)).expect("closed");
    assert!(!as_nobody("touch", &lab.path("file")));
    fs::set_permissions(lab.root(), Permissions::from_mode(0o777)).expect("open");
    assert!(as_nobody("touch", &lab.path("file")));
    let attributes = fs::metadata(lab.path("file")).expect("attributes");
    assert_eq!((attributes.uid(), attributes.gid()), (NOBODY, NOBODY));
}

#[test]
fn an_unlinked_open_file_can_still_be_used() {
    let Some(lab) = lab("an_unlinked_open_file_can_still_be_used") else { return };
    let open = OpenOptions::new().read(true).write(true).create_new(true).open(lab.path("file"));
    let mut file = open.expect("a file");
    fs::remove_file(lab.path("file")).expect("a removal");
    file.write_all(b"still here").expect("a write");
    file.seek(SeekFrom::Start(0)).expect("a seek");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("a read");
    assert_eq!(text, "still here");
    assert_eq!(file.metadata().expect("attributes").nlink(), 0);
}
