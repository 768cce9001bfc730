//! What Windows does: positional reads and writes, renaming, flushing names, asking for free space.
//!
//! Has no state and no knowledge of paths inside a state directory. Of the rest `std` sees to it that Windows does what is asked:
//! `rename` replaces, also a file that somebody has open (NTFS since Windows 10 1607; other file systems may refuse that), files are opened
//! so that others may rename and remove them, a flush is FlushFileBuffers, and paths beyond 260 characters get their prefix.
//!
//! What differs from Unix: calls on one handle wait for each other, since the handle is a synchronous one; and a gap that a write beyond
//! the end leaves is filled with zeros on the disk, not left out (staging files are dense, so that they have no such gaps).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a rename waits for somebody who has one of the files open and lets nobody else have it. Virus scanners and indexers do that
/// for some milliseconds after a file was written.
const RENAME_PATIENCE: Duration = Duration::from_millis(500);

/// Time between two attempts.
const RENAME_PAUSE: Duration = Duration::from_millis(5);

/// Lets `CreateFile` open a directory (FILE_FLAG_BACKUP_SEMANTICS in winbase.h).
const OPEN_DIRECTORY: u32 = 0x0200_0000;

/// Fills `buf` from `offset`. Moves the file's own position, which nobody here uses.
pub(super) fn read_exact_at(file: &File, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.seek_read(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes all of `data` at `offset`. Moves the file's own position, which nobody here uses.
pub(super) fn write_all_at(file: &File, mut data: &[u8], mut offset: u64) -> io::Result<()> {
    while !data.is_empty() {
        match file.seek_write(data, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                data = &data[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Renames a file over whatever has the new name; waits a moment for others who have one of the two open.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match std::fs::rename(from, to) {
            Err(e) if is_in_use(&e) && begun.elapsed() < RENAME_PATIENCE => std::thread::sleep(RENAME_PAUSE),
            other => return other,
        }
    }
}

/// Somebody has the file open, or it is about to go.
fn is_in_use(error: &io::Error) -> bool {
    /// ERROR_SHARING_VIOLATION, ERROR_DELETE_PENDING.
    const IN_USE: [i32; 2] = [32, 303];
    error.kind() == io::ErrorKind::PermissionDenied || error.raw_os_error().is_some_and(|code| IN_USE.contains(&code))
}

/// Asks for the names in a directory to be made durable. Windows promises nothing of the kind: NTFS keeps a journal of names, from which
/// it recovers a consistent directory, and writes the journal when a file that it is about is flushed. So a new file's name is as durable
/// as its bytes; a rename or a removal may come undone in a power loss unless the file system heeds this flush of the directory itself. The
/// ones that cannot do it refuse it, and that is no failure.
pub(super) fn sync_names(dir: &Path) -> io::Result<()> {
    let opened = OpenOptions::new().write(true).custom_flags(OPEN_DIRECTORY).open(dir);
    match opened.and_then(|dir| dir.sync_all()) {
        Err(e) if cannot_flush_directories(&e) => Ok(()),
        other => other,
    }
}

/// Refused for what it is, rather than failed.
fn cannot_flush_directories(error: &io::Error) -> bool {
    /// ERROR_INVALID_FUNCTION, ERROR_INVALID_HANDLE and ERROR_NOT_SUPPORTED: file systems and servers without such a call.
    const NO_SUCH_CALL: [i32; 3] = [1, 6, 50];
    error.kind() == io::ErrorKind::PermissionDenied
        || error.raw_os_error().is_some_and(|code| NO_SUCH_CALL.contains(&code))
}

/// Bytes that the disk of `path` can still take, for this user.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    fs4::available_space(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_waits_for_whoever_has_the_target_open_but_not_for_ever() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, "new").expect("write");
        std::fs::write(&to, "old").expect("write");
        let alone = || OpenOptions::new().read(true).share_mode(0).open(&to).expect("open alone");
        let held = alone();
        let begun = Instant::now();
        assert!(is_in_use(&rename(&from, &to).expect_err("it stays open")));
        assert!(begun.elapsed() >= RENAME_PATIENCE);
        drop(held);
        assert_eq!(std::fs::read(&to).expect("read"), b"old");
        let held = alone();
        std::thread::scope(|scope| {
            let renaming = scope.spawn(|| rename(&from, &to));
            drop(held);
            renaming.join().expect("the thread").expect("it was let go");
        });
        assert_eq!(std::fs::read(&to).expect("read"), b"new");
    }

    #[test]
    fn only_what_cannot_be_flushed_is_let_pass() {
        for (code, passes) in [(1, true), (5, true), (6, true), (50, true), (2, false), (23, false), (112, false)] {
            assert_eq!(cannot_flush_directories(&io::Error::from_raw_os_error(code)), passes, "error {code}");
        }
    }
}
