//! Stores without atomic conditional puts: refused for writing, and with the fallback that the volume opts into, fenced all the same.

use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::ErrorKind;
use proxyfs_core::config::ReplayLogSync;
use proxyfs_core::format::Tier;
use proxyfs_core::fs::FileSystem;
use proxyfs_sim::files::{bytes, get, put};
use proxyfs_sim::machine::{Machine, Setup};
use proxyfs_sim::runtime;
use proxyfs_sim::weak::{WeakStore, Weakness};

const WEAKNESSES: [Weakness; 2] = [Weakness::Ignores, Weakness::Refuses];

fn machine(tier: Tier, weakness: Weakness, settle: Option<Duration>) -> Machine<WeakStore> {
    let mut setup = Setup::busy(tier, ReplayLogSync::Pipelined);
    setup.options.checkpoint_interval = Duration::from_secs(3600);
    setup.options.settle = settle;
    Machine::new(Arc::new(WeakStore::new(weakness)), setup, 1)
}

#[test]
fn a_second_volume_does_not_replace_the_first() {
    runtime().block_on(async {
        for weakness in WEAKNESSES {
            let first = machine(Tier::Disk, weakness, None);
            first.create_volume().await.expect("a volume");
            let error = first.another(2).create_volume().await.expect_err("there is one");
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{weakness:?}: {error}");
        }
    });
}

#[test]
fn without_the_fallback_it_is_refused_for_writing_with_the_way_out() {
    runtime().block_on(async {
        for weakness in WEAKNESSES {
            let mut machine = machine(Tier::Disk, weakness, None);
            machine.create_volume().await.expect("a volume");
            let error = machine.open().await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::NotSupported, "{weakness:?}: {error}");
            assert!(error.to_string().contains("settle="), "{error}");
        }
    });
}

#[test]
fn with_the_fallback_a_take_over_finds_all_that_was_committed_and_fences_the_old_writer() {
    runtime().block_on(async {
        for weakness in WEAKNESSES {
            for tier in [Tier::Disk, Tier::Store] {
                let mut first = machine(tier, weakness, Some(Duration::from_secs(5)));
                first.create_volume().await.expect("a volume");
                first.open().await.expect("open");
                put(first.volume(), "mine", &bytes(2, 100_000)).await.expect("write");
                match tier {
                    Tier::Disk => first.volume().checkpoint().await.map(drop),
                    Tier::Store => first.volume().syncfs().await,
                }
                .expect("commit");
                let mut second = first.another(2);
                second.open().await.unwrap_or_else(|e| panic!("{weakness:?} {tier:?}: {e}"));
                assert_eq!(get(second.volume(), "mine").await.expect("read"), Some(bytes(2, 100_000)));
                put(first.volume(), "late", b"late").await.expect("staged");
                let outcome = match tier {
                    Tier::Disk => first.volume().checkpoint().await.map(drop),
                    Tier::Store => first.volume().syncfs().await,
                };
                assert_eq!(outcome.expect_err("fenced").kind(), ErrorKind::Fenced);
                assert_eq!(get(second.volume(), "late").await.expect("read"), None);
                second.close().await.expect("close");
            }
        }
    });
}
