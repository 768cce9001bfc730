//! Rename: POSIX replace, no-replace, exchange.
//!
//! The checks stand in the kernel's order (fs/namei.c, do_renameat2 and vfs_rename), so that the error of a request that is wrong
//! in two ways is the same.

use proxyfs_core::fs::RenameMode;
use proxyfs_core::types::{Ino, Timestamp};
use proxyfs_core::{ErrorKind, Result};

use super::namespace::{check_bytes, check_length};
use super::state::State;

/// A place in the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) dir: Ino,
    pub(super) name: &'a [u8],
}

impl State {
    pub(super) fn rename(&mut self, now: Timestamp, from: Place<'_>, to: Place<'_>, mode: RenameMode) -> Result<()> {
        self.dir(from.dir).and_then(|_| self.dir(to.dir))?;
        let source = self.find_entry(from.dir, from.name)?;
        let target = self.find_target(to)?;
        match (mode, target) {
            (RenameMode::NoReplace, Some(_)) => return Err(ErrorKind::AlreadyExists.into()),
            (RenameMode::Exchange, None) => return Err(ErrorKind::NotFound.into()),
            _ => {}
        }
        self.check_loops(source, from.dir, target, to.dir, mode)?;
        if target == Some(source) {
            return Ok(());
        }
        self.check_live_dir(to.dir)?;
        match (mode, target) {
            (RenameMode::Exchange, Some(target)) => self.exchange(now, (from, source), (to, target)),
            (_, Some(target)) => {
                self.check_replace(source, target)?;
                self.displace(now, to, target)?;
                self.move_entry(now, from, to, source)
            }
            (_, None) => self.move_entry(now, from, to, source),
        }
    }

    /// What stands at the new name, which must be a proper one.
    fn find_target(&self, to: Place<'_>) -> Result<Option<Ino>> {
        let dir = self.dir(to.dir)?;
        check_length(to.name)?;
        check_bytes(to.name)?;
        if matches!(to.name, b"." | b"..") {
            return Err(ErrorKind::InvalidArgument.into());
        }
        Ok(dir.get(to.name))
    }

    /// That nothing moves into its own subtree, and that the target does not hold the source.
    fn check_loops(
        &self,
        source: Ino,
        from_dir: Ino,
        target: Option<Ino>,
        to_dir: Ino,
        mode: RenameMode,
    ) -> Result<()> {
        if self.is_at_or_under(to_dir, source)? {
            return Err(ErrorKind::InvalidArgument.into());
        }
        let Some(target) = target else { return Ok(()) };
        if self.is_at_or_under(from_dir, target)? {
            let exchange = mode == RenameMode::Exchange;
            return Err(if exchange { ErrorKind::InvalidArgument } else { ErrorKind::NotEmpty }.into());
        }
        Ok(())
    }

    /// That `source` may take the place of `target`: both directories, the old one empty, or neither a directory.
    fn check_replace(&self, source: Ino, target: Ino) -> Result<()> {
        match (self.inode(source)?.is_dir(), self.inode(target)?.is_dir()) {
            (true, false) => Err(ErrorKind::NotADirectory.into()),
            (false, true) => Err(ErrorKind::IsADirectory.into()),
            (true, true) if !self.dir(target)?.is_empty() => Err(ErrorKind::NotEmpty.into()),
            _ => Ok(()),
        }
    }

    /// The inode at `to` loses that name; the entry stays for its successor.
    fn displace(&mut self, now: Timestamp, to: Place<'_>, target: Ino) -> Result<()> {
        if self.inode(target)?.is_dir() {
            self.inode_mut(to.dir)?.nlink -= 1;
        }
        self.drop_link(now, target)
    }

    fn move_entry(&mut self, now: Timestamp, from: Place<'_>, to: Place<'_>, source: Ino) -> Result<()> {
        self.remove_entry(now, from.dir, from.name)?;
        self.put_entry(now, to.dir, to.name, source)?;
        self.adopt(now, source, from.dir, to.dir)
    }

    fn exchange(&mut self, now: Timestamp, a: (Place<'_>, Ino), b: (Place<'_>, Ino)) -> Result<()> {
        let ((a_place, a_ino), (b_place, b_ino)) = (a, b);
        self.put_entry(now, a_place.dir, a_place.name, b_ino)?;
        self.put_entry(now, b_place.dir, b_place.name, a_ino)?;
        self.adopt(now, a_ino, a_place.dir, b_place.dir)?;
        self.adopt(now, b_ino, b_place.dir, a_place.dir)
    }

    /// A moved inode gets its change time; a moved directory also its new parent, and the parents their link counts.
    fn adopt(&mut self, now: Timestamp, ino: Ino, from_dir: Ino, to_dir: Ino) -> Result<()> {
        let inode = self.inode_mut(ino)?;
        inode.ctime = now;
        if !inode.is_dir() {
            return Ok(());
        }
        self.dir_mut(ino)?.parent = to_dir;
        self.inode_mut(from_dir)?.nlink -= 1;
        self.inode_mut(to_dir)?.nlink += 1;
        Ok(())
    }

    /// Whether directory `dir` is `top` or lies anywhere below it.
    fn is_at_or_under(&self, mut dir: Ino, top: Ino) -> Result<bool> {
        while dir != top {
            if dir == Ino::ROOT {
                return Ok(false);
            }
            match self.inodes.contains_key(&dir) {
                true => dir = self.dir(dir)?.parent,
                // A removed directory's parent may be gone too.
                false => return Ok(false),
            }
        }
        Ok(true)
    }
}
