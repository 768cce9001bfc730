//! What Windows' operations on files mean in terms of [`FileSystem`].
//!
//! Owns paths, open files, the choice of file attributes, the deletion by name at cleanup, and the rules of renaming. Knows
//! no Windows API. Each call is one or a few operations of the file system; where it is several, an interruption leaves a state
//! that Windows could have brought about by itself (a new file without its attributes, say), never a damaged one.

mod create;
mod data;
mod dir;
mod meta;
mod notices;
mod rename;
mod reparse;
mod streams;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use proxyfs_core::ErrorKind;
use proxyfs_core::fs::{Attr, Caller, FileKind, FileSystem, Handle, NamedEntry, OpenFlags};
use proxyfs_core::types::{Ino, Timestamp};
use tokio::sync::Mutex as AsyncMutex;

use crate::meta::{self as kept, file_attribute as fa};
use crate::path::Path;
use crate::reparse as buffers;
use crate::security::Identity;
use crate::sid::Sid;
use crate::status::Status;
use crate::time;

pub use create::{Cleanup, CreateWish};
pub use data::WriteAt;
pub use dir::Listed;
#[cfg(windows)]
pub(crate) use meta::LABEL_UNITS_MAX;
pub use meta::{Basic, VolumeInfo};
pub use notices::{Happened, Notice};
pub use rename::Replace;
pub use streams::StreamInfo;

/// Symlinks that are followed to learn whether one leads to a directory.
const SYMLINKS_MAX: usize = 16;
/// Windows counts what is allocated in units of this many bytes.
pub(crate) const ALLOCATION_UNIT: u64 = 4096;

/// An answer, or the status to give.
pub type Answer<T> = std::result::Result<T, Status>;

/// What a drive is asked to be.
#[derive(Clone, Debug)]
pub struct DriveOptions {
    /// Who uses it: the owner and group of what is made here, and who they are to Windows.
    pub who: Identity,
    /// Show names that begin with a full stop as hidden, as long as nobody has set their attributes.
    pub hide_dot_names: bool,
    /// The label as long as none is set.
    pub label: String,
}

impl Default for DriveOptions {
    fn default() -> Self {
        let who = Identity { user: Sid::users(), group: Sid::users(), uid: 0, gid: 0 };
        Self { who, hide_dot_names: true, label: "ProxyFS".to_owned() }
    }
}

/// A file system as a drive of Windows.
pub struct Drive<F> {
    fs: Arc<F>,
    options: DriveOptions,
    /// A named stream is changed by reading and writing it as a whole.
    stream_changes: AsyncMutex<()>,
    /// A name is looked at and then removed or replaced: nobody else may do so meanwhile.
    name_changes: AsyncMutex<()>,
}

impl<F> fmt::Debug for Drive<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What Windows wants to know of a file (FSP_FSCTL_FILE_INFO).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// File attributes.
    pub attributes: u32,
    /// The tag, if it is a reparse point; else 0.
    pub reparse_tag: u32,
    /// Bytes in use for it, in whole units.
    pub allocation_size: u64,
    /// Length in bytes.
    pub file_size: u64,
    /// Creation, in Windows' steps.
    pub creation_time: u64,
    /// Last access.
    pub last_access_time: u64,
    /// Last change of content.
    pub last_write_time: u64,
    /// Last change of anything.
    pub change_time: u64,
    /// The inode's number.
    pub index_number: u64,
    /// Bytes of extended attributes.
    pub ea_size: u32,
}

/// What an open file is, for as long as no reparse point is made of it.
#[derive(Clone, Copy, Debug)]
struct Target {
    ino: Ino,
    kind: FileKind,
    handle: Option<Handle>,
}

/// An open file, directory or stream: one for each time that it was opened.
#[derive(Debug)]
pub struct Open {
    at: Mutex<Target>,
    /// Directory in which it was found; the root is its own.
    parent: Ino,
    hidden_dot: bool,
    /// The attribute that keeps the stream, if not the file itself is meant.
    stream: Option<Vec<u8>>,
    /// A time of last change that was set through this, and that writes through it leave alone.
    pinned_mtime: Mutex<Option<Timestamp>>,
    write_through: AtomicBool,
}

impl Open {
    fn target(&self) -> Target {
        *self.at.lock()
    }

    /// Whether it is a directory itself.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.target().kind == FileKind::Dir && self.stream.is_none()
    }

    /// Makes every write through it durable before its answer (FILE_WRITE_THROUGH).
    pub fn write_through(&self) {
        self.write_through.store(true, Ordering::Relaxed);
    }

    /// The inode at present.
    #[must_use]
    pub fn ino(&self) -> Ino {
        self.target().ino
    }

    fn handle(&self) -> Answer<Handle> {
        let target = self.target();
        target.handle.ok_or(match target.kind {
            FileKind::Dir => Status::FILE_IS_A_DIRECTORY,
            _ => Status::INVALID_PARAMETER,
        })
    }
}

/// Something that was just opened or made.
#[derive(Debug)]
pub struct Opened {
    /// To be given to every further call, and to [`Drive::close`] in the end.
    pub open: Open,
    /// How it is now.
    pub info: Info,
    /// The path with each name spelt as the volume has it, without a stream's name.
    pub path: Vec<u16>,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory that it is in; the root is in itself.
    pub parent: Ino,
    /// The last name as the volume has it (none for the root), and the attributes.
    pub entry: NamedEntry,
    names: Vec<Vec<u8>>,
}

/// What is kept of an inode for Windows.
#[derive(Clone, Debug, Default)]
struct Kept {
    attributes: Option<u32>,
    reparse: Option<Vec<u8>>,
    ea_size: u32,
}

impl<F: FileSystem> Drive<F> {
    /// A drive that shows `fs`.
    pub fn new(fs: Arc<F>, options: DriveOptions) -> Self {
        Self { fs, options, stream_changes: AsyncMutex::new(()), name_changes: AsyncMutex::new(()) }
    }

    /// The file system.
    #[must_use]
    pub fn file_system(&self) -> &Arc<F> {
        &self.fs
    }

    fn caller(&self) -> Caller {
        Caller { uid: self.options.who.uid, gid: self.options.who.gid, pid: 0 }
    }

    /// Follows a path to its end. A stream in it is not looked for.
    ///
    /// # Errors
    /// `OBJECT_PATH_NOT_FOUND` when a directory on the way is missing or is a file, `OBJECT_NAME_NOT_FOUND` when only the last name
    /// is, `REPARSE` when there is a symlink or another reparse point on the way, which the driver is to resolve.
    pub async fn walk(&self, path: &Path) -> Answer<Place> {
        let root = NamedEntry { name: Default::default(), attr: self.fs.getattr(Ino::ROOT).await? };
        let mut place = Place { parent: Ino::ROOT, entry: root, names: Vec::with_capacity(path.names.len()) };
        for (at, name) in path.names.iter().enumerate() {
            let dir = place.entry.attr;
            if at > 0 && self.redirects(&dir).await? {
                return Err(Status::REPARSE);
            }
            let entry = match self.fs.find(dir.ino, name).await {
                Ok(entry) => entry,
                Err(error) => {
                    let last = at + 1 == path.names.len();
                    return Err(match error.kind() {
                        ErrorKind::NotFound if last => Status::OBJECT_NAME_NOT_FOUND,
                        ErrorKind::NotFound | ErrorKind::NotADirectory => Status::OBJECT_PATH_NOT_FOUND,
                        ErrorKind::Stale => Status::OBJECT_PATH_NOT_FOUND,
                        kind => kind.into(),
                    });
                }
            };
            place.parent = dir.ino;
            place.names.push(entry.name.to_vec());
            place.entry = entry;
        }
        Ok(place)
    }

    /// The directory in which the last name of a path is or is to be, and that name. Not for the root.
    async fn walk_to_parent<'p>(&self, path: &'p Path) -> Answer<(Place, &'p [u8])> {
        let Some((name, dirs)) = path.names.split_last() else { return Err(Status::ACCESS_DENIED) };
        let dir = Path { names: dirs.to_vec(), stream: None };
        let place = self.walk(&dir).await.map_err(|status| match status {
            Status::OBJECT_NAME_NOT_FOUND => Status::OBJECT_PATH_NOT_FOUND,
            other => other,
        })?;
        if !dirs.is_empty() && self.redirects(&place.entry.attr).await? {
            return Err(Status::REPARSE);
        }
        match place.entry.attr.kind {
            FileKind::Dir => Ok((place, name)),
            _ => Err(Status::OBJECT_PATH_NOT_FOUND),
        }
    }

    /// Whether what lies below is elsewhere.
    async fn redirects(&self, attr: &Attr) -> Answer<bool> {
        match attr.kind {
            FileKind::Symlink => Ok(true),
            FileKind::Dir => Ok(self.kept_value(attr.ino, kept::REPARSE).await?.is_some()),
            _ => Ok(false),
        }
    }

    /// How a file is that was found by its path.
    pub async fn look(&self, place: &Place) -> Answer<Info> {
        self.info_of(place.parent, &place.entry.attr, self.is_hidden_dot(&place.entry.name)).await
    }

    /// How an open file is.
    pub async fn info(&self, open: &Open) -> Answer<Info> {
        let attr = self.fs.getattr(open.target().ino).await?;
        let mut info = self.info_of(open.parent, &attr, open.hidden_dot).await?;
        if let Some(attribute) = &open.stream {
            let len = self.stream_len(attr.ino, attribute).await?.unwrap_or(0);
            info.file_size = len;
            info.allocation_size = len.next_multiple_of(ALLOCATION_UNIT);
            // A stream is data, also where the file itself is none.
            info.attributes &= !(fa::DIRECTORY | fa::REPARSE_POINT);
            info.reparse_tag = 0;
            if info.attributes == 0 {
                info.attributes = fa::NORMAL;
            }
        }
        Ok(info)
    }

    async fn info_of(&self, parent: Ino, attr: &Attr, hidden_dot: bool) -> Answer<Info> {
        let kept = self.kept(attr.ino).await?;
        let reparse_tag = match (attr.kind, &kept.reparse) {
            (FileKind::Symlink, _) => buffers::TAG_SYMLINK,
            (FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice, _) => buffers::TAG_NFS,
            (_, Some(buffer)) => buffers::parse(buffer).map_or(0, |(tag, _)| tag),
            _ => 0,
        };
        let to_dir = attr.kind == FileKind::Symlink
            && (kept.attributes.is_some_and(|a| a & fa::DIRECTORY != 0) || self.leads_to_dir(parent, attr.ino).await);
        let chosen = kept.attributes.unwrap_or_else(|| kept::default_attributes(attr, hidden_dot));
        let is_file = attr.kind == FileKind::File;
        Ok(Info {
            attributes: kept::shown_attributes(attr, chosen, to_dir, kept.reparse.is_some()),
            reparse_tag,
            allocation_size: if is_file { attr.allocated_bytes.next_multiple_of(ALLOCATION_UNIT) } else { 0 },
            file_size: if is_file { attr.size } else { 0 },
            creation_time: time::to_windows(attr.btime),
            last_access_time: time::to_windows(attr.atime),
            last_write_time: time::to_windows(attr.mtime),
            change_time: time::to_windows(attr.ctime),
            index_number: attr.ino.0,
            ea_size: kept.ea_size,
        })
    }

    /// Whether a symlink that lies in `parent` ends at a directory of this volume.
    async fn leads_to_dir(&self, parent: Ino, symlink: Ino) -> bool {
        let (mut dir, mut link) = (parent, symlink);
        for _ in 0..SYMLINKS_MAX {
            let Ok(target) = self.fs.readlink(link).await else { return false };
            if target.starts_with(b"/") {
                dir = Ino::ROOT;
            }
            let parts: Vec<&[u8]> = target.split(|b| *b == b'/').filter(|p| !p.is_empty()).collect();
            let mut again = None;
            for (at, part) in parts.iter().enumerate() {
                match self.fs.lookup(dir, part).await {
                    Ok(attr) if attr.kind == FileKind::Dir => dir = attr.ino,
                    // A symlink on the way would have to be followed with the rest of the path: it is taken for a file.
                    Ok(attr) if attr.kind == FileKind::Symlink && at + 1 == parts.len() => again = Some(attr.ino),
                    _ => return false,
                }
            }
            match again {
                Some(next) => link = next,
                None => return true,
            }
        }
        false
    }

    fn is_hidden_dot(&self, name: &[u8]) -> bool {
        self.options.hide_dot_names && name.starts_with(b".") && name != b"." && name != b".."
    }

    /// What is kept of an inode for Windows. Most have nothing, which costs one look.
    async fn kept(&self, ino: Ino) -> Answer<Kept> {
        let mut kept = Kept::default();
        let mut eas = Vec::new();
        for attribute in self.fs.listxattr(ino).await? {
            match attribute.as_ref() {
                kept::ATTRIBUTES => {
                    let value = self.kept_value(ino, kept::ATTRIBUTES).await?;
                    kept.attributes = value.and_then(|v| kept::decode_attributes(&v));
                }
                kept::REPARSE => kept.reparse = self.kept_value(ino, kept::REPARSE).await?,
                name if kept::ea_of(name).is_some() => eas.push(attribute),
                _ => {}
            }
        }
        if !eas.is_empty() {
            kept.ea_size = crate::ea::size(&self.eas_named(ino, &eas).await?);
        }
        Ok(kept)
    }

    /// The value of an attribute, if it is there.
    async fn kept_value(&self, ino: Ino, attribute: &[u8]) -> Answer<Option<Vec<u8>>> {
        match self.fs.getxattr(ino, attribute).await {
            Ok(value) => Ok(Some(value.to_vec())),
            Err(error) if error.kind() == ErrorKind::NoAttribute => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn keep(&self, ino: Ino, attribute: &[u8], value: &[u8]) -> Answer<()> {
        Ok(self.fs.setxattr(self.caller(), ino, attribute, value, Default::default()).await?)
    }

    async fn keep_no_longer(&self, ino: Ino, attribute: &[u8]) -> Answer<()> {
        match self.fs.removexattr(self.caller(), ino, attribute).await {
            Err(error) if error.kind() != ErrorKind::NoAttribute => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Opens what was found. `write`: whether its content may be changed.
    async fn open_target(&self, attr: &Attr, write: bool) -> Answer<Target> {
        let handle = match attr.kind {
            FileKind::File => {
                let flags = OpenFlags { read: true, write, ..OpenFlags::default() };
                Some(self.fs.open(self.caller(), attr.ino, flags).await?)
            }
            FileKind::Dir => Some(self.fs.opendir(self.caller(), attr.ino).await?),
            _ => None,
        };
        Ok(Target { ino: attr.ino, kind: attr.kind, handle })
    }

    async fn close_target(&self, target: Target) {
        let Some(handle) = target.handle else { return };
        let closed = match target.kind {
            FileKind::Dir => self.fs.releasedir(handle).await,
            _ => self.fs.release(handle, None).await,
        };
        if let Err(error) = closed {
            tracing::warn!(ino = target.ino.0, "closing: {error}");
        }
    }

    /// Ends an open file. Every one that was opened must come here.
    pub async fn close(&self, open: &Open) {
        self.close_target(open.target()).await;
    }
}

#[cfg(test)]
mod tests;
