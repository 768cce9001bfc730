//! What is at a place of Windows, when no process of ours answers for it.
//!
//! Asks for the letters in use only, never a file system. There are no dead mounts to take away: WinFsp's driver takes a drive away with the
//! process that serves it.

use std::io;
use std::path::{Path, PathBuf};

use proxyfs_windows::drives;

use crate::sys::absolute_place;

/// The place as mounts name it.
///
/// # Errors
/// When it is no path.
pub(crate) fn resolve(place: &Path) -> io::Result<PathBuf> {
    absolute_place(place)
}

/// What is there, if anything is: some drive.
///
/// # Errors
/// None.
#[expect(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn type_at(place: &Path) -> io::Result<Option<String>> {
    let text = place.to_string_lossy();
    let drive = text.strip_suffix(':').and_then(|letter| letter.chars().next());
    Ok(drive.filter(|letter| drives::in_use().contains(letter)).map(|_| "another drive".to_owned()))
}

/// Whether a type is ours: those that are answer for themselves.
pub(crate) fn is_ours(_kind: &str) -> bool {
    false
}

/// Nothing to take away.
///
/// # Errors
/// Always.
pub(crate) fn take_away(place: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no volume is mounted at {}", place.display())))
}
