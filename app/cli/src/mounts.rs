//! What is mounted on a directory, when no process of ours answers for it.
//!
//! Reads the kernel's table, which never asks a file system, and takes dead mounts away. Windows leaves no dead mounts: its driver takes a
//! drive away with the process that serves it.

#[cfg(not(target_os = "macos"))]
use std::ffi::OsString;
#[cfg(not(target_os = "macos"))]
use std::fs;
use std::io;
#[cfg(not(target_os = "macos"))]
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The type that our mounts show.
const TYPE: &str = "fuse.proxyfs";

/// The directory's path without symlinks, also when a dead mount on it answers nothing.
///
/// # Errors
/// When neither it nor its parent can be resolved.
pub(crate) fn resolve(dir: &Path) -> io::Result<PathBuf> {
    match dir.canonicalize() {
        Err(e) if e.kind() == io::ErrorKind::NotConnected => {
            let absolute = std::path::absolute(dir)?;
            match (absolute.parent(), absolute.file_name()) {
                (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
                _ => Ok(absolute),
            }
        }
        other => other,
    }
}

/// File-system type of the mount on top at `path`, if there is one.
///
/// # Errors
/// When the table cannot be read.
#[cfg(target_os = "macos")]
pub(crate) fn type_at(path: &Path) -> io::Result<Option<String>> {
    use proxyfs_fuse::{Seen, seen_at};
    Ok(seen_at(path)?.map(|seen| match seen {
        Seen::Ours => TYPE.to_owned(),
        Seen::Other(kind) => kind,
    }))
}

/// File-system type of the mount on top at `path`, if there is one.
///
/// # Errors
/// When the table cannot be read.
#[cfg(not(target_os = "macos"))]
pub(crate) fn type_at(path: &Path) -> io::Result<Option<String>> {
    let table = fs::read("/proc/self/mountinfo")?;
    Ok(table.split(|b| *b == b'\n').filter_map(parse).rfind(|(place, _)| place == path).map(|(_, kind)| kind))
}

/// Whether a type is ours.
pub(crate) fn is_ours(kind: &str) -> bool {
    kind == TYPE
}

/// Takes a mount away: as root by `umount`, else by the set-user-id helper; macOS lets whoever mounted it unmount it.
///
/// # Errors
/// With the words of the program that refused.
pub(crate) fn take_away(path: &Path) -> io::Result<()> {
    let (program, switches): (_, &[&str]) = if cfg!(target_os = "macos") || rustix::process::geteuid().is_root() {
        ("umount", &[])
    } else {
        ("fusermount3", &["-u"])
    };
    let output = Command::new(program).args(switches).arg("--").arg(path).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// Mount point and type of one line of mountinfo (proc_pid_mountinfo(5)).
#[cfg(not(target_os = "macos"))]
fn parse(line: &[u8]) -> Option<(PathBuf, String)> {
    let mut fields = line.split(|b| *b == b' ');
    let place = unescape(fields.nth(4)?);
    fields.find(|f| *f == b"-")?;
    let kind = String::from_utf8(fields.next()?.to_vec()).ok()?;
    Some((PathBuf::from(OsString::from_vec(place)), kind))
}

/// Undoes the table's escapes: a backslash and three octal digits.
#[cfg(not(target_os = "macos"))]
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let escaped = (*byte == b'\\').then(|| after.get(..3)).flatten();
        let value = escaped.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        plain.push(value.unwrap_or(*byte));
        rest = if value.is_some() { &after[3..] } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(target_os = "macos"))]
    #[test]
    fn lines_are_parsed_with_their_escapes() {
        let line = b"36 22 0:32 / /mnt/a\\040b rw,nosuid shared:7 - fuse.proxyfs proxyfs:x rw";
        assert_eq!(parse(line), Some((PathBuf::from("/mnt/a b"), "fuse.proxyfs".to_owned())));
        assert_eq!(parse(b"nonsense"), None);
    }

    #[test]
    fn the_root_is_mounted_and_not_ours() {
        let kind = type_at(Path::new("/")).unwrap().unwrap();
        assert!(!is_ours(&kind));
        assert_eq!(type_at(Path::new("/no/such/place")).unwrap(), None);
    }
}
