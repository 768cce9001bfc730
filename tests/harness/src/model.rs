//! The reference model: a file system in memory that defines what correct means.
//!
//! Written for reading. One mutex guards all state; each operation takes it once, reads the clock once and is atomic; a failed
//! operation changes nothing. The rules live in the files below, one subject each. It knows no permissions (the kernel checks
//! them), no bounds on memory, and nothing of how the engine stores things. Locks are the only operations that wait.

mod acl;
mod attrs;
mod content;
mod directory;
mod files;
mod locks;
mod namespace;
mod rename;
mod state;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::Mutex;
use proxyfs_core::env::Clock;
use proxyfs_core::fs::{
    Attr, Caller, DirEntry, FallocateMode, FileLock, FileSystem, Handle, LockFamily, LockKind, NamedEntry, NewNode,
    OpenFlags, RenameMode, SeekWhence, SetAttr, StatFs, WriteFlags, XattrMode,
};
use proxyfs_core::types::{Ino, Timestamp};
use proxyfs_core::{ErrorKind, Result};
use tokio::sync::Notify;

use locks::Owned;
use rename::Place;
use state::{OpenHandle, State};

/// Size that the model's `statfs` claims: as good as unlimited.
const TOTAL_BYTES: u64 = 1 << 50;
/// Inodes that the model's `statfs` claims.
const TOTAL_INODES: u64 = 1 << 40;

/// The reference file system.
#[derive(Debug)]
pub struct Model {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    /// Told whenever a lock was released or weakened.
    locks_changed: Notify,
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::new(since.as_secs() as i64, since.subsec_nanos())
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new(Arc::new(WallClock))
    }
}

impl Model {
    /// An empty volume whose root belongs to root with permissions 0755.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State::new(clock.now());
        Self { state: Mutex::new(state), clock, locks_changed: Notify::new() }
    }

    /// A copy of the volume as it is after a restart: handles and locks are gone, and so are files that only they kept.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let mut state = self.state.lock().clone();
        state.close_all();
        Self { state: Mutex::new(state), clock: Arc::clone(&self.clock), locks_changed: Notify::new() }
    }

    /// Number of inodes, with the root and with orphans.
    #[must_use]
    pub fn inode_count(&self) -> usize {
        self.state.lock().inodes.len()
    }

    /// Runs one mutation under the mutex with the one reading of the clock that it may use.
    fn at_now<T>(&self, run: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let mut state = self.state.lock();
        let now = self.clock.now();
        run(&mut state, now)
    }

    /// Changes locks and wakes those who wait.
    fn change_locks(&self, run: impl FnOnce(&mut State) -> Result<()>) -> Result<()> {
        run(&mut self.state.lock())?;
        self.locks_changed.notify_waiters();
        Ok(())
    }

    /// Takes the lock if it is free; else lists the wish, or fails.
    fn lock_or_enqueue(&self, handle: Handle, wish: Owned, wait: bool) -> Result<Option<LockWait<'_>>> {
        let mut state = self.state.lock();
        let ino = check_lock(state.handle(handle)?, &wish)?;
        if state.locks.blocker(ino, &wish).is_none() {
            state.locks.set(ino, wish);
            drop(state);
            self.locks_changed.notify_waiters();
            return Ok(None);
        }
        if !wait {
            return Err(ErrorKind::WouldBlock.into());
        }
        let ticket = state.locks.enqueue(ino, wish).ok_or(ErrorKind::Deadlock)?;
        Ok(Some(LockWait { model: self, ticket }))
    }
}

/// A listed wish for a lock; dropping it ends the wait.
struct LockWait<'a> {
    model: &'a Model,
    ticket: u64,
}

impl Drop for LockWait<'_> {
    fn drop(&mut self) {
        self.model.state.lock().locks.dequeue(self.ticket);
    }
}

/// That a lock makes sense on a handle; gives the inode. A record lock needs the handle open for what it guards.
fn check_lock(open: OpenHandle, wish: &Owned) -> Result<Ino> {
    if wish.lock.start > wish.lock.end {
        return Err(ErrorKind::InvalidArgument.into());
    }
    if wish.family == LockFamily::Posix {
        let flags = open.flags.ok_or(ErrorKind::BadHandle)?;
        let allowed = match wish.lock.kind {
            LockKind::Read => flags.read,
            LockKind::Write => flags.write,
            LockKind::Unlock => true,
        };
        if !allowed {
            return Err(ErrorKind::BadHandle.into());
        }
    }
    Ok(open.ino)
}

/// Every lock of an owner on a file, released.
fn unlock_all(family: LockFamily, owner: u64) -> Owned {
    Owned { family, owner, lock: FileLock { start: 0, end: u64::MAX, kind: LockKind::Unlock, pid: 0 } }
}

impl FileSystem for Model {
    async fn statfs(&self) -> Result<StatFs> {
        let state = self.state.lock();
        let used_bytes = state.inodes.iter().map(|(ino, inode)| inode.attr(*ino).allocated_bytes).sum();
        let used_inodes = state.inodes.len() as u64;
        Ok(StatFs { total_bytes: TOTAL_BYTES, used_bytes, total_inodes: TOTAL_INODES, used_inodes })
    }

    async fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        self.state.lock().lookup(parent, name)
    }

    async fn entries_after(&self, dir: Ino, after: Option<&[u8]>) -> Result<Vec<NamedEntry>> {
        self.state.lock().entries_after(dir, after)
    }

    async fn getattr(&self, ino: Ino) -> Result<Attr> {
        self.state.lock().attr(ino)
    }

    async fn setattr(&self, _caller: Caller, ino: Ino, set: SetAttr) -> Result<Attr> {
        self.at_now(|state, now| state.setattr(now, ino, set))
    }

    async fn readlink(&self, ino: Ino) -> Result<Bytes> {
        self.at_now(|state, now| state.readlink(now, ino))
    }

    async fn mknod(&self, caller: Caller, parent: Ino, name: &[u8], node: NewNode) -> Result<Attr> {
        self.at_now(|state, now| state.mknod(now, caller, parent, name, node))
    }

    async fn mkdir(&self, caller: Caller, parent: Ino, name: &[u8], perm: u16, umask: u16) -> Result<Attr> {
        self.at_now(|state, now| state.mkdir(now, caller, parent, name, (perm, umask)))
    }

    async fn symlink(&self, caller: Caller, parent: Ino, name: &[u8], target: &[u8]) -> Result<Attr> {
        self.at_now(|state, now| state.symlink(now, caller, parent, name, target))
    }

    async fn unlink(&self, _caller: Caller, parent: Ino, name: &[u8]) -> Result<()> {
        self.at_now(|state, now| state.unlink(now, parent, name))
    }

    async fn rmdir(&self, _caller: Caller, parent: Ino, name: &[u8]) -> Result<()> {
        self.at_now(|state, now| state.rmdir(now, parent, name))
    }

    async fn rename(
        &self,
        _caller: Caller,
        parent: Ino,
        name: &[u8],
        new_parent: Ino,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        let from = Place { dir: parent, name };
        let to = Place { dir: new_parent, name: new_name };
        self.at_now(|state, now| state.rename(now, from, to, mode))
    }

    async fn link(&self, _caller: Caller, ino: Ino, new_parent: Ino, new_name: &[u8]) -> Result<Attr> {
        self.at_now(|state, now| state.link(now, ino, new_parent, new_name))
    }

    async fn create(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        perm: u16,
        umask: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Handle)> {
        self.at_now(|state, now| state.create(now, caller, (parent, name), (perm, umask), flags))
    }

    async fn tmpfile(
        &self,
        caller: Caller,
        parent: Ino,
        perm: u16,
        umask: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Handle)> {
        self.at_now(|state, now| state.tmpfile(now, caller, parent, (perm, umask), flags))
    }

    async fn open(&self, _caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Handle> {
        self.at_now(|state, now| state.open(now, ino, flags))
    }

    async fn read(&self, handle: Handle, offset: u64, len: u32) -> Result<Vec<Bytes>> {
        self.at_now(|state, now| state.read(now, handle, offset, len))
    }

    async fn write(&self, handle: Handle, offset: u64, data: Bytes, flags: WriteFlags) -> Result<()> {
        self.at_now(|state, now| state.write(now, handle, offset, &data, flags))
    }

    async fn flush(&self, handle: Handle, lock_owner: u64) -> Result<()> {
        self.change_locks(|state| {
            let (ino, _) = state.file_handle(handle)?;
            state.locks.set(ino, unlock_all(LockFamily::Posix, lock_owner));
            Ok(())
        })
    }

    async fn release(&self, handle: Handle, flock_owner: Option<u64>) -> Result<()> {
        self.change_locks(|state| {
            let (ino, _) = state.file_handle(handle)?;
            if let Some(owner) = flock_owner {
                state.locks.set(ino, unlock_all(LockFamily::Flock, owner));
            }
            state.release(handle)
        })
    }

    async fn fsync(&self, handle: Handle, _data_only: bool) -> Result<()> {
        self.state.lock().file_handle(handle).map(|_| ())
    }

    async fn opendir(&self, _caller: Caller, ino: Ino) -> Result<Handle> {
        self.state.lock().opendir(ino)
    }

    async fn readdir(&self, handle: Handle, cookie: u64, with_attrs: bool) -> Result<Vec<DirEntry>> {
        self.at_now(|state, now| state.readdir(now, handle, cookie, with_attrs))
    }

    async fn releasedir(&self, handle: Handle) -> Result<()> {
        self.state.lock().releasedir(handle)
    }

    async fn fsyncdir(&self, handle: Handle) -> Result<()> {
        self.state.lock().dir_handle(handle).map(|_| ())
    }

    async fn syncfs(&self) -> Result<()> {
        Ok(())
    }

    async fn setxattr(&self, _caller: Caller, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        self.at_now(|state, now| state.setxattr(now, ino, name, value, mode))
    }

    async fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Bytes> {
        self.state.lock().getxattr(ino, name)
    }

    async fn listxattr(&self, ino: Ino) -> Result<Vec<Bytes>> {
        self.state.lock().listxattr(ino)
    }

    async fn removexattr(&self, _caller: Caller, ino: Ino, name: &[u8]) -> Result<()> {
        self.at_now(|state, now| state.removexattr(now, ino, name))
    }

    async fn getlk(&self, handle: Handle, owner: u64, lock: FileLock) -> Result<Option<FileLock>> {
        let state = self.state.lock();
        let (ino, _) = state.file_handle(handle)?;
        if lock.start > lock.end {
            return Err(ErrorKind::InvalidArgument.into());
        }
        Ok(state.locks.blocker(ino, &Owned { family: LockFamily::Posix, owner, lock }))
    }

    async fn setlk(&self, handle: Handle, family: LockFamily, owner: u64, lock: FileLock, wait: bool) -> Result<()> {
        let wish = Owned { family, owner, lock };
        loop {
            // Made before the look, so that a release in between is not missed.
            let changed = self.locks_changed.notified();
            let Some(listed) = self.lock_or_enqueue(handle, wish, wait)? else {
                return Ok(());
            };
            changed.await;
            drop(listed);
        }
    }

    async fn fallocate(&self, handle: Handle, offset: u64, len: u64, mode: FallocateMode) -> Result<()> {
        self.at_now(|state, now| state.fallocate(now, handle, (offset, len), mode))
    }

    async fn lseek(&self, handle: Handle, offset: u64, whence: SeekWhence) -> Result<u64> {
        self.state.lock().lseek(handle, offset, whence)
    }

    async fn copy_file_range(
        &self,
        from: Handle,
        from_offset: u64,
        to: Handle,
        to_offset: u64,
        len: u64,
    ) -> Result<u64> {
        self.at_now(|state, now| state.copy_file_range(now, (from, from_offset), (to, to_offset), len))
    }
}
