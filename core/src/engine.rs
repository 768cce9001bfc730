//! What all volumes of a process share: the budgets of memory and disk, the caches under them, and the limits of transfer.
//!
//! Owns the split of the budgets. Does not know volumes beyond a small tag, a weight and the parts that take up room.
//!
//! Half of the disk for staging is split evenly, and each volume has its part whatever the others do; the other half goes to whoever
//! comes first. So a volume whose store is away cannot keep the others from writing, and the whole is never passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::{DiskBudget, EngineOptions};
use crate::disk_cache::DiskCache;
use crate::frame_cache::FrameCache;
use crate::limits::{
    DIRTY_META_MIN, DIRTY_META_PERCENT, FRAME_CACHE_PERCENT, PAGE_CACHE_PERCENT, SHARED_SEGMENT_BYTES_MIN,
};
use crate::pace::Pace;
use crate::tree::PageCache;
use crate::volume::staging::Staging;

/// Budgets beyond this are as good as this: so shares of them can be computed. In bytes.
const BUDGET_MAX: u64 = 1 << 50;

/// The process-wide engine. Volumes are opened on it.
#[derive(Debug)]
pub struct Engine {
    pub(crate) pages: Arc<PageCache>,
    pub(crate) pace: Arc<Pace>,
    memory_budget: AtomicU64,
    next_tag: AtomicU32,
    volumes: AtomicU64,
    /// Memory that parts of it have.
    lent: AtomicU64,
    /// Whose part this is.
    lender: Option<Arc<Engine>>,
    shared: Mutex<Split>,
}

/// How the budgets are split.
#[derive(Debug, Default)]
struct Split {
    shares: Vec<Share>,
    disk: Option<DiskBudget>,
}

/// One volume's part.
#[derive(Debug)]
struct Share {
    tag: u32,
    weight: u32,
    cache: Arc<FrameCache>,
    /// Once the volume is open.
    parts: Option<(Arc<Staging>, Arc<DiskCache>)>,
}

impl Share {
    fn staged_bytes(&self) -> u64 {
        self.parts.as_ref().map_or(0, |(staging, _)| staging.staged_bytes())
    }
}

impl Split {
    fn total_weight(&self) -> u64 {
        self.shares.iter().map(|s| u64::from(s.weight)).sum::<u64>().max(1)
    }

    fn part_of(&self, share: &Share, budget: u64) -> u64 {
        let part = u128::from(budget) * u128::from(share.weight) / u128::from(self.total_weight());
        u64::try_from(part).unwrap_or(u64::MAX)
    }
}

impl Engine {
    /// An engine with its budget and no volume.
    #[must_use]
    pub fn new(options: &EngineOptions) -> Arc<Self> {
        Arc::new(Self::with(options.memory_budget.min(BUDGET_MAX), None))
    }

    /// An engine of its own for something small beside the volumes of this one, which has `bytes` of memory less until the part is
    /// dropped. It takes no part in anything else: not in the disk that is shared, nor in the limits of transfer.
    #[must_use]
    pub fn part(self: &Arc<Self>, bytes: u64) -> Arc<Self> {
        self.lent.fetch_add(bytes, Ordering::Relaxed);
        self.divide_memory();
        Arc::new(Self::with(bytes, Some(Arc::clone(self))))
    }

    fn with(budget: u64, lender: Option<Arc<Self>>) -> Self {
        Self {
            pages: Arc::new(PageCache::new(page_bytes(budget))),
            pace: Arc::new(Pace::default()),
            memory_budget: AtomicU64::new(budget),
            next_tag: AtomicU32::new(1),
            volumes: AtomicU64::new(0),
            lent: AtomicU64::new(0),
            lender,
            shared: Mutex::default(),
        }
    }

    /// What is left of the budget beside the parts.
    fn own_memory(&self) -> u64 {
        self.memory_budget().saturating_sub(self.lent.load(Ordering::Relaxed))
    }

    fn divide_memory(&self) {
        self.pages.set_budget(page_bytes(self.own_memory()));
        self.divide(&self.shared.lock());
    }

    /// Memory for caches, dirty metadata and upload buffers of all volumes, in bytes.
    pub fn memory_budget(&self) -> u64 {
        self.memory_budget.load(Ordering::Relaxed)
    }

    /// Changes the memory budget; caches shrink at once if it is smaller.
    pub fn set_memory_budget(&self, bytes: u64) {
        let bytes = bytes.min(BUDGET_MAX);
        self.memory_budget.store(bytes, Ordering::Relaxed);
        self.divide_memory();
    }

    /// The disk that all volumes share; `None` when each has its own budgets.
    pub fn disk_budget(&self) -> Option<DiskBudget> {
        self.shared.lock().disk
    }

    /// Gives all volumes one budget of disk, which then replaces their own. Caches shrink at once; staging shrinks as it goes up.
    pub fn set_disk_budget(&self, budget: DiskBudget) {
        let mut split = self.shared.lock();
        let DiskBudget { staging, cache } = budget;
        split.disk = Some(DiskBudget { staging: staging.min(BUDGET_MAX), cache: cache.min(BUDGET_MAX) });
        self.divide(&split);
    }

    /// Limits of transfer for all volumes together.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Memory of clean metadata pages and cached file data, of all volumes, in bytes.
    pub fn cached_bytes(&self) -> u64 {
        let split = self.shared.lock();
        self.pages.used_bytes() as u64 + split.shares.iter().map(|s| s.cache.used_bytes()).sum::<u64>()
    }

    /// Bytes of dirty metadata, for each open volume, at which a checkpoint is asked for.
    pub(crate) fn dirty_meta_max(&self) -> u64 {
        let share = self.own_memory() * DIRTY_META_PERCENT / 100 / self.volume_count();
        share.max(DIRTY_META_MIN)
    }

    /// Whether the budget has room for fetching more than was asked for.
    pub(crate) fn reads_around(&self) -> bool {
        self.own_memory() >= 64 << 20
    }

    /// Segments that may be held in memory for upload at once, for each volume.
    pub(crate) fn uploads_max(&self, segment_bytes: u64, wanted: usize) -> usize {
        let segment_bytes = self.segment_bytes_max(segment_bytes);
        let share = self.upload_share();
        wanted.min(usize::try_from(share / segment_bytes.max(1)).unwrap_or(usize::MAX)).max(1)
    }

    /// Bytes at which a segment is sealed: smaller than `wanted` where many volumes share the memory that segments go up from.
    pub(crate) fn segment_bytes_max(&self, wanted: u64) -> u64 {
        if self.volume_count() == 1 { wanted } else { wanted.min(self.upload_share().max(SHARED_SEGMENT_BYTES_MIN)) }
    }

    /// Whether a write of `len` bytes finds no room in the disk that all share; `None` when each volume has its own.
    pub(crate) fn staging_full(&self, tag: u32, len: u64) -> Option<bool> {
        let split = self.shared.lock();
        let budget = split.disk?.staging;
        let own_part = budget / 2 / (split.shares.len() as u64).max(1);
        let beyond = |staged: u64| staged.saturating_sub(own_part);
        let others: u64 = split.shares.iter().filter(|s| s.tag != tag).map(|s| beyond(s.staged_bytes())).sum();
        let own = split.shares.iter().find(|s| s.tag == tag).map_or(0, Share::staged_bytes);
        let mine = beyond(own + len);
        // A write larger than all there is goes alone.
        Some(own > 0 && mine > 0 && mine + others > budget / 2)
    }

    /// The part of the disk cache that a volume has; `wanted` where volumes have their own budgets.
    pub(crate) fn disk_cache_bytes(&self, tag: u32, wanted: u64) -> u64 {
        let split = self.shared.lock();
        let share = split.shares.iter().find(|s| s.tag == tag);
        split.disk.zip(share).map_or(wanted, |(disk, share)| split.part_of(share, disk.cache))
    }

    fn volume_count(&self) -> u64 {
        self.volumes.load(Ordering::Relaxed).max(1)
    }

    /// Memory for segments on their way, for each volume.
    fn upload_share(&self) -> u64 {
        self.own_memory() / 4 / self.volume_count()
    }

    /// Adds a volume: its tag and its part of the data cache.
    pub(crate) fn join(&self, weight: u32) -> (u32, Arc<FrameCache>) {
        let tag = self.next_tag.fetch_add(1, Ordering::Relaxed);
        self.volumes.fetch_add(1, Ordering::Relaxed);
        let cache = Arc::new(FrameCache::new(0));
        let mut split = self.shared.lock();
        split.shares.push(Share { tag, weight: weight.max(1), cache: Arc::clone(&cache), parts: None });
        self.divide(&split);
        (tag, cache)
    }

    /// Adds what takes up disk of a volume that has joined.
    pub(crate) fn attach(&self, tag: u32, staging: Arc<Staging>, disk: Arc<DiskCache>) {
        let mut split = self.shared.lock();
        if let Some(share) = split.shares.iter_mut().find(|s| s.tag == tag) {
            share.parts = Some((staging, disk));
        }
        self.divide(&split);
    }

    /// Changes a volume's share of the caches.
    pub(crate) fn set_weight(&self, tag: u32, weight: u32) {
        let mut split = self.shared.lock();
        if let Some(share) = split.shares.iter_mut().find(|s| s.tag == tag) {
            share.weight = weight.max(1);
        }
        self.divide(&split);
    }

    /// A volume's share of the caches.
    pub(crate) fn weight(&self, tag: u32) -> u32 {
        self.shared.lock().shares.iter().find(|s| s.tag == tag).map_or(1, |s| s.weight)
    }

    /// Removes a volume and gives its part to the others.
    pub(crate) fn leave(&self, tag: u32) {
        self.volumes.fetch_sub(1, Ordering::Relaxed);
        let mut split = self.shared.lock();
        split.shares.retain(|s| s.tag != tag);
        self.divide(&split);
    }

    fn divide(&self, split: &Split) {
        let budget = self.own_memory() * FRAME_CACHE_PERCENT / 100;
        let segment_bytes = self.segment_bytes_max(u64::MAX);
        for share in &split.shares {
            share.cache.set_budget(split.part_of(share, budget));
            let Some((staging, cache)) = &share.parts else { continue };
            staging.cap_segment_bytes(segment_bytes);
            if let Some(disk) = split.disk {
                cache.set_budget(split.part_of(share, disk.cache));
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(lender) = self.lender.take() {
            lender.lent.fetch_sub(self.memory_budget(), Ordering::Relaxed);
            lender.divide_memory();
        }
    }
}

/// The part of a budget that is for clean metadata pages.
fn page_bytes(budget: u64) -> usize {
    usize::try_from(budget * PAGE_CACHE_PERCENT / 100).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{LocalDir, OsDir};
    use crate::types::{Epoch, Ino, Nonce, SegmentId};

    #[test]
    fn shares_follow_the_weights_and_a_change_of_the_budget() {
        let engine = Engine::new(&EngineOptions { memory_budget: 100 << 20 });
        let (a, first) = engine.join(1);
        let (_, second) = engine.join(3);
        assert_eq!((first.budget(), second.budget()), (10 << 20, 30 << 20));
        engine.set_weight(a, 3);
        assert_eq!((first.budget(), second.budget()), (20 << 20, 20 << 20));
        engine.set_memory_budget(50 << 20);
        assert_eq!((first.budget(), second.budget()), (10 << 20, 10 << 20));
        engine.leave(a);
        assert_eq!(second.budget(), 20 << 20);
    }

    #[test]
    fn a_part_has_its_memory_from_the_whole_until_it_is_dropped() {
        let engine = Engine::new(&EngineOptions { memory_budget: 100 << 20 });
        let (_, cache) = engine.join(1);
        let part = engine.part(20 << 20);
        let (_, of_part) = part.join(1);
        assert_eq!((cache.budget(), of_part.budget()), (32 << 20, 8 << 20));
        assert_eq!((engine.memory_budget(), part.memory_budget()), (100 << 20, 20 << 20));
        engine.set_memory_budget(60 << 20);
        assert_eq!(cache.budget(), 16 << 20);
        drop(part);
        assert_eq!(cache.budget(), 24 << 20);
    }

    #[test]
    fn the_largest_budgets_are_divided_without_overflow() {
        let engine = Engine::new(&EngineOptions { memory_budget: u64::MAX });
        let (_, cache) = engine.join(1000);
        engine.set_disk_budget(DiskBudget { staging: u64::MAX, cache: u64::MAX });
        engine.set_memory_budget(u64::MAX);
        assert!(cache.budget() > 1 << 40 && engine.dirty_meta_max() > 1 << 40);
        assert!(engine.memory_budget() <= BUDGET_MAX && engine.disk_budget().unwrap().staging <= BUDGET_MAX);
    }

    #[test]
    fn one_volume_fills_no_more_than_leaves_each_other_its_part() {
        let engine = Engine::new(&EngineOptions::default());
        let dirs = [(); 2].map(|()| tempfile::tempdir().expect("tempdir"));
        let volumes = dirs.each_ref().map(|temp| {
            let dir: Arc<dyn LocalDir> = Arc::new(OsDir::open_locked(temp.path()).expect("dir"));
            let staging = Arc::new(Staging::new(Arc::clone(&dir), 4096, 1 << 20));
            let (tag, _) = engine.join(1);
            engine.attach(tag, Arc::clone(&staging), Arc::new(DiskCache::open(dir, 0)));
            (tag, staging)
        });
        let [(first, full), (second, empty)] = &volumes;
        assert_eq!(engine.staging_full(*first, 1), None, "each has its own budget");
        engine.set_disk_budget(DiskBudget { staging: 1000, cache: 0 });
        let stage = |staging: &Staging, bytes| {
            let id = SegmentId { epoch: Epoch(1), nonce: Nonce(1) };
            drop(staging.reserve(Ino(2), staging.staged_bytes(), bytes, &mut || id));
        };
        // Its own part is 250, and the common half 500.
        stage(full, 750);
        assert_eq!(engine.staging_full(*first, 1), Some(true));
        assert_eq!(engine.staging_full(*second, 250), Some(false));
        stage(empty, 200);
        assert_eq!((engine.staging_full(*second, 50), engine.staging_full(*second, 51)), (Some(false), Some(true)));
    }

    #[test]
    fn many_volumes_send_smaller_segments_so_that_memory_holds() {
        let engine = Engine::new(&EngineOptions { memory_budget: 512 << 20 });
        assert_eq!((engine.segment_bytes_max(16 << 20), engine.uploads_max(16 << 20, 4)), (16 << 20, 4));
        for _ in 0..50 {
            engine.join(1);
        }
        let segment = engine.segment_bytes_max(16 << 20);
        assert!(50 * segment * engine.uploads_max(16 << 20, 4) as u64 <= 128 << 20, "{segment}");
    }
}
