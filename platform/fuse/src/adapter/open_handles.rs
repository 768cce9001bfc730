//! Which handles the kernel holds.
//!
//! When a mount ends, the kernel drops what it has not yet handed over, releases of closed files among it. So the handles are kept
//! here, and those left at the end are released by us: a file that was deleted while open would else take room until a restart.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proxyfs_core::Result;
use proxyfs_core::fs::{FileSystem, Handle};
use tracing::debug;

/// What a handle is of, which says how to release it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandleKind {
    /// A file.
    File,
    /// A directory.
    Dir,
}

/// The handles that the kernel holds, until the mount has ended.
#[derive(Debug)]
pub(super) struct OpenHandles {
    /// None after the end.
    held: Mutex<Option<HashMap<Handle, HandleKind>>>,
}

impl OpenHandles {
    /// No handles.
    pub(super) fn new() -> Self {
        Self { held: Mutex::new(Some(HashMap::new())) }
    }

    /// Notes a handle that is about to be given to the kernel. If the mount has ended meanwhile, it is released instead.
    pub(super) async fn opened<F: FileSystem>(&self, fs: &F, handle: Handle, kind: HandleKind) {
        let noted = self.lock().as_mut().map(|held| held.insert(handle, kind)).is_some();
        if !noted {
            release(fs, handle, kind).await;
        }
    }

    /// Forgets a handle that the kernel releases. False if it is not held: then it has been released already.
    pub(super) fn closed(&self, handle: Handle) -> bool {
        self.lock().as_mut().is_some_and(|held| held.remove(&handle).is_some())
    }

    /// Ends the keeping, and releases what is left.
    pub(super) async fn release_rest<F: FileSystem>(&self, fs: &F) -> Result<()> {
        let rest = mem::take(&mut *self.lock()).unwrap_or_default();
        for (handle, kind) in rest {
            release(fs, handle, kind).await;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<Handle, HandleKind>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Releases a handle that nobody will use again; that this fails concerns nobody either.
async fn release<F: FileSystem>(fs: &F, handle: Handle, kind: HandleKind) {
    let released = match kind {
        HandleKind::File => fs.release(handle, None).await,
        HandleKind::Dir => fs.releasedir(handle).await,
    };
    if let Err(e) = released {
        debug!(?handle, "a handle left at the end of a mount could not be released: {e}");
    }
}
