//! The world below the engine besides the object store: local files, the wall clock, randomness.
//!
//! Owns the traits and their real implementations over `std`. Tests replace them by simulated ones, so that a seed replays
//! a run and a "power loss" drops what was not flushed. Tasks and monotonic time come from tokio, whose clock tests pause.
//! Does not own any knowledge of what the files hold.

mod os;

use std::fmt;
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::types::Timestamp;

pub use os::{OsClock, OsDir, OsRng, sync_names};

/// Everything the engine needs of the machine.
#[derive(Clone, Debug)]
pub struct Env {
    /// The volume's private state directory.
    pub dir: Arc<dyn LocalDir>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and jitter.
    pub rng: Arc<dyn Rng>,
}

/// Wall-clock time, used for file times and names of recovered folders only, never for ordering.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// A source of random bytes.
pub trait Rng: Send + Sync + fmt::Debug {
    /// Fills `buf`.
    fn fill(&self, buf: &mut [u8]);
}

/// How to open a local file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A new file, for reading and writing; fails if the name exists.
    CreateNew,
}

/// A directory tree on a local disk that the engine owns alone. Paths are relative, `/`-separated, ASCII.
///
/// Calls are synchronous and meant for the page cache; only `sync*` wait for the device.
pub trait LocalDir: Send + Sync + fmt::Debug {
    /// Opens a file; missing parent directories are made for [`OpenMode::CreateNew`].
    ///
    /// # Errors
    /// As the OS gives them.
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn LocalFile>>;

    /// Replaces (or creates) a small file atomically and durably: on return a power loss shows the new content.
    ///
    /// # Errors
    /// As the OS gives them; the old content is then intact.
    fn replace(&self, path: &str, content: &[u8]) -> io::Result<()>;

    /// Reads a whole small file.
    ///
    /// # Errors
    /// `NotFound`, or as the OS gives them.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// Removes a file; one that does not exist is fine.
    ///
    /// # Errors
    /// As the OS gives them.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Renames a file over whatever has the new name. Both in the tree. Not durable until [`LocalDir::sync_dir`].
    ///
    /// # Errors
    /// As the OS gives them.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Files directly in `path` with their lengths in bytes, sorted by name; an absent directory is empty.
    ///
    /// # Errors
    /// As the OS gives them.
    fn list(&self, path: &str) -> io::Result<Vec<(String, u64)>>;

    /// Makes names created in, removed from or renamed inside `path` durable.
    fn sync_dir(&self, path: &str) -> BoxFuture<'static, io::Result<()>>;

    /// Bytes that the device can still take.
    ///
    /// # Errors
    /// As the OS gives them.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open local file.
pub trait LocalFile: Send + Sync + fmt::Debug {
    /// Fills `buf` from `offset`. Bytes never written inside the file read as zero.
    ///
    /// # Errors
    /// `UnexpectedEof` past the end, or as the OS gives them.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `data` at `offset`, extending the file if needed, sparsely where the system can. In the page cache on return.
    ///
    /// # Errors
    /// As the OS gives them (`StorageFull` on a full disk).
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// As the OS gives them.
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is 0.
    ///
    /// # Errors
    /// As the OS gives them.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// As the OS gives them.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Flushes data written before the call (fdatasync). When the future is ready, a power loss keeps it.
    fn sync_data(&self) -> BoxFuture<'static, io::Result<()>>;
}
