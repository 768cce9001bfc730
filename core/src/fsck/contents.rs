//! Where data lies: location records against the objects, extents against the locations.
//!
//! Owns the two passes that say which files lose data. The first goes over the segments and notes what of each cannot be read; the
//! second goes over all extents and names the files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::error::Result;
use crate::format::keys::{self, segment_location_key};
use crate::format::segment::{SegmentUsage, chunk_start};
use crate::format::{Extent, Key, ObjectKind, SegmentLocation, VolumeMeta};
use crate::kv::{KvRead, OpError, OpResult, Pair};
use crate::types::{Ino, ObjectId, SegmentId};

use super::Check;
use super::listing::Listing;
use super::reader::{Reader, take_pairs};
use super::report::{Counts, FAULTS_MAX, Fault, REPAIR, RESTORE, Severity};

/// Records of segments read at a time.
const RECORDS_PER_STEP: usize = 2_048;

/// What of a segment cannot be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Bad {
    /// Where and why, for messages.
    pub(super) why: String,
    /// All of it.
    pub(super) whole: bool,
    /// Only these slots.
    pub(super) slots: BTreeSet<u32>,
}

/// Segments with something wrong.
pub(super) type BadSegments = BTreeMap<SegmentId, Bad>;

/// What the records of one segment say.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    pub(super) live_bytes: u64,
    pub(super) chunks: Vec<(u32, SegmentLocation)>,
}

impl Segment {
    /// The object that holds the segment, if it is in the store.
    pub(super) fn object(&self) -> Option<ObjectId> {
        self.chunks.first().map(|(_, location)| location.object)
    }

    /// Bytes that the located frames end at.
    fn frames_end(&self) -> u64 {
        let run = |r: &crate::format::SlotRun| r.frame.map_or(0, |f| u64::from(f.total_len) * u64::from(r.slots));
        let ends = self.chunks.iter().map(|(_, l)| l.offset + l.runs.iter().map(run).sum::<u64>());
        ends.max().unwrap_or(0)
    }
}

/// A file's range that cannot be read.
struct Lost {
    ino: Ino,
    offset: u64,
    len: u64,
    segment: SegmentId,
    why: String,
}

impl Check<'_> {
    /// Checks pending deletes, intents and all segments against the store; returns what of the segments cannot be read.
    ///
    /// # Errors
    /// The store's; damage is reported.
    pub(super) async fn contents(
        &mut self,
        reader: &Reader,
        meta: &VolumeMeta,
        listing: &mut Listing,
    ) -> Result<BadSegments> {
        self.waiting(reader, listing).await?;
        let mut bad = BadSegments::new();
        let (mut from, to) = keys::all_segments_range();
        let mut open: Option<(SegmentId, Segment)> = None;
        let mut done = 0;
        loop {
            let pairs = reader.view(|kv| Ok(take_pairs(kv, &from, &to, RECORDS_PER_STEP)?)).await?;
            let Some((last, _)) = pairs.last() else { break };
            from.clone_from(last);
            from.push(0);
            for pair in &pairs {
                let Some((id, record)) = parse(pair) else { continue };
                if open.as_ref().is_none_or(|(segment, _)| *segment != id)
                    && let Some((id, segment)) = open.replace((id, Segment::default()))
                {
                    self.segment(id, &segment, meta, listing, &mut bad).await?;
                    done += 1;
                    self.progress("segments", done, Some(self.report.counts.segments));
                }
                match (record, &mut open) {
                    (Record::Usage(usage), Some((_, segment))) => segment.live_bytes = usage.live_bytes,
                    (Record::Location(slot, location), Some((_, segment))) => segment.chunks.push((slot, location)),
                    (_, None) => {}
                }
            }
        }
        if let Some((id, segment)) = open {
            self.segment(id, &segment, meta, listing, &mut bad).await?;
        }
        Ok(bad)
    }

    /// Checks one segment against its object.
    async fn segment(
        &mut self,
        id: SegmentId,
        segment: &Segment,
        meta: &VolumeMeta,
        listing: &mut Listing,
        bad: &mut BadSegments,
    ) -> Result<()> {
        let Some(object) = segment.object() else {
            // Without live bytes it was never sent; else the pass over the extents names the files.
            return Ok(());
        };
        let key = self.storage.layout.data_key(object);
        if segment.chunks.iter().any(|(_, l)| l.object != object) {
            let what = format!("segment {id} lies in two objects");
            self.push(Fault::new(Severity::Error, what, RESTORE).object(&key));
        }
        let known = listing.objects.get(&(ObjectKind::Data, object)).map(|l| l.known).unwrap_or_default();
        if known.pending || known.intended {
            let waits = if known.pending { "its deletion is queued" } else { "it is an upload under way" };
            let what = format!("holds live data of segment {id}, and yet {waits}");
            self.push(Fault::new(Severity::Error, what, REPAIR).object(&key));
        }
        let len = listing.find(&self.storage, ObjectKind::Data, object).await?;
        listing.mark(ObjectKind::Data, object, |known| known.in_use = true);
        let end = segment.frames_end();
        let missing = match len {
            None => Some("a data object is missing".to_owned()),
            Some(len) if len < end => Some(format!("a data object has {len} bytes, frames reach to {end}")),
            Some(_) => None,
        };
        match (missing, len) {
            (Some(what), len) => {
                let slots = segment.slots().filter(|(_, f)| len.is_none_or(|l| f.offset + u64::from(f.total_len) > l));
                let slots: BTreeSet<u32> = slots.map(|(slot, _)| slot).collect();
                let why = format!("object {key}: {what}");
                self.push(Fault::new(Severity::Error, what, RESTORE).object(&key));
                bad.insert(id, Bad { why, whole: len.is_none(), slots });
            }
            (None, Some(len)) if self.options.data => {
                if let Some(damage) = self.verify_segment(id, segment, len).await? {
                    bad.insert(id, damage);
                }
            }
            (None, _) => {}
        }
        let slot_bytes = meta.frame_size;
        if segment.slots().any(|(_, f)| f.logical_len > slot_bytes) {
            let what = format!("segment {id} has a frame of more than {slot_bytes} bytes");
            self.push(Fault::new(Severity::Error, what, RESTORE).object(&key));
        }
        Ok(())
    }

    /// Marks what waits for deletion or may be under way, and reports records that do not decode.
    async fn waiting(&mut self, reader: &Reader, listing: &mut Listing) -> Result<()> {
        for (from, to) in [keys::pending_delete_range(), keys::intent_range()] {
            let mut from = from;
            loop {
                let pairs = reader.view(|kv| Ok(take_pairs(kv, &from, &to, RECORDS_PER_STEP)?)).await?;
                let Some((last, _)) = pairs.last() else { break };
                from.clone_from(last);
                from.push(0);
                for (key, value) in &pairs {
                    if let Some(why) = mark_waiting(listing, key, value) {
                        let what = format!("the record with key {key:02x?} is damaged: {why}");
                        self.push(Fault::new(Severity::Error, what, REPAIR));
                    }
                }
            }
        }
        Ok(())
    }

    /// Names every range of every file that cannot be read.
    ///
    /// # Errors
    /// The store's; damage is reported.
    pub(super) async fn files(&mut self, reader: &Reader, meta: &VolumeMeta, bad: BadSegments) -> Result<()> {
        self.progress("files", 0, Some(self.report.counts.files));
        let slot_bytes = u64::from(meta.frame_size);
        let pass = move |kv: &dyn KvRead| {
            let mut counts = Counts::default();
            let lost = lost_ranges(kv, &bad, slot_bytes, &mut counts)?;
            Ok((lost, counts))
        };
        let (lost, counts) = reader.scan_all(pass).await?;
        self.report.counts.extents = counts.extents;
        self.report.counts.file_bytes = counts.file_bytes;
        for Lost { ino, offset, len, segment, why } in lost {
            let what = format!("bytes {offset} to {} of inode {ino} are lost: segment {segment}: {why}", offset + len);
            self.push(
                Fault::new(Severity::Error, what, "restore the object it names, or the file from a backup").ino(ino),
            );
        }
        Ok(())
    }
}

/// A record about a segment.
enum Record {
    Usage(SegmentUsage),
    Location(u32, SegmentLocation),
}

fn parse((key, value): &Pair) -> Option<(SegmentId, Record)> {
    match Key::decode(key).ok()? {
        Key::SegmentUsage(id) => Some((id, Record::Usage(SegmentUsage::decode(value).ok()?))),
        Key::SegmentLocation { segment, slot } => {
            Some((segment, Record::Location(slot, SegmentLocation::decode(value).ok()?)))
        }
        _ => None,
    }
}

/// Marks the object of a pending delete or intent. What is wrong with the record, if anything.
fn mark_waiting(listing: &mut Listing, key: &[u8], value: &[u8]) -> Option<String> {
    match Key::decode(key) {
        Ok(Key::PendingDelete { kind, object }) => {
            listing.mark(kind, object, |known| known.pending = true);
            crate::format::PendingDelete::decode(value).err().map(|e| e.to_string())
        }
        Ok(Key::Intent { kind, object }) => {
            listing.mark(kind, object, |known| known.intended = true);
            crate::format::intent::decode(value).err().map(|e| e.to_string())
        }
        Ok(other) => Some(format!("{other:?} in the wrong place")),
        Err(error) => Some(error.to_string()),
    }
}

impl Segment {
    /// All located frames, by slot.
    pub(super) fn slots(&self) -> impl Iterator<Item = (u32, crate::format::FrameLoc)> + '_ {
        self.chunks.iter().flat_map(|(start, location)| {
            let count: u32 = location.runs.iter().map(|r| r.slots).sum();
            (*start..start + count).filter_map(move |slot| Some((slot, location.find(slot - start)?)))
        })
    }
}

/// One pass over all extents.
fn lost_ranges(kv: &dyn KvRead, bad: &BadSegments, slot_bytes: u64, counts: &mut Counts) -> OpResult<Vec<Lost>> {
    let mut lost = Vec::new();
    let mut chunk = None;
    let mut missed = None;
    let (from, to) = keys::all_inodes_range();
    kv.scan(&from, &to, &mut |key, value| {
        let (Ok(Key::Extent { ino, offset }), Ok(extent)) = (Key::decode(key), Extent::decode(value)) else {
            return ControlFlow::Continue(());
        };
        counts.extents += 1;
        counts.file_bytes = counts.file_bytes.saturating_add(extent.len);
        match check_extent(kv, &extent, bad.get(&extent.segment), slot_bytes, &mut chunk) {
            Ok(None) => {}
            Ok(Some((at, len, why))) => {
                lost.push(Lost { ino, offset: offset.saturating_add(at), len, segment: extent.segment, why });
            }
            Err(error) => {
                missed = Some(error);
                return ControlFlow::Break(());
            }
        }
        if lost.len() > FAULTS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    match missed {
        Some(error) => Err(error),
        None => Ok(lost),
    }
}

/// A location record that was read last.
type Chunk = Option<(SegmentId, u32, Option<SegmentLocation>)>;

/// The part of an extent that cannot be read, from its start: offset, length, why.
fn check_extent(
    kv: &dyn KvRead,
    extent: &Extent,
    bad: Option<&Bad>,
    slot_bytes: u64,
    chunk: &mut Chunk,
) -> OpResult<Option<(u64, u64, String)>> {
    let mut first: Option<(u64, u64, String)> = None;
    let (mut at, end) = (extent.position, extent.position + extent.len);
    while at < end {
        let part = (slot_bytes - at % slot_bytes).min(end - at);
        let why = match u32::try_from(at / slot_bytes) {
            Ok(slot) => check_slot(kv, extent.segment, slot, at % slot_bytes + part, bad, chunk)?,
            Err(_) => Some("its position is past any segment".to_owned()),
        };
        if let Some(why) = why {
            let start = first.as_ref().map_or(at - extent.position, |(start, _, _)| *start);
            let why = first.map_or(why, |(_, _, why)| why);
            first = Some((start, at + part - extent.position - start, why));
        }
        at += part;
        if first.is_some() && bad.is_none_or(|b| b.whole) {
            // Nothing of the rest is better, or it would take long to say exactly what is.
            first = first.map(|(start, _, why)| (start, extent.len - start, why));
            break;
        }
    }
    Ok(first)
}

/// Why the first `need` bytes of a slot cannot be read, if they cannot.
fn check_slot(
    kv: &dyn KvRead,
    segment: SegmentId,
    slot: u32,
    need: u64,
    bad: Option<&Bad>,
    chunk: &mut Chunk,
) -> Result<Option<String>, OpError> {
    if let Some(bad) = bad.filter(|b| b.whole || b.slots.contains(&slot)) {
        return Ok(Some(bad.why.clone()));
    }
    let start = chunk_start(slot);
    if chunk.as_ref().is_none_or(|(s, c, _)| (*s, *c) != (segment, start)) {
        let value = kv.get(&segment_location_key(segment, start))?;
        *chunk = Some((segment, start, value.and_then(|v| SegmentLocation::decode(&v).ok())));
    }
    let location = chunk.as_ref().and_then(|(_, _, location)| location.as_ref());
    Ok(match location.map(|l| l.find(slot - start)) {
        None => Some("it is not in the store".to_owned()),
        Some(None) => Some(format!("slot {slot} is not in the store")),
        Some(Some(frame)) if u64::from(frame.logical_len) < need => {
            Some(format!("the frame of slot {slot} has {} bytes, {need} are needed", frame.logical_len))
        }
        Some(Some(_)) => None,
    })
}
