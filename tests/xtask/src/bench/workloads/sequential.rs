//! A large file written until it is in the store, and read where nothing of it is cached; the limit is a plain client of the same store.

use anyhow::Result;

use super::{Round, Rounds};
use crate::bench::lab::{Lab, mebibytes};
use crate::bench::row::{Row, Target};
use crate::bench::volume::{Store, Volume};

/// Requests under way at once, of a volume by default and of the raw client.
const WRITE_CONNECTIONS: usize = 16;
/// Likewise for reading.
const READ_CONNECTIONS: usize = 64;

/// Bar: 0.6 of the raw client.
pub(super) fn write(lab: &Lab) -> Result<Vec<Row>> {
    let folder = lab.folder("seq-write")?;
    let mut volume = Volume::create(lab, &folder.join("volume"), Store::S3)?;
    volume.mount(&[])?;
    let (bytes, size) = size(lab);
    let volume = std::cell::RefCell::new(volume);
    let ours = |round: usize| -> Result<Round> {
        let mut volume = volume.borrow_mut();
        let watch = volume.watch()?;
        write_file(lab, &volume, &format!("file-{round}"), bytes)?;
        volume.flush()?;
        Ok(Round { value: mebibytes(bytes) / watch.seconds(), usage: volume.usage(&watch)? })
    };
    let limit = |_| -> Result<f64> {
        let done = volume.borrow().put_raw(lab, bytes, WRITE_CONNECTIONS)?;
        volume.borrow().remove_raw()?;
        Ok(done.mebibytes_rate())
    };
    let rounds = Rounds::interleaved(3, ours, limit)?;
    volume.into_inner().unmount()?;
    let row = rounds.row("seq-write", "until in the store", "MiB/s", "raw client");
    Ok(vec![row.on("s3", size).target(Target::Ratio(0.6))])
}

/// Bar: 0.6 of the raw client.
pub(super) fn read(lab: &Lab) -> Result<Vec<Row>> {
    let folder = lab.folder("seq-read")?;
    let mut volume = Volume::create(lab, &folder.join("volume"), Store::S3)?;
    let (bytes, size) = size(lab);
    volume.mount(&[])?;
    write_file(lab, &volume, "file", bytes)?;
    volume.unmount()?;
    volume.put_raw(lab, bytes, WRITE_CONNECTIONS)?;
    let volume = std::cell::RefCell::new(volume);
    let ours = |_| -> Result<Round> {
        let mut volume = volume.borrow_mut();
        volume.mount_elsewhere(&[])?;
        let watch = volume.watch()?;
        let done = lab.load(["read", &volume.path("file")?])?;
        Ok(Round { value: done.mebibytes_rate(), usage: volume.usage(&watch)? })
    };
    let limit = |_| Ok(volume.borrow().get_raw(lab, bytes, READ_CONNECTIONS)?.mebibytes_rate());
    let rounds = Rounds::interleaved(3, ours, limit)?;
    volume.into_inner().unmount()?;
    let row = rounds.row("seq-read", "cold", "MiB/s", "raw client");
    Ok(vec![row.on("s3", size).target(Target::Ratio(0.6))])
}

fn size(lab: &Lab) -> (u64, &'static str) {
    lab.pick((512 << 20, "512 MiB"), (2 << 30, "2 GiB"))
}

fn write_file(lab: &Lab, volume: &Volume, name: &str, bytes: u64) -> Result<()> {
    lab.load(["write", &volume.path(name)?, "--bytes", &bytes.to_string()]).map(drop)
}
