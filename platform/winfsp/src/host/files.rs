//! Files that Windows has open: numbers that the driver is given for them, and their paths at present.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use proxyfs_core::types::Ino;
use tokio::sync::Notify;

use crate::drive::{Answer, Open};
use crate::status::Status;

const BACKSLASH: u16 = b'\\' as u16;

/// One open file.
pub(crate) struct File {
    /// The number that the driver knows it by; never 0.
    pub(crate) id: u64,
    /// What the drive knows of it.
    pub(crate) open: Open,
    path: RwLock<Vec<u16>>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("id", &self.id).finish_non_exhaustive()
    }
}

impl File {
    /// Its path, spelt as the volume has it.
    pub(crate) fn path(&self) -> Vec<u16> {
        self.path.read().clone()
    }
}

/// All open files of a mount.
#[derive(Debug, Default)]
pub(crate) struct Files {
    inner: RwLock<Table>,
    /// Told when the last one is closed.
    none_left: Notify,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    files: HashMap<u64, Arc<File>>,
}

impl Files {
    /// Notes a file that was opened by `path`, and gives it its number.
    pub(crate) fn add(&self, open: Open, path: Vec<u16>) -> u64 {
        let mut table = self.inner.write();
        table.last += 1;
        let id = table.last;
        table.files.insert(id, Arc::new(File { id, open, path: RwLock::new(path) }));
        id
    }

    /// The file of a number.
    ///
    /// # Errors
    /// `INVALID_HANDLE`.
    pub(crate) fn get(&self, id: u64) -> Answer<Arc<File>> {
        self.inner.read().files.get(&id).cloned().ok_or(Status::INVALID_HANDLE)
    }

    /// Forgets a file.
    pub(crate) fn remove(&self, id: u64) -> Option<Arc<File>> {
        let mut table = self.inner.write();
        let file = table.files.remove(&id);
        if table.files.is_empty() {
            self.none_left.notify_waiters();
        }
        file
    }

    /// Waits until none is open.
    pub(crate) async fn all_closed(&self) {
        loop {
            let closed = self.none_left.notified();
            if self.len() == 0 {
                return;
            }
            closed.await;
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.inner.read().files.len()
    }

    /// Forgets all files, and gives them.
    pub(crate) fn drain(&self) -> Vec<Arc<File>> {
        self.inner.write().files.drain().map(|(_, file)| file).collect()
    }

    /// All paths by which an inode is open.
    pub(crate) fn paths_of(&self, ino: Ino) -> Vec<Vec<u16>> {
        let table = self.inner.read();
        let mut paths: Vec<_> = table.files.values().filter(|f| f.open.ino() == ino).map(|f| f.path()).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// Notes that what was called `from` is called `to` now, with all that lies below it.
    pub(crate) fn renamed(&self, from: &[u16], to: &[u16]) {
        for file in self.inner.read().files.values() {
            let mut path = file.path.write();
            if let Some(rest) = path.strip_prefix(from)
                && rest.first().is_none_or(|unit| *unit == BACKSLASH)
            {
                *path = [to, rest].concat();
            }
        }
    }
}
