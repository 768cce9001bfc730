//! headhunter's tree: a copy-on-write B+Tree of byte strings that is only partly in memory.
//!
//! The parts: `slots` and `node` are pages in memory, `page` is their stored form, `cache` holds clean pages for all trees of a
//! process, `edit` changes pages, `checkpoint` writes a frozen tree to the store, `diff` compares two stored trees, `check` looks for
//! inconsistencies.
//!
//! A page is *stored* (named by its address, its content at most in the cache) or *dirty* (it hangs in the tree, no checkpoint
//! that counts holds it). Dirty pages form a connected top of the tree: what is above a dirty page is dirty. Changing a
//! stored page makes a dirty copy and notes the address as freed; a dirty page that a frozen tree shares is copied likewise.
//!
//! Invariant: after any number of checkpoints, the addresses placed by those that were settled, less the addresses that they
//! freed, are the addresses reachable from the last root.
//!
//! Nothing here does I/O. A page that is neither dirty nor cached is a [`Miss`]: load it, [`decode_page`] it, put it into
//! the [`PageCache`], hold it in a [`PinSet`] and run the operation again.

mod cache;
mod check;
mod checkpoint;
mod diff;
mod edit;
mod node;
mod page;
mod slots;
#[cfg(test)]
mod tests;

use std::ops::{ControlFlow, Deref};
use std::sync::Arc;

pub use cache::{CacheCounts, PageCache, PinSet};
pub use check::{CheckError, TreeStats, walk};
pub use checkpoint::{CheckpointWriter, Freed, FreedCell, Frozen, PageOut, Published};
pub use diff::{DiffProgress, TreeDiff, VisitDifference};
pub use node::Node;
pub use page::{PAGE_BYTES_MAX, PageError, decode_page};

use crate::format::keys::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::kv::{KvRead, Miss, PageAddr, Pair, Visit};
use edit::Pages;
use node::Child;

/// How large pages become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Encoded size above which a page is split, 128 bytes to 64 KiB.
    pub target_bytes: usize,
}

impl Default for PageLimits {
    fn default() -> Self {
        Self { target_bytes: 32 << 10 }
    }
}

/// One volume's ordered map. Readers share it; a writer has it alone; pages are loaded by whoever uses it.
#[derive(Debug)]
pub struct Tree {
    root: Option<Child>,
    /// Root of the last checkpoint that counts.
    stored: Option<PageAddr>,
    /// Generation of the frozen tree that has not come back.
    frozen: Option<u64>,
    pages: Pages,
}

/// A resident page.
enum PageRef<'t> {
    Mem(&'t Node),
    Clean(Arc<Node>),
}

impl Deref for PageRef<'_> {
    type Target = Node;

    fn deref(&self) -> &Node {
        match self {
            Self::Mem(node) => node,
            Self::Clean(node) => node,
        }
    }
}

impl Tree {
    /// An empty tree. `tag` tells the volumes apart that share `cache`.
    #[must_use]
    pub fn empty(cache: Arc<PageCache>, tag: u32, limits: PageLimits) -> Self {
        Self::open(cache, tag, limits, None)
    }

    /// The tree whose last checkpoint has this root. Nothing is loaded yet.
    ///
    /// # Panics
    /// `limits` are out of range.
    #[must_use]
    pub fn open(cache: Arc<PageCache>, tag: u32, limits: PageLimits, root: Option<PageAddr>) -> Self {
        let target = limits.target_bytes;
        assert!((128..=64 << 10).contains(&target), "page target of {target} bytes");
        let pages =
            Pages { cache, tag, target, freed: Vec::new(), dirty: 0, shadow: 0, hollow: Vec::new(), generation: 1 };
        Self { root: root.map(Child::Stored), stored: root, frozen: None, pages }
    }

    /// Makes the path to the leaf of `key` dirty, so that [`insert`](Self::insert) and [`remove`](Self::remove) of it find all
    /// they need. Holds until the next freeze or settle, whatever is done to other keys meanwhile: a transaction makes all its
    /// keys writable and then applies all its writes. Changes no pair.
    ///
    /// # Errors
    /// A page on the way is not resident.
    pub fn make_writable(&mut self, key: &[u8]) -> Result<(), Miss> {
        match &mut self.root {
            Some(root) => self.pages.own_path(root, key),
            None => Ok(()),
        }
    }

    /// Sets the value of `key` and returns the old one.
    ///
    /// # Errors
    /// A page on the way is not resident; no pair has changed.
    ///
    /// # Panics
    /// The key is empty or above [`KEY_BYTES_MAX`], or the value above [`VALUE_BYTES_MAX`].
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, Miss> {
        assert!((1..=KEY_BYTES_MAX).contains(&key.len()), "key of {} bytes", key.len());
        assert!(value.len() <= VALUE_BYTES_MAX, "value of {} bytes", value.len());
        let root = self.root.get_or_insert_with(|| self.pages.adopt(Node::new(0)));
        let (old, mut cut) = self.pages.insert(root, None, key, value)?;
        while !cut.is_empty() {
            cut = self.grow(cut);
        }
        Ok(old)
    }

    /// Puts a new root above the old one and what was cut off it; returns what was cut off the new one.
    fn grow(&mut self, cut: edit::Cut) -> edit::Cut {
        let Some(Child::Mem(old)) = self.root.take() else { unreachable!("a root that was split is dirty") };
        let mut root = Node::new(old.level() + 1);
        root.push_child(&[], Child::Mem(old));
        let mut root = self.pages.adopt(root);
        let node = self.pages.own(&mut root, None).expect("a new page is dirty");
        let cut = self.pages.insert_children(node, 1, cut);
        self.root = Some(root);
        cut
    }

    /// Removes `key` and returns its value. A leaf that has shrunk is merged with a neighbour that is resident.
    ///
    /// # Errors
    /// A page on the way is not resident; no pair has changed.
    pub fn remove(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Miss> {
        let Some(root) = &mut self.root else { return Ok(None) };
        let old = self.pages.remove(root, None, key)?;
        if old.is_some() {
            self.lower();
        }
        Ok(old)
    }

    /// Drops an empty root, and root branches of one child.
    fn lower(&mut self) {
        while let Some(Child::Mem(root)) = &self.root
            && root.len() < 2
            && (root.level() > 0 || root.len() == 0)
        {
            let Some(root) = &mut self.root else { return };
            let node = self.pages.own(root, None).expect("a dirty page is resident");
            let child = node.children.pop();
            self.pages.discard(root);
            self.root = child;
        }
    }

    /// Memory of dirty pages: those of the live tree, and versions that only a frozen tree holds.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        self.pages.dirty + self.pages.shadow
    }

    /// Fixes the tree as it is for a checkpoint. Takes constant time, but for leaves that became empty since the last freeze: they
    /// are dropped here.
    ///
    /// # Panics
    /// The previous frozen tree has been neither settled nor thawed.
    pub fn freeze(&mut self) -> Frozen {
        assert!(self.frozen.is_none(), "the previous frozen tree has not come back");
        self.prune();
        let generation = self.pages.generation;
        self.pages.generation += 1;
        self.frozen = Some(generation);
        let freed = std::mem::take(&mut self.pages.freed);
        Frozen { root: self.root.clone(), stored: self.stored, freed, generation }
    }

    /// Drops the leaves that became empty.
    fn prune(&mut self) {
        for key in std::mem::take(&mut self.pages.hollow) {
            if self.leaf_is_empty(&key)
                && let Some(root) = &mut self.root
            {
                self.pages.prune(root, &key);
                self.lower();
            }
        }
    }

    fn leaf_is_empty(&self, key: &[u8]) -> bool {
        let leaf = self.root.as_ref().map(|root| self.descend(root, key));
        matches!(leaf, Some(Ok(PageRef::Mem(leaf))) if leaf.len() == 0)
    }

    /// Takes a frozen tree back whose checkpoint does not count. All is as if it had not been tried.
    ///
    /// # Panics
    /// It was not frozen from this tree, or has come back already.
    pub fn thaw(&mut self, frozen: Frozen) {
        assert_eq!(self.frozen.take(), Some(frozen.generation), "a frozen tree of another tree or time");
        let later = std::mem::replace(&mut self.pages.freed, frozen.freed);
        self.pages.freed.extend(later);
        self.pages.shadow = 0;
    }

    /// Takes a checkpoint back that counts: its pages are stored now. They go to the cache, but for those that the live tree has
    /// copied and changed since. Costs time in proportion to the dirty pages.
    ///
    /// # Panics
    /// It was not frozen from this tree, or has come back already.
    pub fn settle(&mut self, published: Published) {
        let Published { root, frozen, mut placed, .. } = published;
        assert_eq!(self.frozen.take(), Some(frozen.generation), "a checkpoint of another tree or time");
        for (node, addr) in &placed {
            assert!(node.cell.set(*addr).is_ok(), "a page version is stored once");
        }
        self.pages.dirty = self.root.as_mut().map_or(0, settle_child);
        self.pages.shadow = 0;
        self.stored = root;
        drop(frozen);
        // Parents first: what they hold of their children is given up before the children's turn.
        for (node, _) in placed.iter_mut().rev() {
            let clean = Arc::unwrap_or_clone(std::mem::replace(node, Arc::new(Node::new(0)))).into_clean();
            *node = Arc::new(clean);
        }
        for (node, addr) in placed {
            self.pages.cache.insert(self.pages.tag, addr, node);
        }
    }

    /// The page behind `child`.
    fn page<'t>(&'t self, child: &'t Child) -> Result<PageRef<'t>, Miss> {
        match child {
            Child::Mem(node) => Ok(PageRef::Mem(node)),
            Child::Stored(addr) => self.pages.cache.get(self.pages.tag, *addr).map(PageRef::Clean).ok_or(Miss(*addr)),
        }
    }

    /// The page behind child `at` of a branch.
    fn page_below<'t>(&'t self, page: &PageRef<'t>, at: usize) -> Result<PageRef<'t>, Miss> {
        match page {
            PageRef::Mem(node) => self.page(&node.children[at]),
            PageRef::Clean(node) => match &node.children[at] {
                Child::Stored(addr) => {
                    self.pages.cache.get(self.pages.tag, *addr).map(PageRef::Clean).ok_or(Miss(*addr))
                }
                Child::Mem(node) => Ok(PageRef::Clean(Arc::clone(node))),
            },
        }
    }

    /// As `page_below`, for operations that rely on levels.
    fn step<'t>(&'t self, page: &PageRef<'t>, at: usize) -> Result<PageRef<'t>, Miss> {
        let child = self.page_below(page, at)?;
        assert_eq!(child.level() + 1, page.level(), "a page lies at the wrong level of the tree");
        Ok(child)
    }

    /// The leaf in which `key` belongs.
    fn descend<'t>(&'t self, root: &'t Child, key: &[u8]) -> Result<PageRef<'t>, Miss> {
        let mut page = self.page(root)?;
        while page.level() > 0 {
            page = self.step(&page, page.route(key))?;
        }
        Ok(page)
    }

    fn scan_page(&self, page: &PageRef<'_>, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Flow {
        if page.level() == 0 {
            let start = page.search(from).unwrap_or_else(|at| at);
            for at in (start..page.len()).take_while(|at| page.key(*at) < to) {
                if visit(page.key(at), page.value(at)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            return Ok(ControlFlow::Continue(()));
        }
        let first = page.route(from);
        for at in (first..page.len()).take_while(|at| *at == first || page.key(*at) < to) {
            if self.scan_page(&self.step(page, at)?, from, to, visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn last_in_page(&self, page: &PageRef<'_>, from: &[u8], to: &[u8]) -> Result<Option<Pair>, Miss> {
        // Entries from `end` on have keys of at least `to`.
        let end = page.search(to).unwrap_or_else(|at| at);
        if page.level() == 0 {
            let found = end.checked_sub(1).filter(|at| page.key(*at) >= from);
            return Ok(found.map(|at| (page.key(at).to_vec(), page.value(at).to_vec())));
        }
        let first = page.route(from);
        for at in (first..end).rev() {
            if let Some(pair) = self.last_in_page(&self.step(page, at)?, from, to)? {
                return Ok(Some(pair));
            }
        }
        Ok(None)
    }
}

type Flow = Result<ControlFlow<()>, Miss>;

/// Turns dirty pages at and below `child` that have become stored into their addresses; returns the memory of those still dirty.
fn settle_child(child: &mut Child) -> usize {
    let Child::Mem(node) = child else { return 0 };
    if let Some(addr) = node.cell.get() {
        *child = Child::Stored(*addr);
        return 0;
    }
    let node = Arc::get_mut(node).expect("a page changed since the freeze is in the live tree only");
    node.heap_bytes() + node.children.iter_mut().map(settle_child).sum::<usize>()
}

impl KvRead for Tree {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Miss> {
        let Some(root) = &self.root else { return Ok(None) };
        let leaf = self.descend(root, key)?;
        Ok(leaf.search(key).ok().map(|at| leaf.value(at).to_vec()))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Miss> {
        match &self.root {
            Some(root) if from < to => self.scan_page(&self.page(root)?, from, to, visit).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Pair>, Miss> {
        match &self.root {
            Some(root) if from < to => self.last_in_page(&self.page(root)?, from, to),
            _ => Ok(None),
        }
    }
}
