//! A mount that nobody uses sends nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::bench::lab::{Lab, wait};
use crate::bench::row::{Row, Target};
use crate::bench::volume::{Store, Volume};

const NAME: &str = "idle";

/// The tail of what came before has ended when nothing was sent for so long.
const SILENCE: Duration = Duration::from_secs(3);

/// Longest that the tail may take.
const TAIL_LIMIT: Duration = Duration::from_secs(60);

/// Bar: no request.
pub(super) fn run(lab: &Lab) -> Result<Vec<Row>> {
    let folder = lab.folder(NAME)?;
    let mut volume = Volume::create(lab, &folder.join("volume"), Store::S3)?;
    volume.mount(&[])?;
    lab.load(["files", &volume.path("files")?, "--files", "200", "--bytes", "4096"])?;
    volume.flush()?;
    wait_for_silence(&mut volume)?;
    let (time, size) = lab.pick((15, "15 s"), (60, "60 s"));
    let watch = volume.watch()?;
    wait(Duration::from_secs(time))?;
    let usage = volume.usage(&watch)?;
    volume.unmount()?;
    let requests = usage.traffic.map_or(f64::NAN, |traffic| traffic.requests() as f64);
    let row = Row::new(NAME, "requests", "", &[requests]).using(&[usage]).on("s3", size);
    Ok(vec![row.target(Target::Exactly(0.0))])
}

fn wait_for_silence(volume: &mut Volume) -> Result<()> {
    let begun = Instant::now();
    let mut last = volume.traffic()?;
    while begun.elapsed() < TAIL_LIMIT {
        wait(SILENCE)?;
        let now = volume.traffic()?;
        if now == last {
            return Ok(());
        }
        last = now;
    }
    bail!("requests went on for {TAIL_LIMIT:?} after the last operation")
}
