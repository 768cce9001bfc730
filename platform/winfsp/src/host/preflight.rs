//! What is checked before a mount.

use std::path::Path;

use proxyfs_core::{Error, ErrorKind, Result};
use windows_sys::Win32::Storage::FileSystem::GetLogicalDrives;

use super::api::Api;
use crate::options::{MountOptions, MountPoint};

/// Checks that a mount is possible at `point`.
pub(super) fn check(point: &MountPoint, options: &MountOptions) -> Result<&'static Api> {
    options.validate(point)?;
    let api = Api::get()?;
    match point {
        MountPoint::Drive(letter) => drive_is_free(*letter)?,
        MountPoint::Directory(path) => directory_is_free(path)?,
        MountPoint::NextFree | MountPoint::Unc { .. } => {}
    }
    Ok(api)
}

fn drive_is_free(letter: char) -> Result<()> {
    let upper = letter.to_ascii_uppercase();
    if !upper.is_ascii_uppercase() {
        let why = format!("{letter:?} is no drive letter: name one from A to Z, or * for the last free one");
        return Err(Error::new(ErrorKind::InvalidArgument, why));
    }
    // SAFETY: it takes nothing and only looks.
    let drives = unsafe { GetLogicalDrives() };
    if drives & 1 << (upper as u32 - 'A' as u32) == 0 {
        return Ok(());
    }
    let why = format!("the drive letter {upper}: is in use: choose another, or * for the last free one");
    Err(Error::new(ErrorKind::Busy, why))
}

fn directory_is_free(path: &Path) -> Result<()> {
    let shown = path.display();
    if std::fs::symlink_metadata(path).is_ok() {
        let why = format!(
            "{shown} is there already, and a mount makes the directory itself: remove it, or choose another name"
        );
        return Err(Error::new(ErrorKind::Busy, why));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if parent.is_none_or(Path::is_dir) {
        return Ok(());
    }
    let why = format!("the directory in which {shown} is to be shown is not there: make it first");
    Err(Error::new(ErrorKind::NotFound, why))
}
