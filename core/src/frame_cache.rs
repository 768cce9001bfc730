//! The memory cache of file data: decoded frames by segment and slot.
//!
//! Owns one volume's part; the split between volumes is the engine's. Holds verified bytes only.

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::types::SegmentId;

/// A frame's name: its segment and slot.
pub(crate) type FrameKey = (SegmentId, u32);

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
        Self { cache: Cache::with_weighter(1_024, budget, ByLength) }
    }

    pub(crate) fn set_budget(&self, budget: u64) {
        self.cache.set_capacity(budget);
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
