//! The checks before a mount. Each failure is a sentence that says what to do.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proxyfs_core::{Error, ErrorKind, Result};
use tracing::warn;

use super::device;
use super::install;
use super::mountinfo;
use crate::mount::Force;
use crate::options::{LockScope, MountOptions};
use crate::place;

/// What the Finder leaves behind in a directory that is otherwise empty.
const LITTER: &[&str] = &[".DS_Store", ".localized"];

/// Checks everything and returns the mount point without symlinks. The mount that a dead process left there is removed.
///
/// # Errors
/// `NotFound`, `NotADirectory`, `NotEmpty`, `Denied` and `Busy` for the mount point, `Config` for the machine.
pub(crate) fn check(mount_point: &Path, options: &MountOptions) -> Result<PathBuf> {
    install::find(Path::new("/"))?;
    if options.locks == LockScope::FileSystem {
        return Err(Error::new(
            ErrorKind::Config,
            "on macOS the kernel keeps all locks; mount without locks of the file system",
        ));
    }
    let mount_point = place::resolve(mount_point, is_stale)?;
    clear_stale(&mount_point)?;
    place::check_directory(&mount_point, options, LITTER)?;
    check_owner(&mount_point)?;
    Ok(mount_point)
}

/// What macOS says of a mount whose server has died.
fn is_stale(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ENOTCONN))
}

/// Refuses a mount point in use; removes a dead mount.
fn clear_stale(mount_point: &Path) -> Result<()> {
    let shown = mount_point.display();
    let table = |e| Error::with_source(ErrorKind::Io, "cannot read the table of mounts", e);
    while let Some(mount) = mountinfo::top_mount(mount_point).map_err(table)? {
        let dead = mount.is_fuse() && fs::read_dir(mount_point).is_err_and(|e| is_stale(&e));
        if !dead {
            let kind = mount.fs_type;
            return Err(Error::new(
                ErrorKind::Busy,
                format!("{shown} is a mount point already ({kind}); unmount it first or choose another directory"),
            ));
        }
        warn!("a mount whose process had died was left on {shown}; removing it");
        device::detach(mount_point, Force::Detach).map_err(|e| {
            let advice = format!("try `diskutil unmount force \"{shown}\"`");
            e.context_prefix(&format!("a dead mount is left on {shown} and cannot be removed; {advice}"))
        })?;
    }
    Ok(())
}

/// macOS lets users mount only on directories of their own.
fn check_owner(mount_point: &Path) -> Result<()> {
    let us = device::user();
    let owner = fs::metadata(mount_point).map_or(us, |at| at.uid());
    if us == 0 || us == owner {
        return Ok(());
    }
    let shown = mount_point.display();
    let text =
        format!("the mount point {shown} belongs to another user; choose a directory of your own, or mount as root");
    Err(Error::new(ErrorKind::Denied, text))
}
