//! Loads on one large file: written, read, and read at random.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::Done;
use crate::bytes_source::{BLOCK_BYTES, PIECE_BYTES, Rng, is_stamped, random_bytes, stamp};

/// Writes a new file block by block; the last close is timed too.
pub(crate) fn write(path: &Path, len: u64) -> Result<Done> {
    let mut block = random_bytes(BLOCK_BYTES, len);
    let begun = Instant::now();
    let mut file = File::create_new(path).with_context(|| format!("making {}", path.display()))?;
    let blocks = len.div_ceil(BLOCK_BYTES as u64);
    let mut left = len;
    for number in 0..blocks {
        stamp(&mut block, number);
        let part = left.min(BLOCK_BYTES as u64);
        // Fits: bounded by the block.
        file.write_all(&block[..part as usize])?;
        left -= part;
    }
    drop(file);
    Ok(Done::new(blocks, len).since(begun))
}

/// Reads a file block by block and checks the stamps.
pub(crate) fn read(path: &Path) -> Result<Done> {
    let mut block = vec![0; BLOCK_BYTES];
    let begun = Instant::now();
    let mut file = File::open(path)?;
    let mut done = Done::default();
    loop {
        let len = read_block(&mut file, &mut block)?;
        if len == 0 {
            return Ok(done.since(begun));
        }
        for (piece, at) in block[..len].chunks(PIECE_BYTES).zip(0..) {
            if !is_stamped(piece, done.operations, at) {
                bail!("{}: piece {at} of block {} is not what was written", path.display(), done.operations);
            }
        }
        done.operations += 1;
        done.bytes += len as u64;
    }
}

/// Reads until the block is full or the file ends.
fn read_block(file: &mut File, block: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..])? {
            0 => break,
            len => filled += len,
        }
    }
    Ok(filled)
}

/// Reads one piece of each of `count` random blocks, after the first `skip` of the same order.
pub(crate) fn random_read(path: &Path, skip: usize, count: usize) -> Result<Done> {
    let file = File::open(path)?;
    let order = shuffled(file.metadata()?.len() / BLOCK_BYTES as u64);
    let Some(places) = order.get(skip..skip + count) else {
        bail!("{} has only {} blocks", path.display(), order.len());
    };
    let mut rng = Rng::new(3 + skip as u64);
    let mut piece = vec![0; PIECE_BYTES];
    let begun = Instant::now();
    for &number in places {
        let at = rng.below((BLOCK_BYTES / PIECE_BYTES) as u64);
        file.read_exact_at(&mut piece, number * BLOCK_BYTES as u64 + at * PIECE_BYTES as u64)?;
        if !is_stamped(&piece, number, at) {
            bail!("{}: piece {at} of block {number} is not what was written", path.display());
        }
    }
    Ok(Done::new(count as u64, (count * PIECE_BYTES) as u64).since(begun))
}

/// The numbers below `count` in an order that looks random and is the same each time (Fisher and Yates).
fn shuffled(count: u64) -> Vec<u64> {
    let mut rng = Rng::new(count);
    let mut order: Vec<u64> = (0..count).collect();
    for last in (1..order.len()).rev() {
        // Fits: below the length of a vector.
        order.swap(last, rng.below(last as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_damage_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("f");
        let len = 3 * BLOCK_BYTES as u64 + 5000;
        assert_eq!(write(&path, len).expect("a write").bytes, len);
        assert_eq!(read(&path).expect("a read").bytes, len);
        assert_eq!(random_read(&path, 1, 2).expect("reads").operations, 2);
        assert!(random_read(&path, 1, 3).is_err(), "there are three whole blocks");
        let file = File::options().write(true).open(&path).expect("the file");
        file.write_all_at(b"x", 2 * PIECE_BYTES as u64 + 3).expect("a write");
        assert!(read(&path).is_err());
    }

    #[test]
    fn a_shuffle_holds_every_number_once() {
        let mut order = shuffled(100);
        assert!(!order.is_sorted());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
