//! How a volume is shown to this system: as a FUSE mount, on Windows as a drive of WinFsp.
//!
//! Owns what a session's settings mean for the adapter; the life of the mount is in [`crate::session`] and in the daemon.

#[cfg(unix)]
#[path = "adapter/fuse.rs"]
mod this;
#[cfg(windows)]
#[path = "adapter/winfsp.rs"]
mod this;

use std::time::Duration;

pub(crate) use this::{Mounted, UnmountKind, check, mount};

/// The most that a read-only mount's names and attributes may be older than the checkpoint that is shown. The kernel is told what
/// changed; this is for an answer that was under way just then, and for a change that is too large to be told.
const FOLLOWER_TTL: Duration = Duration::from_secs(10);
