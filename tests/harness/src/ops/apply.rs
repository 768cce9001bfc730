//! Runs one operation on an implementation.
//!
//! Paths are walked by `lookup`, so resolution is part of what is compared. The inodes that an operation concerns are looked at
//! again afterwards: link counts and times are checked at once, and a failed operation must have left them alone.

mod file_ops;
mod listing;
mod meta_ops;
mod name_ops;

use proxyfs_core::fs::{Caller, FileSystem};
use proxyfs_core::types::Ino;
use proxyfs_core::{ErrorKind, Result};

use super::outcome::{Outcome, Reply};
use super::slots::{OpenFile, Slots};
use super::{Name, Op, Path, Target};

pub(crate) use listing::read_all;

/// Runs `op` and says what came of it. Engine-level operations only answer [`Reply::Done`] here.
pub async fn apply<F: FileSystem>(fs: &F, slots: &mut Slots, op: &Op) -> Outcome {
    let mut run = Run { fs, slots, concerned: Vec::new() };
    let reply = match run.dispatch(op).await {
        Ok(reply) => reply,
        Err(error) => Reply::Failed(error.kind()),
    };
    let after = run.look_again().await;
    Outcome { reply, after }
}

/// One operation under way.
struct Run<'a, F> {
    fs: &'a F,
    slots: &'a mut Slots,
    /// Inodes to look at afterwards.
    concerned: Vec<Ino>,
}

/// A path with its directories walked.
struct Walked {
    dir: Ino,
    name: Vec<u8>,
}

impl<F: FileSystem> Run<'_, F> {
    async fn dispatch(&mut self, op: &Op) -> Result<Reply> {
        match op {
            Op::Create { .. }
            | Op::Mkdir { .. }
            | Op::Mknod { .. }
            | Op::Symlink { .. }
            | Op::Unlink { .. }
            | Op::Rmdir { .. }
            | Op::Rename { .. }
            | Op::Link { .. }
            | Op::Lookup { .. } => self.name_op(op).await,
            Op::Tmpfile { .. }
            | Op::Open { .. }
            | Op::Close { .. }
            | Op::Read { .. }
            | Op::Write { .. }
            | Op::Fallocate { .. }
            | Op::Seek { .. }
            | Op::Copy { .. }
            | Op::Fsync { .. }
            | Op::Flush { .. }
            | Op::Lock { .. }
            | Op::Getlock { .. } => self.file_op(op).await,
            Op::Readlink { .. }
            | Op::Truncate { .. }
            | Op::Chmod { .. }
            | Op::Chown { .. }
            | Op::Utimens { .. }
            | Op::Getattr { .. }
            | Op::Setxattr { .. }
            | Op::SetAcl { .. }
            | Op::Getxattr { .. }
            | Op::Listxattr { .. }
            | Op::Removexattr { .. } => self.meta_op(op).await,
            Op::List { .. } | Op::Opendir { .. } | Op::Readdir { .. } | Op::Closedir { .. } | Op::Fsyncdir { .. } => {
                self.listing_op(op).await
            }
            Op::Syncfs => self.fs.syncfs().await.map(|()| Reply::Done),
            Op::Statfs => self.fs.statfs().await.map(|_| Reply::Done),
            Op::Checkpoint | Op::Remount | Op::DropCaches => Ok(Reply::Done),
        }
    }

    /// Looks at all concerned inodes, each once.
    async fn look_again(&mut self) -> Vec<Result<super::AttrView, ErrorKind>> {
        let mut views = Vec::new();
        let mut seen = Vec::new();
        for ino in std::mem::take(&mut self.concerned) {
            if seen.contains(&ino) {
                continue;
            }
            seen.push(ino);
            views.push(match self.fs.getattr(ino).await {
                Ok(attr) => Ok(self.slots.view(&attr)),
                Err(error) => Err(error.kind()),
            });
        }
        views
    }

    /// Walks the directories of a path. The last directory and whatever has the name now are concerned.
    async fn walk(&mut self, path: &Path) -> Result<Walked> {
        let dir = self.walk_dirs(&path.dir).await?;
        let name = path.name.bytes();
        self.concerned.push(dir);
        if let Ok(attr) = self.fs.lookup(dir, &name).await {
            self.concerned.push(attr.ino);
        }
        Ok(Walked { dir, name })
    }

    async fn walk_dirs(&self, dirs: &[Name]) -> Result<Ino> {
        let mut dir = Ino::ROOT;
        for name in dirs {
            dir = self.fs.lookup(dir, &name.bytes()).await?.ino;
        }
        Ok(dir)
    }

    /// The inode that a target means; it is concerned. `None` for an empty slot.
    async fn find(&mut self, target: &Target) -> Result<Option<Ino>> {
        let ino = match target {
            Target::Root => Some(Ino::ROOT),
            Target::Slot(slot) => self.slots.file(*slot).map(|open| open.ino),
            Target::Path(path) => {
                let dir = self.walk_dirs(&path.dir).await?;
                Some(self.fs.lookup(dir, &path.name.bytes()).await?.ino)
            }
        };
        self.concerned.extend(ino);
        Ok(ino)
    }

    /// What is open in a slot; it is concerned.
    fn open_file(&mut self, slot: u8) -> Option<OpenFile> {
        let open = self.slots.file(slot)?;
        self.concerned.push(open.ino);
        Some(open)
    }
}

/// One of a few callers; 0 is root.
fn caller(who: u8) -> Caller {
    match who {
        0 => Caller { uid: 0, gid: 0, pid: 1 },
        1 => Caller { uid: 1000, gid: 1000, pid: 100 },
        _ => Caller { uid: 1001, gid: 1000, pid: 101 },
    }
}
