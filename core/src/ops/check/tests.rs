//! Each kind of damage is found and named, and nothing else is.

use super::{Subject, check_all, check_subtrees};
use crate::format::{Dirent, Extent, InodeRecord, SegmentUsage, keys, orphan};
use crate::fs::FileKind;
use crate::ops::testkit::{World, segment};
use crate::types::Ino;

/// A volume: 2 = dir `d`, 3 = file `d/f` with two extents, 4 = dir `d/e`, 5 = symlink `s`.
fn sound() -> World {
    let mut world = World::new(false);
    let d = world.mkdir(Ino::ROOT, "d");
    let f = world.mkfile(d, "f");
    world.mkdir(d, "e");
    world.ok(|tx, cx, ino| crate::ops::symlink(tx, cx, Ino::ROOT, b"s", b"t", ino));
    world.write(f, 0, 10, 1, 0);
    world.write(f, 20, 10, 2, 0);
    world.fold();
    world
}

fn edit(world: &mut World, ino: u64, change: impl FnOnce(&mut InodeRecord)) {
    let mut record = world.record(Ino(ino));
    change(&mut record);
    world.kv.0.insert(keys::inode_key(Ino(ino)), record.encode());
}

#[test]
fn a_sound_volume_has_no_faults() {
    let world = sound();
    assert_eq!(check_all(&world.kv).expect("resident"), []);
    assert_eq!(check_subtrees(&world.kv).expect("resident"), []);
}

#[test]
fn each_damage_is_named() {
    type Damage = fn(&mut World);
    let table: [(Damage, &[&str]); 16] = [
        (|w| edit(w, 3, |r| r.allocated_bytes = 21), &["inode 3: extents of 20 bytes, allocated 21"]),
        (|w| edit(w, 3, |r| r.size = 25), &["inode 3: extents to 30 pass its size 25"]),
        (|w| edit(w, 3, |r| r.nlink = 2), &["inode 3: named by 1 entries, link count 2"]),
        (|w| edit(w, 2, |r| r.nlink = 2), &["inode 2: 1 subdirectories, link count 2"]),
        (|w| edit(w, 2, |r| r.entry_count = 3), &["inode 2: 2 entries, counted 3"]),
        (
            |w| edit(w, 3, |r| r.nlink = 0),
            &["inode 3: named by 1 entries, link count 0", "inode 3: has link count 0 and no orphan record"],
        ),
        (|w| edit(w, 5, |r| r.size = 2), &["inode 5: target of 1 bytes, size 2"]),
        (
            |w| {
                w.kv.0.insert(keys::orphan_key(Ino(3)), orphan::encode());
            },
            &["inode 3: is an orphan, link count 1"],
        ),
        (
            |w| {
                w.kv.0.insert(keys::orphan_key(Ino(99)), orphan::encode());
            },
            &["inode 99: is an orphan and does not exist"],
        ),
        (
            |w| {
                w.kv.0.remove(&keys::inode_key(Ino(5)));
            },
            &["inode 1: entry s names inode 5, which does not exist"],
        ),
        (
            |w| {
                w.kv.0.insert(keys::dirent_key(Ino(2), b"f"), Dirent::new(FileKind::Fifo, Ino(3), b"f", b"f").encode());
            },
            &["inode 2: entry f says that inode 3 is Fifo, it is File"],
        ),
        (
            |w| {
                w.kv.0.insert(keys::segment_usage_key(segment(1)), SegmentUsage { live_bytes: 9 }.encode());
            },
            &["segment 0000000000000001-0000000000000001: extents of 10 bytes, usage 9"],
        ),
        (
            |w| {
                w.kv.0.remove(&keys::segment_usage_key(segment(2)));
            },
            &["segment 0000000000000001-0000000000000002: extents of 10 bytes and no usage record"],
        ),
        (
            |w| {
                let extent = Extent { len: 11, segment: segment(1), position: 0 };
                w.kv.0.insert(keys::extent_key(Ino(3), 10), extent.encode());
            },
            &[
                "inode 3: extent at 20 overlaps the one before it, to 21",
                "inode 3: extents of 31 bytes, allocated 20",
                "segment 0000000000000001-0000000000000001: extents of 21 bytes, usage 10",
            ],
        ),
        (
            |w| edit(w, 4, |r| r.parent = Ino(4)),
            &[
                "inode 4: is entry e of directory 2, and its parent is 4",
                "inode 4: the parents of this directory, 4 the first, do not lead to the root",
            ],
        ),
        (
            |w| {
                w.kv.0.insert(keys::inode_key(Ino(3)), vec![1, 99]);
            },
            &[
                "inode 3: its record does not decode: inode record: inode kind is 99",
                "inode 3: has xattrs, entries or extents and no readable record",
                "inode 2: entry f names inode 3, which does not exist",
            ],
        ),
    ];
    for (damage, expected) in table {
        let mut world = sound();
        damage(&mut world);
        let found: Vec<_> = check_all(&world.kv).expect("resident").iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_wrong_recursive_counter_is_found() {
    let mut world = sound();
    edit(&mut world, 2, |r| r.subtree_inodes = 1);
    let faults = check_subtrees(&world.kv).expect("resident");
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].subject, Subject::Inode(Ino(2)));
    assert_eq!(faults[0].what, "20 bytes in 2 inodes below it, its counters say 20 in 1");
}
