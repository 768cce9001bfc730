//! 4 KiB at random places of a large file, no two in the same MiB, on a computer that never saw it: one request each, and no more bytes
//! than a frame.

use anyhow::{Context, Result};

use super::Round;
use crate::bench::lab::{Lab, check_interrupt};
use crate::bench::row::{Row, Target, Usage};
use crate::bench::volume::{Store, Volume};

const NAME: &str = "random-read";
const READS: u32 = 200;

/// Reads before counting begins, so that the metadata of the file is there.
const READS_BEFORE: u32 = 16;

/// Bar: one GET for each read.
pub(super) fn run(lab: &Lab) -> Result<Vec<Row>> {
    let folder = lab.folder(NAME)?;
    let mut volume = Volume::create(lab, &folder.join("volume"), Store::S3)?;
    volume.mount(&[])?;
    let (bytes, size) = lab.pick((512_u64 << 20, "200 of 512 MiB"), (2 << 30, "200 of 2 GiB"));
    lab.load(["write", &volume.path("file")?, "--bytes", &bytes.to_string()])?;
    let mut rounds = Vec::new();
    for _ in 0..3 {
        check_interrupt()?;
        rounds.push(round(lab, &mut volume)?);
    }
    volume.unmount()?;
    let usage: Vec<Usage> = rounds.iter().map(|round| round.usage).collect();
    let rates: Vec<f64> = rounds.iter().map(|round| round.value).collect();
    let of = |field: fn(&Usage) -> Option<u64>| -> Vec<f64> {
        usage.iter().filter_map(field).map(|count| count as f64 / f64::from(READS)).collect()
    };
    let gets = of(|usage| Some(usage.traffic?.requests()));
    let kib: Vec<f64> = of(|usage| Some(usage.traffic?.get_bytes)).iter().map(|bytes| bytes / 1024.0).collect();
    let warm = format!("after {READS_BEFORE} reads elsewhere in the file that are not counted");
    let gets = Row::new(NAME, "requests for a read", "", &gets).on("s3", size).using(&usage).note(warm);
    let kib = Row::new(NAME, "fetched for a read", "KiB", &kib).on("s3", size);
    let rate = Row::new(NAME, "rate", "reads/s", &rates).on("s3", size);
    Ok(vec![gets.target(Target::Exactly(1.0)), kib, rate])
}

fn round(lab: &Lab, volume: &mut Volume) -> Result<Round> {
    volume.mount_elsewhere(&[])?;
    let file = volume.path("file")?;
    let (before, reads) = (READS_BEFORE.to_string(), READS.to_string());
    lab.load(["random-read", &file, "--count", &before])?;
    let watch = volume.watch()?;
    let done = lab.load(["random-read", &file, "--skip", &before, "--count", &reads])?;
    let usage = volume.usage(&watch)?;
    usage.traffic.context("the store does not count")?;
    Ok(Round { value: done.rate(), usage })
}
