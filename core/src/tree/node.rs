//! A page in memory, leaf or branch.
//!
//! Invariants: a leaf (level 0) has no children; a branch has one child for each key. The first key of a branch in a tree is
//! empty, so that it is a lower bound of whatever the branch is given; its real bound is its parent's key. Pages in the page
//! cache name stored children only.

use std::sync::{Arc, OnceLock};

use super::page::varint_len;
use super::slots::{Slots, common_prefix};
use crate::kv::PageAddr;

/// Assumed encoded size of a child's address: epoch 1-2, nonce 2-4, offset 3-4, length 2-3 bytes.
const CHILD_COST: usize = 12;

/// Allocations that belong to a page in memory beside its entries: reference counts, the identity cell.
const FIXED_BYTES: usize = size_of::<Node>() + 16 + size_of::<OnceLock<PageAddr>>() + 16;

/// Identity of one version of a page: where the checkpoint that counts has written it.
pub(super) type Cell = Arc<OnceLock<PageAddr>>;

/// What a branch (or the tree) points at.
#[derive(Clone, Debug)]
pub(super) enum Child {
    /// A page that lies in the store, unchanged.
    Stored(PageAddr),
    /// A page that no published checkpoint holds.
    Mem(Arc<Node>),
}

/// A page in memory.
#[derive(Clone, Debug)]
pub struct Node {
    level: u8,
    slots: Slots,
    pub(super) children: Vec<Child>,
    pub(super) cell: Cell,
    /// Generation of the tree in which this leaf was noted as emptied; 0 for never.
    pub(super) hollow: u64,
}

/// Where in a page the entry that overfilled it lies.
#[derive(Clone, Copy)]
enum Spot {
    LeftEnd,
    Middle,
    RightEnd,
}

impl Node {
    pub(super) fn new(level: u8) -> Self {
        Self::with_capacity(level, 0, 0)
    }

    pub(super) fn with_capacity(level: u8, entries: usize, bytes: usize) -> Self {
        let children = Vec::with_capacity(if level == 0 { 0 } else { entries });
        Self { level, slots: Slots::with_capacity(entries, bytes), children, cell: Cell::default(), hollow: 0 }
    }

    /// Distance from the leaves; 0 is a leaf.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Number of entries.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no page of a tree is empty")]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Key of entry `at`: a pair's in a leaf, a child's lower bound in a branch.
    ///
    /// # Panics
    /// There is no such entry.
    #[must_use]
    pub fn key(&self, at: usize) -> &[u8] {
        self.slots.key(at)
    }

    /// Value of entry `at`; empty in a branch.
    ///
    /// # Panics
    /// There is no such entry.
    #[must_use]
    pub fn value(&self, at: usize) -> &[u8] {
        self.slots.value(at)
    }

    /// Addresses of a branch's children that are stored; all of them in a decoded page.
    pub fn child_addrs(&self) -> impl Iterator<Item = PageAddr> + '_ {
        self.children.iter().filter_map(|child| match child {
            Child::Stored(addr) => Some(*addr),
            Child::Mem(_) => None,
        })
    }

    /// Memory that the page takes, without its children.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        FIXED_BYTES + self.slots.heap_bytes() + self.children.capacity() * size_of::<Child>()
    }

    /// Size of the encoded page: exact for a leaf, an estimate for a branch.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let tails = if self.level == 0 { self.slots.packed_values() } else { self.len() * CHILD_COST };
        2 + varint_len(self.len() as u64) + self.slots.packed_keys() + tails
    }

    /// A private copy that may be changed: a new identity.
    pub(super) fn into_dirty(mut self) -> Self {
        self.cell = Cell::default();
        self.hollow = 0;
        if self.level > 0 {
            self.slots.set_key(0, &[]);
        }
        self
    }

    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.slots.search(key)
    }

    /// Index of the child below which `key` belongs.
    pub(super) fn route(&self, key: &[u8]) -> usize {
        match self.slots.search(key) {
            Ok(at) => at,
            Err(at) => at.saturating_sub(1),
        }
    }

    pub(super) fn push_value(&mut self, key: &[u8], value: &[u8]) {
        self.slots.push(key, value);
    }

    pub(super) fn push_child(&mut self, key: &[u8], child: Child) {
        self.insert_child(self.len(), key, child);
    }

    /// Sets a pair of a leaf; returns its place and the old value.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> (usize, Option<Vec<u8>>) {
        match self.slots.search(key) {
            Ok(at) => (at, Some(self.slots.set_value(at, value))),
            Err(at) => {
                self.slots.insert(at, key, value);
                (at, None)
            }
        }
    }

    /// Removes a pair of a leaf.
    pub(super) fn take(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.slots.search(key).ok().map(|at| self.slots.remove(at))
    }

    pub(super) fn insert_child(&mut self, at: usize, key: &[u8], child: Child) {
        self.slots.insert(at, key, &[]);
        if self.children.len() == self.children.capacity() {
            self.children.reserve_exact(self.children.len() / 4 + 2);
        }
        self.children.insert(at, child);
    }

    /// Removes a child; a neighbour inherits its range.
    pub(super) fn remove_child(&mut self, at: usize) -> Child {
        // The first key stays: it is the bound of whichever child is first.
        let key_at = if at == 0 && self.len() > 1 { 1 } else { at };
        self.slots.remove(key_at);
        self.children.remove(at)
    }

    /// Appends the entries of `right`, whose lower bound in the parent was `bound`.
    pub(super) fn append(&mut self, bound: &[u8], mut right: Self) {
        if self.level == 0 {
            for at in 0..right.len() {
                self.slots.push(right.key(at), right.value(at));
            }
        } else {
            right.slots.set_key(0, bound);
            for (at, child) in right.children.drain(..).enumerate() {
                self.push_child(right.slots.key(at), child);
            }
        }
        self.hollow = self.hollow.max(right.hollow);
    }

    /// Cuts pages off until none is above `target` (as far as entries allow), the last change having been at entry `changed`.
    /// Returns the new right neighbours with their lower bounds, in order.
    pub(super) fn split(&mut self, target: usize, changed: usize) -> Vec<(Vec<u8>, Self)> {
        let mut out = Vec::new();
        let spot = match changed {
            at if at + 1 == self.len() => Spot::RightEnd,
            0 => Spot::LeftEnd,
            _ => Spot::Middle,
        };
        self.split_into(target, spot, &mut out);
        out
    }

    fn split_into(&mut self, target: usize, spot: Spot, out: &mut Vec<(Vec<u8>, Self)>) {
        let side_min = if self.level == 0 { 1 } else { 2 };
        if self.encoded_len() <= target || self.len() < 2 * side_min {
            return;
        }
        let at = self.cut(spot).clamp(side_min, self.len() - side_min);
        let (bound, mut right) = self.split_off(at);
        self.split_into(target, Spot::Middle, out);
        let mut rest = Vec::new();
        right.split_into(target, Spot::Middle, &mut rest);
        out.push((bound, right));
        out.append(&mut rest);
    }

    /// The entry at which to cut: in the middle by bytes, but pages that grow at one end leave a well-filled page behind.
    fn cut(&self, spot: Spot) -> usize {
        let total = self.encoded_len();
        let want = match spot {
            Spot::LeftEnd => total / 10,
            Spot::Middle => total / 2,
            Spot::RightEnd => total - total / 10,
        };
        let mut left = 0;
        for at in 0..self.len() {
            let cost = self.slots.key_cost(at) + self.tail_cost(at);
            if left + cost > want {
                return if left + cost - want < want - left { at + 1 } else { at };
            }
            left += cost;
        }
        self.len()
    }

    fn tail_cost(&self, at: usize) -> usize {
        if self.level > 0 {
            return CHILD_COST;
        }
        let len = self.value(at).len();
        varint_len(len as u64) + len
    }

    /// Moves the entries from `at` on to a new page; returns its lower bound, as short as possible for leaves.
    fn split_off(&mut self, at: usize) -> (Vec<u8>, Self) {
        let mut right = Self::new(self.level);
        right.slots = self.slots.split_off(at);
        self.hollow = 0;
        if self.level == 0 {
            let (last, first) = (self.key(at - 1), right.key(0));
            let bound = first[..=common_prefix(last, first)].to_vec();
            return (bound, right);
        }
        right.children = self.children.split_off(at);
        self.children.shrink_to(self.children.len() + 4);
        let bound = right.key(0).to_vec();
        right.slots.set_key(0, &[]);
        (bound, right)
    }

    /// Makes a page that was stored fit for the cache: no spare memory, stored children only.
    pub(super) fn into_clean(mut self) -> Self {
        for child in &mut self.children {
            if let Child::Mem(node) = child
                && let Some(addr) = node.cell.get()
            {
                *child = Child::Stored(*addr);
            }
        }
        self.slots.shrink();
        self.children.shrink_to_fit();
        self
    }
}
