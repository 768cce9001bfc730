//! What a repair has to change, computed from a tree that stands still.
//!
//! Owns the decisions, as plain key writes and changes of records. Structure comes first: while names or records are still being
//! mended, counts are left for a later round, which computes them anew. Memory: about 120 bytes for each inode.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::format::{Dirent, Extent, InodeRecord, Key, SegmentUsage, keys};
use crate::fs::FileKind;
use crate::kv::{KvRead, Miss, OpResult};
use crate::types::{Ino, SegmentId};

/// Most changes of one round: bounds memory; the next round finds the rest.
const CHANGES_MAX: usize = 50_000;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// An inode with content and no record gets one.
    Recreate { ino: Ino, kind: FileKind },
    /// A name that leads nowhere, or leads to a directory that has another name, goes.
    DropEntry { dir: Ino, key_name: Vec<u8>, ino: Ino },
    /// A name says of which kind its inode is.
    EntryKind { dir: Ino, key_name: Vec<u8>, kind: FileKind },
    /// An inode without a name gets one in the directory for such.
    Adopt { ino: Ino },
    /// The numbers in a record.
    Numbers { ino: Ino, numbers: Numbers },
    /// An orphan record is missing (true) or wrong (false).
    Orphan { ino: Ino, wanted: bool },
    /// A segment's live bytes: what they were taken for, what they are.
    Usage { segment: SegmentId, said: u64, counted: u64 },
}

/// What a record counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) nlink: u32,
    pub(crate) entry_count: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) size: u64,
    pub(crate) parent: Ino,
}

/// What is known of an inode.
#[derive(Clone, Debug)]
struct Node {
    record: Option<InodeRecord>,
    entries: u64,
    subdirs: u64,
    extents: u64,
    extents_end: u64,
    /// Entries that name it, and the first of them, or the one in its parent.
    named: u32,
    name: Option<(Ino, Vec<u8>)>,
    orphan: bool,
}

/// Computes one round of changes; none when all is as it must be.
///
/// # Errors
/// Only a `Miss`.
pub(crate) fn plan(kv: &dyn KvRead) -> OpResult<Vec<Change>> {
    let mut nodes = load(kv)?;
    let mut changes = Vec::new();
    recreate(&nodes, &mut changes);
    names(kv, &mut nodes, &mut changes)?;
    let orphans_gone = orphans(kv, &mut nodes)?;
    changes.extend(orphans_gone.into_iter().map(|ino| Change::Orphan { ino, wanted: false }));
    adopt(&nodes, &mut changes);
    if changes.is_empty() {
        numbers(&nodes, &mut changes);
        usages(kv, &mut changes)?;
    }
    changes.truncate(CHANGES_MAX);
    Ok(changes)
}

fn load(kv: &dyn KvRead) -> Result<BTreeMap<Ino, Node>, Miss> {
    let mut nodes: BTreeMap<Ino, Node> = BTreeMap::new();
    each(kv, keys::all_inodes_range(), |key, value| match key {
        Key::Inode(ino) => {
            // A record that does not decode is left as it is: nothing better is known.
            if let Ok(record) = InodeRecord::decode(value) {
                node(&mut nodes, ino).record = Some(record);
            }
        }
        Key::Dirent { ino, .. } => {
            let node = node(&mut nodes, ino);
            node.entries += 1;
            node.subdirs += u64::from(Dirent::decode(value).is_ok_and(|d| d.kind == FileKind::Dir));
        }
        Key::Extent { ino, offset } => {
            if let Ok(extent) = Extent::decode(value) {
                let node = node(&mut nodes, ino);
                node.extents = node.extents.saturating_add(extent.len);
                node.extents_end = node.extents_end.max(offset.saturating_add(extent.len));
            }
        }
        _ => {}
    })?;
    Ok(nodes)
}

fn node(nodes: &mut BTreeMap<Ino, Node>, ino: Ino) -> &mut Node {
    nodes.entry(ino).or_insert(Node {
        record: None,
        entries: 0,
        subdirs: 0,
        extents: 0,
        extents_end: 0,
        named: 0,
        name: None,
        orphan: false,
    })
}

fn recreate(nodes: &BTreeMap<Ino, Node>, changes: &mut Vec<Change>) {
    for (&ino, node) in nodes.iter().filter(|(_, node)| node.record.is_none()) {
        let kind = if node.entries > 0 { FileKind::Dir } else { FileKind::File };
        changes.push(Change::Recreate { ino, kind });
    }
    if !nodes.contains_key(&Ino::ROOT) {
        changes.push(Change::Recreate { ino: Ino::ROOT, kind: FileKind::Dir });
    }
}

/// Follows every name to its inode.
fn names(kv: &dyn KvRead, nodes: &mut BTreeMap<Ino, Node>, changes: &mut Vec<Change>) -> Result<(), Miss> {
    each(kv, keys::all_inodes_range(), |key, value| {
        let (Key::Dirent { ino: dir, name }, Ok(dirent)) = (key, Dirent::decode(value)) else { return };
        let ino = dirent.ino;
        let Some(target) = nodes.get_mut(&ino) else {
            return changes.push(Change::DropEntry { dir, key_name: name, ino });
        };
        let Some(record) = &target.record else { return };
        if record.kind != dirent.kind {
            changes.push(Change::EntryKind { dir, key_name: name.clone(), kind: record.kind });
        }
        if record.kind == FileKind::Dir && (ino == Ino::ROOT || target.named > 0) {
            // A directory has one name: the one in its parent, or else the first.
            let better = ino != Ino::ROOT
                && record.parent == dir
                && target.name.as_ref().is_some_and(|(first, _)| *first != record.parent);
            let loser = if better { target.name.replace((dir, name)) } else { Some((dir, name)) };
            if let Some((dir, key_name)) = loser {
                changes.push(Change::DropEntry { dir, key_name, ino });
            }
            return;
        }
        target.named = target.named.saturating_add(1);
        if target.name.is_none() || record.parent == dir {
            target.name = Some((dir, name));
        }
    })
}

/// Marks orphans; those that do not exist.
fn orphans(kv: &dyn KvRead, nodes: &mut BTreeMap<Ino, Node>) -> Result<Vec<Ino>, Miss> {
    let mut gone = Vec::new();
    each(kv, keys::orphan_range(), |key, _| {
        let Key::Orphan(ino) = key else { return };
        match nodes.get_mut(&ino) {
            Some(node) => node.orphan = true,
            None => gone.push(ino),
        }
    })?;
    Ok(gone)
}

/// Gives a name to what has none, and breaks circles of directories.
fn adopt(nodes: &BTreeMap<Ino, Node>, changes: &mut Vec<Change>) {
    for (&ino, node) in nodes.iter().filter(|(ino, _)| **ino != Ino::ROOT) {
        let Some(record) = &node.record else { continue };
        let unnamed = node.named == 0 && (record.nlink > 0 || node.entries > 0);
        if unnamed {
            changes.push(Change::Adopt { ino });
        } else if record.kind == FileKind::Dir
            && node.named > 0
            && closes_circle(nodes, ino)
            && let Some((dir, key_name)) = node.name.clone()
        {
            changes.push(Change::DropEntry { dir, key_name, ino });
        }
    }
}

/// Whether the names above a directory lead back to it, and it is the lowest number among them.
fn closes_circle(nodes: &BTreeMap<Ino, Node>, ino: Ino) -> bool {
    let mut seen = BTreeSet::new();
    let mut at = ino;
    while let Some((dir, _)) = nodes.get(&at).and_then(|node| node.name.as_ref()) {
        at = *dir;
        if at == ino {
            return true;
        }
        if at < ino || !seen.insert(at) {
            return false;
        }
    }
    false
}

fn numbers(nodes: &BTreeMap<Ino, Node>, changes: &mut Vec<Change>) {
    for (&ino, node) in nodes {
        let Some(record) = &node.record else { continue };
        let is_dir = record.kind == FileKind::Dir;
        let named = node.named > 0 || ino == Ino::ROOT;
        let nlink = match (is_dir, named) {
            (true, true) => u32::try_from(node.subdirs).unwrap_or(u32::MAX).saturating_add(2),
            (true, false) => 0,
            (false, _) => node.named,
        };
        let parent = match (is_dir, &node.name) {
            (true, _) if ino == Ino::ROOT => Ino::ROOT,
            (true, Some((dir, _))) => *dir,
            _ => record.parent,
        };
        let size = match record.kind {
            FileKind::File => record.size.max(node.extents_end),
            FileKind::Symlink => record.target.len() as u64,
            _ => record.size,
        };
        let entry_count = if is_dir { node.entries } else { record.entry_count };
        let wanted = Numbers { nlink, entry_count, allocated_bytes: node.extents, size, parent };
        if wanted != Numbers::of(record) {
            changes.push(Change::Numbers { ino, numbers: wanted });
        }
        if node.orphan != (nlink == 0) {
            changes.push(Change::Orphan { ino, wanted: nlink == 0 });
        }
    }
}

impl Numbers {
    pub(crate) fn of(record: &InodeRecord) -> Self {
        Self {
            nlink: record.nlink,
            entry_count: record.entry_count,
            allocated_bytes: record.allocated_bytes,
            size: record.size,
            parent: record.parent,
        }
    }

    pub(crate) fn set(self, record: &mut InodeRecord) {
        record.nlink = self.nlink;
        record.entry_count = self.entry_count;
        record.allocated_bytes = self.allocated_bytes;
        record.size = self.size;
        record.parent = self.parent;
    }
}

fn usages(kv: &dyn KvRead, changes: &mut Vec<Change>) -> Result<(), Miss> {
    let mut counted: BTreeMap<SegmentId, u64> = BTreeMap::new();
    each(kv, keys::all_inodes_range(), |key, value| {
        if let (Key::Extent { .. }, Ok(extent)) = (key, Extent::decode(value)) {
            let sum = counted.entry(extent.segment).or_default();
            *sum = sum.saturating_add(extent.len);
        }
    })?;
    each(kv, keys::all_segments_range(), |key, value| {
        let Key::SegmentUsage(segment) = key else { return };
        let counted = counted.remove(&segment).unwrap_or(0);
        let said = SegmentUsage::decode(value).ok().map(|u| u.live_bytes);
        if said != Some(counted) {
            changes.push(Change::Usage { segment, said: said.unwrap_or(0), counted });
        }
    })?;
    changes.extend(counted.into_iter().map(|(segment, counted)| Change::Usage { segment, said: 0, counted }));
    Ok(())
}

fn each(kv: &dyn KvRead, (from, to): (Vec<u8>, Vec<u8>), mut visit: impl FnMut(Key, &[u8])) -> Result<(), Miss> {
    kv.scan(&from, &to, &mut |key, value| {
        if let Ok(key) = Key::decode(key) {
            visit(key, value);
        }
        ControlFlow::Continue(())
    })
}
