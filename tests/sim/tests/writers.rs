//! Two machines and one volume: one writes, and a writer that was replaced publishes nothing more and loses nothing of its own.

use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::ErrorKind;
use proxyfs_core::config::ReplayLogSync;
use proxyfs_core::env::LocalDir;
use proxyfs_core::format::Tier;
use proxyfs_core::fs::FileSystem;
use proxyfs_harness::sim::Crash;
use proxyfs_sim::files::{bytes, get, put};
use proxyfs_sim::gate::Conditional;
use proxyfs_sim::machine::{Machine, Setup};
use proxyfs_sim::runtime;
use proxyfs_store::MemStore;

const TIERS: [Tier; 2] = [Tier::Disk, Tier::Store];

async fn first(tier: Tier) -> Machine {
    first_on(Conditional::Atomic, tier).await
}

async fn first_on(conditional: Conditional, tier: Tier) -> Machine {
    let mut setup = Setup::busy(tier, ReplayLogSync::Pipelined);
    if conditional != Conditional::Atomic {
        setup = setup.settling(conditional);
    }
    setup.options.checkpoint_interval = Duration::from_secs(3600);
    setup.options.owner = "first".to_owned();
    let mut machine = Machine::new(Arc::new(MemStore::new()), setup, 1);
    machine.create_volume().await.expect("a volume");
    machine.open().await.expect("open");
    put(machine.volume(), "old", &bytes(1, 10_000)).await.expect("write");
    machine.volume().checkpoint().await.expect("checkpoint");
    machine
}

/// A second machine that does not ask for a take-over.
fn polite(machine: &Machine) -> Machine {
    let mut other = machine.another(2);
    other.setup.options.take_over = false;
    other
}

fn files_in(machine: &Machine, dir: &str) -> Vec<String> {
    machine.sim.dir.list(dir).expect("list").into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_second_writer_is_refused_and_told_who_has_the_volume() {
    runtime().block_on(async {
        for tier in TIERS {
            let machine = first(tier).await;
            let error = polite(&machine).open().await.expect_err("in use");
            assert_eq!(error.kind(), ErrorKind::Busy);
            assert!(error.to_string().contains("first") && error.to_string().contains("take-over"), "{error}");
            put(machine.volume(), "more", b"more").await.expect("the first goes on");
            machine.volume().checkpoint().await.expect("the first goes on");
        }
    });
}

#[test]
fn a_cleanly_closed_volume_is_anybodys() {
    runtime().block_on(async {
        for tier in TIERS {
            let mut machine = first(tier).await;
            machine.close().await.expect("close");
            let mut other = polite(&machine);
            other.open().await.expect("open");
            assert_eq!(get(other.volume(), "old").await.expect("read"), Some(bytes(1, 10_000)));
            other.close().await.expect("close");
            machine.open().await.expect("the first again");
            machine.close().await.expect("close");
        }
    });
}

#[test]
fn a_replaced_writer_publishes_nothing_more_and_keeps_what_it_staged() {
    runtime().block_on(async {
        for tier in TIERS {
            let machine = first(tier).await;
            put(machine.volume(), "mine", &bytes(2, 20_000)).await.expect("write");
            let mut other = machine.another(2);
            other.open().await.expect("take over");
            put(other.volume(), "theirs", b"theirs").await.expect("write");
            other.volume().checkpoint().await.expect("checkpoint");

            let outcome = match tier {
                Tier::Disk => machine.volume().checkpoint().await.map(drop),
                Tier::Store => machine.volume().syncfs().await,
            };
            let error = outcome.expect_err("fenced");
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            assert!(error.to_string().contains("state directory"), "{error}");
            let error = put(machine.volume(), "later", b"later").await.expect_err("fenced");
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            let error = machine.volume().checkpoint().await.expect_err("fenced");
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            assert_eq!(get(machine.volume(), "mine").await.expect("read"), Some(bytes(2, 20_000)));
            assert!(!files_in(&machine, "stage").is_empty());

            // The first machine starts again: its old log is not applied and not lost.
            let mut machine = machine.crash(Crash::ProcessKill).await;
            other.close().await.expect("close");
            machine.open().await.expect("open after the other closed");
            assert_eq!(get(machine.volume(), "mine").await.expect("read"), None);
            assert_eq!(get(machine.volume(), "theirs").await.expect("read"), Some(b"theirs".to_vec()));
            assert_eq!(get(machine.volume(), "old").await.expect("read"), Some(bytes(1, 10_000)));
            assert_eq!(files_in(&machine, "lost"), Vec::<String>::new(), "it is handed over, see `handover`");
            assert_eq!(machine.volume().check_metadata().await.expect("check"), []);
            machine.close().await.expect("close");
        }
    });
}

#[test]
fn what_the_replaced_writer_had_committed_in_tier_store_is_there() {
    runtime().block_on(async {
        let machine = first(Tier::Store).await;
        put(machine.volume(), "mine", &bytes(2, 100_000)).await.expect("write");
        machine.volume().syncfs().await.expect("commit");
        put(machine.volume(), "not committed", b"x").await.expect("write");
        let mut other = machine.another(2);
        other.open().await.expect("take over");
        assert_eq!(get(other.volume(), "mine").await.expect("read"), Some(bytes(2, 100_000)));
        assert_eq!(get(other.volume(), "not committed").await.expect("read"), None);
        let error = machine.volume().syncfs().await.expect_err("fenced");
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        other.close().await.expect("close");
    });
}

/// The take-over comes at every moment of a commit: either the commit is not acknowledged, or the new owner has it.
async fn race_a_take_over(conditional: Conditional) {
    let mut outcomes = Vec::new();
    // Negative: the commit begins first.
    for delay in -40_i64..60 {
        let machine = first_on(conditional, Tier::Store).await;
        put(machine.volume(), "mine", &bytes(2, 150_000)).await.expect("write");
        let mut other = machine.another(2);
        let wait = |millis: i64| tokio::time::sleep(Duration::from_millis(millis.max(0).unsigned_abs()));
        let committed = async {
            wait(delay).await;
            machine.volume().syncfs().await
        };
        let taken = async {
            wait(-delay).await;
            other.open().await
        };
        let (committed, taken) = tokio::join!(committed, taken);
        taken.expect("take over");
        let there = get(other.volume(), "mine").await.expect("read");
        if committed.is_ok() {
            assert_eq!(there, Some(bytes(2, 150_000)), "acknowledged, and lost by a take-over {delay} ms before");
        }
        assert_eq!(other.volume().check_metadata().await.expect("check"), []);
        outcomes.push(committed.is_ok());
        other.close().await.expect("close");
    }
    assert!(outcomes.contains(&true) && outcomes.contains(&false), "{outcomes:?}");
}

#[test]
fn a_commit_that_races_a_take_over_is_refused_or_kept() {
    runtime().block_on(race_a_take_over(Conditional::Atomic));
}

#[test]
fn a_commit_that_races_a_take_over_on_a_store_that_ignores_conditions_is_refused_or_kept() {
    runtime().block_on(race_a_take_over(Conditional::Ignored));
}

#[test]
fn a_commit_that_races_a_take_over_on_a_store_that_checks_conditions_late_is_refused_or_kept() {
    runtime().block_on(race_a_take_over(Conditional::Late));
}

#[test]
fn a_store_that_does_not_keep_conditions_is_refused_without_the_opt_in() {
    runtime().block_on(async {
        for conditional in [Conditional::Ignored, Conditional::Late] {
            let mut setup = Setup::busy(Tier::Disk, ReplayLogSync::Pipelined);
            setup.conditional = conditional;
            let mut machine = Machine::new(Arc::new(MemStore::new()), setup, 1);
            machine.create_volume().await.expect("a volume");
            let error = machine.open().await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::NotSupported, "{conditional:?}: {error}");
            assert!(error.to_string().contains("settle"), "{error}");
        }
    });
}

/// Two machines claim at nearly the same time: at most one has the volume afterwards.
#[test]
fn of_two_claims_on_a_store_that_does_not_keep_conditions_one_wins() {
    runtime().block_on(async {
        for conditional in [Conditional::Ignored, Conditional::Late] {
            for delay in 0..30 {
                let mut machine = first_on(conditional, Tier::Disk).await;
                machine.close().await.expect("close");
                let (mut left, mut right) = (machine.another(2), machine.another(3));
                let later = async {
                    tokio::time::sleep(Duration::from_millis(delay)).await;
                    right.open_once().await
                };
                let opened = tokio::join!(left.open_once(), later);
                let mut published = 0;
                for (machine, opened) in [(&left, opened.0), (&right, opened.1)] {
                    if opened.is_ok() {
                        put(machine.volume(), "mine", &bytes(delay, 5_000)).await.expect("staged");
                        published += usize::from(machine.volume().checkpoint().await.is_ok());
                    }
                }
                assert_eq!(published, 1, "{conditional:?}, the second claim {delay} ms later");
            }
        }
    });
}

#[test]
fn an_old_log_put_back_into_the_state_directory_changes_nothing() {
    runtime().block_on(async {
        for tier in TIERS {
            let machine = first(tier).await;
            put(machine.volume(), "a", b"first").await.expect("write");
            let mut machine = machine.crash(Crash::ProcessKill).await;
            let old: Vec<_> = files_in(&machine, "log");
            let old: Vec<_> =
                old.into_iter().map(|n| (machine.sim.dir.read(&format!("log/{n}")).expect("read"), n)).collect();
            machine.open().await.expect("open");
            put(machine.volume(), "a", b"second").await.expect("write");
            put(machine.volume(), "b", &bytes(3, 5_000)).await.expect("write");
            machine.volume().checkpoint().await.expect("checkpoint");
            let mut machine = machine.crash(Crash::ProcessKill).await;
            for (content, name) in &old {
                machine.sim.dir.replace(&format!("log/{name}"), content).expect("put back");
            }
            machine.open().await.expect("open");
            assert_eq!(get(machine.volume(), "a").await.expect("read"), Some(b"second".to_vec()));
            assert_eq!(get(machine.volume(), "b").await.expect("read"), Some(bytes(3, 5_000)));
            assert_eq!(machine.volume().check_metadata().await.expect("check"), []);
            machine.close().await.expect("close");
        }
    });
}

#[test]
fn of_two_machines_with_one_disk_image_one_writes() {
    runtime().block_on(async {
        for tier in TIERS {
            let machine = first(tier).await;
            put(machine.volume(), "shared", b"before the copy").await.expect("write");
            let mut copy = machine.cloned(9);
            copy.open().await.expect("the copy carries the claim");
            put(copy.volume(), "copy", b"copy").await.expect("write");
            copy.volume().checkpoint().await.expect("checkpoint");
            put(machine.volume(), "original", b"original").await.expect("staged");
            let error = machine.volume().checkpoint().await.expect_err("fenced");
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            // The original does not know the copy's claim: it is a stranger now.
            let mut machine = machine.crash(Crash::ProcessKill).await;
            assert_eq!(machine.open().await.expect_err("in use").kind(), ErrorKind::Busy);
            assert_eq!(get(copy.volume(), "copy").await.expect("read"), Some(b"copy".to_vec()));
            assert_eq!(copy.volume().check_metadata().await.expect("check"), []);
            copy.close().await.expect("close");
        }
    });
}
