//! Consistency of trees: for tests, and for programs that check a volume.

use std::sync::Arc;

use super::node::{Child, Node};
use super::page::PageError;
use super::{PageRef, Tree};
use crate::kv::PageAddr;

/// What a tree consists of, as far as its pages are resident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeStats {
    /// Levels, leaves included; 0 if the root is absent or missing.
    pub levels: u8,
    /// Resident branches.
    pub branches: usize,
    /// Resident leaves.
    pub leaves: usize,
    /// Pairs in the resident leaves.
    pub entries: usize,
    /// Encoded size of the resident leaves.
    pub leaf_bytes: usize,
    /// Pages that are not resident, without what lies below them.
    pub absent: usize,
    /// Dirty pages.
    pub dirty_pages: usize,
    /// Memory of the dirty pages.
    pub dirty_bytes: usize,
}

/// What is wrong with a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A page lies at a level that its parent does not expect.
    #[error("page of level {found} below a branch of level {parent}")]
    Level {
        /// Level of the branch.
        parent: u8,
        /// Level of the page.
        found: u8,
    },
    /// Keys of a page do not ascend.
    #[error("key {0:x?} is out of order")]
    Order(Vec<u8>),
    /// A key lies outside of the range that the branches above give its page.
    #[error("key {0:x?} is out of its page's bounds")]
    Bounds(Vec<u8>),
    /// A branch without children, or without a key for each.
    #[error("branch of {keys} keys and {children} children")]
    Children {
        /// Keys of the branch.
        keys: usize,
        /// Children of the branch.
        children: usize,
    },
    /// The account of dirty memory is wrong.
    #[error("dirty pages take {found} bytes, {counted} were counted")]
    DirtyBytes {
        /// What the account says.
        counted: usize,
        /// What the pages take.
        found: usize,
    },
}

impl Tree {
    /// Checks order, bounds, levels and accounts over the resident pages.
    ///
    /// # Errors
    /// The first inconsistency found.
    pub fn check(&self) -> Result<TreeStats, CheckError> {
        let mut stats = TreeStats::default();
        if let Some(root) = &self.root {
            match self.page(root) {
                Ok(page) => {
                    stats.levels = page.level() + 1;
                    self.check_page(&page, &[], None, &mut stats)?;
                }
                Err(_) => stats.absent = 1,
            }
        }
        let counted = self.pages.dirty;
        if stats.dirty_bytes != counted {
            return Err(CheckError::DirtyBytes { counted, found: stats.dirty_bytes });
        }
        Ok(stats)
    }

    fn check_page(
        &self,
        page: &PageRef<'_>,
        low: &[u8],
        high: Option<&[u8]>,
        stats: &mut TreeStats,
    ) -> Result<(), CheckError> {
        if matches!(page, PageRef::Mem(_)) {
            stats.dirty_pages += 1;
            stats.dirty_bytes += page.heap_bytes();
        }
        check_keys(page, low, high)?;
        if page.level() == 0 {
            stats.leaves += 1;
            stats.entries += page.len();
            stats.leaf_bytes += page.encoded_len();
            return Ok(());
        }
        stats.branches += 1;
        for at in 0..page.len() {
            let low = if at == 0 { low } else { page.key(at) };
            let high = if at + 1 < page.len() { Some(page.key(at + 1)) } else { high };
            match self.page_below(page, at) {
                Ok(child) if child.level() + 1 == page.level() => self.check_page(&child, low, high, stats)?,
                Ok(child) => return Err(CheckError::Level { parent: page.level(), found: child.level() }),
                Err(_) => stats.absent += 1,
            }
        }
        Ok(())
    }
}

fn check_keys(page: &Node, low: &[u8], high: Option<&[u8]>) -> Result<(), CheckError> {
    let (keys, children) = (page.len(), page.children.len());
    if page.level() > 0 && (keys == 0 || keys != children) {
        return Err(CheckError::Children { keys, children });
    }
    for at in 0..keys {
        let key = page.key(at);
        let first_bound = page.level() > 0 && at == 0 && key.is_empty();
        if !first_bound && (key < low || high.is_some_and(|high| key >= high)) {
            return Err(CheckError::Bounds(key.to_vec()));
        }
        if at > 0 && page.key(at - 1) >= key {
            return Err(CheckError::Order(key.to_vec()));
        }
    }
    Ok(())
}

/// Visits every page of a stored tree, parents before children, in key order. `load` may keep nothing: each page is asked for once.
///
/// # Errors
/// What `load` or `visit` says, or a page at the wrong level (which also ends any cycle of pages).
pub fn walk<E: From<PageError>>(
    root: PageAddr,
    load: &mut dyn FnMut(PageAddr) -> Result<Arc<Node>, E>,
    visit: &mut dyn FnMut(PageAddr, &Node) -> Result<(), E>,
) -> Result<(), E> {
    let mut todo = vec![(root, None)];
    while let Some((addr, level)) = todo.pop() {
        let node = load(addr)?;
        if let Some(expected) = level
            && expected != node.level()
        {
            return Err(PageError::Level { expected, found: node.level() }.into());
        }
        visit(addr, &node)?;
        for child in node.children.iter().rev() {
            if let Child::Stored(addr) = child {
                todo.push((*addr, Some(node.level() - 1)));
            }
        }
    }
    Ok(())
}
