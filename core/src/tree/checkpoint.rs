//! Writing a frozen tree to the store, page by page.
//!
//! ```text
//!             freeze             writer                finish              settle
//!   Tree ───────────▶ Frozen ───────────▶ CheckpointWriter ───▶ Published ───────▶ Tree
//!     ▲                 │ ▲                    │ abandon           │ abandon
//!     └──── thaw ───────┘ └────────────────────┴───────────────────┘
//! ```
//!
//! Nothing that the live tree can see changes before `settle`: a checkpoint that does not come to count leaves no trace. Each
//! frozen tree must come back to its tree, by `settle` if its checkpoint counts and by `thaw` if it does not, before the next
//! one is frozen. Whether it counts must be known then: one that counts and is thawed would free its pages twice.

use std::sync::Arc;

use super::node::{Cell, Child, Node};
use super::page;
use crate::kv::PageAddr;

/// A page version that a tree does without.
#[derive(Clone, Debug)]
pub enum Freed {
    /// A stored page.
    Addr(PageAddr),
    /// A page that a frozen tree held when it was freed; stored if that checkpoint came to count.
    Cell(FreedCell),
}

/// Identity of a page version that was being written when it was freed.
pub type FreedCell = Cell;

impl Freed {
    /// Where the dead page lies; none if it never was part of a checkpoint that counts.
    #[must_use]
    pub fn addr(&self) -> Option<PageAddr> {
        match self {
            Self::Addr(addr) => Some(*addr),
            Self::Cell(cell) => cell.get().copied(),
        }
    }
}

/// A tree as it was at one moment; the live tree goes on.
#[derive(Debug)]
#[must_use = "a frozen tree must be settled or thawed"]
pub struct Frozen {
    pub(super) root: Option<Child>,
    pub(super) stored: Option<PageAddr>,
    pub(super) freed: Vec<Freed>,
    pub(super) generation: u64,
}

/// A page to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOut {
    /// Distance from the leaves: owner a of the frame.
    pub level: u8,
    /// The encoded page.
    pub payload: Vec<u8>,
}

/// Hands out the dirty pages of a frozen tree, children before parents.
#[derive(Debug)]
#[must_use = "a frozen tree must be settled or thawed"]
pub struct CheckpointWriter {
    frozen: Frozen,
    /// Path from the root to the page in work.
    path: Vec<Step>,
    /// Whether the page at the end of the path has been handed out.
    waiting: bool,
    placed: Vec<(Arc<Node>, PageAddr)>,
    root: Option<PageAddr>,
}

#[derive(Debug)]
struct Step {
    node: Arc<Node>,
    /// Addresses of the children so far.
    children: Vec<PageAddr>,
}

/// A checkpoint of which every page is in the store.
#[derive(Debug)]
#[must_use = "a checkpoint must be settled or abandoned"]
pub struct Published {
    /// Where the root lies; none for an empty tree.
    pub root: Option<PageAddr>,
    /// Versions that are dead once this checkpoint counts.
    pub freed: Vec<Freed>,
    pub(super) frozen: Frozen,
    pub(super) placed: Vec<(Arc<Node>, PageAddr)>,
}

impl Frozen {
    /// Whether the tree differs from the one that the last checkpoint stored.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        match &self.root {
            Some(Child::Mem(_)) => true,
            Some(Child::Stored(addr)) => self.stored != Some(*addr),
            None => self.stored.is_some(),
        }
    }

    /// Pages that are dead once this checkpoint counts. Valid from the freeze on: the previous checkpoint is settled by then.
    pub fn freed(&self) -> impl Iterator<Item = PageAddr> + '_ {
        self.freed.iter().filter_map(Freed::addr)
    }

    /// Starts to write.
    pub fn writer(self) -> CheckpointWriter {
        let mut path = Vec::new();
        let mut root = None;
        match &self.root {
            Some(Child::Mem(node)) => path.push(Step::new(Arc::clone(node))),
            Some(Child::Stored(addr)) => root = Some(*addr),
            None => {}
        }
        CheckpointWriter { frozen: self, path, waiting: false, placed: Vec::new(), root }
    }
}

impl CheckpointWriter {
    /// The next dirty page, all children of which have addresses. None when there are no more. [`place`](Self::place) it before
    /// the next call.
    ///
    /// # Panics
    /// The previous page has not been placed.
    pub fn next_page(&mut self) -> Option<PageOut> {
        assert!(!self.waiting, "the previous page has no place yet");
        loop {
            let step = self.path.last_mut()?;
            match step.node.children.get(step.children.len()) {
                Some(Child::Stored(addr)) => step.children.push(*addr),
                Some(Child::Mem(child)) => {
                    let child = Arc::clone(child);
                    self.path.push(Step::new(child));
                }
                None => {
                    self.waiting = true;
                    let payload = page::encode(&step.node, &step.children);
                    return Some(PageOut { level: step.node.level(), payload });
                }
            }
        }
    }

    /// Says where the page just handed out lies.
    ///
    /// # Panics
    /// No page has been handed out.
    pub fn place(&mut self, addr: PageAddr) {
        assert!(std::mem::take(&mut self.waiting), "no page waits for a place");
        let step = self.path.pop().expect("the page handed out ends the path");
        match self.path.last_mut() {
            Some(parent) => parent.children.push(addr),
            None => self.root = Some(addr),
        }
        self.placed.push((step.node, addr));
    }

    /// Pages that are dead once this checkpoint counts.
    pub fn freed(&self) -> impl Iterator<Item = PageAddr> + '_ {
        self.frozen.freed()
    }

    /// Ends the writing when all pages have been placed.
    ///
    /// # Panics
    /// There are pages left.
    pub fn finish(mut self) -> Published {
        assert!(self.path.is_empty(), "pages are left to be written");
        let freed = std::mem::take(&mut self.frozen.freed);
        Published { root: self.root, freed, frozen: self.frozen, placed: self.placed }
    }

    /// Gives up: what was written so far does not count.
    pub fn abandon(self) -> Frozen {
        self.frozen
    }
}

impl Step {
    fn new(node: Arc<Node>) -> Self {
        let children = Vec::with_capacity(node.children.len());
        Self { node, children }
    }
}

impl Published {
    /// Pages that are dead once this checkpoint counts.
    pub fn freed(&self) -> impl Iterator<Item = PageAddr> + '_ {
        self.freed.iter().filter_map(Freed::addr)
    }

    /// Number of pages that were written.
    #[must_use]
    pub fn pages_written(&self) -> usize {
        self.placed.len()
    }

    /// Gives up: the checkpoint certainly does not count, for instance because its head's number was taken.
    pub fn abandon(self) -> Frozen {
        Frozen { freed: self.freed, ..self.frozen }
    }
}
