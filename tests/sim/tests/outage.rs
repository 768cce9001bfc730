//! The store goes away and comes back: nothing waits that need not, nothing is lost, and quiet costs nothing.

use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::ErrorKind;
use proxyfs_core::config::ReplayLogSync;
use proxyfs_core::format::Tier;
use proxyfs_core::fs::{Caller, FileSystem};
use proxyfs_core::types::Ino;
use proxyfs_core::volume::ConnectionState;
use proxyfs_harness::sim::Crash;
use proxyfs_sim::files::{bytes, get, put};
use proxyfs_sim::gate::GatePlan;
use proxyfs_sim::machine::{Machine, Setup};
use proxyfs_sim::runtime;
use proxyfs_store::MemStore;
use tokio::time::{Instant, sleep, timeout};

const GONE: GatePlan = GatePlan::GoneFrom(0);

fn machine(setup: Setup) -> Machine {
    Machine::new(Arc::new(MemStore::new()), setup, 1)
}

async fn open(setup: Setup) -> Machine {
    let mut machine = machine(setup);
    machine.create_volume().await.expect("a volume");
    machine.open().await.expect("open");
    machine
}

/// Waits until everything is in the store, without asking for it.
async fn drained(machine: &Machine) {
    let limit = Instant::now() + Duration::from_secs(300);
    loop {
        let status = machine.volume().status();
        if status.waiting_segments == 0 && !status.dirty {
            return;
        }
        assert!(Instant::now() < limit, "the queue does not drain: {status:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn a_minute_without_the_store_fails_no_operation_in_tier_disk() {
    runtime().block_on(async {
        let mut machine = open(Setup::ordinary(Tier::Disk)).await;
        for i in 0..5 {
            put(machine.volume(), &format!("before {i}"), &bytes(i, 50_000)).await.expect("write");
        }
        machine.volume().checkpoint().await.expect("checkpoint");
        assert_eq!(get(machine.volume(), "before 0").await.expect("read"), Some(bytes(0, 50_000)));
        machine.gate.plan(GONE);
        let began = Instant::now();
        for i in 0..60 {
            let volume = machine.volume();
            let (name, content) = (format!("during {i}"), bytes(100 + i, 200_000));
            let write = put(volume, &name, &content);
            timeout(Duration::from_secs(1), write).await.expect("at once").expect("write");
            timeout(Duration::from_secs(1), volume.syncfs()).await.expect("at once").expect("sync");
            assert_eq!(get(volume, "before 0").await.expect("cached"), Some(bytes(0, 50_000)));
            assert_eq!(get(volume, &format!("during {i}")).await.expect("staged"), Some(bytes(100 + i, 200_000)));
            sleep(Duration::from_secs(1)).await;
        }
        assert!(began.elapsed() >= Duration::from_secs(60));
        assert_eq!(machine.volume().status().connection, ConnectionState::Offline);
        machine.gate.plan(GatePlan::Open);
        drained(&machine).await;
        assert_eq!(machine.volume().status().connection, ConnectionState::Online);
        machine.close().await.expect("close");
        let mut other = machine.another(2);
        other.open().await.expect("open elsewhere");
        for i in 0..60 {
            let content = get(other.volume(), &format!("during {i}")).await.expect("read");
            assert_eq!(content, Some(bytes(100 + i, 200_000)), "{i}");
        }
    });
}

#[test]
fn metadata_answers_without_the_store() {
    runtime().block_on(async {
        let machine = open(Setup::ordinary(Tier::Disk)).await;
        for i in 0..20 {
            put(machine.volume(), &format!("file {i}"), b"x").await.expect("write");
        }
        machine.volume().checkpoint().await.expect("checkpoint");
        let calls = machine.gate.calls();
        let volume = machine.volume();
        let now = Instant::now();
        volume.statfs().await.expect("statfs");
        let attr = volume.lookup(Ino::ROOT, b"file 3").await.expect("lookup");
        volume.getattr(attr.ino).await.expect("getattr");
        let dir = volume.opendir(Caller::default(), Ino::ROOT).await.expect("opendir");
        assert_eq!(volume.readdir(dir, 0, true).await.expect("readdir").len(), 22);
        volume.releasedir(dir).await.expect("releasedir");
        assert_eq!((machine.gate.calls(), now.elapsed()), (calls, Duration::ZERO));
    });
}

#[test]
fn a_known_volume_is_mounted_and_written_without_the_store_and_claimed_later() {
    runtime().block_on(async {
        for (tier, clean) in [(Tier::Disk, true), (Tier::Disk, false), (Tier::Store, true), (Tier::Store, false)] {
            let mut machine = open(Setup::busy(tier, ReplayLogSync::Pipelined)).await;
            put(machine.volume(), "before", &bytes(1, 30_000)).await.expect("write");
            machine.volume().syncfs().await.expect("sync");
            put(machine.volume(), "last", &bytes(2, 30_000)).await.expect("write");
            if clean {
                machine.close().await.expect("close");
            }
            let mut machine = machine.crash(Crash::ProcessKill).await;
            machine.gate.plan(GONE);
            machine.open().await.expect("mount without the store");
            put(machine.volume(), "offline", &bytes(3, 30_000)).await.expect("write");
            assert_eq!(get(machine.volume(), "offline").await.expect("read"), Some(bytes(3, 30_000)));
            sleep(Duration::from_secs(30)).await;
            // The process dies meanwhile, and starts again without the store.
            let mut machine = machine.crash(Crash::ProcessKill).await;
            machine.gate.plan(GONE);
            machine.open().await.expect("mount without the store again");
            put(machine.volume(), "offline too", &bytes(4, 30_000)).await.expect("write");
            sleep(Duration::from_secs(30)).await;
            machine.gate.plan(GatePlan::Open);
            drained(&machine).await;
            machine.volume().syncfs().await.expect("sync");
            assert_eq!(machine.volume().check_metadata().await.expect("check"), []);
            machine.close().await.expect("close");
            let mut other = machine.another(2);
            other.open().await.expect("open elsewhere");
            for (name, seed) in [("before", 1), ("last", 2), ("offline", 3), ("offline too", 4)] {
                let content = get(other.volume(), name).await.expect("read");
                assert_eq!(content, Some(bytes(seed, 30_000)), "{tier:?} {clean} {name}");
            }
        }
    });
}

#[test]
fn a_take_over_while_offline_is_found_out_and_nothing_is_thrown_away() {
    runtime().block_on(async {
        let machine = open(Setup::busy(Tier::Disk, ReplayLogSync::Pipelined)).await;
        put(machine.volume(), "before", b"before").await.expect("write");
        machine.volume().checkpoint().await.expect("checkpoint");
        let mut machine = machine.crash(Crash::ProcessKill).await;
        machine.gate.plan(GONE);
        machine.open().await.expect("mount without the store");
        put(machine.volume(), "offline", &bytes(3, 30_000)).await.expect("write");
        let mut other = machine.another(2);
        other.open().await.expect("take over");
        put(other.volume(), "theirs", b"theirs").await.expect("write");
        machine.gate.plan(GatePlan::Open);
        let error = machine.volume().checkpoint().await.expect_err("fenced");
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        assert_eq!(get(machine.volume(), "offline").await.expect("read"), Some(bytes(3, 30_000)));
        other.volume().checkpoint().await.expect("the other goes on");
    });
}

#[test]
fn a_full_staging_budget_slows_writers_then_refuses_then_recovers() {
    runtime().block_on(async {
        let mut setup = Setup::busy(Tier::Disk, ReplayLogSync::Pipelined);
        setup.options.disk_budget = 300_000;
        let mut machine = open(setup).await;
        machine.gate.plan(GONE);
        let mut written = Vec::new();
        let refused = loop {
            let name = format!("file {}", written.len());
            let began = Instant::now();
            match put(machine.volume(), &name, &bytes(written.len() as u64, 50_000)).await {
                Ok(()) => written.push(name),
                Err(error) => break (error, began.elapsed()),
            }
            assert!(written.len() < 10, "the budget is not held");
        };
        assert_eq!(refused.0.kind(), ErrorKind::NoSpace, "{}", refused.0);
        assert!(refused.1 >= Duration::from_secs(60), "{:?}", refused.1);
        assert!(!written.is_empty());

        // A writer that waits goes on as soon as the store is back.
        let waiting = bytes(77, 50_000);
        let (outcome, ()) = tokio::join!(put(machine.volume(), "waiting", &waiting), async {
            sleep(Duration::from_secs(20)).await;
            machine.gate.plan(GatePlan::Open);
        });
        outcome.expect("the store is back");
        put(machine.volume(), "afterwards", &bytes(78, 250_000)).await.expect("write");
        machine.close().await.expect("close");
        machine.open().await.expect("open");
        for (i, name) in written.iter().enumerate() {
            assert_eq!(get(machine.volume(), name).await.expect("read"), Some(bytes(i as u64, 50_000)));
        }
        assert_eq!(get(machine.volume(), "waiting").await.expect("read"), Some(bytes(77, 50_000)));
        assert_eq!(get(machine.volume(), "afterwards").await.expect("read"), Some(bytes(78, 250_000)));
    });
}

#[test]
fn a_sync_in_tier_store_fails_in_time_without_the_store_and_nothing_is_lost() {
    runtime().block_on(async {
        let mut machine = open(Setup::ordinary(Tier::Store)).await;
        put(machine.volume(), "a", b"committed").await.expect("write");
        machine.volume().syncfs().await.expect("sync");
        machine.gate.plan(GONE);
        put(machine.volume(), "b", &bytes(5, 40_000)).await.expect("write");
        let began = Instant::now();
        let error = machine.volume().syncfs().await.expect_err("no store");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(began.elapsed() <= Duration::from_secs(61), "{:?}", began.elapsed());
        machine.gate.plan(GatePlan::Open);
        machine.volume().syncfs().await.expect("the store is back");
        let mut other = machine.another(2);
        other.open().await.expect("take over");
        assert_eq!(get(other.volume(), "b").await.expect("read"), Some(bytes(5, 40_000)));
        machine = machine.crash(Crash::ProcessKill).await;
        drop(machine);
    });
}

#[test]
fn a_quiet_volume_sends_no_request() {
    runtime().block_on(async {
        for tier in [Tier::Disk, Tier::Store] {
            for setup in [Setup::ordinary(tier), Setup::busy(tier, ReplayLogSync::Always)] {
                let machine = open(setup).await;
                put(machine.volume(), "a", &bytes(1, 300_000)).await.expect("write");
                put(machine.volume(), "b", b"b").await.expect("write");
                proxyfs_sim::files::remove(machine.volume(), "b").await.expect("remove");
                machine.volume().syncfs().await.expect("sync");
                sleep(Duration::from_secs(120)).await;
                let (remote, local) = (machine.gate.calls(), machine.sim.dir.calls().count());
                sleep(Duration::from_secs(60)).await;
                assert_eq!((machine.gate.calls(), machine.sim.dir.calls().count()), (remote, local), "{tier:?}");
            }
        }
    });
}
