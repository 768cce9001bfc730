//! The directory that a volume is to be mounted on, as far as that is the same on every system.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proxyfs_core::{Error, ErrorKind, Result};

use crate::options::MountOptions;

/// The path without symlinks. A dead mount, which `is_stale` tells by its error, answers nothing; so then only its parent is
/// resolved.
///
/// # Errors
/// `NotFound` with advice, else `Io`.
pub(crate) fn resolve(mount_point: &Path, is_stale: impl Fn(&io::Error) -> bool) -> Result<PathBuf> {
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

/// The mount point must be a directory, and empty unless hiding its entries is wanted. Entries named in `litter` do not count.
///
/// # Errors
/// `NotADirectory` and `NotEmpty` with advice, `Denied` when it cannot be read.
pub(crate) fn check_directory(mount_point: &Path, options: &MountOptions, litter: &[&str]) -> Result<()> {
    let shown = mount_point.display();
    let unreadable =
        |e: io::Error| Error::with_source(ErrorKind::Denied, format!("the mount point {shown} cannot be read"), e);
    if !fs::metadata(mount_point).map_err(unreadable)?.is_dir() {
        return Err(Error::new(
            ErrorKind::NotADirectory,
            format!("the mount point {shown} is not a directory; choose a directory"),
        ));
    }
    let counts = |entry: io::Result<fs::DirEntry>| {
        entry.map_or(true, |entry| !litter.iter().any(|name| entry.file_name() == OsStr::new(name)))
    };
    if !options.allow_non_empty && fs::read_dir(mount_point).map_err(unreadable)?.any(counts) {
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
    fn a_mount_point_must_be_an_empty_directory() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = MountOptions::default();
        let kind = |path: &Path, options: &MountOptions| check_directory(path, options, &[]).map_err(|e| e.kind());
        assert_eq!(kind(dir.path(), &options), Ok(()));
        let file = dir.path().join("file");
        fs::write(&file, b"").expect("a file");
        assert_eq!(kind(&file, &options), Err(ErrorKind::NotADirectory));
        assert_eq!(kind(dir.path(), &options), Err(ErrorKind::NotEmpty));
        assert_eq!(kind(dir.path(), &MountOptions { allow_non_empty: true, ..options.clone() }), Ok(()));
        assert!(check_directory(dir.path(), &options, &["file"]).is_ok());
        fs::write(dir.path().join("other"), b"").expect("a file");
        assert!(check_directory(dir.path(), &options, &["file"]).is_err());
    }

    #[test]
    fn a_missing_mount_point_says_what_to_do() {
        let error = resolve(Path::new("/does/not/exist"), |_| false).expect_err("there is none");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("create the directory first"), "{error}");
    }
}
