//! Objects spread over shards and containers: all are listed, gaps between containers or not.

use std::collections::BTreeSet;

use bytes::Bytes;
use proxyfs_core::format::{Layout, ObjectKind, Tier};
use proxyfs_core::fs::{Caller, FileSystem};
use proxyfs_core::store::ObjectKey;
use proxyfs_core::types::{Epoch, Ino, Nonce, ObjectId};
use proxyfs_harness::tree::snapshot;

use crate::machine::{Machine, noise, runtime, write_file};

const LAYOUTS: [Layout; 3] = [
    Layout { shards: 4, containers: 3, max_objects_per_container: 0 },
    Layout { shards: 1, containers: 1, max_objects_per_container: 1 },
    Layout { shards: 8, containers: 1, max_objects_per_container: 3 },
];

/// Files that stay; later ones are removed again.
const KEPT: u64 = 4;
/// More than the time for which deleted objects are kept takes a few of these.
const CHECKPOINT_NANOS: u64 = 20_000_000_000;

fn data_keys(machine: &Machine) -> BTreeSet<ObjectKey> {
    machine.store.dump().into_iter().map(|(key, _)| key).filter(|key| key.path.starts_with("data/")).collect()
}

fn containers(machine: &Machine) -> BTreeSet<u32> {
    machine.store.dump().iter().map(|(key, _)| key.container).collect()
}

#[test]
fn spread_objects_are_checked_and_collected() {
    runtime().block_on(async {
        for layout in LAYOUTS {
            let machine = Machine::create_with(5, Tier::Disk, layout).await;
            let volume = machine.open().await.expect("open");
            let mut seen = BTreeSet::new();
            for round in 0..40_u64 {
                machine.sim.clock.advance_nanos(CHECKPOINT_NANOS);
                let name = format!("f{round}");
                write_file(&volume, Ino::ROOT, &name, &noise(round, 30_000)).await;
                volume.checkpoint().await.expect("checkpoint");
                seen.extend(data_keys(&machine));
                if round >= KEPT {
                    volume.unlink(Caller::default(), Ino::ROOT, name.as_bytes()).await.expect("unlink");
                }
            }
            machine.close(volume).await;
            let left = data_keys(&machine);
            assert!(left.len() < seen.len(), "{layout:?}: garbage is deleted");
            let report = machine.fsck().await;
            assert!(report.clean() && report.complete, "{layout:?}: {:#?}", report.faults);
            assert_eq!(report.counts.data_objects, left.len() as u64, "{layout:?}: every object is listed");
            assert!(containers(&machine).len() > 1, "{layout:?}");
            let other = machine.elsewhere(9).await;
            let volume = other.open().await.expect("open elsewhere");
            let tree = snapshot(&volume).await.expect("every file is readable");
            let files =
                (0..KEPT).filter(|round| tree.nodes.keys().any(|p| p.ends_with(format!("f{round}").as_bytes())));
            assert_eq!(files.count() as u64, KEPT, "{layout:?}");
            other.close(volume).await;
        }
    });
}

#[test]
fn a_leftover_past_a_gap_of_containers_is_found() {
    runtime().block_on(async {
        let layout = Layout { shards: 2, containers: 1, max_objects_per_container: 1 };
        let machine = Machine::create_with(6, Tier::Disk, layout).await;
        let volume = machine.open().await.expect("open");
        write_file(&volume, Ino::ROOT, "f", &noise(1, 9_000)).await;
        machine.close(volume).await;
        let last = containers(&machine).into_iter().max().expect("containers");
        let object = ObjectId { epoch: Epoch(0), nonce: Nonce(u64::from(last) + 50) };
        let key = layout.object_key(ObjectKind::Data, object);
        assert_eq!(key.container, last + 50);
        machine.store.overwrite(key, Bytes::from_static(b"left over"));
        let report = machine.fsck().await;
        assert_eq!(report.counts.leftovers, 1, "{:#?}", report.faults);
    });
}
