//! The memory cache of file data: decoded frames by segment and slot.
//!
//! Owns one volume's part; the split between volumes is the engine's. Holds verified bytes only.

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::types::SegmentId;

/// A frame's name: its segment and slot.
pub(crate) type FrameKey = (SegmentId, u32);

/// Share of the budget for frames that were used more than once. The rest holds what was fetched ahead and not read yet: with the
/// cache's own share of a few percent, a window of read-ahead drives out its own beginning, which is then fetched again.
const HOT_SHARE: f64 = 0.5;

/// Least budget: from nothing the cache would grow with a share of its own choice.
const BUDGET_MIN: u64 = 1_024;

/// Frames that the cache makes room for at once; more come as they are needed.
const ITEMS_EXPECTED: usize = 1_024;

/// Bookkeeping of one entry in bytes, added to its payload.
const ENTRY_BYTES: u64 = 96;

#[derive(Clone, Debug)]
struct ByLength;

impl Weighter<FrameKey, Bytes> for ByLength {
    fn weight(&self, _: &FrameKey, frame: &Bytes) -> u64 {
        frame.len() as u64 + ENTRY_BYTES
    }
}

/// Decoded frames of one volume under a byte budget.
#[derive(Debug)]
pub(crate) struct FrameCache {
    cache: Cache<FrameKey, Bytes, ByLength>,
}

impl FrameCache {
    /// A cache of at most `budget` bytes.
    pub(crate) fn new(budget: u64) -> Self {
        let mut options = OptionsBuilder::new();
        options
            .estimated_items_capacity(ITEMS_EXPECTED)
            .weight_capacity(budget.max(BUDGET_MIN))
            .hot_allocation(HOT_SHARE);
        let cache = match options.build() {
            Ok(options) => {
                Cache::with_options(options, ByLength, DefaultHashBuilder::default(), DefaultLifecycle::default())
            }
            Err(_) => Cache::with_weighter(ITEMS_EXPECTED, budget, ByLength),
        };
        Self { cache }
    }

    pub(crate) fn set_budget(&self, budget: u64) {
        self.cache.set_capacity(budget.max(BUDGET_MIN));
    }

    /// Most bytes it holds.
    pub(crate) fn budget(&self) -> u64 {
        self.cache.capacity()
    }

    pub(crate) fn get(&self, key: &FrameKey) -> Option<Bytes> {
        self.cache.get(key)
    }

    pub(crate) fn insert(&self, key: FrameKey, frame: Bytes) {
        self.cache.insert(key, frame);
    }

    pub(crate) fn contains(&self, key: &FrameKey) -> bool {
        self.cache.peek(key).is_some()
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.cache.weight()
    }

    pub(crate) fn clear(&self) {
        self.cache.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Nonce, SegmentId};

    fn key(slot: u32) -> FrameKey {
        (SegmentId { epoch: Epoch(1), nonce: Nonce(1) }, slot)
    }

    #[test]
    fn what_was_fetched_ahead_stays_until_it_is_read() {
        const FRAME: usize = 128 << 10;
        for start in [0, 1, 64 << 20] {
            let cache = FrameCache::new(start);
            cache.set_budget(64 << 20);
            let window = 64;
            for slot in 0..4_000 {
                cache.insert(key(slot), vec![0; FRAME].into());
                let Some(read) = slot.checked_sub(window) else { continue };
                for _ in 0..8 {
                    assert!(cache.get(&key(read)).is_some(), "frame {read} went before it was read (from {start})");
                }
            }
        }
    }
}
