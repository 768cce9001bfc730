//! The real machine: a directory on a local disk, the system clock, the system's randomness.
//!
//! Owns the lock that keeps two processes from one state directory. Flushes run on tokio's blocking pool.

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
        OsFile { file: Arc::new(file) }.write_all_at(content, 0)?;
        File::open(&temp)?.sync_all()?;
        fs::rename(&temp, &full)?;
        sync_dir_now(&parent)
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
        fs::rename(self.path(from), to)
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
        blocking(move || sync_dir_now(&full))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        free_bytes_of(&self.root)
    }
}

/// An open file of the OS.
#[derive(Debug)]
struct OsFile {
    file: Arc<File>,
}

#[cfg(unix)]
impl LocalFile for OsFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&*self.file, buf, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&*self.file, data, offset)
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

#[cfg(unix)]
fn sync_dir_now(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(unix)]
fn free_bytes_of(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
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
        assert!(dir.free_bytes().expect("statvfs") > 0);
    }
}
