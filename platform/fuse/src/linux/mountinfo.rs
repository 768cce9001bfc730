//! The table of mounts, `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
//!
//! Unlike stat, reading it never asks a file system, so it answers also when one hangs or its server has died.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountEntry {
    /// Number of the mount; unique among the mounts of now.
    pub(crate) id: u32,
    /// `major:minor` of its device.
    pub(crate) device: String,
    /// Where it is mounted.
    pub(crate) mount_point: PathBuf,
    /// File-system type, such as `fuse.proxyfs`.
    pub(crate) fs_type: String,
}

impl MountEntry {
    /// Whether it is a FUSE mount of any kind.
    pub(crate) fn is_fuse(&self) -> bool {
        self.fs_type == "fuse" || self.fs_type == "fuseblk" || self.fs_type.starts_with("fuse.")
    }

    /// Whether both are the same mount.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.device == other.device
    }

    /// Whether it waits for somebody to mount something on it.
    pub(crate) fn is_automount(&self) -> bool {
        self.fs_type == "autofs"
    }
}

/// The mount on top at `mount_point`, an absolute path without symlinks.
///
/// # Errors
/// When the table cannot be read.
pub(crate) fn top_mount(mount_point: &Path) -> io::Result<Option<MountEntry>> {
    let table = fs::read("/proc/self/mountinfo")?;
    Ok(parse(&table).into_iter().rfind(|entry| entry.mount_point == mount_point))
}

/// All mounts of a table; lines that make no sense are left out.
fn parse(table: &[u8]) -> Vec<MountEntry> {
    table.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

/// `id parent major:minor root mount-point options [optional...] - type source super-options`
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = text(fields.next()?)?.parse().ok()?;
    let device = text(fields.nth(1)?)?;
    let mount_point = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
    fields.find(|field| *field == b"-")?;
    let fs_type = text(fields.next()?)?;
    Some(MountEntry { id, device, mount_point, fs_type })
}

fn text(field: &[u8]) -> Option<String> {
    String::from_utf8(field.to_vec()).ok()
}

/// Undoes the kernel's escapes: space, tab, newline, `#` and backslash stand as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        match (byte, octal(after)) {
            (b'\\', Some(value)) => {
                plain.push(value);
                rest = &after[3..];
            }
            _ => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

/// The value of three leading octal digits.
fn octal(bytes: &[u8]) -> Option<u8> {
    let digits = bytes.get(..3)?;
    let value = digits.iter().try_fold(0_u32, |value, digit| match digit {
        b'0'..=b'7' => Some(value * 8 + u32::from(digit - b'0')),
        _ => None,
    })?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
        36 22 0:32 / /mnt/a\\040b\\134c rw,nosuid shared:7 master:2 - fuse.proxyfs my\\040volume rw,user_id=0\n\
        nonsense\n\
        40 22 0:40 / /mnt/\xff rw - fuse weird rw\n";

    #[test]
    fn a_table_is_parsed_with_its_escapes_and_optional_fields() {
        let entries = parse(TABLE);
        assert_eq!(entries.len(), 3);
        assert_eq!(
            entries[1],
            MountEntry {
                id: 36,
                device: "0:32".to_owned(),
                mount_point: PathBuf::from("/mnt/a b\\c"),
                fs_type: "fuse.proxyfs".to_owned(),
            }
        );
        assert_eq!(entries[2].mount_point, PathBuf::from(OsString::from_vec(b"/mnt/\xff".to_vec())));
    }

    #[test]
    fn fuse_mounts_are_told_from_others() {
        let kinds: Vec<bool> = parse(TABLE).iter().map(MountEntry::is_fuse).collect();
        assert_eq!(kinds, [false, true, true]);
    }

    #[test]
    fn a_backslash_without_three_octal_digits_stays() {
        for (field, plain) in
            [("a\\", "a\\"), ("\\04", "\\04"), ("\\0489", "\\0489"), ("\\04012", " 12"), ("\\777", "\\777")]
        {
            assert_eq!(unescape(field.as_bytes()), plain.as_bytes(), "{field}");
        }
    }

    #[test]
    fn the_root_is_a_mount_point() {
        assert!(top_mount(Path::new("/")).is_ok_and(|entry| entry.is_some()));
    }
}
