//! What a crash leaves behind is not left lying.

use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::format::Tier;
use proxyfs_core::limits::REPLAYED_MAX;
use proxyfs_harness::sim::Crash;
use proxyfs_sim::files::put;
use proxyfs_sim::machine::{Machine, Setup};
use proxyfs_sim::runtime;
use proxyfs_store::MemStore;

/// Longest until a checkpoint that was asked for is there.
const LIMIT: Duration = Duration::from_secs(60);
/// Time between looks at the status.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A machine that crashed before any checkpoint, mounted again; the newest operation that it acknowledged.
async fn crashed_after(operations: u64) -> (Machine, u64) {
    let mut setup = Setup::ordinary(Tier::Disk);
    setup.options.checkpoint_interval = Duration::from_secs(3600);
    let mut machine = Machine::new(Arc::new(MemStore::new()), setup, 1);
    machine.create_volume().await.expect("a volume");
    machine.open().await.expect("open");
    let mut n = 0;
    while machine.volume().status().lsn < operations {
        put(machine.volume(), &format!("file-{}", n % 64), b"content").await.expect("write");
        n += 1;
    }
    let last = machine.volume().status().lsn;
    let mut machine = machine.crash(Crash::ProcessKill).await;
    machine.open().await.expect("open after the crash");
    (machine, last)
}

#[test]
fn a_long_log_is_checkpointed_right_after_its_replay() {
    runtime().block_on(async {
        let (mut machine, last) = crashed_after(REPLAYED_MAX + 100).await;
        let covered = async {
            while machine.volume().status().head_lsn < last {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(LIMIT, covered).await.expect("a head that covers the replayed log");
        assert!(machine.close().await.expect("close"));
    });
}
