//! The read path: a range of a file to bytes.
//!
//! Owns the plan (hole, staged bytes, stored frames) and adaptive read-ahead. The plan is made under the state's read lock; the
//! bytes are fetched without it.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::format::keys::segment_location_key;
use crate::format::segment::{SegmentLocation, chunk_start};
use crate::kv::{KvRead, OpError, OpResult};
use crate::limits::READ_AHEAD_FIRST;
use crate::ops::{Mapped, Source, map_range};
use crate::types::{Ino, SegmentId};
use crate::volume::Shared;
use crate::volume::frames::Wanted;
use crate::volume::staging::StagedSegment;

/// Where one piece of a range comes from.
pub(crate) enum Piece {
    Zeros { len: u64 },
    Staged { segment: Arc<StagedSegment>, position: u64, len: u64 },
    Frame { wanted: Wanted, skip: usize, len: usize },
}

/// A handle's reading habit.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    inner: Mutex<Habit>,
}

#[derive(Debug, Default)]
struct Habit {
    next: u64,
    window: u64,
    fetched_to: u64,
}

impl ReadAhead {
    /// Notes a read; the range to fetch ahead, if any. Reads of one stream may arrive slightly out of order.
    fn note(&self, offset: u64, len: u64, max: u64) -> Option<(u64, u64)> {
        let mut habit = self.inner.lock();
        let near = offset <= habit.next.saturating_add(habit.window) && offset + habit.window.max(len) >= habit.next;
        if !near || max == 0 {
            *habit = Habit { next: offset + len, window: 0, fetched_to: 0 };
            return None;
        }
        let started = habit.next > 0 || offset == 0;
        habit.next = habit.next.max(offset + len);
        habit.window = if started { (habit.window * 2).clamp(READ_AHEAD_FIRST.min(max), max) } else { 0 };
        let from = habit.fetched_to.max(habit.next);
        let to = habit.next + habit.window;
        if to.saturating_sub(from) < habit.window / 2 || from >= to {
            return None;
        }
        habit.fetched_to = to;
        Some((from, to - from))
    }
}

impl Shared {
    /// Reads up to `len` bytes at `offset`; fewer only at the end of the file.
    pub(crate) async fn read_range(
        self: &Arc<Self>,
        ino: Ino,
        offset: u64,
        len: u64,
        ahead: &ReadAhead,
    ) -> Result<Vec<Bytes>> {
        loop {
            match self.try_read(ino, offset, len, ahead).await {
                Err(error) if error.kind() == ErrorKind::Corrupt && self.follower.has_departed(ino) => {
                    let why = format!("inode {ino} was removed by the volume's writer, and what it held is gone");
                    return Err(Error::with_source(ErrorKind::Stale, why, error));
                }
                Err(error) if self.caught_up(&error).await => {}
                Err(error) => return Err(self.in_file(error, ino, offset).await),
                Ok(bytes) => return Ok(bytes),
            }
        }
    }

    async fn try_read(self: &Arc<Self>, ino: Ino, offset: u64, len: u64, ahead: &ReadAhead) -> Result<Vec<Bytes>> {
        let pieces = self.view_held(ino, |kv| self.plan(kv, ino, offset, len)).await?;
        let window_max = self.options.read_ahead_max.min(self.frames.cache().budget() / 8);
        if let Some((from, count)) = ahead.note(offset, len, window_max) {
            self.fetch_ahead(ino, from, count);
        }
        self.collect_bytes(pieces).await
    }

    fn fetch_ahead(self: &Arc<Self>, ino: Ino, from: u64, count: u64) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            // A failure shows again, and is reported, when the bytes are really asked for.
            if let Ok(pieces) = shared.view(|kv| shared.plan(kv, ino, from, count)).await {
                shared.frames.prefetch(&wanted_of(&pieces));
            }
        });
    }

    fn plan(&self, kv: &dyn KvRead, ino: Ino, offset: u64, len: u64) -> OpResult<Vec<Piece>> {
        let mut pieces = Vec::new();
        for Mapped { len, source, .. } in map_range(kv, ino, offset, len)? {
            match source {
                Source::Hole => pieces.push(Piece::Zeros { len }),
                Source::Data { segment, position } => match self.staging.get(segment) {
                    Some(staged) => pieces.push(Piece::Staged { segment: staged, position, len }),
                    None => self.plan_stored(kv, segment, position, len, &mut pieces)?,
                },
            }
        }
        Ok(pieces)
    }

    pub(crate) fn plan_stored(
        &self,
        kv: &dyn KvRead,
        segment: SegmentId,
        position: u64,
        len: u64,
        pieces: &mut Vec<Piece>,
    ) -> OpResult<()> {
        let slot_bytes = u64::from(self.meta.frame_size);
        let mut chunk: Option<(u32, SegmentLocation)> = None;
        let mut at = position;
        let end = position + len;
        while at < end {
            let slot = u32::try_from(at / slot_bytes).map_err(|_| lost(segment, at))?;
            if chunk.as_ref().is_none_or(|(start, _)| *start != chunk_start(slot)) {
                let value =
                    kv.get(&segment_location_key(segment, chunk_start(slot)))?.ok_or_else(|| lost(segment, at))?;
                chunk = Some((chunk_start(slot), SegmentLocation::decode(&value)?));
            }
            let found = chunk.as_ref().and_then(|(start, location)| location.find(slot - start));
            let found = found.ok_or_else(|| lost(segment, at))?;
            let skip = at % slot_bytes;
            let part = (slot_bytes - skip).min(end - at);
            if skip + part > u64::from(found.logical_len) {
                return Err(lost(segment, at));
            }
            pieces.push(Piece::Frame {
                wanted: Wanted { key: (segment, slot), at: found },
                skip: usize::try_from(skip).unwrap_or(usize::MAX),
                len: usize::try_from(part).unwrap_or(usize::MAX),
            });
            at += part;
        }
        Ok(())
    }

    pub(crate) async fn collect_bytes(&self, pieces: Vec<Piece>) -> Result<Vec<Bytes>> {
        let wanted = wanted_of(&pieces);
        let mut frames = if wanted.is_empty() { Vec::new() } else { self.frames.get(&wanted).await? }.into_iter();
        let mut out = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match piece {
                Piece::Zeros { len } => push_zeros(&mut out, len),
                Piece::Staged { segment, position, len } => out.push(read_staged(&segment, position, len)?),
                Piece::Frame { skip, len, .. } => {
                    let frame = frames.next().unwrap_or_default();
                    if skip + len > frame.len() {
                        return Err(Error::new(
                            ErrorKind::Corrupt,
                            "a frame is shorter than its location says; run fsck",
                        ));
                    }
                    out.push(frame.slice(skip..skip + len));
                }
            }
        }
        Ok(out)
    }
}

fn wanted_of(pieces: &[Piece]) -> Vec<Wanted> {
    let frames = pieces.iter().filter_map(|p| match p {
        Piece::Frame { wanted, .. } => Some(*wanted),
        Piece::Zeros { .. } | Piece::Staged { .. } => None,
    });
    frames.collect()
}

fn read_staged(segment: &StagedSegment, position: u64, len: u64) -> Result<Bytes> {
    let mut buf = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    segment.read(&mut buf, position).map_err(|e| {
        Error::with_source(ErrorKind::Io, format!("cannot read staged segment {} at {position}", segment.id), e)
    })?;
    Ok(Bytes::from(buf))
}

/// Zeros without an allocation for each hole.
fn push_zeros(out: &mut Vec<Bytes>, mut len: u64) {
    static ZEROS: [u8; 65_536] = [0; 65_536];
    while len > 0 {
        let part = len.min(ZEROS.len() as u64);
        out.push(Bytes::from_static(&ZEROS[..usize::try_from(part).unwrap_or(ZEROS.len())]));
        len -= part;
    }
}

fn lost(segment: SegmentId, position: u64) -> OpError {
    Error::new(
        ErrorKind::Corrupt,
        format!("position {position} of segment {segment} is neither staged nor in the store; run fsck"),
    )
    .into()
}
