//! Whether the local disk can take more, asked seldom.
//!
//! Owns the reserve: what staging and cache leave free, so that the replay log and the local copies of heads, without which nothing
//! would go up and free space, can always be written. Other programs fill the disk too, so an answer holds for a while only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::env::LocalDir;

/// Bytes after which the disk is asked again, at the latest.
const ASK_AGAIN_BYTES: u64 = 16 << 20;
/// Share of the free bytes after which the disk is asked again, as a divisor.
const ASK_AGAIN_SHARE: u64 = 8;

/// What is left of the disk.
#[derive(Debug)]
pub(crate) struct DiskRoom {
    dir: Arc<dyn LocalDir>,
    reserve: u64,
    /// Bytes that may be written before the disk is asked again.
    left: AtomicU64,
}

impl DiskRoom {
    /// Room on the disk of `dir`, of which `reserve` bytes stay free.
    pub(crate) fn new(dir: Arc<dyn LocalDir>, reserve: u64) -> Self {
        Self { dir, reserve, left: AtomicU64::new(0) }
    }

    /// Whether the disk takes `bytes` more, and notes that they are coming. A disk that cannot say counts as one that does.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let spend = |left: u64| left.checked_sub(bytes);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok() {
            return true;
        }
        let Ok(free) = self.dir.free_bytes() else { return true };
        let usable = free.saturating_sub(self.reserve);
        let left = usable.checked_sub(bytes);
        self.left.store((left.unwrap_or(0) / ASK_AGAIN_SHARE).min(ASK_AGAIN_BYTES), Ordering::Relaxed);
        left.is_some()
    }
}
