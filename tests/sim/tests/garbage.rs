//! A volume that churns does not grow, and what a kept head needs is never deleted.

use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::config::ReplayLogSync;
use proxyfs_core::format::Tier;
use proxyfs_core::fs::FileSystem;
use proxyfs_harness::sim::Crash;
use proxyfs_sim::files::{bytes, get, put, remove};
use proxyfs_sim::machine::{Machine, Setup};
use proxyfs_sim::reach::check_store;
use proxyfs_sim::{is_long, runtime};
use proxyfs_store::MemStore;

/// Objects that a volume of a few files may need, with eight heads and what waits for deletion.
const OBJECTS_MAX: usize = 150;
/// Crashes leave objects that are deleted eight heads later.
const ROUNDS_PER_CRASH: u64 = 17;

async fn churn(tier: Tier, crashes: bool) {
    let mut setup = Setup::busy(tier, ReplayLogSync::Pipelined);
    setup.options.checkpoint_interval = Duration::from_secs(3600);
    let store = Arc::new(MemStore::new());
    let mut machine = Machine::new(Arc::clone(&store), setup, 1);
    machine.create_volume().await.expect("a volume");
    machine.open().await.expect("open");
    put(machine.volume(), "kept", &bytes(0, 100_000)).await.expect("write");
    let rounds = if is_long() { 1_000 } else { 120 };
    let mut most = 0;
    for round in 0..rounds {
        machine.clock.advance_nanos(20_000_000_000);
        for i in 0..4 {
            put(machine.volume(), &format!("file {i}"), &bytes(round * 10 + i, 30_000)).await.expect("write");
        }
        if tier == Tier::Store && round % 3 == 0 {
            machine.volume().syncfs().await.expect("sync");
        }
        remove(machine.volume(), &format!("file {}", round % 4)).await.expect("remove");
        machine.volume().checkpoint().await.expect("checkpoint");
        check_store(&store, false).unwrap_or_else(|e| panic!("{tier:?} round {round}: {e}"));
        if crashes && round % ROUNDS_PER_CRASH == 5 {
            put(machine.volume(), "file 0", &bytes(round, 60_000)).await.expect("write");
            tokio::time::sleep(Duration::from_millis(round % 7)).await;
            machine = machine.crash(Crash::ProcessKill).await;
            machine.open().await.expect("open");
        }
        most = most.max(store.dump().len());
    }
    // What died last is deleted once eight more heads are there.
    for round in 0..12 {
        machine.clock.advance_nanos(20_000_000_000);
        put(machine.volume(), "last", &[round]).await.expect("write");
        machine.volume().checkpoint().await.expect("checkpoint");
    }
    let kept = store.dump();
    check_store(&store, true).unwrap_or_else(|e| panic!("{tier:?}: {e}"));
    assert!(most <= OBJECTS_MAX, "{tier:?}: {most} objects");
    let folders = |prefix: &str| kept.iter().filter(|(k, _)| k.path.starts_with(prefix)).count();
    assert!(
        folders("data/") <= 40 && folders("log/") <= 20,
        "{tier:?}: {} data, {} log",
        folders("data/"),
        folders("log/")
    );
    machine.volume().drop_caches();
    assert_eq!(get(machine.volume(), "kept").await.expect("read"), Some(bytes(0, 100_000)));
    assert_eq!(machine.volume().check_metadata().await.expect("check"), []);
}

#[test]
fn a_churning_volume_stays_small() {
    for tier in [Tier::Disk, Tier::Store] {
        runtime().block_on(churn(tier, false));
    }
}

#[test]
fn a_churning_volume_with_crashes_stays_small() {
    for tier in [Tier::Disk, Tier::Store] {
        runtime().block_on(churn(tier, true));
    }
}
