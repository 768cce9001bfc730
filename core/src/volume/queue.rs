//! What is on its way to the store, and the hand on it: look, hold, let go on, try again.
//!
//! Owns what is shown and asked; the order and the bytes are staging's and the uploader's. Holding keeps new segments of file data from
//! being sent; one that is being sent goes on, and so does metadata. Nothing that was written is ever dropped here.

use crate::types::{Ino, SegmentId};
use crate::volume::Volume;

/// Where a segment is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadStep {
    /// It still takes data.
    Open,
    /// It waits for its turn.
    Sealed,
    /// It is being built or sent.
    Uploading,
    /// Its last attempt failed; another follows.
    Retrying,
    /// It is in the store, and its file goes when a head covers it.
    Done,
}

/// A segment of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedSegment {
    /// Names it.
    pub id: SegmentId,
    /// Bytes of file data in it.
    pub bytes: u64,
    /// Where it is.
    pub step: UploadStep,
    /// Whether it goes although uploads are held.
    pub released: bool,
    /// Times that it was sent.
    pub attempts: u32,
    /// Why the last time failed, until the next begins.
    pub last_error: Option<String>,
    /// Files with data in it, and how many bytes of each.
    pub files: Vec<(Ino, u64)>,
}

impl Volume {
    /// What is not in the store yet or not covered by a head, oldest first.
    #[must_use]
    pub fn queue(&self) -> Vec<QueuedSegment> {
        self.shared.staging.queue()
    }

    /// Holds uploads of file data, or lets them go on. Segments being sent are not cut off.
    pub fn hold_uploads(&self, held: bool) {
        self.shared.uploads.hold(held);
        self.shared.staging.sealed.notify_one();
    }

    /// Whether uploads are held.
    #[must_use]
    pub fn holds_uploads(&self) -> bool {
        self.shared.uploads.is_held()
    }

    /// Tries again now whatever waits before another attempt.
    pub fn retry_now(&self) {
        self.shared.uploads.retry_now();
    }

    /// Lets one segment go up although uploads are held; whether it waited for that.
    pub fn release_upload(&self, id: SegmentId) -> bool {
        self.shared.staging.release(id)
    }
}
