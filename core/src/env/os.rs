//! The real machine: a directory on a local disk, the system clock, the system's randomness.
//!
//! Owns the lock that keeps two processes from one state directory. Flushes run on tokio's blocking pool. What the systems do
//! differently is in `unix` and `windows`, which have the same functions; nothing above knows which of them is at work.

#[cfg(unix)]
#[path = "os/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "os/windows.rs"]
mod system;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::{Clock, LocalDir, LocalFile, OpenMode, Rng};
use crate::types::Timestamp;

/// Name of the lock file inside a state directory.
const LOCK_FILE: &str = "lock";

/// A directory on a local disk, locked unless it is only looked at. The lock ends when the value is dropped or the process dies.
#[derive(Debug)]
pub struct OsDir {
    root: PathBuf,
    _lock: Option<File>,
}

impl OsDir {
    /// Opens (and makes) `root` and locks it against other processes.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds the lock; else as the OS gives them.
    pub fn open_locked(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(root.join(LOCK_FILE))?;
        lock.try_lock().map_err(|e| match e {
            fs::TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, format!("{} is in use by another process", root.display()))
            }
            fs::TryLockError::Error(e) => e,
        })?;
        Ok(Self { root: root.to_owned(), _lock: Some(lock) })
    }

    /// The directory as it is, also while another process has it: for reading only.
    pub(crate) fn open_to_look(root: &Path) -> Self {
        Self { root: root.to_owned(), _lock: None }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

impl LocalDir for OsDir {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn LocalFile>> {
        let full = self.path(path);
        let mut options = OpenOptions::new();
        match mode {
            OpenMode::Read => options.read(true),
            OpenMode::ReadWrite => options.read(true).write(true),
            OpenMode::CreateNew => {
                if let Some(parent) = full.parent() {
                    fs::create_dir_all(parent)?;
                }
                options.read(true).write(true).create_new(true)
            }
        };
        Ok(Arc::new(OsFile { file: Arc::new(options.open(full)?) }))
    }

    fn replace(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let full = self.path(path);
        let parent = full.parent().unwrap_or(&self.root).to_owned();
        fs::create_dir_all(&parent)?;
        let temp = full.with_extension("new");
        let file = File::create(&temp)?;
        system::write_all_at(&file, content, 0)?;
        file.sync_all()?;
        // Not open any more, since not every system renames an open file.
        drop(file);
        system::rename(&temp, &full)?;
        sync_names(&parent)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(path))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        match fs::remove_file(self.path(path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let to = self.path(to);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        system::rename(&self.path(from), &to)
    }

    fn list(&self, path: &str) -> io::Result<Vec<(String, u64)>> {
        let entries = match fs::read_dir(self.path(path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut out = Vec::new();
        for entry in entries {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                out.push((name, meta.len()));
            }
        }
        out.sort();
        Ok(out)
    }

    fn sync_dir(&self, path: &str) -> BoxFuture<'static, io::Result<()>> {
        let full = self.path(path);
        blocking(move || sync_names(&full))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        system::free_bytes(&self.root)
    }
}

/// Makes the names in a directory durable, as far as the system can: Windows promises nothing of the kind, and some of its file
/// systems do not let it be tried. There a file's first name is as durable as its flushed bytes (NTFS journals both together), and a
/// later rename or removal may come undone in a power loss.
///
/// # Errors
/// As the OS gives them.
pub fn sync_names(dir: &Path) -> io::Result<()> {
    system::sync_names(dir)
}

/// An open file of the OS.
#[derive(Debug)]
struct OsFile {
    file: Arc<File>,
}

impl LocalFile for OsFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        system::read_exact_at(&self.file, buf, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        system::write_all_at(&self.file, data, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> BoxFuture<'static, io::Result<()>> {
        let file = Arc::clone(&self.file);
        blocking(move || file.sync_data())
    }
}

/// Runs a blocking call off the async threads.
fn blocking(call: impl FnOnce() -> io::Result<()> + Send + 'static) -> BoxFuture<'static, io::Result<()>> {
    async move { tokio::task::spawn_blocking(call).await.map_err(io::Error::other)? }.boxed()
}

/// The system clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsClock;

impl Clock for OsClock {
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(d) => Timestamp::new(i64::try_from(d.as_secs()).unwrap_or(i64::MAX), d.subsec_nanos()),
            Err(_) => Timestamp::default(),
        }
    }
}

/// The system's random bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRng;

impl Rng for OsRng {
    fn fill(&self, buf: &mut [u8]) {
        getrandom::fill(buf).expect("the system has no randomness");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_lock_of_a_directory_is_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        let first = OsDir::open_locked(dir.path()).expect("first");
        let second = OsDir::open_locked(dir.path()).expect_err("second");
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
        drop(first);
        OsDir::open_locked(dir.path()).expect("after the first is gone");
    }

    #[tokio::test]
    async fn files_are_sparse_and_replace_is_whole() {
        let temp = tempfile::tempdir().expect("tempdir");
        let dir = OsDir::open_locked(temp.path()).expect("open");
        let file = dir.open("stage/x", OpenMode::CreateNew).expect("create");
        file.write_all_at(b"abc", 1 << 20).expect("write");
        file.sync_data().await.expect("sync");
        dir.sync_dir("stage").await.expect("sync dir");
        let mut buf = [9; 4];
        file.read_exact_at(&mut buf, (1 << 20) - 1).expect("read");
        assert_eq!(&buf, b"\0abc");
        dir.replace("owner.json", b"one").expect("replace");
        dir.replace("owner.json", b"2").expect("replace");
        assert_eq!(dir.read("owner.json").expect("read"), b"2");
        assert_eq!(dir.list("stage").expect("list"), vec![("x".to_owned(), (1 << 20) + 3)]);
        assert!(dir.free_bytes().expect("free space") > 0);
    }

    #[test]
    fn a_read_past_the_end_is_told_from_other_failures() {
        let temp = tempfile::tempdir().expect("tempdir");
        let dir = OsDir::open_locked(temp.path()).expect("open");
        let file = dir.open("x", OpenMode::CreateNew).expect("create");
        file.write_all_at(b"abc", 0).expect("write");
        for (offset, len) in [(0, 4), (2, 2), (3, 1), (9, 1)] {
            let error = file.read_exact_at(&mut vec![0; len], offset).expect_err("past the end");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len} bytes at {offset}");
        }
        file.read_exact_at(&mut [], 3).expect("nothing, at the end");
        assert_eq!(dir.open("x", OpenMode::CreateNew).expect_err("it exists").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(dir.open("y", OpenMode::ReadWrite).expect_err("it does not").kind(), io::ErrorKind::NotFound);
    }

    /// As the engine does with staging files that become files of the cache, and that the cache lets go while they are read.
    #[test]
    fn an_open_file_can_be_renamed_and_removed_and_goes_on() {
        let temp = tempfile::tempdir().expect("tempdir");
        let dir = OsDir::open_locked(temp.path()).expect("open");
        let file = dir.open("stage/a", OpenMode::CreateNew).expect("create");
        file.write_all_at(b"abc", 0).expect("write");
        dir.rename("stage/a", "cache/b").expect("rename");
        assert_eq!(dir.read("cache/b").expect("read"), b"abc");
        assert!(dir.list("stage").expect("list").is_empty());
        dir.remove("cache/b").expect("remove");
        dir.remove("cache/b").expect("remove what is not there");
        file.write_all_at(b"d", 3).expect("write on");
        let mut buf = [0; 4];
        file.read_exact_at(&mut buf, 0).expect("read on");
        assert_eq!(&buf, b"abcd");
        drop(file);
        assert!(dir.list("cache").expect("list").is_empty());
    }

    #[test]
    fn one_open_file_is_read_and_written_by_many_threads_at_once() {
        const THREADS: u64 = 4;
        const PIECES: u64 = 64;
        let temp = tempfile::tempdir().expect("tempdir");
        let dir = OsDir::open_locked(temp.path()).expect("open");
        let file = dir.open("x", OpenMode::CreateNew).expect("create");
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let file = &file;
                scope.spawn(move || {
                    for piece in 0..PIECES {
                        let place = (piece * THREADS + thread) * 8;
                        file.write_all_at(&place.to_le_bytes(), place).expect("write");
                        let mut back = [0; 8];
                        file.read_exact_at(&mut back, place).expect("read");
                        assert_eq!(u64::from_le_bytes(back), place);
                    }
                });
            }
        });
        assert_eq!(file.len().expect("len"), THREADS * PIECES * 8);
    }

    #[tokio::test]
    async fn paths_may_be_longer_than_old_windows_interfaces_take() {
        let temp = tempfile::tempdir().expect("tempdir");
        let deep =
            (0..8).fold(temp.path().to_owned(), |path, _| path.join("a-directory-whose-name-has-44-characters-in-it"));
        assert!(deep.as_os_str().len() > 260);
        let dir = OsDir::open_locked(&deep).expect("open");
        dir.open("stage/x", OpenMode::CreateNew).expect("create").write_all_at(b"abc", 0).expect("write");
        dir.sync_dir("stage").await.expect("sync dir");
        dir.rename("stage/x", "cache/y").expect("rename");
        dir.replace("owner.json", b"one").expect("replace");
        assert_eq!(dir.read("cache/y").expect("read"), b"abc");
        assert_eq!(dir.list("").expect("list"), vec![("lock".to_owned(), 0), ("owner.json".to_owned(), 3)]);
        assert!(dir.free_bytes().expect("free space") > 0);
    }
}
