//! A million files in directories of a thousand, with little memory: how soon a mount answers, what a scan of all attributes holds, and
//! what a change of a thousand scattered inodes uploads.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::bench::lab::{Folder, Lab, mebibytes, settle_disk};
use crate::bench::row::{Row, Target, Usage};
use crate::bench::volume::{Store, Volume};

const NAME: &str = "scan-million";
const OPTIONS: &[&str] = &["-o", "memory_budget=128MiB"];
const TOUCHED: &str = "1000";
const MOUNTS: usize = 3;

/// Bars: 2 s to mount, 256 MiB of memory, 64 MiB of uploads.
pub(super) fn run(lab: &Lab) -> Result<Vec<Row>> {
    let (files, size) = lab.pick(("100000", "100,000 files"), ("1000000", "1,000,000 files"));
    let place = Place::new(lab, files)?;
    let mut volume = made(lab, &place.dir, files)?;
    let (mut mounts, mut begun) = (Vec::new(), None);
    for _ in 0..MOUNTS {
        volume.unmount()?;
        settle_disk();
        let started = Instant::now();
        volume.mount(OPTIONS)?;
        fs::read_dir(volume.path("")?)?.next().context("the volume is empty")??;
        mounts.push(started.elapsed().as_secs_f64());
        begun = Some(volume.watch()?);
    }
    let begun = begun.context("there was no mount")?;
    let scan = lab.load(["scan", &volume.path("")?])?;
    let scanned = volume.usage(&begun)?;
    let (touch, touched) = touch(lab, &mut volume, files)?;
    volume.unmount()?;
    let row = |measure, unit, values: &[f64]| Row::new(NAME, measure, unit, values).on("s3", size);
    let memory = mebibytes(scanned.rss.context("the mounted program is gone")?);
    let uploaded = mebibytes(touched.traffic.context("the store does not count")?.put_bytes);
    let scan = row("scan", "entries/s", &[scan.rate()]).using(&[scanned]);
    Ok(vec![
        row("mount", "s", &mounts).target(Target::Below(2.0)),
        scan.note("memory_budget=128MiB in all rows; the scan comes right after the mount"),
        row("peak memory of mount and scan", "MiB", &[memory]).target(Target::Below(256.0)),
        row("upload for 1,000 changed inodes", "MiB", &[uploaded]).target(Target::Below(64.0)).using(&[touched]),
        row("changes", "inodes/s", &[touch]),
    ])
}

/// Changes inodes and writes a checkpoint; gives the rate, and what all of it used.
fn touch(lab: &Lab, volume: &mut Volume, files: &str) -> Result<(f64, Usage)> {
    volume.flush()?;
    let watch = volume.watch()?;
    let done = lab.load(["touch", &volume.path("tree")?, "--files", files, "--per-dir", "1000", "--count", TOUCHED])?;
    volume.checkpoint()?;
    Ok((done.rate(), volume.usage(&watch)?))
}

/// Where the volume lies: in the scratch folder, or where it is kept.
struct Place {
    dir: PathBuf,
    _folder: Option<Folder>,
}

impl Place {
    fn new(lab: &Lab, files: &str) -> Result<Self> {
        if let Some(keep) = &lab.keep {
            return Ok(Self { dir: keep.join(format!("tree-{files}")), _folder: None });
        }
        let folder = lab.folder(NAME)?;
        Ok(Self { dir: folder.join("volume"), _folder: Some(folder) })
    }
}

/// The volume with its files, made unless an earlier run has kept it.
fn made(lab: &Lab, dir: &Path, files: &str) -> Result<Volume> {
    let complete = dir.join("complete");
    if complete.exists() {
        println!("  using the volume that was kept in {}", dir.display());
        let mut volume = Volume::attach(lab, dir, Store::S3)?;
        volume.mount(OPTIONS)?;
        return Ok(volume);
    }
    let mut volume = Volume::create(lab, dir, Store::S3)?;
    volume.mount(OPTIONS)?;
    println!("  making {files} files");
    let watch = volume.watch()?;
    let done = lab.load(["tree", &volume.path("tree")?, "--files", files, "--per-dir", "1000"])?;
    volume.flush()?;
    let seconds = watch.seconds();
    let used = volume.usage(&watch)?;
    println!("  made {:.0} files/s, in the store after {seconds:.0} s, {used:?}", done.rate());
    volume.unmount()?;
    fs::write(complete, "")?;
    volume.mount(OPTIONS)?;
    Ok(volume)
}
