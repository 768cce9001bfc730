//! The cache on the local disk: frames as stored, kept across restarts.
//!
//! Owns one sparse file per stored object, with frames at the offsets that they have in the object. There is no index to lose: a
//! frame that is read back must carry its own header and checksum, and anything else (zeros, a torn write) is a miss. The least
//! recently used object's file goes when the budget is passed. A failure of the cache is never an error of the caller.
//!
//! Does not flush: what a power loss takes is fetched again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk_room::DiskRoom;
use crate::env::{LocalDir, LocalFile, OpenMode};
use crate::format::{FRAME_HEADER_LEN, FrameHeader, ObjectKind};
use crate::limits::CACHE_RESERVE_BYTES;
use crate::types::{Epoch, Nonce, ObjectId};

/// Directory of the cache inside the state directory.
pub(crate) const CACHE_DIR: &str = "cache";

/// Objects whose cache files are open at once.
const OPEN_FILES_MAX: usize = 256;

pub(crate) type Name = (ObjectKind, ObjectId);

#[derive(Debug)]
struct Entry {
    bytes: u64,
    used: u64,
    file: Option<Arc<dyn LocalFile>>,
}

/// Frames on the local disk under a byte budget.
#[derive(Debug)]
pub(crate) struct DiskCache {
    dir: Arc<dyn LocalDir>,
    budget: AtomicU64,
    room: DiskRoom,
    entries: Mutex<HashMap<Name, Entry>>,
    clock: AtomicU64,
    used: AtomicU64,
}

pub(crate) fn path_of((kind, id): Name) -> String {
    format!("{CACHE_DIR}/{}-{id}", kind.folder())
}

pub(crate) fn parse(name: &str) -> Option<Name> {
    let mut parts = name.split('-');
    let kind = match parts.next()? {
        "data" => ObjectKind::Data,
        "meta" => ObjectKind::Meta,
        _ => return None,
    };
    let mut hex = || parts.next().and_then(|p| u64::from_str_radix(p, 16).ok());
    let found = (kind, ObjectId { epoch: Epoch(hex()?), nonce: Nonce(hex()?) });
    // Another spelling would be looked for, and removed, under the wrong name.
    (path_of(found).strip_prefix(CACHE_DIR) == Some(&format!("/{name}"))).then_some(found)
}

impl DiskCache {
    /// The cache in `dir` as the last run left it. A budget of 0 turns it off and removes what is there.
    pub(crate) fn open(dir: Arc<dyn LocalDir>, budget: u64) -> Self {
        let mut entries = HashMap::new();
        let mut used = 0;
        for (name, len) in dir.list(CACHE_DIR).unwrap_or_default() {
            match parse(&name) {
                Some(name) if budget > 0 => {
                    used += len;
                    entries.insert(name, Entry { bytes: len, used: name.1.nonce.0, file: None });
                }
                _ => drop(dir.remove(&format!("{CACHE_DIR}/{name}"))),
            }
        }
        let clock = entries.values().map(|e| e.used).max().unwrap_or(0) + 1;
        let room = DiskRoom::new(Arc::clone(&dir), CACHE_RESERVE_BYTES);
        let cache = Self {
            dir,
            room,
            budget: AtomicU64::new(budget),
            entries: Mutex::new(entries),
            clock: AtomicU64::new(clock),
            used: AtomicU64::new(used),
        };
        cache.shrink();
        cache
    }

    /// Whether anything is kept at all.
    pub(crate) fn is_on(&self) -> bool {
        self.budget.load(Ordering::Relaxed) > 0
    }

    /// Changes the budget; what is too much goes at once.
    pub(crate) fn set_budget(&self, bytes: u64) {
        if self.budget.swap(bytes, Ordering::Relaxed) > bytes {
            self.shrink();
        }
    }

    /// Bytes that the files may take (holes counted).
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The frame of `len` bytes at `offset`, if it is there and its checksums hold.
    pub(crate) fn get(&self, kind: ObjectKind, id: ObjectId, offset: u64, len: u32) -> Option<Bytes> {
        let file = self.file((kind, id), false)?;
        let mut buf = vec![0; len as usize];
        file.read_exact_at(&mut buf, offset).ok()?;
        let header = FrameHeader::decode(buf.get(..FRAME_HEADER_LEN)?).ok()?;
        let whole =
            header.total_len() == u64::from(len) && crc32c::crc32c(&buf[FRAME_HEADER_LEN..]) == header.payload_crc;
        whole.then(|| Bytes::from(buf))
    }

    /// Keeps bytes of an object at their offset.
    pub(crate) fn put(&self, kind: ObjectKind, id: ObjectId, offset: u64, bytes: &[u8]) {
        if !self.is_on() || !self.room.take(bytes.len() as u64) {
            return;
        }
        let Some(file) = self.file((kind, id), true) else { return };
        if let Err(error) = file.write_all_at(bytes, offset) {
            tracing::debug!("cannot write to the cache on disk: {error}");
            self.remove(kind, id);
            return;
        }
        let end = offset + bytes.len() as u64;
        if let Some(entry) = self.entries.lock().get_mut(&(kind, id))
            && entry.bytes < end
        {
            self.used.fetch_add(end - entry.bytes, Ordering::Relaxed);
            entry.bytes = end;
        }
        self.shrink();
    }

    /// Removes everything, for a disk that is full. Whether there was anything.
    pub(crate) fn clear(&self) -> bool {
        let all: Vec<_> = self.entries.lock().keys().copied().collect();
        all.iter().for_each(|(kind, id)| self.remove(*kind, *id));
        !all.is_empty()
    }

    /// Forgets an object.
    pub(crate) fn remove(&self, kind: ObjectKind, id: ObjectId) {
        let gone = self.entries.lock().remove(&(kind, id));
        if let Some(entry) = gone {
            self.used.fetch_sub(entry.bytes, Ordering::Relaxed);
            drop(self.dir.remove(&path_of((kind, id))));
        }
    }

    fn file(&self, name: Name, create: bool) -> Option<Arc<dyn LocalFile>> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut entries = self.entries.lock();
        let known = entries.contains_key(&name);
        if !known && !create {
            return None;
        }
        if let Some(entry) = entries.get_mut(&name) {
            entry.used = now;
            if let Some(file) = &entry.file {
                return Some(Arc::clone(file));
            }
        }
        drop(entries);
        let mode = if known { OpenMode::ReadWrite } else { OpenMode::CreateNew };
        let file = self.dir.open(&path_of(name), mode).or_else(|_| self.dir.open(&path_of(name), OpenMode::ReadWrite));
        let file = file.ok()?;
        let mut entries = self.entries.lock();
        close_oldest(&mut entries);
        let entry = entries.entry(name).or_insert(Entry { bytes: 0, used: now, file: None });
        entry.file = Some(Arc::clone(&file));
        Some(file)
    }

    fn shrink(&self) {
        while self.used_bytes() > self.budget.load(Ordering::Relaxed) {
            let oldest = self.entries.lock().iter().min_by_key(|(name, e)| (e.used, **name)).map(|(name, _)| *name);
            let Some((kind, id)) = oldest else { return };
            self.remove(kind, id);
        }
    }
}

/// Closes the least recently used file when too many are open.
fn close_oldest(entries: &mut HashMap<Name, Entry>) {
    let open = entries.iter().filter(|(_, e)| e.file.is_some());
    if open.clone().count() < OPEN_FILES_MAX {
        return;
    }
    let oldest = open.min_by_key(|(name, e)| (e.used, **name)).map(|(name, _)| *name);
    if let Some(entry) = oldest.and_then(|name| entries.get_mut(&name)) {
        entry.file = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::OsDir;
    use crate::format::frame::{Codec, FrameKind, encode_frame};

    fn id(nonce: u64) -> ObjectId {
        ObjectId { epoch: Epoch(1), nonce: Nonce(nonce) }
    }

    fn frame(byte: u8) -> Vec<u8> {
        encode_frame(FrameKind::Data, (1, 0), Codec::None, &[byte; 1000])
    }

    #[test]
    fn frames_survive_a_restart_and_damage_is_a_miss() {
        let temp = tempfile::tempdir().expect("tempdir");
        let dir: Arc<dyn LocalDir> = Arc::new(OsDir::open_locked(temp.path()).expect("dir"));
        let cache = DiskCache::open(Arc::clone(&dir), 1 << 20);
        let (a, b) = (frame(1), frame(2));
        cache.put(ObjectKind::Data, id(1), 0, &a);
        cache.put(ObjectKind::Data, id(1), 5000, &b);
        let again = DiskCache::open(Arc::clone(&dir), 1 << 20);
        let len = a.len() as u32;
        assert_eq!(again.get(ObjectKind::Data, id(1), 0, len).as_deref(), Some(&a[..]));
        assert_eq!(again.get(ObjectKind::Data, id(1), 5000, len).as_deref(), Some(&b[..]));
        assert_eq!(again.get(ObjectKind::Data, id(1), 2000, len), None, "a hole is a miss");
        assert_eq!(again.get(ObjectKind::Meta, id(1), 0, len), None);
        let file = dir.open("cache/data-0000000000000001-0000000000000001", OpenMode::ReadWrite).expect("file");
        file.write_all_at(b"x", 5500).expect("write");
        assert_eq!(again.get(ObjectKind::Data, id(1), 5000, len), None, "damage is a miss");
    }

    #[test]
    fn only_names_that_the_cache_gives_are_taken_for_its_files() {
        let name = (ObjectKind::Data, id(0x2a));
        assert_eq!(parse("data-0000000000000001-000000000000002a"), Some(name));
        for other in ["data-1-2a", "data-0000000000000001-000000000000002A", "data-0000000000000001-000000000000002a-x"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_least_recently_used_object_goes_first() {
        let temp = tempfile::tempdir().expect("tempdir");
        let dir: Arc<dyn LocalDir> = Arc::new(OsDir::open_locked(temp.path()).expect("dir"));
        let cache = DiskCache::open(dir, 3 * 1048);
        for n in 1..=3 {
            cache.put(ObjectKind::Data, id(n), 0, &frame(n as u8));
        }
        assert!(cache.get(ObjectKind::Data, id(1), 0, 1048).is_some());
        cache.put(ObjectKind::Data, id(4), 0, &frame(4));
        assert!(cache.get(ObjectKind::Data, id(2), 0, 1048).is_none());
        assert!(cache.get(ObjectKind::Data, id(1), 0, 1048).is_some());
        assert!(cache.used_bytes() <= 3 * 1048);
    }

    #[test]
    fn no_budget_keeps_nothing() {
        let temp = tempfile::tempdir().expect("tempdir");
        let dir: Arc<dyn LocalDir> = Arc::new(OsDir::open_locked(temp.path()).expect("dir"));
        let cache = DiskCache::open(Arc::clone(&dir), 0);
        cache.put(ObjectKind::Data, id(1), 0, &frame(1));
        assert!(dir.list(CACHE_DIR).expect("list").is_empty());
    }
}
