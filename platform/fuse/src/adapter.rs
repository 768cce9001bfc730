//! The translation of FUSE requests into calls of a [`FileSystem`], and of their results into replies.
//!
//! Invariants: inode numbers and handles pass one to one; each request is answered once; no meaning is added. What the protocol crate
//! does not pass on, and what is done about it:
//!
//! - The flags "clear set-user-id bits" of truncation and of opening with O_TRUNC: the kernel sets them when the caller lacks
//!   CAP_FSETID, and we do when the caller is not root. A user who was given that capability loses the bits; nobody keeps them
//!   who should not, but a root without the capability. fallocate and copy_file_range have no such flag in the protocol; the
//!   bits are cleared by a second operation.
//! - O_TMPFILE (FUSE_TMPFILE) is not known to the protocol crate: opening gives EOPNOTSUPP. Birth times (FUSE_STATX) are not either.
//! - On macOS, the flags of renamex_np(2) (see `features`), and the position of reading an attribute: a resource fork is answered
//!   whole or with ERANGE.
//! - FUSE_INTERRUPT: a signal, even SIGKILL, does not end an operation under way. Operations are bounded by the engine's timeout;
//!   for the one that is not, waiting for a lock, see [`crate::LockScope`].
//! - Write data is copied once, out of the channel's buffer; read data once when it comes in several pieces.

mod locks;
#[cfg(target_os = "macos")]
mod mac;
mod names;
mod open_handles;
mod replies;
mod requests;
mod xattrs;

use std::ffi::OsStr;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    IoctlFlags, KernelConfig, LockOwner, PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek,
    ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
};
use proxyfs_core::fs::{Attr, FileKind, FileLock, FileSystem, LockKind, NewNode, SetAttr, WriteFlags};
use proxyfs_core::meter::Op;
use proxyfs_core::types::Ino;
use proxyfs_core::{ErrorKind, Result};
use tokio::sync::watch;

use self::locks::{LockWait, set_lock};
use self::open_handles::{HandleKind, OpenHandles};
use self::replies::{Refuse, entries_with_attrs, join_names, reply_pieces, reply_statfs, reply_xattr};
use self::requests::{caller, clear_suid, handle, ino, may_keep_suid, open_flags, owned};
use self::xattrs::Xattrs;
use crate::convert;
use crate::dispatch::{Asked, Dispatcher, Nature};
use crate::features;
use crate::options::{LockScope, MountOptions};
use crate::system::HERE;
use crate::xattr;

/// Inode numbers are never used again, so there is one generation.
const GENERATION: Generation = Generation(0);
/// Most bytes that one copy_file_range reply can report, in whole pages.
const COPY_BYTES_MAX: u64 = 0xffff_f000;

/// Serves one mount of a file system.
pub struct Adapter<F: FileSystem> {
    fs: Arc<F>,
    options: MountOptions,
    dispatcher: Arc<Dispatcher>,
    handles: Arc<OpenHandles>,
    xattrs: Arc<Xattrs>,
    ended: watch::Sender<bool>,
}

impl<F: FileSystem> fmt::Debug for Adapter<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<F: FileSystem> Adapter<F> {
    /// An adapter whose waiting operations run in `dispatcher`, and which sets `ended` when the kernel asks no more.
    pub(crate) fn new(
        fs: Arc<F>,
        options: MountOptions,
        dispatcher: Arc<Dispatcher>,
        ended: watch::Sender<bool>,
    ) -> Self {
        let (handles, xattrs) = (Arc::new(OpenHandles::new()), Arc::new(Xattrs::new(HERE)));
        Self { fs, options, dispatcher, handles, xattrs, ended }
    }

    /// Runs an operation and answers with `accept` or the errno.
    fn run<T, Fut, R>(
        &self,
        nature: Nature,
        asked: Asked,
        reply: R,
        operation: impl FnOnce(Arc<F>) -> Fut,
        accept: impl FnOnce(R, T) + Send + 'static,
    ) where
        T: Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
        R: Refuse,
    {
        if nature == Nature::Change && self.dispatcher.is_poisoned() {
            reply.refuse(Errno::EIO);
            return;
        }
        let operation = operation(Arc::clone(&self.fs));
        let dispatcher = Arc::clone(&self.dispatcher);
        self.dispatcher.drive(nature, async move {
            match dispatcher.settle(asked, operation).await {
                Ok(value) => accept(reply, value),
                Err(errno) => reply.refuse(errno),
            }
        });
    }

    /// Runs an operation that is answered with a new or found entry.
    fn run_entry<Fut>(&self, asked: Asked, name: &OsStr, reply: ReplyEntry, operation: impl FnOnce(Arc<F>) -> Fut)
    where
        Fut: Future<Output = Result<Attr>> + Send + 'static,
    {
        let (ttl, name_ttl) = (self.ttl(), self.options.names.ttl(name.as_bytes(), self.ttl()));
        self.run(Nature::Change, asked, reply, operation, move |reply, attr| {
            reply.entry_with_ttls(&ttl, &name_ttl, &convert::file_attr(&attr), GENERATION);
        });
    }

    /// Runs a change that is answered with nothing.
    fn run_change<Fut>(&self, asked: Asked, reply: ReplyEmpty, operation: impl FnOnce(Arc<F>) -> Fut)
    where
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.run(Nature::Change, asked, reply, operation, |reply, ()| reply.ok());
    }

    /// Runs the end of something, answered with nothing; done also after a panic.
    fn run_end<Fut>(&self, asked: Asked, reply: ReplyEmpty, operation: impl FnOnce(Arc<F>) -> Fut)
    where
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.run(Nature::Query, asked, reply, operation, |reply, ()| reply.ok());
    }

    fn ttl(&self) -> Duration {
        self.options.cache.ttl()
    }
}

#[allow(clippy::too_many_arguments, reason = "the signatures are the protocol crate's")]
impl<F: FileSystem> Filesystem for Adapter<F> {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        features::negotiate(&self.options, config);
        Ok(())
    }

    fn destroy(&mut self) {
        let (fs, dispatcher, handles) = (Arc::clone(&self.fs), Arc::clone(&self.dispatcher), Arc::clone(&self.handles));
        self.dispatcher.drive(Nature::Query, async move {
            // A panic has been logged by then, and there is nobody to answer.
            let _settled = dispatcher.settle(Asked::new(Op::End), handles.release_rest(&*fs)).await;
        });
        self.ended.send_replace(true);
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (name, ttl, negative_ttl) = (owned(name), self.ttl(), self.options.cache.negative_ttl());
        let (parent, names) = (ino(parent), self.options.names);
        let name_ttl = names.ttl(&name, ttl);
        self.run(
            Nature::Query,
            Asked::new(Op::Lookup).of(parent),
            reply,
            move |fs| async move {
                match names.look_up(&*fs, parent, &name).await {
                    Ok(found) => Ok(Some(found)),
                    Err(e) if e.kind() == ErrorKind::NotFound && names.remembers_absence() => Ok(None),
                    Err(e) => Err(e),
                }
            },
            move |reply, found| match found {
                Some(attr) => reply.entry_with_ttls(&ttl, &name_ttl, &convert::file_attr(&attr), GENERATION),
                // Inode 0 means "no such name, and you may remember that".
                None => reply.entry(&negative_ttl, &convert::bare_attr(Ino(0), FileKind::File), GENERATION),
            },
        );
    }

    fn forget(&self, _request: &Request, _ino: INodeNo, _lookups: u64) {}

    fn getattr(&self, _request: &Request, number: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let (ino, ttl) = (ino(number), self.ttl());
        self.run(
            Nature::Query,
            Asked::new(Op::Getattr).of(ino),
            reply,
            move |fs| async move { fs.getattr(ino).await },
            move |reply, attr| reply.attr(&ttl, &convert::file_attr(&attr)),
        );
    }

    fn setattr(
        &self,
        request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (caller, ino, ttl) = (caller(request), ino(number), self.ttl());
        let set = SetAttr {
            perm: mode.map(convert::perm_bits),
            uid,
            gid,
            size,
            atime: atime.map(convert::set_time),
            mtime: mtime.map(convert::set_time),
            ctime: ctime.map(convert::timestamp),
            btime: crtime.map(convert::timestamp),
            kill_suid_sgid: size.is_some() && !may_keep_suid(caller),
        };
        self.run(
            Nature::Change,
            Asked::new(Op::Setattr).of(ino),
            reply,
            move |fs| async move { fs.setattr(caller, ino, set).await },
            move |reply, attr| reply.attr(&ttl, &convert::file_attr(&attr)),
        );
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        let ino = ino(number);
        self.run(
            Nature::Query,
            Asked::new(Op::Readlink).of(ino),
            reply,
            move |fs| async move { fs.readlink(ino).await },
            |reply, target| reply.data(&target),
        );
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let spelt = name;
        let (caller, parent, name, names) = (caller(request), ino(parent), owned(name), self.options.names);
        self.run_entry(Asked::new(Op::Mknod).of(parent), spelt, reply, move |fs| async move {
            let (perm, umask) = (convert::perm_bits(mode), convert::perm_bits(umask));
            let node = NewNode { kind: convert::node_kind(mode)?, perm, umask, rdev };
            fs.mknod(caller, parent, &names.stored(&*fs, parent, &name).await, node).await
        });
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let spelt = name;
        let (caller, parent, name, names) = (caller(request), ino(parent), owned(name), self.options.names);
        let (perm, umask) = (convert::perm_bits(mode), convert::perm_bits(umask));
        self.run_entry(Asked::new(Op::Mkdir).of(parent), spelt, reply, move |fs| async move {
            fs.mkdir(caller, parent, &names.stored(&*fs, parent, &name).await, perm, umask).await
        });
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (caller, parent, name, names) = (caller(request), ino(parent), owned(name), self.options.names);
        self.run_change(Asked::new(Op::Unlink).of(parent), reply, move |fs| async move {
            fs.unlink(caller, parent, &names.stored(&*fs, parent, &name).await).await
        });
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (caller, parent, name, names) = (caller(request), ino(parent), owned(name), self.options.names);
        self.run_change(Asked::new(Op::Rmdir).of(parent), reply, move |fs| async move {
            fs.rmdir(caller, parent, &names.stored(&*fs, parent, &name).await).await
        });
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let spelt = name;
        let (caller, parent, name, names) = (caller(request), ino(parent), owned(name), self.options.names);
        let target = owned(target.as_os_str());
        self.run_entry(Asked::new(Op::Symlink).of(parent), spelt, reply, move |fs| async move {
            fs.symlink(caller, parent, &names.stored(&*fs, parent, &name).await, &target).await
        });
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (caller, parent, name, names) = (caller(request), ino(parent), owned(name), self.options.names);
        let (new_parent, new_name) = (ino(new_parent), owned(new_name));
        self.run_change(Asked::new(Op::Rename).of(parent), reply, move |fs| async move {
            let mode = convert::rename_mode(flags)?;
            let (name, new_name) = names.renamed(&*fs, (parent, &name), (new_parent, &new_name)).await;
            fs.rename(caller, parent, &name, new_parent, &new_name, mode).await
        });
    }

    fn link(&self, request: &Request, number: INodeNo, new_parent: INodeNo, new_name: &OsStr, reply: ReplyEntry) {
        let spelt = new_name;
        let (caller, ino, new_parent, new_name) = (caller(request), ino(number), ino(new_parent), owned(new_name));
        let names = self.options.names;
        self.run_entry(Asked::new(Op::Link).of(ino), spelt, reply, move |fs| async move {
            fs.link(caller, ino, new_parent, &names.stored(&*fs, new_parent, &new_name).await).await
        });
    }

    fn open(&self, request: &Request, number: INodeNo, flags: fuser::OpenFlags, reply: ReplyOpen) {
        let (caller, ino, handles) = (caller(request), ino(number), Arc::clone(&self.handles));
        let flags = open_flags(caller, flags.0);
        let behaviour = features::open_behaviour(&self.options, flags);
        let nature = if flags.truncate { Nature::Change } else { Nature::Query };
        self.run(
            nature,
            Asked::new(Op::Open).of(ino),
            reply,
            move |fs| async move {
                let handle = fs.open(caller, ino, flags).await?;
                handles.opened(&*fs, handle, HandleKind::File).await;
                Ok(handle)
            },
            move |reply, handle| reply.opened(FileHandle(handle.0), behaviour),
        );
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (caller, parent, name) = (caller(request), ino(parent), owned(name));
        let (perm, umask) = (convert::perm_bits(mode), convert::perm_bits(umask));
        let (flags, handles, names) = (open_flags(caller, flags), Arc::clone(&self.handles), self.options.names);
        let ttl = names.ttl(&name, self.ttl());
        let behaviour = features::open_behaviour(&self.options, flags);
        self.run(
            Nature::Change,
            Asked::new(Op::Create).of(parent),
            reply,
            move |fs| async move {
                let name = names.stored(&*fs, parent, &name).await;
                let (attr, handle) = fs.create(caller, parent, &name, perm, umask, flags).await?;
                handles.opened(&*fs, handle, HandleKind::File).await;
                Ok((attr, handle))
            },
            move |reply, (attr, handle)| {
                reply.created(&ttl, &convert::file_attr(&attr), GENERATION, FileHandle(handle.0), behaviour);
            },
        );
    }

    fn read(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: fuser::OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let handle = handle(fh);
        self.run(
            Nature::Query,
            Asked::new(Op::Read).by(handle).bytes(size.into()),
            reply,
            move |fs| async move { fs.read(handle, offset, size).await },
            |reply, pieces| reply_pieces(reply, &pieces),
        );
    }

    fn write(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: fuser::WriteFlags,
        flags: fuser::OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (handle, data) = (handle(fh), Bytes::copy_from_slice(data));
        // A request is at most WRITE_BYTES_MAX long.
        let written = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let flags = WriteFlags {
            kill_suid_sgid: write_flags.contains(fuser::WriteFlags::FUSE_WRITE_KILL_SUIDGID),
            sync: convert::is_sync(flags.0),
        };
        self.run(
            Nature::Change,
            Asked::new(Op::Write).by(handle).bytes(written.into()),
            reply,
            move |fs| async move { fs.write(handle, offset, data, flags).await },
            move |reply, ()| reply.written(written),
        );
    }

    fn flush(&self, _request: &Request, _ino: INodeNo, fh: FileHandle, lock_owner: LockOwner, reply: ReplyEmpty) {
        let handle = handle(fh);
        self.run_end(
            Asked::new(Op::Flush).by(handle),
            reply,
            move |fs| async move { fs.flush(handle, lock_owner.0).await },
        );
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: fuser::OpenFlags,
        lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let (handle, owner) = (handle(fh), lock_owner.map(|owner| owner.0));
        if !self.handles.closed(handle) {
            reply.ok();
            return;
        }
        self.run_end(
            Asked::new(Op::Release).by(handle),
            reply,
            move |fs| async move { fs.release(handle, owner).await },
        );
    }

    fn fsync(&self, _request: &Request, _ino: INodeNo, fh: FileHandle, data_only: bool, reply: ReplyEmpty) {
        let handle = handle(fh);
        self.run_change(
            Asked::new(Op::Fsync).by(handle),
            reply,
            move |fs| async move { fs.fsync(handle, data_only).await },
        );
    }

    fn opendir(&self, request: &Request, number: INodeNo, _flags: fuser::OpenFlags, reply: ReplyOpen) {
        let (caller, ino, handles) = (caller(request), ino(number), Arc::clone(&self.handles));
        self.run(
            Nature::Query,
            Asked::new(Op::Opendir).of(ino),
            reply,
            move |fs| async move {
                let handle = fs.opendir(caller, ino).await?;
                handles.opened(&*fs, handle, HandleKind::Dir).await;
                Ok(handle)
            },
            |reply, handle| reply.opened(FileHandle(handle.0), FopenFlags::empty()),
        );
    }

    fn readdir(&self, _request: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectory) {
        let handle = handle(fh);
        self.run(
            Nature::Query,
            Asked::new(Op::Readdir).by(handle),
            reply,
            move |fs| async move { fs.readdir(handle, offset, false).await },
            |mut reply, entries| {
                for entry in &entries {
                    let (number, name) = (INodeNo(entry.ino.0), OsStr::from_bytes(&entry.name));
                    if reply.add(number, entry.cookie, convert::file_type(entry.kind), name) {
                        break;
                    }
                }
                reply.ok();
            },
        );
    }

    fn readdirplus(&self, _request: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectoryPlus) {
        let (handle, ttl, names) = (handle(fh), self.ttl(), self.options.names);
        self.run(
            Nature::Query,
            Asked::new(Op::Readdirplus).by(handle),
            reply,
            move |fs| async move {
                let entries = fs.readdir(handle, offset, true).await?;
                Ok(entries_with_attrs(&*fs, entries).await)
            },
            move |mut reply, entries| {
                for (entry, attr) in &entries {
                    let (ttl, attr) = match attr {
                        Some(attr) => (names.ttl(&entry.name, ttl), convert::file_attr(attr)),
                        None => (Duration::ZERO, convert::bare_attr(entry.ino, entry.kind)),
                    };
                    let (number, name) = (INodeNo(entry.ino.0), OsStr::from_bytes(&entry.name));
                    if reply.add(number, entry.cookie, name, &ttl, &attr, GENERATION) {
                        break;
                    }
                }
                reply.ok();
            },
        );
    }

    fn releasedir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: fuser::OpenFlags,
        reply: ReplyEmpty,
    ) {
        let handle = handle(fh);
        if !self.handles.closed(handle) {
            reply.ok();
            return;
        }
        self.run_end(
            Asked::new(Op::Releasedir).by(handle),
            reply,
            move |fs| async move { fs.releasedir(handle).await },
        );
    }

    fn fsyncdir(&self, _request: &Request, _ino: INodeNo, fh: FileHandle, _data_only: bool, reply: ReplyEmpty) {
        let handle = handle(fh);
        self.run_change(Asked::new(Op::Fsyncdir).by(handle), reply, move |fs| async move { fs.fsyncdir(handle).await });
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.run(
            Nature::Query,
            Asked::new(Op::Statfs),
            reply,
            |fs| async move { fs.statfs().await },
            |reply, stat| reply_statfs(reply, &stat),
        );
    }

    fn setxattr(
        &self,
        request: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        position: u32,
        reply: ReplyEmpty,
    ) {
        if !xattr::fits(value.len(), position) {
            reply.error(Errno::from_i32(libc::E2BIG));
            return;
        }
        let (caller, ino, name, xattrs) = (caller(request), ino(number), owned(name), Arc::clone(&self.xattrs));
        let value: Box<[u8]> = value.into();
        self.run_change(Asked::new(Op::Setxattr).of(ino), reply, move |fs| async move {
            xattrs.set(&*fs, (caller, ino), &name, (&value, position), flags).await
        });
    }

    fn getxattr(&self, _request: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let (ino, name, xattrs) = (ino(number), owned(name), Arc::clone(&self.xattrs));
        self.run(
            Nature::Query,
            Asked::new(Op::Getxattr).of(ino),
            reply,
            move |fs| async move { xattrs.get(&*fs, ino, &name).await },
            move |reply, value| reply_xattr(reply, size, &value),
        );
    }

    fn listxattr(&self, _request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let (ino, xattrs) = (ino(number), Arc::clone(&self.xattrs));
        self.run(
            Nature::Query,
            Asked::new(Op::Listxattr).of(ino),
            reply,
            move |fs| async move { xattrs.list(&*fs, ino).await },
            move |reply, names| reply_xattr(reply, size, &join_names(&names)),
        );
    }

    fn removexattr(&self, request: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (caller, ino, name, xattrs) = (caller(request), ino(number), owned(name), Arc::clone(&self.xattrs));
        self.run_change(Asked::new(Op::Removexattr).of(ino), reply, move |fs| async move {
            xattrs.remove(&*fs, (caller, ino), &name).await
        });
    }

    fn access(&self, _request: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // With `default_permissions` the kernel decides by itself.
        reply.ok();
    }

    fn getlk(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        lock_owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        reply: ReplyLock,
    ) {
        let (handle, owner) = (handle(fh), lock_owner.0);
        self.run(
            Nature::Query,
            Asked::new(Op::Getlk).by(handle),
            reply,
            move |fs| async move {
                let lock = convert::file_lock(start, end, kind, pid)?;
                let free = FileLock { kind: LockKind::Unlock, ..lock };
                Ok(fs.getlk(handle, owner, lock).await?.unwrap_or(free))
            },
            |reply, lock| {
                let (start, end, kind, pid) = convert::lock_parts(lock);
                reply.locked(start, end, kind, pid);
            },
        );
    }

    fn setlk(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        lock_owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        if self.options.locks == LockScope::Kernel {
            // Not asked by a kernel that was told at the start; it would then do it itself.
            reply.error(Errno::ENOSYS);
            return;
        }
        let (handle, owner) = (handle(fh), lock_owner.0);
        let wait = if sleep { LockWait::Thread(request.pid()) } else { LockWait::No };
        let nature = if sleep { Nature::LockWait } else { Nature::Query };
        self.run(
            nature,
            Asked::new(if sleep { Op::LockWait } else { Op::Setlk }).by(handle),
            reply,
            move |fs| async move {
                let lock = convert::file_lock(start, end, kind, pid)?;
                set_lock(&*fs, handle, owner, lock, wait).await
            },
            |reply, ()| reply.ok(),
        );
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _command: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn poll(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _notifier: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        // The one place for ENOSYS: the kernel then takes every file for ready and asks no more.
        reply.error(Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        request: &Request,
        number: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let (caller, ino, handle) = (caller(request), ino(number), handle(fh));
        self.run_change(Asked::new(Op::Fallocate).by(handle).bytes(length), reply, move |fs| async move {
            fs.fallocate(handle, offset, length, convert::fallocate_mode(mode)?).await?;
            clear_suid(&*fs, caller, ino).await
        });
    }

    fn lseek(&self, _request: &Request, _ino: INodeNo, fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let Ok(offset) = u64::try_from(offset) else {
            reply.error(Errno::ENXIO);
            return;
        };
        let handle = handle(fh);
        self.run(
            Nature::Query,
            Asked::new(Op::Lseek).by(handle),
            reply,
            move |fs| async move { fs.lseek(handle, offset, convert::seek_whence(whence)?).await },
            |reply, found| match i64::try_from(found) {
                Ok(found) => reply.offset(found),
                Err(_) => reply.error(Errno::EOVERFLOW),
            },
        );
    }

    fn copy_file_range(
        &self,
        request: &Request,
        _from_ino: INodeNo,
        from: FileHandle,
        from_offset: u64,
        to_ino: INodeNo,
        to: FileHandle,
        to_offset: u64,
        len: u64,
        flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        if !flags.is_empty() {
            reply.error(Errno::EINVAL);
            return;
        }
        let (caller, to_ino, from, to) = (caller(request), ino(to_ino), handle(from), handle(to));
        let len = len.min(COPY_BYTES_MAX);
        self.run(
            Nature::Change,
            Asked::new(Op::CopyFileRange).by(to).of(to_ino).bytes(len),
            reply,
            move |fs| async move {
                let copied = fs.copy_file_range(from, from_offset, to, to_offset, len).await?;
                clear_suid(&*fs, caller, to_ino).await?;
                Ok(copied)
            },
            |reply, copied| reply.written(u32::try_from(copied).unwrap_or(u32::MAX)),
        );
    }

    #[cfg(target_os = "macos")]
    fn setvolname(&self, _request: &Request, _name: &OsStr, reply: ReplyEmpty) {
        mac::refuse_volume_name(reply);
    }

    #[cfg(target_os = "macos")]
    fn getxtimes(&self, _request: &Request, number: INodeNo, reply: fuser::ReplyXTimes) {
        let ino = ino(number);
        self.run(
            Nature::Query,
            Asked::new(Op::Getattr).of(ino),
            reply,
            move |fs| async move { fs.getattr(ino).await },
            |reply, attr| mac::reply_times(reply, &attr),
        );
    }
}
