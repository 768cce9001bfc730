//! The companion's directories: finding the one of a directory of the volume, making it, dropping it.
//!
//! Files made in one inherit what they would in the directory of the volume: it has that one's permissions, owners and default ACL,
//! brought up to date before each file that is made.

use bytes::Bytes;

use super::LocalOnly;
use crate::acl::XATTR_DEFAULT;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Attr, Caller, FileKind, FileSystem, NamedEntry, SetAttr, XattrMode};
use crate::types::Ino;

/// Permissions of a companion's directory until it has those of the volume's.
const DIR_PERM: u16 = 0o700;

/// The name in the companion's root of what belongs to `dir`.
fn name_of(dir: Ino) -> String {
    format!("{:x}", dir.0)
}

/// The directory that a name in the companion's root belongs to.
fn dir_of(name: &[u8]) -> Option<Ino> {
    let text = std::str::from_utf8(name).ok()?;
    let dir = Ino(u64::from_str_radix(text, 16).ok()?);
    (name_of(dir) == text).then_some(dir)
}

/// `None` for what is not there (any more).
pub(super) fn if_there<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Stale) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether `local` is what belongs to the directory `attr` of the volume.
fn belongs(attr: &Attr, local: &Attr) -> bool {
    attr.kind == FileKind::Dir && attr.nlink > 0 && attr.btime == local.btime
}

impl<F: FileSystem, L: FileSystem> LocalOnly<F, L> {
    /// What the companion has for a directory, if it is still there.
    pub(super) async fn companion_of(&self, dir: Ino) -> Result<Option<Ino>> {
        let Some(local) = if_there(self.local.lookup(Ino::ROOT, name_of(dir).as_bytes()).await)? else {
            return Ok(None);
        };
        let attr = if_there(self.volume.getattr(dir).await)?;
        Ok(attr.filter(|attr| belongs(attr, &local)).map(|_| local.ino))
    }

    /// A file of the companion by its name in a directory of the volume, whatever the volume has there.
    pub(super) async fn find_local(&self, dir: Ino, name: &[u8]) -> Result<Option<NamedEntry>> {
        match self.companion_of(dir).await? {
            Some(companion) => if_there(self.local.find(companion, name).await),
            None => Ok(None),
        }
    }

    /// The companion's directory in which a file of `dir` can be made. Under `naming`.
    ///
    /// # Errors
    /// `NotADirectory`, `Stale`, `NotFound` for a removed directory.
    pub(super) async fn companion_for_new(&self, dir: Ino) -> Result<Ino> {
        let attr = self.volume.getattr(dir).await?;
        if attr.kind != FileKind::Dir {
            return Err(Error::new(ErrorKind::NotADirectory, format!("inode {dir} is not a directory")));
        }
        if attr.nlink == 0 {
            return Err(Error::new(ErrorKind::NotFound, format!("directory {dir} was removed")));
        }
        let name = name_of(dir);
        let mut local = if_there(self.local.lookup(Ino::ROOT, name.as_bytes()).await)?;
        if let Some(other) = local.take_if(|local| !belongs(&attr, local)) {
            self.drop_companion(other.ino, &name).await?;
        }
        let local = match local {
            Some(local) => local,
            None => self.local.mkdir(Caller::default(), Ino::ROOT, name.as_bytes(), DIR_PERM, 0).await?,
        };
        self.bring_up_to_date(&attr, &local).await?;
        Ok(local.ino)
    }

    async fn bring_up_to_date(&self, attr: &Attr, local: &Attr) -> Result<()> {
        let facts = |attr: &Attr| (attr.perm, attr.uid, attr.gid, attr.btime);
        if facts(attr) != facts(local) {
            let set = SetAttr {
                perm: Some(attr.perm),
                uid: Some(attr.uid),
                gid: Some(attr.gid),
                btime: Some(attr.btime),
                ..SetAttr::default()
            };
            self.local.setattr(Caller::default(), local.ino, set).await?;
        }
        let wanted = if_set(self.volume.getxattr(attr.ino, XATTR_DEFAULT).await)?;
        let there = if_set(self.local.getxattr(local.ino, XATTR_DEFAULT).await)?;
        match wanted {
            same if same == there => Ok(()),
            Some(acl) => self.local.setxattr(Caller::default(), local.ino, XATTR_DEFAULT, &acl, XattrMode::Set).await,
            None => self.local.removexattr(Caller::default(), local.ino, XATTR_DEFAULT).await,
        }
    }

    /// Drops the local-only files of a directory that has just been removed, unless it is still there after all. What fails is
    /// left to the next [`LocalOnly::prune`]: nothing leads to it any more.
    pub(super) async fn drop_files_of(&self, dir: Ino) {
        let name = name_of(dir);
        let dropped = async {
            let Some(local) = if_there(self.local.lookup(Ino::ROOT, name.as_bytes()).await)? else { return Ok(()) };
            let _one = self.naming.lock().await;
            if if_there(self.volume.getattr(dir).await)?.is_some_and(|attr| attr.nlink > 0) {
                return Ok(());
            }
            self.drop_companion(local.ino, &name).await
        };
        let dropped: Result<()> = dropped.await;
        if let Err(error) = dropped {
            tracing::warn!("local-only files of removed directory {dir} are dropped at the next mount: {error}");
        }
    }

    /// Drops a directory of the companion with its files. Under `naming`.
    async fn drop_companion(&self, companion: Ino, name: &str) -> Result<()> {
        while let Some(page) = if_there(self.local.entries_after(companion, None).await)?.filter(|p| !p.is_empty()) {
            for entry in page {
                if_there(self.local.unlink(Caller::default(), companion, &entry.name).await)?;
            }
        }
        if_there(self.local.rmdir(Caller::default(), Ino::ROOT, name.as_bytes()).await).map(drop)
    }

    /// Gives a directory's companion the creation time that the directory has been given.
    pub(super) async fn follow_creation_time(&self, companion: Ino, attr: &Attr) -> Result<()> {
        let set = SetAttr { btime: Some(attr.btime), ..SetAttr::default() };
        self.local.setattr(Caller::default(), companion, set).await.map(drop)
    }

    /// Drops what the companion has for directories that are not there any more, and directories without files. Gives how many. May
    /// run while both are in use; stopped in between, it has done no harm.
    ///
    /// # Errors
    /// The first of either file system; what is left stays for the next time.
    pub async fn prune(&self) -> Result<u64> {
        let mut after: Option<Bytes> = None;
        let mut dropped = 0;
        loop {
            let page = self.local.entries_after(Ino::ROOT, after.as_deref()).await?;
            let Some(last) = page.last() else { return Ok(dropped) };
            after = Some(last.name.clone());
            for entry in page.iter().filter(|entry| entry.attr.kind == FileKind::Dir) {
                // Whatever else is there is not of our making.
                let Some(dir) = dir_of(&entry.name) else { continue };
                dropped += u64::from(self.prune_one(dir).await?);
            }
        }
    }

    async fn prune_one(&self, dir: Ino) -> Result<bool> {
        let name = name_of(dir);
        // Brings the volume's page into memory, so that nobody waits for it below.
        if_there(self.volume.getattr(dir).await)?;
        let _one = self.naming.lock().await;
        let Some(local) = if_there(self.local.lookup(Ino::ROOT, name.as_bytes()).await)? else { return Ok(false) };
        if !if_there(self.volume.getattr(dir).await)?.is_some_and(|attr| belongs(&attr, &local)) {
            return self.drop_companion(local.ino, &name).await.map(|()| true);
        }
        match self.local.rmdir(Caller::default(), Ino::ROOT, name.as_bytes()).await {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotEmpty => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn if_set(value: Result<Bytes>) -> Result<Option<Bytes>> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::NoAttribute => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_directories_and_nothing_else_does() {
        assert_eq!(name_of(Ino(0x1f)), "1f");
        assert_eq!(dir_of(b"1f"), Some(Ino(0x1f)));
        for other in [&b"1F"[..], b"01f", b"+1", b"", b"x", b"Recovered from a 2026-01-01", b"\xff"] {
            assert_eq!(dir_of(other), None, "{other:?}");
        }
    }
}
