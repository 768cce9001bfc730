//! Staged segments: where written bytes wait on the local disk until they are in the store.
//!
//! Owns the layout decision (which slot of which segment takes a write), the staging files, and the life of a segment from
//! its first byte to the removal of its file. Does not know extents or transactions; callers report how live bytes change.
//!
//! ```text
//! open --(full, old, or a freeze)--> sealed --(object is in the store)--> uploaded --(a head covers it)--> removed
//! ```
//!
//! A staging file is dense: bytes lie in it in the order in which they were reserved, and each record says where its bytes are. So
//! many small writes are few blocks side by side, cheap to flush and to free.
//!
//! Invariants: a position is written once; a slot belongs to one contiguous range of one file; a sealed segment takes no new
//! reservation; a slot is dropped from the upload only if it was dead at the last freeze that could see it and no writer was
//! still filling it.

mod queue;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::disk_cache::{DiskCache, Keepsake};
use crate::env::{LocalDir, LocalFile, OpenMode};
use crate::format::DataRef;
use crate::limits::{SEGMENT_SLOTS_MAX, STAGE_BLOCK_BYTES, STAGE_ROOM_BYTES, STREAM_BYTES_MIN, STREAM_SEGMENTS_MAX};
use crate::types::{Ino, Lsn, SegmentId};

/// Directory of the staging files inside the state directory.
pub(crate) const STAGE_DIR: &str = "stage";

/// Room of a staging file that sets none aside: large writes bring their own blocks.
const NO_ROOM: u64 = u64::MAX;

/// Path of a segment's staging file.
pub(crate) fn stage_path(id: SegmentId) -> String {
    format!("{STAGE_DIR}/{id}")
}

/// One slot of a segment: a contiguous range of one file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) ino: Ino,
    pub(crate) file_offset: u64,
    pub(crate) filled: u32,
    live: u64,
    writers: u32,
    /// Dead at the time it was last safe to say so: left out of the object.
    pub(crate) dropped: bool,
}

/// Checksum of a run of staged bytes inside one slot.
#[derive(Clone, Copy, Debug)]
struct Sum {
    offset: u32,
    len: u32,
    crc: u32,
}

/// Reserved bytes that lie together in the staging file.
#[derive(Clone, Copy, Debug)]
struct Run {
    place: u64,
    len: u64,
}

#[derive(Debug)]
struct SegState {
    slots: Vec<Slot>,
    /// Where in the staging file the reserved bytes lie, by their logical position. Runs do not overlap.
    runs: BTreeMap<u64, Run>,
    /// End of the staging file, with what is reserved but not written yet.
    end: u64,
    /// What the bytes of each slot must be, so that a disk that lies is found before they go up.
    sums: HashMap<u32, Vec<Sum>>,
    bytes: u64,
    writers: u32,
    sealed: bool,
    /// A frozen root may refer to the segment: `dropped` must not change any more unless at a freeze.
    frozen: bool,
    building: bool,
    /// Times that its object was sent.
    attempts: u32,
    /// Why the last of them failed, until the next begins.
    failure: Option<String>,
    /// May go up although uploads are held.
    released: bool,
    /// The location records of the object that is on its way.
    planned: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    /// Set once its location records are in the log.
    uploaded: Option<Uploaded>,
    /// What makes the staging file one of the cache's, if it can be.
    keepsake: Option<Keepsake>,
}

/// What became of a sealed segment.
#[derive(Clone, Debug)]
pub(crate) struct Uploaded {
    /// LSN of the transaction that put the location records (or removed the dead segment).
    pub(crate) lsn: Lsn,
    /// Key writes that a head published without them must carry.
    pub(crate) overlay: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A segment whose bytes are on the local disk.
#[derive(Debug)]
pub(crate) struct StagedSegment {
    pub(crate) id: SegmentId,
    slot_bytes: u64,
    dir: Arc<dyn LocalDir>,
    file: OnceLock<Arc<dyn LocalFile>>,
    create: Mutex<()>,
    /// Up to where the file has blocks of its own, so that a flush of what is written there has no blocks to allocate. [`NO_ROOM`]
    /// when none are set aside.
    room: AtomicU64,
    extend: Mutex<()>,
    state: Mutex<SegState>,
    unsynced: AtomicBool,
    /// Staging's mark: a name in the directory is not flushed.
    new_names: Arc<AtomicBool>,
    opened: Instant,
    idle: Notify,
}

/// A reserved run of positions that a writer is about to fill. Dropping it ends the reservation.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) segment: Arc<StagedSegment>,
    pub(crate) position: u64,
    /// Where in the staging file the bytes go.
    pub(crate) place: u64,
    pub(crate) len: u64,
    pub(crate) file_offset: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.segment.end_write(self.position, self.len);
    }
}

impl StagedSegment {
    fn new(dir: Arc<dyn LocalDir>, id: SegmentId, slot_bytes: u64, room: u64, new_names: Arc<AtomicBool>) -> Self {
        let state = SegState {
            slots: Vec::new(),
            runs: BTreeMap::new(),
            end: 0,
            sums: HashMap::new(),
            bytes: 0,
            writers: 0,
            sealed: false,
            frozen: false,
            building: false,
            attempts: 0,
            failure: None,
            released: false,
            planned: None,
            uploaded: None,
            keepsake: None,
        };
        Self {
            id,
            slot_bytes,
            dir,
            file: OnceLock::new(),
            create: Mutex::new(()),
            room: AtomicU64::new(room),
            extend: Mutex::new(()),
            state: Mutex::new(state),
            unsynced: AtomicBool::new(false),
            new_names,
            opened: Instant::now(),
            idle: Notify::new(),
        }
    }

    /// The staging file, made on first use.
    fn file(&self) -> io::Result<&Arc<dyn LocalFile>> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let _one = self.create.lock();
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = self.dir.open(&stage_path(self.id), OpenMode::CreateNew)?;
        // Only now there is a name to flush.
        self.new_names.store(true, Ordering::Release);
        Ok(self.file.get_or_init(|| file))
    }

    /// Writes reserved bytes into the page cache, where the reservation says.
    pub(crate) fn write(&self, data: &[u8], place: u64) -> io::Result<()> {
        let file = self.file()?;
        self.set_room_aside(&**file, place + data.len() as u64);
        file.write_all_at(data, place)?;
        self.unsynced.store(true, Ordering::Release);
        Ok(())
    }

    /// Writes zeros ahead of `end`. Whoever writes beyond the room comes here first, so that no zero falls on another's bytes. A
    /// disk that has no room for zeros may have some for the bytes.
    fn set_room_aside(&self, file: &dyn LocalFile, end: u64) {
        if end <= self.room.load(Ordering::Acquire) {
            return;
        }
        let _one = self.extend.lock();
        let mut room = self.room.load(Ordering::Acquire);
        while room < end && file.write_all_at(&[0; STAGE_ROOM_BYTES], room).is_ok() {
            room += STAGE_ROOM_BYTES as u64;
        }
        self.room.store(if room < end { NO_ROOM } else { room }, Ordering::Release);
    }

    /// Remembers the checksum of bytes just written (or found whole at recovery): `crc` is that of all of `data`.
    pub(crate) fn note_sums(&self, data: &[u8], position: u64, crc: u32) {
        let mut state = self.state.lock();
        let mut done = 0;
        for (slot, inside, part) in slots_of(self.slot_bytes, position, data.len() as u64) {
            let bytes = &data[done..done + part as usize];
            let crc = if bytes.len() == data.len() { crc } else { crc32c::crc32c(bytes) };
            note_sum(state.sums.entry(slot as u32).or_default(), Sum { offset: inside as u32, len: part as u32, crc });
            done += part as usize;
        }
    }

    /// Whether the bytes of a slot are those that were written.
    pub(crate) fn check_sums(&self, slot: u32, bytes: &[u8]) -> bool {
        let state = self.state.lock();
        state.sums.get(&slot).is_none_or(|sums| {
            sums.iter().all(|s| {
                let range = s.offset as usize..(s.offset + s.len) as usize;
                bytes.get(range).is_some_and(|b| crc32c::crc32c(b) == s.crc)
            })
        })
    }

    /// Reads staged bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` when some of them were never written, or as the OS gives them.
    pub(crate) fn read(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        let parts = self.state.lock().parts(position, buf.len() as u64);
        if parts.iter().map(|(_, run)| run.len).sum::<u64>() != buf.len() as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "these positions hold no bytes"));
        }
        let file = self.file()?;
        parts.iter().try_for_each(|(at, run)| file.read_exact_at(part_of(buf, *at, run.len), run.place))
    }

    /// Reads what is there of a slot that is to be uploaded. Positions whose write failed or was not recorded belong to nobody:
    /// they stay as they are in `buf`. What belongs to somebody has a checksum.
    ///
    /// # Errors
    /// As the OS gives them.
    pub(crate) fn read_slot(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        let parts = self.state.lock().parts(position, buf.len() as u64);
        let file = self.file()?;
        let end = file.len()?;
        for (at, run) in parts {
            let there = end.saturating_sub(run.place).min(run.len);
            file.read_exact_at(part_of(buf, at, there), run.place)?;
        }
        Ok(())
    }

    /// Waits until no writer is filling a reservation. Only meaningful once sealed.
    pub(crate) async fn wait_idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.state.lock().writers == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Slots in order, as they are to be uploaded. Fixes which are dropped; call once idle.
    pub(crate) fn start_build(&self) -> Vec<Slot> {
        let mut state = self.state.lock();
        state.building = true;
        if !state.frozen {
            drop_dead(&mut state);
        }
        state.slots.clone()
    }

    /// Notes where the segment's frames will lie.
    pub(crate) fn set_planned(&self, locations: Vec<(Vec<u8>, Vec<u8>)>) {
        self.state.lock().planned = Some(locations);
    }

    /// Where the segment's frames will lie, once its object is built.
    pub(crate) fn planned(&self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        self.state.lock().planned.clone()
    }

    /// Whether the staging file holds the slots and nothing else, in order and whole but for the last: then the bytes of all of them.
    pub(crate) fn dense_bytes(&self) -> Option<u64> {
        let state = self.state.lock();
        let run = state.runs.get(&0).filter(|run| state.runs.len() == 1 && run.place == 0 && run.len == state.end)?;
        let (_, whole) = state.slots.split_last()?;
        let regular =
            whole.iter().all(|s| u64::from(s.filled) == self.slot_bytes) && !state.slots.iter().any(|s| s.dropped);
        (regular && run.len == state.bytes).then_some(run.len)
    }

    /// The staging file is to be handed to the cache when the segment is forgotten.
    pub(crate) fn keep(&self, keepsake: Keepsake) {
        self.state.lock().keepsake = Some(keepsake);
    }

    /// Notes that the segment is in the store (or was dead).
    pub(crate) fn set_uploaded(&self, uploaded: Uploaded) {
        self.state.lock().uploaded = Some(uploaded);
    }

    /// What became of the segment, if it is uploaded.
    pub(crate) fn uploaded(&self) -> Option<Uploaded> {
        self.state.lock().uploaded.clone()
    }

    /// Bytes reserved in it.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// Makes the staging file one of the cache's. Whether it is.
    fn hand_over(&self, file: &Arc<dyn LocalFile>, cache: &DiskCache) -> bool {
        let keepsake = self.state.lock().keepsake.take();
        keepsake.is_some_and(|keepsake| cache.adopt(&stage_path(self.id), file, &keepsake))
    }

    fn end_write(&self, position: u64, len: u64) {
        let mut state = self.state.lock();
        for (slot, _, _) in slots_of(self.slot_bytes, position, len) {
            if let Some(slot) = state.slots.get_mut(slot) {
                slot.writers -= 1;
            }
        }
        state.writers -= 1;
        if state.writers == 0 {
            drop(state);
            self.idle.notify_waiters();
        }
    }

    fn adjust_live(&self, position: u64, len: u64, alive: bool) {
        let mut state = self.state.lock();
        for (slot, _, part) in slots_of(self.slot_bytes, position, len) {
            if let Some(slot) = state.slots.get_mut(slot) {
                slot.live = if alive { slot.live + part } else { slot.live.saturating_sub(part) };
            }
        }
    }
}

impl SegState {
    /// Finds room in the staging file for the bytes at `position`: behind the bytes before them if those are the last, else at the
    /// next block, so that a flushed slot shares no block with bytes of another that are written later.
    fn place(&mut self, position: u64, len: u64) -> u64 {
        if let Some((at, run)) = self.runs.range_mut(..position).next_back()
            && at + run.len == position
            && run.place + run.len == self.end
        {
            run.len += len;
            self.end += len;
            return self.end - len;
        }
        let place = self.end.next_multiple_of(STAGE_BLOCK_BYTES);
        self.runs.insert(position, Run { place, len });
        self.end = place + len;
        place
    }

    /// The parts of a range of positions that have a place: offset in the range, and where it lies.
    fn parts(&self, position: u64, len: u64) -> Vec<(u64, Run)> {
        let end = position + len;
        let before = self.runs.range(..position).next_back();
        let parts = before.into_iter().chain(self.runs.range(position..end)).filter_map(|(&at, run)| {
            let (from, to) = (at.max(position), (at + run.len).min(end));
            (from < to).then(|| (from - position, Run { place: run.place + (from - at), len: to - from }))
        });
        parts.collect()
    }
}

/// A part of a buffer.
fn part_of(buf: &mut [u8], at: u64, len: u64) -> &mut [u8] {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    &mut buf[at..at + usize::try_from(len).unwrap_or(usize::MAX)]
}

/// Adds a run's checksum, joined to the run it follows.
fn note_sum(sums: &mut Vec<Sum>, new: Sum) {
    match sums.iter_mut().find(|s| s.offset + s.len == new.offset) {
        Some(before) => {
            before.crc = crc32c::crc32c_combine(before.crc, new.crc, new.len as usize);
            before.len += new.len;
        }
        None => sums.push(new),
    }
}

/// Marks dead slots that nobody is filling.
fn drop_dead(state: &mut SegState) {
    for slot in &mut state.slots {
        slot.dropped = slot.live == 0 && slot.writers == 0;
    }
}

/// Where in the file the tail's slot ends.
fn tail_end(tail: &Tail) -> Option<u64> {
    let state = tail.segment.state.lock();
    state.slots.get(tail.slot).map(|s| s.file_offset + u64::from(s.filled))
}

/// The slots that a run of positions covers: slot number, offset in the slot, bytes.
fn slots_of(slot_bytes: u64, position: u64, len: u64) -> impl Iterator<Item = (usize, u64, u64)> {
    let mut at = position;
    let end = position + len;
    std::iter::from_fn(move || {
        (at < end).then(|| {
            let (slot, inside) = (at / slot_bytes, at % slot_bytes);
            let part = (slot_bytes - inside).min(end - at);
            at += part;
            (usize::try_from(slot).unwrap_or(usize::MAX), inside, part)
        })
    })
}

/// Where the next sequential byte of a file would go.
#[derive(Clone, Debug)]
struct Tail {
    segment: Arc<StagedSegment>,
    slot: usize,
    run_bytes: u64,
}

#[derive(Debug, Default)]
struct Inner {
    shared: Option<Arc<StagedSegment>>,
    /// Segments of single files, least recently used first.
    streams: Vec<(Ino, Arc<StagedSegment>)>,
    tails: HashMap<Ino, Tail>,
    all: BTreeMap<SegmentId, Arc<StagedSegment>>,
    to_upload: Vec<Arc<StagedSegment>>,
}

/// All staged segments of a volume.
#[derive(Debug)]
pub(crate) struct Staging {
    dir: Arc<dyn LocalDir>,
    slot_bytes: u64,
    segment_bytes_wanted: u64,
    segment_bytes_max: AtomicU64,
    inner: Mutex<Inner>,
    staged_bytes: AtomicU64,
    new_names: Arc<AtomicBool>,
    /// Signalled when a segment was sealed.
    pub(crate) sealed: Notify,
}

impl Staging {
    /// No segment yet. `segment_bytes_max` is `max_flush_size`.
    pub(crate) fn new(dir: Arc<dyn LocalDir>, slot_bytes: u32, segment_bytes_max: u64) -> Self {
        Self {
            dir,
            slot_bytes: u64::from(slot_bytes),
            segment_bytes_wanted: segment_bytes_max,
            segment_bytes_max: AtomicU64::new(segment_bytes_max),
            inner: Mutex::new(Inner::default()),
            staged_bytes: AtomicU64::new(0),
            new_names: Arc::default(),
            sealed: Notify::new(),
        }
    }

    /// Reserves positions for `len` bytes of `ino` at `offset`, in file order; adjacent positions are one run.
    pub(crate) fn reserve(
        &self,
        ino: Ino,
        offset: u64,
        len: u64,
        new_id: &mut dyn FnMut() -> SegmentId,
    ) -> Vec<Reservation> {
        let mut inner = self.inner.lock();
        let mut runs: Vec<Reservation> = Vec::new();
        let mut done = 0;
        while done < len {
            let (segment, position, part) = self.reserve_part(&mut inner, ino, offset + done, len - done, new_id);
            let place = segment.state.lock().place(position, part);
            match runs.last_mut() {
                Some(run)
                    if Arc::ptr_eq(&run.segment, &segment)
                        && run.position + run.len == position
                        && run.place + run.len == place =>
                {
                    run.len += part;
                    // One run is one writer.
                    segment.state.lock().writers -= 1;
                }
                _ => runs.push(Reservation { segment, position, place, len: part, file_offset: offset + done }),
            }
            done += part;
        }
        self.staged_bytes.fetch_add(len, Ordering::Relaxed);
        runs
    }

    fn reserve_part(
        &self,
        inner: &mut Inner,
        ino: Ino,
        offset: u64,
        want: u64,
        new_id: &mut dyn FnMut() -> SegmentId,
    ) -> (Arc<StagedSegment>, u64, u64) {
        if let Some((segment, position, part)) = self.extend_tail(inner, ino, offset, want) {
            self.seal_if_full(inner, &segment);
            return (segment, position, part);
        }
        let run_bytes = match inner.tails.get(&ino) {
            Some(tail) if tail_end(tail) == Some(offset) => tail.run_bytes,
            _ => 0,
        };
        let segment = self.segment_for(inner, ino, run_bytes + want, new_id);
        let part = want.min(self.slot_bytes);
        let slot = {
            let mut state = segment.state.lock();
            let slot = Slot { ino, file_offset: offset, filled: part as u32, live: 0, writers: 1, dropped: false };
            state.slots.push(slot);
            state.bytes += part;
            state.writers += 1;
            state.slots.len() - 1
        };
        inner.tails.insert(ino, Tail { segment: Arc::clone(&segment), slot, run_bytes: run_bytes + part });
        let position = slot as u64 * self.slot_bytes;
        self.seal_if_full(inner, &segment);
        (segment, position, part)
    }

    /// Goes on in the file's last slot if the write follows it and there is room.
    fn extend_tail(
        &self,
        inner: &mut Inner,
        ino: Ino,
        offset: u64,
        want: u64,
    ) -> Option<(Arc<StagedSegment>, u64, u64)> {
        let tail = inner.tails.get_mut(&ino)?;
        let segment = Arc::clone(&tail.segment);
        let mut state = segment.state.lock();
        if state.sealed {
            return None;
        }
        let slot = state.slots.get_mut(tail.slot)?;
        let filled = u64::from(slot.filled);
        let room = self.slot_bytes - filled;
        if slot.file_offset + filled != offset || room == 0 {
            return None;
        }
        let part = want.min(room);
        slot.filled += part as u32;
        slot.writers += 1;
        state.bytes += part;
        state.writers += 1;
        tail.run_bytes += part;
        let position = tail.slot as u64 * self.slot_bytes + filled;
        drop(state);
        Some((segment, position, part))
    }

    /// The open segment that takes the next slot of `ino`: its own when it streams, else the shared one.
    fn segment_for(
        &self,
        inner: &mut Inner,
        ino: Ino,
        run_bytes: u64,
        new_id: &mut dyn FnMut() -> SegmentId,
    ) -> Arc<StagedSegment> {
        if run_bytes < STREAM_BYTES_MIN {
            let shared = match &inner.shared {
                Some(segment) => Arc::clone(segment),
                None => self.open(inner, new_id(), 0),
            };
            inner.shared = Some(Arc::clone(&shared));
            return shared;
        }
        if let Some(at) = inner.streams.iter().position(|(i, _)| *i == ino) {
            let stream = inner.streams.remove(at);
            inner.streams.push(stream);
        } else {
            if inner.streams.len() >= STREAM_SEGMENTS_MAX {
                let (_, oldest) = inner.streams.remove(0);
                self.seal(inner, &oldest);
            }
            let segment = self.open(inner, new_id(), NO_ROOM);
            inner.streams.push((ino, segment));
        }
        Arc::clone(&inner.streams[inner.streams.len() - 1].1)
    }

    fn open(&self, inner: &mut Inner, id: SegmentId, room: u64) -> Arc<StagedSegment> {
        let new_names = Arc::clone(&self.new_names);
        let segment = Arc::new(StagedSegment::new(Arc::clone(&self.dir), id, self.slot_bytes, room, new_names));
        inner.all.insert(id, Arc::clone(&segment));
        segment
    }

    fn seal_if_full(&self, inner: &mut Inner, segment: &Arc<StagedSegment>) {
        let full = {
            let state = segment.state.lock();
            state.bytes >= self.segment_bytes_max.load(Ordering::Relaxed)
                || state.slots.len() as u32 >= SEGMENT_SLOTS_MAX
        };
        if full {
            self.seal(inner, segment);
        }
    }

    fn seal(&self, inner: &mut Inner, segment: &Arc<StagedSegment>) {
        segment.state.lock().sealed = true;
        inner.tails.retain(|_, t| t.run_bytes >= STREAM_BYTES_MIN || !Arc::ptr_eq(&t.segment, segment));
        if inner.shared.as_ref().is_some_and(|s| Arc::ptr_eq(s, segment)) {
            inner.shared = None;
        }
        inner.streams.retain(|(_, s)| !Arc::ptr_eq(s, segment));
        inner.to_upload.push(Arc::clone(segment));
        self.sealed.notify_one();
    }

    /// Seals every open segment at a freeze and fixes what may be dropped from those not being uploaded yet. Called under
    /// the state lock. Returns all segments that the frozen root may refer to.
    pub(crate) fn freeze(&self) -> Vec<Arc<StagedSegment>> {
        let mut inner = self.inner.lock();
        self.seal_where(&mut inner, |_| true);
        inner.tails.clear();
        for segment in inner.all.values() {
            let mut state = segment.state.lock();
            // What an earlier root or log batch refers to must be uploaded, though it has died since.
            if !state.building && !state.frozen {
                drop_dead(&mut state);
            }
            state.frozen = true;
        }
        inner.all.values().cloned().collect()
    }

    /// Seals open segments that were opened at or before `before`.
    pub(crate) fn seal_older(&self, before: Instant) {
        let mut inner = self.inner.lock();
        self.seal_where(&mut inner, |s| s.opened <= before);
    }

    /// When the oldest open segment was opened.
    pub(crate) fn oldest_open(&self) -> Option<Instant> {
        let inner = self.inner.lock();
        inner.shared.iter().chain(inner.streams.iter().map(|(_, s)| s)).map(|s| s.opened).min()
    }

    fn seal_where(&self, inner: &mut Inner, which: impl Fn(&StagedSegment) -> bool) {
        let open: Vec<_> = inner.shared.iter().chain(inner.streams.iter().map(|(_, s)| s)).cloned().collect();
        for segment in open.into_iter().filter(|s| which(s)) {
            self.seal(inner, &segment);
        }
    }

    /// A segment that is still on the local disk.
    pub(crate) fn get(&self, id: SegmentId) -> Option<Arc<StagedSegment>> {
        self.inner.lock().all.get(&id).cloned()
    }

    /// Notes that an extent began (`alive`) or ceased to refer to a run of positions.
    pub(crate) fn adjust_live(&self, id: SegmentId, position: u64, len: u64, alive: bool) {
        if let Some(segment) = self.get(id) {
            segment.adjust_live(position, len, alive);
        }
    }

    /// Re-creates a segment found in the log at recovery. `live` is reported later by [`Staging::adjust_live`].
    ///
    /// # Errors
    /// The staging file cannot be opened.
    pub(crate) fn recover(&self, id: SegmentId) -> io::Result<Arc<StagedSegment>> {
        let mut inner = self.inner.lock();
        if let Some(segment) = inner.all.get(&id) {
            return Ok(Arc::clone(segment));
        }
        let file = self.dir.open(&stage_path(id), OpenMode::ReadWrite)?;
        let segment = self.open(&mut inner, id, NO_ROOM);
        // The file was just opened by its only user.
        let _ = segment.file.set(file);
        segment.unsynced.store(true, Ordering::Release);
        self.new_names.store(true, Ordering::Release);
        Ok(segment)
    }

    /// Adds a run of staged bytes found in the log at recovery to a recovered segment's slots.
    pub(crate) fn recover_run(&self, segment: &StagedSegment, data: &DataRef) {
        let DataRef { position, place, len, ino, file_offset, .. } = *data;
        let mut state = segment.state.lock();
        state.runs.insert(position, Run { place, len });
        for (slot, inside, part) in slots_of(self.slot_bytes, position, len) {
            let empty = Slot { ino: Ino(0), file_offset: 0, filled: 0, live: 0, writers: 0, dropped: false };
            if state.slots.len() <= slot {
                state.slots.resize(slot + 1, empty);
            }
            let done = slot as u64 * self.slot_bytes + inside - position;
            let s = &mut state.slots[slot];
            s.ino = ino;
            s.file_offset = file_offset + done - inside;
            s.filled = s.filled.max((inside + part) as u32);
        }
        state.bytes += len;
        self.staged_bytes.fetch_add(len, Ordering::Relaxed);
    }

    /// Seals all recovered segments: those without a location are to be uploaded, the others wait for a head.
    pub(crate) fn finish_recovery(&self, located: &dyn Fn(SegmentId) -> Option<Uploaded>) {
        let mut inner = self.inner.lock();
        let segments: Vec<_> = inner.all.values().cloned().collect();
        for segment in segments {
            let mut state = segment.state.lock();
            state.sealed = true;
            state.uploaded = located(segment.id);
            let waiting = state.uploaded.is_none();
            drop(state);
            if waiting {
                inner.to_upload.push(segment);
            }
        }
        self.sealed.notify_one();
    }

    /// Segments with unflushed bytes, and whether names in the directory are unflushed. Clears the marks.
    pub(crate) fn take_unsynced(&self) -> (Vec<Arc<dyn LocalFile>>, bool) {
        let inner = self.inner.lock();
        let files = inner
            .all
            .values()
            .filter(|s| s.unsynced.swap(false, Ordering::AcqRel))
            .filter_map(|s| s.file.get().cloned())
            .collect();
        (files, self.new_names.swap(false, Ordering::AcqRel))
    }

    /// Segments whose bytes are not in the store yet: how many, and their bytes.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        let inner = self.inner.lock();
        let waiting = inner.all.values().filter(|s| s.uploaded().is_none());
        waiting.fold((0, 0), |(n, bytes), s| (n + 1, bytes + s.bytes()))
    }

    /// Forgets segments that a published head covers; their files become the cache's or are removed. `frozen` is what
    /// [`Staging::freeze`] gave.
    pub(crate) fn remove_covered(&self, frozen: &[Arc<StagedSegment>], cache: &DiskCache) -> io::Result<()> {
        let mut gone = Vec::new();
        {
            let mut inner = self.inner.lock();
            for segment in frozen.iter().filter(|s| s.uploaded().is_some()) {
                if inner.all.remove(&segment.id).is_some() {
                    self.staged_bytes.fetch_sub(segment.bytes(), Ordering::Relaxed);
                    gone.push(Arc::clone(segment));
                }
            }
        }
        gone.iter().try_for_each(|segment| match segment.file.get() {
            Some(file) if !segment.hand_over(file, cache) => self.dir.remove(&stage_path(segment.id)),
            _ => Ok(()),
        })
    }

    /// Bytes on the staging disk.
    pub(crate) fn staged_bytes(&self) -> u64 {
        self.staged_bytes.load(Ordering::Relaxed)
    }
}
