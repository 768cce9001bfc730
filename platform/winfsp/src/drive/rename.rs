//! Renaming: as POSIX does it, with Windows' refusals.

use proxyfs_core::ErrorKind;
use proxyfs_core::fs::{FileKind, FileSystem, RenameMode};

use super::{Answer, Drive, Open};
use crate::meta::file_attribute as fa;
use crate::path::Path;
use crate::status::Status;

/// What becomes of a file that has the new name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// It stays, and the renaming fails.
    No,
    /// It is replaced, unless it is read-only.
    Yes,
    /// It is replaced.
    ReadOnlyToo,
}

impl<F: FileSystem> Drive<F> {
    /// Moves `from` to `to`. A file that has the new name already is replaced as `replace` says, open or not; whoever has it open
    /// keeps it.
    ///
    /// # Errors
    /// `OBJECT_NAME_COLLISION` when the name is taken and not to be replaced; `ACCESS_DENIED` when what has it is a directory or
    /// read-only, or a directory is to replace a file; `INVALID_PARAMETER` for streams, and for a directory that is to go
    /// into itself.
    pub async fn rename(&self, open: &Open, from: &Path, to: &Path, replace: Replace) -> Answer<()> {
        if open.stream.is_some() || from.stream.is_some() || to.stream.is_some() {
            return Err(Status::INVALID_PARAMETER);
        }
        let _one = self.name_changes.lock().await;
        let (from_dir, from_name) = self.walk_to_parent(from).await?;
        let (to_dir, to_name) = self.walk_to_parent(to).await?;
        let (from_dir, to_dir) = (from_dir.entry.attr.ino, to_dir.entry.attr.ino);
        let source = self.fs.find(from_dir, from_name).await?;
        let mut mode = RenameMode::NoReplace;
        match self.fs.find(to_dir, to_name).await {
            Ok(there) if from_dir == to_dir && there.name == source.name => {
                // The one entry, perhaps in another case.
                mode = RenameMode::Replace;
            }
            Ok(_) if replace == Replace::No => return Err(Status::OBJECT_NAME_COLLISION),
            Ok(there) => {
                let hidden_dot = self.is_hidden_dot(&there.name);
                let read_only = self.chosen_attributes(&there.attr, hidden_dot).await? & fa::READONLY != 0;
                if read_only && replace != Replace::ReadOnlyToo
                    || there.attr.kind == FileKind::Dir
                    || source.attr.kind == FileKind::Dir
                {
                    return Err(Status::ACCESS_DENIED);
                }
                if there.attr.ino == source.attr.ino {
                    // Two hard links of one file: POSIX would leave both.
                    return Ok(self.fs.unlink(self.caller(), from_dir, from_name).await?);
                }
                mode = RenameMode::Replace;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.fs.rename(self.caller(), from_dir, from_name, to_dir, to_name, mode).await?)
    }
}
