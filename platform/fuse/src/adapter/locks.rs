//! Waiting for locks of the file system, in spite of a protocol crate that does not pass interruptions on.

use proxyfs_core::fs::{FileLock, FileSystem, Handle, LockFamily};
use proxyfs_core::{Error, ErrorKind, Result};

/// Takes or releases a lock; a wait ends when the waiting thread gets a signal.
pub(super) async fn set_lock<F: FileSystem>(
    fs: &F,
    handle: Handle,
    owner: u64,
    lock: FileLock,
    wait: LockWait,
) -> Result<()> {
    let taken = fs.setlk(handle, LockFamily::Posix, owner, lock, matches!(wait, LockWait::Thread(_)));
    match wait {
        LockWait::No => taken.await,
        LockWait::Thread(thread) => {
            tokio::select! {
                biased;
                done = taken => done,
                interrupted = interrupted(thread) => Err(interrupted),
            }
        }
    }
}

/// Whether and for whom a lock is waited for.
#[derive(Clone, Copy)]
pub(super) enum LockWait {
    /// Not at all.
    No,
    /// For this thread.
    Thread(u32),
}

/// Ends when `thread` has a signal to handle.
async fn interrupted(thread: u32) -> Error {
    #[cfg(target_os = "linux")]
    crate::linux::signals::pending(thread).await;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = thread;
        std::future::pending::<()>().await;
    }
    Error::new(ErrorKind::Interrupted, "a signal ended the wait for a lock")
}
