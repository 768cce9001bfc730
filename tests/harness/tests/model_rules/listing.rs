//! Directory streams.

use std::collections::BTreeMap;

use proxyfs_core::ErrorKind;
use proxyfs_core::fs::{FileSystem, RenameMode};

use crate::world::{ME, ROOT, World, kind, now};

#[test]
fn dots_come_first_without_attributes_and_cookies_are_never_zero() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    let f = w.file(d, "f");
    let stream = now(w.fs.opendir(ME, d)).expect("opendir");
    let entries = now(w.fs.readdir(stream, 0, true)).expect("readdir");
    let seen: Vec<_> = entries.iter().map(|e| (e.name.as_ref(), e.ino, e.attr.map(|a| a.ino))).collect();
    assert_eq!(seen, [(&b"."[..], d, None), (b"..", ROOT, None), (b"f", f, Some(f))]);
    assert!(entries.iter().all(|e| e.cookie != 0));
}

#[test]
fn an_entry_that_stays_is_seen_once_whatever_happens_around_it() {
    let w = World::new();
    for i in 0..300 {
        w.file(ROOT, &format!("f{i:03}"));
    }
    let stream = now(w.fs.opendir(ME, ROOT)).expect("opendir");
    let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let (mut cookie, mut round) = (0, 0);
    loop {
        let entries = now(w.fs.readdir(stream, cookie, false)).expect("readdir");
        let Some(last) = entries.iter().take(7).next_back() else { break };
        cookie = last.cookie;
        entries.iter().take(7).for_each(|e| *seen.entry(e.name.to_vec()).or_default() += 1);
        // Odd ones go, new ones come, one that stays changes its inode.
        w.unlink(ROOT, &format!("f{:03}", round * 2 + 1)).expect("unlink");
        w.file(ROOT, "new");
        w.rename((ROOT, "new"), (ROOT, "f100"), RenameMode::Replace).expect("rename");
        round += 1;
    }
    let stayed = (0..300).filter(|i| i % 2 == 0 || *i > round * 2).map(|i| format!("f{i:03}").into_bytes());
    assert!(round > 20);
    assert!(stayed.map(|name| seen.get(&name).copied()).all(|times| times == Some(1)), "{seen:?}");
}

#[test]
fn a_removed_directory_lists_nothing() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    let stream = now(w.fs.opendir(ME, d)).expect("opendir");
    w.rmdir(ROOT, "d").expect("rmdir");
    assert!(now(w.fs.readdir(stream, 0, false)).expect("readdir").is_empty());
}

#[test]
fn streams_and_files_are_not_mixed_up() {
    let w = World::new();
    let (attr, file) = w.create(ROOT, "f");
    let stream = now(w.fs.opendir(ME, ROOT)).expect("opendir");
    assert_eq!(kind(now(w.fs.opendir(ME, attr.ino))), ErrorKind::NotADirectory);
    assert_eq!(kind(now(w.fs.readdir(file, 0, false))), ErrorKind::BadHandle);
    assert_eq!(kind(now(w.fs.read(stream, 0, 1))), ErrorKind::BadHandle);
    assert_eq!(kind(now(w.fs.fsync(stream, false))), ErrorKind::BadHandle);
    assert_eq!(kind(now(w.fs.fsyncdir(file))), ErrorKind::BadHandle);
}
