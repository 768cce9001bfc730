//! Numbers of volumes since each was opened, from which a reader makes rates: two answers and the time between them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::LastingProblem;
use super::store_requests::Cost;
use super::volume::{EngineStatus, VolumeState};

/// Numbers of all volumes at one moment, from memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// Unix milliseconds.
    pub time_ms: i64,
    /// Unix second since when this process counts.
    pub since: i64,
    /// Upper bounds of the classes of times of operations, in microseconds; one more class takes the rest.
    pub bounds_micros: Vec<u64>,
    /// Upper bounds of the classes of times of requests, in microseconds; one more class takes the rest.
    pub store_bounds_micros: Vec<u64>,
    /// By name.
    pub volumes: Vec<VolumeStats>,
    /// Memory that all volumes may use.
    pub memory_budget: u64,
    /// About what the requests since the start cost; none without a price table.
    pub cost: Option<Cost>,
    /// What is wrong and lasts.
    pub problems: Vec<LastingProblem>,
}

/// Numbers of one volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VolumeStats {
    /// Name on this machine.
    pub name: String,
    /// Where it is in its life.
    pub state: VolumeState,
    /// The directory that shows it.
    pub mount_point: Option<String>,
    /// Whether another owner has the volume.
    pub fenced: bool,
    /// Whether its uploads are held.
    pub paused: bool,
    /// The engine's account, if it is open.
    pub status: Option<EngineStatus>,
    /// What it has done since it was opened, if it is open.
    pub metrics: Option<EngineMetrics>,
    /// Requests to its store, by kind.
    pub requests: Vec<KindStats>,
}

/// Requests of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KindStats {
    /// "put", "get", "head", "list", "delete".
    pub kind: String,
    /// How many have ended.
    pub count: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Payload moved.
    pub bytes: u64,
    /// How long they took.
    pub timings: Timings,
}

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Timings {
    /// How often, by class.
    pub classes: Vec<u64>,
    /// All the time together, in nanoseconds.
    pub nanos: u64,
}

/// How often a cache had what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HitCounts {
    /// It was there.
    pub hits: u64,
    /// It was not.
    pub misses: u64,
}

/// Operations of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpStats {
    /// Such as "read".
    pub op: String,
    /// Those that succeeded.
    pub ok: u64,
    /// Those that failed, by kind of error.
    pub failed: Vec<FailedOps>,
    /// How long they took.
    pub timings: Timings,
}

/// Operations that failed in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedOps {
    /// Such as "not_found".
    pub kind: String,
    /// How many.
    pub count: u64,
}

/// What an open volume has done. The fields are those of the engine's metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineMetrics {
    /// Operations of programs, by kind; only kinds that there were.
    pub ops: Vec<OpStats>,
    /// Bytes that programs have read.
    pub read_bytes: u64,
    /// Bytes that programs have written.
    pub written_bytes: u64,
    /// Operations under way, without waits for locks.
    pub under_way: u64,
    /// Seconds for which the oldest of them has been under way.
    pub oldest_under_way_secs: u64,
    /// Frames of stored file data: whether they were in memory.
    pub data_cache: HitCounts,
    /// Frames that were not in memory: whether they were on the local disk.
    pub disk_cache: HitCounts,
    /// Metadata pages that were not in memory: whether they were on the local disk.
    pub page_disk_cache: HitCounts,
    /// Metadata pages, of all volumes: whether they were in memory.
    pub page_cache: HitCounts,
    /// Checkpoints.
    pub checkpoints: CheckpointStats,
    /// The replay log.
    pub log: LogStats,
    /// Segments on their way into the store.
    pub uploads: UploadStats,
}

/// What checkpoints cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckpointStats {
    /// How long they took.
    pub timings: Timings,
    /// Those that failed.
    pub failures: u64,
    /// Bytes of metadata written.
    pub bytes: u64,
    /// Bytes of metadata of the last one.
    pub last_bytes: u64,
    /// Unix second of the last one since the volume was opened.
    pub last_secs: Option<i64>,
}

/// What the replay log cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogStats {
    /// How long writes into its files took.
    pub appends: Timings,
    /// Bytes of records.
    pub bytes: u64,
    /// How long flushes to the local disk took.
    pub flushes: Timings,
    /// How long log batches took to get into the store; only in tier `store`.
    pub batches: Timings,
}

/// What uploads cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadStats {
    /// How long segments took to get into the store.
    pub timings: Timings,
    /// Bytes of their objects.
    pub bytes: u64,
    /// Attempts that failed.
    pub failures: u64,
}
