//! Changes to pages: making them dirty, splitting, merging, dropping.
//!
//! Owns the accounts of a tree: which stored pages died, and how much memory its dirty pages take. A page may be changed iff no
//! frozen tree shares it, which is what its reference count says: a frozen tree holds the root, and every page below a shared
//! page is shared as soon as its parent has been copied.
//!
//! Rule that callers build on: once the path to a key is dirty, no change of other keys makes it less so. Merging makes
//! both pages dirty, and a leaf that became empty without a dirty neighbour stays until the next freeze.

use std::sync::Arc;

use super::cache::PageCache;
use super::checkpoint::Freed;
use super::node::{Child, Node};
use crate::kv::Miss;

/// A page smaller than the target divided by this looks for a neighbour to merge with.
const UNDERFULL: usize = 4;

/// New right neighbours of a page that was split, with their lower bounds.
pub(super) type Cut = Vec<(Vec<u8>, Child)>;

/// Where a tree's pages come from and what became of them.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) cache: Arc<PageCache>,
    pub(super) tag: u32,
    pub(super) target: usize,
    /// Versions that the next checkpoint does without.
    pub(super) freed: Vec<Freed>,
    /// Memory of the dirty pages of the live tree.
    pub(super) dirty: usize,
    /// Memory of pages that only the frozen tree still holds.
    pub(super) shadow: usize,
    /// Keys whose leaf became empty since the last freeze.
    pub(super) hollow: Vec<Vec<u8>>,
    /// Number of the next freeze, from 1.
    pub(super) generation: u64,
}

impl Pages {
    /// Makes a page dirty and private to the live tree. `above` is the level of its parent.
    pub(super) fn own<'c>(&mut self, child: &'c mut Child, above: Option<u8>) -> Result<&'c mut Node, Miss> {
        match child {
            Child::Stored(addr) => {
                let node = self.cache.take(self.tag, *addr).ok_or(Miss(*addr))?;
                assert!(
                    above.is_none_or(|above| above == node.level() + 1),
                    "a page lies at the wrong level of the tree"
                );
                self.freed.push(Freed::Addr(*addr));
                *child = self.adopt(Arc::unwrap_or_clone(node).into_dirty());
            }
            Child::Mem(node) => {
                if Arc::get_mut(node).is_none() {
                    self.freed.push(Freed::Cell(Arc::clone(&node.cell)));
                    self.shadow += node.heap_bytes();
                    self.dirty -= node.heap_bytes();
                    let mut copy = Node::clone(node);
                    copy.cell = super::node::Cell::default();
                    *child = self.adopt(copy);
                }
            }
        }
        match child {
            Child::Mem(node) => Ok(Arc::get_mut(node).expect("the page was just made private")),
            Child::Stored(_) => unreachable!("the page was just made dirty"),
        }
    }

    /// Counts a new dirty page.
    pub(super) fn adopt(&mut self, node: Node) -> Child {
        self.dirty += node.heap_bytes();
        Child::Mem(Arc::new(node))
    }

    /// Changes one page and keeps the account of memory.
    fn change<T>(&mut self, node: &mut Node, change: impl FnOnce(&mut Node) -> T) -> T {
        self.dirty -= node.heap_bytes();
        let out = change(node);
        self.dirty += node.heap_bytes();
        out
    }

    /// Makes the path to the leaf of `key` dirty.
    pub(super) fn own_path(&mut self, mut child: &mut Child, key: &[u8]) -> Result<(), Miss> {
        let mut above = None;
        loop {
            let node = self.own(child, above)?;
            if node.level() == 0 {
                return Ok(());
            }
            above = Some(node.level());
            let at = node.route(key);
            child = &mut node.children[at];
        }
    }

    /// Sets a pair below `child`; returns the old value and what was cut off.
    pub(super) fn insert(
        &mut self,
        child: &mut Child,
        above: Option<u8>,
        key: &[u8],
        value: &[u8],
    ) -> Result<(Option<Vec<u8>>, Cut), Miss> {
        let node = self.own(child, above)?;
        if node.level() == 0 {
            let (at, old) = self.change(node, |node| node.put(key, value));
            return Ok((old, self.split(node, at)));
        }
        let at = node.route(key);
        let above = Some(node.level());
        let (old, cut) = self.insert(&mut node.children[at], above, key, value)?;
        Ok((old, self.insert_children(node, at + 1, cut)))
    }

    /// Inserts children in front of entry `at`; returns what was cut off the branch.
    pub(super) fn insert_children(&mut self, node: &mut Node, at: usize, cut: Cut) -> Cut {
        if cut.is_empty() {
            return cut;
        }
        let last = at + cut.len() - 1;
        self.change(node, |node| {
            for (place, (bound, child)) in (at..).zip(cut) {
                node.insert_child(place, &bound, child);
            }
        });
        self.split(node, last)
    }

    fn split(&mut self, node: &mut Node, changed: usize) -> Cut {
        let target = self.target;
        let right = self.change(node, |node| node.split(target, changed));
        right.into_iter().map(|(bound, node)| (bound, self.adopt(node))).collect()
    }

    /// Removes a pair below `child`.
    pub(super) fn remove(&mut self, child: &mut Child, above: Option<u8>, key: &[u8]) -> Result<Option<Vec<u8>>, Miss> {
        let node = self.own(child, above)?;
        if node.level() == 0 {
            let old = self.change(node, |node| node.take(key));
            if old.is_some() && node.len() == 0 {
                self.note_hollow(node, key);
            }
            return Ok(old);
        }
        let at = node.route(key);
        let above = Some(node.level());
        let old = self.remove(&mut node.children[at], above, key)?;
        if old.is_some() {
            self.rebalance(node, at);
        }
        Ok(old)
    }

    /// Remembers once that a leaf became empty.
    fn note_hollow(&mut self, leaf: &mut Node, key: &[u8]) {
        if leaf.hollow != self.generation {
            leaf.hollow = self.generation;
            self.hollow.push(key.to_vec());
        }
    }

    /// Merges child `at` of a branch with a neighbour if it has shrunk and the neighbour is resident.
    pub(super) fn rebalance(&mut self, node: &mut Node, at: usize) {
        let Child::Mem(child) = &node.children[at] else { return };
        let size = child.encoded_len();
        if size >= self.target / UNDERFULL {
            return;
        }
        let empty = child.len() == 0;
        let right = at + 1 < node.len() && self.fits(&node.children[at + 1], size, empty);
        let left = at > 0 && self.fits(&node.children[at - 1], size, empty);
        let right_is_dirty = right && matches!(node.children[at + 1], Child::Mem(_));
        if left && !right_is_dirty {
            self.merge(node, at - 1);
        } else if right {
            self.merge(node, at);
        }
    }

    /// Whether a page of `size` may be merged into `neighbour`, leaving room to grow.
    fn fits(&self, neighbour: &Child, size: usize, empty: bool) -> bool {
        match neighbour {
            Child::Mem(node) => empty || node.encoded_len() + size <= self.target - self.target / 8,
            // An empty leaf is dropped at the next freeze: no reason to make a neighbour dirty.
            Child::Stored(_) if empty => false,
            Child::Stored(addr) => {
                let node = self.cache.contains(self.tag, *addr).then(|| self.cache.get(self.tag, *addr)).flatten();
                node.is_some_and(|node| node.encoded_len() + size <= self.target - self.target / 8)
            }
        }
    }

    /// Merges child `at + 1` of a branch into child `at`. Nothing happens if either was evicted just now.
    fn merge(&mut self, node: &mut Node, at: usize) {
        let above = Some(node.level());
        for at in [at, at + 1] {
            if self.own(&mut node.children[at], above).is_err() {
                return;
            }
        }
        let bound = node.key(at + 1).to_vec();
        let removed = self.change(node, |node| node.remove_child(at + 1));
        let (Child::Mem(right), Ok(left)) = (removed, self.own(&mut node.children[at], above)) else {
            unreachable!("both pages were just made dirty");
        };
        self.dirty -= right.heap_bytes();
        let right = Arc::into_inner(right).expect("the page was just made private");
        self.change(left, |left| left.append(&bound, right));
    }

    /// Drops the leaf of `key` below `child` if it is empty, and branches that become empty. True if nothing is left of `child`.
    pub(super) fn prune(&mut self, child: &mut Child, key: &[u8]) -> bool {
        let Ok(node) = self.own(child, None) else { return false };
        if node.level() > 0 {
            let at = node.route(key);
            if self.prune(&mut node.children[at], key) {
                let gone = self.change(node, |node| node.remove_child(at));
                self.discard(&gone);
            } else {
                self.rebalance(node, at);
            }
        }
        node.len() == 0
    }

    /// Takes a private page that was cut out of the tree off the account.
    pub(super) fn discard(&mut self, child: &Child) {
        if let Child::Mem(node) = child {
            self.dirty -= node.heap_bytes();
        }
    }
}
