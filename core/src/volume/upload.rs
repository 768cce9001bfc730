//! Bringing sealed segments into the store.
//!
//! Owns the step from a staged segment to an object and its location records. An object's name is taken, and noted as an intent,
//! for each attempt that starts afresh; within an attempt the same bytes are sent until the store has them. A segment without
//! live data is not sent at all. Segments go up in parallel, each held in memory while it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::disk_cache::Keepsake;
use crate::error::{Error, ErrorKind, Result};
use crate::format::frame::{Codec, FrameKind};
use crate::format::keys::{intent_key, segment_location_key, segment_usage_key};
use crate::format::segment::{SegmentLocation, SegmentUsage, SlotFrame};
use crate::format::{ObjectKind, PackBuilder};
use crate::fs::Caller;
use crate::meter::Histogram;
use crate::ops::usage;
use crate::store::{ObjectKey, PutMode};
use crate::types::ObjectId;
use crate::volume::Shared;
use crate::volume::staging::{Slot, StagedSegment, Uploaded};

/// Bytes that headers and the index add to a segment, at most per slot.
const OVERHEAD_PER_SLOT: usize = 80;

/// State of the uploader.
#[derive(Default)]
pub(crate) struct Uploads {
    /// Segments on their way.
    going: AtomicUsize,
    /// Whether new ones wait.
    held: AtomicBool,
    /// Signalled when waiting before another attempt makes no sense any more.
    retry: Notify,
    spare: Spare,
    /// How long segments took to get into the store, attempts that failed and waits between them included.
    pub(crate) timings: Histogram,
    /// Bytes of their objects.
    pub(crate) bytes: AtomicU64,
    /// Attempts that failed.
    pub(crate) failures: AtomicU64,
    /// Signalled when a segment was planned or uploaded.
    pub(crate) progress: Notify,
}

/// A segment as an object, ready to be sent.
struct Plan {
    object: ObjectId,
    body: Bytes,
    overlay: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A segment on its way. Dropping it makes room for the next.
struct Going(Arc<Shared>);

impl Drop for Going {
    fn drop(&mut self) {
        self.0.uploads.going.fetch_sub(1, Ordering::AcqRel);
        self.0.staging.sealed.notify_one();
    }
}

impl Uploads {
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }

    /// Ends the waits before another attempt.
    pub(crate) fn retry_now(&self) {
        self.retry.notify_waiters();
    }
}

/// Buffers of objects that are in the store, for the next ones: memory that is new to the process costs more to touch than to fill.
/// There are never more than uploads at once: whoever finds all too small has one of them dropped. None once nothing waits.
#[derive(Default)]
struct Spare {
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Spare {
    /// An empty buffer for `capacity` bytes.
    fn take(&self, capacity: usize) -> Vec<u8> {
        let found = {
            let mut buffers = self.buffers.lock();
            match buffers.iter().position(|b| b.capacity() >= capacity) {
                Some(at) => Some(buffers.swap_remove(at)),
                None => buffers.pop(),
            }
        };
        found.filter(|b| b.capacity() >= capacity).unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// Gives a buffer back, unless somebody still reads it.
    fn give(&self, body: Bytes) {
        if let Ok(mut body) = body.try_into_mut() {
            body.clear();
            self.buffers.lock().push(body.into());
        }
    }

    fn clear(&self) {
        self.buffers.lock().clear();
    }
}

impl Shared {
    /// Uploads sealed segments until the volume stops. Runs as a task.
    pub(crate) async fn upload_loop(self: Arc<Self>) {
        while !self.is_stopping() {
            let sealed = self.staging.sealed.notified();
            let stopped = self.stop.notified();
            if self.wait_claimed().await && self.check_going().is_ok() {
                while let Some((segment, going)) = self.next_upload() {
                    let shared = Arc::clone(&self);
                    tokio::spawn(async move {
                        let outcome = shared.upload_segment(&segment).await;
                        drop(going);
                        if let Err(error) = outcome {
                            shared.upload_failed(segment, &error).await;
                        }
                    });
                }
            }
            if self.is_stopping() {
                return;
            }
            tokio::select! { () = sealed => {}, () = stopped => {} }
        }
    }

    /// The next segment to send, if there is one and room in memory for it.
    fn next_upload(self: &Arc<Self>) -> Option<(Arc<StagedSegment>, Going)> {
        let at_once = self.engine.uploads_max(self.options.max_flush_size, self.options.uploads_max);
        if self.uploads.going.load(Ordering::Acquire) >= at_once {
            return None;
        }
        let segment = self.staging.next_to_upload(self.uploads.is_held())?;
        self.uploads.going.fetch_add(1, Ordering::AcqRel);
        Some((segment, Going(Arc::clone(self))))
    }

    /// Gives the segment back after a while.
    async fn upload_failed(&self, segment: Arc<StagedSegment>, error: &Error) {
        let stopped = self.stop.notified();
        if self.check_going().is_ok() {
            tracing::error!("cannot upload segment {}: {error}", segment.id);
            self.problem(error);
            segment.note_failure(error);
            tokio::select! {
                () = tokio::time::sleep(crate::limits::BACKOFF_UPLOAD) => {}
                () = self.uploads.retry.notified() => {}
                () = stopped => {}
            }
        }
        self.staging.requeue(segment);
    }

    async fn upload_segment(self: &Arc<Self>, segment: &Arc<StagedSegment>) -> Result<()> {
        segment.wait_idle().await;
        let slots = segment.start_build();
        if slots.iter().all(|s| s.dropped) {
            return self.forget_dead(segment).await;
        }
        let plan = self.plan_upload(segment, &slots).await?;
        segment.set_planned(plan.overlay.clone());
        self.uploads.progress.notify_waiters();
        let key = self.storage.layout.data_key(plan.object);
        let begun = Instant::now();
        self.until_stored(|| Box::pin(self.send(segment, &key, &plan.body))).await?;
        self.uploads.timings.note(begun.elapsed());
        self.uploads.bytes.fetch_add(plan.body.len() as u64, Ordering::Relaxed);
        let lsn = self.put_location(segment, &plan).await?;
        self.keep_on_disk(segment, &plan, slots.len());
        segment.set_uploaded(Uploaded { lsn, overlay: plan.overlay });
        if self.staging.has_to_upload() && !self.uploads.is_held() {
            self.uploads.spare.give(plan.body);
        } else {
            self.uploads.spare.clear();
        }
        self.uploads.progress.notify_waiters();
        Ok(())
    }

    async fn send(&self, segment: &StagedSegment, key: &ObjectKey, body: &Bytes) -> Result<()> {
        segment.note_attempt();
        let sent = self.storage.put(key, vec![body.clone()], PutMode::Fresh).await;
        sent.inspect_err(|error| {
            self.uploads.failures.fetch_add(1, Ordering::Relaxed);
            segment.note_failure(error);
        })
    }

    /// What was just written is what is likely to be read, also while the store is away. Where the staging file can be kept, its bytes
    /// are not written again.
    fn keep_on_disk(&self, segment: &StagedSegment, plan: &Plan, frames: usize) {
        let keepsake = match segment.dense_bytes() {
            Some(bytes) if self.disk.is_on() => {
                Keepsake::of(plan.object, &plan.body, self.meta.frame_size, frames, bytes)
            }
            _ => None,
        };
        match keepsake {
            Some(keepsake) => segment.keep(keepsake),
            None => self.disk.put(ObjectKind::Data, plan.object, 0, &plan.body),
        }
    }

    /// Builds the object: each live slot's bytes are read straight into it.
    async fn plan_upload(&self, segment: &StagedSegment, slots: &[Slot]) -> Result<Plan> {
        let object = self.new_object_id();
        self.intend(ObjectKind::Data, object).await?;
        let codec = self.meta.compress.codec();
        let payload: usize = slots.iter().filter(|s| !s.dropped).map(|s| s.filled as usize).sum();
        let capacity = payload + slots.len() * OVERHEAD_PER_SLOT + 256;
        let mut pack = PackBuilder::data(segment.id, self.uploads.spare.take(capacity));
        let mut frames = Vec::with_capacity(slots.len());
        for (number, slot) in (0u32..).zip(slots) {
            frames.push(if slot.dropped {
                None
            } else {
                Some(self.pack_slot(&mut pack, segment, number, slot, codec)?)
            });
            if codec != Codec::None || number % 64 == 63 {
                tokio::task::yield_now().await;
            }
        }
        let (body, _) = pack.finish(Codec::Lz4);
        let overlay = SegmentLocation::build(object, &frames)
            .into_iter()
            .map(|(slot, location)| (segment_location_key(segment.id, slot), location.encode()))
            .collect();
        Ok(Plan { object, body: body.into(), overlay })
    }

    fn pack_slot(
        &self,
        pack: &mut PackBuilder,
        segment: &StagedSegment,
        number: u32,
        slot: &Slot,
        codec: Codec,
    ) -> Result<SlotFrame> {
        let position = u64::from(number) * u64::from(self.meta.frame_size);
        let owner = (slot.ino.0, slot.file_offset);
        let entry = pack
            .append_with(number, FrameKind::Data, owner, codec, |buf| {
                let start = buf.len();
                buf.resize(start + slot.filled as usize, 0);
                segment.read_slot(&mut buf[start..], position)?;
                if segment.check_sums(number, &buf[start..]) {
                    Ok(())
                } else {
                    Err(std::io::Error::other("the local disk gave back other bytes than were written"))
                }
            })
            .map_err(|e| {
                Error::with_source(ErrorKind::Io, format!("cannot read staged segment {} at {position}", segment.id), e)
            })?;
        Ok(SlotFrame { total_len: entry.total_len, logical_len: entry.logical_len })
    }

    async fn put_location(&self, segment: &StagedSegment, plan: &Plan) -> Result<crate::types::Lsn> {
        let ((), lsn) = self
            .housekeep_queued(|tx| {
                for (key, value) in &plan.overlay {
                    tx.put(key.clone(), value.clone());
                }
                tx.delete(intent_key(ObjectKind::Data, plan.object));
                if usage::load(tx, segment.id)? == 0 {
                    // Died on the way: writing the usage makes the transaction bury the segment.
                    tx.put(segment_usage_key(segment.id), SegmentUsage { live_bytes: 0 }.encode());
                }
                Ok(())
            })
            .await?;
        self.logged(lsn).await?;
        Ok(lsn)
    }

    async fn forget_dead(&self, segment: &StagedSegment) -> Result<()> {
        let ((), lsn) = self
            .housekeep_queued(|tx| {
                if usage::load(tx, segment.id)? == 0 {
                    tx.delete(segment_usage_key(segment.id));
                }
                Ok(())
            })
            .await?;
        self.logged(lsn).await?;
        segment.set_uploaded(Uploaded { lsn, overlay: Vec::new() });
        self.uploads.progress.notify_waiters();
        Ok(())
    }

    /// Waits until all of `segments` are in the store.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] when the volume stops; the halt's error when it is halted.
    pub(crate) async fn wait_uploaded(&self, segments: &[Arc<StagedSegment>]) -> Result<()> {
        self.wait_segments(segments, |s| s.uploaded().is_some()).await
    }

    /// Waits until the objects of all of `segments` are built, so that their locations are known.
    pub(crate) async fn wait_planned(&self, segments: &[Arc<StagedSegment>]) -> Result<()> {
        self.wait_segments(segments, |s| s.planned().is_some() || s.uploaded().is_some()).await
    }

    async fn wait_segments(
        &self,
        segments: &[Arc<StagedSegment>],
        ready: impl Fn(&StagedSegment) -> bool,
    ) -> Result<()> {
        loop {
            let progress = self.uploads.progress.notified();
            let stopped = self.stop.notified();
            if segments.iter().all(|s| ready(s)) {
                return Ok(());
            }
            self.check_going()?;
            tokio::select! { () = progress => {}, () = stopped => {} }
        }
    }

    /// An error if background work has no future: the volume stops or is halted.
    pub(crate) fn check_going(&self) -> Result<()> {
        if self.is_stopping() {
            return Err(Error::new(ErrorKind::Interrupted, "the volume is being closed"));
        }
        self.state.read().check_writable()
    }

    /// Repeats a store operation until it succeeds, the volume stops, or the failure is one that waiting cannot mend.
    pub(crate) async fn until_stored<'a, T>(&self, attempt: impl Fn() -> BoxFuture<'a, Result<T>>) -> Result<T> {
        let mut wait = crate::limits::BACKOFF_FIRST;
        loop {
            match attempt().await {
                Ok(value) => {
                    self.online();
                    return Ok(value);
                }
                Err(error) if is_final(error.kind()) => return Err(error),
                Err(error) => self.problem(&error),
            }
            let stopped = self.stop.notified();
            self.check_going()?;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.uploads.retry.notified() => {}
                () = stopped => {}
            }
            self.check_going()?;
            wait = (wait * 2).min(crate::limits::BACKOFF_MAX);
        }
    }

    /// A transaction of the engine's own: it is logged, but on its own gives no reason for a checkpoint.
    pub(crate) async fn housekeep_queued<T>(
        &self,
        mut op: impl FnMut(&mut crate::kv::Txn<'_>) -> crate::kv::OpResult<T>,
    ) -> Result<(T, crate::types::Lsn)> {
        self.transact_inner(Caller::default(), &[], false, |tx, _, _| op(tx)).await
    }
}

/// Whether no amount of waiting helps: the name is taken, or the local disk failed.
fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::AlreadyExists | ErrorKind::NotSupported | ErrorKind::Io | ErrorKind::Internal | ErrorKind::Fenced
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_buffers_are_used_again_and_those_too_small_are_dropped() {
        let spare = Spare::default();
        for capacity in [10, 100, 1_000, 10_000] {
            let mut buffer = spare.take(capacity);
            assert!(buffer.is_empty() && buffer.capacity() >= capacity);
            buffer.resize(capacity / 2, 7);
            spare.give(Bytes::from(buffer));
            assert_eq!(spare.buffers.lock().len(), 1, "the one before was too small");
        }
        let kept = spare.buffers.lock()[0].as_ptr();
        let again = spare.take(5_000);
        assert_eq!(again.as_ptr(), kept);
        let read = Bytes::from(vec![1; 100]);
        spare.give(read.clone());
        assert!(spare.buffers.lock().is_empty(), "somebody still reads it");
        assert_eq!(read.len(), 100);
    }
}
