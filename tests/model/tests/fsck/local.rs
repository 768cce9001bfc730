//! Every file of the local state directory is flipped and cut: recovery stops at a prefix or refuses, and nothing panics.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use proxyfs_core::ErrorKind;
use proxyfs_core::config::EngineOptions;
use proxyfs_core::engine::Engine;
use proxyfs_core::env::LocalDir;
use proxyfs_core::format::Tier;
use proxyfs_core::fs::{Caller, FileSystem};
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind, StoreResult,
};
use proxyfs_core::types::Ino;
use proxyfs_core::volume::Volume;
use proxyfs_harness::tree::{TreeSnapshot, snapshot};

use crate::machine::{Machine, mkdir, noise, runtime, write_file};

const HOUR: Duration = Duration::from_secs(3600);
/// Places in a file that are flipped, about.
const FLIPS: usize = 150;

/// A killed computer with changes in its log and staging only, and the trees after each change from the last checkpoint on.
async fn killed(tier: Tier) -> (Machine, Vec<TreeSnapshot>) {
    let mut machine = Machine::create(5, tier).await;
    machine.options.checkpoint_interval = HOUR;
    machine.options.max_flush_time = HOUR;
    let volume = machine.open().await.expect("open");
    let d = mkdir(&volume, Ino::ROOT, "d").await;
    write_file(&volume, d, "old", &noise(1, 3_000)).await;
    volume.checkpoint().await.expect("checkpoint");
    let mut states = Vec::new();
    let picture = || async { snapshot(&volume).await.expect("picture").without_times() };
    states.push(picture().await);
    for i in 0..4u64 {
        write_file(&volume, d, &format!("f{i}"), b"").await;
        states.push(picture().await);
        let ino = volume.lookup(d, format!("f{i}").as_bytes()).await.expect("f").ino;
        let flags = proxyfs_core::fs::OpenFlags { write: true, ..Default::default() };
        let handle = volume.open(Caller::default(), ino, flags).await.expect("open");
        volume.write(handle, 0, Bytes::from(noise(i, 2_000)), Default::default()).await.expect("write");
        volume.release(handle, None).await.expect("release");
        states.push(picture().await);
    }
    let killed = machine.copy().await;
    volume.abandon().await;
    (killed, states)
}

fn files(machine: &Machine) -> Vec<String> {
    let dir = &machine.sim.dir;
    let inside = |folder: &str| {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let names = dir.list(folder).expect("list");
        names.into_iter().map(move |(name, _)| format!("{prefix}{name}")).collect::<Vec<_>>()
    };
    ["", "log", "stage"].into_iter().flat_map(inside).collect()
}

fn damages(content: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    // What follows the records is zeros set aside.
    let used = content.iter().rposition(|b| *b != 0).map_or(content.len(), |last| last + 2).min(content.len());
    for at in (0..used).step_by((used / FLIPS).max(1)) {
        let mut bytes = content.to_vec();
        bytes[at] ^= 1 << (at % 8);
        out.push((format!("byte {at} flipped"), bytes));
    }
    for cut in [0, 1, used / 2, used.saturating_sub(1)] {
        out.push((format!("cut to {cut}"), content[..cut.min(content.len())].to_vec()));
    }
    out
}

async fn damage_state_directory(tier: Tier) {
    let (sound, states) = killed(tier).await;
    let mut prefixes = 0;
    let mut refused = 0;
    for path in files(&sound) {
        let content = sound.sim.dir.read(&path).expect("read");
        for (how, changed) in damages(&content) {
            let what = format!("{path} {how}");
            let machine = sound.copy().await;
            machine.sim.dir.replace(&path, &changed).expect("write");
            let volume = match machine.open().await {
                Ok(volume) => volume,
                Err(error) => {
                    let expected = [ErrorKind::Corrupt, ErrorKind::UnknownFormat, ErrorKind::Config, ErrorKind::Busy];
                    assert!(expected.contains(&error.kind()), "{what}: {error:?}");
                    assert!(!error.to_string().is_empty(), "{what}");
                    refused += 1;
                    continue;
                }
            };
            let tree = snapshot(&volume).await.unwrap_or_else(|e| panic!("{what}: {e:?}")).without_times();
            assert!(states.contains(&tree), "{what}: not a state that ever was");
            prefixes += usize::from(tree != states[states.len() - 1]);
            machine.close(volume).await;
            let report = machine.fsck().await;
            assert!(report.clean(), "{what}: {:#?}", report.faults);
        }
    }
    assert!(prefixes > 20 && refused > 5, "{prefixes} prefixes, {refused} refused");
}

#[test]
fn damage_to_the_state_directory_gives_a_prefix_or_is_refused() {
    runtime().block_on(damage_state_directory(Tier::Disk));
}

/// A store that does not answer.
#[derive(Debug)]
struct Gone;

fn gone<T>() -> StoreResult<T> {
    Err(StoreError::new(StoreErrorKind::Unavailable, "no route"))
}

#[async_trait]
impl ObjectStore for Gone {
    async fn put(&self, _: &ObjectKey, _: Vec<Bytes>, _: PutMode) -> StoreResult<()> {
        gone()
    }
    async fn get(&self, _: &ObjectKey, _: GetRange) -> StoreResult<Bytes> {
        gone()
    }
    async fn len(&self, _: &ObjectKey) -> StoreResult<u64> {
        gone()
    }
    async fn list(&self, _: u32, _: &str, _: Option<&str>) -> StoreResult<ListPage> {
        gone()
    }
    async fn delete(&self, _: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        gone()
    }
    fn conditional_put(&self) -> ConditionalPut {
        ConditionalPut::Atomic
    }
    fn describe(&self) -> String {
        "gone:".to_owned()
    }
}

#[test]
fn a_mount_without_the_store_survives_damaged_copies() {
    runtime().block_on(async {
        let (sound, _) = killed(Tier::Disk).await;
        for path in ["volume.json", "head.bin", "table.bin", "owner.json"] {
            let content = sound.sim.dir.read(path).expect("a copy");
            let mut refused = 0;
            for (how, changed) in damages(&content) {
                let machine = sound.copy().await;
                machine.sim.dir.replace(path, &changed).expect("write");
                let engine = Engine::new(&EngineOptions { memory_budget: machine.memory });
                let store = std::sync::Arc::new(Gone);
                match Volume::open(engine, machine.sim.env(), store, machine.options.clone()).await {
                    Ok(volume) => volume.abandon().await,
                    Err(error) => {
                        assert_ne!(error.kind(), ErrorKind::Internal, "{path} {how}: {error}");
                        refused += usize::from(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnknownFormat));
                    }
                }
            }
            assert!(refused > 20, "{path}: {refused} refused");
        }
    });
}
