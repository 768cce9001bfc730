//! An open volume: the file system's state, its history, and the tasks that carry it into the store.
//!
//! Owns the transaction: run an operation on the tree, give it an LSN, queue its record, apply it; reply once the record is in
//! the log. Parts below this file: `log` (replay log), `flush` (group flush), `staging` (bytes not in the store yet), `upload`
//! (segments into the store), `checkpoint` (roots and heads), `claim` and `recover` (mounting), `commit` (sync operations),
//! `collect` (deleting what is dead), `fenced`, `handover` and `held` (what a lost term left), `follow` (a read-only volume that goes with its writer), `read` (the read path), `files` (the file-system interface).
//!
//! Lock order: state, then log queue, then staging, then one segment. None is held across I/O or an await.

mod check;
mod checkpoint;
pub(crate) mod claim;
mod collect;
mod commit;
mod create;
mod fenced;
mod files;
mod flush;
mod follow;
mod frames;
mod handles;
mod handover;
mod held;
mod log;
mod metrics;
pub(crate) mod open;
pub(crate) mod pages;
mod paths;
mod queue;
mod read;
mod recent;
pub(crate) mod recover;
mod repair;
pub(crate) mod staging;
mod state;
mod status;
pub(crate) mod storage;
mod tasks;
mod upload;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::config::{ReplayLogSync, VolumeOptions};
use crate::engine::Engine;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::{DataRef, append_record};
use crate::format::volume::VolumeMeta;
use crate::format::{CaseRule, ClaimId, ObjectKind};
use crate::fs::Caller;
use crate::kv::{KvRead, Miss, OpError, OpResult, Txn};
use crate::locks::LockTable;
use crate::meter::Meter;
use crate::ops::OpCx;
use crate::tree::PinSet;
use crate::types::{Epoch, Ino, Lsn, Nonce, ObjectId, SegmentId};

pub use create::{VolumeSpec, create_volume, read_volume_meta};
pub use handover::Recovered;
pub use held::{Held, held};
pub use metrics::{CheckpointMetrics, LogMetrics, UploadMetrics, VolumeMetrics};
pub use open::CloseReport;
pub use queue::{QueuedSegment, UploadStep};
pub use recent::{RecentFile, RecentOp};
pub use status::{ConnectionState, RecoveredFolder, VolumeStatus};

use handles::Handles;
use state::{Halt, State, Writes};

/// The epoch under which this owner writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) epoch: Epoch,
    pub(crate) claim: ClaimId,
    /// Whether the claim is in the store; not yet after a mount without the store.
    pub(crate) claimed: bool,
}

/// An open volume. Clones share it.
#[derive(Clone)]
pub struct Volume {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volume").field("uuid", &self.shared.meta.uuid).finish_non_exhaustive()
    }
}

/// What all parts of an open volume share.
pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) engine: Arc<Engine>,
    pub(crate) meta: VolumeMeta,
    pub(crate) options: VolumeOptions,
    pub(crate) storage: Arc<storage::Storage>,
    pub(crate) tag: u32,
    pub(crate) disk: Arc<crate::disk_cache::DiskCache>,
    /// What staging may still write.
    pub(crate) disk_room: crate::disk_room::DiskRoom,
    pub(crate) state: RwLock<State>,
    pub(crate) log: Arc<log::LocalLog>,
    pub(crate) staging: Arc<staging::Staging>,
    pub(crate) flusher: Arc<flush::Flusher>,
    pub(crate) pages: pages::PageLoader,
    pub(crate) frames: frames::FrameReader,
    pub(crate) term: RwLock<Term>,
    pub(crate) next_nonce: AtomicU64,
    pub(crate) checkpoints: checkpoint::Checkpoints,
    pub(crate) uploads: upload::Uploads,
    pub(crate) commits: commit::Commits,
    pub(crate) recent: recent::Recent,
    pub(crate) handles: Handles,
    pub(crate) follower: follow::Follower,
    /// Held while what a lost term left is handed over.
    pub(crate) handing_over: tokio::sync::Mutex<()>,
    pub(crate) hand_over_task: Mutex<Option<tokio::task::JoinHandle<()>>>,
    pub(crate) locks: LockTable,
    pub(crate) health: Mutex<status::Health>,
    pub(crate) meter: Arc<Meter>,
    /// Names of tasks of the volume that have panicked.
    pub(crate) dead_tasks: Mutex<Vec<&'static str>>,
    pub(crate) stopping: AtomicBool,
    pub(crate) stop: Notify,
    pub(crate) tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    /// How many checks want dead objects left in the store.
    pub(crate) deletions_held: AtomicUsize,
    /// Signalled when staging or dirty metadata shrank.
    pub(crate) room: Notify,
    /// Whether the claim is in the store.
    pub(crate) claimed: tokio::sync::watch::Sender<bool>,
    /// Whether a checkpoint of this epoch is in the store.
    pub(crate) opened: tokio::sync::watch::Sender<bool>,
}

impl Shared {
    /// Runs `op` as one transaction and returns its value once the record is in the log.
    ///
    /// `op` may run several times, each time on a fresh [`Txn`]; it gets the inode number to use if it creates one.
    pub(crate) async fn transact<T>(
        &self,
        caller: Caller,
        data: &[DataRef],
        op: impl FnMut(&mut Txn<'_>, &OpCx, Ino) -> OpResult<T>,
    ) -> Result<T> {
        let (value, lsn) = self.transact_inner(caller, data, true, op).await?;
        self.logged(lsn).await?;
        if self.options.replay_log_sync == ReplayLogSync::Always {
            self.flusher.durable(lsn).await.inspect_err(|e| self.halt(e.kind(), e.to_string()))?;
        }
        Ok(value)
    }

    /// As [`Shared::transact`], but returns as soon as the record is queued, with its LSN. `dirties`: whether a checkpoint
    /// has a reason to follow.
    pub(crate) async fn transact_inner<T>(
        &self,
        caller: Caller,
        data: &[DataRef],
        dirties: bool,
        mut op: impl FnMut(&mut Txn<'_>, &OpCx, Ino) -> OpResult<T>,
    ) -> Result<(T, Lsn)> {
        let cx = self.op_cx(caller);
        let mut pins = PinSet::new(Arc::clone(&self.engine.pages));
        self.log.ensure_room(ROOM_PER_OPERATION).await?;
        loop {
            let miss = {
                let mut state = self.state.write();
                match self.attempt(&mut state, &cx, data, &mut op) {
                    Ok(done) => {
                        if dirties {
                            state.dirty_lsn = state.last_lsn();
                        }
                        return Ok(done);
                    }
                    Err(OpError::Fs(error)) => return Err(error),
                    Err(OpError::Miss(miss)) => miss,
                }
            };
            self.pages.load(miss, &mut pins).await?;
        }
    }

    fn attempt<T>(
        &self,
        state: &mut State,
        cx: &OpCx,
        data: &[DataRef],
        op: &mut impl FnMut(&mut Txn<'_>, &OpCx, Ino) -> OpResult<T>,
    ) -> OpResult<(T, Lsn)> {
        state.check_writable()?;
        let mut txn = Txn::new(&state.tree);
        let value = op(&mut txn, cx, state.next_ino)?;
        collect::bury_dead_segments(&mut txn, state.next_lsn, cx.now)?;
        let writes = txn.into_writes();
        if writes.is_empty() {
            return Ok((value, state.last_lsn()));
        }
        let lsn = self.commit_writes(state, &writes, data)?;
        Ok((value, lsn))
    }

    /// Gives `writes` an LSN, queues the record and applies them.
    pub(crate) fn commit_writes(&self, state: &mut State, writes: &Writes, data: &[DataRef]) -> OpResult<Lsn> {
        state.prepare(writes)?;
        let lsn = state.next_lsn;
        let mut record = Vec::with_capacity(256);
        append_record(lsn, writes, data, &mut record);
        self.log.append(lsn, &record);
        self.commits.note_record(&record);
        state.next_lsn = lsn.next();
        if let Err(error) = state.apply(writes, &self.staging) {
            state.halted = Some(Halt { kind: ErrorKind::Internal, why: error.to_string() });
            return Err(error.into());
        }
        if state.tree.dirty_bytes() as u64 > self.engine.dirty_meta_max() {
            self.checkpoints.request();
        }
        Ok(lsn)
    }

    /// Runs a read-only operation on the tree, loading pages as needed. `op` may run several times.
    pub(crate) async fn view<T>(&self, mut op: impl FnMut(&dyn KvRead) -> OpResult<T>) -> Result<T> {
        loop {
            match self.view_shown(&mut op).await {
                Err(error) if self.caught_up(&error).await => {}
                other => return other,
            }
        }
    }

    /// As [`Shared::view`], without looking for a newer checkpoint when pages of the one that is shown are gone.
    pub(crate) async fn view_shown<T>(&self, mut op: impl FnMut(&dyn KvRead) -> OpResult<T>) -> Result<T> {
        let mut pins = None;
        loop {
            let miss = {
                let state = self.state.read();
                match op(&state.tree) {
                    Ok(value) => return Ok(value),
                    Err(OpError::Fs(error)) => return Err(error),
                    Err(OpError::Miss(miss)) => miss,
                }
            };
            let pins = pins.get_or_insert_with(|| PinSet::new(Arc::clone(&self.engine.pages)));
            self.pages.load(miss, pins).await?;
        }
    }

    /// Loads one page for a caller that keeps its own pins.
    pub(crate) async fn load(&self, miss: Miss, pins: &mut PinSet) -> Result<()> {
        self.pages.load(miss, pins).await
    }

    pub(crate) fn op_cx(&self, caller: Caller) -> OpCx {
        OpCx { now: self.env.clock.now(), caller, case_insensitive: self.meta.case == CaseRule::Insensitive }
    }

    /// Stops accepting changes, for good. Data already staged stays on disk.
    pub(crate) fn halt(&self, kind: ErrorKind, why: String) {
        let mut state = self.state.write();
        if state.halted.is_none() {
            tracing::error!(volume = %self.meta.name, "volume takes no more changes: {why}");
            state.halted = Some(Halt { kind, why });
        }
        drop(state);
        // Whoever waits looks again, and finds the halt.
        self.stop.notify_waiters();
        self.room.notify_waiters();
        self.uploads.progress.notify_waiters();
    }

    /// Refuses changes on a read-only or halted volume, cheaply.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.options.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the volume is open read-only"));
        }
        self.state.read().check_writable()
    }

    pub(crate) fn new_segment_id(&self) -> SegmentId {
        let ObjectId { epoch, nonce } = self.new_object_id();
        SegmentId { epoch, nonce }
    }

    /// A name never used before: the epoch and the next nonce.
    pub(crate) fn new_object_id(&self) -> ObjectId {
        let nonce = Nonce(self.next_nonce.fetch_add(1, Ordering::Relaxed));
        ObjectId { epoch: self.term.read().epoch, nonce }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Records that object `id` may exist from now on, before it is written.
    pub(crate) async fn intend(&self, kind: ObjectKind, id: ObjectId) -> Result<()> {
        let ((), lsn) = self
            .housekeep_queued(|tx| {
                tx.put(crate::format::keys::intent_key(kind, id), crate::format::intent::encode());
                Ok(())
            })
            .await?;
        self.logged(lsn).await
    }

    /// Returns once record `lsn` is in the log; a log that cannot be written halts the volume.
    pub(crate) async fn logged(&self, lsn: Lsn) -> Result<()> {
        self.log.wait_written(lsn).await.inspect_err(|e| self.local_failure(e))
    }

    /// Halts the volume because its disk failed. A disk that is only full takes the rest once there is room.
    pub(crate) fn local_failure(&self, error: &Error) {
        if error.kind() != ErrorKind::NoSpace {
            self.halt(error.kind(), error.to_string());
        }
    }
}

/// Room in the log that an operation may count on.
const ROOM_PER_OPERATION: u64 = 128 << 10;
