//! Random operations over a store that fails at random, with crashes and remounts between, held against the model.
//!
//! A run follows from its seed alone: two runs of one seed leave the same bytes in the store.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::config::ReplayLogSync;
use proxyfs_core::format::Tier;
use proxyfs_harness::model::Model;
use proxyfs_harness::ops::{Mask, Op, Profile, Slots, apply, seeded_ops};
use proxyfs_harness::sim::{Crash, SimClock, SimRng};
use proxyfs_harness::tree;
use proxyfs_sim::machine::{Machine, Setup};
use proxyfs_sim::{is_long, runtime};
use proxyfs_store::fault::FaultConfig;
use proxyfs_store::retry::RetryPolicy;
use proxyfs_store::{FaultStore, MemStore, Retry};

const STEP_NANOS: u64 = 1_000_000_007;
const MASK: Mask = Mask { clocks_differ: false, atime: true, btime: false };
/// Operations of one run.
const OPERATIONS: usize = 400;
/// One of so many operations is followed by a death of the process.
const OPERATIONS_PER_CRASH: u64 = 40;

fn faults(seed: u64) -> FaultConfig {
    FaultConfig {
        seed,
        latency_max: Duration::from_millis(40),
        error_before: 0.05,
        error_after: 0.05,
        duplicate: 0.05,
        throttle: 0.02,
        truncated: 0.02,
        stale_list: Duration::from_millis(500),
        ..FaultConfig::default()
    }
}

/// Runs one seed; a digest of what is in the store at its end.
async fn soak(seed: u64) -> u64 {
    let tier = if seed.is_multiple_of(2) { Tier::Disk } else { Tier::Store };
    let mut setup = Setup::busy(tier, ReplayLogSync::Pipelined);
    setup.options.checkpoint_interval = Duration::from_millis(300);
    let mem = Arc::new(MemStore::new());
    let store = Arc::new(FaultStore::new(Arc::clone(&mem), FaultConfig::default()));
    let handle = store.handle();
    let store = Arc::new(Retry::new(store, RetryPolicy { jitter_seed: Some(seed), ..RetryPolicy::default() }));
    let mut machine = Machine::new(store, setup, seed);
    machine.create_volume().await.expect("a volume");
    machine.open().await.expect("open");
    handle.set_config(faults(seed));

    let clock = Arc::new(SimClock::manual());
    let mut model = Model::new(Arc::clone(&clock) as _);
    let (mut model_slots, mut slots) = (Slots::new(MASK), Slots::new(MASK));
    let chance = SimRng::new(seed);
    for (index, op) in seeded_ops(Profile::FULL, seed).take(OPERATIONS).enumerate() {
        clock.advance_nanos(STEP_NANOS);
        machine.clock.advance_nanos(STEP_NANOS);
        match op {
            Op::Checkpoint => machine.volume().checkpoint().await.map(drop).expect("checkpoint"),
            Op::DropCaches => machine.volume().drop_caches(),
            Op::Remount => {
                model_slots.close_all(&model).await;
                slots.close_all(machine.volume()).await;
                machine.close().await.expect("close");
                machine.open().await.expect("open");
            }
            _ => {}
        }
        let wanted = apply(&model, &mut model_slots, &op).await;
        let got = apply(machine.volume(), &mut slots, &op).await;
        assert_eq!(wanted, got, "seed {seed}, operation {index}: {op:?}");
        tokio::time::sleep(Duration::from_millis(chance.below(60))).await;
        if chance.below(OPERATIONS_PER_CRASH) == 0 {
            model = model.restarted();
            (model_slots, slots) = (Slots::new(MASK), Slots::new(MASK));
            machine = machine.crash(Crash::ProcessKill).await;
            machine.open().await.unwrap_or_else(|e| panic!("seed {seed}, operation {index}: cannot open: {e:?}"));
            let faults = machine.volume().check_metadata().await.expect("check");
            assert_eq!(faults, [], "seed {seed}, operation {index}");
        }
    }
    handle.set_config(FaultConfig::default());
    model_slots.close_all(&model).await;
    slots.close_all(machine.volume()).await;
    machine.close().await.expect("close");
    machine.open().await.expect("open");
    let left = tree::snapshot(&model).await.expect("model").without_lazy_times();
    let right = tree::snapshot(machine.volume()).await.expect("engine").without_lazy_times();
    assert_eq!(tree::diff(&left, &right), Vec::<String>::new(), "seed {seed}");
    assert_eq!(machine.volume().check_metadata().await.expect("check"), [], "seed {seed}");
    machine.close().await.expect("close");
    let mut hasher = DefaultHasher::new();
    for (key, content) in mem.dump() {
        key.hash(&mut hasher);
        content.hash(&mut hasher);
    }
    hasher.finish()
}

#[test]
fn random_faults_and_crashes_change_no_answer() {
    let seeds = if is_long() { 200 } else { 12 };
    for seed in 0..seeds {
        let digest = runtime().block_on(soak(seed));
        println!("seed {seed}: {digest:016x}");
    }
}

#[test]
fn a_seed_leaves_the_same_bytes_each_time() {
    for seed in [3, 4] {
        let digests = [runtime().block_on(soak(seed)), runtime().block_on(soak(seed))];
        assert_eq!(digests[0], digests[1], "seed {seed}");
    }
}
