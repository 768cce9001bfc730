//! The cache of clean pages, shared by all volumes of a process.
//!
//! Owns the memory budget for pages that can be loaded again. Dirty pages are not here: they hang in their tree. A page's bytes
//! never change under its address, so nothing here is ever stale.
//!
//! Eviction is a clock with small heat counters per shard: a hit warms a page, the passing hand cools it, a cold page goes.
//! Pages of one scan arrive cool and leave first. The order of eviction depends on the order of calls only, never on hash
//! seeds or map iteration.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use super::node::Node;
use crate::kv::PageAddr;

/// Locks of the cache; readers of different pages seldom meet.
const SHARDS: usize = 16;

/// Passes of the hand that a page hit again and again survives.
const HEAT_MAX: u8 = 3;

type Key = (u32, PageAddr);
type KeyMap<V> = HashMap<Key, V, BuildHasherDefault<KeyHasher>>;

/// Clean pages by volume tag and address, within a budget of memory.
#[derive(Debug)]
pub struct PageCache {
    shards: [RwLock<Shard>; SHARDS],
    /// Shard whose hand moves next.
    hand: AtomicUsize,
    budget: AtomicUsize,
    used: AtomicUsize,
    hits: AtomicU64,
    misses: AtomicU64,
    pins: Mutex<KeyMap<Pin>>,
    /// Number of pinned pages, to pass by the lock when there are none.
    pinned: AtomicUsize,
}

/// How often the cache had what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Pages found.
    pub hits: u64,
    /// Pages not found.
    pub misses: u64,
}

/// Keeps pages findable in a cache until dropped, even if they are evicted meanwhile. Pinned memory is outside of the budget:
/// hold a set no longer than one operation.
#[derive(Debug)]
pub struct PinSet {
    cache: Arc<PageCache>,
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Pin {
    node: Arc<Node>,
    holders: usize,
}

#[derive(Debug, Default)]
struct Shard {
    index: KeyMap<usize>,
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
    hand: usize,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    node: Arc<Node>,
    weight: usize,
    heat: AtomicU8,
}

impl PageCache {
    /// An empty cache of at most `budget_bytes`.
    #[must_use]
    pub fn new(budget_bytes: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            hand: AtomicUsize::new(0),
            budget: AtomicUsize::new(budget_bytes),
            used: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            pins: Mutex::default(),
            pinned: AtomicUsize::new(0),
        }
    }

    /// The page at `addr` of the volume `tag`, if it is here or pinned.
    #[must_use]
    pub fn get(&self, tag: u32, addr: PageAddr) -> Option<Arc<Node>> {
        let found = self.find(tag, addr);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// As [`get`](Self::get), uncounted: for who asks again what a counted question has missed.
    pub(crate) fn find(&self, tag: u32, addr: PageAddr) -> Option<Arc<Node>> {
        let key = (tag, addr);
        self.shard(&key).read().get(&key).or_else(|| self.pinned(&key))
    }

    /// Whether [`get`](Self::get) would find the page; neither counts nor warms.
    #[must_use]
    pub fn contains(&self, tag: u32, addr: PageAddr) -> bool {
        let key = (tag, addr);
        self.shard(&key).read().index.contains_key(&key) || self.pinned(&key).is_some()
    }

    /// Adds a page and evicts others until the budget holds. A page above the whole budget is not kept: pin it.
    pub fn insert(&self, tag: u32, addr: PageAddr, node: Arc<Node>) {
        let key = (tag, addr);
        let weight = node.heap_bytes();
        if weight > self.budget.load(Ordering::Relaxed) {
            return;
        }
        let mut shard = self.shard(&key).write();
        if shard.insert(key, node, weight) {
            // Under the lock: whoever takes the page out must not subtract first.
            self.used.fetch_add(weight, Ordering::Relaxed);
            drop(shard);
            self.evict();
        }
    }

    /// Takes a page out; one that is only pinned is copied by reference.
    pub(super) fn take(&self, tag: u32, addr: PageAddr) -> Option<Arc<Node>> {
        let key = (tag, addr);
        let taken = self.shard(&key).write().remove(&key);
        match taken {
            Some(entry) => {
                self.used.fetch_sub(entry.weight, Ordering::Relaxed);
                self.hits.fetch_add(1, Ordering::Relaxed);
                Some(entry.node)
            }
            None => self.get(tag, addr),
        }
    }

    /// Changes the budget; evicts at once if it shrinks.
    pub fn set_budget(&self, budget_bytes: usize) {
        self.budget.store(budget_bytes, Ordering::Relaxed);
        self.evict();
    }

    /// Memory of the pages in the cache, without those that are only pinned.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Hits and misses so far.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        CacheCounts { hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }

    /// Evicts everything; pinned pages stay findable.
    pub fn drop_all(&self) {
        for shard in &self.shards {
            let old = std::mem::take(&mut *shard.write());
            let weight = old.slots.iter().flatten().map(|entry| entry.weight).sum();
            self.used.fetch_sub(weight, Ordering::Relaxed);
        }
    }

    fn shard(&self, key: &Key) -> &RwLock<Shard> {
        let hash = BuildHasherDefault::<KeyHasher>::default().hash_one(key);
        &self.shards[(hash >> 40) as usize % SHARDS]
    }

    fn pinned(&self, key: &Key) -> Option<Arc<Node>> {
        if self.pinned.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.pins.lock().get(key).map(|pin| Arc::clone(&pin.node))
    }

    /// Evicts page by page, going round the shards, until the budget holds.
    fn evict(&self) {
        let mut empty = 0;
        while self.used.load(Ordering::Relaxed) > self.budget.load(Ordering::Relaxed) && empty < SHARDS {
            let turn = self.hand.fetch_add(1, Ordering::Relaxed) % SHARDS;
            let victim = self.shards[turn].write().evict();
            match victim {
                Some(entry) => {
                    self.used.fetch_sub(entry.weight, Ordering::Relaxed);
                    empty = 0;
                }
                None => empty += 1,
            }
        }
    }
}

impl PinSet {
    /// An empty set.
    #[must_use]
    pub fn new(cache: Arc<PageCache>) -> Self {
        Self { cache, keys: Vec::new() }
    }

    /// Keeps a page findable until the set is dropped.
    pub fn pin(&mut self, tag: u32, addr: PageAddr, node: Arc<Node>) {
        let key = (tag, addr);
        let mut pins = self.cache.pins.lock();
        pins.entry(key).or_insert(Pin { node, holders: 0 }).holders += 1;
        self.cache.pinned.store(pins.len(), Ordering::Release);
        self.keys.push(key);
    }
}

impl Drop for PinSet {
    fn drop(&mut self) {
        let mut pins = self.cache.pins.lock();
        for key in &self.keys {
            if let Some(pin) = pins.get_mut(key) {
                pin.holders -= 1;
                if pin.holders == 0 {
                    pins.remove(key);
                }
            }
        }
        self.cache.pinned.store(pins.len(), Ordering::Release);
    }
}

impl Shard {
    fn get(&self, key: &Key) -> Option<Arc<Node>> {
        let entry = self.slots[*self.index.get(key)?].as_ref()?;
        let heat = entry.heat.load(Ordering::Relaxed);
        if heat < HEAT_MAX {
            entry.heat.store(heat + 1, Ordering::Relaxed);
        }
        Some(Arc::clone(&entry.node))
    }

    /// Adds a page; false if it is here already.
    fn insert(&mut self, key: Key, node: Arc<Node>, weight: usize) -> bool {
        if self.index.contains_key(&key) {
            return false;
        }
        // Branches start warm: each serves hundreds of leaves.
        let heat = AtomicU8::new(if node.level() > 0 { HEAT_MAX } else { 1 });
        let entry = Some(Entry { key, node, weight, heat });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = entry;
                slot
            }
            None => {
                self.slots.push(entry);
                self.slots.len() - 1
            }
        };
        self.index.insert(key, slot);
        true
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let slot = self.index.remove(key)?;
        self.free.push(slot);
        self.slots[slot].take()
    }

    /// Moves the hand to the next cold page and evicts it. None if the shard is empty.
    fn evict(&mut self) -> Option<Entry> {
        if self.index.is_empty() {
            return None;
        }
        loop {
            self.hand = (self.hand + 1) % self.slots.len();
            let Some(entry) = &mut self.slots[self.hand] else { continue };
            let heat = entry.heat.get_mut();
            if *heat == 0 {
                let key = entry.key;
                return self.remove(&key);
            }
            *heat -= 1;
        }
    }
}

/// A fast hash without a seed, for keys that nobody from outside chooses.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        // The multiplier is 2^64 divided by the golden ratio.
        self.0 = (self.0.rotate_left(26) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ObjectId;

    fn addr(offset: u32) -> PageAddr {
        PageAddr { object: ObjectId::default(), offset, len: 1 }
    }

    fn page(bytes: usize) -> Arc<Node> {
        let mut node = Node::new(0);
        node.push_value(b"k", &vec![0; bytes]);
        Arc::new(node)
    }

    #[test]
    fn the_budget_holds_and_pages_stay_by_heat() {
        let weight = page(1000).heap_bytes();
        let cache = PageCache::new(weight * 100);
        for n in 0..1000 {
            cache.insert(1, addr(n), page(1000));
            assert!(cache.get(1, addr(0)).is_some(), "a page in steady use stays, step {n}");
            assert!(cache.used_bytes() <= weight * 100);
        }
        let kept = (0..1000).filter(|n| cache.contains(1, addr(*n))).count();
        assert_eq!(kept, 100);
        cache.set_budget(weight * 10);
        assert_eq!(cache.used_bytes(), weight * 10);
        cache.drop_all();
        assert_eq!(cache.used_bytes(), 0);
        assert!(!cache.contains(1, addr(0)));
    }

    #[test]
    fn eviction_depends_on_the_order_of_calls_only() {
        let run = || {
            let cache = PageCache::new(page(100).heap_bytes() * 30);
            for n in 0..500 {
                cache.insert(7, addr(n * 37 % 211), page(100));
                let _ = cache.get(7, addr(n * 13 % 211));
            }
            let kept: Vec<bool> = (0..211).map(|n| cache.contains(7, addr(n))).collect();
            (kept, cache.counts())
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn volumes_do_not_see_each_other() {
        let cache = PageCache::new(1 << 20);
        cache.insert(1, addr(0), page(10));
        assert!(cache.get(1, addr(0)).is_some());
        assert!(cache.get(2, addr(0)).is_none());
        assert_eq!(cache.counts(), CacheCounts { hits: 1, misses: 1 });
    }

    #[test]
    fn a_pinned_page_is_found_until_the_last_pin_goes() {
        let cache = Arc::new(PageCache::new(0));
        cache.insert(1, addr(0), page(10));
        assert!(!cache.contains(1, addr(0)), "no room");
        let mut first = PinSet::new(Arc::clone(&cache));
        let mut second = PinSet::new(Arc::clone(&cache));
        first.pin(1, addr(0), page(10));
        second.pin(1, addr(0), page(10));
        drop(first);
        assert!(cache.get(1, addr(0)).is_some());
        assert!(cache.take(1, addr(0)).is_some());
        assert!(cache.take(1, addr(0)).is_some(), "taking does not unpin");
        drop(second);
        assert!(!cache.contains(1, addr(0)));
    }

    #[test]
    fn the_account_of_memory_survives_threads() {
        let cache = PageCache::new(page(100).heap_bytes() * 20);
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let cache = &cache;
                scope.spawn(move || {
                    for n in 0..5_000 {
                        let at = addr((n * 31 + thread * 7) % 64);
                        cache.insert(1, at, page(100));
                        let _ = cache.get(1, at);
                        if n % 3 == thread % 3 {
                            let _ = cache.take(1, at);
                        }
                    }
                });
            }
        });
        assert!(cache.used_bytes() <= page(100).heap_bytes() * 20);
        let kept = (0..64).filter(|n| cache.contains(1, addr(*n))).count();
        assert_eq!(cache.used_bytes(), kept * page(100).heap_bytes());
    }

    #[test]
    fn taking_gives_the_memory_back() {
        let cache = PageCache::new(1 << 20);
        cache.insert(1, addr(0), page(10));
        let node = cache.take(1, addr(0)).expect("inserted");
        assert_eq!(Arc::strong_count(&node), 1);
        assert_eq!(cache.used_bytes(), 0);
        assert!(cache.take(1, addr(0)).is_none());
    }
}
