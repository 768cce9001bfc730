//! Volumes that nothing has happened to are clean, whatever was done on them and wherever they stopped.

use proxyfs_core::format::Tier;
use proxyfs_harness::ops::{Mask, Op, Profile, Slots, apply, seeded_ops};
use proxyfs_harness::sim::Crash;

use crate::machine::{Machine, runtime};

/// Runs operations; checkpoints and remounts are real, some remounts are crashes.
async fn exercise(mut machine: Machine, seed: u64, ops: usize) {
    let mut volume = machine.open().await.expect("open");
    let mut slots = Slots::new(Mask::default());
    for (at, op) in seeded_ops(Profile::FULL, seed).take(ops).enumerate() {
        match op {
            Op::Checkpoint => {
                volume.checkpoint().await.expect("checkpoint");
                let report = machine.fsck().await;
                assert!(report.clean(), "seed {seed}, operation {at}: {:#?}", report.faults);
            }
            Op::DropCaches => volume.drop_caches(),
            Op::Remount if at % 2 == 0 => {
                slots.close_all(&volume).await;
                machine.close(volume).await;
                let report = machine.fsck().await;
                assert!(report.clean() && !report.unreplayed, "seed {seed}, operation {at}: {:#?}", report.faults);
                volume = machine.open().await.expect("open");
            }
            Op::Remount => {
                slots = Slots::new(Mask::default());
                let crash = if at % 3 == 0 { Crash::PowerLoss { seed } } else { Crash::ProcessKill };
                let sim = machine.sim.crashed(crash);
                volume.abandon().await;
                machine.sim = sim;
                let report = machine.fsck().await;
                assert!(report.clean(), "seed {seed}, crash at {at}: {:#?}", report.faults);
                volume = machine.open().await.expect("open after a crash");
            }
            op => drop(apply(&volume, &mut slots, &op).await),
        }
    }
    slots.close_all(&volume).await;
    machine.close(volume).await;
    let report = machine.fsck().await;
    assert!(report.clean(), "seed {seed}: {:#?}", report.faults);
    assert!(report.counts.frames_verified > 0 && report.counts.inodes > 0, "{report:?}");
    assert_eq!(report.counts.leftovers, 0, "{:#?}", report.faults);
}

#[test]
fn volumes_are_clean_after_random_operations_checkpoints_and_crashes() {
    for seed in 0..40 {
        let tier = if seed % 2 == 0 { Tier::Disk } else { Tier::Store };
        runtime().block_on(async { exercise(Machine::create(seed, tier).await, seed, 250).await });
    }
}

#[test]
fn a_new_volume_is_clean_before_its_first_mount() {
    runtime().block_on(async {
        let report = Machine::create(1, Tier::Disk).await.fsck().await;
        // Its first writer makes the root directory.
        assert!(report.clean(), "{:#?}", report.faults);
    });
}
