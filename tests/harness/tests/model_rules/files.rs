//! Open files.

use proxyfs_core::ErrorKind;
use proxyfs_core::fs::{FallocateMode, FileSystem, OpenFlags, SeekWhence, SetAttr, SetTime};
use proxyfs_core::types::Timestamp;

use crate::world::{ME, READ_WRITE, ROOT, World, kind, now};

#[test]
fn writes_move_mtime_and_ctime_but_writing_nothing_does_not() {
    let w = World::new();
    let (attr, handle) = w.create(ROOT, "f");
    let t = w.tick();
    w.write(handle, 100, b"").expect("write");
    assert_eq!(w.attr(attr.ino), attr);
    w.write(handle, 100, b"x").expect("write");
    let after = w.attr(attr.ino);
    assert_eq!((after.size, after.mtime, after.ctime, after.atime), (101, t, t, attr.atime));
    assert_eq!(w.read(handle, 98, 10), b"\0\0x");
}

#[test]
fn reads_renew_an_access_time_that_is_not_newer_or_a_day_old() {
    let w = World::new();
    let (attr, handle) = w.create(ROOT, "f");
    let first = w.tick();
    w.read(handle, 0, 1);
    assert_eq!(w.attr(attr.ino).atime, first);
    w.tick();
    w.read(handle, 0, 1);
    assert_eq!(w.attr(attr.ino).atime, first, "newer than the last change: kept");
    let change = w.tick();
    w.write(handle, 0, b"x").expect("write");
    w.read(handle, 0, 0);
    assert_eq!(w.attr(attr.ino).atime, first, "reading nothing is no access");
    w.read(handle, 0, 1);
    assert_eq!(w.attr(attr.ino).atime, change);
    let day = Timestamp::new(change.secs - 86_400, 0);
    let set = |time| Some(SetTime::At(time));
    let older = Timestamp::new(0, 0);
    w.set(attr.ino, SetAttr { atime: set(day), mtime: set(older), ctime: Some(older), ..SetAttr::default() });
    w.read(handle, 0, 1);
    assert_eq!(w.attr(attr.ino).atime, change, "a day old");
}

#[test]
fn handles_do_only_what_they_were_opened_for() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    let open = |read, write| now(w.fs.open(ME, f, OpenFlags { read, write, ..OpenFlags::default() })).expect("open");
    let (reader, writer) = (open(true, false), open(false, true));
    assert_eq!(kind(w.write(reader, 0, b"x")), ErrorKind::BadHandle);
    assert_eq!(kind(now(w.fs.read(writer, 0, 1))), ErrorKind::BadHandle);
    assert_eq!(kind(now(w.fs.fallocate(reader, 0, 1, FallocateMode::Allocate))), ErrorKind::BadHandle);
    assert_eq!(kind(now(w.fs.copy_file_range(writer, 0, writer, 9, 1))), ErrorKind::BadHandle);
    w.close(reader);
    assert_eq!(kind(now(w.fs.release(reader, None))), ErrorKind::BadHandle);
    assert_eq!(kind(w.open(ROOT)), ErrorKind::IsADirectory);
}

#[test]
fn appends_go_to_the_end() {
    let w = World::new();
    let (attr, handle) = w.create(ROOT, "f");
    w.write(handle, 0, b"abc").expect("write");
    let append = now(w.fs.open(ME, attr.ino, OpenFlags { append: true, ..READ_WRITE })).expect("open");
    w.write(append, 0, b"de").expect("write");
    assert_eq!(w.read(handle, 0, 9), b"abcde");
    assert_eq!(kind(now(w.fs.copy_file_range(handle, 0, append, 9, 1))), ErrorKind::BadHandle);
}

#[test]
fn no_byte_lies_past_the_largest_offset() {
    let w = World::new();
    let (_, handle) = w.create(ROOT, "f");
    let last = i64::MAX as u64;
    assert_eq!(kind(w.write(handle, last, b"x")), ErrorKind::FileTooLarge);
    assert_eq!(kind(w.write(handle, u64::MAX, b"x")), ErrorKind::FileTooLarge);
    w.write(handle, last - 1, b"x").expect("the last byte");
    assert_eq!(w.read(handle, last - 2, 9), b"\0x");
}

#[test]
fn fallocate_modes_change_size_and_bytes_as_named() {
    use FallocateMode::{Allocate, KeepSize, PunchHole, ZeroRange, ZeroRangeKeepSize};
    let kept = b"abcdef".to_vec();
    let cases = [
        (Allocate, 4, 6, b"abcdef\0\0\0\0".to_vec()),
        (KeepSize, 4, 6, kept.clone()),
        (PunchHole, 4, 6, b"abcd\0\0".to_vec()),
        (PunchHole, 1, 2, b"a\0\0def".to_vec()),
        (ZeroRange, 4, 6, b"abcd\0\0\0\0\0\0".to_vec()),
        (ZeroRangeKeepSize, 4, 6, b"abcd\0\0".to_vec()),
    ];
    for (mode, offset, len, expected) in cases {
        let w = World::new();
        let (attr, handle) = w.create(ROOT, "f");
        w.write(handle, 0, &kept).expect("write");
        let t = w.tick();
        now(w.fs.fallocate(handle, offset, len, mode)).expect("fallocate");
        assert_eq!(w.read(handle, 0, 100), expected, "{mode:?}");
        assert_eq!((w.attr(attr.ino).mtime, w.attr(attr.ino).ctime), (t, t), "{mode:?}");
        assert_eq!(kind(now(w.fs.fallocate(handle, 0, 0, mode))), ErrorKind::InvalidArgument);
        assert_eq!(kind(now(w.fs.fallocate(handle, 1, i64::MAX as u64, mode))), ErrorKind::FileTooLarge);
    }
}

#[test]
fn seeking_finds_data_and_holes() {
    let w = World::new();
    let (_, handle) = w.create(ROOT, "f");
    w.write(handle, 0, &[1; 4096]).expect("write");
    w.write(handle, 1 << 40, &[1; 10]).expect("write");
    let seek = |offset, whence| now(w.fs.lseek(handle, offset, whence));
    assert_eq!(seek(0, SeekWhence::Hole).expect("hole"), 4096);
    assert_eq!(seek(4096, SeekWhence::Data).expect("data"), 1 << 40);
    assert_eq!(seek(1 << 40, SeekWhence::Hole).expect("end"), (1 << 40) + 10);
    assert_eq!(kind(seek((1 << 40) + 10, SeekWhence::Hole)), ErrorKind::NoSuchOffset);
    assert_eq!(kind(seek((1 << 40) + 10, SeekWhence::Data)), ErrorKind::NoSuchOffset);
}

#[test]
fn copies_stop_at_the_end_of_the_source_and_do_not_overlap_in_one_file() {
    let w = World::new();
    let (_, from) = w.create(ROOT, "f");
    let (attr, to) = w.create(ROOT, "g");
    w.write(from, 0, b"0123456789").expect("write");
    w.write(to, 0, b"aaaaaaaa").expect("write");
    let t = w.tick();
    assert_eq!(now(w.fs.copy_file_range(from, 7, to, 6, 100)).expect("copy"), 3);
    assert_eq!(w.read(to, 0, 99), b"aaaaaa789");
    assert_eq!((w.attr(attr.ino).mtime, w.attr(attr.ino).ctime), (t, t));
    assert_eq!(now(w.fs.copy_file_range(from, 10, to, 0, 5)).expect("past the end"), 0);
    assert_eq!(kind(now(w.fs.copy_file_range(from, 0, from, 5, 6))), ErrorKind::InvalidArgument);
    assert_eq!(now(w.fs.copy_file_range(from, 0, from, 10, 99)).expect("behind itself"), 10);
}

#[test]
fn a_restart_drops_orphans_and_keeps_the_rest() {
    let w = World::new();
    let (kept, _) = w.create(ROOT, "f");
    let (orphan, _) = w.create(ROOT, "g");
    w.unlink(ROOT, "g").expect("unlink");
    let after = w.fs.restarted();
    assert_eq!(now(after.getattr(kept.ino)).expect("kept").nlink, 1);
    assert_eq!(kind(now(after.getattr(orphan.ino))), ErrorKind::Stale);
}
