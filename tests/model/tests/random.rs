//! The engine against the reference model by random sequences, compared after every operation and as whole trees.

use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::format::Tier;
use proxyfs_core::store::ObjectStore;
use proxyfs_harness::diff::{SequenceCheck, check_sequences};
use proxyfs_harness::ops::{Mask, Profile};
use proxyfs_harness::sim::SimEnv;
use proxyfs_model::{EngineSubject, Setup};
use proxyfs_store::fault::FaultConfig;
use proxyfs_store::retry::RetryPolicy;
use proxyfs_store::{FaultStore, MemStore, Retry};

/// Sequences of each test when nothing else is said: together 10,000.
const CASES: u32 = 2_500;

/// `PROXYFS_MODEL_CASES` makes a run shorter or longer.
fn cases() -> u32 {
    std::env::var("PROXYFS_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES)
}

fn plain_store(_: u64) -> Arc<dyn ObjectStore> {
    Arc::new(MemStore::new())
}

/// A store that is slow, fails before and after the effect, repeats, throttles, breaks off and lists late.
fn faulty_store(seed: u64) -> Arc<dyn ObjectStore> {
    let config = FaultConfig {
        seed,
        latency_min: Duration::from_millis(1),
        latency_max: Duration::from_millis(200),
        error_before: 0.05,
        error_after: 0.05,
        duplicate: 0.05,
        throttle: 0.05,
        truncated: 0.05,
        stale_list: Duration::from_secs(5),
        ..FaultConfig::default()
    };
    let faulty = Arc::new(FaultStore::new(Arc::new(MemStore::new()), config));
    Arc::new(Retry::new(faulty, RetryPolicy::default()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("runtime")
}

fn check(seed: u64, setup: &Setup, store: impl Fn(u64) -> Arc<dyn ObjectStore>) {
    let check = SequenceCheck { cases: cases(), ops_max: 150, seed, profile: Profile::FULL, mask: Mask::default() };
    let runtime = runtime();
    check_sequences(&check, &runtime, |clock| {
        let subject = EngineSubject::create(SimEnv::new(seed), Some(clock as _), store(seed), setup.clone());
        runtime.block_on(subject).expect("a fresh volume")
    });
}

#[test]
fn engine_agrees_with_the_model() {
    check(1, &Setup::new(Tier::Disk), plain_store);
}

#[test]
fn engine_with_tiny_budgets_agrees_with_the_model() {
    check(2, &Setup::tiny(Tier::Disk), plain_store);
}

#[test]
fn engine_in_tier_store_agrees_with_the_model() {
    check(3, &Setup::new(Tier::Store), plain_store);
}

#[test]
fn engine_over_a_faulty_store_agrees_with_the_model() {
    check(4, &Setup::tiny(Tier::Disk), faulty_store);
}

#[test]
fn reopening_an_unchanged_volume_works() {
    let runtime = runtime();
    runtime.block_on(async {
        let store: Arc<dyn ObjectStore> = Arc::new(MemStore::new());
        let mut subject =
            EngineSubject::create(SimEnv::new(7), None, store, Setup::new(Tier::Disk)).await.expect("a fresh volume");
        for _ in 0..3 {
            proxyfs_harness::diff::Subject::remount(&mut subject).await.expect("remount");
            subject.volume().checkpoint().await.expect("checkpoint");
        }
    });
}
