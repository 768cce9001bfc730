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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::format::keys;
    use crate::kv::OpError;
    use crate::ops::testkit::{World, segment};
    use crate::ops::{Source, fallocate, map_range};

    /// The extents of a file as `offset+len@segment:position`.
    fn map(world: &World, ino: Ino) -> String {
        let pieces = map_range(&world.kv, ino, 0, u64::MAX).expect("maps");
        let shown = pieces.iter().map(|piece| match piece.source {
            Source::Hole => format!("{}+{}", piece.file_offset, piece.len),
            Source::Data { segment, position } => {
                format!("{}+{}@{}:{position}", piece.file_offset, piece.len, segment.nonce)
            }
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    fn file(world: &mut World) -> Ino {
        world.mkfile(Ino::ROOT, "f")
    }

    #[test]
    fn a_write_cuts_what_was_there() {
        for (offset, len, expected, usage) in [
            (100, 50, "0+100@1:1000 100+50@2:0", 100),
            (200, 50, "0+100@1:1000 100+100 200+50@2:0", 100),
            (40, 20, "0+40@1:1000 40+20@2:0 60+40@1:1060", 80),
            (0, 30, "0+30@2:0 30+70@1:1030", 70),
            (70, 30, "0+70@1:1000 70+30@2:0", 70),
            (0, 100, "0+100@2:0", 0),
            (90, 20, "0+90@1:1000 90+20@2:0", 90),
        ] {
            let mut world = World::new(false);
            let ino = file(&mut world);
            world.write(ino, 0, 100, 1, 1000);
            world.write(ino, offset, len, 2, 0);
            assert_eq!(map(&world, ino), expected);
            assert_eq!((world.usage(1), world.usage(2)), (usage, len));
            assert_eq!((world.attr(ino).mtime, world.attr(ino).ctime), (world.now(), world.now()));
            world.check();
        }
    }

    #[test]
    fn a_write_that_continues_the_extent_before_it_joins_it() {
        let mut world = World::new(false);
        let ino = file(&mut world);
        world.write(ino, 0, 10, 1, 0);
        world.write(ino, 10, 10, 1, 10);
        assert_eq!(map(&world, ino), "0+20@1:0");
        world.write(ino, 20, 10, 1, 31);
        world.write(ino, 30, 10, 2, 41);
        assert_eq!(map(&world, ino), "0+20@1:0 20+10@1:31 30+10@2:41");
        assert_eq!(world.usage(1), 30);
        world.check();
    }

    #[test]
    fn writes_know_their_bounds() {
        let mut world = World::new(false);
        let ino = file(&mut world);
        let before = world.attr(ino);
        world.write(ino, 5, 0, 1, 0);
        assert_eq!(world.attr(ino), before, "nothing written, nothing changed");
        let mut kind =
            |ino, offset, len| world.err(|tx, cx, _| write_extent(tx, cx, ino, offset, len, segment(1), 0, false));
        assert_eq!(kind(ino, FILE_BYTES_MAX, 1), ErrorKind::FileTooLarge);
        assert_eq!(kind(ino, u64::MAX, 2), ErrorKind::FileTooLarge);
        assert_eq!(kind(Ino::ROOT, 0, 1), ErrorKind::IsADirectory);
        assert_eq!(kind(Ino(99), 0, 1), ErrorKind::Stale);
        world.write(ino, FILE_BYTES_MAX - 1, 1, 1, 0);
        assert_eq!(world.attr(ino).size, FILE_BYTES_MAX);
        world.check();
    }

    #[test]
    fn a_write_clears_suid_when_told() {
        let mut world = World::new(false);
        let ino = world.mknod(Ino::ROOT, "f", crate::fs::FileKind::File, 0o6755).ino;
        world.write(ino, 0, 1, 1, 0);
        assert_eq!(world.attr(ino).perm, 0o6755);
        world.ok(|tx, cx, _| write_extent(tx, cx, ino, 0, 1, segment(1), 5, true));
        assert_eq!(world.attr(ino).perm, 0o755);
    }

    #[test]
    fn truncation_cuts_and_growth_is_a_hole() {
        let mut world = World::new(false);
        let ino = file(&mut world);
        world.write(ino, 0, 100, 1, 0);
        for (size, expected) in [(60, "0+60@1:0"), (80, "0+60@1:0 60+20"), (0, ""), (10, "0+10")] {
            world.ok(|tx, cx, _| truncate(tx, cx, ino, size, false));
            assert_eq!(map(&world, ino), expected);
            world.check();
        }
        assert_eq!(world.usage(1), 0);
    }

    #[test]
    fn fallocate_modes_differ_in_bytes_and_size() {
        for (mode, offset, len, expected) in [
            (FallocateMode::Allocate, 50, 100, "0+100@1:0 100+50"),
            (FallocateMode::Allocate, 0, 50, "0+100@1:0"),
            (FallocateMode::KeepSize, 50, 100, "0+100@1:0"),
            (FallocateMode::PunchHole, 20, 30, "0+20@1:0 20+30 50+50@1:50"),
            (FallocateMode::PunchHole, 50, 100, "0+50@1:0 50+50"),
            (FallocateMode::ZeroRange, 50, 100, "0+50@1:0 50+100"),
            (FallocateMode::ZeroRangeKeepSize, 50, 100, "0+50@1:0 50+50"),
        ] {
            let mut world = World::new(false);
            let ino = file(&mut world);
            world.write(ino, 0, 100, 1, 0);
            world.ok(|tx, cx, _| fallocate(tx, cx, ino, offset, len, mode));
            assert_eq!(map(&world, ino), expected, "{mode:?}");
            world.check();
        }
        let mut world = World::new(false);
        let ino = file(&mut world);
        let kind = world.err(|tx, cx, _| fallocate(tx, cx, ino, 0, 0, FallocateMode::Allocate));
        assert_eq!(kind, ErrorKind::InvalidArgument);
    }

    #[test]
    fn shared_ranges_count_twice_and_die_apart() {
        let mut world = World::new(false);
        let from = file(&mut world);
        let to = world.mkfile(Ino::ROOT, "g");
        world.write(from, 0, 20, 1, 0);
        world.write(from, 30, 20, 1, 20);
        world.write(to, 0, 100, 2, 0);
        let copied = world.ok(|tx, cx, _| share_range(tx, cx, from, 10, to, 50, 1000));
        assert_eq!(copied, 40, "clipped at the end of the source");
        assert_eq!(map(&world, to), "0+50@2:0 50+10@1:10 60+10 70+20@1:20 90+10@2:90");
        assert_eq!((world.usage(1), world.usage(2)), (70, 60));
        world.check();
        world.ok(|tx, cx, _| truncate(tx, cx, from, 0, false));
        assert_eq!(world.usage(1), 30);
        world.check();
    }

    #[test]
    fn sharing_inside_one_file_needs_ranges_apart() {
        let mut world = World::new(false);
        let ino = file(&mut world);
        world.write(ino, 0, 100, 1, 0);
        let share =
            |world: &mut World, from, to, len| world.run(|tx, cx, _| share_range(tx, cx, ino, from, ino, to, len));
        assert_eq!(share(&mut world, 0, 10, 11), Err(ErrorKind::InvalidArgument));
        assert_eq!(share(&mut world, 90, 99, 100), Err(ErrorKind::InvalidArgument));
        assert_eq!(share(&mut world, 90, 100, 100), Ok(10));
        assert_eq!(share(&mut world, 0, 10, 10), Ok(10));
        assert_eq!(share(&mut world, 500, 0, 10), Ok(0));
        assert_eq!(map(&world, ino), "0+10@1:0 10+10@1:0 20+80@1:20 100+10@1:90");
        world.check();
    }

    #[test]
    fn a_usage_record_that_is_too_small_is_damage() {
        let mut world = World::new(false);
        let ino = file(&mut world);
        world.write(ino, 0, 100, 1, 0);
        world.kv.0.remove(&keys::segment_usage_key(segment(1)));
        let mut tx = Txn::new(&world.kv);
        match truncate(&mut tx, &world.cx, ino, 50, false) {
            Err(OpError::Fs(error)) => assert_eq!(error.kind(), ErrorKind::Corrupt),
            answer => panic!("{answer:?}"),
        }
    }
}
