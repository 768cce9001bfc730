//! Staged segments as a queue that people look at: what waits, what was tried, and what may go although uploads are held.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{SegState, StagedSegment, Staging};
use crate::error::Error;
use crate::types::{Ino, SegmentId};
use crate::volume::queue::{QueuedSegment, UploadStep};

impl StagedSegment {
    /// Notes that its object is being sent.
    pub(crate) fn note_attempt(&self) {
        let mut state = self.state.lock();
        state.attempts = state.attempts.saturating_add(1);
        state.failure = None;
    }

    /// Notes why sending its object failed.
    pub(crate) fn note_failure(&self, error: &Error) {
        self.state.lock().failure = Some(error.to_string());
    }
}

impl SegState {
    fn queued(&self, id: SegmentId, waits: bool) -> QueuedSegment {
        let step = match (&self.uploaded, self.sealed) {
            (Some(_), _) => UploadStep::Done,
            (None, false) => UploadStep::Open,
            (None, true) if waits && self.attempts == 0 => UploadStep::Sealed,
            (None, true) if waits || self.failure.is_some() => UploadStep::Retrying,
            (None, true) => UploadStep::Uploading,
        };
        let mut files: BTreeMap<Ino, u64> = BTreeMap::new();
        for slot in self.slots.iter().filter(|s| !s.dropped && s.filled > 0) {
            *files.entry(slot.ino).or_default() += u64::from(slot.filled);
        }
        QueuedSegment {
            id,
            bytes: self.bytes,
            step,
            released: self.released,
            attempts: self.attempts,
            last_error: self.failure.clone(),
            files: files.into_iter().collect(),
        }
    }
}

impl Staging {
    /// Takes one sealed segment to upload; while uploads are `held`, only one that was released by itself.
    pub(crate) fn next_to_upload(&self, held: bool) -> Option<Arc<StagedSegment>> {
        let mut inner = self.inner.lock();
        let at = inner.to_upload.iter().position(|s| !held || s.state.lock().released)?;
        Some(inner.to_upload.remove(at))
    }

    /// Whether a sealed segment waits to be taken.
    pub(crate) fn has_to_upload(&self) -> bool {
        !self.inner.lock().to_upload.is_empty()
    }

    /// Gives a segment back whose upload did not come about.
    pub(crate) fn requeue(&self, segment: Arc<StagedSegment>) {
        self.inner.lock().to_upload.insert(0, segment);
        self.sealed.notify_one();
    }

    /// Seals segments at `bytes`, if that is less than the volume's own size.
    pub(crate) fn cap_segment_bytes(&self, bytes: u64) {
        self.segment_bytes_max.store(bytes.min(self.segment_bytes_wanted), Ordering::Relaxed);
    }

    /// Lets a sealed segment go up although uploads are held. Whether it waits for that.
    pub(crate) fn release(&self, id: SegmentId) -> bool {
        let waits = self.inner.lock().to_upload.iter().any(|s| {
            let waits = s.id == id;
            s.state.lock().released |= waits;
            waits
        });
        if waits {
            self.sealed.notify_one();
        }
        waits
    }

    /// What is not covered by a head yet, oldest first.
    pub(crate) fn queue(&self) -> Vec<QueuedSegment> {
        let inner = self.inner.lock();
        let waits = |s: &Arc<StagedSegment>| inner.to_upload.iter().any(|w| Arc::ptr_eq(w, s));
        inner.all.values().map(|s| s.state.lock().queued(s.id, waits(s))).collect()
    }
}
