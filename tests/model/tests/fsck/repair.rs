//! Contradictions made by hand are found, mended, and gone afterwards.

use bytes::Bytes;
use proxyfs_core::config::EngineOptions;
use proxyfs_core::engine::Engine;
use proxyfs_core::format::layout::head_key;
use proxyfs_core::format::{Dirent, Head, InodeRecord, ObjectKind, PendingDelete, SegmentUsage, Tier, keys, orphan};
use proxyfs_core::fs::{FileKind, FileSystem};
use proxyfs_core::fsck::{FsckOptions, RepairReport, check_volume, fall_back, repair_volume};
use proxyfs_core::store::{ObjectStore, PutMode};
use proxyfs_core::types::{Epoch, Ino, Lsn, Nonce, ObjectId, SegmentId};
use proxyfs_core::volume::Volume;
use proxyfs_harness::tree::{TreeSnapshot, snapshot};

use crate::machine::{Machine, mkdir, noise, runtime, write_file};

type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The volume under test: `/d` (2), `/d/f` (3), `/e` (4), `/e/g` (5).
async fn volume() -> (Machine, Volume) {
    let machine = Machine::create(11, Tier::Disk).await;
    let volume = machine.open().await.expect("open");
    let d = mkdir(&volume, Ino::ROOT, "d").await;
    write_file(&volume, d, "f", &noise(1, 9_000)).await;
    let e = mkdir(&volume, Ino::ROOT, "e").await;
    write_file(&volume, e, "g", &noise(2, 100)).await;
    volume.checkpoint().await.expect("checkpoint");
    (machine, volume)
}

async fn record(volume: &Volume, ino: u64) -> InodeRecord {
    let value = volume.read_raw(&keys::inode_key(Ino(ino))).await.expect("read").expect("a record");
    InodeRecord::decode(&value).expect("a record")
}

async fn edited(volume: &Volume, ino: u64, edit: impl FnOnce(&mut InodeRecord)) -> Writes {
    let mut record = record(volume, ino).await;
    edit(&mut record);
    vec![(keys::inode_key(Ino(ino)), Some(record.encode()))]
}

async fn repair(machine: &Machine) -> RepairReport {
    let engine = Engine::new(&EngineOptions { memory_budget: machine.memory });
    let options = FsckOptions { data: true, ..FsckOptions::default() };
    repair_volume(engine, machine.sim.env(), machine.dyn_store(), machine.options.clone(), &options)
        .await
        .expect("a repair")
}

async fn tree(machine: &Machine) -> TreeSnapshot {
    let volume = machine.open().await.expect("open");
    let tree = snapshot(&volume).await.expect("picture");
    machine.close(volume).await;
    tree.without_times()
}

/// Damages, finds `fault`, repairs, and looks that all is well; the paths afterwards.
async fn heal(machine: Machine, volume: Volume, writes: Writes, fault: &str) -> Vec<String> {
    volume.write_raw(&writes).await.expect("damage");
    machine.close(volume).await;
    let before = machine.fsck().await;
    let texts: Vec<_> = before.faults.iter().map(|f| f.what.clone()).collect();
    assert!(!before.clean() && texts.iter().any(|t| t.contains(fault)), "{fault}: {texts:#?}");
    let report = repair(&machine).await;
    assert!(report.after.clean(), "{fault}: did {:#?}, left {:#?}", report.actions, report.after.faults);
    assert!(report.actions_total > 0, "{fault}");
    let again = repair(&machine).await;
    assert_eq!(again.actions, [""; 0], "{fault}: a second repair");
    tree(&machine).await.nodes.keys().map(|p| String::from_utf8_lossy(p).into_owned()).collect()
}

const ALL: [&str; 5] = ["/", "/d", "/d/f", "/e", "/e/g"];

#[test]
fn wrong_numbers_are_set_right() {
    type Edit = fn(&mut InodeRecord);
    let table: [(u64, Edit, &str); 7] = [
        (3, |r| r.nlink = 2, "link count 2"),
        (2, |r| r.nlink = 5, "link count 5"),
        (2, |r| r.entry_count = 7, "counted 7"),
        (3, |r| r.allocated_bytes = 1, "allocated 1"),
        (3, |r| r.size = 10, "pass its size"),
        (4, |r| r.parent = Ino(2), "its parent is 2"),
        (3, |r| r.nlink = 0, "link count 0"),
    ];
    for (ino, edit, fault) in table {
        runtime().block_on(async {
            let (machine, volume) = volume().await;
            let writes = edited(&volume, ino, edit).await;
            assert_eq!(heal(machine, volume, writes, fault).await, ALL, "{fault}");
        });
    }
}

#[test]
fn wrong_names_are_removed_and_nameless_inodes_are_found() {
    runtime().block_on(async {
        let (machine, volume) = volume().await;
        let dangling = Dirent::new(FileKind::File, Ino(77), b"x", b"x").encode();
        let writes = vec![(keys::dirent_key(Ino(2), b"x"), Some(dangling))];
        assert_eq!(heal(machine, volume, writes, "does not exist").await, ALL);
    });
    runtime().block_on(async {
        let (machine, volume) = volume().await;
        let writes = vec![(keys::dirent_key(Ino(2), b"f"), None)];
        let paths = heal(machine, volume, writes, "named by 0 entries").await;
        assert_eq!(paths, ["/", "/d", "/e", "/e/g", "/lost+found", "/lost+found/#3"]);
    });
    runtime().block_on(async {
        let (machine, volume) = volume().await;
        let twice = Dirent::new(FileKind::Dir, Ino(4), b"e2", b"e2").encode();
        let writes = vec![(keys::dirent_key(Ino(2), b"e2"), Some(twice))];
        assert_eq!(heal(machine, volume, writes, "named by 2 entries").await, ALL);
    });
    runtime().block_on(async {
        let (machine, volume) = volume().await;
        let writes = vec![(keys::inode_key(Ino(4)), None)];
        let paths = heal(machine, volume, writes, "no readable record").await;
        assert_eq!(paths, ALL, "a new record for the directory");
    });
    runtime().block_on(async {
        let (machine, volume) = volume().await;
        // 2 and 4 name each other and nobody else names them.
        let e = Dirent::new(FileKind::Dir, Ino(4), b"e", b"e").encode();
        let d = Dirent::new(FileKind::Dir, Ino(2), b"d", b"d").encode();
        let mut writes = vec![
            (keys::dirent_key(Ino::ROOT, b"d"), None),
            (keys::dirent_key(Ino::ROOT, b"e"), None),
            (keys::dirent_key(Ino(2), b"e"), Some(e)),
            (keys::dirent_key(Ino(4), b"d"), Some(d)),
        ];
        writes.extend(edited(&volume, 2, |r| r.parent = Ino(4)).await);
        writes.extend(edited(&volume, 4, |r| r.parent = Ino(2)).await);
        let paths = heal(machine, volume, writes, "do not lead to the root").await;
        assert_eq!(paths.len(), 6, "{paths:?}");
        assert!(paths.contains(&"/lost+found/#2/e/g".to_owned()), "{paths:?}");
    });
}

#[test]
fn wrong_accounts_are_set_right() {
    runtime().block_on(async {
        let (machine, volume) = volume().await;
        let ghost = SegmentId { epoch: Epoch(1), nonce: Nonce(900) };
        let writes = vec![
            (keys::orphan_key(Ino(3)), Some(orphan::encode())),
            (keys::segment_usage_key(ghost), Some(SegmentUsage { live_bytes: 5 }.encode())),
        ];
        assert_eq!(heal(machine, volume, writes, "is an orphan").await, ALL);
    });
    runtime().block_on(async {
        let (machine, volume) = volume().await;
        let mut writes = edited(&volume, 2, |r| r.subtree_bytes = 1).await;
        writes.extend(edited(&volume, 1, |r| r.subtree_inodes = 99).await);
        assert_eq!(heal(machine, volume, writes, "its counters say").await, ALL);
    });
}

#[test]
fn data_in_use_is_taken_out_of_the_queue_for_deletion() {
    runtime().block_on(async {
        let (machine, volume) = volume().await;
        let dump = machine.store.dump();
        let data = dump.iter().filter_map(|(key, _)| proxyfs_core::format::layout::parse_object_path(&key.path));
        let (_, object) = data.into_iter().find(|(kind, _)| *kind == ObjectKind::Data).expect("a data object");
        let pending = PendingDelete { died_lsn: Lsn(1), died_secs: 0, stored_len: 0 };
        let writes = vec![(keys::pending_delete_key(ObjectKind::Data, object), Some(pending.encode()))];
        assert_eq!(heal(machine, volume, writes, "its deletion is queued").await, ALL);
    });
}

#[test]
fn wrong_totals_and_leftovers_are_found_and_mended() {
    runtime().block_on(async {
        let (machine, volume) = volume().await;
        machine.close(volume).await;
        let newest = machine.store.dump().into_iter().rfind(|(k, _)| k.path.starts_with("head/"));
        let (key, content) = newest.expect("a head");
        let mut head = Head::decode_object(&content).expect("a head");
        head.inode_count = 0;
        head.data_bytes += 7;
        machine.damage(&key, head.encode_object());
        let left = ObjectId { epoch: Epoch(0), nonce: Nonce(3) };
        let meta = Volume::meta(&machine.open().await.expect("open")).layout;
        let left = meta.data_key(left);
        machine.store.put(&left, vec![Bytes::from_static(b"left")], PutMode::Fresh).await.expect("memory");
        let before = machine.fsck().await;
        assert_eq!(before.counts.leftovers, 1, "{:#?}", before.faults);
        let report = repair(&machine).await;
        assert!(report.after.clean() && report.after.counts.leftovers == 0, "{:#?}", report.after.faults);
        assert!(report.actions.iter().any(|a| a.contains("totals set")), "{:?}", report.actions);
        assert!(machine.store.len(&left).await.is_ok(), "nothing is deleted before its grace");
    });
}

#[test]
fn a_damaged_newest_head_can_be_gone_back_from() {
    runtime().block_on(async {
        let (machine, volume) = volume().await;
        write_file(&volume, Ino::ROOT, "late", b"x").await;
        machine.close(volume).await;
        let newest = machine.fsck().await.head.expect("a head").seq;
        let options = FsckOptions::default();
        assert!(fall_back(&machine.dyn_store(), &options).await.is_err(), "the newest head is sound");
        for seq in [newest, newest - 1] {
            machine.damage(&head_key(seq), vec![0; 50]);
        }
        let report = check_volume(&machine.dyn_store(), &options).await.expect("a check");
        assert!(
            !report.clean() && report.faults.iter().any(|f| f.what.contains("newest head")),
            "{:#?}",
            report.faults
        );
        assert!(machine.open().await.is_err());
        let gone_back = fall_back(&machine.dyn_store(), &options).await.expect("older heads are sound");
        assert_eq!(gone_back.seq, newest - 2);
        let paths: Vec<_> = tree(&machine).await.nodes.into_keys().collect();
        assert!(paths.contains(&b"/d/f".to_vec()), "{paths:?}");
    });
}

#[test]
fn an_open_volume_can_be_checked() {
    runtime().block_on(async {
        let (machine, volume) = volume().await;
        write_file(&volume, Ino::ROOT, "new", &noise(4, 6_000)).await;
        let report = volume.check(&FsckOptions { data: true, ..FsckOptions::default() }).await.expect("a check");
        assert!(report.clean() && report.complete, "{:#?}", report.faults);
        assert_eq!(report.counts.files, 3);
        assert_eq!(volume.path_of(Ino(3)).await.expect("path").as_deref(), Some(&b"/d/f"[..]));
        volume.statfs().await.expect("goes on");
        machine.close(volume).await;
    });
}
