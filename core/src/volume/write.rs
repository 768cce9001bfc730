//! The write path: bytes into staging, one record into the log.
//!
//! Owns the order "bytes first, record second, reply third" and the slowing of writers at the budgets. A write larger than one
//! segment's room is several runs in one transaction, so that it is atomic whatever its size.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::format::DataRef;
use crate::fs::{Caller, FILE_BYTES_MAX, WriteFlags};
use crate::ops;
use crate::types::Ino;
use crate::volume::Shared;
use crate::volume::log::local_error;
use crate::volume::staging::Reservation;

/// How long the disk may take to free what was removed.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(1);
/// Time between looks at the disk meanwhile.
const REMOVAL_POLL: Duration = Duration::from_millis(20);

impl Shared {
    /// Writes `data` at `offset` of `ino`.
    pub(crate) async fn write_range(
        self: &Arc<Self>,
        ino: Ino,
        offset: u64,
        data: &Bytes,
        flags: WriteFlags,
    ) -> Result<()> {
        let len = data.len() as u64;
        if offset.checked_add(len).is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        if len == 0 {
            return Ok(());
        }
        self.check_writable()?;
        self.wait_room(len).await?;
        self.write_at(ino, offset, None, data, flags).await.map(drop)
    }

    /// Appends `data` at the end of `ino`, wherever that is when the write takes effect.
    pub(crate) async fn append(self: &Arc<Self>, ino: Ino, data: &Bytes, flags: WriteFlags) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.check_writable()?;
        self.wait_room(data.len() as u64).await?;
        loop {
            let end = self.view(|kv| ops::getattr(kv, ino)).await?.size;
            if end.checked_add(data.len() as u64).is_none_or(|end| end > FILE_BYTES_MAX) {
                return Err(ErrorKind::FileTooLarge.into());
            }
            if self.write_at(ino, end, Some(end), data, flags).await? {
                return Ok(());
            }
        }
    }

    /// Stages and records a write, but only if the file's size is `expected`, if given. Whether it was.
    async fn write_at(
        self: &Arc<Self>,
        ino: Ino,
        offset: u64,
        expected: Option<u64>,
        data: &Bytes,
        flags: WriteFlags,
    ) -> Result<bool> {
        let len = data.len() as u64;
        let runs = self.staging.reserve(ino, offset, len, &mut || self.new_segment_id());
        let refs = self.stage(ino, offset, data, &runs)?;
        let done = self.transact(Caller::default(), &refs, |tx, cx, _| {
            let end = ops::getattr(tx, ino)?.size;
            if expected.is_some_and(|size| size != end) {
                return Ok(false);
            }
            for run in &runs {
                let kill = flags.kill_suid_sgid;
                ops::write_extent(tx, cx, ino, run.file_offset, run.len, run.segment.id, run.position, kill)?;
            }
            Ok(true)
        });
        let done = done.await?;
        drop(runs);
        if done && flags.sync {
            let lsn = self.state.read().last_lsn();
            self.commit(lsn).await?;
        }
        Ok(done)
    }

    /// Puts the bytes of a write into their staging files.
    fn stage(&self, ino: Ino, offset: u64, data: &Bytes, runs: &[Reservation]) -> Result<Vec<DataRef>> {
        let mut refs = Vec::with_capacity(runs.len());
        for run in runs {
            let from = usize::try_from(run.file_offset - offset).unwrap_or(usize::MAX);
            let part = &data[from..from + usize::try_from(run.len).unwrap_or(usize::MAX)];
            run.segment.write(part, run.place).map_err(|e| local_error("stage written data", e))?;
            let crc = crc32c::crc32c(part);
            run.segment.note_sums(part, run.position, crc);
            refs.push(DataRef {
                segment: run.segment.id,
                position: run.position,
                place: run.place,
                len: run.len,
                ino,
                file_offset: run.file_offset,
                crc,
            });
        }
        Ok(refs)
    }

    /// Waits while staging or dirty metadata are over their budgets, or the local disk is full and what is staged can make room.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] when the store takes nothing for the whole operation timeout, or others have filled the disk.
    async fn wait_room(&self, len: u64) -> Result<()> {
        let begun = tokio::time::Instant::now();
        let deadline = begun + self.options.operation_timeout;
        loop {
            let room = self.room.notified();
            let Some(lack) = self.lacks(len) else { return Ok(()) };
            if matches!(lack, Lack::Disk) {
                // The cache is for comfort; whatever else takes the disk is not ours to remove.
                if self.disk.clear() {
                    continue;
                }
                if self.staging.staged_bytes() == 0 {
                    // What was just removed may not be free yet.
                    if begun.elapsed() >= REMOVAL_PATIENCE {
                        return Err(self.no_room(lack));
                    }
                    tokio::time::sleep(REMOVAL_POLL).await;
                    continue;
                }
            }
            self.checkpoints.request();
            self.check_going()?;
            if tokio::time::timeout_at(deadline, room).await.is_err() {
                return Err(self.no_room(lack));
            }
        }
    }

    /// What keeps a write of `len` bytes waiting.
    fn lacks(&self, len: u64) -> Option<Lack> {
        let staged = self.staging.staged_bytes();
        let full = self.engine.staging_full(self.tag, len);
        if full.unwrap_or(staged > 0 && staged + len > self.options.disk_budget) {
            return Some(Lack::Budget);
        }
        if (self.state.read().tree.dirty_bytes() as u64) >= self.engine.dirty_meta_max() * 2 {
            return Some(Lack::Memory);
        }
        (!self.disk_room.take(len)).then_some(Lack::Disk)
    }

    fn no_room(&self, lack: Lack) -> Error {
        let staged = self.staging.staged_bytes();
        let why = match lack {
            Lack::Disk => {
                format!(
                    "the staging disk is full, and {staged} bytes wait for the store; free space on it or bring the store back"
                )
            }
            Lack::Budget => format!(
                "{staged} bytes wait for the store and the staging budget of {} is used up; bring the store back or raise disk_budget",
                self.engine.disk_budget().map_or(self.options.disk_budget, |shared| shared.staging)
            ),
            Lack::Memory => {
                "changed metadata fill their share of memory_budget and wait for the store; bring the store back"
                    .to_owned()
            }
        };
        Error::new(ErrorKind::NoSpace, why)
    }
}

/// What a writer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// Staged bytes are over `disk_budget`.
    Budget,
    /// Dirty metadata are over their share of memory.
    Memory,
    /// The local disk is full.
    Disk,
}
