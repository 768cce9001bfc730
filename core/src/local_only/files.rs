//! The file-system interface: each call to whichever side its inode, handle or name belongs to.

use std::sync::Arc;

use bytes::Bytes;

use super::names::{check_parent, elsewhere};
use super::{LocalOnly, Marked as _, Side, shown};
use crate::changes::ChangeFeed;
use crate::error::Result;
use crate::fs::{
    Attr, Caller, DirEntry, FallocateMode, FileLock, FileSystem, Handle, LockFamily, NamedEntry, NewNode, OpenFlags,
    RenameMode, SeekWhence, SetAttr, StatFs, WriteFlags, XattrMode,
};
use crate::meter::Meter;
use crate::types::Ino;

/// Makes a call where `$number` belongs; in the call it is the number that it has there.
macro_rules! where_it_is {
    ($self:ident, $number:ident, $fs:ident => $call:expr) => {
        match Side::of($number) {
            Side::Volume($number) => {
                let $fs = &$self.volume;
                $call.await
            }
            Side::Local($number) => {
                let $fs = &$self.local;
                $call.await
            }
        }
    };
}

/// A file that was made in the companion, as it is shown.
fn shown_open((attr, handle): (Attr, Handle)) -> (Attr, Handle) {
    (shown(attr), handle.shown())
}

impl<F: FileSystem, L: FileSystem> FileSystem for LocalOnly<F, L> {
    fn changes(&self) -> Option<ChangeFeed> {
        self.volume.changes()
    }

    fn meter(&self) -> Arc<Meter> {
        self.volume.meter()
    }

    async fn statfs(&self) -> Result<StatFs> {
        self.volume.statfs().await
    }

    async fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        check_parent(parent)?;
        let of_volume = self.volume.lookup(parent, name).await;
        // The name does not matter.
        let of_volume = of_volume.map(|attr| NamedEntry { name: Bytes::new(), attr });
        self.or_local(of_volume, parent, name).await.map(|found| found.attr)
    }

    async fn find(&self, parent: Ino, name: &[u8]) -> Result<NamedEntry> {
        check_parent(parent)?;
        self.or_local(self.volume.find(parent, name).await, parent, name).await
    }

    async fn entries_after(&self, dir: Ino, after: Option<&[u8]>) -> Result<Vec<NamedEntry>> {
        self.named_after(dir, after).await
    }

    async fn getattr(&self, ino: Ino) -> Result<Attr> {
        match Side::of(ino) {
            Side::Volume(ino) => self.volume.getattr(ino).await,
            Side::Local(ino) => self.local.getattr(ino).await.map(shown),
        }
    }

    async fn setattr(&self, caller: Caller, ino: Ino, set: SetAttr) -> Result<Attr> {
        self.setattr_of(caller, ino, set).await
    }

    async fn readlink(&self, ino: Ino) -> Result<Bytes> {
        where_it_is!(self, ino, fs => fs.readlink(ino))
    }

    async fn mknod(&self, caller: Caller, parent: Ino, name: &[u8], node: NewNode) -> Result<Attr> {
        let in_volume = self.volume.mknod(caller, parent, name, node);
        self.make((parent, name), in_volume, |dir| self.local.mknod(caller, dir, name, node), shown).await
    }

    async fn mkdir(&self, caller: Caller, parent: Ino, name: &[u8], perm: u16, umask: u16) -> Result<Attr> {
        self.mkdir_in(caller, (parent, name), perm, umask).await
    }

    async fn symlink(&self, caller: Caller, parent: Ino, name: &[u8], target: &[u8]) -> Result<Attr> {
        let in_volume = self.volume.symlink(caller, parent, name, target);
        self.make((parent, name), in_volume, |dir| self.local.symlink(caller, dir, name, target), shown).await
    }

    async fn unlink(&self, caller: Caller, parent: Ino, name: &[u8]) -> Result<()> {
        self.unlink_in(caller, parent, name).await
    }

    async fn rmdir(&self, caller: Caller, parent: Ino, name: &[u8]) -> Result<()> {
        self.rmdir_in(caller, parent, name).await
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
        self.rename_in(caller, (parent, name), (new_parent, new_name), mode).await
    }

    async fn link(&self, caller: Caller, ino: Ino, new_parent: Ino, new_name: &[u8]) -> Result<Attr> {
        self.link_in(caller, ino, new_parent, new_name).await
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
        let in_volume = self.volume.create(caller, parent, name, perm, umask, flags);
        let in_local = |dir| self.local.create(caller, dir, name, perm, umask, flags);
        self.make((parent, name), in_volume, in_local, shown_open).await
    }

    async fn tmpfile(
        &self,
        caller: Caller,
        parent: Ino,
        perm: u16,
        umask: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Handle)> {
        check_parent(parent)?;
        self.volume.tmpfile(caller, parent, perm, umask, flags).await
    }

    async fn open(&self, caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Handle> {
        match Side::of(ino) {
            Side::Volume(ino) => self.volume.open(caller, ino, flags).await,
            Side::Local(ino) => self.local.open(caller, ino, flags).await.map(Handle::shown),
        }
    }

    async fn read(&self, handle: Handle, offset: u64, len: u32) -> Result<Vec<Bytes>> {
        where_it_is!(self, handle, fs => fs.read(handle, offset, len))
    }

    async fn write(&self, handle: Handle, offset: u64, data: Bytes, flags: WriteFlags) -> Result<()> {
        where_it_is!(self, handle, fs => fs.write(handle, offset, data, flags))
    }

    async fn flush(&self, handle: Handle, lock_owner: u64) -> Result<()> {
        where_it_is!(self, handle, fs => fs.flush(handle, lock_owner))
    }

    async fn release(&self, handle: Handle, flock_owner: Option<u64>) -> Result<()> {
        where_it_is!(self, handle, fs => fs.release(handle, flock_owner))
    }

    async fn fsync(&self, handle: Handle, data_only: bool) -> Result<()> {
        where_it_is!(self, handle, fs => fs.fsync(handle, data_only))
    }

    async fn opendir(&self, caller: Caller, ino: Ino) -> Result<Handle> {
        self.open_stream(caller, ino).await
    }

    async fn readdir(&self, handle: Handle, cookie: u64, with_attrs: bool) -> Result<Vec<DirEntry>> {
        self.read_stream(handle, cookie, with_attrs).await
    }

    async fn releasedir(&self, handle: Handle) -> Result<()> {
        self.close_stream(handle).await
    }

    async fn fsyncdir(&self, handle: Handle) -> Result<()> {
        self.volume.fsyncdir(handle).await?;
        self.local.syncfs().await
    }

    async fn syncfs(&self) -> Result<()> {
        self.volume.syncfs().await?;
        self.local.syncfs().await
    }

    async fn setxattr(&self, caller: Caller, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        where_it_is!(self, ino, fs => fs.setxattr(caller, ino, name, value, mode))
    }

    async fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Bytes> {
        where_it_is!(self, ino, fs => fs.getxattr(ino, name))
    }

    async fn listxattr(&self, ino: Ino) -> Result<Vec<Bytes>> {
        where_it_is!(self, ino, fs => fs.listxattr(ino))
    }

    async fn removexattr(&self, caller: Caller, ino: Ino, name: &[u8]) -> Result<()> {
        where_it_is!(self, ino, fs => fs.removexattr(caller, ino, name))
    }

    async fn getlk(&self, handle: Handle, owner: u64, lock: FileLock) -> Result<Option<FileLock>> {
        where_it_is!(self, handle, fs => fs.getlk(handle, owner, lock))
    }

    async fn setlk(&self, handle: Handle, family: LockFamily, owner: u64, lock: FileLock, wait: bool) -> Result<()> {
        where_it_is!(self, handle, fs => fs.setlk(handle, family, owner, lock, wait))
    }

    async fn fallocate(&self, handle: Handle, offset: u64, len: u64, mode: FallocateMode) -> Result<()> {
        where_it_is!(self, handle, fs => fs.fallocate(handle, offset, len, mode))
    }

    async fn lseek(&self, handle: Handle, offset: u64, whence: SeekWhence) -> Result<u64> {
        where_it_is!(self, handle, fs => fs.lseek(handle, offset, whence))
    }

    async fn copy_file_range(
        &self,
        from: Handle,
        from_offset: u64,
        to: Handle,
        to_offset: u64,
        len: u64,
    ) -> Result<u64> {
        match (Side::of(from), Side::of(to)) {
            (Side::Volume(from), Side::Volume(to)) => {
                self.volume.copy_file_range(from, from_offset, to, to_offset, len).await
            }
            (Side::Local(from), Side::Local(to)) => {
                self.local.copy_file_range(from, from_offset, to, to_offset, len).await
            }
            _ => Err(elsewhere()),
        }
    }
}
