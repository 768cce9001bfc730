//! The local replay log: one append-only file per checkpoint interval.
//!
//! Owns the order "queued under the state lock, written before the reply, flushed before a sync operation's reply". Records
//! come encoded; what they mean is not known here. The first waiter writes for all (no log thread, no lock held during a
//! write). Room is set aside ahead so that a full disk shows before an operation is accepted.
//!
//! Invariants: records reach the file in LSN order without gaps; `written` never runs ahead of the file; after a failed
//! write or flush nothing is ever reported written again, but for a disk that was full: then the queue waits for room.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::env::{LocalDir, LocalFile, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LOG_ROOM_BYTES;
use crate::meter::Histogram;
use crate::types::Lsn;

/// Directory of the log files inside the state directory.
pub(crate) const LOG_DIR: &str = "log";

/// Path of the log file whose first record is `first`.
pub(crate) fn log_path(first: Lsn) -> String {
    format!("{LOG_DIR}/{:016x}.log", first.0)
}

/// Bytes for one file: a header first if the file is new.
struct Chunk {
    new_file: Option<(Lsn, Vec<u8>)>,
    /// The new file takes the place of one of the same name without records.
    replaces: bool,
    bytes: Vec<u8>,
    last: Lsn,
}

/// The file that records go to now.
struct Current {
    file: Arc<dyn LocalFile>,
    end: u64,
    room_end: u64,
}

struct Inner {
    queue: VecDeque<Chunk>,
    queued_bytes: u64,
    /// Absent before the first record and while a leader is writing.
    current: Option<Current>,
    room_left: u64,
    writing: bool,
    /// First LSN of the file that is being made right now.
    opening: Option<Lsn>,
    /// Header of the newest file.
    header: Vec<u8>,
    written: Lsn,
    files: Vec<Lsn>,
    unsynced: Vec<Arc<dyn LocalFile>>,
    new_names: bool,
    failed: Option<String>,
}

/// Whether the log can take more.
enum Room {
    Enough,
    /// Somebody is writing; look again.
    Busy,
    /// The caller is to extend the file by so many bytes.
    Extend(Current, u64),
    /// The caller is to make the next file first.
    Make(VecDeque<Chunk>, Option<Current>),
}

/// What a flush has to wait for.
pub(crate) struct Unsynced {
    /// Files with bytes not flushed yet.
    pub(crate) files: Vec<Arc<dyn LocalFile>>,
    /// Whether names in the log directory are not flushed yet.
    pub(crate) new_names: bool,
    /// What is durable once all of these are flushed.
    pub(crate) written: Lsn,
}

/// The local replay log of an open volume.
pub(crate) struct LocalLog {
    dir: Arc<dyn LocalDir>,
    inner: Mutex<Inner>,
    progress: Notify,
    /// How long writes into the files took; each is of all records that waited.
    pub(crate) appends: Histogram,
    /// Bytes of records.
    pub(crate) bytes: AtomicU64,
}

impl LocalLog {
    /// A log that goes on after `written`; `files` are those already there, by their first LSN. A process that died may have
    /// left them unflushed: the next flush takes them along.
    ///
    /// Nothing can be appended before [`LocalLog::rotate`] has named the first new file.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(crate) fn new(dir: Arc<dyn LocalDir>, written: Lsn, files: Vec<Lsn>) -> io::Result<Self> {
        let open = |first: &Lsn| dir.open(&log_path(*first), OpenMode::ReadWrite);
        let unsynced = files.iter().map(open).collect::<io::Result<Vec<_>>>()?;
        let inner = Inner {
            queue: VecDeque::new(),
            queued_bytes: 0,
            current: None,
            room_left: 0,
            writing: false,
            opening: None,
            header: Vec::new(),
            written,
            new_names: !files.is_empty(),
            files,
            unsynced,
            failed: None,
        };
        let (appends, bytes) = (Histogram::default(), AtomicU64::new(0));
        Ok(Self { dir, inner: Mutex::new(inner), progress: Notify::new(), appends, bytes })
    }

    /// Begins a new file with `header` for the records from `first` on. Called under the state lock.
    pub(crate) fn rotate(&self, first: Lsn, header: Vec<u8>) {
        let mut inner = self.inner.lock();
        if let Some(Chunk { new_file: Some((f, old)), bytes, .. }) = inner.queue.back_mut()
            && *f == first
            && bytes.is_empty()
        {
            *old = header.clone();
            inner.header = header;
            return;
        }
        let replaces = inner.files.last() == Some(&first) || inner.opening == Some(first);
        if replaces && inner.header == header {
            // Nothing was recorded since the last rotation: its file goes on.
            return;
        }
        inner.header.clone_from(&header);
        inner.queued_bytes += header.len() as u64;
        let last = Lsn(first.0 - 1);
        inner.queue.push_back(Chunk { new_file: Some((first, header)), replaces, bytes: Vec::new(), last });
    }

    /// Queues the encoded record `lsn`. Called under the state lock, so that the queue is in LSN order.
    pub(crate) fn append(&self, lsn: Lsn, record: &[u8]) {
        let mut inner = self.inner.lock();
        inner.queued_bytes += record.len() as u64;
        match inner.queue.back_mut() {
            Some(chunk) => {
                chunk.bytes.extend_from_slice(record);
                chunk.last = lsn;
            }
            None => inner.queue.push_back(Chunk { new_file: None, replaces: false, bytes: record.to_vec(), last: lsn }),
        }
    }

    /// Makes sure that the disk can take another `bytes` of records.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] when it cannot; [`ErrorKind::Io`] for anything else. Nothing was changed.
    pub(crate) async fn ensure_room(&self, bytes: u64) -> Result<()> {
        loop {
            let notified = self.progress.notified();
            match self.try_room(bytes) {
                Room::Enough => return Ok(()),
                Room::Busy => notified.await,
                Room::Extend(current, want) => return self.extend_room(current, want),
                Room::Make(queue, current) => self.write(queue, current)?,
            }
        }
    }

    fn try_room(&self, bytes: u64) -> Room {
        let mut inner = self.inner.lock();
        if inner.writing {
            return if inner.room_left >= inner.queued_bytes + bytes { Room::Enough } else { Room::Busy };
        }
        if inner.failed.is_none() && inner.queue.iter().any(|c| c.new_file.is_some()) {
            return inner.begin_write().map_or(Room::Enough, |(queue, current)| Room::Make(queue, current));
        }
        if inner.room_left >= inner.queued_bytes + bytes {
            return Room::Enough;
        }
        match inner.current.take() {
            // No file was named yet, or the log is unusable: the record's writer finds out.
            None => Room::Enough,
            Some(current) => {
                inner.writing = true;
                Room::Extend(current, bytes + inner.queued_bytes + LOG_ROOM_BYTES)
            }
        }
    }

    fn extend_room(&self, mut current: Current, want: u64) -> Result<()> {
        let outcome = set_room_aside(&mut current, want);
        let mut inner = self.inner.lock();
        inner.writing = false;
        inner.room_left = current.room_end - current.end;
        inner.current = Some(current);
        drop(inner);
        self.progress.notify_waiters();
        outcome.map_err(|e| local_error("set aside room in the replay log", e))
    }

    /// Returns once the record `lsn` is in its file (in the page cache: a killed process loses nothing).
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] when the disk is full: the record keeps its place in the queue and is written when there is room.
    /// [`ErrorKind::Io`] when the log cannot be written; the volume must stop accepting changes.
    pub(crate) async fn wait_written(&self, lsn: Lsn) -> Result<()> {
        loop {
            let notified = self.progress.notified();
            let work = {
                let mut inner = self.inner.lock();
                if inner.written >= lsn {
                    return Ok(());
                }
                if let Some(why) = &inner.failed {
                    return Err(Error::new(ErrorKind::Io, format!("replay log is unusable: {why}")));
                }
                inner.begin_write()
            };
            match work {
                None => notified.await,
                Some((queue, current)) => self.write(queue, current)?,
            }
        }
    }

    /// Waits until a record after `lsn` is in its file (or [`LocalLog::wake`] is called) and returns the newest.
    pub(crate) async fn wait_beyond(&self, lsn: Lsn) -> Lsn {
        let notified = self.progress.notified();
        let written = self.written();
        if written > lsn {
            return written;
        }
        notified.await;
        self.written()
    }

    /// Wakes everybody who waits, to look again.
    pub(crate) fn wake(&self) {
        self.progress.notify_waiters();
    }

    /// The newest record that is in its file.
    pub(crate) fn written(&self) -> Lsn {
        self.inner.lock().written
    }

    /// Takes what a flush must wait for. Call before collecting other unsynced files, so that those belong to `written`.
    pub(crate) fn take_unsynced(&self) -> Unsynced {
        let mut inner = self.inner.lock();
        Unsynced {
            files: std::mem::take(&mut inner.unsynced),
            new_names: std::mem::take(&mut inner.new_names),
            written: inner.written,
        }
    }

    /// Marks the log unusable: a flush failed and the kernel may have dropped the bytes.
    pub(crate) fn fail(&self, why: &str) {
        self.inner.lock().failed.get_or_insert_with(|| why.to_owned());
        self.progress.notify_waiters();
    }

    /// Removes files all of whose records are at or below `covered`.
    pub(crate) fn remove_covered(&self, covered: Lsn) -> io::Result<()> {
        let gone = {
            let mut inner = self.inner.lock();
            let keep_from = inner.files.iter().rposition(|first| first.0 <= covered.0 + 1).unwrap_or(0);
            inner.files.drain(..keep_from).collect::<Vec<_>>()
        };
        gone.into_iter().try_for_each(|first| self.dir.remove(&log_path(first)))
    }

    /// Writes `queue`, of which whatever a full disk does not take goes back to where it was.
    fn write(&self, mut queue: VecDeque<Chunk>, mut current: Option<Current>) -> Result<()> {
        let begun = Instant::now();
        let mut done = Written::default();
        let mut outcome = Ok(());
        while let Some(chunk) = queue.front() {
            outcome = self.write_chunk(chunk, &mut current, &mut done);
            if outcome.is_err() {
                break;
            }
            self.bytes.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
            queue.pop_front();
        }
        self.appends.note(begun.elapsed());
        let mut inner = self.inner.lock();
        inner.writing = false;
        inner.opening = None;
        inner.room_left = current.as_ref().map_or(0, |c| c.room_end - c.end);
        inner.current = current;
        for file in done.touched {
            if !inner.unsynced.iter().any(|f| Arc::ptr_eq(f, &file)) {
                inner.unsynced.push(file);
            }
        }
        inner.new_names |= done.new_names;
        inner.files.extend(done.opened);
        inner.written = inner.written.max(done.last);
        let outcome = outcome.map_err(|e| {
            if is_full(&e) {
                inner.put_back(queue);
            } else {
                inner.failed = Some(e.to_string());
            }
            local_error("write the replay log", e)
        });
        drop(inner);
        self.progress.notify_waiters();
        outcome
    }

    fn write_chunk(&self, chunk: &Chunk, current: &mut Option<Current>, done: &mut Written) -> io::Result<()> {
        let Some((first, header)) = &chunk.new_file else {
            let target = current.as_mut().ok_or_else(|| io::Error::other("no log file is open"))?;
            return target.append(&chunk.bytes).map(|()| done.note(target, chunk.last));
        };
        if chunk.replaces {
            self.dir.remove(&log_path(*first))?;
            done.new_names = true;
        }
        let file = self.dir.open(&log_path(*first), OpenMode::CreateNew)?;
        let mut target = Current { file, end: 0, room_end: 0 };
        if let Err(e) = target.append(header).and_then(|()| target.append(&chunk.bytes)) {
            // Half a file would be in the way when it is made again.
            self.dir.remove(&log_path(*first))?;
            return Err(e);
        }
        if !chunk.replaces {
            done.opened.push(*first);
        }
        done.new_names = true;
        done.note(&target, chunk.last);
        *current = Some(target);
        Ok(())
    }
}

impl Inner {
    /// Takes what is queued, for the caller to write. Nothing if somebody writes already or nothing is queued.
    fn begin_write(&mut self) -> Option<(VecDeque<Chunk>, Option<Current>)> {
        if self.writing || self.queue.is_empty() {
            return None;
        }
        self.writing = true;
        self.queued_bytes = 0;
        self.opening = self.queue.back().and_then(|c| c.new_file.as_ref().map(|(first, _)| *first));
        Some((std::mem::take(&mut self.queue), self.current.take()))
    }

    /// Puts chunks that were taken back before those that came meanwhile.
    fn put_back(&mut self, mut chunks: VecDeque<Chunk>) {
        chunks.append(&mut self.queue);
        let bytes = |c: &Chunk| c.bytes.len() + c.new_file.as_ref().map_or(0, |(_, header)| header.len());
        self.queued_bytes = chunks.iter().map(|c| bytes(c) as u64).sum();
        self.queue = chunks;
    }
}

/// What a writer has got done.
#[derive(Default)]
struct Written {
    opened: Vec<Lsn>,
    new_names: bool,
    touched: Vec<Arc<dyn LocalFile>>,
    last: Lsn,
}

impl Written {
    fn note(&mut self, target: &Current, last: Lsn) {
        self.last = last;
        if !self.touched.iter().any(|f| Arc::ptr_eq(f, &target.file)) {
            self.touched.push(Arc::clone(&target.file));
        }
    }
}

impl Current {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        self.room_end = self.room_end.max(self.end);
        Ok(())
    }
}

/// Extends the zeros after the last record so that `want` bytes fit.
fn set_room_aside(current: &mut Current, want: u64) -> io::Result<()> {
    let target = current.end + want;
    while current.room_end < target {
        let step = usize::try_from((target - current.room_end).min(LOG_ROOM_BYTES)).unwrap_or(usize::MAX);
        current.file.write_all_at(&vec![0; step], current.room_end)?;
        current.room_end += step as u64;
    }
    Ok(())
}

/// A local I/O error in the engine's terms.
pub(crate) fn local_error(what: &str, error: io::Error) -> Error {
    if is_full(&error) {
        return Error::with_source(ErrorKind::NoSpace, format!("cannot {what}: the staging disk is full"), error);
    }
    Error::with_source(ErrorKind::Io, format!("cannot {what}"), error)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
