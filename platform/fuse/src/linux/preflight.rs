//! The checks before a mount. Each failure is a sentence that says what to do.
//!
//! Mounting as an ordinary user on a machine that does not let it can hang or fail without a word, so what can be known before
//! is found out before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proxyfs_core::{Error, ErrorKind, Result};
use tracing::warn;

use super::device::{self, DEVICE};
use super::mountinfo;
use crate::mount::Force;
use crate::options::MountOptions;
use crate::place;

/// Where ordinary users are allowed to let others in.
const FUSE_CONF: &str = "/etc/fuse.conf";

/// Checks everything and returns the mount point without symlinks. The mount that a dead process left there is removed.
///
/// # Errors
/// `NotFound`, `NotADirectory`, `NotEmpty` and `Busy` for the mount point, `Denied` and `Config` for the machine.
pub(crate) fn check(mount_point: &Path, options: &MountOptions) -> Result<PathBuf> {
    check_machine(options)?;
    let mount_point = place::resolve(mount_point, is_stale)?;
    clear_stale(&mount_point)?;
    place::check_directory(&mount_point, options, &[])?;
    Ok(mount_point)
}

/// What the machine and the user must have.
fn check_machine(options: &MountOptions) -> Result<()> {
    check_device(device::open_device().err())?;
    if device::is_root() {
        return Ok(());
    }
    if device::helper().is_none() {
        return Err(device::helper_missing());
    }
    if options.allow_other && !allows_other(&fs::read_to_string(FUSE_CONF).unwrap_or_default()) {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "`allow_other` needs the line `user_allow_other` in {FUSE_CONF}; add it as root, or mount without it"
            ),
        ));
    }
    Ok(())
}

/// Judges how opening the device ended.
fn check_device(error: Option<io::Error>) -> Result<()> {
    let Some(error) = error else { return Ok(()) };
    let (kind, advice) = match error.kind() {
        io::ErrorKind::NotFound => (
            ErrorKind::Config,
            "is missing; load the kernel module with `modprobe fuse`, or let the container have the device",
        ),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Denied,
            "may not be opened by this user; mount as root, or let users in with `chmod 666 /dev/fuse`",
        ),
        _ => (ErrorKind::Io, "cannot be opened"),
    };
    Err(Error::with_source(kind, format!("{DEVICE} {advice}"), error))
}

/// Whether a fuse.conf has the line `user_allow_other`.
fn allows_other(conf: &str) -> bool {
    conf.lines().any(|line| line.trim() == "user_allow_other")
}

/// What the kernel says of a FUSE mount whose server has died.
fn is_stale(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOTCONN)
}

/// Whether nobody serves a FUSE mount any more. Asked by statfs, which the kernel never answers from what it remembers: attributes of a
/// mount are served for as long as they may be, whether or not its process lives.
fn is_dead(mount_point: &Path) -> bool {
    rustix::fs::statvfs(mount_point).is_err_and(|e| is_stale(&e.into()))
}

/// Refuses a mount point in use; removes a dead FUSE mount.
fn clear_stale(mount_point: &Path) -> Result<()> {
    let shown = mount_point.display();
    let table = |e| Error::with_source(ErrorKind::Io, "cannot read the table of mounts", e);
    while let Some(mount) = mountinfo::top_mount(mount_point).map_err(table)? {
        if mount.is_automount() {
            return Ok(());
        }
        let dead = mount.is_fuse() && is_dead(mount_point);
        if !dead {
            return Err(Error::new(
                ErrorKind::Busy,
                format!(
                    "{shown} is a mount point already ({}); unmount it first or choose another directory",
                    mount.fs_type
                ),
            ));
        }
        warn!("a mount whose process had died was left on {shown}; removing it");
        device::detach(mount_point, Force::Detach).map_err(|e| {
            e.context_prefix(&format!(
                "a dead mount is left on {shown} and cannot be removed; try `umount -l {shown}` as root"
            ))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_active_line_allows_others() {
        assert!(allows_other("# comment\n  user_allow_other \nmount_max = 1000\n"));
        assert!(!allows_other("#user_allow_other\n"));
        assert!(!allows_other(""));
    }

    #[test]
    fn a_mount_point_in_use_is_busy() {
        assert_eq!(clear_stale(Path::new("/proc")).map_err(|e| e.kind()), Err(ErrorKind::Busy));
    }

    #[test]
    fn a_device_that_users_may_not_open_is_denied_with_advice() {
        let error = check_device(Some(io::Error::from_raw_os_error(libc::EACCES))).expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("chmod 666 /dev/fuse"), "{error}");
        let error = check_device(Some(io::Error::from_raw_os_error(libc::ENOENT))).expect_err("missing");
        assert!(error.to_string().contains("modprobe fuse"), "{error}");
    }
}
