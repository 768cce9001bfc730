//! The bytes of one simulated file: as written, and as the device holds them.
//!
//! Blocks are shared between the two by reference count, so that a sync copies no data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::clock::SimRng;

/// What a disk writes as one at best.
pub(super) const BLOCK_BYTES: usize = 4096;
/// What a disk never tears.
const SECTOR_BYTES: usize = 512;

type Block = Arc<[u8; BLOCK_BYTES]>;

/// One version of a file's content.
#[derive(Clone, Debug, Default)]
struct Version {
    len: u64,
    blocks: BTreeMap<u64, Block>,
}

/// A file's content with and without what is not synced.
#[derive(Clone, Debug, Default)]
pub(super) struct FileBytes {
    live: Version,
    synced: Version,
    /// Blocks that differ, or may.
    dirty: BTreeSet<u64>,
    /// Syncs begun.
    syncs_begun: u64,
    /// The latest sync that has finished. One begun earlier that finishes later has nothing to add.
    sync_finished: u64,
}

/// What a sync under way will make safe: the content at the time of the call.
#[derive(Debug)]
pub(super) struct PendingSync {
    number: u64,
    len: u64,
    blocks: Vec<(u64, Option<Block>)>,
}

impl FileBytes {
    /// A file that is safe from the start.
    pub(super) fn durable(content: &[u8]) -> Self {
        let mut bytes = Self::default();
        bytes.write(0, content);
        let all = bytes.begin_sync();
        bytes.finish_sync(all);
        bytes
    }

    pub(super) fn len(&self) -> u64 {
        self.live.len
    }

    /// Bytes that it takes on the disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        (self.live.blocks.len() * BLOCK_BYTES) as u64
    }

    /// Bytes that a write would take in addition.
    pub(super) fn growth(&self, offset: u64, len: u64) -> u64 {
        let blocks = block_range(offset, len);
        let there = self.live.blocks.range(blocks.clone()).count() as u64;
        (blocks.end - blocks.start - there) * BLOCK_BYTES as u64
    }

    /// Fills `buf`; `false` if the file is too short.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> bool {
        if offset + buf.len() as u64 > self.live.len {
            return false;
        }
        self.live.read(offset, buf);
        true
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        self.live.write(offset, data);
        self.dirty.extend(block_range(offset, data.len() as u64));
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let first_cut = len / BLOCK_BYTES as u64;
        if len < self.live.len {
            self.dirty.extend(self.live.blocks.range(first_cut..).map(|(block, _)| *block));
        }
        self.live.set_len(len);
    }

    /// Notes what a sync called now makes safe.
    pub(super) fn begin_sync(&mut self) -> PendingSync {
        self.syncs_begun += 1;
        let blocks = self.dirty.iter().map(|block| (*block, self.live.blocks.get(block).cloned())).collect();
        PendingSync { number: self.syncs_begun, len: self.live.len, blocks }
    }

    /// The sync is done. What was written since it was called stays unsafe.
    pub(super) fn finish_sync(&mut self, sync: PendingSync) {
        if sync.number < self.sync_finished {
            return;
        }
        self.sync_finished = sync.number;
        self.synced.len = sync.len;
        for (number, block) in sync.blocks {
            let same = match (&block, self.live.blocks.get(&number)) {
                (Some(synced), Some(live)) => Arc::ptr_eq(synced, live),
                (None, None) => true,
                _ => false,
            };
            if same {
                self.dirty.remove(&number);
            }
            match block {
                Some(block) => self.synced.blocks.insert(number, block),
                None => self.synced.blocks.remove(&number),
            };
        }
    }

    /// What a loss of power leaves: safe bytes, and of the others what chance decides.
    pub(super) fn after_power_loss(&self, rng: &SimRng) -> Self {
        let mut left = self.synced.clone();
        for number in &self.dirty {
            let (old, new) = (self.synced.blocks.get(number), self.live.blocks.get(number));
            match surviving_block(old, new, rng) {
                Some(block) => left.blocks.insert(*number, block),
                None => left.blocks.remove(number),
            };
        }
        let len = surviving_len(self.synced.len, self.live.len, rng);
        left.len = len.max(left.end_of_blocks());
        left.set_len(len);
        Self { live: left.clone(), synced: left, ..Self::default() }
    }
}

impl Version {
    fn read(&self, offset: u64, buf: &mut [u8]) {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let within = (at % BLOCK_BYTES as u64) as usize;
            let take = (BLOCK_BYTES - within).min(buf.len() - done);
            let part = &mut buf[done..done + take];
            match self.blocks.get(&(at / BLOCK_BYTES as u64)) {
                Some(block) => part.copy_from_slice(&block[within..within + take]),
                None => part.fill(0),
            }
            done += take;
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let within = (at % BLOCK_BYTES as u64) as usize;
            let take = (BLOCK_BYTES - within).min(data.len() - done);
            let block = self.blocks.entry(at / BLOCK_BYTES as u64).or_insert_with(zero_block);
            Arc::make_mut(block)[within..within + take].copy_from_slice(&data[done..done + take]);
            done += take;
        }
        if !data.is_empty() {
            self.len = self.len.max(offset + data.len() as u64);
        }
    }

    /// Bytes cut off never come back: the rest of the last block is zeroed.
    fn set_len(&mut self, len: u64) {
        self.blocks.split_off(&len.div_ceil(BLOCK_BYTES as u64));
        let within = (len % BLOCK_BYTES as u64) as usize;
        if len < self.len
            && within > 0
            && let Some(block) = self.blocks.get_mut(&(len / BLOCK_BYTES as u64))
        {
            Arc::make_mut(block)[within..].fill(0);
        }
        self.len = len;
    }

    fn end_of_blocks(&self) -> u64 {
        self.blocks.last_key_value().map_or(0, |(block, _)| (block + 1) * BLOCK_BYTES as u64)
    }
}

fn zero_block() -> Block {
    Arc::new([0; BLOCK_BYTES])
}

/// Blocks that a range of bytes touches.
fn block_range(offset: u64, len: u64) -> std::ops::Range<u64> {
    let size = BLOCK_BYTES as u64;
    if len == 0 { 0..0 } else { offset / size..(offset + len).div_ceil(size) }
}

/// Old, new, or a mix by sectors.
fn surviving_block(old: Option<&Block>, new: Option<&Block>, rng: &SimRng) -> Option<Block> {
    match rng.below(3) {
        0 => old.cloned(),
        1 => new.cloned(),
        _ => {
            let mut mixed = *old.cloned().unwrap_or_else(zero_block);
            let new = new.cloned().unwrap_or_else(zero_block);
            for (index, sector) in mixed.chunks_exact_mut(SECTOR_BYTES).enumerate() {
                if rng.below(2) == 1 {
                    let start = index * SECTOR_BYTES;
                    sector.copy_from_slice(&new[start..start + SECTOR_BYTES]);
                }
            }
            Some(Arc::new(mixed))
        }
    }
}

/// Old, new, or somewhere between.
fn surviving_len(old: u64, new: u64, rng: &SimRng) -> u64 {
    let (low, high) = (old.min(new), old.max(new));
    match rng.below(3) {
        0 => old,
        1 => new,
        _ => low + rng.below(high - low + 1),
    }
}
