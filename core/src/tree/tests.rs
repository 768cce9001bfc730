//! The tree against a sorted map, over a store that is a map of encoded pages.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::types::{Epoch, Nonce, ObjectId};

const TAG: u32 = 3;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A checkpoint on its way.
enum Flight {
    None,
    Frozen(Frozen, Model),
    Writing(CheckpointWriter, Model),
    Written(Published, Model),
}

/// A tree, what it must hold, and the store below it.
struct World {
    cache: Arc<PageCache>,
    limits: PageLimits,
    tree: Tree,
    model: Model,
    store: HashMap<PageAddr, PageOut>,
    flight: Flight,
    /// Addresses placed by the checkpoint on its way.
    placing: Vec<PageAddr>,
    /// Addresses that checkpoints that count have placed and not freed.
    alive: BTreeSet<PageAddr>,
    root: Option<PageAddr>,
    stored_model: Model,
    next: u64,
}

/// Loads a page from `store` into the cache.
fn load(cache: &PageCache, store: &HashMap<PageAddr, PageOut>, pins: &mut PinSet, Miss(addr): Miss) {
    let page = &store[&addr];
    let node = Arc::new(decode_page(page.level, &page.payload).expect("what was encoded"));
    cache.insert(TAG, addr, Arc::clone(&node));
    pins.pin(TAG, addr, node);
}

impl World {
    fn new(target_bytes: usize, budget: usize) -> Self {
        let cache = Arc::new(PageCache::new(budget));
        let limits = PageLimits { target_bytes };
        Self {
            tree: Tree::empty(Arc::clone(&cache), TAG, limits),
            cache,
            limits,
            model: Model::new(),
            store: HashMap::new(),
            flight: Flight::None,
            placing: Vec::new(),
            alive: BTreeSet::new(),
            root: None,
            stored_model: Model::new(),
            next: 0,
        }
    }

    /// Runs `op` until it misses no page, each loaded once.
    fn retry<T>(&mut self, mut op: impl FnMut(&mut Tree) -> Result<T, Miss>) -> T {
        let mut pins = PinSet::new(Arc::clone(&self.cache));
        let mut last = None;
        loop {
            match op(&mut self.tree) {
                Ok(out) => return out,
                Err(miss) => {
                    assert_ne!(Some(miss), last, "a pinned page was missed");
                    last = Some(miss);
                    load(&self.cache, &self.store, &mut pins, miss);
                }
            }
        }
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        let old = self.retry(|tree| tree.insert(key, value));
        assert_eq!(old, self.model.insert(key.to_vec(), value.to_vec()));
    }

    fn remove(&mut self, key: &[u8]) {
        let old = self.retry(|tree| tree.remove(key));
        assert_eq!(old, self.model.remove(key));
    }

    /// All keys are made writable, the cache is emptied, then all writes must go through.
    fn batch(&mut self, writes: &[(Vec<u8>, Option<Vec<u8>>)]) {
        for (key, _) in writes {
            self.retry(|tree| tree.make_writable(key));
        }
        self.cache.drop_all();
        for (key, value) in writes {
            match value {
                Some(value) => {
                    let old = self.tree.insert(key, value).expect("made writable");
                    assert_eq!(old, self.model.insert(key.clone(), value.clone()));
                }
                None => {
                    let old = self.tree.remove(key).expect("made writable");
                    assert_eq!(old, self.model.remove(key));
                }
            }
        }
    }

    fn read(&mut self, from: &[u8], to: &[u8], limit: usize) {
        assert_eq!(self.retry(|tree| tree.get(from)), self.model.get(from).cloned());
        let found = self.retry(|tree| collect(tree, from, to, limit));
        let range = (from < to).then(|| self.model.range(from.to_vec()..to.to_vec()));
        let wanted: Vec<_> = range.clone().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(found, wanted[..wanted.len().min(limit)]);
        assert_eq!(self.retry(|tree| tree.last(from, to)), wanted.last().cloned());
    }

    fn check(&self) -> TreeStats {
        self.tree.check().expect("consistent")
    }

    fn freeze(&mut self) {
        if matches!(self.flight, Flight::None) {
            self.flight = Flight::Frozen(self.tree.freeze(), self.model.clone());
        }
    }

    /// Writes up to `pages` pages of the frozen tree.
    fn write(&mut self, pages: usize) {
        self.flight = match std::mem::replace(&mut self.flight, Flight::None) {
            Flight::Frozen(frozen, model) => Flight::Writing(frozen.writer(), model),
            other => other,
        };
        let Flight::Writing(writer, _) = &mut self.flight else { return };
        for _ in 0..pages {
            let Some(page) = writer.next_page() else { break };
            let object = ObjectId { epoch: Epoch(1), nonce: Nonce(self.next / 8) };
            let addr = PageAddr { object, offset: (self.next % 8) as u32, len: 48 + page.payload.len() as u32 };
            self.next += 1;
            self.store.insert(addr, page);
            self.placing.push(addr);
            writer.place(addr);
        }
    }

    fn finish(&mut self) {
        self.write(usize::MAX);
        self.flight = match std::mem::replace(&mut self.flight, Flight::None) {
            Flight::Writing(writer, model) => Flight::Written(writer.finish(), model),
            other => other,
        };
    }

    fn publish(&mut self) {
        self.finish();
        let Flight::Written(published, model) = std::mem::replace(&mut self.flight, Flight::None) else { return };
        for addr in published.freed() {
            assert!(self.alive.remove(&addr), "freed twice or never placed: {addr:?}");
        }
        self.alive.extend(self.placing.drain(..));
        self.root = published.root;
        self.stored_model = model;
        self.tree.settle(published);
        self.check_store();
    }

    fn fail(&mut self) {
        let frozen = match std::mem::replace(&mut self.flight, Flight::None) {
            Flight::None => return,
            Flight::Frozen(frozen, _) => frozen,
            Flight::Writing(writer, _) => writer.abandon(),
            Flight::Written(published, _) => published.abandon(),
        };
        self.tree.thaw(frozen);
        self.placing.clear();
    }

    /// The stored tree holds what the model held at the freeze, on exactly the pages that are alive.
    fn check_store(&self) {
        let (mut reachable, mut pairs) = (BTreeSet::new(), Model::new());
        if let Some(root) = self.root {
            let mut load = |addr: PageAddr| {
                let page = &self.store[&addr];
                decode_page(page.level, &page.payload).map(Arc::new)
            };
            let mut visit = |addr, node: &Node| {
                assert!(reachable.insert(addr), "two ways to {addr:?}");
                assert!(node.len() > 0);
                if node.level() == 0 {
                    pairs.extend((0..node.len()).map(|at| (node.key(at).to_vec(), node.value(at).to_vec())));
                }
                Ok::<(), PageError>(())
            };
            walk(root, &mut load, &mut visit).expect("readable");
        }
        assert_eq!(pairs, self.stored_model);
        assert_eq!(reachable, self.alive);
    }

    /// Starts over from the last checkpoint that counts.
    fn reopen(&mut self) {
        self.fail();
        self.cache.drop_all();
        self.tree = Tree::open(Arc::clone(&self.cache), TAG, self.limits, self.root);
        self.model = self.stored_model.clone();
    }
}

fn collect(tree: &Tree, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, Miss> {
    let mut out = Vec::new();
    if limit > 0 {
        tree.scan(from, to, &mut |k, v| {
            out.push((k.to_vec(), v.to_vec()));
            if out.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    Ok(out)
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    RemoveRange(Vec<u8>, usize),
    Batch(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Read(Vec<u8>, Vec<u8>, usize),
    Freeze,
    Write(usize),
    Finish,
    Publish,
    Fail,
    Evict,
    Budget(usize),
    Reopen,
}

impl Op {
    fn run(self, world: &mut World) {
        match self {
            Self::Insert(key, value) => world.insert(&key, &value),
            Self::Remove(key) => world.remove(&key),
            Self::RemoveRange(from, count) => {
                let keys: Vec<_> = world.model.range(from..).take(count).map(|(k, _)| k.clone()).collect();
                keys.iter().for_each(|key| world.remove(key));
            }
            Self::Batch(writes) => world.batch(&writes),
            Self::Read(from, to, limit) => world.read(&from, &to, limit),
            Self::Freeze => world.freeze(),
            Self::Write(pages) => world.write(pages),
            Self::Finish => world.finish(),
            Self::Publish => world.publish(),
            Self::Fail => world.fail(),
            Self::Evict => world.cache.drop_all(),
            Self::Budget(bytes) => world.cache.set_budget(bytes),
            Self::Reopen => world.reopen(),
        }
    }
}

/// Keys of a few hundred, some with long common prefixes.
fn key() -> impl Strategy<Value = Vec<u8>> {
    (0_u16..400).prop_map(|n| {
        let mut key = match n % 4 {
            0 => vec![n as u8],
            1 => b"directory/".to_vec(),
            2 => vec![0xee; 60],
            _ => vec![1, 0, 0, 0, 0, (n % 7) as u8, 0x30],
        };
        key.extend_from_slice(&n.to_be_bytes());
        key
    })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![12 => 0_usize..40, 1 => 200_usize..900].prop_map(|len| vec![len as u8; len])
}

fn op() -> impl Strategy<Value = Op> {
    let write = (key(), proptest::option::of(value()));
    prop_oneof![
        40 => (key(), value()).prop_map(|(k, v)| Op::Insert(k, v)),
        15 => key().prop_map(Op::Remove),
        4 => (key(), 1_usize..60).prop_map(|(k, n)| Op::RemoveRange(k, n)),
        6 => proptest::collection::vec(write, 1..12).prop_map(Op::Batch),
        8 => (key(), key(), 0_usize..30).prop_map(|(a, b, n)| Op::Read(a, b, n)),
        8 => Just(Op::Freeze),
        6 => (1_usize..12).prop_map(Op::Write),
        1 => Just(Op::Finish),
        6 => Just(Op::Publish),
        2 => Just(Op::Fail),
        2 => Just(Op::Evict),
        1 => (0_usize..40_000).prop_map(Op::Budget),
        1 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_is_right_and_frees_exactly(
        target in 128_usize..512,
        seed in proptest::collection::vec((key(), value()), 0..200),
        ops in proptest::collection::vec(op(), 1..250),
    ) {
        let mut world = World::new(target, 60_000);
        seed.iter().for_each(|(key, value)| world.insert(key, value));
        for op in ops {
            op.run(&mut world);
            world.check();
        }
        world.publish();
        world.freeze();
        world.publish();
        prop_assert_eq!(&world.stored_model, &world.model);
        world.read(&[], &[0xff; 70], usize::MAX);
        let keys: Vec<_> = world.model.keys().cloned().collect();
        keys.iter().for_each(|key| world.remove(key));
        world.freeze();
        world.publish();
        prop_assert!(world.alive.is_empty(), "an empty tree has no pages");
        prop_assert_eq!(world.tree.dirty_bytes(), 0);
    }
}

fn numbered(n: u32) -> [u8; 9] {
    let mut key = *b"key: \0\0\0\0";
    key[5..].copy_from_slice(&n.to_be_bytes());
    key
}

/// Numbers below `count`, a power of two, in a scattered order.
fn scattered(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(move |n| n.wrapping_mul(0x9e37_79b1) % count)
}

/// Fill of the leaves after the given inserts, in per cent.
fn fill(target: usize, keys: impl Iterator<Item = u32>) -> usize {
    let mut tree = Tree::empty(Arc::new(PageCache::new(0)), TAG, PageLimits { target_bytes: target });
    for n in keys {
        tree.insert(&numbered(n), b"a value of some bytes").expect("all dirty");
    }
    let stats = tree.check().expect("consistent");
    stats.leaf_bytes * 100 / (stats.leaves * target)
}

#[test]
fn pages_are_well_filled_by_usual_loads() {
    for target in [512, 32 << 10] {
        let ascending = fill(target, 0..30_000);
        let descending = fill(target, (0..30_000).rev());
        let random = fill(target, scattered(32_768));
        assert!(ascending >= 80, "ascending {ascending}%");
        assert!(descending >= 80, "descending {descending}%");
        assert!(random >= 60, "random {random}%");
    }
}

#[test]
fn a_hundred_thousand_keys_survive_a_checkpoint_and_a_small_cache() {
    let mut world = World::new(4096, 1 << 20);
    for n in scattered(1 << 17) {
        world.insert(&numbered(n), &n.to_le_bytes());
    }
    let stats = world.check();
    assert_eq!(stats.entries, 1 << 17);
    world.freeze();
    world.publish();
    assert_eq!(world.tree.dirty_bytes(), 0);
    world.reopen();
    assert_eq!(world.check(), TreeStats { absent: 1, ..TreeStats::default() });
    world.read(&numbered(0), &numbered(u32::MAX), usize::MAX);
    for n in scattered(1 << 10) {
        world.read(&numbered(n * 128), &numbered(n * 128 + 5), 3);
        assert!(world.cache.used_bytes() <= 1 << 20);
    }
    for n in (0..1 << 17).filter(|n| n % 16 != 0) {
        world.remove(&numbered(n));
    }
    assert_eq!(world.model.len(), 1 << 13);
    world.freeze();
    world.publish();
    assert!(world.alive.len() < 150, "{} pages for 8192 small pairs", world.alive.len());
}

#[test]
fn big_values_and_long_keys_fit() {
    let mut world = World::new(32 << 10, 1 << 20);
    for n in 0..60_u32 {
        let mut key = vec![b'k'; KEY_BYTES_MAX - 4];
        key.extend_from_slice(&n.to_be_bytes());
        let len = if n % 5 == 0 { VALUE_BYTES_MAX } else { 100 };
        world.insert(&key, &vec![n as u8; len]);
        world.insert(&numbered(n), &vec![n as u8; len / 2]);
    }
    world.check();
    world.freeze();
    world.publish();
    world.reopen();
    world.read(&[0], &[0xff], usize::MAX);
}

#[test]
fn a_changed_page_goes_alone_with_its_ancestors() {
    let mut world = World::new(512, 1 << 20);
    (0..5000).for_each(|n| world.insert(&numbered(n), b"value"));
    world.freeze();
    world.publish();
    world.insert(&numbered(2500), b"other");
    let stats = world.check();
    assert_eq!(stats.dirty_pages, usize::from(stats.levels));
    let before = world.alive.len();
    world.freeze();
    world.finish();
    assert_eq!(world.placing.len(), usize::from(stats.levels));
    world.publish();
    assert_eq!(world.alive.len(), before);
}

#[test]
fn a_leaf_that_becomes_empty_does_not_make_its_neighbours_dirty() {
    let mut world = World::new(256, 1 << 20);
    (0..40).for_each(|n| world.insert(&numbered(n), &[1; 200]));
    world.freeze();
    world.publish();
    let leaves = world.check().leaves;
    assert_eq!(leaves, 40, "a pair a page");
    world.remove(&numbered(20));
    let stats = world.check();
    assert_eq!(stats.dirty_pages, usize::from(stats.levels));
    world.freeze();
    world.publish();
    assert_eq!(world.check().leaves, leaves - 1);
}

#[test]
fn an_emptied_leaf_that_was_refilled_and_split_is_found_when_empty_again() {
    let wide = |n: u32| numbered(n * 1000);
    for leaf in 20..30 {
        let mut world = World::new(128, 1 << 20);
        (0..60).for_each(|n| world.insert(&wide(n), &[1; 100]));
        world.freeze();
        world.publish();
        world.cache.drop_all();
        world.remove(&wide(leaf));
        // Enough to split the branch above, with the noted key far from both ends.
        let more: Vec<_> = (0..120).map(|n| numbered(leaf * 1000 - 60 + n)).collect();
        more.iter().for_each(|key| world.insert(key, &[2; 100]));
        world.cache.drop_all();
        more.iter().for_each(|key| world.remove(key));
        world.check();
        world.freeze();
        world.publish();
        assert_eq!(world.model.len(), 59);
    }
}

#[test]
fn a_failed_checkpoint_leaves_no_trace() {
    let run = |fail_after: Option<usize>| {
        let mut world = World::new(256, 1 << 20);
        (0..600).for_each(|n| world.insert(&numbered(n), b"first"));
        world.freeze();
        world.publish();
        (0..600).step_by(7).for_each(|n| world.insert(&numbered(n), b"second"));
        if let Some(pages) = fail_after {
            world.freeze();
            world.write(pages);
        }
        (0..600).step_by(11).for_each(|n| world.insert(&numbered(n), b"the third"));
        world.fail();
        world.next = 10_000;
        world.freeze();
        let Flight::Frozen(frozen, _) = &world.flight else { panic!("frozen") };
        let freed: BTreeSet<_> = frozen.freed().collect();
        assert!(frozen.is_dirty());
        world.publish();
        let pages: BTreeMap<_, _> = world.alive.iter().map(|addr| (*addr, world.store[addr].payload.clone())).collect();
        (freed, pages, world.tree.dirty_bytes())
    };
    let untried = run(None);
    for pages in [0, 1, 20, usize::MAX] {
        assert!(run(Some(pages)) == untried, "failed after {pages} pages");
    }
}

#[test]
fn a_tree_without_changes_has_nothing_to_write() {
    let mut world = World::new(256, 1 << 20);
    let frozen = world.tree.freeze();
    assert!(!frozen.is_dirty());
    world.tree.thaw(frozen);
    (0..100).for_each(|n| world.insert(&numbered(n), b""));
    world.freeze();
    world.publish();
    let root = world.root;
    let frozen = world.tree.freeze();
    assert!(!frozen.is_dirty());
    let mut writer = frozen.writer();
    assert_eq!(writer.next_page(), None);
    let published = writer.finish();
    assert_eq!((published.root, published.freed().count()), (root, 0));
    world.tree.settle(published);
    (0..100).for_each(|n| world.remove(&numbered(n)));
    let frozen = world.tree.freeze();
    assert!(frozen.is_dirty(), "the empty tree differs from the stored one");
    assert_eq!(frozen.freed().count(), world.alive.len());
    world.tree.thaw(frozen);
}

#[test]
fn memory_of_replaced_versions_counts_until_the_checkpoint_ends() {
    let mut world = World::new(512, 1 << 20);
    (0..1000).for_each(|n| world.insert(&numbered(n), b"value"));
    let before = world.tree.dirty_bytes();
    world.freeze();
    (0..1000).for_each(|n| world.insert(&numbered(n), b"eulav"));
    assert!(world.tree.dirty_bytes() > before * 3 / 2);
    world.publish();
    assert!(world.tree.dirty_bytes() < before * 3 / 2);
    assert_eq!(world.tree.dirty_bytes(), world.check().dirty_bytes);
}

#[test]
fn a_pinned_path_makes_progress_without_any_cache() {
    let mut world = World::new(256, 0);
    (0..2000).for_each(|n| world.insert(&numbered(n), b"value"));
    world.freeze();
    world.publish();
    world.read(&numbered(900), &numbered(1000), 1000);
    world.insert(&numbered(77), b"changed");
    world.remove(&numbered(1500));
    assert_eq!(world.cache.used_bytes(), 0);
    world.read(&numbered(70), &numbered(80), 1000);
}

#[test]
fn temporary_keys_do_not_pile_up_between_freezes() {
    let mut world = World::new(128, 1 << 20);
    (0..400).for_each(|n| world.insert(&numbered(n * 1000), &[7; 40]));
    world.freeze();
    world.publish();
    world.cache.drop_all();
    for n in 0..5000 {
        world.insert(&numbered(200_000 + n % 999), b"");
        world.remove(&numbered(200_000 + n % 999));
    }
    assert!(world.tree.pages.hollow.len() < 10, "{}", world.tree.pages.hollow.len());
    world.freeze();
    world.publish();
}

#[test]
#[should_panic(expected = "has not come back")]
fn a_second_freeze_before_the_first_came_back_is_a_bug() {
    let mut tree = World::new(256, 0).tree;
    let _first = tree.freeze();
    let _second = tree.freeze();
}

#[test]
fn readers_may_share_a_tree() {
    fn shared<T: Send + Sync>() {}
    shared::<Tree>();
    shared::<Frozen>();
    shared::<CheckpointWriter>();
    shared::<Published>();
    shared::<PageCache>();
}

/// A key, its old value and its new one.
type Differing = (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

/// What differs between two roots inside a range, and how many pages were loaded for it.
fn differing(
    world: &World,
    roots: (Option<PageAddr>, Option<PageAddr>),
    range: (Vec<u8>, Vec<u8>),
    pages_max: usize,
) -> (Option<Vec<Differing>>, usize) {
    world.cache.drop_all();
    let mut pins = PinSet::new(Arc::clone(&world.cache));
    let mut diff = TreeDiff::new(Arc::clone(&world.cache), TAG, roots, range, pages_max);
    let mut loaded = 0;
    let progress = loop {
        match diff.run() {
            Ok(progress) => break progress,
            Err(miss) => {
                loaded += 1;
                load(&world.cache, &world.store, &mut pins, miss);
            }
        }
    };
    if progress == DiffProgress::TooMuch {
        return (None, loaded);
    }
    let mut found = Vec::new();
    let own = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
    diff.visit(&mut |key, old, new| found.push((key.to_vec(), own(old), own(new))));
    (Some(found), loaded)
}

/// What differs between two maps inside a range.
fn differing_pairs(old: &Model, new: &Model, range: &(Vec<u8>, Vec<u8>)) -> Vec<Differing> {
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).filter(|k| **k >= range.0 && **k < range.1).collect();
    let pairs = keys.into_iter().map(|k| (k.clone(), old.get(k).cloned(), new.get(k).cloned()));
    pairs.filter(|(_, old, new)| old != new).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn two_stored_trees_differ_as_their_maps_do(
        target in 128_usize..512,
        seed in proptest::collection::vec((key(), value()), 0..200),
        ops in proptest::collection::vec(op(), 1..150),
        from in key(),
        to in key(),
    ) {
        let mut world = World::new(target, 60_000);
        seed.iter().for_each(|(key, value)| world.insert(key, value));
        world.freeze();
        world.publish();
        let (old_root, old) = (world.root, world.stored_model.clone());
        ops.into_iter().for_each(|op| op.run(&mut world));
        world.publish();
        world.freeze();
        world.publish();
        let (new_root, new) = (world.root, world.stored_model.clone());
        for range in [(vec![], vec![0xff; 70]), (from.clone().min(to.clone()), from.max(to))] {
            let (found, _) = differing(&world, (old_root, new_root), range.clone(), usize::MAX);
            prop_assert_eq!(found.expect("no bound"), differing_pairs(&old, &new, &range));
            let (found, _) = differing(&world, (new_root, old_root), range.clone(), usize::MAX);
            prop_assert_eq!(found.expect("no bound"), differing_pairs(&new, &old, &range));
        }
    }
}

#[test]
fn comparing_two_trees_reads_only_what_differs() {
    let mut world = World::new(512, 1 << 20);
    (0..5000).for_each(|n| world.insert(&numbered(n), b"value"));
    world.freeze();
    world.publish();
    let old = world.root;
    world.insert(&numbered(2500), b"other");
    world.insert(&numbered(4000), b"other");
    let levels = usize::from(world.check().levels);
    world.freeze();
    world.publish();
    let all = || (vec![0], vec![0xff]);
    let (found, loaded) = differing(&world, (old, world.root), all(), 100);
    assert_eq!(found.expect("within bounds").len(), 2);
    assert!(loaded <= 4 * levels, "{loaded} pages for two changes under {levels} levels");
    let (found, loaded) = differing(&world, (old, world.root), (numbered(4000).to_vec(), numbered(5000).to_vec()), 100);
    assert_eq!(found.expect("within bounds").len(), 1);
    assert!(loaded <= 2 * levels + 2, "{loaded} pages for one change in the range");
    assert_eq!(differing(&world, (old, old), all(), 0), (Some(Vec::new()), 0), "nothing is read of equal trees");

    (0..5000).for_each(|n| world.insert(&numbered(n), b"rewritten"));
    world.freeze();
    world.publish();
    let (found, loaded) = differing(&world, (old, world.root), all(), 100);
    assert_eq!(found, None, "more differs than was allowed");
    assert!(loaded <= 110, "{loaded} pages before giving up");
}
