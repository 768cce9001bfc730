//! Names: lookup, making, linking, removing.
//!
//! Each function checks everything first and changes nothing when it fails; then it changes all that belongs together. Names `.`
//! and `..` never reach mutations from a kernel; here they are refused.

use proxyfs_core::fs::{Attr, Caller, FileKind, LINKS_MAX, NAME_BYTES_MAX, NewNode, SYMLINK_BYTES_MAX};
use proxyfs_core::types::{Ino, Timestamp};
use proxyfs_core::{ErrorKind, Result};

use super::content::Content;
use super::directory::Directory;
use super::state::{Body, Inode, S_ISGID, State};

/// The bits that mkdir takes: a directory's sgid comes from its parent only.
const MKDIR_PERM: u16 = 0o1777;

/// What a new inode is to be, before the parent has had its say.
#[derive(Debug)]
pub(super) struct NewInode {
    pub(super) kind: FileKind,
    pub(super) perm: u16,
    pub(super) umask: u16,
    pub(super) rdev: u32,
    pub(super) body: Body,
}

impl NewInode {
    /// An empty regular file.
    pub(super) fn file(perm: u16, umask: u16) -> Self {
        Self { kind: FileKind::File, perm, umask, rdev: 0, body: Body::File(Content::default()) }
    }

    /// What `mknod` makes.
    fn node(node: NewNode) -> Result<Self> {
        let (rdev, body) = match node.kind {
            FileKind::File => (0, Body::File(Content::default())),
            FileKind::Fifo | FileKind::Socket => (0, Body::Special),
            FileKind::CharDevice | FileKind::BlockDevice => (node.rdev, Body::Special),
            FileKind::Dir | FileKind::Symlink => return Err(ErrorKind::InvalidArgument.into()),
        };
        Ok(Self { kind: node.kind, perm: node.perm, umask: node.umask, rdev, body })
    }
}

impl State {
    pub(super) fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        let dir = self.dir(parent)?;
        check_length(name)?;
        let found = match name {
            b"." => Some(parent),
            b".." => Some(dir.parent),
            _ => dir.get(name),
        };
        self.attr(found.ok_or(ErrorKind::NotFound)?)
    }

    pub(super) fn mknod(
        &mut self,
        now: Timestamp,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        node: NewNode,
    ) -> Result<Attr> {
        self.check_free(parent, name)?;
        let ino = self.make(now, caller, parent, name, NewInode::node(node)?)?;
        self.attr(ino)
    }

    pub(super) fn mkdir(
        &mut self,
        now: Timestamp,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        (perm, umask): (u16, u16),
    ) -> Result<Attr> {
        self.check_free(parent, name)?;
        let body = Body::Dir(Directory::new(parent));
        let new = NewInode { kind: FileKind::Dir, perm: perm & MKDIR_PERM, umask, rdev: 0, body };
        let ino = self.make(now, caller, parent, name, new)?;
        self.inode_mut(ino)?.nlink = 2;
        self.inode_mut(parent)?.nlink += 1;
        self.attr(ino)
    }

    pub(super) fn symlink(
        &mut self,
        now: Timestamp,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        target: &[u8],
    ) -> Result<Attr> {
        if target.is_empty() {
            return Err(ErrorKind::NotFound.into());
        }
        if target.len() > SYMLINK_BYTES_MAX {
            return Err(ErrorKind::NameTooLong.into());
        }
        self.check_free(parent, name)?;
        let body = Body::Symlink(target.to_vec());
        let new = NewInode { kind: FileKind::Symlink, perm: 0o777, umask: 0, rdev: 0, body };
        let ino = self.make(now, caller, parent, name, new)?;
        self.attr(ino)
    }

    pub(super) fn link(&mut self, now: Timestamp, ino: Ino, parent: Ino, name: &[u8]) -> Result<Attr> {
        self.inode(ino)?;
        self.check_free(parent, name)?;
        let inode = self.inode_mut(ino)?;
        if inode.is_dir() {
            return Err(ErrorKind::NotPermitted.into());
        }
        if inode.nlink == 0 && !inode.nameable {
            return Err(ErrorKind::NotFound.into());
        }
        if inode.nlink >= LINKS_MAX {
            return Err(ErrorKind::TooManyLinks.into());
        }
        inode.nlink += 1;
        inode.nameable = false;
        inode.ctime = now;
        self.put_entry(now, parent, name, ino)?;
        self.attr(ino)
    }

    pub(super) fn unlink(&mut self, now: Timestamp, parent: Ino, name: &[u8]) -> Result<()> {
        let ino = self.find_entry(parent, name)?;
        if self.inode(ino)?.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        self.remove_entry(now, parent, name)?;
        self.drop_link(now, ino)
    }

    pub(super) fn rmdir(&mut self, now: Timestamp, parent: Ino, name: &[u8]) -> Result<()> {
        let ino = self.find_entry(parent, name)?;
        if !self.dir(ino)?.is_empty() {
            return Err(ErrorKind::NotEmpty.into());
        }
        self.remove_entry(now, parent, name)?;
        self.inode_mut(parent)?.nlink -= 1;
        self.drop_link(now, ino)
    }

    /// Makes an inode with a name. The caller has checked that the name is free.
    pub(super) fn make(
        &mut self,
        now: Timestamp,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        new: NewInode,
    ) -> Result<Ino> {
        let ino = self.make_unnamed(now, caller, parent, new)?;
        self.put_entry(now, parent, name, ino)?;
        Ok(ino)
    }

    /// Makes an inode: owner from the caller, group from a set-group-id parent, permissions from the parent's default
    /// access control list or else the umask.
    pub(super) fn make_unnamed(&mut self, now: Timestamp, caller: Caller, parent: Ino, new: NewInode) -> Result<Ino> {
        let dir = self.inode(parent)?;
        let mut inode = Inode::new(new.body, new.kind, now);
        inode.perm = new.perm & 0o7777;
        inode.rdev = new.rdev;
        inode.uid = caller.uid;
        inode.gid = caller.gid;
        if dir.perm & S_ISGID != 0 {
            inode.gid = dir.gid;
            if inode.is_dir() {
                inode.perm |= S_ISGID;
            }
        }
        match &dir.default_acl {
            _ if new.kind == FileKind::Symlink => {}
            None => inode.perm &= !new.umask,
            Some(default) => {
                let acl = default.inherit(inode.perm);
                inode.perm = inode.perm & !0o777 | acl.mode();
                inode.access_acl = (!acl.is_mode_only()).then_some(acl);
                inode.default_acl = inode.is_dir().then(|| default.clone());
            }
        }
        Ok(self.add_inode(inode))
    }

    /// That `name` can be made in `parent`: a live directory, a proper name, nothing there.
    pub(super) fn check_free(&self, parent: Ino, name: &[u8]) -> Result<()> {
        let dir = self.dir(parent)?;
        check_length(name)?;
        if matches!(name, b"." | b"..") || dir.get(name).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        check_bytes(name)?;
        self.check_live_dir(parent)
    }

    /// That a directory still has a name itself; nothing can be made in a removed one.
    pub(super) fn check_live_dir(&self, dir: Ino) -> Result<()> {
        if self.inode(dir)?.nlink == 0 {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(())
    }

    /// The inode of a name that is to be removed or moved.
    pub(super) fn find_entry(&self, parent: Ino, name: &[u8]) -> Result<Ino> {
        let dir = self.dir(parent)?;
        check_length(name)?;
        if matches!(name, b"." | b"..") {
            return Err(ErrorKind::InvalidArgument.into());
        }
        dir.get(name).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Makes `name` lead to `ino`, with the directory's times.
    pub(super) fn put_entry(&mut self, now: Timestamp, parent: Ino, name: &[u8], ino: Ino) -> Result<()> {
        self.dir_mut(parent)?.put(name, ino);
        self.inode_mut(parent)?.touch_content(now);
        Ok(())
    }

    /// Takes `name` away, with the directory's times.
    pub(super) fn remove_entry(&mut self, now: Timestamp, parent: Ino, name: &[u8]) -> Result<()> {
        self.dir_mut(parent)?.remove(name);
        self.inode_mut(parent)?.touch_content(now);
        Ok(())
    }

    /// An inode has lost a name (a directory: its only one).
    pub(super) fn drop_link(&mut self, now: Timestamp, ino: Ino) -> Result<()> {
        let inode = self.inode_mut(ino)?;
        inode.nlink = if inode.is_dir() { 0 } else { inode.nlink - 1 };
        inode.ctime = now;
        self.reap(ino);
        Ok(())
    }
}

/// That a name is neither empty nor too long.
pub(super) fn check_length(name: &[u8]) -> Result<()> {
    if name.is_empty() {
        return Err(ErrorKind::NotFound.into());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(ErrorKind::NameTooLong.into());
    }
    Ok(())
}

/// That a new name holds no separator and no NUL.
pub(super) fn check_bytes(name: &[u8]) -> Result<()> {
    if name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return Err(ErrorKind::InvalidArgument.into());
    }
    Ok(())
}
