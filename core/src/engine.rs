//! What all volumes of a process share: the memory budget and the caches under it.
//!
//! Owns the split of the budget. Does not know volumes beyond a small tag and a weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::EngineOptions;
use crate::frame_cache::FrameCache;
use crate::limits::{DIRTY_META_MIN, DIRTY_META_PERCENT, FRAME_CACHE_PERCENT, PAGE_CACHE_PERCENT};
use crate::tree::PageCache;

/// The process-wide engine. Volumes are opened on it.
#[derive(Debug)]
pub struct Engine {
    pub(crate) pages: Arc<PageCache>,
    memory_budget: u64,
    next_tag: AtomicU32,
    volumes: AtomicU64,
    frame_shares: Mutex<Vec<Share>>,
}

/// One volume's part of the data cache.
#[derive(Debug)]
struct Share {
    tag: u32,
    weight: u32,
    cache: Arc<FrameCache>,
}

impl Engine {
    /// An engine with its budget and no volume.
    #[must_use]
    pub fn new(options: &EngineOptions) -> Arc<Self> {
        let pages = usize::try_from(options.memory_budget * PAGE_CACHE_PERCENT / 100).unwrap_or(usize::MAX);
        Arc::new(Self {
            pages: Arc::new(PageCache::new(pages)),
            memory_budget: options.memory_budget,
            next_tag: AtomicU32::new(1),
            volumes: AtomicU64::new(0),
            frame_shares: Mutex::new(Vec::new()),
        })
    }

    /// Bytes of dirty metadata, for each open volume, at which a checkpoint is asked for.
    pub(crate) fn dirty_meta_max(&self) -> u64 {
        let share = self.memory_budget * DIRTY_META_PERCENT / 100 / self.volumes.load(Ordering::Relaxed).max(1);
        share.max(DIRTY_META_MIN)
    }

    /// Whether the budget has room for fetching more than was asked for.
    pub(crate) fn reads_around(&self) -> bool {
        self.memory_budget >= 64 << 20
    }

    /// Segments that may be held in memory for upload at once, for each volume.
    pub(crate) fn uploads_max(&self, segment_bytes: u64, wanted: usize) -> usize {
        let share = self.memory_budget / 4 / self.volumes.load(Ordering::Relaxed).max(1);
        wanted.min(usize::try_from(share / segment_bytes.max(1)).unwrap_or(usize::MAX)).max(1)
    }

    /// Adds a volume: its tag and its part of the data cache.
    pub(crate) fn join(&self, weight: u32) -> (u32, Arc<FrameCache>) {
        let tag = self.next_tag.fetch_add(1, Ordering::Relaxed);
        self.volumes.fetch_add(1, Ordering::Relaxed);
        let cache = Arc::new(FrameCache::new(0));
        let mut shares = self.frame_shares.lock();
        shares.push(Share { tag, weight: weight.max(1), cache: Arc::clone(&cache) });
        self.divide(&shares);
        (tag, cache)
    }

    /// Removes a volume and gives its part to the others.
    pub(crate) fn leave(&self, tag: u32) {
        self.volumes.fetch_sub(1, Ordering::Relaxed);
        let mut shares = self.frame_shares.lock();
        shares.retain(|s| s.tag != tag);
        self.divide(&shares);
    }

    fn divide(&self, shares: &[Share]) {
        let total: u64 = shares.iter().map(|s| u64::from(s.weight)).sum();
        let budget = self.memory_budget * FRAME_CACHE_PERCENT / 100;
        for share in shares {
            share.cache.set_budget(budget * u64::from(share.weight) / total.max(1));
        }
    }
}
