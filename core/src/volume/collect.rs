//! Deleting what nobody can reach any more.
//!
//! Owns the way of an object from death to deletion: a segment whose last live byte goes is buried in the same transaction (usage
//! and location out, pending delete in); a meta object without live pages is marked in the object table. An object is deleted only
//! when every kept head was written after its death, the grace period is over, and the newest head in the store is still ours.
//! A failure leaves the entry for next time. Compaction of half-dead objects is not done here.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::Result;
use crate::format::keys::{
    pending_delete_key, pending_delete_range, segment_location_key, segment_location_range, segment_usage_key,
};
use crate::format::{Key, ObjectKind, PendingDelete, SegmentLocation, SegmentUsage};
use crate::kv::{KvRead, OpResult, Txn};
use crate::limits::COLLECT_MAX;
use crate::types::{Lsn, ObjectId, SegmentId, Timestamp};
use crate::volume::Shared;
use crate::volume::checkpoint::Publisher;

/// Buries the segments whose usage falls to 0 in `tx` and whose object is in the store.
pub(crate) fn bury_dead_segments(tx: &mut Txn<'_>, lsn: Lsn, now: Timestamp) -> OpResult<()> {
    let dead: Vec<SegmentId> = tx.writes().iter().filter_map(|(k, v)| dead_segment(k, v.as_deref())).collect();
    for segment in dead {
        bury(tx, segment, lsn, now)?;
    }
    Ok(())
}

/// The segment, if this write sets its usage to 0.
fn dead_segment(key: &[u8], value: Option<&[u8]>) -> Option<SegmentId> {
    if key.first() != Some(&0x02) {
        return None;
    }
    match (Key::decode(key), SegmentUsage::decode(value?)) {
        (Ok(Key::SegmentUsage(segment)), Ok(SegmentUsage { live_bytes: 0 })) => Some(segment),
        _ => None,
    }
}

fn bury(tx: &mut Txn<'_>, segment: SegmentId, lsn: Lsn, now: Timestamp) -> OpResult<()> {
    let Some(first) = tx.get(&segment_location_key(segment, 0))? else { return Ok(()) };
    let object = SegmentLocation::decode(&first)?.object;
    let (from, to) = segment_location_range(segment);
    let mut keys = Vec::new();
    let mut stored_len = 0;
    tx.scan(&from, &to, &mut |key, value| {
        keys.push(key.to_vec());
        stored_len += SegmentLocation::decode(value).map_or(0, |l| frames_len(&l));
        ControlFlow::Continue(())
    })?;
    for key in keys {
        tx.delete(key);
    }
    tx.delete(segment_usage_key(segment));
    let pending = PendingDelete { died_lsn: lsn, died_secs: now.secs, stored_len };
    tx.put(pending_delete_key(ObjectKind::Data, object), pending.encode());
    Ok(())
}

fn frames_len(location: &SegmentLocation) -> u64 {
    let run = |r: &crate::format::SlotRun| r.frame.map_or(0, |f| u64::from(f.total_len) * u64::from(r.slots));
    location.runs.iter().map(run).sum()
}

impl Shared {
    /// Deletes what may go now. Called by the checkpointer, which owns `publisher`, after a publication.
    ///
    /// # Errors
    /// The store's; nothing is lost, the rest is tried again later.
    pub(crate) async fn collect(self: &Arc<Self>, publisher: &mut Publisher) -> Result<()> {
        if self.deletions_held.load(std::sync::atomic::Ordering::Acquire) > 0 {
            return Ok(());
        }
        let Some((oldest_seq, oldest_lsn)) = publisher.oldest_kept() else { return Ok(()) };
        let cutoff = self.env.clock.now().secs - i64::try_from(self.options.delete_grace.as_secs()).unwrap_or(i64::MAX);
        let data = self.view(|kv| due_data(kv, oldest_lsn, cutoff)).await?;
        let meta = publisher.due_meta(oldest_seq, cutoff);
        if data.is_empty() && meta.is_empty() {
            return Ok(());
        }
        if !self.still_newest(publisher).await? {
            return Ok(());
        }
        let keys: Vec<_> = data
            .iter()
            .map(|id| self.storage.layout.data_key(*id))
            .chain(meta.iter().map(|id| self.storage.layout.meta_key(*id)))
            .collect();
        let failed = self.storage.delete(&keys).await?;
        for (key, error) in &failed {
            tracing::warn!("cannot delete dead object {key}: {error}; it is tried again later");
        }
        let gone = |key| !failed.iter().any(|(k, _)| *k == key);
        for id in &data {
            self.disk.remove(ObjectKind::Data, *id);
        }
        for id in &meta {
            self.disk.remove(ObjectKind::Meta, *id);
        }
        let data: Vec<_> = data.into_iter().filter(|id| gone(self.storage.layout.data_key(*id))).collect();
        publisher.forget_meta(meta.into_iter().filter(|id| gone(self.storage.layout.meta_key(*id))));
        let ((), lsn) = self
            .housekeep_queued(|tx| {
                for id in &data {
                    tx.delete(pending_delete_key(ObjectKind::Data, *id));
                }
                Ok(())
            })
            .await?;
        self.logged(lsn).await
    }
}

/// Dead data objects that no head from `oldest` on can reach and that died before `cutoff`.
fn due_data(kv: &dyn KvRead, oldest: Lsn, cutoff: i64) -> OpResult<Vec<ObjectId>> {
    let (from, to) = pending_delete_range();
    let mut due = Vec::new();
    kv.scan(&from, &to, &mut |key, value| {
        if let (Ok(Key::PendingDelete { kind: ObjectKind::Data, object }), Ok(pending)) =
            (Key::decode(key), PendingDelete::decode(value))
            && pending.died_lsn <= oldest
            && pending.died_secs <= cutoff
        {
            due.push(object);
        }
        if due.len() < COLLECT_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(due)
}
