//! Every bound and default of the engine in one place, with where its number comes from.
//!
//! Owns numbers only. What a caller may set is in `config`.

use std::time::Duration;

/// Default slot and frame size in bytes: a power of two; one ranged GET of this size costs about as much as a smaller one.
pub const FRAME_BYTES_DEFAULT: u32 = 128 * 1024;

/// Slots of one segment: bounds the location records.
pub const SEGMENT_SLOTS_MAX: u32 = 16_384;

/// Writes that do not go on where the last one ended begin at a multiple of this in a staging file: the block of most file systems.
pub const STAGE_BLOCK_BYTES: u64 = 4096;

/// Room set aside in the staging file of small writes at a time.
pub const STAGE_ROOM_BYTES: usize = 256 << 10;

/// A segment is sealed at this many bytes: large enough that a store's cost per request is spread, small enough to retry.
pub const MAX_FLUSH_SIZE_DEFAULT: u64 = 16 << 20;

/// However many volumes share the memory for uploads, segments are sealed no earlier than at this many bytes.
pub const SHARED_SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// A segment with data is sealed at this age.
pub const MAX_FLUSH_TIME_DEFAULT: Duration = Duration::from_secs(10);

/// Time between checkpoints while something is dirty.
pub const CHECKPOINT_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);

/// Deadline of an operation that waits on the store.
pub const OPERATION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// Heads kept, and so the checkpoints that a damaged newest head can fall back to.
pub const HEADS_KEPT: u64 = 8;

/// Time between an object's death and its deletion: longer than a reader needs between a head and a page.
pub const DELETE_GRACE_DEFAULT: Duration = Duration::from_secs(600);

/// One memory budget for caches, dirty metadata and upload buffers.
pub const MEMORY_BUDGET_DEFAULT: u64 = 512 << 20;

/// One disk budget for staging (and the cache on disk).
pub const DISK_BUDGET_DEFAULT: u64 = 16 << 30;

/// Largest window of adaptive read-ahead, per handle.
pub const READ_AHEAD_MAX_DEFAULT: u64 = 32 << 20;

/// First window of adaptive read-ahead.
pub const READ_AHEAD_FIRST: u64 = 128 << 10;

/// Largest single ranged GET of the read path: several of them run in parallel.
pub const GET_BYTES_MAX: u64 = 4 << 20;

/// Fetched bytes that may wait for the cache on disk, at most.
pub const CACHE_QUEUE_BYTES_MAX: u64 = 32 << 20;

/// They are also at most this part of the memory for file data.
pub const CACHE_QUEUE_SHARE: u64 = 4;

/// Bytes of the local disk that staged data leaves free: for a few log files and copies of heads, without which nothing could go up.
pub const DISK_RESERVE_BYTES: u64 = 8 << 20;

/// Bytes of the local disk that the cache leaves free, so that it is staged data that has the last of it.
pub const CACHE_RESERVE_BYTES: u64 = 64 << 20;

/// Uploads of segments in flight at once; each holds its object in memory.
pub const UPLOADS_MAX_DEFAULT: usize = 4;

/// Files that may have a segment of their own open at once; the least recent one is sealed when another starts.
pub const STREAM_SEGMENTS_MAX: usize = 4;

/// A file that appends this many bytes in sequence gets segments of its own.
pub const STREAM_BYTES_MIN: u64 = 1 << 20;

/// Meta objects are cut at about this size.
pub const META_OBJECT_BYTES: usize = 16 << 20;

/// Room set aside in the local log at a time, written as zeros so that a full disk shows before an operation is accepted.
pub const LOG_ROOM_BYTES: u64 = 1 << 20;

/// Extents removed in one step when an orphan is reaped: bounds the log record.
pub const REAP_EXTENTS_MAX: usize = 2_048;

/// Remote names: heads are listed in pages; this many are probed forward past a listing that may lag.
pub const HEAD_PROBE_MAX: u64 = 1_000_000;

/// Default size of the cache on disk.
pub const DISK_CACHE_BYTES_DEFAULT: u64 = 4 << 30;

/// Bytes fetched around a page that is not resident: its neighbours in key order lie next to it.
pub const META_READ_AROUND: u64 = 256 << 10;

/// Share of the memory budget for clean metadata pages, in percent.
pub const PAGE_CACHE_PERCENT: u64 = 25;

/// Share of the memory budget for file data, in percent.
pub const FRAME_CACHE_PERCENT: u64 = 40;

/// Share of the memory budget at which dirty metadata asks for a checkpoint, in percent; at twice that writers wait.
pub const DIRTY_META_PERCENT: u64 = 12;

/// Pending deletes looked at in one collection.
pub const COLLECT_MAX: usize = 1_000;

/// First wait after a failed background store operation.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(200);

/// Longest wait between attempts of a background store operation.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Dirty metadata that any volume may have, whatever the budget: a few of the largest pages and the paths to them.
pub const DIRTY_META_MIN: u64 = 1 << 20;

/// Wait before a segment is uploaded afresh after a failure that was not the store's.
pub const BACKOFF_UPLOAD: Duration = Duration::from_secs(1);

/// Operations replayed at a mount from which on a checkpoint is asked for at once: a server that is killed again and again before its
/// first checkpoint would replay a longer log each time.
pub const REPLAYED_MAX: u64 = 10_000;

/// Seconds that a listing may lag behind a put: a head is deleted only when its successors are older than this, so that a listing
/// always shows some head to go on from.
pub const LISTING_LAG_SECS: i64 = 60;

/// Wait for the store at the mount of a volume that this computer knows, before it is mounted from local copies.
pub const MOUNT_PATIENCE: Duration = Duration::from_secs(5);

/// Files of late that a volume remembers.
pub const RECENT_FILES_MAX: usize = 100;

/// Time between a follower's looks for a newer checkpoint: that of checkpoints themselves.
pub const FOLLOW_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);

/// Every so many looks a follower lists the heads instead of asking for the next number only: a writer whose clock jumps may delete
/// heads early.
pub const FOLLOW_LIST_EVERY: u32 = 60;

/// Pages that may differ between two checkpoints before a follower forgets everything instead of looking for what changed; each is
/// some 32 KiB of memory while they are compared.
pub const FOLLOW_PAGES_MAX: usize = 512;

/// Changes that a follower lists one by one.
pub const FOLLOW_CHANGES_MAX: usize = 10_000;

/// Names of the root directory by which a kernel is told to forget everything.
pub const FOLLOW_NAMES_MAX: usize = 10_000;

/// Memory of the companion with a volume's local-only files, out of the process's budget: they are few and small.
pub const LOCAL_ONLY_MEMORY_BYTES: u64 = 4 << 20;
/// Its segments are sealed at this many bytes, so that one fits into the part of its memory that is for uploads.
pub const LOCAL_ONLY_FLUSH_BYTES: u64 = 1 << 20;
/// Local disk for its data on the way to its store, which is a directory of the same disk.
pub const LOCAL_ONLY_DISK_BYTES: u64 = 64 << 20;
/// Bytes copied at a time when what a lost term left is handed over.
pub const HANDOVER_CHUNK_BYTES: u64 = 1 << 20;
