//! The map of a file: which of its ranges lie where, and the edits that keep it exact.
//!
//! Extents of one file never overlap and never pass its size; what no extent covers is a hole. Cutting an extent keeps the
//! rest where it is: the part behind the cut starts that much further in its segment.

use std::ops::{ControlFlow, Range};

use crate::error::{Error, ErrorKind};
use crate::format::{Extent, InodeRecord, Key, keys};
use crate::kv::{KvRead, OpResult, Txn};
use crate::types::{Ino, SegmentId};

use super::inode;
use super::usage::UsageChange;

/// A piece of a file as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// First byte in the file.
    pub file_offset: u64,
    /// Bytes; not 0.
    pub len: u64,
    /// Where the bytes are.
    pub source: Source,
}

/// Where the bytes of a piece are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: they read as zeros.
    Hole,
    /// In a segment.
    Data {
        /// The segment.
        segment: SegmentId,
        /// Logical position of the first byte.
        position: u64,
    },
}

/// An extent with its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// First byte in the file.
    pub(crate) offset: u64,
    /// What lies there.
    pub(crate) extent: Extent,
}

impl Placed {
    /// First byte after it in the file.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.extent.len)
    }

    /// The part of it inside `range`, if any.
    pub(crate) fn clip(&self, range: &Range<u64>) -> Option<Self> {
        let start = self.offset.max(range.start);
        let end = self.end().min(range.end);
        let skip = start - self.offset;
        (start < end).then(|| Self {
            offset: start,
            extent: Extent { len: end - start, position: self.extent.position + skip, ..self.extent },
        })
    }
}

/// The pieces of `offset..offset + len` in order, without gaps, clipped to the size of the file.
///
/// # Errors
/// `Stale`, `IsADirectory`, `InvalidArgument` for what is not a regular file, `Corrupt`.
pub fn map_range(kv: &dyn KvRead, ino: Ino, offset: u64, len: u64) -> OpResult<Vec<Mapped>> {
    let record = inode::load_file(kv, ino)?;
    let range = offset..offset.saturating_add(len).min(record.size);
    let mut pieces = Vec::new();
    let mut at = range.start;
    for placed in overlapping(kv, ino, &range)? {
        let Some(part) = placed.clip(&(at..range.end)) else { continue };
        push_hole(&mut pieces, at..part.offset);
        let Extent { len, segment, position } = part.extent;
        pieces.push(Mapped { file_offset: part.offset, len, source: Source::Data { segment, position } });
        at = part.end();
    }
    push_hole(&mut pieces, at..range.end);
    Ok(pieces)
}

/// The first byte at or after `offset` that is not in a hole.
///
/// # Errors
/// `NoSuchOffset` past the end or if only a hole follows; as [`map_range`].
pub fn seek_data(kv: &dyn KvRead, ino: Ino, offset: u64) -> OpResult<u64> {
    let size = size_past(kv, ino, offset)?;
    match first_from(kv, ino, offset)? {
        Some(placed) if placed.offset < size => Ok(placed.offset.max(offset)),
        _ => Err(no_such_offset(ino, offset)),
    }
}

/// The first byte at or after `offset` that is in a hole; the end of the file is one.
///
/// # Errors
/// `NoSuchOffset` past the end; as [`map_range`].
pub fn seek_hole(kv: &dyn KvRead, ino: Ino, offset: u64) -> OpResult<u64> {
    let size = size_past(kv, ino, offset)?;
    let mut at = offset;
    visit_from(kv, ino, offset, u64::MAX, |placed| {
        if placed.offset > at {
            return ControlFlow::Break(());
        }
        at = placed.end();
        ControlFlow::Continue(())
    })?;
    Ok(at.min(size))
}

/// The size of a file that has bytes at or after `offset`.
fn size_past(kv: &dyn KvRead, ino: Ino, offset: u64) -> OpResult<u64> {
    let size = inode::load_file(kv, ino)?.size;
    if offset >= size {
        return Err(no_such_offset(ino, offset));
    }
    Ok(size)
}

fn no_such_offset(ino: Ino, offset: u64) -> crate::kv::OpError {
    Error::new(ErrorKind::NoSuchOffset, format!("inode {ino} has nothing to find at or after {offset}")).into()
}

fn push_hole(pieces: &mut Vec<Mapped>, range: Range<u64>) {
    if range.start < range.end {
        pieces.push(Mapped { file_offset: range.start, len: range.end - range.start, source: Source::Hole });
    }
}

/// Reads an extent's key and value.
pub(crate) fn decode(key: &[u8], value: &[u8]) -> OpResult<Placed> {
    let Key::Extent { ino, offset } = Key::decode(key)? else {
        return Err(Error::new(ErrorKind::Corrupt, "a key among extents is not an extent's").into());
    };
    let extent = Extent::decode(value)?;
    if offset.checked_add(extent.len).is_none() {
        return Err(Error::new(ErrorKind::Corrupt, format!("inode {ino}: extent at {offset} passes 64 bits")).into());
    }
    Ok(Placed { offset, extent })
}

/// The extent that begins before `offset`, if it reaches past `offset`, or to it when `touching`.
fn before(kv: &dyn KvRead, ino: Ino, offset: u64, touching: bool) -> OpResult<Option<Placed>> {
    let (from, _) = keys::extent_range(ino);
    let Some((key, value)) = kv.last(&from, &keys::extent_key(ino, offset))? else { return Ok(None) };
    let placed = decode(&key, &value)?;
    Ok(Some(placed).filter(|p| p.end() > offset || (touching && p.end() == offset)))
}

/// Visits the extents that end after `from` and begin before `to`, ascending.
fn visit_from(
    kv: &dyn KvRead,
    ino: Ino,
    from: u64,
    to: u64,
    mut visit: impl FnMut(Placed) -> ControlFlow<()>,
) -> OpResult<()> {
    if from >= to {
        return Ok(());
    }
    if let Some(placed) = before(kv, ino, from, false)?
        && visit(placed).is_break()
    {
        return Ok(());
    }
    let mut failed = None;
    kv.scan(&keys::extent_key(ino, from), &keys::extent_key(ino, to), &mut |key, value| match decode(key, value) {
        Ok(placed) => visit(placed),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// The first extent that ends after `offset`.
fn first_from(kv: &dyn KvRead, ino: Ino, offset: u64) -> OpResult<Option<Placed>> {
    let mut found = None;
    visit_from(kv, ino, offset, u64::MAX, |placed| {
        found = Some(placed);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// The extents that overlap `range`, whole.
pub(crate) fn overlapping(kv: &dyn KvRead, ino: Ino, range: &Range<u64>) -> OpResult<Vec<Placed>> {
    let mut found = Vec::new();
    visit_from(kv, ino, range.start, range.end, |placed| {
        found.push(placed);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Turns `range` of a file into a hole: drops, cuts and splits extents, and lowers the allocated bytes.
pub(crate) fn punch(
    tx: &mut Txn<'_>,
    (ino, record): (Ino, &mut InodeRecord),
    range: &Range<u64>,
    usage: &mut UsageChange,
) -> OpResult<()> {
    for placed in overlapping(tx, ino, range)? {
        let Some(dead) = placed.clip(range) else { continue };
        usage.sub(dead.extent.segment, dead.extent.len);
        record.allocated_bytes = record.allocated_bytes.checked_sub(dead.extent.len).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, format!("inode {ino} has more extents than allocated bytes"))
        })?;
        match placed.clip(&(placed.offset..range.start)) {
            Some(head) => put(tx, ino, head),
            None => tx.delete(keys::extent_key(ino, placed.offset)),
        }
        if let Some(tail) = placed.clip(&(range.end..placed.end())) {
            put(tx, ino, tail);
        }
    }
    Ok(())
}

/// Puts an extent into a hole, as the continuation of the one before it if it is that in the file and in the segment, and
/// raises the allocated bytes.
pub(crate) fn insert(
    tx: &mut Txn<'_>,
    (ino, record): (Ino, &mut InodeRecord),
    new: Placed,
    usage: &mut UsageChange,
) -> OpResult<()> {
    usage.add(new.extent.segment, new.extent.len);
    record.allocated_bytes += new.extent.len;
    let joined = before(tx, ino, new.offset, true)?.filter(|prev| continues(prev, &new)).map(|mut prev| {
        prev.extent.len += new.extent.len;
        prev
    });
    put(tx, ino, joined.unwrap_or(new));
    Ok(())
}

/// Whether `next` goes on where `prev` ends, in the file and in the segment.
fn continues(prev: &Placed, next: &Placed) -> bool {
    prev.end() == next.offset
        && prev.extent.segment == next.extent.segment
        && prev.extent.position + prev.extent.len == next.extent.position
}

fn put(tx: &mut Txn<'_>, ino: Ino, placed: Placed) {
    tx.put(keys::extent_key(ino, placed.offset), placed.extent.encode());
}
