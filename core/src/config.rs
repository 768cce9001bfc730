//! What a caller may set: per process and per open volume.
//!
//! Owns the options with their defaults and units. Parsing of files and flags is the program's; numbers come from `limits`.

use std::time::Duration;

use crate::fs::Caller;
use crate::limits;

/// Options of the process-wide engine that all volumes share.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Memory for caches, dirty metadata and upload buffers of all volumes together, in bytes.
    pub memory_budget: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { memory_budget: limits::MEMORY_BUDGET_DEFAULT }
    }
}

/// One budget of local disk for all volumes of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskBudget {
    /// For data on its way to the store; then writers wait.
    pub staging: u64,
    /// For caching what was read or sent, split by the volumes' weights; 0 turns it off.
    pub cache: u64,
}

/// When a mutation's reply waits for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplayLogSync {
    /// Each reply waits for the flush of its record: a power loss loses nothing that was acknowledged.
    Always,
    /// A flush is kept in flight while records are pending; a power loss can lose the last few milliseconds.
    #[default]
    Pipelined,
}

/// Options of one open volume.
#[derive(Clone, Debug)]
pub struct VolumeOptions {
    /// Open without claiming the volume; every mutation is refused.
    pub read_only: bool,
    /// Claim the volume although another owner has not released it.
    pub take_over: bool,
    /// Name of this owner in messages, usually the host's name.
    pub owner: String,
    /// Whom the root directory belongs to if this is the first mount of a new volume.
    pub root_owner: Caller,
    /// Accept a store without atomic conditional put, waiting this long before acting on a claim. `None` refuses.
    pub settle: Option<Duration>,
    /// See [`ReplayLogSync`].
    pub replay_log_sync: ReplayLogSync,
    /// A segment is sealed at this many bytes.
    pub max_flush_size: u64,
    /// A segment with data is sealed at this age.
    pub max_flush_time: Duration,
    /// Time between checkpoints while something is dirty.
    pub checkpoint_interval: Duration,
    /// Deadline of whatever waits on the store.
    pub operation_timeout: Duration,
    /// Largest read-ahead window of a handle in bytes; 0 turns read-ahead off.
    pub read_ahead_max: u64,
    /// Share of the read cache relative to other volumes.
    pub read_cache_weight: u32,
    /// Segments uploaded at once.
    pub uploads_max: usize,
    /// Bytes that staging may take on the local disk before writers wait.
    pub disk_budget: u64,
    /// Bytes that the cache on disk may take; 0 turns it off.
    pub disk_cache_bytes: u64,
    /// Time between looks for a newer checkpoint, on a volume that is open read-only; zero turns following off.
    pub follow_interval: Duration,
    /// Time between an object's death and its deletion.
    pub delete_grace: Duration,
}

impl Default for VolumeOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            take_over: false,
            owner: String::from("unnamed"),
            root_owner: Caller::default(),
            settle: None,
            replay_log_sync: ReplayLogSync::default(),
            max_flush_size: limits::MAX_FLUSH_SIZE_DEFAULT,
            max_flush_time: limits::MAX_FLUSH_TIME_DEFAULT,
            checkpoint_interval: limits::CHECKPOINT_INTERVAL_DEFAULT,
            operation_timeout: limits::OPERATION_TIMEOUT_DEFAULT,
            read_ahead_max: limits::READ_AHEAD_MAX_DEFAULT,
            read_cache_weight: 1,
            uploads_max: limits::UPLOADS_MAX_DEFAULT,
            disk_budget: limits::DISK_BUDGET_DEFAULT,
            disk_cache_bytes: limits::DISK_CACHE_BYTES_DEFAULT,
            follow_interval: limits::FOLLOW_INTERVAL_DEFAULT,
            delete_grace: limits::DELETE_GRACE_DEFAULT,
        }
    }
}
