//! A test double of WinFsp's kernel driver.
//!
//! The real user-mode library (winfsp-x64.dll) is loaded, and of its imports those through which it talks to the kernel are redirected
//! to this crate ([`install()`]). So the library's own threads, access checks, operations and error mapping run above a file system under
//! test, and requests come from here: [`Device`] gives them to the library's threads as the driver does, and collects answers, also
//! those that come later, and notifications.
//!
//! Played besides the transport ([`Device`], [`Opened`]): one node for each name that is open, share modes, delete-on-close and "delete
//! pending", POSIX deletion, which cleanup flags go out, refusal to rename onto what is open unless it is asked for in the POSIX way, the
//! order Cleanup then Close, Overwrite after a create that says so, following reparse points that the library resolves, pattern matching of
//! listings, cancellation of requests that no thread has taken.
//!
//! Played besides, since Wine answers it with a stand-in that no program can read: the descriptor of a new file (`inherit`).
//!
//! Not played: caching of data and information, oplocks, byte-range locks, memory-mapped files, the timing of Cleanup and Close, the
//! I/O manager's own path checks. What depends on them cannot be shown here.

#![cfg(windows)]

mod device;
mod hooks;
mod inherit;
mod install;
mod nodes;
mod opened;
mod request;
pub mod status;

pub use device::{Answer, Device, Notification, Pending};
pub use hooks::dos_devices;
pub use install::install;
pub use opened::{Entry, Opened, Reading, Times};
pub use request::{Create, Request, disposition, option, right, share};
