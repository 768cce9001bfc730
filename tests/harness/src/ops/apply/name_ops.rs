//! Operations on names.

use proxyfs_core::fs::{FileSystem, NewNode, OpenFlags};
use proxyfs_core::{Error, Result};

use super::super::outcome::Reply;
use super::super::slots::OpenFile;
use super::super::{Access, Op};
use super::{Run, caller};

impl<F: FileSystem> Run<'_, F> {
    pub(super) async fn name_op(&mut self, op: &Op) -> Result<Reply> {
        match op {
            Op::Create { .. } => self.create(op).await,
            Op::Mkdir { who, path, perm, umask } => {
                let at = self.walk(path).await?;
                let attr = self.fs.mkdir(caller(*who), at.dir, &at.name, *perm, *umask).await?;
                Ok(Reply::Attr(self.slots.view(&attr)))
            }
            Op::Mknod { who, path, kind, perm, umask } => {
                let at = self.walk(path).await?;
                let node = NewNode { kind: *kind, perm: *perm, umask: *umask, rdev: 0x0103 };
                let attr = self.fs.mknod(caller(*who), at.dir, &at.name, node).await?;
                Ok(Reply::Attr(self.slots.view(&attr)))
            }
            Op::Symlink { who, path, len } => {
                let at = self.walk(path).await?;
                let target = vec![b't'; usize::from(*len)];
                let attr = self.fs.symlink(caller(*who), at.dir, &at.name, &target).await?;
                Ok(Reply::Attr(self.slots.view(&attr)))
            }
            Op::Unlink { path } => {
                let at = self.walk(path).await?;
                self.fs.unlink(caller(0), at.dir, &at.name).await?;
                self.slots.disturb(at.dir, &at.name);
                Ok(Reply::Done)
            }
            Op::Rmdir { path } => {
                let at = self.walk(path).await?;
                self.fs.rmdir(caller(0), at.dir, &at.name).await?;
                self.slots.disturb(at.dir, &at.name);
                Ok(Reply::Done)
            }
            Op::Rename { from, to, mode } => {
                let from = self.walk(from).await?;
                let to = self.walk(to).await?;
                self.fs.rename(caller(0), from.dir, &from.name, to.dir, &to.name, *mode).await?;
                self.slots.disturb(from.dir, &from.name);
                self.slots.disturb(to.dir, &to.name);
                Ok(Reply::Done)
            }
            Op::Link { target, path } => {
                let Some(ino) = self.find(target).await? else { return Ok(Reply::Skipped) };
                let at = self.walk(path).await?;
                let attr = self.fs.link(caller(0), ino, at.dir, &at.name).await?;
                Ok(Reply::Attr(self.slots.view(&attr)))
            }
            Op::Lookup { path } => {
                let at = self.walk(path).await?;
                let attr = self.fs.lookup(at.dir, &at.name).await?;
                let found = self.fs.find(at.dir, &at.name).await?;
                if found.name != at.name || found.attr.ino != attr.ino {
                    return Ok(Reply::Checked(vec![format!("looked up {attr:?}, found {found:?}")]));
                }
                Ok(Reply::Attr(self.slots.view(&attr)))
            }
            _ => Ok(Reply::Skipped),
        }
    }

    async fn create(&mut self, op: &Op) -> Result<Reply> {
        let Op::Create { who, path, perm, umask, exclusive, access, slot } = op else {
            return Ok(Reply::Skipped);
        };
        let at = self.walk(path).await?;
        let flags = OpenFlags { exclusive: *exclusive, ..open_flags(*access) };
        let (attr, handle) = self.fs.create(caller(*who), at.dir, &at.name, *perm, *umask, flags).await?;
        self.close(*slot).await?;
        self.keep(*slot, OpenFile { handle, ino: attr.ino });
        Ok(Reply::Attr(self.slots.view(&attr)))
    }

    /// Closes a slot if anything is open in it.
    pub(super) async fn close(&mut self, slot: u8) -> Result<Reply, Error> {
        let Some(open) = self.slots.files[usize::from(slot)].take() else { return Ok(Reply::Skipped) };
        self.concerned.push(open.ino);
        self.fs.release(open.handle, None).await?;
        Ok(Reply::Done)
    }

    /// Puts an open file into an empty slot.
    pub(super) fn keep(&mut self, slot: u8, open: OpenFile) {
        self.slots.files[usize::from(slot)] = Some(open);
        self.concerned.push(open.ino);
    }
}

/// The interface's flags for an access.
pub(super) fn open_flags(access: Access) -> OpenFlags {
    OpenFlags {
        read: access.read,
        write: access.write,
        append: access.append,
        truncate: access.truncate,
        ..OpenFlags::default()
    }
}
