//! Pictures of trees and how they differ.

use std::sync::Arc;

use futures_util::FutureExt;
use proxyfs_core::fs::{Caller, FallocateMode, FileSystem, Handle, OpenFlags, WriteFlags, XattrMode};
use proxyfs_core::types::Ino;
use proxyfs_harness::model::Model;
use proxyfs_harness::sim::SimClock;
use proxyfs_harness::tree::{TreeSnapshot, diff, snapshot};

const ME: Caller = Caller { uid: 0, gid: 0, pid: 1 };
const BOTH: OpenFlags = OpenFlags {
    read: true,
    write: true,
    append: false,
    truncate: false,
    exclusive: false,
    sync: false,
    kill_suid_sgid: false,
};

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the model answers at once")
}

fn model() -> Model {
    Model::new(Arc::new(SimClock::manual()))
}

fn file(fs: &Model, dir: Ino, name: &str) -> (Ino, Handle) {
    let (attr, handle) = now(fs.create(ME, dir, name.as_bytes(), 0o644, 0, BOTH)).expect("create");
    (attr.ino, handle)
}

fn write(fs: &Model, handle: Handle, offset: u64, data: &[u8]) {
    now(fs.write(handle, offset, data.to_vec().into(), WriteFlags::default())).expect("write");
}

fn picture(fs: &Model) -> TreeSnapshot {
    now(snapshot(fs)).expect("snapshot")
}

#[test]
fn a_picture_holds_every_name_and_groups_hard_links() {
    let fs = model();
    let d = now(fs.mkdir(ME, Ino::ROOT, b"d", 0o755, 0)).expect("mkdir").ino;
    let (f, _) = file(&fs, d, "f");
    now(fs.link(ME, f, Ino::ROOT, b"z")).expect("link");
    now(fs.symlink(ME, d, b"s", b"target")).expect("symlink");
    let nodes = picture(&fs).nodes;
    let paths: Vec<&[u8]> = nodes.keys().map(Vec::as_slice).collect();
    assert_eq!(paths, [&b"/"[..], b"/d", b"/d/f", b"/d/s", b"/z"]);
    assert_eq!(nodes[&b"/z"[..]].first_link, b"/d/f");
    assert_eq!(nodes[&b"/d/s"[..]].symlink_target.as_deref(), Some(&b"target"[..]));
}

#[test]
fn a_hole_and_written_zeros_look_the_same() {
    let (left, right) = (model(), model());
    let (_, a) = file(&left, Ino::ROOT, "f");
    let (_, b) = file(&right, Ino::ROOT, "f");
    for (fs, handle) in [(&left, a), (&right, b)] {
        write(fs, handle, 10_000, b"end");
        write(fs, handle, 1 << 40, b"far");
    }
    write(&left, a, 0, &[0; 10_000]);
    now(right.fallocate(b, 0, 9000, FallocateMode::PunchHole)).expect("punch");
    assert_eq!(diff(&picture(&left), &picture(&right)), [""; 0]);
}

#[test]
fn each_difference_has_a_line() {
    let (left, right) = (model(), model());
    let (f, a) = file(&left, Ino::ROOT, "f");
    let (_, b) = file(&right, Ino::ROOT, "f");
    write(&left, a, 5000, b"x");
    write(&right, b, 5000, b"y");
    file(&left, Ino::ROOT, "l");
    file(&right, Ino::ROOT, "r");
    now(left.setxattr(ME, f, b"user.a", b"1", XattrMode::Set)).expect("setxattr");
    let lines = diff(&picture(&left), &picture(&right));
    let starts: Vec<&str> = lines.iter().map(|l| l.split_inclusive(' ').take(2).last().unwrap_or(l).trim()).collect();
    assert_eq!(starts, ["content_hash", "xattrs", "left:", "right:"], "{lines:?}");
}

#[test]
fn taking_a_picture_does_not_show_in_it() {
    let clock = Arc::new(SimClock::manual());
    let fs = Model::new(Arc::clone(&clock) as _);
    let (_, handle) = file(&fs, Ino::ROOT, "f");
    write(&fs, handle, 0, b"x");
    clock.advance_nanos(1);
    let first = picture(&fs);
    assert_eq!(first.nodes[&b"/f"[..]].atime, first.nodes[&b"/f"[..]].mtime);
    assert_eq!(diff(&first, &picture(&fs).without_lazy_times()).iter().filter(|l| l.contains("mtime")).count(), 0);
}
