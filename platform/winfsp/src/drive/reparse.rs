//! Reparse points: symlinks are symlinks of the volume, special files are shown as Microsoft's NFS server shows them, all others
//! are kept as they are given.
//!
//! Windows makes a symlink in two steps, an empty file or directory that is then given reparse data. The second step here puts a
//! symlink in its place, in one operation: renamed over the file, or exchanged with the directory.

use proxyfs_core::fs::{Attr, FileKind, FileSystem, OpenFlags, RenameMode};
use proxyfs_core::types::Ino;

use super::{Answer, Drive, Open, Place, Target};
use crate::meta::{self as kept, file_attribute as fa};
use crate::path::Path;
use crate::reparse::{self as buffers, TAG_SYMLINK};
use crate::status::Status;

impl<F: FileSystem> Drive<F> {
    /// The reparse buffer of what was found by its path.
    ///
    /// # Errors
    /// `NOT_A_REPARSE_POINT`.
    pub async fn reparse_of(&self, place: &Place) -> Answer<Vec<u8>> {
        self.reparse_buffer(&place.entry.attr).await
    }

    /// The reparse buffer of an open file.
    ///
    /// # Errors
    /// `NOT_A_REPARSE_POINT`.
    pub async fn reparse(&self, open: &Open) -> Answer<Vec<u8>> {
        let attr = self.fs.getattr(open.target().ino).await?;
        self.reparse_buffer(&attr).await
    }

    async fn reparse_buffer(&self, attr: &Attr) -> Answer<Vec<u8>> {
        let device = Some((attr.rdev >> 8 & 0xfff, attr.rdev & 0xff | attr.rdev >> 12 & 0xfff00));
        match attr.kind {
            FileKind::Symlink => Ok(buffers::of_symlink(&self.fs.readlink(attr.ino).await?)),
            FileKind::Fifo => Ok(buffers::of_special(b"FIFO\0\0\0\0", None)),
            FileKind::Socket => Ok(buffers::of_special(b"SOCK\0\0\0\0", None)),
            FileKind::CharDevice => Ok(buffers::of_special(b"CHR\0\0\0\0\0", device)),
            FileKind::BlockDevice => Ok(buffers::of_special(b"BLK\0\0\0\0\0", device)),
            FileKind::File | FileKind::Dir => {
                self.kept_value(attr.ino, kept::REPARSE).await?.ok_or(Status::NOT_A_REPARSE_POINT)
            }
        }
    }

    /// Makes a reparse point of an open file, whose name at present is `path`, or changes the one that it is.
    ///
    /// # Errors
    /// `IO_REPARSE_TAG_MISMATCH` when it is one with another tag, `DIRECTORY_NOT_EMPTY`, those of a damaged buffer.
    pub async fn set_reparse(&self, open: &Open, path: &Path, buffer: &[u8]) -> Answer<()> {
        let (tag, data) = buffers::parse(buffer)?;
        let target = open.target();
        let attr = self.fs.getattr(target.ino).await?;
        if let Ok(before) = self.reparse_buffer(&attr).await
            && buffers::parse(&before)?.0 != tag
        {
            return Err(Status::IO_REPARSE_TAG_MISMATCH);
        }
        if target.kind == FileKind::Dir && !self.fs.entries_after(target.ino, None).await?.is_empty() {
            return Err(Status::DIRECTORY_NOT_EMPTY);
        }
        let to_dir = match target.kind {
            FileKind::Dir => true,
            FileKind::Symlink => self.info(open).await?.attributes & fa::DIRECTORY != 0,
            _ => false,
        };
        let _one = self.name_changes.lock().await;
        let link = if tag == TAG_SYMLINK { Some(buffers::symlink_target(data)) } else { None };
        match link {
            Some(Ok(link)) => self.become_symlink(open, path, &link, to_dir).await,
            // A target that only Windows understands.
            Some(Err(Status::NOT_SAME_DEVICE)) | None if target.kind != FileKind::Symlink => {
                self.keep(target.ino, kept::REPARSE, buffer).await
            }
            Some(Err(status)) => Err(status),
            None => Err(Status::IO_REPARSE_TAG_MISMATCH),
        }
    }

    /// Makes a plain empty file or directory of a reparse point. `buffer` names the tag that it must have.
    ///
    /// # Errors
    /// `NOT_A_REPARSE_POINT`, `IO_REPARSE_TAG_MISMATCH`.
    pub async fn delete_reparse(&self, open: &Open, path: &Path, buffer: &[u8]) -> Answer<()> {
        let target = open.target();
        let attr = self.fs.getattr(target.ino).await?;
        let before = self.reparse_buffer(&attr).await?;
        let tag = buffer.first_chunk::<4>().map(|t| u32::from_le_bytes(*t)).ok_or(Status::IO_REPARSE_DATA_INVALID)?;
        if buffers::parse(&before)?.0 != tag {
            return Err(Status::IO_REPARSE_TAG_MISMATCH);
        }
        match target.kind {
            FileKind::File | FileKind::Dir => self.keep_no_longer(target.ino, kept::REPARSE).await,
            FileKind::Symlink => {
                let _one = self.name_changes.lock().await;
                let to_dir = self.info(open).await?.attributes & fa::DIRECTORY != 0;
                self.become_plain(open, path, to_dir).await
            }
            _ => Err(Status::ACCESS_DENIED),
        }
    }

    async fn become_symlink(&self, open: &Open, path: &Path, link: &[u8], to_dir: bool) -> Answer<()> {
        let (dir, name) = self.place_of(open, path).await?;
        let aside = aside(open.target().ino);
        let made = self.fs.symlink(self.caller(), dir, &aside, link).await?;
        let placed = async {
            if to_dir {
                self.keep(made.ino, kept::ATTRIBUTES, &kept::encode_attributes(fa::DIRECTORY)).await?;
            }
            self.put_in_place(dir, &aside, name, open.target().kind).await
        };
        match placed.await {
            Ok(()) => {
                self.turn_into(open, Target { ino: made.ino, kind: FileKind::Symlink, handle: None }).await;
                Ok(())
            }
            Err(status) => {
                self.drop_aside(dir, &aside, false).await;
                Err(status)
            }
        }
    }

    async fn become_plain(&self, open: &Open, path: &Path, to_dir: bool) -> Answer<()> {
        let (dir, name) = self.place_of(open, path).await?;
        let aside = aside(open.target().ino);
        let made = if to_dir {
            let attr = self.fs.mkdir(self.caller(), dir, &aside, 0o755, 0).await?;
            self.open_target(&attr, true).await?
        } else {
            let flags = OpenFlags { read: true, write: true, exclusive: true, ..OpenFlags::default() };
            let (attr, handle) = self.fs.create(self.caller(), dir, &aside, 0o644, 0, flags).await?;
            Target { ino: attr.ino, kind: attr.kind, handle: Some(handle) }
        };
        let swapped = if to_dir {
            let swap = RenameMode::Exchange;
            self.fs.rename(self.caller(), dir, &aside, dir, name, swap).await.map_err(Status::from)
        } else {
            self.put_in_place(dir, &aside, name, FileKind::Symlink).await
        };
        match swapped {
            Ok(()) => {
                if to_dir {
                    self.drop_aside(dir, &aside, false).await;
                }
                self.turn_into(open, made).await;
                Ok(())
            }
            Err(status) => {
                self.close_target(made).await;
                self.drop_aside(dir, &aside, to_dir).await;
                Err(status)
            }
        }
    }

    /// The directory and name of an open file, which must be found there.
    async fn place_of<'p>(&self, open: &Open, path: &'p Path) -> Answer<(Ino, &'p [u8])> {
        let (dir, name) = self.walk_to_parent(path).await?;
        let dir = dir.entry.attr.ino;
        if self.fs.lookup(dir, name).await?.ino != open.target().ino {
            return Err(Status::OBJECT_NAME_NOT_FOUND);
        }
        Ok((dir, name))
    }

    /// Puts what lies aside in the place of `name`, which is of `kind`.
    async fn put_in_place(&self, dir: Ino, aside: &[u8], name: &[u8], kind: FileKind) -> Answer<()> {
        if kind != FileKind::Dir {
            return Ok(self.fs.rename(self.caller(), dir, aside, dir, name, RenameMode::Replace).await?);
        }
        self.fs.rename(self.caller(), dir, aside, dir, name, RenameMode::Exchange).await?;
        self.drop_aside(dir, aside, true).await;
        Ok(())
    }

    async fn drop_aside(&self, dir: Ino, aside: &[u8], is_dir: bool) {
        let dropped = if is_dir {
            self.fs.rmdir(self.caller(), dir, aside).await
        } else {
            self.fs.unlink(self.caller(), dir, aside).await
        };
        if let Err(error) = dropped {
            tracing::warn!(dir = dir.0, "removing what a reparse point left aside: {error}");
        }
    }

    async fn turn_into(&self, open: &Open, target: Target) {
        let before = std::mem::replace(&mut *open.at.lock(), target);
        self.close_target(before).await;
    }
}

/// A name for what is put aside for a moment.
fn aside(ino: Ino) -> Vec<u8> {
    format!(".proxyfs-reparse-{:x}", ino.0).into_bytes()
}
