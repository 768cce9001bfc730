//! The file-system interface of an open volume.
//!
//! Owns the joining of rules (`ops`), transactions, handles and locks into [`FileSystem`]; decides nothing about meaning itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::changes::ChangeFeed;
use crate::error::{ErrorKind, Result};
use crate::fs::{
    Attr, Caller, DirEntry, FallocateMode, FileKind, FileLock, FileSystem, Handle, LockFamily, LockKind, NamedEntry,
    NewNode, OpenFlags, RenameMode, SeekWhence, SetAttr, StatFs, WriteFlags, XattrMode,
};
use crate::kv::{KvRead, OpResult};
use crate::locks::LockOwner;
use crate::meter::Meter;
use crate::ops::{self, Removed};
use crate::types::Ino;
use crate::volume::handles::{FIRST_ENTRY, OpenFile};
use crate::volume::recent::RecentOp;
use crate::volume::{Shared, Volume};

/// What an unlimited volume claims to hold: 1 PiB, which every tool can show.
const UNLIMITED_BYTES: u64 = 1 << 50;
/// Inodes that an unlimited volume claims to hold.
const UNLIMITED_INODES: u64 = 1 << 40;
/// Entries of one directory answer.
const ENTRIES_PER_READ: usize = 512;

impl Shared {
    /// Reaps what a removal left without a name, unless it is open; a failure leaves it to the next mount.
    async fn after_removal(&self, removed: Option<Removed>) {
        if let Some(Removed { ino, orphaned: true, .. }) = removed
            && !self.handles.is_held(ino)
            && let Err(error) = self.reap(ino).await
        {
            tracing::debug!("inode {ino} is reaped later: {error}");
        }
    }

    /// Holds `ino` open and checks that it is there; `check` decides about its kind.
    async fn open_held(&self, ino: Ino, check: impl Fn(&Attr) -> Result<()>) -> Result<Attr> {
        self.handles.hold(ino);
        let attr = self.view(|kv| ops::getattr(kv, ino)).await.and_then(|attr| check(&attr).map(|()| attr));
        if attr.is_err() {
            self.handles.unhold(ino);
        }
        attr
    }

    async fn release_held(&self, ino: Ino, last: bool) {
        if !last {
            return;
        }
        self.follower.forget(ino);
        if self.options.read_only {
            return;
        }
        if let Ok(attr) = self.view(|kv| ops::getattr(kv, ino)).await
            && attr.nlink == 0
        {
            self.after_removal(Some(Removed { ino, kind: attr.kind, orphaned: true })).await;
        }
    }

    fn readable_file(&self, handle: Handle) -> Result<Arc<OpenFile>> {
        let file = self.handles.file(handle)?;
        if file.flags.read { Ok(file) } else { Err(ErrorKind::BadHandle.into()) }
    }

    fn writable_file(&self, handle: Handle) -> Result<Arc<OpenFile>> {
        let file = self.handles.file(handle)?;
        if file.flags.write { Ok(file) } else { Err(ErrorKind::BadHandle.into()) }
    }

    async fn commit_all(self: &Arc<Self>) -> Result<()> {
        if self.options.read_only {
            return Ok(());
        }
        let lsn = self.state.read().last_lsn();
        self.commit(lsn).await
    }

    /// `ops::relatime`, only where it costs no more than a look.
    async fn note_access(&self, ino: Ino) {
        if self.options.read_only {
            return;
        }
        let now = self.env.clock.now();
        let stale = self.view(|kv| ops::getattr(kv, ino)).await.is_ok_and(|attr| ops::relatime(&attr, now));
        if stale {
            // An access time is not worth failing a read.
            let _ = self.transact(Caller::default(), &[], |tx, cx, _| ops::touch_atime(tx, cx, ino)).await;
        }
    }

    fn writable(&self) -> Result<()> {
        self.check_writable()
    }
}

impl Volume {
    async fn change<T>(
        &self,
        caller: Caller,
        op: impl FnMut(&mut crate::kv::Txn<'_>, &ops::OpCx, Ino) -> OpResult<T>,
    ) -> Result<T> {
        self.shared.writable()?;
        self.shared.transact(caller, &[], op).await
    }
}

/// Where a directory stream is to go on.
struct Resume {
    cookie: u64,
    after: Option<Vec<u8>>,
    skip: u64,
}

/// The entries of one answer: `.` and `..` if they are due, and those that follow. A removed directory has none.
fn list(kv: &dyn KvRead, ino: Ino, from: &Resume, with_attrs: bool) -> OpResult<(Vec<DirEntry>, Vec<ops::Entry>)> {
    if ops::getattr(kv, ino)?.nlink == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    let (mut after, mut skip) = (from.after.clone(), from.skip);
    loop {
        let mut found = ops::readdir_page(kv, ino, after.as_deref(), ENTRIES_PER_READ, with_attrs)?;
        let passed = usize::try_from(skip).unwrap_or(usize::MAX).min(found.len());
        let gone: Vec<_> = found.drain(..passed).collect();
        skip -= passed as u64;
        if let Some(last) = gone.into_iter().next_back() {
            after = Some(last.key_name);
        }
        if skip == 0 && !found.is_empty() || passed == 0 {
            return Ok((dot_entries(kv, ino, from.cookie)?, found));
        }
    }
}

fn dot_entries(kv: &dyn KvRead, ino: Ino, cookie: u64) -> OpResult<Vec<DirEntry>> {
    if cookie >= FIRST_ENTRY - 1 {
        return Ok(Vec::new());
    }
    let parent = ops::inode::load(kv, ino)?.parent;
    let dot = |name: &'static [u8], ino, cookie| DirEntry {
        name: Bytes::from_static(name),
        ino,
        kind: FileKind::Dir,
        cookie,
        attr: None,
    };
    let all = [dot(b".", ino, 1), dot(b"..", parent, 2)];
    Ok(all.into_iter().filter(|e| e.cookie > cookie).collect())
}

impl FileSystem for Volume {
    fn changes(&self) -> Option<ChangeFeed> {
        self.shared.options.read_only.then(|| self.shared.follower.listeners.subscribe())
    }

    fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.shared.meter)
    }

    async fn statfs(&self) -> Result<StatFs> {
        let state = self.shared.state.read();
        Ok(StatFs {
            total_bytes: UNLIMITED_BYTES,
            used_bytes: state.data_bytes,
            total_inodes: UNLIMITED_INODES,
            used_inodes: state.inodes,
        })
    }

    async fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        let cx = self.shared.op_cx(Caller::default());
        self.shared.view(|kv| ops::lookup(kv, &cx, parent, name)).await
    }

    async fn find(&self, parent: Ino, name: &[u8]) -> Result<NamedEntry> {
        let cx = self.shared.op_cx(Caller::default());
        self.shared.view(|kv| ops::find_named(kv, &cx, parent, name)).await
    }

    async fn entries_after(&self, dir: Ino, after: Option<&[u8]>) -> Result<Vec<NamedEntry>> {
        let cx = self.shared.op_cx(Caller::default());
        match self.shared.view(|kv| ops::entries_after(kv, &cx, dir, after, ENTRIES_PER_READ)).await {
            Err(error) if error.kind() == ErrorKind::Stale && self.shared.follower.has_departed(dir) => Ok(Vec::new()),
            other => other,
        }
    }

    async fn getattr(&self, ino: Ino) -> Result<Attr> {
        match self.shared.view(|kv| ops::getattr(kv, ino)).await {
            // Open, and gone with a checkpoint: it has no name any more.
            Err(error) if error.kind() == ErrorKind::Stale => {
                self.shared.view_held(ino, |kv| Ok(Attr { nlink: 0, ..ops::getattr(kv, ino)? })).await
            }
            other => other,
        }
    }

    async fn setattr(&self, caller: Caller, ino: Ino, set: SetAttr) -> Result<Attr> {
        self.change(caller, |tx, cx, _| ops::setattr(tx, cx, ino, set)).await
    }

    async fn readlink(&self, ino: Ino) -> Result<Bytes> {
        let target = self.shared.view(|kv| ops::readlink(kv, ino)).await?;
        self.shared.note_access(ino).await;
        Ok(Bytes::from(target))
    }

    async fn mknod(&self, caller: Caller, parent: Ino, name: &[u8], node: NewNode) -> Result<Attr> {
        self.change(caller, |tx, cx, new| ops::mknod(tx, cx, parent, name, node, new)).await
    }

    async fn mkdir(&self, caller: Caller, parent: Ino, name: &[u8], perm: u16, umask: u16) -> Result<Attr> {
        self.change(caller, |tx, cx, new| ops::mkdir(tx, cx, parent, name, perm, umask, new)).await
    }

    async fn symlink(&self, caller: Caller, parent: Ino, name: &[u8], target: &[u8]) -> Result<Attr> {
        self.change(caller, |tx, cx, new| ops::symlink(tx, cx, parent, name, target, new)).await
    }

    async fn unlink(&self, caller: Caller, parent: Ino, name: &[u8]) -> Result<()> {
        let removed = self.change(caller, |tx, cx, _| ops::unlink(tx, cx, parent, name)).await?;
        self.shared.note_name(RecentOp::Delete, parent, name);
        self.shared.after_removal(Some(removed)).await;
        Ok(())
    }

    async fn rmdir(&self, caller: Caller, parent: Ino, name: &[u8]) -> Result<()> {
        let removed = self.change(caller, |tx, cx, _| ops::rmdir(tx, cx, parent, name)).await?;
        self.shared.after_removal(Some(removed)).await;
        Ok(())
    }

    async fn rename(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        new_parent: Ino,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        let renamed =
            self.change(caller, |tx, cx, _| ops::rename(tx, cx, parent, name, new_parent, new_name, mode)).await?;
        self.shared.note_name(RecentOp::Rename, new_parent, new_name);
        self.shared.after_removal(renamed.removed).await;
        Ok(())
    }

    async fn link(&self, caller: Caller, ino: Ino, new_parent: Ino, new_name: &[u8]) -> Result<Attr> {
        self.change(caller, |tx, cx, _| ops::link(tx, cx, ino, new_parent, new_name)).await
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
        loop {
            let created =
                self.change(caller, |tx, cx, new| ops::create(tx, cx, parent, name, perm, umask, flags, new)).await?;
            match self.shared.open_held(created.attr.ino, |_| Ok(())).await {
                Ok(attr) => {
                    self.shared.note_name(RecentOp::Create, parent, name);
                    return Ok((attr, self.shared.handles.add_file(attr.ino, flags)));
                }
                // Removed by somebody else in between: the name is free again.
                Err(error) if error.kind() == ErrorKind::Stale => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn tmpfile(
        &self,
        caller: Caller,
        parent: Ino,
        perm: u16,
        umask: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Handle)> {
        let attr = self.change(caller, |tx, cx, new| ops::tmpfile(tx, cx, parent, perm, umask, flags, new)).await?;
        let attr = self.shared.open_held(attr.ino, |_| Ok(())).await?;
        Ok((attr, self.shared.handles.add_file(attr.ino, flags)))
    }

    async fn open(&self, caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Handle> {
        if flags.write || flags.truncate {
            self.shared.writable()?;
        }
        let only_files = |attr: &Attr| match attr.kind {
            FileKind::File => Ok(()),
            FileKind::Dir => Err(ErrorKind::IsADirectory.into()),
            _ => Err(ErrorKind::InvalidArgument.into()),
        };
        self.shared.open_held(ino, only_files).await?;
        if flags.truncate {
            let cut = self.change(caller, |tx, cx, _| ops::truncate(tx, cx, ino, 0, flags.kill_suid_sgid)).await;
            if let Err(error) = cut {
                self.shared.handles.unhold(ino);
                return Err(error);
            }
        }
        Ok(self.shared.handles.add_file(ino, flags))
    }

    async fn read(&self, handle: Handle, offset: u64, len: u32) -> Result<Vec<Bytes>> {
        let file = self.shared.readable_file(handle)?;
        let bytes = self.shared.read_range(file.ino, offset, u64::from(len), &file.ahead).await?;
        if len > 0 {
            let count = bytes.iter().map(|b| b.len() as u64).sum();
            file.read.fetch_add(count, Ordering::Relaxed);
            self.shared.meter.note_read(count);
            self.shared.note_access(file.ino).await;
        }
        Ok(bytes)
    }

    async fn write(&self, handle: Handle, offset: u64, data: Bytes, flags: WriteFlags) -> Result<()> {
        let file = self.shared.writable_file(handle)?;
        let flags = WriteFlags { sync: flags.sync || file.flags.sync, ..flags };
        let count = data.len() as u64;
        file.written.fetch_add(count, Ordering::Relaxed);
        if file.flags.append {
            self.shared.append(file.ino, &data, flags).await?;
        } else {
            self.shared.write_range(file.ino, offset, &data, flags).await?;
        }
        self.shared.meter.note_written(count);
        Ok(())
    }

    async fn flush(&self, handle: Handle, lock_owner: u64) -> Result<()> {
        let ino = self.shared.handles.ino(handle)?;
        self.shared.locks.release_owner(ino, LockFamily::Posix, LockOwner(lock_owner));
        Ok(())
    }

    async fn release(&self, handle: Handle, flock_owner: Option<u64>) -> Result<()> {
        if let Ok(file) = self.shared.handles.file(handle) {
            let moved = [&file.read, &file.written].map(|bytes| bytes.load(Ordering::Relaxed));
            self.shared.note_closed(file.ino, moved[0], moved[1]);
        }
        let (ino, last) = self.shared.handles.remove(handle)?;
        if let Some(owner) = flock_owner {
            self.shared.locks.release_owner(ino, LockFamily::Flock, LockOwner(owner));
        }
        if last {
            self.shared.locks.release_inode(ino);
        }
        self.shared.release_held(ino, last).await;
        Ok(())
    }

    async fn fsync(&self, handle: Handle, _data_only: bool) -> Result<()> {
        self.shared.handles.ino(handle)?;
        self.shared.commit_all().await
    }

    async fn opendir(&self, _caller: Caller, ino: Ino) -> Result<Handle> {
        let only_dirs = |attr: &Attr| match attr.kind {
            FileKind::Dir => Ok(()),
            _ => Err(ErrorKind::NotADirectory.into()),
        };
        self.shared.open_held(ino, only_dirs).await?;
        Ok(self.shared.handles.add_dir(ino))
    }

    async fn readdir(&self, handle: Handle, cookie: u64, with_attrs: bool) -> Result<Vec<DirEntry>> {
        let stream = self.shared.handles.dir(handle)?;
        let (after, skip) = stream.resume(cookie);
        let from = Resume { cookie, after, skip };
        let (mut out, found) = match self.shared.view(|kv| list(kv, stream.ino, &from, with_attrs)).await {
            Err(error) if error.kind() == ErrorKind::Stale && self.shared.follower.has_departed(stream.ino) => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        stream.remember(cookie, found.iter().map(|e| e.key_name.as_slice()));
        let first = cookie.max(FIRST_ENTRY - 1) + 1;
        out.extend(found.into_iter().zip(first..).map(|(e, cookie)| DirEntry {
            name: e.display.into(),
            ino: e.ino,
            kind: e.kind,
            cookie,
            attr: e.attr,
        }));
        self.shared.note_access(stream.ino).await;
        Ok(out)
    }

    async fn releasedir(&self, handle: Handle) -> Result<()> {
        let (ino, last) = self.shared.handles.remove(handle)?;
        self.shared.release_held(ino, last).await;
        Ok(())
    }

    async fn fsyncdir(&self, handle: Handle) -> Result<()> {
        self.shared.handles.ino(handle)?;
        self.shared.commit_all().await
    }

    async fn syncfs(&self) -> Result<()> {
        self.shared.commit_all().await
    }

    async fn setxattr(&self, caller: Caller, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        self.change(caller, |tx, cx, _| ops::setxattr(tx, cx, ino, name, value, mode)).await
    }

    async fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Bytes> {
        self.shared.view_held(ino, |kv| ops::getxattr(kv, ino, name)).await.map(Bytes::from)
    }

    async fn listxattr(&self, ino: Ino) -> Result<Vec<Bytes>> {
        let names = self.shared.view_held(ino, |kv| ops::listxattr(kv, ino)).await?;
        Ok(names.into_iter().map(Bytes::from).collect())
    }

    async fn removexattr(&self, caller: Caller, ino: Ino, name: &[u8]) -> Result<()> {
        self.change(caller, |tx, cx, _| ops::removexattr(tx, cx, ino, name)).await
    }

    async fn getlk(&self, handle: Handle, owner: u64, lock: FileLock) -> Result<Option<FileLock>> {
        let ino = self.shared.handles.ino(handle)?;
        Ok(self.shared.locks.getlk(ino, LockOwner(owner), lock))
    }

    async fn setlk(&self, handle: Handle, family: LockFamily, owner: u64, lock: FileLock, wait: bool) -> Result<()> {
        let ino = match (family, self.shared.handles.file(handle)) {
            (LockFamily::Posix, Ok(file)) => {
                let allowed = match lock.kind {
                    LockKind::Read => file.flags.read,
                    LockKind::Write => file.flags.write,
                    LockKind::Unlock => true,
                };
                if !allowed {
                    return Err(ErrorKind::BadHandle.into());
                }
                file.ino
            }
            _ => self.shared.handles.ino(handle)?,
        };
        self.shared.locks.setlk(ino, family, LockOwner(owner), lock, wait).await
    }

    async fn fallocate(&self, handle: Handle, offset: u64, len: u64, mode: FallocateMode) -> Result<()> {
        if len == 0 {
            return Err(ErrorKind::InvalidArgument.into());
        }
        let file = self.shared.writable_file(handle)?;
        self.change(Caller::default(), |tx, cx, _| ops::fallocate(tx, cx, file.ino, offset, len, mode)).await.map(drop)
    }

    async fn lseek(&self, handle: Handle, offset: u64, whence: SeekWhence) -> Result<u64> {
        let file = self.shared.handles.file(handle)?;
        self.shared
            .view_held(file.ino, |kv| match whence {
                SeekWhence::Data => ops::seek_data(kv, file.ino, offset),
                SeekWhence::Hole => ops::seek_hole(kv, file.ino, offset),
            })
            .await
    }

    async fn copy_file_range(
        &self,
        from: Handle,
        from_offset: u64,
        to: Handle,
        to_offset: u64,
        len: u64,
    ) -> Result<u64> {
        let source = self.shared.readable_file(from)?;
        let target = self.shared.writable_file(to)?;
        if target.flags.append {
            return Err(ErrorKind::BadHandle.into());
        }
        self.change(Caller::default(), |tx, cx, _| {
            ops::share_range(tx, cx, source.ino, from_offset, target.ino, to_offset, len)
        })
        .await
    }
}
