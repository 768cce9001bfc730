//! What is particular to macOS: mounting through macFUSE's own mount tool, unmounting, the table of mounts, the checks before.
//!
//! The tool is what macFUSE's libraries run too. It opens the device, hands it over through a socket, mounts, and says how that
//! went. So nothing of macFUSE is linked or loaded into this process, and a machine without it is told so when it mounts something.
//!
//! What needs no macOS ([`install`], [`words`]) is built for tests on every system.

#[cfg(target_os = "macos")]
pub(crate) mod device;
pub(crate) mod install;
#[cfg(target_os = "macos")]
pub(crate) mod mountinfo;
#[cfg(target_os = "macos")]
pub(crate) mod preflight;
pub(crate) mod words;
