//! A large file written until it is in the store, and read where nothing of it is cached; the limit is a plain client of the same store.

use std::cell::RefCell;

use anyhow::Result;

use super::{Round, Rounds};
use crate::bench::lab::{Lab, mebibytes};
use crate::bench::row::{Row, Target};
use crate::bench::volume::{Store, Volume};

/// Requests under way at once, of a volume by default and of the raw client.
const WRITE_CONNECTIONS: usize = 16;
/// Likewise for reading.
const READ_CONNECTIONS: usize = 64;

/// Memory touched before a round, at most.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Bytes a second of the link in the rows that have one: 2 Gbit/s.
const LINK_RATE: u64 = 250_000_000;

/// What lies between the volume and its store.
#[derive(Clone, Copy, Debug)]
enum Link {
    /// Nothing: the server shares the machine's processors with the volume, the raw client and whoever writes or reads.
    Loopback,
    /// A network that is slower than the machine.
    Slow,
}

impl Link {
    const ALL: [Self; 2] = [Self::Loopback, Self::Slow];

    fn rate(self) -> u64 {
        match self {
            Self::Loopback => 0,
            Self::Slow => LINK_RATE,
        }
    }

    fn store(self) -> &'static str {
        match self {
            Self::Loopback => "s3",
            Self::Slow => "s3 over 2 Gbit/s",
        }
    }
}

/// Bar: 0.6 of the raw client.
pub(super) fn write(lab: &Lab) -> Result<Vec<Row>> {
    let folder = lab.folder("seq-write")?;
    let mut volume = Volume::create(lab, &folder.join("volume"), Store::S3)?;
    volume.mount(&[])?;
    let volume = RefCell::new(volume);
    let rows = Link::ALL.into_iter().map(|link| write_over(lab, &volume, link)).collect::<Result<_>>()?;
    volume.into_inner().unmount()?;
    Ok(rows)
}

fn write_over(lab: &Lab, volume: &RefCell<Volume>, link: Link) -> Result<Row> {
    let (bytes, size) = size(lab);
    volume.borrow_mut().limit_link(link.rate())?;
    let ours = |round: usize| -> Result<Round> {
        let mut volume = volume.borrow_mut();
        warm_memory(lab, bytes)?;
        let watch = volume.watch()?;
        let name = format!("{link:?}-{round}");
        write_file(lab, &volume, &name, bytes)?;
        volume.flush()?;
        let done = Round { value: mebibytes(bytes) / watch.seconds(), usage: volume.usage(&watch)? };
        volume.remove(&name)?;
        Ok(done)
    };
    let limit = |_| -> Result<f64> {
        warm_memory(lab, bytes)?;
        let done = volume.borrow().put_raw(lab, bytes, WRITE_CONNECTIONS)?;
        volume.borrow().remove_raw()?;
        Ok(done.mebibytes_rate())
    };
    let rounds = Rounds::interleaved(3, ours, limit)?;
    let row = rounds.row("seq-write", "until in the store", "MiB/s", "raw client");
    Ok(row.on(link.store(), size).target(Target::Ratio(0.6)))
}

/// Bar: 0.6 of the raw client.
pub(super) fn read(lab: &Lab) -> Result<Vec<Row>> {
    let folder = lab.folder("seq-read")?;
    let mut volume = Volume::create(lab, &folder.join("volume"), Store::S3)?;
    let (bytes, _) = size(lab);
    volume.mount(&[])?;
    write_file(lab, &volume, "file", bytes)?;
    volume.unmount()?;
    volume.put_raw(lab, bytes, WRITE_CONNECTIONS)?;
    let volume = RefCell::new(volume);
    let rows = Link::ALL.into_iter().map(|link| read_over(lab, &volume, link)).collect::<Result<_>>()?;
    volume.into_inner().unmount()?;
    Ok(rows)
}

fn read_over(lab: &Lab, volume: &RefCell<Volume>, link: Link) -> Result<Row> {
    let (bytes, size) = size(lab);
    volume.borrow_mut().limit_link(link.rate())?;
    let ours = |_| -> Result<Round> {
        let mut volume = volume.borrow_mut();
        volume.mount_elsewhere(&[])?;
        warm_memory(lab, bytes)?;
        let watch = volume.watch()?;
        let done = lab.load(["read", &volume.path("file")?])?;
        Ok(Round { value: done.mebibytes_rate(), usage: volume.usage(&watch)? })
    };
    let limit = |_| -> Result<f64> {
        warm_memory(lab, bytes)?;
        Ok(volume.borrow().get_raw(lab, bytes, READ_CONNECTIONS)?.mebibytes_rate())
    };
    let rounds = Rounds::interleaved(3, ours, limit)?;
    let row = rounds.row("seq-read", "cold", "MiB/s", "raw client");
    Ok(row.on(link.store(), size).target(Target::Ratio(0.6)))
}

/// Touches memory that a round is going to need, and gives it back: on a guest whose host takes free memory away, the first use of each
/// page is several times as dear as what is measured, and whoever runs second would have it for nothing.
fn warm_memory(lab: &Lab, bytes: u64) -> Result<()> {
    lab.load(["memory", "--bytes", &(bytes * 2).min(MEMORY_BYTES_MAX).to_string()]).map(drop)
}

fn size(lab: &Lab) -> (u64, &'static str) {
    lab.pick((512 << 20, "512 MiB"), (2 << 30, "2 GiB"))
}

fn write_file(lab: &Lab, volume: &Volume, name: &str, bytes: u64) -> Result<()> {
    lab.load(["write", &volume.path(name)?, "--bytes", &bytes.to_string()]).map(drop)
}
