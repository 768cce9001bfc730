//! A temporary directory of the machine behind the file-system interface.
//!
//! Inodes are held by O_PATH descriptors and reached through /proc/self/fd. It does what the kernel's FUSE client would do
//! above a file system (opens only regular files, looks before it creates), and nothing more.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

use bytes::Bytes;
use parking_lot::Mutex;
use proxyfs_core::fs::{
    Attr, Caller, DirEntry, FallocateMode, FileKind, FileLock, FileSystem, Handle, LockFamily, NamedEntry, NewNode,
    OpenFlags, RenameMode, SeekWhence, SetAttr, SetTime, StatFs, WriteFlags, XattrMode,
};
use proxyfs_core::types::{Ino, Timestamp};
use proxyfs_core::{Error, ErrorKind, Result};
use proxyfs_harness::diff::Subject;
use rustix::fs::{self as sys, AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags};
use rustix::io::Errno;
use tempfile::TempDir;

/// The umask belongs to the process; one creation at a time.
static UMASK: Mutex<()> = Mutex::new(());

/// What our cookies are above the kernel's, as the dots have the first ones.
const COOKIE_SHIFT: u64 = 2;

/// A real directory as a file system.
#[derive(Debug)]
pub(crate) struct RealDir {
    state: Mutex<Real>,
    _dir: TempDir,
}

#[derive(Debug)]
struct Real {
    nodes: BTreeMap<Ino, OwnedFd>,
    numbers: BTreeMap<u64, Ino>,
    handles: BTreeMap<Handle, (OwnedFd, Ino)>,
    next: u64,
}

impl RealDir {
    /// A fresh directory with the model's root permissions.
    pub(crate) fn new() -> std::io::Result<Self> {
        let dir = TempDir::new()?;
        let fd = sys::open(dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        sys::chmod(dir.path(), Mode::from_raw_mode(0o755))?;
        let numbers = BTreeMap::from([(sys::fstat(&fd)?.st_ino, Ino::ROOT)]);
        let nodes = BTreeMap::from([(Ino::ROOT, fd)]);
        let state = Real { nodes, numbers, handles: BTreeMap::new(), next: Ino::ROOT.0 + 1 };
        Ok(Self { state: Mutex::new(state), _dir: dir })
    }

    /// Why this machine cannot run the comparison, if it cannot.
    pub(crate) fn usable() -> Result<(), String> {
        if !rustix::process::geteuid().is_root() {
            return Err("not root".to_owned());
        }
        let dir = TempDir::new().map_err(|e| e.to_string())?;
        let flags = XattrFlags::empty();
        sys::setxattr(dir.path(), "trusted.t", b"1", flags).map_err(|e| format!("trusted attributes: {e}"))?;
        let file =
            sys::open(dir.path().join("f"), OFlags::CREATE | OFlags::RDWR, Mode::RUSR).map_err(|e| e.to_string())?;
        sys::fallocate(&file, FallocateFlags::ZERO_RANGE, 0, 1).map_err(|e| format!("fallocate: {e}"))?;
        Ok(())
    }
}

impl Subject for RealDir {
    type Fs = Self;

    fn fs(&self) -> &Self {
        self
    }
}

impl Real {
    fn node(&self, ino: Ino) -> Result<&OwnedFd> {
        self.nodes.get(&ino).ok_or_else(|| ErrorKind::Stale.into())
    }

    /// A path that leads to the inode itself.
    fn path(&self, ino: Ino) -> Result<String> {
        Ok(proc_path(self.node(ino)?))
    }

    fn handle(&self, handle: Handle) -> Result<&OwnedFd> {
        self.handles.get(&handle).map(|(fd, _)| fd).ok_or_else(|| ErrorKind::BadHandle.into())
    }

    fn attr(&self, ino: Ino) -> Result<Attr> {
        let stat = sys::fstat(self.node(ino)?).map_err(error)?;
        let time = |secs: i64, nanos: u64| Timestamp::new(secs, nanos as u32);
        Ok(Attr {
            ino,
            kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
            perm: (stat.st_mode & 0o7777) as u16,
            nlink: stat.st_nlink as u32,
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: stat.st_rdev as u32,
            size: stat.st_size as u64,
            allocated_bytes: stat.st_blocks as u64 * 512,
            atime: time(stat.st_atime, stat.st_atime_nsec),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            btime: Timestamp::default(),
        })
    }

    /// The number of the inode behind a descriptor, a new one if it has none.
    fn intern(&mut self, fd: OwnedFd) -> Result<Ino> {
        let number = sys::fstat(&fd).map_err(error)?.st_ino;
        if let Some(ino) = self.numbers.get(&number) {
            return Ok(*ino);
        }
        let ino = Ino(self.next);
        self.next += 1;
        self.numbers.insert(number, ino);
        self.nodes.insert(ino, fd);
        Ok(ino)
    }

    fn lookup(&mut self, parent: Ino, name: &[u8]) -> Result<Ino> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let fd = sys::openat(self.node(parent)?, name, flags, Mode::empty()).map_err(error)?;
        self.intern(fd)
    }

    /// Lets go of an inode that only our own descriptor keeps.
    fn forget_if_gone(&mut self, ino: Ino) -> Result<()> {
        let stat = sys::fstat(self.node(ino)?).map_err(error)?;
        if stat.st_nlink == 0 && !self.handles.values().any(|(_, open)| *open == ino) {
            self.numbers.remove(&stat.st_ino);
            self.nodes.remove(&ino);
        }
        Ok(())
    }

    fn keep(&mut self, fd: OwnedFd, ino: Ino) -> Handle {
        let handle = Handle(self.next);
        self.next += 1;
        self.handles.insert(handle, (fd, ino));
        handle
    }

    fn open(&mut self, ino: Ino, flags: OpenFlags) -> Result<Handle> {
        match self.attr(ino)?.kind {
            FileKind::File => {}
            FileKind::Dir => return Err(ErrorKind::IsADirectory.into()),
            _ => return Err(ErrorKind::InvalidArgument.into()),
        }
        let fd = sys::open(self.path(ino)?, open_flags(flags), Mode::empty()).map_err(error)?;
        Ok(self.keep(fd, ino))
    }

    /// Keeps a file that was just made and is open.
    fn keep_new(&mut self, fd: OwnedFd) -> Result<(Attr, Handle)> {
        let path_fd = sys::open(proc_path(&fd), OFlags::PATH, Mode::empty()).map_err(error)?;
        let ino = self.intern(path_fd)?;
        let handle = self.keep(fd, ino);
        Ok((self.attr(ino)?, handle))
    }

    fn made(&mut self, parent: Ino, name: &[u8]) -> Result<Attr> {
        let ino = self.lookup(parent, name)?;
        self.attr(ino)
    }

    fn close(&mut self, handle: Handle) -> Result<()> {
        let (_, ino) = self.handles.remove(&handle).ok_or(ErrorKind::BadHandle)?;
        self.forget_if_gone(ino)
    }

    fn set_attr(&self, ino: Ino, set: SetAttr) -> Result<Attr> {
        let fd = self.node(ino)?;
        if set.uid.is_some() || set.gid.is_some() {
            let (uid, gid) = (set.uid.map(sys::Uid::from_raw), set.gid.map(sys::Gid::from_raw));
            sys::chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH).map_err(error)?;
        }
        if let Some(size) = set.size {
            self.truncate(ino, size)?;
        }
        if let Some(perm) = set.perm {
            sys::chmod(self.path(ino)?, Mode::from_raw_mode(u32::from(perm))).map_err(error)?;
        }
        if set.atime.is_some() || set.mtime.is_some() {
            let times = sys::Timestamps { last_access: time_spec(set.atime), last_modification: time_spec(set.mtime) };
            sys::utimensat(fd, "", &times, AtFlags::EMPTY_PATH).map_err(error)?;
        }
        self.attr(ino)
    }

    fn truncate(&self, ino: Ino, size: u64) -> Result<()> {
        match self.attr(ino)?.kind {
            FileKind::File => {}
            FileKind::Dir => return Err(ErrorKind::IsADirectory.into()),
            _ => return Err(ErrorKind::InvalidArgument.into()),
        }
        let file = sys::open(self.path(ino)?, OFlags::RDWR, Mode::empty()).map_err(error)?;
        sys::ftruncate(file, size).map_err(error)
    }

    /// The kernel's entries, with the dots put first whatever the kernel's order is.
    fn readdir(&mut self, handle: Handle, cookie: u64, with_attrs: bool) -> Result<Vec<DirEntry>> {
        let (fd, dir) = self.handles.get(&handle).ok_or(ErrorKind::BadHandle)?;
        let dir = *dir;
        if sys::fstat(fd).map_err(error)?.st_nlink == 0 {
            return Ok(Vec::new());
        }
        sys::seek(fd, sys::SeekFrom::Start(cookie.saturating_sub(COOKIE_SHIFT))).map_err(error)?;
        let mut buffer = Vec::with_capacity(8192);
        let mut raw = sys::RawDir::new(fd, buffer.spare_capacity_mut());
        let mut found = vec![(b".".to_vec(), FileKind::Dir, 1), (b"..".to_vec(), FileKind::Dir, 2)];
        found.retain(|(_, _, dot)| *dot > cookie);
        while let Some(entry) = raw.next() {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name().to_bytes().to_vec();
                    if name != b"." && name != b".." {
                        found.push((name, kind_of(entry.file_type()), entry.next_entry_cookie() + COOKIE_SHIFT));
                    }
                }
                Err(Errno::NOENT) => break,
                Err(errno) => return Err(error(errno)),
            }
            if raw.is_buffer_empty() {
                break;
            }
        }
        let mut entries = Vec::new();
        for (name, kind, cookie) in found {
            let dot = name == b"." || name == b"..";
            let ino = if dot { dir } else { self.lookup(dir, &name)? };
            let attr = (with_attrs && !dot).then(|| self.attr(ino)).transpose()?;
            entries.push(DirEntry { name: name.into(), ino, kind, cookie, attr });
        }
        Ok(entries)
    }
}

impl FileSystem for RealDir {
    async fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs::default())
    }

    async fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        self.state.lock().made(parent, name)
    }

    async fn entries_after(&self, dir: Ino, after: Option<&[u8]>) -> Result<Vec<NamedEntry>> {
        let handle = self.opendir(Caller::default(), dir).await?;
        let mut listed: Vec<DirEntry> = Vec::new();
        loop {
            let more = self.readdir(handle, listed.last().map_or(0, |e| e.cookie), true).await?;
            if more.is_empty() {
                break;
            }
            listed.extend(more);
        }
        self.releasedir(handle).await?;
        listed.retain(|e| after.is_none_or(|after| *e.name > *after));
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed.into_iter().filter_map(|e| Some(NamedEntry { name: e.name, attr: e.attr? })).collect())
    }

    async fn getattr(&self, ino: Ino) -> Result<Attr> {
        self.state.lock().attr(ino)
    }

    async fn setattr(&self, _caller: Caller, ino: Ino, set: SetAttr) -> Result<Attr> {
        self.state.lock().set_attr(ino, set)
    }

    async fn readlink(&self, ino: Ino) -> Result<Bytes> {
        let state = self.state.lock();
        if state.attr(ino)?.kind != FileKind::Symlink {
            return Err(ErrorKind::InvalidArgument.into());
        }
        let target = sys::readlinkat(state.node(ino)?, "", Vec::new()).map_err(error)?;
        Ok(Bytes::from(target.into_bytes()))
    }

    async fn mknod(&self, _caller: Caller, parent: Ino, name: &[u8], node: NewNode) -> Result<Attr> {
        let mut state = self.state.lock();
        let kind = match node.kind {
            FileKind::File => FileType::RegularFile,
            FileKind::Fifo => FileType::Fifo,
            FileKind::Socket => FileType::Socket,
            FileKind::CharDevice => FileType::CharacterDevice,
            FileKind::BlockDevice => FileType::BlockDevice,
            FileKind::Dir | FileKind::Symlink => return Err(ErrorKind::InvalidArgument.into()),
        };
        let mode = Mode::from_raw_mode(u32::from(node.perm));
        let parent_fd = state.node(parent)?;
        with_umask(node.umask, || sys::mknodat(parent_fd, name, kind, mode, u64::from(node.rdev)))?;
        state.made(parent, name)
    }

    async fn mkdir(&self, _caller: Caller, parent: Ino, name: &[u8], perm: u16, umask: u16) -> Result<Attr> {
        let mut state = self.state.lock();
        let mode = Mode::from_raw_mode(u32::from(perm));
        let parent_fd = state.node(parent)?;
        with_umask(umask, || sys::mkdirat(parent_fd, name, mode))?;
        state.made(parent, name)
    }

    async fn symlink(&self, _caller: Caller, parent: Ino, name: &[u8], target: &[u8]) -> Result<Attr> {
        let mut state = self.state.lock();
        sys::symlinkat(target, state.node(parent)?, name).map_err(error)?;
        state.made(parent, name)
    }

    async fn unlink(&self, _caller: Caller, parent: Ino, name: &[u8]) -> Result<()> {
        let mut state = self.state.lock();
        let ino = state.lookup(parent, name)?;
        sys::unlinkat(state.node(parent)?, name, AtFlags::empty()).map_err(error)?;
        state.forget_if_gone(ino)
    }

    async fn rmdir(&self, _caller: Caller, parent: Ino, name: &[u8]) -> Result<()> {
        let mut state = self.state.lock();
        let ino = state.lookup(parent, name)?;
        sys::unlinkat(state.node(parent)?, name, AtFlags::REMOVEDIR).map_err(error)?;
        state.forget_if_gone(ino)
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
        let mut state = self.state.lock();
        let replaced = state.lookup(new_parent, new_name).ok();
        let flags = match mode {
            RenameMode::Replace => RenameFlags::empty(),
            RenameMode::NoReplace => RenameFlags::NOREPLACE,
            RenameMode::Exchange => RenameFlags::EXCHANGE,
        };
        sys::renameat_with(state.node(parent)?, name, state.node(new_parent)?, new_name, flags).map_err(error)?;
        replaced.map_or(Ok(()), |ino| state.forget_if_gone(ino))
    }

    async fn link(&self, _caller: Caller, ino: Ino, new_parent: Ino, new_name: &[u8]) -> Result<Attr> {
        let state = self.state.lock();
        let path = state.path(ino)?;
        sys::linkat(CWD, path, state.node(new_parent)?, new_name, AtFlags::SYMLINK_FOLLOW).map_err(error)?;
        state.attr(ino)
    }

    async fn create(
        &self,
        _caller: Caller,
        parent: Ino,
        name: &[u8],
        perm: u16,
        umask: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Handle)> {
        let mut state = self.state.lock();
        match state.lookup(parent, name) {
            Ok(_) if flags.exclusive => Err(ErrorKind::AlreadyExists.into()),
            Ok(ino) => {
                let handle = state.open(ino, flags)?;
                Ok((state.attr(ino)?, handle))
            }
            Err(_) => {
                let parent_fd = state.node(parent)?;
                let mode = Mode::from_raw_mode(u32::from(perm));
                let flags = open_flags(flags) | OFlags::CREATE | OFlags::EXCL;
                let fd = with_umask(umask, || sys::openat(parent_fd, name, flags, mode))?;
                state.keep_new(fd)
            }
        }
    }

    async fn tmpfile(
        &self,
        _caller: Caller,
        parent: Ino,
        perm: u16,
        umask: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Handle)> {
        let mut state = self.state.lock();
        let path = state.path(parent)?;
        let mode = Mode::from_raw_mode(u32::from(perm));
        let exclusive = if flags.exclusive { OFlags::EXCL } else { OFlags::empty() };
        let flags = open_flags(flags) | OFlags::TMPFILE | exclusive;
        let fd = with_umask(umask, || sys::open(path, flags, mode))?;
        state.keep_new(fd)
    }

    async fn open(&self, _caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Handle> {
        self.state.lock().open(ino, flags)
    }

    async fn read(&self, handle: Handle, offset: u64, len: u32) -> Result<Vec<Bytes>> {
        let state = self.state.lock();
        let mut buffer = vec![0; len as usize];
        let got = rustix::io::pread(state.handle(handle)?, &mut buffer, offset).map_err(error)?;
        buffer.truncate(got);
        Ok(vec![buffer.into()])
    }

    async fn write(&self, handle: Handle, offset: u64, data: Bytes, _flags: WriteFlags) -> Result<()> {
        let state = self.state.lock();
        let put = rustix::io::pwrite(state.handle(handle)?, &data, offset).map_err(error)?;
        assert_eq!(put, data.len(), "the kernel wrote less than asked");
        Ok(())
    }

    async fn flush(&self, _handle: Handle, _lock_owner: u64) -> Result<()> {
        Err(ErrorKind::NotSupported.into())
    }

    async fn release(&self, handle: Handle, _flock_owner: Option<u64>) -> Result<()> {
        self.state.lock().close(handle)
    }

    async fn fsync(&self, handle: Handle, _data_only: bool) -> Result<()> {
        self.state.lock().handle(handle).map(|_| ())
    }

    async fn opendir(&self, _caller: Caller, ino: Ino) -> Result<Handle> {
        let mut state = self.state.lock();
        if state.attr(ino)?.kind != FileKind::Dir {
            return Err(ErrorKind::NotADirectory.into());
        }
        let fd = sys::open(state.path(ino)?, OFlags::DIRECTORY, Mode::empty()).map_err(error)?;
        Ok(state.keep(fd, ino))
    }

    async fn readdir(&self, handle: Handle, cookie: u64, with_attrs: bool) -> Result<Vec<DirEntry>> {
        self.state.lock().readdir(handle, cookie, with_attrs)
    }

    async fn releasedir(&self, handle: Handle) -> Result<()> {
        self.state.lock().close(handle)
    }

    async fn fsyncdir(&self, handle: Handle) -> Result<()> {
        self.state.lock().handle(handle).map(|_| ())
    }

    async fn syncfs(&self) -> Result<()> {
        Ok(())
    }

    async fn setxattr(&self, _caller: Caller, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        let flags = match mode {
            XattrMode::Set => XattrFlags::empty(),
            XattrMode::Create => XattrFlags::CREATE,
            XattrMode::Replace => XattrFlags::REPLACE,
        };
        sys::setxattr(self.state.lock().path(ino)?, name, value, flags).map_err(error)
    }

    async fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Bytes> {
        let mut value = vec![0; 65_536];
        let len = sys::getxattr(self.state.lock().path(ino)?, name, &mut value[..]).map_err(error)?;
        value.truncate(len);
        Ok(value.into())
    }

    async fn listxattr(&self, ino: Ino) -> Result<Vec<Bytes>> {
        let mut names = vec![0u8; 65_536];
        let len = sys::listxattr(self.state.lock().path(ino)?, &mut names[..]).map_err(error)?;
        let parts = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(parts.map(Bytes::copy_from_slice).collect())
    }

    async fn removexattr(&self, _caller: Caller, ino: Ino, name: &[u8]) -> Result<()> {
        sys::removexattr(self.state.lock().path(ino)?, name).map_err(error)
    }

    async fn getlk(&self, _handle: Handle, _owner: u64, _lock: FileLock) -> Result<Option<FileLock>> {
        Err(ErrorKind::NotSupported.into())
    }

    async fn setlk(&self, _: Handle, _: LockFamily, _: u64, _: FileLock, _: bool) -> Result<()> {
        Err(ErrorKind::NotSupported.into())
    }

    async fn fallocate(&self, handle: Handle, offset: u64, len: u64, mode: FallocateMode) -> Result<()> {
        let flags = match mode {
            FallocateMode::Allocate => FallocateFlags::empty(),
            FallocateMode::KeepSize => FallocateFlags::KEEP_SIZE,
            FallocateMode::PunchHole => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            FallocateMode::ZeroRange => FallocateFlags::ZERO_RANGE,
            FallocateMode::ZeroRangeKeepSize => FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        };
        sys::fallocate(self.state.lock().handle(handle)?, flags, offset, len).map_err(error)
    }

    async fn lseek(&self, handle: Handle, offset: u64, whence: SeekWhence) -> Result<u64> {
        let from = match whence {
            SeekWhence::Data => sys::SeekFrom::Data(offset),
            SeekWhence::Hole => sys::SeekFrom::Hole(offset),
        };
        sys::seek(self.state.lock().handle(handle)?, from).map_err(error)
    }

    async fn copy_file_range(
        &self,
        from: Handle,
        mut from_offset: u64,
        to: Handle,
        mut to_offset: u64,
        len: u64,
    ) -> Result<u64> {
        let state = self.state.lock();
        let (from, to) = (state.handle(from)?, state.handle(to)?);
        let got = sys::copy_file_range(from, Some(&mut from_offset), to, Some(&mut to_offset), len as usize);
        got.map(|got| got as u64).map_err(error)
    }
}

fn proc_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn with_umask<T>(umask: u16, make: impl FnOnce() -> rustix::io::Result<T>) -> Result<T> {
    let _alone = UMASK.lock();
    let before = rustix::process::umask(Mode::from_raw_mode(u32::from(umask)));
    let made = make();
    rustix::process::umask(before);
    made.map_err(error)
}

fn open_flags(flags: OpenFlags) -> OFlags {
    let access = match (flags.read, flags.write) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    let append = if flags.append { OFlags::APPEND } else { OFlags::empty() };
    let truncate = if flags.truncate { OFlags::TRUNC } else { OFlags::empty() };
    access | append | truncate
}

fn time_spec(time: Option<SetTime>) -> sys::Timespec {
    match time {
        None => sys::Timespec { tv_sec: 0, tv_nsec: sys::UTIME_OMIT },
        Some(SetTime::Now) => sys::Timespec { tv_sec: 0, tv_nsec: sys::UTIME_NOW },
        Some(SetTime::At(time)) => sys::Timespec { tv_sec: time.secs, tv_nsec: i64::from(time.nanos) },
    }
}

fn kind_of(kind: FileType) -> FileKind {
    match kind {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Dir,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => panic!("the kernel gave no file type"),
    }
}

fn error(errno: Errno) -> Error {
    let kind = match errno {
        Errno::NOENT => ErrorKind::NotFound,
        Errno::EXIST => ErrorKind::AlreadyExists,
        Errno::NOTDIR => ErrorKind::NotADirectory,
        Errno::ISDIR => ErrorKind::IsADirectory,
        Errno::NOTEMPTY => ErrorKind::NotEmpty,
        Errno::NAMETOOLONG | Errno::TOOBIG => ErrorKind::NameTooLong,
        Errno::INVAL => ErrorKind::InvalidArgument,
        Errno::PERM => ErrorKind::NotPermitted,
        Errno::ACCESS => ErrorKind::AccessDenied,
        Errno::BADF => ErrorKind::BadHandle,
        Errno::NODATA => ErrorKind::NoAttribute,
        Errno::MLINK => ErrorKind::TooManyLinks,
        Errno::FBIG => ErrorKind::FileTooLarge,
        Errno::NXIO => ErrorKind::NoSuchOffset,
        Errno::OPNOTSUPP => ErrorKind::NotSupported,
        Errno::NOSPC => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    };
    Error::new(kind, errno.to_string())
}
