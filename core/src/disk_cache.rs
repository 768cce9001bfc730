//! The cache on the local disk: frames as stored, kept across restarts.
//!
//! Owns one file per stored object: a sparse one, with frames at the offsets that they have in the object, or the staging file that
//! the object was made from (`dense`). There is no index to lose: a frame that is read back must carry its own header and checksum,
//! and anything else (zeros, a torn write) is a miss. The least recently used object's file goes when the budget is passed. A failure
//! of the cache is never an error of the caller.
//!
//! Does not flush: what a power loss takes is fetched again.

mod dense;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use self::dense::Dense;
use crate::disk_room::DiskRoom;
use crate::env::{LocalDir, LocalFile, OpenMode};
use crate::format::frame::Codec;
use crate::format::{FRAME_HEADER_LEN, FrameHeader, ObjectKind};
use crate::limits::CACHE_RESERVE_BYTES;
use crate::types::{Epoch, Nonce, ObjectId};

/// Directory of the cache inside the state directory.
pub(crate) const CACHE_DIR: &str = "cache";

/// Objects whose cache files are open at once.
const OPEN_FILES_MAX: usize = 256;

pub(crate) type Name = (ObjectKind, ObjectId);

/// How an object's frames lie in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// At the offsets that they have in the object.
    Sparse,
    /// As they were staged.
    Dense,
}

#[derive(Debug)]
struct Entry {
    form: Form,
    bytes: u64,
    used: u64,
    file: Option<OpenFile>,
}

/// A cache file in use.
#[derive(Clone, Debug)]
struct OpenFile {
    file: Arc<dyn LocalFile>,
    /// Of a dense one.
    dense: Option<Dense>,
}

/// What turns the staging file of an uploaded segment into a cache file.
#[derive(Clone, Debug)]
pub(crate) struct Keepsake {
    /// The object that the segment became.
    object: ObjectId,
    dense: Dense,
    headers: Bytes,
}

impl Keepsake {
    /// For the object `body`, whose `frames` frames hold `payload_bytes`; `None` unless each is stored as it was staged and but the last
    /// fills its slot.
    pub(crate) fn of(
        object: ObjectId,
        body: &[u8],
        slot_bytes: u32,
        frames: usize,
        payload_bytes: u64,
    ) -> Option<Self> {
        let dense = Dense::new(slot_bytes, frames, payload_bytes)?;
        let step = FRAME_HEADER_LEN + slot_bytes as usize;
        let mut headers = Vec::with_capacity(frames * FRAME_HEADER_LEN);
        let mut left = payload_bytes;
        for frame in 0..frames {
            let bytes = body.get(frame * step..frame * step + FRAME_HEADER_LEN)?;
            let header = FrameHeader::decode(bytes).ok().filter(|h| h.codec == Codec::None)?;
            (u64::from(header.stored_len) == left.min(u64::from(slot_bytes))).then_some(())?;
            left -= u64::from(header.stored_len);
            headers.extend_from_slice(bytes);
        }
        Some(Self { object, dense, headers: headers.into() })
    }
}

/// Takes any bytes as the end of a cache file that was a staging file. For fuzzing.
pub(crate) fn probe(input: &[u8]) {
    Dense::probe(input);
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

pub(crate) fn path_of((kind, id): Name, form: Form) -> String {
    match form {
        Form::Sparse => format!("{CACHE_DIR}/{}-{id}", kind.folder()),
        Form::Dense => format!("{CACHE_DIR}/dense-{id}"),
    }
}

pub(crate) fn parse(name: &str) -> Option<(Name, Form)> {
    let mut parts = name.split('-');
    let (kind, form) = match parts.next()? {
        "data" => (ObjectKind::Data, Form::Sparse),
        "meta" => (ObjectKind::Meta, Form::Sparse),
        "dense" => (ObjectKind::Data, Form::Dense),
        _ => return None,
    };
    let mut hex = || parts.next().and_then(|p| u64::from_str_radix(p, 16).ok());
    let found = (kind, ObjectId { epoch: Epoch(hex()?), nonce: Nonce(hex()?) });
    // Another spelling would be looked for, and removed, under the wrong name.
    (path_of(found, form).strip_prefix(CACHE_DIR) == Some(&format!("/{name}"))).then_some((found, form))
}

impl DiskCache {
    /// The cache in `dir` as the last run left it. A budget of 0 turns it off and removes what is there.
    pub(crate) fn open(dir: Arc<dyn LocalDir>, budget: u64) -> Self {
        let mut entries = HashMap::new();
        let mut used = 0;
        for (name, len) in dir.list(CACHE_DIR).unwrap_or_default() {
            match parse(&name) {
                Some((name, form)) if budget > 0 && !entries.contains_key(&name) => {
                    used += len;
                    entries.insert(name, Entry { form, bytes: len, used: name.1.nonce.0, file: None });
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
        let OpenFile { file, dense } = self.file((kind, id), false)?;
        let (header_at, payload_at) = match dense {
            Some(dense) => dense.find(offset)?,
            None => (offset, offset + FRAME_HEADER_LEN as u64),
        };
        // Most of what is not there is found to be missing without reading (and so clearing) room for all of it.
        let mut head = [0; FRAME_HEADER_LEN];
        file.read_exact_at(&mut head, header_at).ok()?;
        let header = FrameHeader::decode(&head).ok()?;
        if header.total_len() != u64::from(len) {
            return None;
        }
        let mut buf = vec![0; len as usize];
        let (start, payload) = buf.split_at_mut(FRAME_HEADER_LEN);
        start.copy_from_slice(&head);
        file.read_exact_at(payload, payload_at).ok()?;
        (crc32c::crc32c(payload) == header.payload_crc).then(|| Bytes::from(buf))
    }

    /// Makes the staging file at `from` the cache file of the object that its segment became. Whether it did: if not, the file is
    /// still where it was.
    pub(crate) fn adopt(&self, from: &str, file: &Arc<dyn LocalFile>, keepsake: &Keepsake) -> bool {
        let name = (ObjectKind::Data, keepsake.object);
        if !self.is_on() || self.entries.lock().contains_key(&name) {
            return false;
        }
        let to = path_of(name, Form::Dense);
        let completed = keepsake.dense.complete(&**file, &keepsake.headers);
        if let Err(error) = completed.and_then(|()| self.dir.rename(from, &to)) {
            tracing::debug!("cannot keep a staging file as a cache file: {error}");
            return false;
        }
        let (bytes, used) = (keepsake.dense.file_bytes(), self.clock.fetch_add(1, Ordering::Relaxed));
        let before = self.entries.lock().insert(name, Entry { form: Form::Dense, bytes, used, file: None });
        self.used.fetch_add(bytes, Ordering::Relaxed);
        if let Some(before) = before {
            // A reader was given some frames from the store meanwhile.
            self.used.fetch_sub(before.bytes, Ordering::Relaxed);
            drop(self.dir.remove(&path_of(name, before.form)));
        }
        self.shrink();
        true
    }

    /// Keeps bytes of an object at their offset.
    pub(crate) fn put(&self, kind: ObjectKind, id: ObjectId, offset: u64, bytes: &[u8]) {
        if !self.is_on() || !self.room.take(bytes.len() as u64) {
            return;
        }
        let Some(OpenFile { file, dense }) = self.file((kind, id), true) else { return };
        if dense.is_some() {
            // All of it is there.
            return;
        }
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
            drop(self.dir.remove(&path_of((kind, id), entry.form)));
        }
    }

    /// The object's file; a new sparse one if there is none and `create`.
    fn file(&self, name: Name, create: bool) -> Option<OpenFile> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut entries = self.entries.lock();
        let known = entries.get_mut(&name).map(|entry| {
            entry.used = now;
            (entry.form, entry.file.clone())
        });
        drop(entries);
        let form = match known {
            Some((_, Some(file))) => return Some(file),
            Some((form, None)) => form,
            None if create => Form::Sparse,
            None => return None,
        };
        let file = self.open_file(name, form, known.is_some())?;
        let mut entries = self.entries.lock();
        close_oldest(&mut entries);
        let entry = entries.entry(name).or_insert(Entry { form, bytes: 0, used: now, file: None });
        entry.file = Some(file.clone());
        Some(file)
    }

    fn open_file(&self, name: Name, form: Form, known: bool) -> Option<OpenFile> {
        let path = path_of(name, form);
        let mode = if known { OpenMode::ReadWrite } else { OpenMode::CreateNew };
        let file = self.dir.open(&path, mode).or_else(|_| self.dir.open(&path, OpenMode::ReadWrite)).ok()?;
        let dense = match form {
            Form::Sparse => None,
            Form::Dense => match Dense::load(&*file) {
                Ok(dense) => Some(dense),
                Err(_) => {
                    self.remove(name.0, name.1);
                    return None;
                }
            },
        };
        Some(OpenFile { file, dense })
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
    use crate::format::frame::{FrameKind, encode_frame};

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
        assert_eq!(parse("data-0000000000000001-000000000000002a"), Some((name, Form::Sparse)));
        assert_eq!(parse("dense-0000000000000001-000000000000002a"), Some((name, Form::Dense)));
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
    fn a_staging_file_becomes_a_cache_file_and_survives_a_restart() {
        let temp = tempfile::tempdir().expect("tempdir");
        let dir: Arc<dyn LocalDir> = Arc::new(OsDir::open_locked(temp.path()).expect("dir"));
        let frames = [frame(1), frame(2), encode_frame(FrameKind::Data, (1, 2000), Codec::None, &[3; 500])];
        let staged = dir.open("stage/1", OpenMode::CreateNew).expect("file");
        let payloads: Vec<u8> = frames.iter().flat_map(|f| f[FRAME_HEADER_LEN..].to_vec()).collect();
        staged.write_all_at(&payloads, 0).expect("write");
        let keepsake = Keepsake::of(id(1), &frames.concat(), 1000, 3, 2500).expect("whole");
        let cache = DiskCache::open(Arc::clone(&dir), 1 << 20);
        assert!(cache.adopt("stage/1", &staged, &keepsake));
        assert!(!cache.adopt("stage/1", &staged, &keepsake), "there already");
        assert!(dir.list("stage").expect("list").is_empty());
        cache.put(ObjectKind::Data, id(1), 0, &frames[0]);
        let again = DiskCache::open(Arc::clone(&dir), 1 << 20);
        for cache in [&cache, &again] {
            let mut offset = 0;
            for frame in &frames {
                let found = cache.get(ObjectKind::Data, id(1), offset, frame.len() as u32);
                assert_eq!(found.as_deref(), Some(&frame[..]), "at {offset}");
                offset += frame.len() as u64;
            }
            assert_eq!(cache.get(ObjectKind::Data, id(1), 1048, 548), None, "another length");
            assert_eq!(cache.used_bytes(), 2500 + 3 * 48 + 24);
        }
        let file = dir.open("cache/dense-0000000000000001-0000000000000001", OpenMode::ReadWrite).expect("file");
        file.write_all_at(b"x", 1500).expect("write");
        assert_eq!(again.get(ObjectKind::Data, id(1), 1048, 1048), None, "damage is a miss");
        file.set_len(2000).expect("cut");
        // Closed, since not every Windows takes the name away from a file that is open.
        drop((staged, file, cache, again));
        let cut = DiskCache::open(Arc::clone(&dir), 1 << 20);
        assert_eq!(cut.get(ObjectKind::Data, id(1), 0, 1048), None, "without its end it cannot be used");
        assert!(dir.list("cache").expect("list").is_empty(), "and goes");
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
