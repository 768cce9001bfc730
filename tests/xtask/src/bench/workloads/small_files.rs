//! Making 10,000 new files of 4 KiB in 100 directories. The rate counts until the last close; the requests count until all is in the store.

use anyhow::Result;

use super::{Round, Rounds};
use crate::bench::lab::Lab;
use crate::bench::nullfs::NullFs;
use crate::bench::row::{Row, Spread, Target};
use crate::bench::volume::{Store, Volume};

const NAME: &str = "small-files";
const FILES: u64 = 10_000;

/// Bars: creation at 0.3 of a file system that does nothing, and 25 requests.
pub(super) fn run(lab: &Lab) -> Result<Vec<Row>> {
    let folder = lab.folder(NAME)?;
    let mut volume = Volume::create(lab, &folder.join("volume"), Store::S3)?;
    volume.mount(&[])?;
    let null = NullFs::mount(lab, &folder.join("null"))?;
    let mut drained = Vec::new();
    let ours = |round: usize| -> Result<Round> {
        let watch = volume.watch()?;
        let done = make(lab, &volume.path(&format!("round-{round}"))?)?;
        volume.flush()?;
        drained.push(watch.seconds());
        Ok(Round { value: done, usage: volume.usage(&watch)? })
    };
    let limit = |round: usize| make(lab, &null.path(&format!("round-{round}")));
    let rounds = Rounds::interleaved(lab.pick(3, 5), ours, limit)?;
    volume.unmount()?;
    let requests: Vec<f64> =
        rounds.usage.iter().filter_map(|usage| usage.traffic).map(|traffic| traffic.requests() as f64).collect();
    let create = rounds.row(NAME, "create", "files/s", "nullfs").on("s3", "10,000 files").target(Target::Ratio(0.3));
    let drained = Spread::of(&drained).median;
    let count = Row::new(NAME, "requests", "", &requests).using(&rounds.usage).on("s3", "10,000 files");
    let count = count.target(Target::AtMost(25.0)).note(format!("all in the store after {drained:.1} s"));
    Ok(vec![create, count])
}

fn make(lab: &Lab, dir: &str) -> Result<f64> {
    let files = FILES.to_string();
    Ok(lab.load(["files", dir, "--files", &files, "--per-dir", "100", "--bytes", "4096"])?.rate())
}
