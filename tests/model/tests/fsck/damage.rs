//! Every object of a small volume is flipped, cut and deleted: what is read is right or refused, and fsck sees it.

use std::collections::BTreeMap;

use bytes::Bytes;
use proxyfs_core::format::Tier;
use proxyfs_core::fs::{Caller, FileSystem, OpenFlags};
use proxyfs_core::fsck::{FsckReport, Severity};
use proxyfs_core::store::{ObjectKey, ObjectStore};
use proxyfs_core::types::Ino;
use proxyfs_core::{Error, ErrorKind};
use proxyfs_harness::tree::{TreeSnapshot, snapshot};

use crate::machine::{Machine, mkdir, noise, runtime, write_file};

/// Bytes of an object up to which each is flipped; of longer ones every so many.
const FLIP_ALL_MAX: usize = 700;

/// What a damaged volume answered.
enum Answer {
    /// The whole tree.
    Tree(TreeSnapshot),
    /// An error, from the mount or from reading.
    Refused(Error),
}

/// A small volume after a clean close, and its tree.
async fn small(tier: Tier) -> (Machine, TreeSnapshot) {
    let machine = Machine::create(3, tier).await;
    let volume = machine.open().await.expect("open");
    let d = mkdir(&volume, Ino::ROOT, "d").await;
    write_file(&volume, d, "f", &noise(1, 9_000)).await;
    write_file(&volume, Ino::ROOT, "g", &noise(2, 300)).await;
    volume.checkpoint().await.expect("checkpoint");
    write_file(&volume, d, "h", &noise(3, 5_000)).await;
    let tree = snapshot(&volume).await.expect("picture").without_lazy_times();
    machine.close(volume).await;
    let report = machine.fsck().await;
    assert!(report.clean(), "{:#?}", report.faults);
    (machine, tree)
}

/// Mounts read-write and reads everything.
async fn read_all(machine: &Machine) -> Answer {
    let volume = match machine.open().await {
        Ok(volume) => volume,
        Err(error) => return Answer::Refused(error),
    };
    volume.drop_caches();
    let tree = snapshot(&volume).await;
    volume.abandon().await;
    match tree {
        Ok(tree) => Answer::Tree(tree.without_lazy_times()),
        Err(error) => Answer::Refused(error),
    }
}

/// The ways in which an object's bytes are changed; `None` deletes it.
fn damages(content: &Bytes) -> Vec<(String, Option<Vec<u8>>)> {
    let step = if content.len() <= FLIP_ALL_MAX { 1 } else { content.len() / 97 };
    let mut out = vec![("deleted".to_owned(), None)];
    for at in (0..content.len()).step_by(step) {
        let mut bytes = content.to_vec();
        bytes[at] ^= 1 << (at % 8);
        out.push((format!("byte {at} flipped"), Some(bytes)));
    }
    for cut in [0, 1, content.len() / 2, content.len() - 1] {
        out.push((format!("cut to {cut}"), Some(content[..cut].to_vec())));
    }
    let longer = [content.as_ref(), b"x"].concat();
    out.push(("longer by one".to_owned(), Some(longer)));
    out
}

fn check_text(what: &str, key: &ObjectKey, error: &Error) {
    assert!(
        matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnknownFormat | ErrorKind::NotFound),
        "{what}: {error:?}"
    );
    let text = error.to_string();
    let names_it = text.contains(&key.path) || key.path == "volume.json" || text.contains("missing");
    assert!(names_it, "{what}: the error names no object: {text}");
    assert!(
        text.contains("fsck") || text.contains("upgrade") || key.path == "volume.json",
        "{what}: no advice: {text}"
    );
}

/// What a fault would be seen by: damage that harms nobody may go unseen.
fn must_be_found(key: &ObjectKey, content: Option<&[u8]>) -> bool {
    // A description whose label or date changed is a sound description.
    key.path != "volume.json" || content.is_none_or(|c| proxyfs_core::format::VolumeMeta::decode(c).is_err())
}

async fn damage_everything(tier: Tier) {
    let (sound, expected) = small(tier).await;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for (key, content) in sound.store.dump() {
        for (how, changed) in damages(&content) {
            let machine = sound.copy().await;
            match &changed {
                Some(bytes) => machine.damage(&key, bytes.clone()),
                None => drop(machine.store.delete(std::slice::from_ref(&key)).await.expect("memory")),
            }
            let what = format!("{key} {how}");
            let report = proxyfs_core::fsck::check_volume(
                &machine.dyn_store(),
                &proxyfs_core::fsck::FsckOptions { data: true, ..Default::default() },
            )
            .await;
            match &report {
                Ok(report) if must_be_found(&key, changed.as_deref()) => {
                    assert!(!report.clean(), "{what}: not found");
                }
                Ok(_) => {}
                Err(error) => assert!(error.kind() == ErrorKind::UnknownFormat, "{what}: {error:?}"),
            }
            let folder = key.path.split('/').next().unwrap_or_default();
            match read_all(&machine.elsewhere(9).await).await {
                Answer::Tree(tree) if key.path.starts_with("head/") && tree != expected => {
                    // Only a computer that has seen the newest head can miss it; fsck saw that it is gone.
                    assert_eq!(how, "deleted", "{what}: wrong data");
                }
                Answer::Tree(tree) => {
                    assert_eq!(proxyfs_harness::tree::diff(&expected, &tree), [""; 0], "{what}");
                    *seen.entry(format!("{folder}: works")).or_default() += 1;
                }
                Answer::Refused(error) => {
                    check_text(&what, &key, &error);
                    *seen.entry(format!("{folder}: refused")).or_default() += 1;
                }
            }
        }
    }
    assert!(seen["data: refused"] > 10 && seen["meta: refused"] > 10 && seen["head: refused"] > 10, "{seen:?}");
}

#[test]
fn damage_to_any_object_is_refused_or_harmless_and_found() {
    runtime().block_on(damage_everything(Tier::Disk));
}

#[test]
fn damage_to_any_object_in_tier_store_is_refused_or_harmless_and_found() {
    runtime().block_on(damage_everything(Tier::Store));
}

#[test]
fn a_computer_that_has_seen_the_newest_head_misses_it() {
    runtime().block_on(async {
        let (sound, _) = small(Tier::Disk).await;
        let heads = sound.store.dump().into_iter().filter(|(key, _)| key.path.starts_with("head/"));
        let newest = heads.map(|(key, _)| key).next_back().expect("a head");
        sound.store.delete(std::slice::from_ref(&newest)).await.expect("memory");
        let error = sound.open().await.expect_err("its newest head is gone");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&newest.path), "{error}");
    });
}

fn errors_of(report: &FsckReport) -> Vec<String> {
    report.faults.iter().filter(|f| f.severity == Severity::Error).map(ToString::to_string).collect()
}

#[test]
fn a_lost_data_object_names_the_files_and_their_ranges() {
    runtime().block_on(async {
        let (machine, _) = small(Tier::Disk).await;
        let gone: Vec<_> =
            machine.store.dump().into_iter().map(|(key, _)| key).filter(|k| k.path.starts_with("data/")).collect();
        machine.store.delete(&gone).await.expect("memory");
        let report = machine.fsck().await;
        let lost: BTreeMap<_, _> =
            report.faults.iter().filter_map(|f| Some((f.path.clone()?, f.what.clone()))).collect();
        assert_eq!(lost.keys().map(String::as_str).collect::<Vec<_>>(), ["/d/f", "/d/h", "/g"], "{:#?}", report.faults);
        assert!(lost["/g"].contains("bytes 0 to 300"), "{}", lost["/g"]);
        assert!(report.complete && !errors_of(&report).is_empty());
    });
}

#[test]
fn a_read_of_a_damaged_frame_names_object_offset_and_file() {
    runtime().block_on(async {
        let (machine, _) = small(Tier::Disk).await;
        for (key, content) in machine.store.dump().into_iter().filter(|(key, _)| key.path.starts_with("data/")) {
            let mut bytes = content.to_vec();
            bytes[60] ^= 1;
            machine.damage(&key, bytes);
        }
        let machine = machine.elsewhere(4).await;
        let volume = machine.open().await.expect("metadata is sound");
        let d = volume.lookup(Ino::ROOT, b"d").await.expect("d").ino;
        let f = volume.lookup(d, b"f").await.expect("f").ino;
        let flags = OpenFlags { read: true, ..OpenFlags::default() };
        let handle = volume.open(Caller::default(), f, flags).await.expect("open");
        let error = volume.read(handle, 0, 100).await.expect_err("damaged");
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(text.contains("/d/f") && text.contains("data/") && text.contains("frame at 0"), "{text}");
        volume.abandon().await;
    });
}
