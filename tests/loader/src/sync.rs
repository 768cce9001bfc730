//! The load of databases and mail servers: write 4 KiB, wait until it is durable, go on.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;

use crate::Done;
use crate::bytes_source::{Rng, random_bytes, stamp};
use crate::trees::in_threads;

/// Bytes of one write.
const WRITE_BYTES: usize = 4096;

/// Length of the file whose places are overwritten.
const FILE_BYTES: u64 = 8 << 20;

/// Where the writes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    /// At the end of a file that begins empty.
    Append,
    /// At random places of a file of 8 MiB.
    Random,
}

/// Writes and syncs in each thread until the time is over. Files that exist are used again.
pub(crate) fn write_and_sync(dir: &Path, place: Place, time: Duration, threads: usize) -> Result<Done> {
    std::fs::create_dir_all(dir)?;
    let files = (0..threads).map(|number| prepared(&dir.join(format!("{place:?}-{number}")), place));
    let files = files.collect::<Result<Vec<File>>>()?;
    let begun = Instant::now();
    let counts = in_threads(threads, |number| one_thread(&files[number], place, begun + time, number as u64))?;
    let operations: u64 = counts.iter().sum();
    Ok(Done::new(operations, operations * WRITE_BYTES as u64).since(begun))
}

/// The file, as long as its place wants it, and durable.
fn prepared(path: &Path, place: Place) -> Result<File> {
    let mut file = File::options().create(true).truncate(place == Place::Append).write(true).open(path)?;
    if place == Place::Random && file.metadata()?.len() < FILE_BYTES {
        // Fits: a constant.
        file.write_all(&random_bytes(FILE_BYTES as usize, 1))?;
    }
    file.sync_all()?;
    Ok(file)
}

fn one_thread(file: &File, place: Place, end: Instant, seed: u64) -> Result<u64> {
    let mut rng = Rng::new(seed + 11);
    let mut content = random_bytes(WRITE_BYTES, seed);
    let mut count = 0;
    while Instant::now() < end {
        let at = match place {
            Place::Append => count * WRITE_BYTES as u64,
            Place::Random => rng.below(FILE_BYTES / WRITE_BYTES as u64) * WRITE_BYTES as u64,
        };
        stamp(&mut content, count);
        file.write_all_at(&content, at)?;
        file.sync_all()?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_begin_at_nothing_and_overwrites_stay_inside_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let time = Duration::from_millis(20);
        for _ in 0..2 {
            let done = write_and_sync(dir.path(), Place::Append, time, 1).expect("a run");
            let len = std::fs::metadata(dir.path().join("Append-0")).expect("the file").len();
            assert_eq!(len, done.bytes);
        }
        write_and_sync(dir.path(), Place::Random, time, 2).expect("a run");
        let len = std::fs::metadata(dir.path().join("Random-1")).expect("the file").len();
        assert_eq!(len, FILE_BYTES);
    }
}
