//! Directories: listing after a marker, and one entry by its name.

use proxyfs_core::fs::{FileSystem, NamedEntry};
use proxyfs_core::types::Ino;

use super::{Answer, Drive, Info, Open};
use crate::name;

/// An entry as Windows is to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Vec<u16>,
    /// How it is.
    pub info: Info,
}

const DOT: &[u16] = &[b'.' as u16];
const DOT_DOT: &[u16] = &[b'.' as u16, b'.' as u16];

impl<F: FileSystem> Drive<F> {
    /// Entries after the one named `marker` (from the start without one), some tens to some hundreds; empty at the end. `.` and
    /// `..` come first, except in the root, which has none.
    pub async fn list(&self, open: &Open, marker: Option<&[u16]>) -> Answer<Vec<Listed>> {
        let dir = open.target().ino;
        let mut found = Vec::new();
        let after = match marker {
            None => None,
            Some(DOT | DOT_DOT) => None,
            Some(marker) => Some(name::from_windows(marker)),
        };
        if dir != Ino::ROOT && after.is_none() && marker != Some(DOT_DOT) {
            if marker.is_none() {
                found.push(Listed { name: DOT.to_vec(), info: self.info(open).await? });
            }
            let parent = self.fs.lookup(dir, b"..").await?;
            found.push(Listed { name: DOT_DOT.to_vec(), info: self.info_of(parent.ino, &parent, false).await? });
        }
        for entry in self.fs.entries_after(dir, after.as_deref()).await? {
            found.push(self.listed(dir, &entry).await?);
        }
        Ok(found)
    }

    /// The entry of a directory that goes by a name.
    ///
    /// # Errors
    /// `OBJECT_NAME_NOT_FOUND`.
    pub async fn list_one(&self, open: &Open, wanted: &[u16]) -> Answer<Listed> {
        let dir = open.target().ino;
        let entry = self.fs.find(dir, &name::from_windows(wanted)).await?;
        self.listed(dir, &entry).await
    }

    async fn listed(&self, dir: Ino, entry: &NamedEntry) -> Answer<Listed> {
        let info = self.info_of(dir, &entry.attr, self.is_hidden_dot(&entry.name)).await?;
        Ok(Listed { name: name::to_windows(&entry.name), info })
    }
}
