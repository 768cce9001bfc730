//! A file system that does nothing: names and attributes live in memory, written data is dropped, reads give zeros.
//!
//! The upper limit for benchmarks: no file system behind the same protocol crate and kernel can be faster. It answers on the FUSE
//! threads, without futures or tasks. `nullfs DIR [--threads N]`: serves until it is unmounted.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};

const TTL: Duration = Duration::from_secs(3600);
const GENERATION: Generation = Generation(0);
const WRITE_BYTES_MAX: u32 = 1024 * 1024;

/// An inode; directories have entries.
struct Node {
    attr: FileAttr,
    parent: INodeNo,
    entries: BTreeMap<OsString, INodeNo>,
}

struct State {
    nodes: HashMap<INodeNo, Node>,
    next: u64,
}

/// The file system.
struct NullFs {
    state: Mutex<State>,
    zeros: Vec<u8>,
}

impl NullFs {
    fn new() -> Self {
        let mut state = State { nodes: HashMap::new(), next: 2 };
        let attr = new_attr(INodeNo::ROOT, FileType::Directory, 0o777);
        state.nodes.insert(INodeNo::ROOT, Node { attr, parent: INodeNo::ROOT, entries: BTreeMap::new() });
        Self { state: Mutex::new(state), zeros: vec![0; WRITE_BYTES_MAX as usize] }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, parent: INodeNo, name: &OsStr) -> Result<INodeNo, Errno> {
        let dir = self.nodes.get(&parent).ok_or(Errno::ESTALE)?;
        dir.entries.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn attr(&self, ino: INodeNo) -> Result<FileAttr, Errno> {
        self.nodes.get(&ino).map(|node| node.attr).ok_or(Errno::ESTALE)
    }

    fn make(&mut self, parent: INodeNo, name: &OsStr, kind: FileType, mode: u32) -> Result<FileAttr, Errno> {
        let ino = INodeNo(self.next);
        let dir = self.nodes.get_mut(&parent).ok_or(Errno::ESTALE)?;
        if dir.entries.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        dir.entries.insert(name.to_owned(), ino);
        self.next += 1;
        let attr = new_attr(ino, kind, (mode & 0o7777) as u16);
        self.nodes.insert(ino, Node { attr, parent, entries: BTreeMap::new() });
        Ok(attr)
    }

    fn remove(&mut self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let ino = self.find(parent, name)?;
        if self.nodes.get(&ino).is_some_and(|node| !node.entries.is_empty()) {
            return Err(Errno::ENOTEMPTY);
        }
        self.nodes.remove(&ino);
        if let Some(dir) = self.nodes.get_mut(&parent) {
            dir.entries.remove(name);
        }
        Ok(())
    }

    fn rename(&mut self, from: (INodeNo, &OsStr), to: (INodeNo, &OsStr)) -> Result<(), Errno> {
        let ino = self.find(from.0, from.1)?;
        if let Ok(replaced) = self.find(to.0, to.1)
            && replaced != ino
        {
            self.remove(to.0, to.1)?;
        }
        if let Some(dir) = self.nodes.get_mut(&from.0) {
            dir.entries.remove(from.1);
        }
        if let Some(dir) = self.nodes.get_mut(&to.0) {
            dir.entries.insert(to.1.to_owned(), ino);
        }
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.parent = to.0;
        }
        Ok(())
    }
}

fn new_attr(ino: INodeNo, kind: FileType, perm: u16) -> FileAttr {
    let now = SystemTime::now();
    FileAttr {
        ino,
        size: 0,
        blocks: 0,
        atime: now,
        mtime: now,
        ctime: now,
        crtime: now,
        kind,
        perm,
        nlink: if kind == FileType::Directory { 2 } else { 1 },
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 128 * 1024,
        flags: 0,
    }
}

fn reply_entry(reply: ReplyEntry, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attr) => reply.entry(&TTL, &attr, GENERATION),
        Err(errno) => reply.error(errno),
    }
}

fn reply_empty(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

#[allow(clippy::too_many_arguments, reason = "the signatures are the protocol crate's")]
impl Filesystem for NullFs {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = [
            InitFlags::FUSE_MAX_PAGES,
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_EXPLICIT_INVAL_DATA,
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
        ];
        for flag in wanted {
            // A kernel without it is served without it.
            let _missing = config.add_capabilities(flag);
        }
        let _nearest = config.set_max_write(WRITE_BYTES_MAX);
        let _nearest = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.lock();
        reply_entry(reply, state.find(parent, name).and_then(|ino| state.attr(ino)));
    }

    fn forget(&self, _request: &Request, _ino: INodeNo, _lookups: u64) {}

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.lock().attr(ino) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.lock();
        let Some(node) = state.nodes.get_mut(&ino) else {
            reply.error(Errno::ESTALE);
            return;
        };
        let attr = &mut node.attr;
        attr.perm = mode.map_or(attr.perm, |mode| (mode & 0o7777) as u16);
        attr.uid = uid.unwrap_or(attr.uid);
        attr.gid = gid.unwrap_or(attr.gid);
        attr.size = size.unwrap_or(attr.size);
        reply.attr(&TTL, attr);
    }

    fn mknod(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        reply_entry(reply, self.lock().make(parent, name, FileType::RegularFile, mode));
    }

    fn mkdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        reply_entry(reply, self.lock().make(parent, name, FileType::Directory, mode));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.lock().remove(parent, name));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.lock().remove(parent, name));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.lock().rename((parent, name), (new_parent, new_name)));
    }

    fn open(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.lock().make(parent, name, FileType::RegularFile, mode) {
            Ok(attr) => reply.created(&TTL, &attr, GENERATION, FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let len = self.lock().attr(ino).map_or(0, |attr| attr.size.saturating_sub(offset));
        let len = usize::try_from(len.min(u64::from(size))).unwrap_or(0).min(self.zeros.len());
        reply.data(&self.zeros[..len]);
    }

    fn write(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if let Some(node) = self.lock().nodes.get_mut(&ino) {
            node.attr.size = node.attr.size.max(offset + data.len() as u64);
            node.attr.blocks = node.attr.size.div_ceil(512);
        }
        reply.written(data.len() as u32);
    }

    fn flush(&self, _request: &Request, _ino: INodeNo, _fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _request: &Request, _ino: INodeNo, _fh: FileHandle, _data_only: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsyncdir(&self, _request: &Request, _ino: INodeNo, _fh: FileHandle, _data_only: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn readdir(&self, _request: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = self.lock();
        let Some(dir) = state.nodes.get(&ino) else {
            reply.error(Errno::ESTALE);
            return;
        };
        let dots = [(OsStr::new("."), ino), (OsStr::new(".."), dir.parent)];
        let names = dir.entries.iter().map(|(name, ino)| (name.as_os_str(), *ino));
        let listing = dots.into_iter().chain(names).zip(1..);
        for ((name, ino), cookie) in listing.skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            let kind = state.attr(ino).map_or(FileType::RegularFile, |attr| attr.kind);
            if reply.add(ino, cookie, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let blocks = 1 << 38;
        reply.statfs(blocks, blocks, blocks, 1 << 32, 1 << 32, 4096, 255, 4096);
    }

    fn getxattr(&self, _request: &Request, _ino: INodeNo, _name: &OsStr, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::NO_XATTR);
    }

    fn listxattr(&self, _request: &Request, _ino: INodeNo, size: u32, reply: ReplyXattr) {
        if size == 0 {
            reply.size(0);
        } else {
            reply.data(&[]);
        }
    }

    fn readlink(&self, _request: &Request, _ino: INodeNo, reply: ReplyData) {
        reply.error(Errno::EINVAL);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let dir = words.next().map(PathBuf::from).ok_or("which directory?")?;
    let mut threads = 4;
    if words.next().is_some_and(|word| word == "--threads") {
        let count = words.next().and_then(|count| count.to_str()?.parse().ok());
        threads = count.ok_or("--threads needs a number")?;
    }
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("null".to_owned()), MountOption::DefaultPermissions];
    config.n_threads = Some(threads);
    config.clone_fd = threads > 1;
    let session = fuser::Session::new(NullFs::new(), &dir, &config)?.spawn()?;
    writeln!(io::stdout(), "mounted")?;
    session.join()?;
    Ok(())
}
