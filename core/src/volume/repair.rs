//! The transactions of a repair.
//!
//! Owns how the changes that fsck decided on are made in an open volume: raw writes of names and records, each checked against
//! the present state, as what was planned on a head may be gone. Decides nothing.

use crate::error::Result;
use crate::format::keys::{dirent_key, intent_key, pending_delete_key, segment_usage_key};
use crate::format::{Dirent, InodeRecord, ObjectKind, PendingDelete, SegmentUsage};
use crate::fs::{Caller, FileKind};
use crate::fsck::plan::Change;
use crate::kv::{KvRead, OpResult, Txn};
use crate::ops::check::WrongCounters;
use crate::ops::{self, OpCx, inode, orphan, usage};
use crate::types::{Ino, ObjectId};
use crate::volume::Volume;

/// Where inodes without a name go.
const LOST_FOUND: &[u8] = b"lost+found";

impl Volume {
    /// Makes changes in one transaction; what was done, in words.
    pub(crate) async fn apply_repair(&self, changes: &[Change]) -> Result<Vec<String>> {
        let lost_found = match changes.iter().any(|c| matches!(c, Change::Adopt { .. })) {
            true => Some(self.lost_found().await?),
            false => None,
        };
        self.shared
            .transact(Caller::default(), &[], |tx, cx, _| {
                let mut done = Vec::new();
                for change in changes {
                    done.extend(apply(tx, cx, lost_found, change)?);
                }
                Ok(done)
            })
            .await
    }

    /// Finishes the removal of inodes without a name, as far as possible.
    pub(crate) async fn finish_removals(&self) {
        std::sync::Arc::clone(&self.shared).reap_all().await;
    }

    /// Writes keys as they are, past all rules. For tests that damage a volume.
    ///
    /// # Errors
    /// As any change.
    #[doc(hidden)]
    pub async fn write_raw(&self, writes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Result<()> {
        self.shared
            .transact(Caller::default(), &[], |tx, _, _| {
                for (key, value) in writes {
                    match value {
                        Some(value) => tx.put(key.clone(), value.clone()),
                        None => tx.delete(key.clone()),
                    }
                }
                Ok(())
            })
            .await
    }

    /// Reads a key as it is. For tests that damage a volume.
    ///
    /// # Errors
    /// Those of loading metadata.
    #[doc(hidden)]
    pub async fn read_raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.shared.view(|kv| Ok(kv.get(key)?)).await
    }

    /// The directory for inodes without a name, made if need be.
    async fn lost_found(&self) -> Result<Ino> {
        self.shared
            .transact(Caller::default(), &[], |tx, cx, new| {
                let key = dirent_key(Ino::ROOT, &ops::name::key_name(cx, LOST_FOUND));
                if let Some(value) = tx.get(&key)?
                    && let Ok(Dirent { kind: FileKind::Dir, ino, .. }) = Dirent::decode(&value)
                {
                    return Ok(ino);
                }
                Ok(ops::mkdir(tx, cx, Ino::ROOT, LOST_FOUND, 0o700, 0, new)?.ino)
            })
            .await
    }

    /// Sets recursive counters.
    pub(crate) async fn set_counters(&self, wrong: &[WrongCounters]) -> Result<Vec<String>> {
        self.shared
            .transact(Caller::default(), &[], |tx, _, _| {
                let mut done = Vec::new();
                for WrongCounters { dir, bytes, inodes } in wrong {
                    let Some(mut record) = inode::try_load(tx, *dir)? else { continue };
                    (record.subtree_bytes, record.subtree_inodes) = (*bytes, *inodes);
                    inode::store(tx, *dir, &record);
                    done.push(format!("inode {dir}: counters set to {bytes} bytes in {inodes} inodes"));
                }
                Ok(done)
            })
            .await
    }

    /// Changes the totals by what a recount of a head gave more or less than the head said.
    pub(crate) async fn add_to_totals(&self, said: (u64, u64), counted: (u64, u64)) -> Result<()> {
        {
            let mut state = self.shared.state.write();
            state.inodes = state.inodes.saturating_add(counted.0).saturating_sub(said.0);
            state.data_bytes = state.data_bytes.saturating_add(counted.1).saturating_sub(said.1);
            // No record says so: a checkpoint must.
            state.dirty_lsn = state.dirty_lsn.max(state.last_lsn());
        }
        // An empty change makes the totals part of history: the next head is written for it.
        self.shared
            .transact(Caller::default(), &[], |tx, _, _| {
                let root = inode::load(tx, Ino::ROOT)?;
                inode::store(tx, Ino::ROOT, &root);
                Ok(())
            })
            .await
    }

    /// Takes objects out of the queue for deletion.
    pub(crate) async fn spare(&self, objects: &[(ObjectKind, ObjectId)]) -> Result<()> {
        self.shared
            .transact(Caller::default(), &[], |tx, _, _| {
                for &(kind, object) in objects {
                    tx.delete(pending_delete_key(kind, object));
                    tx.delete(intent_key(kind, object));
                }
                Ok(())
            })
            .await
    }

    /// Queues leftovers: data for deletion after the grace, metadata as intents, which the next mount takes into the object table.
    pub(crate) async fn queue_leftovers(&self, objects: &[(ObjectKind, ObjectId)]) -> Result<()> {
        let lsn = self.shared.state.read().next_lsn;
        self.shared
            .transact(Caller::default(), &[], |tx, cx, _| {
                for &(kind, object) in objects {
                    match kind {
                        ObjectKind::Data => {
                            let pending = PendingDelete { died_lsn: lsn, died_secs: cx.now.secs, stored_len: 0 };
                            tx.put(pending_delete_key(kind, object), pending.encode());
                        }
                        ObjectKind::Meta => tx.put(intent_key(kind, object), crate::format::intent::encode()),
                    }
                }
                Ok(())
            })
            .await
    }
}

fn apply(tx: &mut Txn<'_>, cx: &OpCx, lost_found: Option<Ino>, change: &Change) -> OpResult<Option<String>> {
    Ok(match change {
        Change::Recreate { ino, kind } => {
            if tx.get(&crate::format::keys::inode_key(*ino))?.is_some_and(|v| InodeRecord::decode(&v).is_ok()) {
                return Ok(None);
            }
            let mut record = InodeRecord::new(*kind, if *kind == FileKind::Dir { 0o700 } else { 0o600 }, cx.now);
            if *ino == Ino::ROOT {
                (record.parent, record.perm) = (Ino::ROOT, 0o755);
            }
            inode::store(tx, *ino, &record);
            Some(format!("inode {ino}: made a new record for what is left of it"))
        }
        Change::DropEntry { dir, key_name, ino } => {
            tx.delete(dirent_key(*dir, key_name));
            let name = String::from_utf8_lossy(key_name);
            Some(format!("directory {dir}: removed entry {name}, which named inode {ino}"))
        }
        Change::EntryKind { dir, key_name, kind } => {
            let key = dirent_key(*dir, key_name);
            let Some(Ok(mut dirent)) = tx.get(&key)?.map(|v| Dirent::decode(&v)) else { return Ok(None) };
            dirent.kind = *kind;
            tx.put(key, dirent.encode());
            Some(format!("directory {dir}: entry {} is of kind {kind:?}", String::from_utf8_lossy(key_name)))
        }
        Change::Adopt { ino } => adopt(tx, cx, lost_found, *ino)?,
        Change::Numbers { ino, numbers } => {
            let Some(mut record) = inode::try_load(tx, *ino)? else { return Ok(None) };
            numbers.set(&mut record);
            inode::store(tx, *ino, &record);
            Some(format!("inode {ino}: counts corrected"))
        }
        Change::Orphan { ino, wanted } => {
            let there = inode::try_load(tx, *ino)?.is_some();
            match wanted {
                true if there => orphan::add(tx, *ino),
                true => return Ok(None),
                false => orphan::remove(tx, *ino),
            }
            Some(format!("inode {ino}: orphan record {}", if *wanted { "made" } else { "removed" }))
        }
        Change::Usage { segment, said, counted } => {
            let now = usage::load(tx, *segment).unwrap_or(*said);
            let live_bytes = now.saturating_add(*counted).saturating_sub(*said);
            tx.put(segment_usage_key(*segment), SegmentUsage { live_bytes }.encode());
            Some(format!("segment {segment}: usage set to {live_bytes} bytes"))
        }
    })
}

/// Names an inode in the directory for lost ones; counts are a later round's.
fn adopt(tx: &mut Txn<'_>, cx: &OpCx, lost_found: Option<Ino>, ino: Ino) -> OpResult<Option<String>> {
    let (Some(dir), Some(mut record)) = (lost_found, inode::try_load(tx, ino)?) else { return Ok(None) };
    let name = format!("#{ino}");
    let key_name = ops::name::key_name(cx, name.as_bytes());
    let dirent = Dirent::new(record.kind, ino, name.as_bytes(), &key_name);
    tx.put(dirent_key(dir, &key_name), dirent.encode());
    orphan::remove(tx, ino);
    record.parent = dir;
    record.nlink = record.nlink.max(1);
    inode::store(tx, ino, &record);
    Ok(Some(format!("inode {ino}: named lost+found/{name}")))
}
