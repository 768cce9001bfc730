//! What the systems do differently and this program needs of each: signals, users, private files, a process's streams.
//!
//! One file a system, with the same functions in each; what to do with them is decided by the callers. How a volume is shown is in
//! [`crate::adapter`], how a service is run in `service` and its siblings.

#[cfg(unix)]
#[path = "sys/unix.rs"]
mod this;
#[cfg(windows)]
#[path = "sys/windows.rs"]
mod this;

pub(crate) use this::*;

/// What somebody outside asks of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// To end.
    Stop,
    /// To read its configuration anew; a process without one ends, as its terminal is gone.
    Reload,
}
