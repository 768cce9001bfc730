//! What changed without Windows' doing, as Windows is to hear of it: by paths.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use proxyfs_core::changes::{Change, Changes};
use proxyfs_core::fs::{FileKind, FileSystem};
use proxyfs_core::types::Ino;

use super::{Answer, Drive};
use crate::name;

/// Directories above one another that are followed to find a path.
const LEVELS_MAX: usize = 256;
/// Entries that are looked through to find the name of a directory.
const ENTRIES_MAX: usize = 20_000;
const BACKSLASH: u16 = b'\\' as u16;

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happened {
    /// It is there now, or is something else now.
    FileAdded,
    /// It is a directory now.
    DirAdded,
    /// It is gone.
    Removed,
    /// Its content or attributes are not as they were.
    Changed,
}

/// One thing that Windows is to hear of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notice {
    /// The path, as the volume spells it.
    pub path: Vec<u16>,
    /// What happened to it.
    pub happened: Happened,
}

impl<F: FileSystem> Drive<F> {
    /// What to tell of `changes`. `open_at`: the paths by which an inode is open. Of a file that is not open, the driver remembers
    /// nothing but what stands in listings, which age out.
    pub async fn notices(&self, changes: &Changes, open_at: &(dyn Fn(Ino) -> Vec<Vec<u16>> + Sync)) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut known = HashMap::new();
        let changed = |notices: &mut Vec<Notice>, ino: Ino| {
            notices.extend(open_at(ino).into_iter().map(|path| Notice { path, happened: Happened::Changed }));
        };
        match changes {
            Changes::Listed(list) => {
                for change in list {
                    match change {
                        Change::Entry { parent, name } => {
                            notices.extend(self.entry_notice(*parent, name, open_at, &mut known).await);
                        }
                        Change::Attributes(ino) | Change::Content(ino) => changed(&mut notices, *ino),
                    }
                }
            }
            Changes::Everything { names, open } => {
                notices.push(Notice { path: vec![BACKSLASH], happened: Happened::Changed });
                for name in names {
                    notices.extend(self.entry_notice(Ino::ROOT, name, open_at, &mut known).await);
                }
                for ino in open {
                    changed(&mut notices, *ino);
                }
            }
        }
        notices.dedup();
        notices
    }

    async fn entry_notice(
        &self,
        parent: Ino,
        name: &[u8],
        open_at: &(dyn Fn(Ino) -> Vec<Vec<u16>> + Sync),
        known: &mut HashMap<Ino, Option<Vec<u16>>>,
    ) -> Option<Notice> {
        if let Entry::Vacant(vacant) = known.entry(parent) {
            let open = open_at(parent).into_iter().next();
            let path = match open {
                Some(path) => Some(path),
                None => self.path_of_dir(parent).await.ok().flatten(),
            };
            vacant.insert(path);
        }
        let mut path = known.get(&parent).cloned().flatten()?;
        if path != [BACKSLASH] {
            path.push(BACKSLASH);
        }
        let (spelt, happened) = match self.fs.find(parent, name).await {
            Ok(entry) if entry.attr.kind == FileKind::Dir => (entry.name, Happened::DirAdded),
            Ok(entry) => (entry.name, Happened::FileAdded),
            Err(_) => (bytes::Bytes::copy_from_slice(name), Happened::Removed),
        };
        path.extend(name::to_windows(&spelt));
        Some(Notice { path, happened })
    }

    /// The path of a directory; `None` when it is not found with reasonable effort.
    async fn path_of_dir(&self, dir: Ino) -> Answer<Option<Vec<u16>>> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut at = dir;
        for _ in 0..LEVELS_MAX {
            if at == Ino::ROOT {
                names.reverse();
                return Ok(Some(crate::path::Path::show(&names)));
            }
            let parent = self.fs.lookup(at, b"..").await?.ino;
            let Some(name) = self.name_in(parent, at).await? else { return Ok(None) };
            names.push(name);
            at = parent;
        }
        Ok(None)
    }

    async fn name_in(&self, parent: Ino, child: Ino) -> Answer<Option<Vec<u8>>> {
        let (mut seen, mut after) = (0, None::<bytes::Bytes>);
        while seen < ENTRIES_MAX {
            let page = self.fs.entries_after(parent, after.as_deref()).await?;
            if let Some(found) = page.iter().find(|entry| entry.attr.ino == child) {
                return Ok(Some(found.name.to_vec()));
            }
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            seen += page.len();
        }
        Ok(None)
    }
}
