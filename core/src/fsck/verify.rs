//! Reading objects whole: every frame's checksums, the index, the trailer, and what they say of each other.
//!
//! Owns what [`FsckOptions::data`](super::FsckOptions::data) adds to a check. Reads at most [`GET_BYTES_MAX`] or one frame at a time.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::frame::decode_frame;
use crate::format::pack::PACK_TRAILER_LEN;
use crate::format::{FrameKind, ObjectEntry, ObjectKind, PackEntry, PackIndex, PackTrailer};
use crate::limits::GET_BYTES_MAX;
use crate::store::{GetRange, ObjectKey};
use crate::types::SegmentId;

use super::contents::{Bad, Segment};
use super::report::{Fault, HARMLESS, RESTORE, Severity};
use super::{Check, is_damage};

/// A frame to read, and what it must be.
#[derive(Clone, Copy, Debug)]
struct Expected {
    slot: u32,
    offset: u64,
    total_len: u32,
    logical_len: u32,
    kind: FrameKind,
    owner: Option<(u64, u64)>,
}

impl Check<'_> {
    /// Verifies the object of a segment; what of it cannot be read.
    ///
    /// # Errors
    /// The store's; damage is reported.
    pub(super) async fn verify_segment(&mut self, id: SegmentId, segment: &Segment, len: u64) -> Result<Option<Bad>> {
        let Some(object) = segment.object() else { return Ok(None) };
        let key = self.storage.layout.data_key(object);
        let index = self.index(&key, ObjectKind::Data, len).await?;
        let index = match index {
            Ok(index) => {
                if let Some(what) = disagreement(id, segment, &index) {
                    self.push(Fault::new(Severity::Error, what, RESTORE).object(&key));
                }
                Some(index)
            }
            Err(why) => {
                let what = format!(
                    "the index of a data object is unreadable, its frames are checked by their locations: {why}"
                );
                let advice = format!("{RESTORE}; files are read without the index");
                self.push(Fault::new(Severity::Error, what, &advice).object(&key));
                None
            }
        };
        let frames = segment.slots().map(|(slot, at)| Expected {
            slot,
            offset: at.offset,
            total_len: at.total_len,
            logical_len: at.logical_len,
            kind: FrameKind::Data,
            owner: index.as_ref().and_then(|i| i.find(slot)).map(|e| e.owner),
        });
        let frames: Vec<_> = frames.collect();
        let damaged = self.frames(&key, &frames, Severity::Error).await?;
        let slots: BTreeSet<u32> = damaged.iter().map(|f| f.slot).collect();
        Ok(damaged.first().map(|first| Bad {
            why: format!("the frame at {} of object {key} is damaged", first.offset),
            whole: false,
            slots,
        }))
    }

    /// Verifies a metadata object.
    ///
    /// # Errors
    /// The store's; damage is reported.
    pub(super) async fn verify_meta(&mut self, entry: &ObjectEntry, len: u64) -> Result<()> {
        let key = self.storage.layout.meta_key(entry.object);
        // What is dead serves fallbacks only.
        let (severity, advice) =
            if entry.dead_seq == 0 { (Severity::Error, RESTORE) } else { (Severity::Warning, HARMLESS) };
        let index = match self.index(&key, ObjectKind::Meta, len).await? {
            Ok(index) => index,
            Err(why) => {
                let what = format!("the index of a metadata object is unreadable: {why}");
                self.push(Fault::new(severity, what, advice).object(&key));
                return Ok(());
            }
        };
        let frames: Vec<_> = index.entries.iter().map(expected).collect();
        self.frames(&key, &frames, severity).await?;
        Ok(())
    }

    /// The index of a pack, or why it is not to be had.
    async fn index(&mut self, key: &ObjectKey, kind: ObjectKind, len: u64) -> Result<Result<PackIndex, String>> {
        let tail = match self.read(key, GetRange::Suffix { len: PACK_TRAILER_LEN as u64 }).await? {
            Ok(tail) => tail,
            Err(why) => return Ok(Err(why)),
        };
        let trailer = match PackTrailer::decode(&tail) {
            Ok(trailer) if trailer.object_len == len => trailer,
            Ok(trailer) => {
                return Ok(Err(format!("the object has {len} bytes, its trailer says {}", trailer.object_len)));
            }
            Err(error) => return Ok(Err(error.to_string())),
        };
        let range = GetRange::Bounded { offset: trailer.index_offset, len: trailer.index_len.into() };
        let frame = match self.read(key, range).await? {
            Ok(frame) => frame,
            Err(why) => return Ok(Err(why)),
        };
        Ok(match PackIndex::decode_frame(&trailer, &frame) {
            Ok(index) if index.kind == kind => Ok(index),
            Ok(index) => Err(format!("it is the index of a {:?} object", index.kind)),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Reads frames, which are in the order of their offsets, and reports those that are not what they must be.
    async fn frames(&mut self, key: &ObjectKey, frames: &[Expected], severity: Severity) -> Result<Vec<Expected>> {
        let mut damaged = Vec::new();
        let mut rest = frames;
        while !rest.is_empty() {
            let (run, later) = rest.split_at(run_len(rest));
            let start = run[0].offset;
            let bytes: u64 = run.iter().map(|f| u64::from(f.total_len)).sum();
            let read = self.read(key, GetRange::Bounded { offset: start, len: bytes }).await?;
            for frame in run {
                let why = match &read {
                    Ok(bytes) => check_frame(frame, bytes, start),
                    Err(why) => Some(why.clone()),
                };
                if let Some(why) = why {
                    let what = format!("the frame at {} is damaged: {why}", frame.offset);
                    self.push(Fault::new(severity, what, RESTORE).object(key));
                    damaged.push(*frame);
                }
                self.report.counts.frames_verified += 1;
                self.report.counts.frame_bytes_verified += u64::from(frame.total_len);
            }
            self.progress("stored bytes", self.report.counts.frame_bytes_verified, Some(self.stored_bytes()));
            rest = later;
        }
        Ok(damaged)
    }

    fn stored_bytes(&self) -> u64 {
        self.report.counts.meta_bytes + self.report.counts.data_object_bytes
    }

    /// Reads a range; damage is the inner error.
    async fn read(&self, key: &ObjectKey, range: GetRange) -> Result<Result<Bytes, String>> {
        match self.storage.get(key, range).await {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(error) if is_damage(error.kind()) => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        }
    }
}

fn expected(entry: &PackEntry) -> Expected {
    Expected {
        slot: entry.number,
        offset: entry.offset,
        total_len: entry.total_len,
        logical_len: entry.logical_len,
        kind: entry.kind,
        owner: Some(entry.owner),
    }
}

/// How many of the first frames lie back to back and fit into one request; at least one.
fn run_len(frames: &[Expected]) -> usize {
    let mut end = None;
    let mut bytes = 0;
    let fits = frames.iter().take_while(|f| {
        let adjacent = end.is_none_or(|end| end == f.offset);
        bytes += u64::from(f.total_len);
        let fits = adjacent && (end.is_none() || bytes <= GET_BYTES_MAX);
        end = Some(f.offset + u64::from(f.total_len));
        fits
    });
    fits.count()
}

/// What is wrong with a frame. `bytes` begin at offset `start` of its object.
fn check_frame(frame: &Expected, bytes: &Bytes, start: u64) -> Option<String> {
    let from = usize::try_from(frame.offset - start).ok()?;
    let own = bytes.slice(from..from + frame.total_len as usize);
    match decode_frame(&own).map_err(Error::from) {
        Err(error) => Some(error.to_string()),
        Ok((header, _)) if header.kind != frame.kind => Some(format!("it is a {:?} frame", header.kind)),
        Ok((header, _)) if header.logical_len != frame.logical_len => {
            Some(format!("it holds {} bytes, {} belong there", header.logical_len, frame.logical_len))
        }
        Ok((header, _)) if frame.owner.is_some_and(|owner| owner != header.owner) => Some(format!(
            "it says that it is of inode {} at {}, the index says otherwise",
            header.owner.0, header.owner.1
        )),
        Ok(_) => None,
    }
}

/// How the index of a segment's object and its location records contradict each other.
fn disagreement(id: SegmentId, segment: &Segment, index: &PackIndex) -> Option<String> {
    if index.segment != id {
        return Some(format!("the object says that it holds segment {}, the metadata says {id}", index.segment));
    }
    let located: Vec<_> = segment.slots().collect();
    if located.len() != index.entries.len() {
        return Some(format!("the object holds {} frames, {} are located there", index.entries.len(), located.len()));
    }
    let differs = located.iter().zip(&index.entries).find(|((slot, at), entry)| {
        (*slot, at.offset, at.total_len, at.logical_len)
            != (entry.number, entry.offset, entry.total_len, entry.logical_len)
    });
    differs.map(|((slot, _), _)| format!("index and location disagree about slot {slot}"))
}
