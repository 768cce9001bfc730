//! The engine against the reference model by random sequences, compared after every operation and as whole trees.

use std::sync::Arc;

use proxyfs_core::format::Tier;
use proxyfs_core::store::ObjectStore;
use proxyfs_harness::diff::{SequenceCheck, check_sequences};
use proxyfs_harness::ops::{Mask, Profile};
use proxyfs_harness::sim::SimEnv;
use proxyfs_model::{EngineSubject, Setup};
use proxyfs_store::MemStore;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("runtime")
}

fn check(cases: u32, ops_max: usize, seed: u64, setup: &Setup) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    let check = SequenceCheck { cases, ops_max, seed, profile: Profile::FULL, mask: Mask::default() };
    let runtime = runtime();
    check_sequences(&check, &runtime, |clock| {
        let store: Arc<dyn ObjectStore> = Arc::new(MemStore::new());
        let subject = EngineSubject::create(SimEnv::new(seed), Some(clock as _), store, setup.clone());
        runtime.block_on(subject).expect("a fresh volume")
    });
}

#[test]
fn engine_agrees_with_the_model() {
    check(300, 150, 1, &Setup::new(Tier::Disk));
}

#[test]
fn engine_with_tiny_budgets_agrees_with_the_model() {
    check(300, 150, 2, &Setup::tiny(Tier::Disk));
}

#[test]
fn engine_in_tier_store_agrees_with_the_model() {
    check(300, 150, 3, &Setup::new(Tier::Store));
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
