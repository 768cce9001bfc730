//! Moving names: within the volume, within the companion, and not between them.
//!
//! A file that the volume stores under a local-only name (made elsewhere, or before there was a companion) is moved like any other of
//! the volume's. Directories are the volume's under any name.

use super::names::{Found, check_parent, elsewhere, taken};
use super::{LocalOnly, is_local_only};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Attr, Caller, FileKind, FileSystem, RenameMode};
use crate::types::Ino;

/// One end of a rename.
type End<'n> = (Ino, &'n [u8]);

/// Where a rename takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Volume,
    Companion,
}

/// Decides where a rename from `source` to `target` takes place; `classes`: whether the old and the new name are local-only.
fn place(source: &Found, target: &Found, classes: (bool, bool), to: Ino, mode: RenameMode) -> Result<Place> {
    let is_dir = |attr: &Attr| attr.kind == FileKind::Dir;
    let (from_class, to_class) = classes;
    match (source, target) {
        // Says itself that there is nothing to move.
        (Found::Nothing, _) | (Found::Volume(_), Found::Volume(_)) => return Ok(Place::Volume),
        (Found::Local, Found::Local) => return Ok(Place::Companion),
        (Found::Volume(source), Found::Nothing) => {
            let comes_in = to_class && !from_class && !is_dir(source) && mode != RenameMode::Exchange;
            return if comes_in { Err(elsewhere()) } else { Ok(Place::Volume) };
        }
        (Found::Local, Found::Nothing) if to_class => return Ok(Place::Companion),
        (Found::Local, Found::Nothing) if mode == RenameMode::Exchange => {
            return Err(Error::new(ErrorKind::NotFound, format!("no entry to exchange in directory {to}")));
        }
        (Found::Local, Found::Nothing) => return Err(elsewhere()),
        (Found::Volume(_), Found::Local) | (Found::Local, Found::Volume(_)) => {}
    }
    match (mode, source, target) {
        (RenameMode::NoReplace, ..) => Err(taken(to)),
        (RenameMode::Exchange, ..) => Err(elsewhere()),
        (RenameMode::Replace, Found::Volume(source), _) if is_dir(source) => {
            Err(Error::new(ErrorKind::NotADirectory, "a local-only file is no directory"))
        }
        (RenameMode::Replace, _, Found::Volume(target)) if is_dir(target) => {
            Err(Error::new(ErrorKind::IsADirectory, format!("inode {} is a directory", target.ino)))
        }
        (RenameMode::Replace, ..) => Err(elsewhere()),
    }
}

impl<F: FileSystem, L: FileSystem> LocalOnly<F, L> {
    pub(super) async fn rename_in(&self, caller: Caller, from: End<'_>, to: End<'_>, mode: RenameMode) -> Result<()> {
        check_parent(from.0)?;
        check_parent(to.0)?;
        let classes = (is_local_only(from.1), is_local_only(to.1));
        if classes == (false, false) {
            let replaced = self.rename_in_volume(caller, from, to, mode).await?;
            self.drop_replaced(replaced).await;
            return Ok(());
        }
        let one = self.naming.lock().await;
        let source = self.look(from.0, from.1).await?;
        let target = match source {
            Found::Nothing => Found::Nothing,
            Found::Volume(_) | Found::Local => self.look(to.0, to.1).await?,
        };
        match place(&source, &target, classes, to.0, mode)? {
            Place::Companion => self.rename_in_companion(caller, from, to, mode).await,
            Place::Volume => {
                let replaced = self.rename_in_volume(caller, from, to, mode).await?;
                self.after_leaving(caller, from).await?;
                drop(one);
                self.drop_replaced(replaced).await;
                Ok(())
            }
        }
    }

    async fn rename_in_companion(&self, caller: Caller, from: End<'_>, to: End<'_>, mode: RenameMode) -> Result<()> {
        let gone = || Error::new(ErrorKind::NotFound, format!("no such entry in directory {}", from.0));
        let new_dir = self.companion_for_new(to.0).await?;
        let dir = self.companion_of(from.0).await?.ok_or_else(gone)?;
        self.local.rename(caller, dir, from.1, new_dir, to.1, mode).await
    }

    /// Gives the directory that was replaced, if any.
    async fn rename_in_volume(
        &self,
        caller: Caller,
        from: End<'_>,
        to: End<'_>,
        mode: RenameMode,
    ) -> Result<Option<Ino>> {
        let replaced = match mode {
            RenameMode::Replace => self.volume.lookup(to.0, to.1).await.ok().filter(|attr| attr.kind == FileKind::Dir),
            RenameMode::NoReplace | RenameMode::Exchange => None,
        };
        self.volume.rename(caller, from.0, from.1, to.0, to.1, mode).await?;
        Ok(replaced.map(|attr| attr.ino))
    }

    /// A directory that was replaced takes its local-only files along.
    async fn drop_replaced(&self, dir: Option<Ino>) {
        if let Some(dir) = dir {
            self.drop_files_of(dir).await;
        }
    }

    /// Nothing comes to light under a local-only name that the volume's entry has left. Under `naming`.
    async fn after_leaving(&self, caller: Caller, from: End<'_>) -> Result<()> {
        if !is_local_only(from.1) {
            return Ok(());
        }
        match self.look(from.0, from.1).await? {
            Found::Local => self.unlink_hidden(caller, from.0, from.1).await,
            Found::Volume(_) | Found::Nothing => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    fn of_volume(kind: FileKind) -> Found {
        Found::Volume(example(9, kind))
    }

    #[test]
    fn each_pair_of_ends_has_its_place() {
        use ErrorKind::{AlreadyExists, CrossDevice, IsADirectory, NotADirectory, NotFound};
        use Place::{Companion, Volume};
        use RenameMode::{Exchange, NoReplace, Replace};
        let (file, dir) = (|| of_volume(FileKind::File), || of_volume(FileKind::Dir));
        let (local, none) = (|| Found::Local, || Found::Nothing);
        let (both, into, out) = ((true, true), (false, true), (true, false));
        for (source, target, classes, [replace, no_replace, exchange]) in [
            (none(), none(), both, [Ok(Volume); 3]),
            (file(), none(), both, [Ok(Volume); 3]),
            (file(), none(), into, [Err(CrossDevice), Err(CrossDevice), Ok(Volume)]),
            (file(), none(), out, [Ok(Volume); 3]),
            (dir(), none(), into, [Ok(Volume); 3]),
            (file(), file(), into, [Ok(Volume); 3]),
            (dir(), dir(), into, [Ok(Volume); 3]),
            (file(), local(), into, [Err(CrossDevice), Err(AlreadyExists), Err(CrossDevice)]),
            (file(), local(), both, [Err(CrossDevice), Err(AlreadyExists), Err(CrossDevice)]),
            (dir(), local(), into, [Err(NotADirectory), Err(AlreadyExists), Err(CrossDevice)]),
            (local(), local(), both, [Ok(Companion); 3]),
            (local(), none(), both, [Ok(Companion); 3]),
            (local(), none(), out, [Err(CrossDevice), Err(CrossDevice), Err(NotFound)]),
            (local(), file(), both, [Err(CrossDevice), Err(AlreadyExists), Err(CrossDevice)]),
            (local(), file(), out, [Err(CrossDevice), Err(AlreadyExists), Err(CrossDevice)]),
            (local(), dir(), out, [Err(IsADirectory), Err(AlreadyExists), Err(CrossDevice)]),
        ] {
            for (mode, expected) in [(Replace, replace), (NoReplace, no_replace), (Exchange, exchange)] {
                let found = place(&source, &target, classes, Ino::ROOT, mode).map_err(|e| e.kind());
                assert_eq!(found, expected, "{source:?} -> {target:?}, {classes:?}, {mode:?}");
            }
        }
    }
}
