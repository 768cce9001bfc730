//! The FUSE adapter: mounts any [`proxyfs_core::fs::FileSystem`] with the `fuser` crate.
//!
//! It translates and replies, and decides nothing about the meaning of a file system. [`mount()`] is the way in: it checks the
//! mount point, mounts (as root, or through `fusermount3`), and serves requests on a few FUSE threads. Each request is polled
//! once on its FUSE thread; one that has to wait goes on as a task, so that a slow store never blocks the threads.
//!
//! What the protocol crate does not pass on, and what follows, is written where it matters: [`adapter`] (set-user-id bits,
//! O_TMPFILE, birth times), [`options::LockScope`] (locks and signals).

pub mod adapter;
mod convert;
mod dispatch;
mod errno;
mod features;
mod invalidate;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod mount;
pub mod options;

pub use adapter::Adapter;
pub use invalidate::Invalidator;
#[cfg(target_os = "linux")]
pub use mount::{Mounted, UnmountKind, check, mount};
pub use options::{CachePolicy, LockScope, MountOptions};
