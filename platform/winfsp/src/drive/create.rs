//! Opening, creating, overwriting; cleanup, at which deletion happens.

use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use proxyfs_core::fs::{Attr, FileKind, FileSystem, OpenFlags, SetAttr, SetTime};

use super::{Answer, Drive, Info, Open, Opened, Place, Target};
use crate::ea::Ea;
use crate::meta::{self as kept, file_attribute as fa};
use crate::path::Path;
use crate::security;
use crate::status::Status;

/// What a new file is to be.
#[derive(Clone, Debug, Default)]
pub struct CreateWish {
    /// A directory rather than a file.
    pub directory: bool,
    /// File attributes.
    pub attributes: u32,
    /// The security descriptor, self-relative.
    pub security: Option<Vec<u8>>,
    /// Extended attributes.
    pub eas: Vec<Ea>,
    /// A reparse buffer, if it is to be a reparse point from the start.
    pub reparse: Option<Vec<u8>>,
}

/// What cleanup is to do (`FspCleanup` flags).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleanup {
    /// Remove the name.
    pub delete: bool,
    /// Note that it changed since the last backup.
    pub set_archive: bool,
    /// Note an access now.
    pub set_access_time: bool,
    /// Note a change of content now.
    pub set_write_time: bool,
    /// Note a change now.
    pub set_change_time: bool,
}

/// Permissions of what is made without a security descriptor.
const FILE_PERM: u16 = 0o644;
const DIR_PERM: u16 = 0o755;

impl<F: FileSystem> Drive<F> {
    /// Opens what is there. `write`: whether content may be changed through it.
    ///
    /// # Errors
    /// As [`Drive::walk`]; `OBJECT_NAME_NOT_FOUND` for a stream that is not there.
    pub async fn open(&self, path: &Path, write: bool) -> Answer<Opened> {
        let place = self.walk(path).await?;
        let attr = place.entry.attr;
        let stream = match &path.stream {
            Some(name) => Some(self.find_stream(attr.ino, name).await?.ok_or(Status::OBJECT_NAME_NOT_FOUND)?),
            None => None,
        };
        let target = self.open_target(&attr, write).await?;
        self.opened(place, target, stream).await
    }

    /// Makes a file, directory or stream that is not there, and opens it.
    ///
    /// # Errors
    /// `OBJECT_NAME_COLLISION` when the name is taken; `NOT_A_DIRECTORY` for a stream that is to be a directory; those of
    /// [`Drive::walk`] for the directory that it is to be in.
    pub async fn create(&self, path: &Path, wish: &CreateWish) -> Answer<Opened> {
        match &path.stream {
            Some(stream) => self.create_stream(path, stream, wish).await,
            None => self.create_file(path, wish).await,
        }
    }

    async fn create_stream(&self, path: &Path, stream: &[u8], wish: &CreateWish) -> Answer<Opened> {
        if wish.directory {
            return Err(Status::NOT_A_DIRECTORY);
        }
        let file = Path { names: path.names.clone(), stream: None };
        let (place, target) = match self.walk(&file).await {
            Ok(place) => {
                let target = self.open_target(&place.entry.attr, true).await?;
                (place, target)
            }
            // A stream of a file that is not there makes the file as well.
            Err(Status::OBJECT_NAME_NOT_FOUND) => {
                let made = self.create_file(&file, wish).await?;
                (self.walk(&file).await?, made.open.target())
            }
            Err(status) => return Err(status),
        };
        let made = self.add_stream(target.ino, stream).await;
        match made {
            Ok(attribute) => self.opened(place, target, Some(attribute)).await,
            Err(status) => {
                self.close_target(target).await;
                Err(status)
            }
        }
    }

    async fn create_file(&self, path: &Path, wish: &CreateWish) -> Answer<Opened> {
        let (dir, name) = self.walk_to_parent(path).await?;
        let (dir_ino, caller) = (dir.entry.attr.ino, self.caller());
        let kind = if wish.directory { FileKind::Dir } else { FileKind::File };
        let perm = match &wish.security {
            Some(descriptor) => Some(security::permissions(descriptor, kind, 0, &self.options.who)?),
            None => None,
        };
        let (attr, target) = if wish.directory {
            let attr = self.fs.mkdir(caller, dir_ino, name, perm.unwrap_or(DIR_PERM), 0).await?;
            (attr, self.open_target(&attr, true).await?)
        } else {
            let flags = OpenFlags { read: true, write: true, exclusive: true, ..OpenFlags::default() };
            let made = self.fs.create(caller, dir_ino, name, perm.unwrap_or(FILE_PERM), 0, flags).await;
            let (attr, handle) = made?;
            (attr, Target { ino: attr.ino, kind: FileKind::File, handle: Some(handle) })
        };
        let dressed = self.dress(path, &attr, name, wish, target).await;
        let target = match dressed {
            Ok(target) => target,
            Err(status) => {
                self.close_target(target).await;
                // Nothing of what was asked for is to be seen.
                let undone = if wish.directory {
                    self.fs.rmdir(caller, dir_ino, name).await
                } else {
                    self.fs.unlink(caller, dir_ino, name).await
                };
                if let Err(error) = undone {
                    tracing::warn!(ino = attr.ino.0, "taking back a file that could not be made as asked: {error}");
                }
                return Err(status);
            }
        };
        let place = self.walk(path).await?;
        self.opened(place, target, None).await
    }

    /// Gives a new file what was asked for beyond its name.
    async fn dress(&self, path: &Path, attr: &Attr, name: &[u8], wish: &CreateWish, target: Target) -> Answer<Target> {
        if let Some(descriptor) = &wish.security {
            self.keep_security(attr, descriptor.clone()).await?;
        }
        let archive = if wish.directory { 0 } else { fa::ARCHIVE };
        self.keep_attributes(attr, self.is_hidden_dot(name), wish.attributes | archive).await?;
        self.put_eas(attr.ino, &wish.eas).await?;
        match &wish.reparse {
            Some(buffer) => {
                let open = Open {
                    at: Mutex::new(target),
                    parent: attr.ino,
                    hidden_dot: false,
                    stream: None,
                    pinned_mtime: Mutex::default(),
                    write_through: AtomicBool::new(false),
                };
                self.set_reparse(&open, path, buffer).await?;
                Ok(open.target())
            }
            None => Ok(target),
        }
    }

    pub(super) async fn opened(&self, place: Place, target: Target, stream: Option<Vec<u8>>) -> Answer<Opened> {
        let open = Open {
            at: Mutex::new(target),
            parent: place.parent,
            hidden_dot: self.is_hidden_dot(&place.entry.name),
            stream,
            pinned_mtime: Mutex::default(),
            write_through: AtomicBool::new(false),
        };
        match self.info(&open).await {
            Ok(info) => Ok(Opened { open, info, path: Path::show(&place.names) }),
            Err(status) => {
                self.close_target(target).await;
                Err(status)
            }
        }
    }

    /// Empties an open file or stream, as part of opening it with "overwrite" or "supersede". The other streams of a file and its
    /// extended attributes go with its content.
    ///
    /// `replace`: the attributes are to be these, rather than these as well.
    pub async fn overwrite(&self, open: &Open, attributes: u32, replace: bool, eas: &[Ea]) -> Answer<Info> {
        let target = open.target();
        if let Some(attribute) = &open.stream {
            self.resize_stream(target.ino, attribute, 0).await?;
            return self.info(open).await;
        }
        if target.kind != FileKind::File {
            return Err(Status::FILE_IS_A_DIRECTORY);
        }
        let set = SetAttr { size: Some(0), ..SetAttr::default() };
        let attr = self.fs.setattr(self.caller(), target.ino, set).await?;
        for attribute in self.fs.listxattr(target.ino).await? {
            if kept::stream_of(&attribute).is_some() || kept::ea_of(&attribute).is_some() {
                self.keep_no_longer(target.ino, &attribute).await?;
            }
        }
        self.put_eas(target.ino, eas).await?;
        let before = self.chosen_attributes(&attr, open.hidden_dot).await?;
        let wanted = if replace { attributes } else { before | attributes };
        self.keep_attributes(&attr, open.hidden_dot, wanted | fa::ARCHIVE).await?;
        self.info(open).await
    }

    /// Whether a file may be removed. Nothing is removed yet. `read_only_too`: a read-only file may be.
    ///
    /// # Errors
    /// `CANNOT_DELETE` when it is read-only or the root, `DIRECTORY_NOT_EMPTY`.
    pub async fn can_delete(&self, open: &Open, read_only_too: bool) -> Answer<()> {
        let target = open.target();
        if open.stream.is_some() {
            return Ok(());
        }
        let attr = self.fs.getattr(target.ino).await?;
        let read_only = self.chosen_attributes(&attr, open.hidden_dot).await? & fa::READONLY != 0;
        if read_only && !read_only_too || target.ino == proxyfs_core::types::Ino::ROOT {
            return Err(Status::CANNOT_DELETE);
        }
        if target.kind == FileKind::Dir && !self.fs.entries_after(target.ino, None).await?.is_empty() {
            return Err(Status::DIRECTORY_NOT_EMPTY);
        }
        Ok(())
    }

    /// What is due when the last handle of an open file is closed by its program. `path` is its name at present, given for a
    /// deletion. Windows cannot be told of a failure; it is logged.
    pub async fn cleanup(&self, open: &Open, path: Option<&Path>, what: Cleanup) {
        if let Err(status) = self.try_cleanup(open, path, what).await {
            tracing::warn!(ino = open.target().ino.0, "cleanup: {status}");
        }
    }

    async fn try_cleanup(&self, open: &Open, path: Option<&Path>, what: Cleanup) -> Answer<()> {
        let target = open.target();
        if what.delete {
            return match &open.stream {
                Some(attribute) => self.keep_no_longer(target.ino, attribute).await,
                None => self.delete(target, path.ok_or(Status::INVALID_PARAMETER)?).await,
            };
        }
        if what.set_archive && open.stream.is_none() && target.kind == FileKind::File {
            let attr = self.fs.getattr(target.ino).await?;
            let chosen = self.chosen_attributes(&attr, open.hidden_dot).await?;
            self.keep_attributes(&attr, open.hidden_dot, chosen | fa::ARCHIVE).await?;
        }
        let pinned = open.pinned_mtime.lock().is_some();
        // The file system notes changes of content itself; what is left are those that the driver knows of.
        let set = SetAttr {
            atime: what.set_access_time.then_some(SetTime::Now),
            mtime: (what.set_write_time && !pinned && open.stream.is_some()).then_some(SetTime::Now),
            ..SetAttr::default()
        };
        if set != SetAttr::default() {
            self.fs.setattr(self.caller(), target.ino, set).await?;
        }
        Ok(())
    }

    /// Removes the name, if it still is this file's.
    async fn delete(&self, target: Target, path: &Path) -> Answer<()> {
        let _one = self.name_changes.lock().await;
        let (dir, name) = self.walk_to_parent(path).await?;
        let dir = dir.entry.attr.ino;
        let there = self.fs.lookup(dir, name).await?;
        if there.ino != target.ino {
            return Err(Status::OBJECT_NAME_NOT_FOUND);
        }
        match there.kind {
            FileKind::Dir => Ok(self.fs.rmdir(self.caller(), dir, name).await?),
            _ => Ok(self.fs.unlink(self.caller(), dir, name).await?),
        }
    }
}
