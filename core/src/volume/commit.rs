//! Sync operations: "answers only once the change is committed", at the volume's tier.
//!
//! Owns the group commit of tier `store`: everything up to one moment is cut into a log batch, its segments are built, and data
//! and batch go to the store together; those who waited are answered when both are there. Batches are numbered densely inside
//! the epoch and created conditionally, so that a writer that lost its epoch commits nothing more. Tier `disk` is the group flush.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::log_key;
use crate::format::{Codec, KeyWrite, LogBatch, RecordBody, Tier};
use crate::meter::Histogram;
use crate::store::GetRange;
use crate::types::{Epoch, Lsn};
use crate::volume::Shared;
use crate::volume::claim::create_head;
use crate::volume::staging::StagedSegment;

/// Length of a record's header before its body.
const RECORD_HEADER_BYTES: usize = 16;
/// A batch is cut at this many bytes of records: well below what a frame may hold.
const BATCH_BYTES_MAX: usize = 16 << 20;

#[derive(Default)]
struct Inner {
    /// Bodies of records that are in no batch yet, with dense LSNs ending at the newest.
    pending: VecDeque<Vec<u8>>,
    pending_first: Lsn,
    committed: Lsn,
    next_batch: u64,
    busy: bool,
    failed: Option<(ErrorKind, String)>,
    /// Batches written, until the checkpointer takes them over.
    written: Vec<(Epoch, u64, Lsn)>,
    /// For [`Commits::first_batch_after`]: number and last LSN of every batch of this epoch.
    history: Vec<(u64, Lsn)>,
}

/// Group commit of one volume.
pub(crate) struct Commits {
    tier: Tier,
    inner: Mutex<Inner>,
    progress: Notify,
    /// How long log batches took to get into the store.
    pub(crate) timings: Histogram,
}

/// What one group commit sends.
struct Cut {
    first: Lsn,
    bodies: Vec<Vec<u8>>,
    last: Lsn,
    segments: Vec<Arc<StagedSegment>>,
}

impl Commits {
    /// `committed`: the LSN up to which everything is in the store; `last`: the newest LSN. What is between them was found in a log
    /// and is committed by the first checkpoint.
    pub(crate) fn new(tier: Tier, committed: Lsn, last: Lsn) -> Self {
        let inner = Inner { pending_first: last.next(), committed, ..Inner::default() };
        Self { tier, inner: Mutex::new(inner), progress: Notify::new(), timings: Histogram::default() }
    }

    /// Keeps a record for the next batch. Called under the state lock.
    pub(crate) fn note_record(&self, record: &[u8]) {
        if self.tier == Tier::Store {
            self.inner.lock().pending.push_back(record[RECORD_HEADER_BYTES..].to_vec());
        }
    }

    /// Notes that a head covers everything up to `lsn`: those records need no batch.
    pub(crate) fn covered(&self, lsn: Lsn) {
        let mut inner = self.inner.lock();
        while inner.pending_first <= lsn && inner.pending.pop_front().is_some() {
            inner.pending_first = inner.pending_first.next();
        }
        inner.committed = inner.committed.max(lsn);
        drop(inner);
        self.progress.notify_waiters();
    }

    /// The number of the first batch that may hold a record after `lsn`.
    pub(crate) fn first_batch_after(&self, lsn: Lsn) -> u64 {
        let inner = self.inner.lock();
        inner.history.iter().find(|(_, last)| *last > lsn).map_or(inner.next_batch, |(number, _)| *number)
    }

    /// Gives the batches written since the last call to the checkpointer, who deletes them one day.
    pub(crate) fn hand_over(&self, batches: &mut VecDeque<(Epoch, u64, Lsn)>) {
        batches.extend(self.inner.lock().written.drain(..));
    }

    /// Starts the numbering of a new epoch.
    pub(crate) fn new_epoch(&self) {
        let mut inner = self.inner.lock();
        inner.next_batch = 0;
        inner.history.clear();
    }
}

impl Shared {
    /// Returns once everything up to `lsn` is committed at the volume's tier.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] after the operation timeout with the store gone (nothing is lost, the change stays staged);
    /// [`ErrorKind::Fenced`]; [`ErrorKind::Io`].
    pub(crate) async fn commit(self: &Arc<Self>, lsn: Lsn) -> Result<()> {
        match self.meta.tier {
            Tier::Disk => self.flusher.durable(lsn).await.inspect_err(|e| self.local_failure(e)),
            Tier::Store => {
                match tokio::time::timeout(self.options.operation_timeout, self.commit_to_store(lsn)).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(Error::new(
                        ErrorKind::Unavailable,
                        format!(
                            "not committed: {} did not answer in {:?}; the change is staged on this computer and goes up when the store is back",
                            self.storage.store.describe(),
                            self.options.operation_timeout
                        ),
                    )),
                }
            }
        }
    }

    async fn commit_to_store(self: &Arc<Self>, lsn: Lsn) -> Result<()> {
        self.logged(lsn).await?;
        loop {
            let progress = self.commits.progress.notified();
            {
                let mut inner = self.commits.inner.lock();
                if inner.committed >= lsn {
                    return Ok(());
                }
                if let Some((kind, why)) = &inner.failed {
                    return Err(Error::new(*kind, why.clone()));
                }
                if !inner.busy {
                    inner.busy = true;
                    let shared = Arc::clone(self);
                    tokio::spawn(async move { shared.run_commit().await });
                }
            }
            progress.await;
        }
    }

    async fn run_commit(self: Arc<Self>) {
        let outcome = self.commit_group().await;
        {
            let mut inner = self.commits.inner.lock();
            inner.busy = false;
            if let Err(error) = outcome
                && error.kind() != ErrorKind::Interrupted
            {
                inner.failed = Some((error.kind(), error.to_string()));
            }
        }
        self.commits.progress.notify_waiters();
    }

    async fn commit_group(self: &Arc<Self>) -> Result<()> {
        self.wait_writable_epoch().await?;
        let cut = self.cut();
        if cut.bodies.is_empty() {
            return Ok(());
        }
        self.wait_planned(&cut.segments).await?;
        let (data, log) = tokio::join!(self.wait_uploaded(&cut.segments), self.put_batches(&cut));
        data?;
        log?;
        if !cut.segments.is_empty() {
            self.check_not_sealed().await?;
        }
        let mut inner = self.commits.inner.lock();
        inner.committed = inner.committed.max(cut.last);
        Ok(())
    }

    /// Makes sure that the log was not ended while data were still on the way: who ended it may have found the batch without its
    /// data, and passed over it.
    async fn check_not_sealed(&self) -> Result<()> {
        let epoch = self.term.read().epoch;
        let key = log_key(epoch, self.commits.inner.lock().next_batch);
        let sealed = self.until_stored(|| {
            Box::pin(async {
                match self.storage.get(&key, GetRange::Full).await {
                    Ok(_) => Ok(true),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                    Err(error) => Err(error),
                }
            })
        });
        if sealed.await? { Err(self.log_was_ended()) } else { Ok(()) }
    }

    fn log_was_ended(&self) -> Error {
        self.fenced("its log was ended")
    }

    /// Halts the volume, which another owner has now, and gives the error that says so, and what became of what is staged here.
    pub(crate) fn fenced(&self, how: &str) -> Error {
        let staged = self.staging.staged_bytes();
        let why = format!(
            "another owner has taken this volume over ({how}); what this computer has not published, up to {staged} staged bytes, stays in its state directory and comes back as a folder when the volume is mounted for writing here again"
        );
        self.halt(ErrorKind::Fenced, why.clone());
        Error::new(ErrorKind::Fenced, why)
    }

    /// Fixes what the commit covers: all records so far, and the segments their data is in.
    fn cut(&self) -> Cut {
        let state = self.state.write();
        let segments = self.staging.freeze();
        let mut inner = self.commits.inner.lock();
        let first = inner.pending_first;
        let bodies: Vec<_> = inner.pending.drain(..).collect();
        inner.pending_first = state.next_lsn;
        Cut { first, last: Lsn(first.0 + bodies.len() as u64 - 1), bodies, segments }
    }

    async fn put_batches(self: &Arc<Self>, cut: &Cut) -> Result<()> {
        let mut locations = location_records(&cut.segments);
        let mut first = cut.first;
        let mut rest = cut.bodies.as_slice();
        while !rest.is_empty() {
            let count = batch_len(rest);
            let (bodies, later) = rest.split_at(count);
            self.put_batch(first, bodies, std::mem::take(&mut locations)).await?;
            first = Lsn(first.0 + count as u64);
            rest = later;
        }
        Ok(())
    }

    async fn put_batch(self: &Arc<Self>, first: Lsn, bodies: &[Vec<u8>], locations: Vec<RecordBody>) -> Result<()> {
        let term = *self.term.read();
        let number = self.commits.inner.lock().next_batch;
        let batch = LogBatch { claim: term.claim, first_lsn: first, locations, ..LogBatch::default() };
        let payload = batch.encode_with(bodies);
        let object =
            crate::format::frame::encode_frame(crate::format::FrameKind::LogBatch, (0, 0), Codec::Lz4, &payload);
        let object = Bytes::from(object);
        let key = log_key(term.epoch, number);
        let settle = self.options.settle;
        let begun = Instant::now();
        let outcome = self.until_stored(|| Box::pin(create_head(&self.storage, &key, &object, settle))).await;
        self.commits.timings.note(begun.elapsed());
        if let Err(error) = outcome {
            if error.kind() == ErrorKind::AlreadyExists {
                return Err(self.log_was_ended());
            }
            return Err(error);
        }
        let last = Lsn(first.0 + bodies.len() as u64 - 1);
        let mut inner = self.commits.inner.lock();
        inner.next_batch = number + 1;
        inner.written.push((term.epoch, number, last));
        inner.history.push((number, last));
        Ok(())
    }
}

/// Where the segments' frames lie, for those that are not in the tree of any head yet.
fn location_records(segments: &[Arc<StagedSegment>]) -> Vec<RecordBody> {
    let locations = segments.iter().filter_map(|s| s.planned());
    let bodies = locations.map(|writes| RecordBody {
        writes: writes.into_iter().map(|(key, value)| KeyWrite { key, value: Some(value) }).collect(),
        data: Vec::new(),
    });
    bodies.collect()
}

/// How many of `bodies` make one batch.
fn batch_len(bodies: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    let fits = bodies.iter().take_while(|b| {
        bytes += b.len();
        bytes <= BATCH_BYTES_MAX
    });
    fits.count().max(1)
}
