//! The volume's metadata in memory: the tree and the totals derived from it.
//!
//! Owns the one place where key writes take effect ([`State::apply`]), for live transactions and for replay alike, so that
//! both give the same state. Reached under the volume's state lock only; never waits.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::format::extent::Extent;
use crate::format::inode::InodeRecord;
use crate::kv::Miss;
use crate::ops;
use crate::tree::Tree;
use crate::types::{Ino, Lsn};
use crate::volume::staging::Staging;

/// Key writes of one transaction: `None` removes.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Why a volume takes no more changes.
#[derive(Clone, Debug)]
pub(crate) struct Halt {
    pub(crate) kind: ErrorKind,
    pub(crate) why: String,
}

impl Halt {
    pub(crate) fn error(&self) -> Error {
        Error::new(self.kind, self.why.clone())
    }
}

/// Bytes and inodes that directories have not been told of yet, by directory.
pub(crate) type SubtreeDeltas = BTreeMap<Ino, (i64, i64)>;

/// The metadata in memory.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) tree: Tree,
    /// The LSN that the next transaction gets.
    pub(crate) next_lsn: Lsn,
    /// The newest LSN that gives reason for a checkpoint: not the engine's own housekeeping.
    pub(crate) dirty_lsn: Lsn,
    pub(crate) next_ino: Ino,
    pub(crate) inodes: u64,
    pub(crate) data_bytes: u64,
    pub(crate) subtree: SubtreeDeltas,
    pub(crate) halted: Option<Halt>,
}

impl State {
    /// The newest LSN given out.
    pub(crate) fn last_lsn(&self) -> Lsn {
        Lsn(self.next_lsn.0 - 1)
    }

    /// Refuses changes once halted.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.halted.as_ref().map_or(Ok(()), |h| Err(h.error()))
    }

    /// Makes every page that `writes` touch writable, so that [`State::apply`] cannot miss.
    pub(crate) fn prepare(&mut self, writes: &Writes) -> Result<(), Miss> {
        writes.keys().try_for_each(|key| self.tree.make_writable(key))
    }

    /// Applies the writes of one transaction to the tree and all derived numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when a record in the tree does not decode. The volume must then halt.
    ///
    /// # Panics
    /// If a page is missing: [`State::prepare`] was not called for these writes.
    pub(crate) fn apply(&mut self, writes: &Writes, staging: &Staging) -> Result<()> {
        let mut folded = false;
        for (key, value) in writes {
            let old = match value {
                Some(value) => self.tree.insert(key, value),
                None => self.tree.remove(key),
            }
            .expect("prepared pages are resident");
            match (key.first(), key.get(9)) {
                (Some(1), Some(0x00)) => folded |= self.note_inode(key, old.as_deref(), value.as_deref())?,
                (Some(1), Some(0x30)) => note_extent(staging, old.as_deref(), value.as_deref())?,
                _ => {}
            }
        }
        if folded {
            // Only a fold changes the subtree counters of a directory that was there: it took up all that was pending.
            self.subtree.clear();
        }
        Ok(())
    }

    /// Takes an inode write into the totals. Whether it changed a directory's subtree counters.
    fn note_inode(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool> {
        let ino = Ino(u64::from_be_bytes(key[1..9].try_into().expect("eight bytes")));
        let old = old.map(InodeRecord::decode).transpose()?;
        let new = new.map(InodeRecord::decode).transpose()?;
        let bytes = |r: &Option<InodeRecord>| r.as_ref().map_or(0, |r| r.allocated_bytes);
        // A wrong total must not keep the volume from being written: the checker finds it.
        self.data_bytes = self.data_bytes.saturating_add(bytes(&new)).saturating_sub(bytes(&old));
        self.inodes = self.inodes.saturating_add(new.is_some().into()).saturating_sub(old.is_some().into());
        self.next_ino = self.next_ino.max(ino.next());
        for (dir, bytes, inodes) in ops::subtree::subtree_delta(ino, old.as_ref(), new.as_ref()) {
            let entry = self.subtree.entry(dir).or_default();
            entry.0 += bytes;
            entry.1 += inodes;
            if *entry == (0, 0) {
                self.subtree.remove(&dir);
            }
        }
        let counters = |r: &InodeRecord| (r.subtree_bytes, r.subtree_inodes);
        Ok(matches!((&old, &new), (Some(old), Some(new)) if counters(old) != counters(new)))
    }
}

fn note_extent(staging: &Staging, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<()> {
    for (value, alive) in [(old, false), (new, true)] {
        if let Some(value) = value {
            let extent = Extent::decode(value)?;
            staging.adjust_live(extent.segment, extent.position, extent.len, alive);
        }
    }
    Ok(())
}
