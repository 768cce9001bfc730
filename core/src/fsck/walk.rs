//! Every page of the tree, read and held against its parent: checksums, levels, order, bounds.
//!
//! Owns what a walk adds up: live bytes for each meta object, and a recount of the volume's totals. A page that cannot be read
//! is named with the keys that are lost with it.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{InodeRecord, Key, ObjectKind};
use crate::fs::FileKind;
use crate::kv::PageAddr;
use crate::tree::Node;
use crate::types::ObjectId;

use super::reader::Reader;
use super::report::{Counts, Fault, RESTORE, Severity};
use super::{Check, is_damage};

/// What a walk has added up.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Bytes of pages, by the object that holds them.
    pub(super) live: BTreeMap<ObjectId, u64>,
    /// Sum of all inodes' allocated bytes.
    pub(super) data_bytes: u64,
    /// Whether every page could be read and none contradicts its parent.
    pub(super) whole: bool,
}

/// A page to visit: where, at which level, and the keys that belong below it.
struct Todo {
    addr: PageAddr,
    level: Option<u8>,
    low: Vec<u8>,
    high: Option<Vec<u8>>,
}

impl Check<'_> {
    /// Reads the whole tree page by page.
    ///
    /// # Errors
    /// The store's; damage is reported.
    pub(super) async fn walk(&mut self, reader: &Reader) -> Result<Walked> {
        let mut walked = Walked { whole: true, ..Walked::default() };
        let root = reader.root().map(|addr| Todo { addr, level: None, low: Vec::new(), high: None });
        let mut todo: Vec<Todo> = root.into_iter().collect();
        while let Some(next) = todo.pop() {
            let node = match reader.page(next.addr).await {
                Ok(node) => node,
                Err(error) if is_damage(error.kind()) => {
                    walked.whole = false;
                    self.lost_page(&next, &error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(why) = contradiction(&next, &node) {
                walked.whole = false;
                let error = Error::new(ErrorKind::Corrupt, why);
                self.lost_page(&next, &error);
                continue;
            }
            let counts = &mut self.report.counts;
            counts.pages += 1;
            counts.page_bytes += u64::from(next.addr.len);
            *walked.live.entry(next.addr.object).or_default() += u64::from(next.addr.len);
            if node.level() == 0 {
                tally(&node, counts, &mut walked);
            }
            push_children(&next, &node, &mut todo);
            self.progress("metadata pages", self.report.counts.pages, None);
        }
        Ok(walked)
    }

    fn lost_page(&mut self, page: &Todo, error: &Error) {
        let key = self.storage.layout.object_key(ObjectKind::Meta, page.addr.object);
        let what =
            format!("metadata page at {} is unreadable: {error}; lost with it: {}", page.addr.offset, lost(page));
        self.push(Fault::new(Severity::Error, what, RESTORE).object(&key));
    }
}

/// What a page says that its parent does not.
fn contradiction(page: &Todo, node: &Node) -> Option<String> {
    if page.level.is_some_and(|level| level != node.level()) {
        return Some(format!("it is of level {}", node.level()));
    }
    // Keys ascend, or the page would not have decoded.
    let (first, last) = (node.key(0), node.key(node.len() - 1));
    let open_start = node.level() > 0 && first.is_empty();
    let outside = (!open_start && first < page.low.as_slice()) || page.high.as_deref().is_some_and(|high| last >= high);
    outside.then(|| "it holds keys that belong elsewhere".to_owned())
}

fn push_children(page: &Todo, node: &Node, todo: &mut Vec<Todo>) {
    let Some(level) = node.level().checked_sub(1) else { return };
    let first = todo.len();
    for (at, addr) in node.child_addrs().enumerate() {
        let low = if at == 0 { page.low.clone() } else { node.key(at).to_vec() };
        let high = if at + 1 < node.len() { Some(node.key(at + 1).to_vec()) } else { page.high.clone() };
        todo.push(Todo { addr, level: Some(level), low, high });
    }
    todo[first..].reverse();
}

fn tally(leaf: &Node, counts: &mut Counts, walked: &mut Walked) {
    for at in 0..leaf.len() {
        match Key::decode(leaf.key(at)) {
            Ok(Key::Inode(_)) => {
                counts.inodes += 1;
                if let Ok(record) = InodeRecord::decode(leaf.value(at)) {
                    walked.data_bytes = walked.data_bytes.saturating_add(record.allocated_bytes);
                    counts.directories += u64::from(record.kind == FileKind::Dir);
                    counts.files += u64::from(record.kind == FileKind::File);
                }
            }
            Ok(Key::Dirent { .. }) => counts.entries += 1,
            Ok(Key::Orphan(_)) => counts.orphans += 1,
            Ok(Key::SegmentUsage(_)) => counts.segments += 1,
            Ok(Key::PendingDelete { .. }) => counts.pending_deletes += 1,
            Ok(Key::Intent { .. }) => counts.intents += 1,
            Ok(Key::Xattr { .. } | Key::Extent { .. } | Key::SegmentLocation { .. }) | Err(_) => {}
        }
    }
}

/// The keys that a page would hold, in words.
fn lost(page: &Todo) -> String {
    let ino = |key: &[u8]| match (key.first(), key.get(1..9).and_then(|b| <[u8; 8]>::try_from(b).ok())) {
        (Some(1), Some(ino)) => Some(u64::from_be_bytes(ino)),
        _ => None,
    };
    match (page.low.is_empty(), ino(&page.low), page.high.as_deref().map(ino)) {
        (true, _, None) => "everything".to_owned(),
        (true, _, Some(Some(high))) => format!("inodes up to {high}"),
        (_, Some(low), Some(Some(high))) => format!("inodes {low} to {high}"),
        (_, Some(low), _) => format!("inodes from {low} on"),
        (true, _, Some(None)) => "all inodes".to_owned(),
        (false, None, _) => "records of where data lies".to_owned(),
    }
}
