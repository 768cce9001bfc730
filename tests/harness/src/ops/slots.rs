//! What a running sequence remembers on one side: open files and streams, and names for inode numbers.

use std::collections::{BTreeMap, BTreeSet};

use proxyfs_core::fs::{Attr, FileKind, FileSystem, Handle};
use proxyfs_core::types::{Ino, Timestamp};

use super::outcome::{AttrView, TimeView};
use super::{DIR_SLOTS, FILE_SLOTS};

/// Times before this can only have been set on purpose (2001-09-09).
const CLOCK_SECS_MIN: i64 = 1_000_000_000;

/// What is left out of comparisons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// The two sides read different clocks: compare only whether a time is one that was set, or a clock's.
    pub clocks_differ: bool,
    /// Do not compare access times.
    pub atime: bool,
    /// Do not compare creation times.
    pub btime: bool,
}

/// One side's memory. A fresh one for each sequence.
#[derive(Debug)]
pub struct Slots {
    pub(super) files: Vec<Option<OpenFile>>,
    pub(super) dirs: Vec<Option<OpenDir>>,
    ids: BTreeMap<Ino, u32>,
    mask: Mask,
}

/// A file that is open in a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenFile {
    pub(super) handle: Handle,
    pub(super) ino: Ino,
}

/// A directory stream that is open in a slot, with what is needed to judge it at its end.
#[derive(Clone, Debug)]
pub(super) struct OpenDir {
    pub(super) handle: Handle,
    pub(super) ino: Ino,
    /// Where to go on.
    pub(super) cookie: u64,
    /// Names when it was opened.
    pub(super) at_start: BTreeSet<Vec<u8>>,
    /// Names seen so far.
    pub(super) seen: Vec<Vec<u8>>,
    /// Names that were removed, moved or replaced meanwhile: they may be seen or not.
    pub(super) disturbed: BTreeSet<Vec<u8>>,
}

impl Slots {
    /// Nothing open, no inode seen.
    #[must_use]
    pub fn new(mask: Mask) -> Self {
        Self {
            files: vec![None; usize::from(FILE_SLOTS)],
            dirs: vec![None; usize::from(DIR_SLOTS)],
            ids: BTreeMap::new(),
            mask,
        }
    }

    /// Closes everything that is open.
    pub async fn close_all<F: FileSystem>(&mut self, fs: &F) {
        for file in self.files.iter_mut().filter_map(Option::take) {
            // What a close answers is compared when it is an operation of its own.
            let _ = fs.release(file.handle, None).await;
        }
        for dir in self.dirs.iter_mut().filter_map(Option::take) {
            let _ = fs.releasedir(dir.handle).await;
        }
    }

    /// Forgets everything that is open without closing it, as after a crash.
    pub fn forget_all(&mut self) {
        self.files.fill(None);
        self.dirs.fill(None);
    }

    pub(super) fn file(&self, slot: u8) -> Option<OpenFile> {
        self.files.get(usize::from(slot)).copied().flatten()
    }

    /// A name of a directory went, came back, or now leads elsewhere.
    pub(super) fn disturb(&mut self, dir: Ino, name: &[u8]) {
        for open in self.dirs.iter_mut().flatten().filter(|open| open.ino == dir) {
            open.disturbed.insert(name.to_vec());
        }
    }

    /// Attributes in comparable form.
    pub(super) fn view(&mut self, attr: &Attr) -> AttrView {
        let fresh = self.ids.len() as u32;
        let id = *self.ids.entry(attr.ino).or_insert(fresh);
        AttrView {
            id,
            kind: attr.kind,
            perm: attr.perm,
            nlink: attr.nlink,
            uid: attr.uid,
            gid: attr.gid,
            rdev: attr.rdev,
            size: (attr.kind != FileKind::Dir).then_some(attr.size),
            atime: self.time(attr.atime, self.mask.atime),
            mtime: self.time(attr.mtime, false),
            ctime: self.time(attr.ctime, false),
            btime: self.time(attr.btime, self.mask.btime),
        }
    }

    fn time(&self, time: Timestamp, masked: bool) -> TimeView {
        if masked {
            TimeView::Masked
        } else if self.mask.clocks_differ && time.secs >= CLOCK_SECS_MIN {
            TimeView::Clock
        } else {
            TimeView::Exact(time)
        }
    }
}
