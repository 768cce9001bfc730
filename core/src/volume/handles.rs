//! Open files and directory streams.
//!
//! Owns the handle numbers, the count of opens per inode (an orphan is reaped when it falls to 0) and the positions of
//! directory streams. A stream's cookie counts entries since its start; the names last given are remembered, so that
//! a caller can come back to any of them even when entries have come or gone.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::error::{ErrorKind, Result};
use crate::fs::{Handle, OpenFlags};
use crate::types::Ino;
use crate::volume::read::ReadAhead;

/// Names remembered exactly by a directory stream.
const NAMES_MAX: usize = 65_536;
/// Beyond those, every so many entries one name is remembered.
const SPARSE_STEP: u64 = 1_024;
/// First cookie of a real entry: `.` is 1, `..` is 2.
pub(crate) const FIRST_ENTRY: u64 = 3;

/// An open file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) ino: Ino,
    pub(crate) flags: OpenFlags,
    pub(crate) ahead: ReadAhead,
    /// Bytes read and written through it.
    pub(crate) read: AtomicU64,
    pub(crate) written: AtomicU64,
}

/// Where a directory stream is.
#[derive(Debug, Default)]
pub(crate) struct DirStream {
    pub(crate) ino: Ino,
    names: Mutex<StreamNames>,
}

#[derive(Debug, Default)]
struct StreamNames {
    /// Key name of cookie `FIRST_ENTRY + base + index`.
    recent: VecDeque<Box<[u8]>>,
    base: u64,
    sparse: BTreeMap<u64, Box<[u8]>>,
}

impl DirStream {
    /// The key name to go on after, and how many entries to skip from there.
    pub(crate) fn resume(&self, cookie: u64) -> (Option<Vec<u8>>, u64) {
        let mut names = self.names.lock();
        if cookie < FIRST_ENTRY {
            *names = StreamNames::default();
            return (None, 0);
        }
        let at = cookie - FIRST_ENTRY;
        if let Some(name) = at.checked_sub(names.base).and_then(|i| names.recent.get(usize::try_from(i).ok()?)) {
            return (Some(name.to_vec()), 0);
        }
        match names.sparse.range(..=at).next_back() {
            Some((known, name)) => (Some(name.to_vec()), at - known),
            None => (None, at + 1),
        }
    }

    /// Remembers the names given for the cookies after `cookie`.
    pub(crate) fn remember<'n>(&self, cookie: u64, given: impl Iterator<Item = &'n [u8]>) {
        let mut names = self.names.lock();
        let first = cookie.max(FIRST_ENTRY - 1) + 1 - FIRST_ENTRY;
        match first.checked_sub(names.base) {
            Some(keep) if keep <= names.recent.len() as u64 => {
                names.recent.truncate(usize::try_from(keep).unwrap_or(0));
            }
            _ => {
                names.recent.clear();
                names.base = first;
            }
        }
        for (i, name) in given.enumerate() {
            let at = first + i as u64;
            if at.is_multiple_of(SPARSE_STEP) {
                names.sparse.insert(at, name.into());
            }
            names.recent.push_back(name.into());
            if names.recent.len() > NAMES_MAX {
                names.recent.pop_front();
                names.base += 1;
            }
        }
    }
}

#[derive(Clone)]
enum Open {
    File(Arc<OpenFile>),
    Dir(Arc<DirStream>),
}

/// All open handles of a volume.
#[derive(Default)]
pub(crate) struct Handles {
    next: AtomicU64,
    open: RwLock<HashMap<Handle, Open>>,
    counts: Mutex<HashMap<Ino, u32>>,
}

impl Handles {
    /// Counts an open of `ino`. Do so before looking whether the inode is there: from then on it is not reaped.
    pub(crate) fn hold(&self, ino: Ino) {
        *self.counts.lock().entry(ino).or_default() += 1;
    }

    /// Takes back [`Handles::hold`]. Whether that was the last.
    pub(crate) fn unhold(&self, ino: Ino) -> bool {
        let mut counts = self.counts.lock();
        match counts.get_mut(&ino) {
            Some(n) if *n > 1 => {
                *n -= 1;
                false
            }
            _ => {
                counts.remove(&ino);
                true
            }
        }
    }

    /// Whether `ino` is open.
    pub(crate) fn is_held(&self, ino: Ino) -> bool {
        self.counts.lock().contains_key(&ino)
    }

    /// All inodes that are open, in order.
    pub(crate) fn open_inodes(&self) -> Vec<Ino> {
        let mut open: Vec<Ino> = self.counts.lock().keys().copied().collect();
        open.sort_unstable();
        open
    }

    /// Gives a handle to a held inode.
    pub(crate) fn add_file(&self, ino: Ino, flags: OpenFlags) -> Handle {
        let (read, written) = Default::default();
        self.add(Open::File(Arc::new(OpenFile { ino, flags, ahead: ReadAhead::default(), read, written })))
    }

    /// Gives a handle to a held directory.
    pub(crate) fn add_dir(&self, ino: Ino) -> Handle {
        self.add(Open::Dir(Arc::new(DirStream { ino, ..DirStream::default() })))
    }

    fn add(&self, open: Open) -> Handle {
        let handle = Handle(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        self.open.write().insert(handle, open);
        handle
    }

    pub(crate) fn file(&self, handle: Handle) -> Result<Arc<OpenFile>> {
        match self.open.read().get(&handle) {
            Some(Open::File(file)) => Ok(Arc::clone(file)),
            _ => Err(ErrorKind::BadHandle.into()),
        }
    }

    pub(crate) fn dir(&self, handle: Handle) -> Result<Arc<DirStream>> {
        match self.open.read().get(&handle) {
            Some(Open::Dir(dir)) => Ok(Arc::clone(dir)),
            _ => Err(ErrorKind::BadHandle.into()),
        }
    }

    /// Any handle's inode.
    pub(crate) fn ino(&self, handle: Handle) -> Result<Ino> {
        match self.open.read().get(&handle) {
            Some(Open::File(file)) => Ok(file.ino),
            Some(Open::Dir(dir)) => Ok(dir.ino),
            None => Err(ErrorKind::BadHandle.into()),
        }
    }

    /// Ends a handle; its inode, and whether no other handle holds it.
    pub(crate) fn remove(&self, handle: Handle) -> Result<(Ino, bool)> {
        let open = self.open.write().remove(&handle).ok_or(ErrorKind::BadHandle)?;
        let ino = match open {
            Open::File(file) => file.ino,
            Open::Dir(dir) => dir.ino,
        };
        Ok((ino, self.unhold(ino)))
    }

    /// How many handles are open.
    pub(crate) fn len(&self) -> usize {
        self.open.read().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_back_to_any_remembered_name() {
        let stream = DirStream { ino: Ino::ROOT, ..DirStream::default() };
        assert_eq!(stream.resume(0), (None, 0));
        let names: Vec<Vec<u8>> = (0..10u8).map(|i| vec![b'a' + i]).collect();
        stream.remember(0, names.iter().map(Vec::as_slice));
        assert_eq!(stream.resume(FIRST_ENTRY), (Some(b"a".to_vec()), 0));
        assert_eq!(stream.resume(FIRST_ENTRY + 9), (Some(b"j".to_vec()), 0));
        stream.remember(FIRST_ENTRY + 4, [b"z".as_slice()].into_iter());
        assert_eq!(stream.resume(FIRST_ENTRY + 5), (Some(b"z".to_vec()), 0));
        assert_eq!(stream.resume(2), (None, 0), "a rewind starts afresh");
        assert_eq!(stream.resume(FIRST_ENTRY), (None, 1), "nothing remembered: skip from the start");
    }

    #[test]
    fn far_back_positions_are_found_from_a_sparse_name() {
        let stream = DirStream { ino: Ino::ROOT, ..DirStream::default() };
        let mut cookie = 0;
        for i in 0..70_000u32 {
            stream.remember(cookie, [i.to_be_bytes().as_slice()].into_iter());
            cookie = FIRST_ENTRY + u64::from(i);
        }
        assert_eq!(stream.resume(FIRST_ENTRY + 2_000), (Some(1_024u32.to_be_bytes().to_vec()), 976));
        assert_eq!(stream.resume(FIRST_ENTRY + 69_999), (Some(69_999u32.to_be_bytes().to_vec()), 0));
    }

    #[test]
    fn holds_are_counted() {
        let handles = Handles::default();
        handles.hold(Ino(5));
        handles.hold(Ino(5));
        let handle = handles.add_file(Ino(5), OpenFlags::default());
        assert!(!handles.unhold(Ino(5)));
        assert_eq!(handles.remove(handle).expect("open"), (Ino(5), true));
        assert!(!handles.is_held(Ino(5)));
        assert!(handles.remove(handle).is_err());
    }
}
