//! 4 KiB and a sync, again and again, against the same on the disk that holds the volume's state.

use anyhow::Result;

use super::{Round, Rounds};
use crate::bench::lab::{Done, Lab};
use crate::bench::row::{Row, Target};
use crate::bench::volume::{Store, Volume};

const NAME: &str = "fsync";

/// Not more than three times slower than the disk.
const RATIO: f64 = 1.0 / 3.0;

/// A way to write and sync.
struct Way {
    measure: &'static str,
    place: &'static str,
    threads: &'static str,
    target: Option<Target>,
}

const WAYS: [Way; 3] = [
    Way { measure: "append", place: "append", threads: "1", target: Some(Target::Ratio(RATIO)) },
    Way { measure: "random in 8 MiB", place: "random", threads: "1", target: Some(Target::Ratio(RATIO)) },
    Way { measure: "random, 8 threads", place: "random", threads: "8", target: None },
];

/// Bars: a third of the disk's own rate with one thread.
pub(super) fn run(lab: &Lab) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for store in [Store::File, Store::S3] {
        let folder = lab.folder(NAME)?;
        let mut volume = Volume::create(lab, &folder.join("volume"), store)?;
        volume.mount(&[])?;
        let disk = folder.join("disk").to_string_lossy().into_owned();
        for way in &WAYS {
            let ours = |_| -> Result<Round> {
                let watch = volume.watch()?;
                let done = write_and_sync(lab, &volume.path("files")?, way)?;
                Ok(Round { value: done.rate(), usage: volume.usage(&watch)? })
            };
            let limit = |_| Ok(write_and_sync(lab, &disk, way)?.rate());
            let rounds = Rounds::interleaved(lab.pick(3, 5), ours, limit)?;
            let row = rounds.row(NAME, way.measure, "syncs/s", "disk").on(store.name(), "4 KiB each");
            rows.push(way.target.into_iter().fold(row, Row::target));
        }
        volume.unmount()?;
    }
    Ok(rows)
}

fn write_and_sync(lab: &Lab, dir: &str, way: &Way) -> Result<Done> {
    let seconds = lab.pick("1", "3");
    lab.load(["fsync", dir, "--place", way.place, "--seconds", seconds, "--threads", way.threads])
}
