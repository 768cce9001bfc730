//! Advisory locks.

use futures_util::FutureExt;
use proxyfs_core::fs::{FileLock, FileSystem, Handle, LockFamily, LockKind};
use proxyfs_core::{ErrorKind, Result};

use crate::world::{ROOT, World, kind, now};

use LockFamily::{Flock, Posix};
use LockKind::{Read, Unlock, Write};

fn range(start: u64, end: u64, kind: LockKind) -> FileLock {
    FileLock { start, end, kind, pid: 1 }
}

fn lock(w: &World, h: Handle, owner: u64, lock: FileLock) -> Result<()> {
    now(w.fs.setlk(h, Posix, owner, lock, false))
}

/// What another owner would meet when asking for a write lock on everything.
fn held(w: &World, h: Handle) -> Option<(u64, u64, LockKind)> {
    let found = now(w.fs.getlk(h, 99, range(0, u64::MAX, Write))).expect("getlk");
    found.map(|l| (l.start, l.end, l.kind))
}

#[test]
fn readers_share_and_writers_do_not() {
    let w = World::new();
    let (_, h) = w.create(ROOT, "f");
    lock(&w, h, 1, range(0, 9, Read)).expect("first reader");
    lock(&w, h, 2, range(5, 20, Read)).expect("second reader");
    assert_eq!(kind(lock(&w, h, 3, range(9, 9, Write))), ErrorKind::WouldBlock);
    lock(&w, h, 3, range(21, 30, Write)).expect("beside them");
    assert_eq!(kind(lock(&w, h, 1, range(30, 40, Read))), ErrorKind::WouldBlock);
}

#[test]
fn an_owner_changes_splits_and_joins_its_own_ranges() {
    let w = World::new();
    let (_, h) = w.create(ROOT, "f");
    lock(&w, h, 1, range(0, 99, Write)).expect("lock");
    lock(&w, h, 1, range(10, 19, Unlock)).expect("hole");
    assert_eq!(held(&w, h), Some((0, 9, Write)));
    lock(&w, h, 2, range(10, 19, Write)).expect("in the hole");
    lock(&w, h, 2, range(10, 19, Unlock)).expect("out again");
    lock(&w, h, 1, range(10, 19, Write)).expect("joined");
    assert_eq!(held(&w, h), Some((0, 99, Write)));
    lock(&w, h, 1, range(0, 49, Read)).expect("weaker");
    assert_eq!(held(&w, h), Some((0, 49, Read)));
}

#[test]
fn the_two_families_do_not_see_each_other() {
    let w = World::new();
    let (_, h) = w.create(ROOT, "f");
    let all = range(0, u64::MAX, Write);
    lock(&w, h, 1, all).expect("posix");
    now(w.fs.setlk(h, Flock, 2, all, false)).expect("flock");
    assert_eq!(kind(now(w.fs.setlk(h, Flock, 3, all, false))), ErrorKind::WouldBlock);
}

#[test]
fn flush_drops_posix_locks_and_release_drops_flock_locks() {
    let w = World::new();
    let (attr, h) = w.create(ROOT, "f");
    let other = w.open(attr.ino).expect("open");
    let all = range(0, u64::MAX, Write);
    lock(&w, h, 1, all).expect("posix");
    now(w.fs.setlk(h, Flock, 2, all, false)).expect("flock");
    now(w.fs.flush(h, 1)).expect("flush");
    assert_eq!(held(&w, other), None);
    assert_eq!(kind(now(w.fs.setlk(other, Flock, 3, all, false))), ErrorKind::WouldBlock);
    now(w.fs.release(h, Some(2))).expect("release");
    now(w.fs.setlk(other, Flock, 3, all, false)).expect("free");
}

#[test]
fn a_record_lock_needs_the_handle_open_for_it() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    let read_only = proxyfs_core::fs::OpenFlags { read: true, ..Default::default() };
    let h = now(w.fs.open(crate::world::ME, f, read_only)).expect("open");
    assert_eq!(kind(lock(&w, h, 1, range(0, 1, Write))), ErrorKind::BadHandle);
    lock(&w, h, 1, range(0, 1, Read)).expect("read lock");
    assert_eq!(kind(lock(&w, h, 1, range(2, 1, Read))), ErrorKind::InvalidArgument);
}

#[test]
fn a_waiting_lock_is_taken_when_the_way_is_free() {
    let w = World::new();
    let (_, h) = w.create(ROOT, "f");
    lock(&w, h, 1, range(0, 9, Write)).expect("lock");
    let mut waiting = Box::pin(w.fs.setlk(h, Posix, 2, range(5, 5, Write), true));
    assert!(waiting.as_mut().now_or_never().is_none());
    lock(&w, h, 1, range(0, 4, Unlock)).expect("not enough");
    assert!(waiting.as_mut().now_or_never().is_none());
    lock(&w, h, 1, range(5, 9, Unlock)).expect("enough");
    waiting.as_mut().now_or_never().expect("woken").expect("taken");
    assert_eq!(held(&w, h), Some((5, 5, Write)));
}

#[test]
fn a_wait_ends_when_it_is_dropped() {
    let w = World::new();
    let (_, h) = w.create(ROOT, "f");
    lock(&w, h, 1, range(0, 9, Write)).expect("lock");
    let mut waiting = Box::pin(w.fs.setlk(h, Posix, 2, range(0, 9, Write), true));
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(waiting);
    lock(&w, h, 1, range(0, 9, Unlock)).expect("unlock");
    assert_eq!(held(&w, h), None);
}

#[test]
fn a_circle_of_waiting_owners_is_refused() {
    let w = World::new();
    let (_, h) = w.create(ROOT, "f");
    for owner in 1..=3 {
        lock(&w, h, owner, range(owner, owner, Write)).expect("lock");
    }
    let wait = |owner, at| Box::pin(w.fs.setlk(h, Posix, owner, range(at, at, Write), true));
    let mut first = wait(1, 2);
    let mut second = wait(2, 3);
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    assert_eq!(kind(now(wait(3, 1))), ErrorKind::Deadlock);
    drop(second);
    assert!(wait(3, 1).now_or_never().is_none(), "no circle any more");
}
