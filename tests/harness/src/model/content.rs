//! Sparse file content: the blocks that were written, and a length.
//!
//! Invariant: bytes of a stored block that lie past the length are zero, so that growth always shows zeros. A block that is
//! absent reads as zeros and is a hole; a block of zeros that was written is data.

use std::collections::BTreeMap;
use std::ops::Range;

/// Granularity of holes. As on most kernels' file systems.
const BLOCK_BYTES: u64 = 4096;

/// Content of one regular file.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    len: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Content {
    /// Length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of all blocks that are not holes.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK_BYTES
    }

    /// Up to `len` bytes at `offset`; fewer at the end.
    pub(super) fn read(&self, offset: u64, len: u64) -> Vec<u8> {
        let end = offset.saturating_add(len).min(self.len);
        let mut bytes = Vec::new();
        for (block, part) in block_parts(offset..end) {
            match self.blocks.get(&block) {
                Some(data) => bytes.extend_from_slice(&data[part]),
                None => bytes.resize(bytes.len() + part.len(), 0),
            }
        }
        bytes
    }

    /// Puts `data` at `offset`, growing as needed.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        let mut rest = data;
        for (block, part) in block_parts(offset..end) {
            let (now, later) = rest.split_at(part.len());
            let stored = self.blocks.entry(block).or_insert_with(|| vec![0; BLOCK_BYTES as usize]);
            stored[part].copy_from_slice(now);
            rest = later;
        }
        self.len = self.len.max(end);
    }

    /// Cuts or grows to `len`.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.punch(len..self.len);
        }
        self.len = len;
    }

    /// Grows to `len` if shorter.
    pub(super) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// Makes a range read as zeros; whole blocks inside it become holes. The length stays.
    pub(super) fn punch(&mut self, range: Range<u64>) {
        let range = range.start..range.end.min(self.len.next_multiple_of(BLOCK_BYTES));
        if range.is_empty() {
            return;
        }
        let touched: Vec<u64> = self
            .blocks
            .range(range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES))
            .map(|(block, _)| *block)
            .collect();
        for block in touched {
            self.punch_block(block, &range);
        }
    }

    /// Zeroes the part of one block that is inside `range`; drops the block if that is all of it.
    fn punch_block(&mut self, block: u64, range: &Range<u64>) {
        let first = block * BLOCK_BYTES;
        let from = range.start.max(first) - first;
        let to = range.end.min(first + BLOCK_BYTES) - first;
        if to - from == BLOCK_BYTES || (from == 0 && first + to >= self.len) {
            self.blocks.remove(&block);
        } else if let Some(data) = self.blocks.get_mut(&block) {
            data[from as usize..to as usize].fill(0);
        }
    }

    /// First byte at or after `offset` that lies in a stored block, if there is one before the end.
    pub(super) fn next_data(&self, offset: u64) -> Option<u64> {
        let (block, _) = self.blocks.range(offset / BLOCK_BYTES..).next()?;
        let found = offset.max(block * BLOCK_BYTES);
        (found < self.len).then_some(found)
    }

    /// First byte at or after `offset` that lies in a hole; the end counts as one.
    pub(super) fn next_hole(&self, offset: u64) -> u64 {
        let mut block = offset / BLOCK_BYTES;
        while self.blocks.contains_key(&block) {
            block += 1;
        }
        offset.max(block * BLOCK_BYTES).min(self.len)
    }
}

/// Cuts a byte range at block borders: block numbers with the range inside the block.
fn block_parts(range: Range<u64>) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        if at >= range.end {
            return None;
        }
        let block = at / BLOCK_BYTES;
        let first = block * BLOCK_BYTES;
        let end = range.end.min(first.saturating_add(BLOCK_BYTES));
        let part = (at - first) as usize..(end - first) as usize;
        at = end;
        Some((block, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(parts: &[(u64, &[u8])]) -> Content {
        let mut content = Content::default();
        for (offset, data) in parts {
            content.write(*offset, data);
        }
        content
    }

    #[test]
    fn write_across_a_block_border_reads_back() {
        let data: Vec<u8> = (0..10_000).map(|i| i as u8).collect();
        let content = content(&[(4000, &data)]);
        assert_eq!(content.len(), 14_000);
        assert_eq!(content.read(4000, 10_000), data);
        assert_eq!(content.read(3998, 4), [0, 0, 0, 1]);
        assert_eq!(content.read(13_999, 100), [data[9999]]);
        assert_eq!(content.read(14_000, 100), [0u8; 0]);
    }

    #[test]
    fn shrink_then_grow_shows_zeros() {
        let mut content = content(&[(0, &[7; 5000])]);
        content.set_len(10);
        content.set_len(20);
        let mut expected = vec![7; 10];
        expected.resize(20, 0);
        assert_eq!(content.read(0, 100), expected);
    }

    #[test]
    fn punch_keeps_bytes_around_and_makes_a_hole() {
        let mut content = content(&[(0, &[7; 3 * 4096])]);
        content.punch(4000..8200);
        assert_eq!(content.read(3999, 3), [7, 0, 0]);
        assert_eq!(content.read(8199, 2), [0, 7]);
        assert_eq!(content.next_hole(0), 4096);
        assert_eq!(content.next_data(4096), Some(8192));
        assert_eq!(content.len(), 3 * 4096);
    }

    #[test]
    fn huge_offsets_cost_one_block() {
        let mut content = content(&[(1 << 40, b"x")]);
        assert_eq!(content.allocated_bytes(), 4096);
        assert_eq!(content.next_data(0), Some(1 << 40));
        content.set_len(i64::MAX as u64);
        content.punch(0..i64::MAX as u64);
        assert_eq!(content.next_data(0), None);
    }
}
