//! Names: what they lead to, and where new ones go.

use std::future::Future;

use tokio::sync::MutexGuard;

use super::companion::if_there;
use super::{LocalOnly, Side, is_local_only, shown};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Attr, Caller, FileKind, FileSystem, Handle, NamedEntry, SetAttr};
use crate::types::Ino;

/// What a name leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Volume(Attr),
    Local,
    Nothing,
}

/// Fails if `parent` is the companion's: what it shows are no directories.
pub(super) fn check_parent(parent: Ino) -> Result<()> {
    match Side::of(parent) {
        Side::Volume(_) => Ok(()),
        Side::Local(ino) => {
            Err(Error::new(ErrorKind::NotADirectory, format!("local-only inode {ino} is no directory")))
        }
    }
}

pub(super) fn taken(dir: Ino) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("entry exists in directory {dir}"))
}

pub(super) fn elsewhere() -> Error {
    Error::new(ErrorKind::CrossDevice, "local-only files and others do not mix")
}

impl<F: FileSystem, L: FileSystem> LocalOnly<F, L> {
    /// Waits until no other local-only name is being changed, if `name` is one.
    pub(super) async fn one_naming(&self, name: &[u8]) -> Option<MutexGuard<'_, ()>> {
        if is_local_only(name) { Some(self.naming.lock().await) } else { None }
    }

    /// What `name` leads to.
    ///
    /// # Errors
    /// As of a lookup, but that nothing is there.
    pub(super) async fn look(&self, parent: Ino, name: &[u8]) -> Result<Found> {
        match self.volume.lookup(parent, name).await {
            Ok(attr) => Ok(Found::Volume(attr)),
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            Err(_) if !is_local_only(name) => Ok(Found::Nothing),
            Err(_) => Ok(self.find_local(parent, name).await?.map_or(Found::Nothing, |_| Found::Local)),
        }
    }

    /// As [`FileSystem::find`]; `of_volume` is the volume's answer.
    pub(super) async fn or_local(&self, of_volume: Result<NamedEntry>, parent: Ino, name: &[u8]) -> Result<NamedEntry> {
        let missing = match of_volume {
            Err(e) if e.kind() == ErrorKind::NotFound && is_local_only(name) => e,
            other => return other,
        };
        let found = self.find_local(parent, name).await?.ok_or(missing)?;
        Ok(NamedEntry { attr: shown(found.attr), ..found })
    }

    /// The companion's directory in which a new file `name` belongs; `None` if it is the volume's affair. Under `naming`.
    ///
    /// # Errors
    /// As making the file in the volume.
    pub(super) async fn place_for_new(&self, parent: Ino, name: &[u8]) -> Result<Option<Ino>> {
        check_parent(parent)?;
        if !is_local_only(name) {
            return Ok(None);
        }
        match if_missing(self.volume.lookup(parent, name).await)? {
            // What is there stays what it is.
            Some(_) => Ok(None),
            None => self.companion_for_new(parent).await.map(Some),
        }
    }

    /// Makes something that is not a directory: `in_volume`, or with `in_local` in a directory of the companion.
    pub(super) async fn make<T, V, W>(
        &self,
        (parent, name): (Ino, &[u8]),
        in_volume: V,
        in_local: impl FnOnce(Ino) -> W + Send,
        show: impl FnOnce(T) -> T + Send,
    ) -> Result<T>
    where
        V: Future<Output = Result<T>> + Send,
        W: Future<Output = Result<T>> + Send,
    {
        let _one = self.one_naming(name).await;
        match self.place_for_new(parent, name).await? {
            None => in_volume.await,
            Some(dir) => in_local(dir).await.map(show),
        }
    }

    pub(super) async fn mkdir_in(
        &self,
        caller: Caller,
        (parent, name): (Ino, &[u8]),
        perm: u16,
        umask: u16,
    ) -> Result<Attr> {
        check_parent(parent)?;
        let _one = self.one_naming(name).await;
        if is_local_only(name) && self.find_local(parent, name).await?.is_some() {
            return Err(taken(parent));
        }
        self.volume.mkdir(caller, parent, name, perm, umask).await
    }

    pub(super) async fn unlink_in(&self, caller: Caller, parent: Ino, name: &[u8]) -> Result<()> {
        check_parent(parent)?;
        let _one = self.one_naming(name).await;
        let missing = match self.volume.unlink(caller, parent, name).await {
            Err(e) if e.kind() == ErrorKind::NotFound && is_local_only(name) => e,
            Ok(()) if is_local_only(name) => return self.unlink_hidden(caller, parent, name).await,
            other => return other,
        };
        let dir = self.companion_of(parent).await?.ok_or(missing)?;
        self.local.unlink(caller, dir, name).await
    }

    /// Removes the companion's file behind an entry of the volume that has just gone: who removes a name does not expect another file there.
    pub(super) async fn unlink_hidden(&self, caller: Caller, parent: Ino, name: &[u8]) -> Result<()> {
        match self.companion_of(parent).await? {
            Some(dir) => if_there(self.local.unlink(caller, dir, name).await).map(drop),
            None => Ok(()),
        }
    }

    /// Removes a directory, and with it the local-only files in it.
    pub(super) async fn rmdir_in(&self, caller: Caller, parent: Ino, name: &[u8]) -> Result<()> {
        check_parent(parent)?;
        let dir = match self.look(parent, name).await {
            Ok(Found::Volume(attr)) => Some(attr.ino),
            Ok(Found::Local) => {
                return Err(Error::new(ErrorKind::NotADirectory, "a local-only file is no directory"));
            }
            // The volume says what is wrong.
            Ok(Found::Nothing) | Err(_) => None,
        };
        self.volume.rmdir(caller, parent, name).await?;
        if let Some(dir) = dir {
            self.drop_files_of(dir).await;
        }
        Ok(())
    }

    pub(super) async fn link_in(&self, caller: Caller, ino: Ino, new_parent: Ino, new_name: &[u8]) -> Result<Attr> {
        check_parent(new_parent)?;
        let _one = self.one_naming(new_name).await;
        let ino = match Side::of(ino) {
            Side::Volume(ino) if !is_local_only(new_name) => {
                return self.volume.link(caller, ino, new_parent, new_name).await;
            }
            Side::Volume(ino) => {
                let attr = self.volume.getattr(ino).await?;
                return match self.look(new_parent, new_name).await? {
                    Found::Volume(_) | Found::Local => Err(taken(new_parent)),
                    Found::Nothing if attr.kind == FileKind::Dir => {
                        Err(Error::new(ErrorKind::NotPermitted, format!("inode {ino} is a directory")))
                    }
                    Found::Nothing => Err(elsewhere()),
                };
            }
            Side::Local(ino) => ino,
        };
        match self.look(new_parent, new_name).await? {
            Found::Volume(_) | Found::Local => Err(taken(new_parent)),
            Found::Nothing if !is_local_only(new_name) => Err(elsewhere()),
            Found::Nothing => {
                let dir = self.companion_for_new(new_parent).await?;
                self.local.link(caller, ino, dir, new_name).await.map(shown)
            }
        }
    }

    /// Opens a directory's stream in the companion, if there is one.
    pub(super) async fn open_companion(&self, dir: Ino) -> Result<Option<Handle>> {
        match self.companion_of(dir).await? {
            Some(companion) => if_there(self.local.opendir(Caller::default(), companion).await),
            None => Ok(None),
        }
    }

    /// Changes attributes. A directory that gets another creation time takes its companion along.
    pub(super) async fn setattr_of(&self, caller: Caller, ino: Ino, set: SetAttr) -> Result<Attr> {
        let ino = match Side::of(ino) {
            Side::Volume(ino) => ino,
            Side::Local(ino) => return self.local.setattr(caller, ino, set).await.map(shown),
        };
        if set.btime.is_none() || self.volume.getattr(ino).await?.kind != FileKind::Dir {
            return self.volume.setattr(caller, ino, set).await;
        }
        let _one = self.naming.lock().await;
        let companion = self.companion_of(ino).await?;
        let attr = self.volume.setattr(caller, ino, set).await?;
        if let Some(companion) = companion {
            self.follow_creation_time(companion, &attr).await?;
        }
        Ok(attr)
    }
}

/// `None` for a name that is not there.
fn if_missing<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
