//! What differs between two stored trees, found without looking at what they share.
//!
//! Owns the lockstep descent: both trees are taken down level by level, pages that both name are dropped with all that lies below
//! them (a page's bytes never change under its address), and only the leaves that are left are compared pair by pair. Bounded:
//! past a number of pages the answer is "too much". Like all of `tree` it does no I/O: a page that is not resident is a [`Miss`],
//! after which the same call goes on where it was.

use std::collections::HashSet;
use std::sync::Arc;

use super::cache::PageCache;
use super::node::{Child, Node};
use crate::kv::{Miss, PageAddr};

/// Called with a key, its old value and its new one.
pub type VisitDifference<'v> = dyn FnMut(&[u8], Option<&[u8]>, Option<&[u8]>) + 'v;

/// How far a comparison got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffProgress {
    /// Everything that differs can be visited.
    Complete,
    /// More pages differ than was allowed.
    TooMuch,
}

/// A comparison of two stored trees of one volume, inside one range of keys.
#[derive(Debug)]
pub struct TreeDiff {
    cache: Arc<PageCache>,
    tag: u32,
    range: (Vec<u8>, Vec<u8>),
    old: Side,
    new: Side,
    pages_max: usize,
}

/// One tree's pages that the other is not known to have, all of one level, in key order.
#[derive(Debug)]
struct Side {
    level: Option<u8>,
    pages: Vec<PageAddr>,
    leaves: Vec<Arc<Node>>,
}

impl Side {
    fn new(root: Option<PageAddr>) -> Self {
        let level = if root.is_none() { Some(0) } else { None };
        Self { level, pages: root.into_iter().collect(), leaves: Vec::new() }
    }
}

impl TreeDiff {
    /// Compares the trees under two roots for keys of `range` (`from <= key < to`), as long as no more than `pages_max` pages differ.
    #[must_use]
    pub fn new(
        cache: Arc<PageCache>,
        tag: u32,
        (old, new): (Option<PageAddr>, Option<PageAddr>),
        range: (Vec<u8>, Vec<u8>),
        pages_max: usize,
    ) -> Self {
        let (old, new) = if old == new { (None, None) } else { (old, new) };
        Self { cache, tag, range, old: Side::new(old), new: Side::new(new), pages_max }
    }

    /// Goes on with the descent to its end.
    ///
    /// # Errors
    /// A page is not resident. Load it, keep it pinned until the end, and call again.
    pub fn run(&mut self) -> Result<DiffProgress, Miss> {
        loop {
            let (old, new) = (self.level(true)?, self.level(false)?);
            if old == new {
                self.drop_shared();
            }
            if self.old.pages.len() + self.new.pages.len() > self.pages_max {
                return Ok(DiffProgress::TooMuch);
            }
            if old == 0 && new == 0 {
                self.old.leaves = self.load_all(&self.old.pages)?;
                self.new.leaves = self.load_all(&self.new.pages)?;
                return Ok(DiffProgress::Complete);
            }
            self.expand(old >= new)?;
        }
    }

    /// Visits every pair that differs, in key order, with its old and its new value. Call after [`DiffProgress::Complete`].
    pub fn visit(&self, visit: &mut VisitDifference<'_>) {
        let in_range = |key: &[u8]| self.range.0.as_slice() <= key && key < self.range.1.as_slice();
        let mut old = pairs(&self.old.leaves).filter(|(key, _)| in_range(key)).peekable();
        let mut new = pairs(&self.new.leaves).filter(|(key, _)| in_range(key)).peekable();
        loop {
            match (old.peek().copied(), new.peek().copied()) {
                (None, None) => return,
                (Some((a, x)), Some((b, y))) if a == b => {
                    if x != y {
                        visit(a, Some(x), Some(y));
                    }
                    old.next();
                    new.next();
                }
                (Some((a, x)), other) if other.is_none_or(|(b, _)| a < b) => {
                    visit(a, Some(x), None);
                    old.next();
                }
                (_, Some((b, y))) => {
                    visit(b, None, Some(y));
                    new.next();
                }
                (Some(_), None) => unreachable!("the arm above takes it"),
            }
        }
    }

    fn get(&self, addr: PageAddr) -> Result<Arc<Node>, Miss> {
        self.cache.get(self.tag, addr).ok_or(Miss(addr))
    }

    fn load_all(&self, pages: &[PageAddr]) -> Result<Vec<Arc<Node>>, Miss> {
        pages.iter().map(|addr| self.get(*addr)).collect()
    }

    fn side(&mut self, is_old: bool) -> &mut Side {
        if is_old { &mut self.old } else { &mut self.new }
    }

    /// The level of a side's pages; that of a root is known once it is resident.
    fn level(&mut self, is_old: bool) -> Result<u8, Miss> {
        let side = if is_old { &self.old } else { &self.new };
        let level = match (side.level, side.pages.first()) {
            (Some(level), _) => level,
            (None, Some(root)) => self.get(*root)?.level(),
            (None, None) => 0,
        };
        self.side(is_old).level = Some(level);
        Ok(level)
    }

    /// Takes away what both sides name. A page has one parent in a tree, so that it can be shared at its own level only.
    fn drop_shared(&mut self) {
        let old: HashSet<_> = self.old.pages.iter().copied().collect();
        let shared: HashSet<_> = self.new.pages.iter().copied().filter(|addr| old.contains(addr)).collect();
        if !shared.is_empty() {
            self.old.pages.retain(|addr| !shared.contains(addr));
            self.new.pages.retain(|addr| !shared.contains(addr));
        }
    }

    /// Replaces a side's pages by their children.
    fn expand(&mut self, is_old: bool) -> Result<(), Miss> {
        let side = if is_old { &self.old } else { &self.new };
        let mut below = Vec::new();
        for node in self.load_all(&side.pages)? {
            below.extend(self.children_in_range(&node));
        }
        let side = self.side(is_old);
        side.level = side.level.map(|level| level.saturating_sub(1));
        side.pages = below;
        Ok(())
    }

    fn children_in_range<'n>(&'n self, node: &'n Node) -> impl Iterator<Item = PageAddr> + 'n {
        let (from, to) = (self.range.0.as_slice(), self.range.1.as_slice());
        let wanted = move |at: &usize| node.key(*at) < to && (*at + 1 == node.len() || node.key(*at + 1) > from);
        (0..node.len()).filter(wanted).filter_map(|at| match &node.children[at] {
            Child::Stored(addr) => Some(*addr),
            Child::Mem(_) => None,
        })
    }
}

fn pairs(leaves: &[Arc<Node>]) -> impl Iterator<Item = (&[u8], &[u8])> {
    leaves.iter().flat_map(|leaf| (0..leaf.len()).map(|at| (leaf.key(at), leaf.value(at))))
}
