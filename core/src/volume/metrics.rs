//! What an open volume has done, in numbers, and whether it is still able to do anything.
//!
//! Gathers what the parts have counted since the volume was opened. Answers from memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use serde::Serialize;
use tokio::task::JoinHandle;

use crate::meter::{HitCounts, OpMetrics, Timings};
use crate::volume::{Shared, Volume};

/// What a volume has done since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VolumeMetrics {
    /// Operations of programs, by kind; only kinds that there were.
    pub ops: Vec<OpMetrics>,
    /// Bytes that programs have read.
    pub read_bytes: u64,
    /// Bytes that programs have written.
    pub written_bytes: u64,
    /// Operations under way, without waits for locks.
    pub under_way: u64,
    /// Whole seconds for which the oldest of them has been under way; 0 without one.
    pub oldest_under_way_secs: u64,
    /// Frames of stored file data that were asked for: whether they were in memory.
    pub data_cache: HitCounts,
    /// Frames that were not in memory: whether they were on the local disk. Read-ahead included.
    pub disk_cache: HitCounts,
    /// Metadata pages that were not in memory: whether they were on the local disk.
    pub page_disk_cache: HitCounts,
    /// Metadata pages that were asked for, of all volumes: whether they were in memory.
    pub page_cache: HitCounts,
    /// Checkpoints.
    pub checkpoints: CheckpointMetrics,
    /// The replay log.
    pub log: LogMetrics,
    /// Segments on their way into the store.
    pub uploads: UploadMetrics,
}

/// What checkpoints cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckpointMetrics {
    /// How long those took that succeeded, the upload of what they cover included.
    pub timings: Timings,
    /// Those that failed; each is tried again.
    pub failures: u64,
    /// Bytes of metadata objects written.
    pub bytes: u64,
    /// Bytes of metadata objects of the last one.
    pub last_bytes: u64,
    /// Unix second of the last one since the volume was opened.
    pub last_secs: Option<i64>,
}

/// What the replay log cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogMetrics {
    /// How long writes into the log's files took; each is of all records that waited.
    pub appends: Timings,
    /// Bytes of records written.
    pub bytes: u64,
    /// How long flushes of log and staged data to the local disk took.
    pub flushes: Timings,
    /// How long log batches took to get into the store; only in tier `store`.
    pub batches: Timings,
}

/// What uploads cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UploadMetrics {
    /// How long segments took to get into the store, attempts that failed and waits between them included.
    pub timings: Timings,
    /// Bytes of their objects.
    pub bytes: u64,
    /// Attempts that failed.
    pub failures: u64,
}

impl Shared {
    pub(crate) fn metrics(&self) -> VolumeMetrics {
        let (data_cache, disk_cache) = self.frames.hits();
        let pages = self.engine.pages.counts();
        let (under_way, oldest) = self.meter.under_way();
        let checkpoints = &self.checkpoints.meter;
        let last_secs = checkpoints.last_secs.load(Ordering::Relaxed);
        VolumeMetrics {
            ops: self.meter.ops(),
            read_bytes: self.meter.read_bytes(),
            written_bytes: self.meter.written_bytes(),
            under_way,
            oldest_under_way_secs: oldest.map_or(0, |age| age.as_secs()),
            data_cache,
            disk_cache,
            page_disk_cache: self.pages.disk_hits(),
            page_cache: HitCounts { hits: pages.hits, misses: pages.misses },
            checkpoints: CheckpointMetrics {
                timings: checkpoints.timings.timings(),
                failures: checkpoints.failures.load(Ordering::Relaxed),
                bytes: checkpoints.bytes.load(Ordering::Relaxed),
                last_bytes: checkpoints.last_bytes.load(Ordering::Relaxed),
                last_secs: (last_secs != 0).then_some(last_secs),
            },
            log: LogMetrics {
                appends: self.log.appends.timings(),
                bytes: self.log.bytes.load(Ordering::Relaxed),
                flushes: self.flusher.timings.timings(),
                batches: self.commits.timings.timings(),
            },
            uploads: UploadMetrics {
                timings: self.uploads.timings.timings(),
                bytes: self.uploads.bytes.load(Ordering::Relaxed),
                failures: self.uploads.failures.load(Ordering::Relaxed),
            },
        }
    }

    /// Runs a task of the volume; a panic in it is remembered.
    pub(crate) fn spawn_watched(
        self: &Arc<Self>,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let death = Death { shared: Arc::clone(self), name };
        tokio::spawn(async move {
            let _death = death;
            work.await;
        })
    }
}

/// Dropped by a panic, it says so.
struct Death {
    shared: Arc<Shared>,
    name: &'static str,
}

impl Drop for Death {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(volume = %self.shared.meta.name, task = self.name, "a task of the volume panicked");
            self.shared.dead_tasks.lock().push(self.name);
        }
    }
}

impl Volume {
    /// What the volume has done since it was opened, from memory.
    #[must_use]
    pub fn metrics(&self) -> VolumeMetrics {
        self.shared.metrics()
    }

    /// Why the volume is stuck and will not get better by itself, if so: an operation that has been under way for much longer than the
    /// operation timeout allows, or a task that died. A store that is away is no such reason.
    ///
    /// Takes the volume's locks, as operations do: a caller that must not hang asks in a thread of its own.
    #[must_use]
    pub fn stuck(&self) -> Option<String> {
        let shared = &self.shared;
        drop(shared.state.write());
        if let Some(task) = shared.dead_tasks.lock().first() {
            return Some(format!("its {task} task has died"));
        }
        let (_, oldest) = shared.meter.under_way();
        let limit = shared.options.operation_timeout * OVERDUE_FACTOR;
        let overdue = oldest.filter(|age| *age > limit)?;
        Some(format!("an operation has been under way for {} s", overdue.as_secs()))
    }
}

/// An operation may wait for the store more than once, each time as long as the operation timeout: for room and then for its commit.
const OVERDUE_FACTOR: u32 = 2;
