//! The model's state: inodes by number, open handles, locks. Plus the small helpers that all rules share.
//!
//! Invariants: the root exists; every directory entry leads to an inode in the map; an inode without links is in the map only
//! while a handle is open on it.

use std::collections::BTreeMap;

use proxyfs_core::fs::{Attr, FileKind, Handle, OpenFlags};
use proxyfs_core::types::{Ino, Timestamp};
use proxyfs_core::{ErrorKind, Result};

use super::acl::Acl;
use super::content::Content;
use super::directory::Directory;
use super::locks::LockTable;

/// Set-user-id bit.
pub(super) const S_ISUID: u16 = 0o4000;
/// Set-group-id bit.
pub(super) const S_ISGID: u16 = 0o2000;
/// Group execute bit: only with it does the set-group-id bit of a file mean "run as the group".
const S_IXGRP: u16 = 0o010;
/// File capabilities; they go when content or owner change.
const XATTR_CAPABILITY: &[u8] = b"security.capability";
/// How old an access time may get before a read renews it all the same (relatime).
const RELATIME_SECS: i64 = 24 * 60 * 60;

/// Everything the model knows.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) inodes: BTreeMap<Ino, Inode>,
    pub(super) handles: BTreeMap<Handle, OpenHandle>,
    pub(super) locks: LockTable,
    next_ino: Ino,
    next_handle: u64,
}

/// One inode.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) kind: FileKind,
    pub(super) perm: u16,
    pub(super) nlink: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) rdev: u32,
    pub(super) atime: Timestamp,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
    pub(super) btime: Timestamp,
    pub(super) body: Body,
    /// All but the two access control lists.
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) access_acl: Option<Acl>,
    pub(super) default_acl: Option<Acl>,
    /// Made without a name (O_TMPFILE) and never named so far: may still be linked.
    pub(super) nameable: bool,
}

/// What an inode holds, by kind.
#[derive(Clone, Debug)]
pub(super) enum Body {
    File(Content),
    Dir(Directory),
    Symlink(Vec<u8>),
    Special,
}

/// An open file or directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenHandle {
    pub(super) ino: Ino,
    /// `None` for a directory stream.
    pub(super) flags: Option<OpenFlags>,
}

impl State {
    /// A volume with an empty root directory that belongs to root.
    pub(super) fn new(now: Timestamp) -> Self {
        let mut root = Inode::new(Body::Dir(Directory::new(Ino::ROOT)), FileKind::Dir, now);
        root.perm = 0o755;
        root.nlink = 2;
        Self {
            inodes: BTreeMap::from([(Ino::ROOT, root)]),
            handles: BTreeMap::new(),
            locks: LockTable::default(),
            next_ino: Ino::ROOT.next(),
            next_handle: 1,
        }
    }

    /// An inode, or `Stale`.
    pub(super) fn inode(&self, ino: Ino) -> Result<&Inode> {
        self.inodes.get(&ino).ok_or_else(|| ErrorKind::Stale.into())
    }

    /// An inode to change, or `Stale`.
    pub(super) fn inode_mut(&mut self, ino: Ino) -> Result<&mut Inode> {
        self.inodes.get_mut(&ino).ok_or_else(|| ErrorKind::Stale.into())
    }

    /// Attributes of an inode.
    pub(super) fn attr(&self, ino: Ino) -> Result<Attr> {
        Ok(self.inode(ino)?.attr(ino))
    }

    /// A directory's entries.
    pub(super) fn dir(&self, ino: Ino) -> Result<&Directory> {
        match &self.inode(ino)?.body {
            Body::Dir(dir) => Ok(dir),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// A directory's entries, to change.
    pub(super) fn dir_mut(&mut self, ino: Ino) -> Result<&mut Directory> {
        match &mut self.inode_mut(ino)?.body {
            Body::Dir(dir) => Ok(dir),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// Adds an inode under a fresh number.
    pub(super) fn add_inode(&mut self, inode: Inode) -> Ino {
        let ino = self.next_ino;
        self.next_ino = ino.next();
        self.inodes.insert(ino, inode);
        ino
    }

    /// Opens a handle.
    pub(super) fn add_handle(&mut self, ino: Ino, flags: Option<OpenFlags>) -> Handle {
        let handle = Handle(self.next_handle);
        self.next_handle += 1;
        self.handles.insert(handle, OpenHandle { ino, flags });
        handle
    }

    /// Any open handle, or `BadHandle`.
    pub(super) fn handle(&self, handle: Handle) -> Result<OpenHandle> {
        self.handles.get(&handle).copied().ok_or_else(|| ErrorKind::BadHandle.into())
    }

    /// An open file's inode number and flags, or `BadHandle`.
    pub(super) fn file_handle(&self, handle: Handle) -> Result<(Ino, OpenFlags)> {
        let open = self.handle(handle)?;
        let flags = open.flags.ok_or(ErrorKind::BadHandle)?;
        Ok((open.ino, flags))
    }

    /// An open directory's inode number, or `BadHandle`.
    pub(super) fn dir_handle(&self, handle: Handle) -> Result<Ino> {
        let open = self.handle(handle)?;
        if open.flags.is_some() {
            return Err(ErrorKind::BadHandle.into());
        }
        Ok(open.ino)
    }

    /// Forgets an inode that has neither links nor open handles.
    pub(super) fn reap(&mut self, ino: Ino) {
        let open = self.handles.values().any(|h| h.ino == ino);
        if open {
            return;
        }
        self.locks.forget(ino);
        if self.inodes.get(&ino).is_some_and(|i| i.nlink == 0) {
            self.inodes.remove(&ino);
        }
    }

    /// Drops all handles and locks and the orphans they kept, as a crash does.
    pub(super) fn close_all(&mut self) {
        self.handles.clear();
        self.locks = LockTable::default();
        self.inodes.retain(|_, inode| inode.nlink > 0);
    }
}

impl Inode {
    /// A fresh inode with all times at `now`, owned by root, with one link and no permissions.
    pub(super) fn new(body: Body, kind: FileKind, now: Timestamp) -> Self {
        Self {
            kind,
            perm: 0,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            body,
            xattrs: BTreeMap::new(),
            access_acl: None,
            default_acl: None,
            nameable: false,
        }
    }

    /// Whether it is a directory.
    pub(super) fn is_dir(&self) -> bool {
        self.kind == FileKind::Dir
    }

    /// Its attributes under the number `ino`.
    pub(super) fn attr(&self, ino: Ino) -> Attr {
        let (size, allocated_bytes) = match &self.body {
            Body::File(content) => (content.len(), content.allocated_bytes()),
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Dir(_) | Body::Special => (0, 0),
        };
        Attr {
            ino,
            kind: self.kind,
            perm: self.perm,
            nlink: self.nlink,
            uid: self.uid,
            gid: self.gid,
            rdev: self.rdev,
            size,
            allocated_bytes,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: self.btime,
        }
    }

    /// A regular file's content; directories give `IsADirectory`, others `InvalidArgument`.
    pub(super) fn content(&self) -> Result<&Content> {
        match &self.body {
            Body::File(content) => Ok(content),
            Body::Dir(_) => Err(ErrorKind::IsADirectory.into()),
            Body::Symlink(_) | Body::Special => Err(ErrorKind::InvalidArgument.into()),
        }
    }

    /// A regular file's content, to change. The caller has set the times.
    pub(super) fn content_mut(&mut self) -> Result<&mut Content> {
        match &mut self.body {
            Body::File(content) => Ok(content),
            Body::Dir(_) => Err(ErrorKind::IsADirectory.into()),
            Body::Symlink(_) | Body::Special => Err(ErrorKind::InvalidArgument.into()),
        }
    }

    /// The content (a directory's: the entries) changed.
    pub(super) fn touch_content(&mut self, now: Timestamp) {
        self.mtime = now;
        self.ctime = now;
    }

    /// A file's bytes changed: times, and the capabilities that went with the old bytes.
    pub(super) fn file_modified(&mut self, now: Timestamp) {
        self.touch_content(now);
        self.drop_capability();
    }

    /// The content was read: relatime. Access time moves if it is not newer than the other two, or a day old.
    pub(super) fn touch_access(&mut self, now: Timestamp) {
        let stale = self.atime <= self.mtime || self.atime <= self.ctime;
        if stale || now.secs - self.atime.secs >= RELATIME_SECS {
            self.atime = now;
        }
    }

    /// Clears suid, and sgid where it means "run as the group". Directories keep both.
    pub(super) fn kill_suid_sgid(&mut self) {
        if self.is_dir() {
            return;
        }
        self.perm &= !S_ISUID;
        if self.perm & S_IXGRP != 0 {
            self.perm &= !S_ISGID;
        }
    }

    /// File capabilities do not outlive a change of content or owner.
    pub(super) fn drop_capability(&mut self) {
        self.xattrs.remove(XATTR_CAPABILITY);
    }
}
