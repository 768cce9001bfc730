//! Segment usage and location: the values of `02 epoch nonce 00` and `02 epoch nonce 01 slot`.
//!
//! Usage layout: version 1; varint live bytes; extras. Location layout: version 1; varint object epoch, object nonce, offset of the
//! first frame, run count; runs of varint slots, total frame length (0 = dropped), logical length; extras. Neither keeps
//! extras. FORMAT, section 5.

use super::error::FormatResult;
use super::extras::Extras;
use super::frame::{FRAME_HEADER_LEN, LOGICAL_BYTES_MAX};
use super::pack::PACK_BYTES_MAX;
use super::value;
use super::varint::{Reader, Writer};
use crate::types::{Epoch, Nonce, ObjectId};

const LOCATION: &str = "segment location";
/// Slots that one location record describes at most; chunks begin at multiples of it.
pub const CHUNK_SLOTS: u32 = 1024;
/// Slots of a segment at most.
pub const SEGMENT_SLOTS_MAX: u32 = 65_536;

/// First slot of the chunk that holds `slot`: the number in the location record's key.
#[must_use]
pub fn chunk_start(slot: u32) -> u32 {
    slot - slot % CHUNK_SLOTS
}

/// How much of a segment is still used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentUsage {
    /// Sum of the lengths of all extents that name the segment.
    pub live_bytes: u64,
}

impl SegmentUsage {
    /// The value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = value::begin(8);
        out.put_varint(self.live_bytes);
        out
    }

    /// From the value.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(value: &[u8]) -> FormatResult<Self> {
        let mut r = value::open("segment usage", value)?;
        let usage = Self { live_bytes: r.varint()? };
        Extras::skip(&mut r)?;
        Ok(usage)
    }
}

/// The stored frame of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotFrame {
    /// Header and stored payload.
    pub total_len: u32,
    /// Payload after decompression.
    pub logical_len: u32,
}

/// Consecutive slots whose frames have equal lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRun {
    /// How many; not 0.
    pub slots: u32,
    /// The frame of each; `None` when they were dropped.
    pub frame: Option<SlotFrame>,
}

/// A frame and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameLoc {
    /// The object.
    pub object: ObjectId,
    /// Offset of the frame's header in the object.
    pub offset: u64,
    /// Header and stored payload.
    pub total_len: u32,
    /// Payload after decompression.
    pub logical_len: u32,
}

/// Where the frames of a chunk of slots lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentLocation {
    /// The object that holds them.
    pub object: ObjectId,
    /// Offset of the chunk's first frame.
    pub offset: u64,
    /// The slots from the chunk's first.
    pub runs: Vec<SlotRun>,
}

impl SegmentLocation {
    /// The location records of a whole segment, with the slot for each one's key: `slots[n]` is slot n's frame, `None` if it was
    /// dropped; the first frame lies at offset 0 of `object`. There is a record for chunk 0 even if there are no slots.
    #[must_use]
    pub fn build(object: ObjectId, slots: &[Option<SlotFrame>]) -> Vec<(u32, Self)> {
        let mut chunks = vec![(0, Self { object, offset: 0, runs: Vec::new() })];
        let mut offset = 0;
        for (slot, frame) in (0..).zip(slots) {
            if slot > 0 && slot % CHUNK_SLOTS == 0 {
                chunks.push((slot, Self { object, offset, runs: Vec::new() }));
            }
            if let Some((_, chunk)) = chunks.last_mut() {
                chunk.append(*frame);
            }
            offset += frame.map_or(0, |f| u64::from(f.total_len));
        }
        chunks
    }

    fn append(&mut self, frame: Option<SlotFrame>) {
        match self.runs.last_mut() {
            Some(run) if run.frame == frame => run.slots += 1,
            _ => self.runs.push(SlotRun { slots: 1, frame }),
        }
    }

    /// The frame of a slot of this chunk (its number in the segment, or in the chunk); `None` if it was dropped or never was.
    #[must_use]
    pub fn find(&self, slot: u32) -> Option<FrameLoc> {
        let mut left = slot % CHUNK_SLOTS;
        let mut offset = self.offset;
        for run in &self.runs {
            let total = run.frame.map_or(0, |f| u64::from(f.total_len));
            if left < run.slots {
                let SlotFrame { total_len, logical_len } = run.frame?;
                return Some(FrameLoc {
                    object: self.object,
                    offset: offset + u64::from(left) * total,
                    total_len,
                    logical_len,
                });
            }
            left -= run.slots;
            offset += u64::from(run.slots) * total;
        }
        None
    }

    /// The value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = value::begin(32 + self.runs.len() * 8);
        out.put_varint(self.object.epoch.0);
        out.put_varint(self.object.nonce.0);
        out.put_varint(self.offset);
        out.put_varint(self.runs.len() as u64);
        for run in &self.runs {
            let frame = run.frame.unwrap_or(SlotFrame { total_len: 0, logical_len: 0 });
            out.put_varint(run.slots.into());
            out.put_varint(frame.total_len.into());
            out.put_varint(frame.logical_len.into());
        }
        out
    }

    /// From the value.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(value: &[u8]) -> FormatResult<Self> {
        let mut r = value::open(LOCATION, value)?;
        let object = ObjectId { epoch: Epoch(r.varint()?), nonce: Nonce(r.varint()?) };
        let offset = r.varint()?;
        let count = r.count(3)?;
        let (mut slots, mut end) = (0u64, offset);
        let mut runs = Vec::with_capacity(count.min(CHUNK_SLOTS as usize));
        for _ in 0..count {
            let run = decode_run(&mut r)?;
            slots += u64::from(run.slots);
            end = end.saturating_add(u64::from(run.slots) * run.frame.map_or(0, |f| u64::from(f.total_len)));
            if slots > u64::from(CHUNK_SLOTS) {
                return Err(r.invalid(format!("more than {CHUNK_SLOTS} slots")));
            }
            runs.push(run);
        }
        if end > PACK_BYTES_MAX {
            return Err(r.invalid(format!("frames end at {end}, past the largest object")));
        }
        Extras::skip(&mut r)?;
        Ok(Self { object, offset, runs })
    }
}

fn decode_run(r: &mut Reader<'_>) -> FormatResult<SlotRun> {
    let slots = r.varint_u32("slots of a run")?;
    let total_len = r.varint_u32("frame length")?;
    let logical_len = r.varint_u32("logical length")?;
    let frame = (total_len > 0).then_some(SlotFrame { total_len, logical_len });
    let sound = match frame {
        None => logical_len == 0,
        Some(_) => total_len as usize >= FRAME_HEADER_LEN && logical_len as usize <= LOGICAL_BYTES_MAX,
    };
    if slots == 0 || !sound {
        return Err(r.invalid(format!("run of {slots} slots, frame length {total_len}, logical length {logical_len}")));
    }
    Ok(SlotRun { slots, frame })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OBJECT: ObjectId = ObjectId { epoch: Epoch(3), nonce: Nonce(7) };

    fn frame() -> impl Strategy<Value = Option<SlotFrame>> {
        prop_oneof![
            Just(None),
            Just(Some(SlotFrame { total_len: 1048, logical_len: 1000 })),
            (48..5000u32).prop_map(|n| Some(SlotFrame { total_len: n, logical_len: n })),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_slot_is_found_at_the_running_sum(slots in prop::collection::vec(frame(), 0..2100)) {
            let chunks = SegmentLocation::build(OBJECT, &slots);
            prop_assert_eq!(chunks.len(), slots.len().div_ceil(CHUNK_SLOTS as usize).max(1));
            let mut offset = 0;
            for (slot, frame) in (0..).zip(&slots) {
                let (start, chunk) = &chunks[(slot / CHUNK_SLOTS) as usize];
                prop_assert_eq!(*start, chunk_start(slot));
                let expected = frame.map(|f| FrameLoc {
                    object: OBJECT, offset, total_len: f.total_len, logical_len: f.logical_len,
                });
                prop_assert_eq!(chunk.find(slot), expected);
                offset += frame.map_or(0, |f| u64::from(f.total_len));
            }
            for (_, chunk) in &chunks {
                let back = SegmentLocation::decode(&chunk.encode());
                prop_assert_eq!(back.as_ref(), Ok(chunk));
            }
        }
    }

    #[test]
    fn a_slot_past_the_runs_is_not_found_and_equal_frames_make_one_run() {
        let full = Some(SlotFrame { total_len: 131_120, logical_len: 131_072 });
        let chunks = SegmentLocation::build(OBJECT, &[full; 128]);
        assert_eq!(chunks[0].1.runs, vec![SlotRun { slots: 128, frame: full }]);
        assert_eq!(chunks[0].1.find(128), None);
        assert_eq!(chunks[0].1.find(127).map(|f| f.offset), Some(127 * 131_120));
    }
}
