//! The layer over WinFsp: its callbacks as calls of [`crate::drive`], and the life of a mount.
//!
//! WinFsp's library is loaded when it is first needed, from where it is installed; a program that has this layer starts without it.
//! The library's threads take requests from the driver and come here. What may wait for the store never keeps them: reads, writes
//! and listings are answered later when they are not ready at once (`data`, `dir`), and of all other requests only half of the
//! threads ever run one, the rest hand it to a thread of its own (`operation`).

mod api;
mod callbacks;
mod dispatch;
mod files;
mod identity;
mod mount;
mod notify;
mod operation;
mod params;
mod preflight;
mod reply;
mod volume;

pub use identity::process_identity;
pub use mount::{Mounted, UnmountKind, check, mount};
pub use notify::Notifier;
