//! The FUSE adapter: mounts any [`proxyfs_core::fs::FileSystem`] with the `fuser` crate, on Linux and on macOS (macFUSE).
//!
//! It translates and replies, and decides nothing about the meaning of a file system. [`mount()`] is the way in: it checks the
//! mount point, mounts (as root, through `fusermount3`, or through macFUSE's mount tool), and serves requests on a few FUSE threads.
//! Each request is polled once on its FUSE thread; one that has to wait goes on as a task, so that a slow store never blocks the
//! threads.
//!
//! What the protocol crate does not pass on, and what follows, is written where it matters: [`adapter`] (set-user-id bits,
//! O_TMPFILE, birth times), [`options::LockScope`] (locks and signals), `features` (what macFUSE may be asked for). Nothing of macFUSE
//! is linked; it is looked for when something is to be mounted.

pub mod adapter;
mod convert;
mod dispatch;
mod errno;
mod features;
mod invalidate;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", test))]
mod macos;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod mount;
pub mod options;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod place;
mod system;
mod xattr;

#[cfg(target_os = "linux")]
use linux as sys;
#[cfg(target_os = "macos")]
use macos as sys;

pub use adapter::Adapter;
pub use invalidate::Invalidator;
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub use mount::{Mounted, UnmountKind, check, mount};
pub use options::{CachePolicy, LockScope, MacOptions, MountOptions, Names};
#[cfg(target_os = "macos")]
pub use sys::mountinfo::{Seen, seen_at};
