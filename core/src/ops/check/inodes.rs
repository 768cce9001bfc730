//! One pass over the inodes: what each says of itself against the xattrs, entries and extents that follow it.

use crate::acl::{self, Acl};
use crate::error::Result;
use crate::format::{Dirent, Extent, InodeRecord, Key, keys, xattr};
use crate::fs::{FILE_BYTES_MAX, FileKind};
use crate::kv::{KvRead, Miss};
use crate::ops::{OpCx, name};
use crate::types::Ino;

use super::{Faults, Subject, each};

/// What has been read of the inode at hand.
#[derive(Debug)]
struct Group {
    ino: Ino,
    record: Option<InodeRecord>,
    entries: u64,
    subdirs: u64,
    extents_end: u64,
    extents_sum: u64,
    has_extents: bool,
}

pub(super) fn check(kv: &dyn KvRead, faults: &mut Faults) -> Result<(), Miss> {
    let mut group: Option<Group> = None;
    let mut seen_root = false;
    each(kv, keys::all_inodes_range(), |key, value| {
        let ino = match Key::decode(key) {
            Ok(Key::Inode(ino) | Key::Xattr { ino, .. } | Key::Dirent { ino, .. } | Key::Extent { ino, .. }) => ino,
            Ok(other) => return faults.push(Subject::Key(key.to_vec()), format!("{other:?} among the inodes")),
            Err(error) => return faults.push(Subject::Key(key.to_vec()), error.to_string()),
        };
        if group.as_ref().is_none_or(|g| g.ino != ino)
            && let Some(done) = group.replace(Group::new(ino))
        {
            done.finish(faults);
        }
        seen_root |= ino == Ino::ROOT;
        if let Some(group) = &mut group {
            group.read(key, value, faults);
        }
    })?;
    if let Some(done) = group {
        done.finish(faults);
    }
    if !seen_root {
        faults.push(Subject::Volume, "there is no root directory");
    }
    Ok(())
}

impl Group {
    fn new(ino: Ino) -> Self {
        Self { ino, record: None, entries: 0, subdirs: 0, extents_end: 0, extents_sum: 0, has_extents: false }
    }

    fn read(&mut self, key: &[u8], value: &[u8], faults: &mut Faults) {
        match Key::decode(key) {
            Ok(Key::Inode(ino)) => match InodeRecord::decode(value) {
                Ok(record) => self.record = Some(record),
                Err(error) => faults.inode(ino, format!("its record does not decode: {error}")),
            },
            Ok(Key::Xattr { name, .. }) => self.read_xattr(&name, value, faults),
            Ok(Key::Dirent { name, .. }) => self.read_dirent(&name, value, faults),
            Ok(Key::Extent { offset, .. }) => self.read_extent(offset, value, faults),
            Ok(_) | Err(_) => {}
        }
    }

    fn read_xattr(&self, name: &[u8], value: &[u8], faults: &mut Faults) {
        let shown = String::from_utf8_lossy(name);
        let content = match xattr::decode(value) {
            Ok(content) => content,
            Err(error) => return faults.inode(self.ino, format!("xattr {shown} does not decode: {error}")),
        };
        if name != acl::XATTR_ACCESS && name != acl::XATTR_DEFAULT {
            return;
        }
        let Some(record) = &self.record else { return };
        match Acl::decode(content).and_then(|acl| acl.as_ref().map_or(Ok(()), Acl::check).map(|()| acl)) {
            Ok(Some(acl)) if name == acl::XATTR_ACCESS => {
                if acl.apply_to_perm(record.perm) != record.perm {
                    faults.inode(self.ino, format!("its access acl contradicts its permission bits {:o}", record.perm));
                }
            }
            Ok(Some(_)) if record.kind != FileKind::Dir => {
                faults.inode(self.ino, "has a default acl and is not a directory");
            }
            Ok(Some(_)) => {}
            Ok(None) => faults.inode(self.ino, format!("{shown} has no entries")),
            Err(error) => faults.inode(self.ino, format!("{shown} is not valid: {error}")),
        }
    }

    fn read_dirent(&mut self, key_name: &[u8], value: &[u8], faults: &mut Faults) {
        self.entries += 1;
        let shown = String::from_utf8_lossy(key_name);
        let dirent = match Dirent::decode(value) {
            Ok(dirent) => dirent,
            Err(error) => return faults.inode(self.ino, format!("entry {shown} does not decode: {error}")),
        };
        if dirent.kind == FileKind::Dir {
            self.subdirs += 1;
        }
        let display = dirent.name(key_name);
        if name::check_new(display).is_err() || name::is_dots(display) {
            faults.inode(self.ino, format!("entry {shown} has a name that cannot be"));
        }
        let insensitive = OpCx { case_insensitive: true, ..OpCx::default() };
        if display != key_name && name::key_name(&insensitive, display) != key_name {
            faults.inode(self.ino, format!("entry {shown} is shown as {}", String::from_utf8_lossy(display)));
        }
    }

    fn read_extent(&mut self, offset: u64, value: &[u8], faults: &mut Faults) {
        self.has_extents = true;
        let extent = match Extent::decode(value) {
            Ok(extent) => extent,
            Err(error) => return faults.inode(self.ino, format!("extent at {offset} does not decode: {error}")),
        };
        if offset < self.extents_end {
            faults.inode(self.ino, format!("extent at {offset} overlaps the one before it, to {}", self.extents_end));
        }
        self.extents_end = self.extents_end.max(offset.saturating_add(extent.len));
        self.extents_sum = self.extents_sum.saturating_add(extent.len);
    }

    fn finish(self, faults: &mut Faults) {
        let Some(record) = &self.record else {
            return faults.inode(self.ino, "has xattrs, entries or extents and no readable record");
        };
        self.check_extents(record, faults);
        self.check_dir(record, faults);
        if record.kind == FileKind::Symlink && record.size != record.target.len() as u64 {
            faults.inode(self.ino, format!("target of {} bytes, size {}", record.target.len(), record.size));
        }
        if self.ino == Ino::ROOT && (record.kind != FileKind::Dir || record.parent != Ino::ROOT || record.nlink < 2) {
            faults.inode(self.ino, "the root is not a directory that is its own parent");
        }
    }

    fn check_extents(&self, record: &InodeRecord, faults: &mut Faults) {
        if self.has_extents && record.kind != FileKind::File {
            faults.inode(self.ino, "has extents and is not a regular file");
        }
        if record.kind == FileKind::File && self.extents_end > record.size {
            faults.inode(self.ino, format!("extents to {} pass its size {}", self.extents_end, record.size));
        }
        if self.extents_sum != record.allocated_bytes {
            let what = format!("extents of {} bytes, allocated {}", self.extents_sum, record.allocated_bytes);
            faults.inode(self.ino, what);
        }
        if record.size > FILE_BYTES_MAX {
            faults.inode(self.ino, format!("size {} passes the largest file", record.size));
        }
    }

    fn check_dir(&self, record: &InodeRecord, faults: &mut Faults) {
        if record.kind != FileKind::Dir {
            if self.entries > 0 {
                faults.inode(self.ino, "has entries and is not a directory");
            }
            return;
        }
        if self.entries != record.entry_count {
            faults.inode(self.ino, format!("{} entries, counted {}", self.entries, record.entry_count));
        }
        if record.nlink == 0 {
            if self.entries > 0 {
                faults.inode(self.ino, format!("was removed and has {} entries", self.entries));
            }
        } else if u64::from(record.nlink) != self.subdirs + 2 {
            faults.inode(self.ino, format!("{} subdirectories, link count {}", self.subdirs, record.nlink));
        }
    }
}
