//! Which operating system's numbers and rules a table means.
//!
//! Tables that differ between the two systems take the system as an argument, so that each can be tested on the other.

/// A system whose kernel speaks the FUSE protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "a build for one system makes none of the other's values"))]
pub(crate) enum System {
    /// Linux.
    Linux,
    /// macOS, through macFUSE.
    MacOs,
}

/// The system that this was built for.
pub(crate) const HERE: System = if cfg!(target_os = "macos") { System::MacOs } else { System::Linux };
