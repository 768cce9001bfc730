//! The checks before a mount. Each failure is a sentence that says what to do.
//!
//! Mounting as an ordinary user on a machine that does not let it can hang or fail without a word, so what can be known before
//! is found out before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proxyfs_core::{Error, ErrorKind, Result};
use tracing::warn;

use super::device::{self, DEVICE, Force};
use super::mountinfo;
use crate::options::MountOptions;

/// Where ordinary users are allowed to let others in.
const FUSE_CONF: &str = "/etc/fuse.conf";

/// Checks everything and returns the mount point without symlinks. The mount that a dead process left there is removed.
///
/// # Errors
/// `NotFound`, `NotADirectory`, `NotEmpty` and `Busy` for the mount point, `Denied` and `Config` for the machine.
pub(crate) fn check(mount_point: &Path, options: &MountOptions) -> Result<PathBuf> {
    check_machine(options)?;
    let mount_point = resolve(mount_point)?;
    clear_stale(&mount_point)?;
    check_directory(&mount_point, options)?;
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

/// The path without symlinks. A dead mount answers nothing, so then only its parent is resolved.
fn resolve(mount_point: &Path) -> Result<PathBuf> {
    let shown = mount_point.display();
    match mount_point.canonicalize() {
        Ok(path) => Ok(path),
        Err(e) if is_stale(&e) => {
            let absolute = std::path::absolute(mount_point);
            let split =
                absolute.as_ref().ok().and_then(|path| Some((path.parent()?.canonicalize().ok()?, path.file_name()?)));
            match split {
                Some((parent, name)) => Ok(parent.join(name)),
                None => Err(Error::with_source(ErrorKind::Io, format!("cannot resolve {shown}"), e)),
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::with_source(
            ErrorKind::NotFound,
            format!("the mount point {shown} does not exist; create the directory first"),
            e,
        )),
        Err(e) => Err(Error::with_source(ErrorKind::Io, format!("cannot resolve the mount point {shown}"), e)),
    }
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

/// The mount point must be a directory, and empty unless hiding its entries is wanted.
fn check_directory(mount_point: &Path, options: &MountOptions) -> Result<()> {
    let shown = mount_point.display();
    let unreadable =
        |e: io::Error| Error::with_source(ErrorKind::Denied, format!("the mount point {shown} cannot be read"), e);
    if !fs::metadata(mount_point).map_err(unreadable)?.is_dir() {
        return Err(Error::new(
            ErrorKind::NotADirectory,
            format!("the mount point {shown} is not a directory; choose a directory"),
        ));
    }
    if !options.allow_non_empty && fs::read_dir(mount_point).map_err(unreadable)?.next().is_some() {
        return Err(Error::new(
            ErrorKind::NotEmpty,
            format!("the mount point {shown} is not empty; choose an empty directory, or allow hiding its entries"),
        ));
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
    fn a_mount_point_must_be_an_empty_directory() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = MountOptions::default();
        let kind = |path: &Path, options: &MountOptions| check_directory(path, options).map_err(|e| e.kind());
        assert_eq!(kind(dir.path(), &options), Ok(()));
        let file = dir.path().join("file");
        fs::write(&file, b"").expect("a file");
        assert_eq!(kind(&file, &options), Err(ErrorKind::NotADirectory));
        assert_eq!(kind(dir.path(), &options), Err(ErrorKind::NotEmpty));
        assert_eq!(kind(dir.path(), &MountOptions { allow_non_empty: true, ..options }), Ok(()));
    }

    #[test]
    fn a_missing_mount_point_says_what_to_do() {
        let error = resolve(Path::new("/does/not/exist")).expect_err("there is none");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("create the directory first"), "{error}");
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
