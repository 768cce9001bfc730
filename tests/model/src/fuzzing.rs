//! Entry points for fuzzers that need a whole engine: sequences of operations, and mounts of damaged volumes.
//!
//! As in [`proxyfs_core::fuzzing`], each takes any bytes and panics if a property breaks. Everything is in memory, on a simulated
//! machine and clock, and follows from the bytes alone.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use proxyfs_core::config::{EngineOptions, VolumeOptions};
use proxyfs_core::engine::Engine;
use proxyfs_core::env::LocalDir;
use proxyfs_core::format::Tier;
use proxyfs_core::fsck::{FsckOptions, check_volume};
use proxyfs_core::fuzzing::{Target, repaired};
use proxyfs_core::store::{ObjectKey, ObjectStore};
use proxyfs_core::volume::Volume;
use proxyfs_harness::diff::{Options, Plain, run_compare};
use proxyfs_harness::model::Model;
use proxyfs_harness::ops::{Mask, Profile, Slots, apply, ops_from_bytes, seeded_ops};
use proxyfs_harness::sim::{Crash, SimClock, SimEnv, SimRng, SimStore};
use proxyfs_harness::tree;
use tokio::runtime::Runtime;

use crate::{EngineSubject, Setup};

/// All targets.
pub const TARGETS: [Target; 2] = [("operations", operations), ("mount", mount)];

/// Operations of one sequence.
const OPERATIONS_MAX: usize = 60;
/// Operations that the volume to be damaged has seen before its last checkpoint, and since.
const OPERATIONS_BEFORE: usize = 60;
const OPERATIONS_SINCE: usize = 40;
/// Longest that a mount, or a look at everything in a mounted volume, may take on the volume's clock.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// Directories of a state directory.
const FOLDERS: [&str; 5] = ["", "log", "stage", "cache", "lost"];

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

/// Bytes as operations on an engine with tiny budgets and on the model: equal answers, equal trees, sound metadata.
pub fn operations(input: &[u8]) {
    let Some((&first, rest)) = input.split_first() else { return };
    let ops = ops_from_bytes(Profile::FULL, rest, OPERATIONS_MAX);
    let tier = if first % 2 == 0 { Tier::Disk } else { Tier::Store };
    let runtime = runtime();
    runtime.block_on(async {
        let clock = Arc::new(SimClock::manual());
        let store: Arc<dyn ObjectStore> = Arc::new(SimStore::default());
        let subject = EngineSubject::create(SimEnv::new(1), Some(Arc::clone(&clock) as _), store, Setup::tiny(tier));
        let mut subject = subject.await.expect("a fresh volume");
        let mut model = Plain(Model::new(Arc::clone(&clock) as _));
        let options = Options { mask: Mask::default(), clock: Some(clock) };
        run_compare(&mut model, &mut subject, &ops, &options)
            .await
            .unwrap_or_else(|d| panic!("left is the model: {d}"));
        assert_eq!(subject.volume().check_metadata().await.expect("a check"), []);
    });
}

/// A volume to be damaged: a store and a state directory, as a killed process left them.
struct Victim {
    sim: SimEnv,
    objects: BTreeMap<ObjectKey, Bytes>,
    setup: Setup,
    parts: Vec<Part>,
}

/// Something that can be damaged.
#[derive(Clone)]
enum Part {
    File(String),
    Object(ObjectKey),
}

/// One victim of each tier, made once.
static VICTIMS: LazyLock<[Victim; 2]> = LazyLock::new(|| [Tier::Disk, Tier::Store].map(victim));

fn victim(tier: Tier) -> Victim {
    let setup = Setup::tiny(tier);
    let runtime = runtime();
    runtime.block_on(async {
        let sim = SimEnv::new(1);
        let store = Arc::new(SimStore::default());
        let subject = EngineSubject::create(sim.clone(), None, Arc::clone(&store) as _, setup.clone());
        let subject = subject.await.expect("a fresh volume");
        let volume = subject.volume();
        let mut slots = Slots::new(Mask::default());
        let mut ops = seeded_ops(Profile { engine: false, ..Profile::FULL }, 7);
        for op in ops.by_ref().take(OPERATIONS_BEFORE) {
            apply(volume, &mut slots, &op).await;
        }
        volume.checkpoint().await.expect("a checkpoint");
        for op in ops.take(OPERATIONS_SINCE) {
            apply(volume, &mut slots, &op).await;
        }
        let sim = sim.crashed(Crash::ProcessKill);
        let objects = store.objects();
        let files = FOLDERS.iter().flat_map(|folder| {
            let path = move |name: String| if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let listed = sim.dir.list(folder).expect("a listing");
            listed.into_iter().map(move |(name, _)| Part::File(path(name)))
        });
        let parts = files.chain(objects.keys().cloned().map(Part::Object)).collect();
        Victim { sim, objects, setup, parts }
    })
}

/// Where and how the bytes of an input change a part.
struct Damage<'i> {
    part: Part,
    offset: usize,
    /// Whether what lies behind goes.
    cut: bool,
    repair: bool,
    bytes: &'i [u8],
}

impl<'i> Damage<'i> {
    /// One byte chooses the part, one how, two the place; the others are put there.
    fn of(input: &'i [u8], victim: &Victim) -> Option<Self> {
        let ([part, how, low, high], bytes) = input.split_first_chunk()?;
        let part = victim.parts[usize::from(*part) % victim.parts.len()].clone();
        let offset = u16::from_le_bytes([*low, *high]).into();
        Some(Self { part, offset, cut: how & 1 != 0, repair: how & 2 != 0, bytes })
    }

    fn apply(&self, content: &[u8]) -> Bytes {
        let mut damaged = content.to_vec();
        let start = self.offset % (damaged.len() + 1);
        let end = if self.cut { damaged.len() } else { damaged.len().min(start + self.bytes.len()) };
        damaged.splice(start..end, self.bytes.iter().copied());
        if self.repair { repaired(&damaged) } else { damaged.into() }
    }
}

/// Bytes put anywhere into a state directory or a store, with or without checksums that hold: the mount and everything that is
/// looked at answers or says what is wrong, in time.
pub fn mount(input: &[u8]) {
    let Some((&which, rest)) = input.split_first() else { return };
    let victim = &VICTIMS[usize::from(which & 1)];
    let Some(damage) = Damage::of(rest, victim) else { return };
    let mut sim = victim.sim.crashed(Crash::ProcessKill);
    // Of its own, so that an input does the same whatever came before it.
    (sim.clock, sim.rng) = (Arc::new(SimClock::manual()), Arc::new(SimRng::new(1)));
    let mut objects = victim.objects.clone();
    match &damage.part {
        Part::File(path) => {
            let content = sim.dir.read(path).expect("a file of the victim");
            sim.dir.replace(path, &damage.apply(&content)).expect("a file replaced");
        }
        Part::Object(key) => {
            let content = damage.apply(&objects[key]);
            objects.insert(key.clone(), content);
        }
    }
    // Without the store it is mounted from what the state directory holds.
    let store = Arc::new(if which & 2 == 0 { SimStore::with(objects) } else { SimStore::away() });
    let store = store as Arc<dyn ObjectStore>;
    // The check has a thread of its own, which a clock that jumps ahead would not wait for.
    let plain = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    drop(plain.block_on(check_volume(&store, &FsckOptions { data: true, ..FsckOptions::default() })));
    let looked = async { tokio::time::timeout(PATIENCE, look(&sim, store, &victim.setup)).await };
    assert!(runtime().block_on(looked).is_ok(), "the mount does not end");
}

/// Opens the volume and reads everything; whatever fails may fail.
async fn look(sim: &SimEnv, store: Arc<dyn ObjectStore>, setup: &Setup) {
    let engine = Engine::new(&EngineOptions { memory_budget: setup.memory_budget });
    let options = VolumeOptions { operation_timeout: Duration::from_secs(5), ..setup.volume.clone() };
    let Ok(volume) = Volume::open(engine, sim.env(), store, options).await else { return };
    drop(tree::snapshot(&volume).await);
    drop(volume.check_metadata().await);
    drop(volume.close(Duration::from_secs(10)).await);
}
