//! Naming files to people: from an inode to its path, and damage that names the file it was met in.
//!
//! Only for error paths: there is no index from inodes to names, so each step up searches a directory, a bounded part of it at a
//! time under the state lock.

use crate::error::{Error, ErrorKind, Result};
use crate::ops::path::{NameSearch, join, name_in, parent_of};
use crate::types::Ino;
use crate::volume::{Shared, Volume};

/// Deepest path that is looked for: deeper ones are not shown.
const DEPTH_SHOWN_MAX: usize = 4_096;

impl Shared {
    /// The path of an inode from the root; `None` if the directory that named it last does not name it any more.
    ///
    /// # Errors
    /// Those of loading metadata.
    pub(crate) async fn path_of(&self, ino: Ino) -> Result<Option<Vec<u8>>> {
        let mut names = Vec::new();
        let mut at = ino;
        while at != Ino::ROOT {
            let Some(dir) = self.view(|kv| Ok(parent_of(kv, at)?)).await? else { return Ok(None) };
            match self.name_in(dir, at).await? {
                Some(name) if names.len() < DEPTH_SHOWN_MAX => names.push(name),
                Some(_) | None => return Ok(None),
            }
            at = dir;
        }
        Ok(Some(join(names)))
    }

    async fn name_in(&self, dir: Ino, ino: Ino) -> Result<Option<Vec<u8>>> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            match self.view(|kv| Ok(name_in(kv, dir, ino, after.as_deref())?)).await? {
                NameSearch::Found(name) => return Ok(Some(name)),
                NameSearch::After(name) => after = Some(name),
                NameSearch::Absent => return Ok(None),
            }
        }
    }

    /// The error of a read, with the file and the offset; damage is logged here, as the caller only sees an I/O error.
    pub(crate) async fn in_file(&self, error: Error, ino: Ino, offset: u64) -> Error {
        let damage = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnknownFormat);
        if !damage {
            return error.context_prefix(&format!("inode {ino} at {offset}"));
        }
        let path = self.path_of(ino).await.ok().flatten();
        let file = match path {
            Some(path) => format!("file {} (inode {ino}) at {offset}", String::from_utf8_lossy(&path)),
            None => format!("inode {ino} at {offset}"),
        };
        let error = error.context_prefix(&file);
        tracing::error!(volume = %self.meta.name, "damaged data: {error}");
        error
    }
}

impl Volume {
    /// The path of an inode from the root, for messages; `None` if its last name is gone. Costs a search of each directory above it.
    ///
    /// # Errors
    /// Those of loading metadata.
    pub async fn path_of(&self, ino: Ino) -> Result<Option<Vec<u8>>> {
        self.shared.path_of(ino).await
    }
}
