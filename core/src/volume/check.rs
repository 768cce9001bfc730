//! Checking a volume that is open.
//!
//! Owns the order: stop deletions, bring everything into a head, check that head. Operations go on meanwhile; the check sees the
//! volume as of its checkpoint.

use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::fsck::{FsckOptions, FsckReport, check_volume};
use crate::volume::{Shared, Volume};

/// Keeps dead objects from being deleted while it lives.
struct Hold<'s>(&'s Shared);

impl<'s> Hold<'s> {
    fn new(shared: &'s Shared) -> Self {
        shared.deletions_held.fetch_add(1, Ordering::AcqRel);
        Self(shared)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.deletions_held.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Volume {
    /// Checks the volume as it is now: takes a checkpoint, unless the volume is read-only or takes no changes any more, and checks its
    /// head. Nothing is deleted from the store meanwhile.
    ///
    /// # Errors
    /// As [`Volume::checkpoint`] and [`check_volume`].
    pub async fn check(&self, options: &FsckOptions) -> Result<FsckReport> {
        let _hold = Hold::new(&self.shared);
        if !self.shared.options.read_only && self.shared.state.read().check_writable().is_ok() {
            self.checkpoint().await?;
        }
        check_volume(&self.shared.storage.store, options).await
    }
}
