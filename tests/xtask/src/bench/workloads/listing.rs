//! A large directory with the attributes of all its entries, as `ls -l` reads it.

use anyhow::Result;

use super::{Round, Rounds};
use crate::bench::lab::Lab;
use crate::bench::row::Row;
use crate::bench::volume::{Store, Volume};

const NAME: &str = "listing";

/// No bar; cold on another computer, then warm, beside the disk's own file system with all in its caches.
pub(super) fn run(lab: &Lab) -> Result<Vec<Row>> {
    let folder = lab.folder(NAME)?;
    let (entries, size) = lab.pick(("10000", "10,000 entries"), ("200000", "200,000 entries"));
    let mut volume = Volume::create(lab, &folder.join("volume"), Store::S3)?;
    volume.mount(&[])?;
    let disk = folder.join("disk").to_string_lossy().into_owned();
    for dir in [&disk, &volume.path("dir")?] {
        lab.load(["tree", dir, "--files", entries, "--per-dir", entries, "--threads", "1"])?;
    }
    let mut cold = Rounds::default();
    let ours = |_| -> Result<Round> {
        volume.mount_elsewhere(&[])?;
        let dir = volume.path("dir")?;
        let watch = volume.watch()?;
        let value = lab.load(["scan", &dir])?.rate();
        cold.push(Round { value, usage: volume.usage(&watch)? });
        let watch = volume.watch()?;
        let value = lab.load(["scan", &dir])?.rate();
        Ok(Round { value, usage: volume.usage(&watch)? })
    };
    let limit = |_| Ok(lab.load(["scan", &disk])?.rate());
    let warm = Rounds::interleaved(3, ours, limit)?;
    volume.unmount()?;
    // One measurement of the disk serves both.
    cold.limit.clone_from(&warm.limit);
    let row = |rounds: &Rounds, measure| rounds.row(NAME, measure, "entries/s", "disk, warm").on("s3", size);
    Ok(vec![row(&cold, "cold"), row(&warm, "warm")])
}
