//! Fetching stored frames: cache, single flight, coalesced ranged GETs.
//!
//! Owns the way from "these frames" to their verified bytes. Adjacent frames of one object are one GET (bounded in size); a frame
//! that somebody else is fetching is waited for. Fetches run as tasks, so that a caller that goes away harms nobody. What was
//! fetched is written to the cache on disk by one task behind a bounded queue; what a slow disk has no room for in it is not kept.
//! Does not know files; `read` does.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::disk_cache::DiskCache;
use crate::error::{Error, ErrorKind, Result};
use crate::format::ObjectKind;
use crate::format::frame::{FrameKind, decode_frame_of};
use crate::format::segment::FrameLoc;
use crate::frame_cache::{FrameCache, FrameKey};
use crate::limits::{CACHE_QUEUE_BYTES_MAX, CACHE_QUEUE_SHARE, GET_BYTES_MAX};
use crate::meter::{HitCounts, Hits};
use crate::store::GetRange;
use crate::types::ObjectId;
use crate::volume::storage::Storage;

/// A frame that is wanted, and where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) key: FrameKey,
    pub(crate) at: FrameLoc,
}

/// The outcome of a fetch, for everybody who waits.
type Outcome = Result<Bytes, Arc<Error>>;

#[derive(Default)]
struct Flight {
    outcome: OnceLock<Outcome>,
    done: Notify,
}

impl Flight {
    fn land(&self, outcome: Outcome) {
        let _ = self.outcome.set(outcome);
        self.done.notify_waiters();
    }

    async fn wait(&self) -> Outcome {
        loop {
            let notified = self.done.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            notified.await;
        }
    }
}

struct Inner {
    storage: Arc<Storage>,
    cache: Arc<FrameCache>,
    disk: Arc<DiskCache>,
    flights: Mutex<HashMap<FrameKey, Arc<Flight>>>,
    to_disk: Mutex<ToDisk>,
    /// Signalled when nothing waits for the cache on disk.
    written: Notify,
    in_memory: Hits,
    on_disk: Hits,
}

/// Bytes on their way to the cache on disk.
#[derive(Default)]
struct ToDisk {
    waiting: VecDeque<(ObjectId, u64, Bytes)>,
    bytes: u64,
    /// Whether the task that writes them runs.
    busy: bool,
}

/// Fetches frames of one volume. Clones share it.
#[derive(Clone)]
pub(crate) struct FrameReader {
    inner: Arc<Inner>,
}

/// A frame in hand, or on its way.
enum Got {
    Here(Bytes),
    Coming(Arc<Flight>),
}

impl FrameReader {
    pub(crate) fn new(storage: Arc<Storage>, cache: Arc<FrameCache>, disk: Arc<DiskCache>) -> Self {
        let (flights, to_disk) = (Mutex::default(), Mutex::default());
        let (in_memory, on_disk) = (Hits::default(), Hits::default());
        let written = Notify::new();
        Self { inner: Arc::new(Inner { storage, cache, disk, flights, to_disk, written, in_memory, on_disk }) }
    }

    /// Waits until everything that was to go to the cache on disk is there.
    pub(crate) async fn settle(&self) {
        loop {
            let written = self.inner.written.notified();
            if !self.inner.to_disk.lock().busy {
                return;
            }
            written.await;
        }
    }

    /// The cache below, for budgets and statistics.
    pub(crate) fn cache(&self) -> &FrameCache {
        &self.inner.cache
    }

    /// How often frames that were asked for were in memory, and those that were not, on the disk.
    pub(crate) fn hits(&self) -> (HitCounts, HitCounts) {
        (self.inner.in_memory.counts(), self.inner.on_disk.counts())
    }

    /// The payloads of the wanted frames, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] naming the object and offset; [`ErrorKind::Unavailable`] when the store does not answer.
    pub(crate) async fn get(&self, wanted: &[Wanted]) -> Result<Vec<Bytes>> {
        let got = self.start(wanted);
        let mut out = Vec::with_capacity(got.len());
        for one in got {
            self.inner.in_memory.note(matches!(one, Got::Here(_)));
            out.push(match one {
                Got::Here(bytes) => bytes,
                Got::Coming(flight) => flight.wait().await.map_err(|e| Error::new(e.kind(), e.to_string()))?,
            });
        }
        Ok(out)
    }

    /// Starts fetching what is not cached, without waiting.
    pub(crate) fn prefetch(&self, wanted: &[Wanted]) {
        let missing: Vec<_> = wanted.iter().filter(|w| !self.inner.cache.contains(&w.key)).copied().collect();
        self.start(&missing);
    }

    fn start(&self, wanted: &[Wanted]) -> Vec<Got> {
        let mut out = Vec::with_capacity(wanted.len());
        let mut run: Vec<(Wanted, Arc<Flight>)> = Vec::new();
        let mut runs = Vec::new();
        {
            let mut flights = self.inner.flights.lock();
            for want in wanted {
                if let Some(frame) = self.inner.cache.get(&want.key) {
                    out.push(Got::Here(frame));
                    continue;
                }
                if let Some(flight) = flights.get(&want.key) {
                    out.push(Got::Coming(Arc::clone(flight)));
                    continue;
                }
                let flight = Arc::new(Flight::default());
                flights.insert(want.key, Arc::clone(&flight));
                out.push(Got::Coming(Arc::clone(&flight)));
                if !run.last().is_none_or(|(last, _)| follows(&last.at, &want.at)) || run_bytes(&run) >= GET_BYTES_MAX {
                    runs.push(std::mem::take(&mut run));
                }
                run.push((*want, flight));
            }
        }
        runs.push(run);
        for run in runs.into_iter().filter(|r| !r.is_empty()) {
            let inner = Arc::clone(&self.inner);
            tokio::spawn(async move { inner.fetch(run).await });
        }
        out
    }
}

/// Whether frame `b` begins where `a` ends.
fn follows(a: &FrameLoc, b: &FrameLoc) -> bool {
    a.object == b.object && a.offset + u64::from(a.total_len) == b.offset
}

fn run_bytes(run: &[(Wanted, Arc<Flight>)]) -> u64 {
    run.iter().map(|(w, _)| u64::from(w.at.total_len)).sum()
}

impl Inner {
    /// Takes what the disk cache has, then the rest in as few GETs as it lies in.
    async fn fetch(self: &Arc<Self>, run: Vec<(Wanted, Arc<Flight>)>) {
        let mut rest: Vec<(Wanted, Arc<Flight>)> = Vec::new();
        for (want, flight) in run {
            match self.look_on_disk(&want) {
                Some(frame) => self.land(&want, &flight, Ok(frame)),
                None => {
                    if !rest.last().is_none_or(|(last, _)| follows(&last.at, &want.at)) {
                        self.fetch_stored(std::mem::take(&mut rest)).await;
                    }
                    rest.push((want, flight));
                }
            }
        }
        if !rest.is_empty() {
            self.fetch_stored(rest).await;
        }
    }

    fn look_on_disk(&self, want: &Wanted) -> Option<Bytes> {
        if !self.disk.is_on() {
            return None;
        }
        let frame = self.disk.get(ObjectKind::Data, want.at.object, want.at.offset, want.at.total_len);
        let decoded = frame.and_then(|frame| self.decode(want, &frame, false).ok());
        self.on_disk.note(decoded.is_some());
        decoded
    }

    fn land(&self, want: &Wanted, flight: &Flight, frame: Outcome) {
        if let Ok(frame) = &frame {
            self.cache.insert(want.key, frame.clone());
        }
        self.flights.lock().remove(&want.key);
        flight.land(frame);
    }

    async fn fetch_stored(self: &Arc<Self>, run: Vec<(Wanted, Arc<Flight>)>) {
        let first = run[0].0.at;
        let range = GetRange::Bounded { offset: first.offset, len: run_bytes(&run) };
        let outcome = self.storage.get_data(first.object, range).await.map_err(Arc::new);
        for (want, flight) in &run {
            let frame = outcome.clone().and_then(|bytes| {
                let start = usize::try_from(want.at.offset - first.offset).unwrap_or(usize::MAX);
                let end = start + want.at.total_len as usize;
                self.decode(want, &bytes.slice(start..end), run.len() > 1).map_err(Arc::new)
            });
            self.land(want, flight, frame);
        }
        if let Ok(bytes) = outcome {
            self.keep_on_disk(first.object, first.offset, bytes);
        }
    }

    /// Queues fetched bytes for the cache on disk, if there is room.
    fn keep_on_disk(self: &Arc<Self>, object: ObjectId, offset: u64, bytes: Bytes) {
        let room = CACHE_QUEUE_BYTES_MAX.min(self.cache.budget() / CACHE_QUEUE_SHARE);
        let mut queue = self.to_disk.lock();
        let len = bytes.len() as u64;
        if !self.disk.is_on() || (queue.bytes > 0 && queue.bytes + len > room) {
            return;
        }
        queue.bytes += len;
        queue.waiting.push_back((object, offset, bytes));
        if !std::mem::replace(&mut queue.busy, true) {
            let inner = Arc::clone(self);
            tokio::spawn(async move { inner.write_to_disk().await });
        }
    }

    async fn write_to_disk(&self) {
        while let Some((object, offset, bytes)) = self.next_to_disk() {
            self.disk.put(ObjectKind::Data, object, offset, &bytes);
            self.to_disk.lock().bytes -= bytes.len() as u64;
            tokio::task::yield_now().await;
        }
        self.written.notify_waiters();
    }

    fn next_to_disk(&self) -> Option<(ObjectId, u64, Bytes)> {
        let mut queue = self.to_disk.lock();
        let next = queue.waiting.pop_front();
        queue.busy = next.is_some();
        next
    }

    fn decode(&self, want: &Wanted, frame: &Bytes, shared_buffer: bool) -> Result<Bytes> {
        let damaged = |why: &dyn std::fmt::Display| {
            let key = self.storage.layout.data_key(want.at.object);
            Error::new(
                ErrorKind::Corrupt,
                format!("frame at {} of object {key} is damaged: {why}; run fsck", want.at.offset),
            )
        };
        let (header, payload) = decode_frame_of(FrameKind::Data, frame).map_err(|e| damaged(&e))?;
        if header.logical_len != want.at.logical_len {
            return Err(damaged(&"its length is not the one its location names"));
        }
        // A cached slice would keep the whole GET's buffer alive: own bytes keep the budget true.
        let sliced = shared_buffer && header.stored_len == header.logical_len;
        Ok(if sliced { Bytes::copy_from_slice(&payload) } else { payload })
    }
}
