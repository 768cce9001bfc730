//! The table of mounts, from getfsstat(2), which answers from what the kernel remembers and asks no file system.

use std::ffi::{CStr, OsStr};
use std::io;
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

/// Mounts that may appear between counting and reading.
const SPARE: usize = 16;
/// What the source of our mounts begins with.
const OUR_SOURCE: &str = "proxyfs:";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountEntry {
    /// What the kernel tells mounts apart by.
    id: [i32; 2],
    /// Source.
    pub(crate) device: String,
    /// Where it is mounted.
    pub(crate) mount_point: PathBuf,
    /// File-system type, such as `macfuse`.
    pub(crate) fs_type: String,
}

impl MountEntry {
    /// Whether it is a macFUSE mount of any kind.
    pub(crate) fn is_fuse(&self) -> bool {
        self.fs_type.contains("fuse")
    }

    /// Whether both are the same mount.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

/// What is mounted somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A volume of this program, whoever serves it.
    Ours,
    /// Something else, of this type.
    Other(String),
}

/// What is mounted on `mount_point`, an absolute path without symlinks.
///
/// # Errors
/// When the table cannot be read.
pub fn seen_at(mount_point: &Path) -> io::Result<Option<Seen>> {
    Ok(top_mount(mount_point)?.map(|mount| {
        if mount.is_fuse() && mount.device.starts_with(OUR_SOURCE) { Seen::Ours } else { Seen::Other(mount.fs_type) }
    }))
}

/// The mount on top at `mount_point`, an absolute path without symlinks.
///
/// # Errors
/// When the table cannot be read.
pub(crate) fn top_mount(mount_point: &Path) -> io::Result<Option<MountEntry>> {
    Ok(table()?.into_iter().rfind(|entry| entry.mount_point == mount_point))
}

fn table() -> io::Result<Vec<MountEntry>> {
    // SAFETY: without a buffer the call only counts.
    let count = unsafe { libc::getfsstat(ptr::null_mut(), 0, libc::MNT_NOWAIT) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    let mut table: Vec<libc::statfs> = Vec::with_capacity(count + SPARE);
    let bytes = libc::c_int::try_from(table.capacity() * size_of::<libc::statfs>()).map_err(io::Error::other)?;
    // SAFETY: the buffer has room for `bytes` bytes, and the call writes no more.
    let filled = unsafe { libc::getfsstat(table.as_mut_ptr(), bytes, libc::MNT_NOWAIT) };
    let filled = usize::try_from(filled).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the call has written that many entries, which the capacity bounds.
    unsafe { table.set_len(filled.min(table.capacity())) };
    Ok(table.iter().map(entry).collect())
}

fn entry(stat: &libc::statfs) -> MountEntry {
    // SAFETY: `fsid_t` is a structure of two `int32_t` (sys/_types/_fsid_t.h), which the binding does not let through.
    let id = unsafe { ptr::from_ref(&stat.f_fsid).cast::<[i32; 2]>().read() };
    MountEntry {
        id,
        device: text(&stat.f_mntfromname).to_string_lossy().into_owned(),
        mount_point: PathBuf::from(text(&stat.f_mntonname)),
        fs_type: text(&stat.f_fstypename).to_string_lossy().into_owned(),
    }
}

/// A field of the table, which ends with a zero byte.
fn text(field: &[libc::c_char]) -> &OsStr {
    // SAFETY: a signed byte has the layout of an unsigned one, and the length is the same.
    let bytes = unsafe { &*(ptr::from_ref(field) as *const [u8]) };
    let text = CStr::from_bytes_until_nul(bytes).map_or(bytes, CStr::to_bytes);
    OsStr::from_bytes(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_a_mount_point_and_not_ours() {
        assert!(matches!(seen_at(Path::new("/")), Ok(Some(Seen::Other(_)))));
        assert_eq!(seen_at(Path::new("/no/such/place")).ok(), Some(None));
    }
}
