//! Changing the content of files: writes, truncation, holes and shared ranges.
//!
//! Bytes themselves lie in segments before an operation here names them. Every change of content sets mtime and ctime, and
//! takes away the file's capabilities (`security.capability`), as Linux does.

use std::ops::Range;

use crate::error::{Error, ErrorKind};
use crate::format::{Extent, InodeRecord};
use crate::fs::{Attr, FILE_BYTES_MAX, FallocateMode};
use crate::kv::{OpResult, Txn};
use crate::types::{Ino, SegmentId};

use super::extents::{self, Placed};
use super::usage::UsageChange;
use super::{OpCx, inode, xattr};

/// Names `len` bytes at `position` of `segment` as the content of the file at `offset`, extending it as needed.
///
/// What was there before is dropped from its segments' usage. `len` 0 changes nothing.
///
/// # Errors
/// `FileTooLarge`, `Stale`, `IsADirectory`, `InvalidArgument` for what is not a regular file, `Corrupt`.
#[expect(clippy::too_many_arguments, reason = "a write is a place in a file and a place in a segment")]
pub fn write_extent(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    ino: Ino,
    offset: u64,
    len: u64,
    segment: SegmentId,
    position: u64,
    kill_suid_sgid: bool,
) -> OpResult<Attr> {
    let mut record = inode::load_file(tx, ino)?;
    let range = checked_range(offset, len)?;
    if range.is_empty() {
        return Ok(inode::attr(&record, ino));
    }
    if position.checked_add(len).is_none() {
        return Err(Error::new(ErrorKind::InvalidArgument, "segment position passes 64 bits").into());
    }
    let mut usage = UsageChange::default();
    extents::punch(tx, (ino, &mut record), &range, &mut usage)?;
    let new = Placed { offset, extent: Extent { len, segment, position } };
    extents::insert(tx, (ino, &mut record), new, &mut usage)?;
    usage.apply(tx)?;
    record.size = record.size.max(range.end);
    finish(tx, cx, (ino, record), kill_suid_sgid)
}

/// Cuts or extends a file; growth reads as zeros.
///
/// # Errors
/// As [`write_extent`].
pub fn truncate(tx: &mut Txn<'_>, cx: &OpCx, ino: Ino, size: u64, kill_suid_sgid: bool) -> OpResult<Attr> {
    let mut record = inode::load_file(tx, ino)?;
    set_size(tx, (ino, &mut record), size)?;
    finish(tx, cx, (ino, record), kill_suid_sgid)
}

/// Reserves, punches or zeroes a range. Nothing is really reserved; punching and zeroing drop extents.
///
/// # Errors
/// As [`write_extent`], and `InvalidArgument` for a length of 0.
pub fn fallocate(tx: &mut Txn<'_>, cx: &OpCx, ino: Ino, offset: u64, len: u64, mode: FallocateMode) -> OpResult<Attr> {
    let mut record = inode::load_file(tx, ino)?;
    if len == 0 {
        return Err(Error::new(ErrorKind::InvalidArgument, "fallocate of no bytes").into());
    }
    let range = checked_range(offset, len)?;
    let (drops, grows) = match mode {
        FallocateMode::Allocate => (false, true),
        FallocateMode::KeepSize => (false, false),
        FallocateMode::PunchHole | FallocateMode::ZeroRangeKeepSize => (true, false),
        FallocateMode::ZeroRange => (true, true),
    };
    if drops {
        drop_range(tx, (ino, &mut record), &range)?;
    }
    if grows {
        record.size = record.size.max(range.end);
    }
    finish(tx, cx, (ino, record), false)
}

/// Makes `to_offset..` of one file share the extents of `from_offset..` of another (or of the same, if the ranges are apart);
/// holes stay holes. Returns the bytes shared: `len`, or what the source has after `from_offset`, if less.
///
/// # Errors
/// As [`write_extent`], and `InvalidArgument` for ranges of one file that overlap.
pub fn share_range(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    from_ino: Ino,
    from_offset: u64,
    to_ino: Ino,
    to_offset: u64,
    len: u64,
) -> OpResult<u64> {
    let source = inode::load_file(tx, from_ino)?;
    let mut record = inode::load_file(tx, to_ino)?;
    let len = len.min(source.size.saturating_sub(from_offset));
    let to = checked_range(to_offset, len)?;
    if len == 0 {
        return Ok(0);
    }
    let from = from_offset..from_offset + len;
    if from_ino == to_ino && from.start < to.end && to.start < from.end {
        return Err(Error::new(ErrorKind::InvalidArgument, "source and target ranges of one file overlap").into());
    }
    let parts: Vec<Placed> =
        extents::overlapping(tx, from_ino, &from)?.into_iter().filter_map(|placed| placed.clip(&from)).collect();
    let mut usage = UsageChange::default();
    extents::punch(tx, (to_ino, &mut record), &to, &mut usage)?;
    for part in parts {
        let moved = Placed { offset: to.start + (part.offset - from.start), ..part };
        extents::insert(tx, (to_ino, &mut record), moved, &mut usage)?;
    }
    usage.apply(tx)?;
    record.size = record.size.max(to.end);
    finish(tx, cx, (to_ino, record), false)?;
    Ok(len)
}

/// Sets the size of a file and drops what lies beyond; the caller stores the record.
///
/// # Errors
/// `FileTooLarge`, `Corrupt`.
pub(crate) fn set_size(tx: &mut Txn<'_>, (ino, record): (Ino, &mut InodeRecord), size: u64) -> OpResult<()> {
    checked_range(0, size)?;
    if size < record.size {
        let beyond = size..record.size;
        drop_range(tx, (ino, record), &beyond)?;
    }
    record.size = size;
    Ok(())
}

fn drop_range(tx: &mut Txn<'_>, (ino, record): (Ino, &mut InodeRecord), range: &Range<u64>) -> OpResult<()> {
    let mut usage = UsageChange::default();
    extents::punch(tx, (ino, record), range, &mut usage)?;
    usage.apply(tx)
}

/// `offset..offset + len`, if a file can have it.
fn checked_range(offset: u64, len: u64) -> OpResult<Range<u64>> {
    match offset.checked_add(len) {
        Some(end) if end <= FILE_BYTES_MAX => Ok(offset..end),
        _ => Err(Error::new(ErrorKind::FileTooLarge, format!("{len} bytes at {offset}")).into()),
    }
}

/// Stamps and stores the record of a file whose content changed.
fn finish(tx: &mut Txn<'_>, cx: &OpCx, (ino, mut record): (Ino, InodeRecord), kill_suid_sgid: bool) -> OpResult<Attr> {
    inode::touch_content(&mut record, cx.now);
    if kill_suid_sgid {
        inode::kill_suid_sgid(&mut record);
    }
    xattr::kill_capabilities(tx, ino)?;
    inode::store(tx, ino, &record);
    Ok(inode::attr(&record, ino))
}
