//! Pack: a data or meta object. Frames back to back from offset 0, one Index frame, a 40-byte trailer.
//!
//! ```text
//! trailer:  0  4 magic "PXPK"          16  4 length of the Index frame     32  4 reserved, 0
//!           4  1 version 1             20  4 reserved, 0                   36  4 CRC-32C of bytes 0..36
//!           5  3 reserved, 0           24  8 length of the whole object
//!           8  8 offset of the Index frame
//! ```
//!
//! Index payload: version 1; `u8` pack kind; varint segment epoch, segment nonce, count; for each frame varint number, `u8` kind,
//! varint total length, logical length, owner a, owner b. Offsets are the running sum of total lengths. FORMAT, section 3.

use bytes::Bytes;

use super::error::{FormatError, FormatResult};
use super::frame::{self, Codec, FRAME_HEADER_LEN, FrameHeader, FrameKind, LOGICAL_BYTES_MAX};
use super::object_kind::ObjectKind;
use super::segment::{SEGMENT_SLOTS_MAX, SlotFrame};
use super::varint::{Reader, Writer};
use crate::types::{Epoch, Nonce, SegmentId};

const INDEX: &str = "pack index";
const TRAILER: &str = "pack trailer";
const MAGIC: [u8; 4] = *b"PXPK";
const VERSION: u8 = 1;

/// Bytes of the trailer at the end of every pack.
pub const PACK_TRAILER_LEN: usize = 40;
/// Largest object that readers accept.
pub const PACK_BYTES_MAX: u64 = 1 << 30;
/// Fewest bytes of one entry of the index.
const ENTRY_BYTES_MIN: usize = 6;

/// One frame of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackEntry {
    /// Data: slot number in the segment; meta: 0.
    pub number: u32,
    /// What it holds.
    pub kind: FrameKind,
    /// Offset of its header in the object.
    pub offset: u64,
    /// Header and stored payload.
    pub total_len: u32,
    /// Payload after decompression.
    pub logical_len: u32,
    /// Owner a and b of its header.
    pub owner: (u64, u64),
}

/// Builds a pack in one buffer.
#[derive(Debug)]
pub struct PackBuilder {
    kind: ObjectKind,
    segment: SegmentId,
    buf: Vec<u8>,
    entries: Vec<PackEntry>,
}

impl PackBuilder {
    /// A builder for the object of segment `segment`; `capacity` bytes are set aside.
    #[must_use]
    pub fn data(segment: SegmentId, capacity: usize) -> Self {
        Self::data_in(segment, Vec::with_capacity(capacity))
    }

    /// A builder for the object of segment `segment` in an empty buffer.
    #[must_use]
    pub fn data_in(segment: SegmentId, buf: Vec<u8>) -> Self {
        debug_assert!(buf.is_empty(), "frames begin at offset 0");
        Self { kind: ObjectKind::Data, segment, buf, entries: Vec::new() }
    }

    /// A builder for a meta object; `capacity` bytes are set aside.
    #[must_use]
    pub fn meta(capacity: usize) -> Self {
        let segment = SegmentId::default();
        Self { kind: ObjectKind::Meta, segment, buf: Vec::with_capacity(capacity), entries: Vec::new() }
    }

    /// Bytes so far, without index and trailer: the offset of the next frame.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.buf.len() as u64
    }

    /// Whether no frame has been appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The frames so far, in offset order.
    #[must_use]
    pub fn entries(&self) -> &[PackEntry] {
        &self.entries
    }

    /// Appends a frame. `number`: see [`PackEntry::number`]; data numbers rise.
    ///
    /// # Panics
    /// When the payload is too large for a frame, or `number` or `kind` has no place in this pack.
    pub fn append(
        &mut self,
        number: u32,
        kind: FrameKind,
        owner: (u64, u64),
        codec: Codec,
        payload: &[u8],
    ) -> PackEntry {
        let start = self.buf.len();
        let header = frame::append_frame(&mut self.buf, kind, owner, codec, payload);
        self.note(number, start, &header)
    }

    /// Appends a frame whose payload `fill` appends straight to the object's buffer (and changes nothing before it). If
    /// `fill` fails the pack is as before.
    ///
    /// # Errors
    /// What `fill` returns.
    ///
    /// # Panics
    /// As [`PackBuilder::append`].
    pub fn append_with<E>(
        &mut self,
        number: u32,
        kind: FrameKind,
        owner: (u64, u64),
        codec: Codec,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<PackEntry, E> {
        let start = frame::reserve(&mut self.buf);
        if let Err(error) = fill(&mut self.buf) {
            self.buf.truncate(start);
            return Err(error);
        }
        let header = frame::seal_in_place(&mut self.buf, start, kind, owner, codec);
        Ok(self.note(number, start, &header))
    }

    fn note(&mut self, number: u32, start: usize, header: &FrameHeader) -> PackEntry {
        let last = self.entries.last().map(|e| e.number);
        assert!(number_belongs(self.kind, last, number), "frame {number} after {last:?}");
        assert!(kind_belongs(self.kind, header.kind), "{:?} frame in a {:?} pack", header.kind, self.kind);
        let entry = PackEntry {
            number,
            kind: header.kind,
            offset: start as u64,
            total_len: FRAME_HEADER_LEN as u32 + header.stored_len,
            logical_len: header.logical_len,
            owner: header.owner,
        };
        self.entries.push(entry);
        entry
    }

    /// The object and the index that it ends with, which is compressed with `index_codec`.
    #[must_use]
    pub fn finish(mut self, index_codec: Codec) -> (Vec<u8>, PackIndex) {
        let index = PackIndex { kind: self.kind, segment: self.segment, entries: self.entries };
        let index_offset = self.buf.len() as u64;
        let header = frame::append_frame(&mut self.buf, FrameKind::Index, (0, 0), index_codec, &index.encode());
        let object_len = self.buf.len() as u64 + PACK_TRAILER_LEN as u64;
        let trailer = PackTrailer { index_offset, index_len: header.total_len() as u32, object_len };
        self.buf.extend_from_slice(&trailer.encode());
        (self.buf, index)
    }
}

/// The end of a pack: where its index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackTrailer {
    /// Offset of the Index frame.
    pub index_offset: u64,
    /// Length of the Index frame with its header.
    pub index_len: u32,
    /// Length of the whole object.
    pub object_len: u64,
}

impl PackTrailer {
    /// The trailer's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; PACK_TRAILER_LEN] {
        let mut out = Vec::with_capacity(PACK_TRAILER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.put_u64(self.index_offset);
        out.put_u32(self.index_len);
        out.put_u32(0);
        out.put_u64(self.object_len);
        out.put_u32(0);
        out.put_u32(crc32c::crc32c(&out));
        let mut trailer = [0; PACK_TRAILER_LEN];
        trailer.copy_from_slice(&out);
        trailer
    }

    /// From the last 40 bytes of an object.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        let mut r = Reader::new(TRAILER, bytes);
        let magic = r.array::<4>()?;
        if magic != MAGIC {
            return Err(FormatError::BadMagic { what: TRAILER, found: magic });
        }
        let [version, reserved @ ..] = r.array::<4>()?;
        if version != VERSION {
            return Err(FormatError::UnknownVersion { what: TRAILER, found: version.into() });
        }
        frame::check_crc(TRAILER, bytes, PACK_TRAILER_LEN)?;
        let index_offset = r.u64()?;
        let index_len = r.u32()?;
        let reserved_20 = r.u32()?;
        let object_len = r.u64()?;
        let reserved_32 = r.u32()?;
        let _crc = r.u32()?;
        r.finish()?;
        if reserved != [0; 3] || reserved_20 != 0 || reserved_32 != 0 {
            return Err(FormatError::unknown(TRAILER, "a reserved field that is set"));
        }
        let trailer = Self { index_offset, index_len, object_len };
        trailer.check()?;
        Ok(trailer)
    }

    fn check(&self) -> FormatResult<()> {
        let end = u64::from(self.index_len) + PACK_TRAILER_LEN as u64;
        let fits = self.object_len <= PACK_BYTES_MAX && self.object_len.checked_sub(end) == Some(self.index_offset);
        if !fits || (self.index_len as usize) < FRAME_HEADER_LEN {
            let Self { index_offset, index_len, object_len } = self;
            let why = format!("index of {index_len} bytes at {index_offset} in an object of {object_len}");
            return Err(FormatError::invalid(TRAILER, why));
        }
        Ok(())
    }
}

/// The frames of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackIndex {
    /// Data or meta.
    pub kind: ObjectKind,
    /// Data: the segment id that extents use; meta: zeros.
    pub segment: SegmentId,
    /// In offset order, without gaps from 0.
    pub entries: Vec<PackEntry>,
}

impl PackIndex {
    /// Bytes of all frames before the Index frame.
    #[must_use]
    pub fn frames_len(&self) -> u64 {
        self.entries.last().map_or(0, |e| e.offset + u64::from(e.total_len))
    }

    /// The entry of a data pack's frame by its number.
    #[must_use]
    pub fn find(&self, number: u32) -> Option<&PackEntry> {
        self.entries.binary_search_by_key(&number, |e| e.number).ok().and_then(|i| self.entries.get(i))
    }

    /// A data pack's frames by slot, for [`super::SegmentLocation::build`]; `None` for dropped slots.
    #[must_use]
    pub fn slots(&self) -> Vec<Option<SlotFrame>> {
        let mut slots = Vec::new();
        for entry in &self.entries {
            slots.resize(entry.number as usize, None);
            slots.push(Some(SlotFrame { total_len: entry.total_len, logical_len: entry.logical_len }));
        }
        slots
    }

    /// The payload of the Index frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.entries.len() * 16);
        out.put_u8(VERSION);
        out.put_u8(self.kind.to_byte());
        out.put_varint(self.segment.epoch.0);
        out.put_varint(self.segment.nonce.0);
        out.put_varint(self.entries.len() as u64);
        for entry in &self.entries {
            out.put_varint(entry.number.into());
            out.put_u8(entry.kind.to_byte());
            out.put_varint(entry.total_len.into());
            out.put_varint(entry.logical_len.into());
            out.put_varint(entry.owner.0);
            out.put_varint(entry.owner.1);
        }
        out
    }

    /// From the payload of an Index frame.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(payload: &[u8]) -> FormatResult<Self> {
        let mut r = Reader::new(INDEX, payload);
        r.version_1()?;
        let kind = ObjectKind::from_byte(INDEX, r.u8()?)?;
        let segment = SegmentId { epoch: Epoch(r.varint()?), nonce: Nonce(r.varint()?) };
        if kind == ObjectKind::Meta && segment != SegmentId::default() {
            return Err(r.invalid(format!("a meta pack of segment {segment}")));
        }
        let count = r.count(ENTRY_BYTES_MIN)?;
        let mut entries: Vec<PackEntry> = Vec::with_capacity(count);
        let mut offset = 0;
        for _ in 0..count {
            let entry = decode_entry(&mut r, kind, entries.last().map(|e| e.number), offset)?;
            offset += u64::from(entry.total_len);
            if offset > PACK_BYTES_MAX {
                return Err(r.invalid(format!("frames pass {PACK_BYTES_MAX} bytes")));
            }
            entries.push(entry);
        }
        r.finish()?;
        Ok(Self { kind, segment, entries })
    }

    /// From the Index frame (with its header) that `trailer` points to.
    ///
    /// # Errors
    /// The bytes are damaged, contradict the trailer, or are newer than this program.
    pub fn decode_frame(trailer: &PackTrailer, index_frame: &Bytes) -> FormatResult<Self> {
        let (_, payload) = frame::decode_frame_of(FrameKind::Index, index_frame)?;
        let index = Self::decode(&payload)?;
        if index.frames_len() != trailer.index_offset {
            let why = format!("frames end at {}, the index is at {}", index.frames_len(), trailer.index_offset);
            return Err(FormatError::invalid(INDEX, why));
        }
        Ok(index)
    }

    /// From a whole object. The frames themselves are not checked.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode_object(object: &Bytes) -> FormatResult<Self> {
        let start = object.len().checked_sub(PACK_TRAILER_LEN).ok_or(FormatError::Truncated { what: TRAILER })?;
        let trailer = PackTrailer::decode(&object[start..])?;
        if trailer.object_len != object.len() as u64 {
            let why = format!("object of {} bytes where the trailer says {}", object.len(), trailer.object_len);
            return Err(FormatError::invalid(TRAILER, why));
        }
        // The trailer's ranges add up to the object's length, so that this one lies inside it.
        Self::decode_frame(&trailer, &object.slice(start - trailer.index_len as usize..start))
    }
}

fn decode_entry(r: &mut Reader<'_>, pack: ObjectKind, last: Option<u32>, offset: u64) -> FormatResult<PackEntry> {
    let entry = PackEntry {
        number: r.varint_u32("frame number")?,
        kind: FrameKind::from_byte(INDEX, r.u8()?)?,
        offset,
        total_len: r.varint_u32("frame length")?,
        logical_len: r.varint_u32("logical length")?,
        owner: (r.varint()?, r.varint()?),
    };
    if !number_belongs(pack, last, entry.number) {
        return Err(r.invalid(format!("frame {} after {last:?}", entry.number)));
    }
    if !kind_belongs(pack, entry.kind) {
        return Err(r.invalid(format!("a {:?} frame in a {pack:?} pack", entry.kind)));
    }
    if (entry.total_len as usize) < FRAME_HEADER_LEN || entry.logical_len as usize > LOGICAL_BYTES_MAX {
        return Err(r.invalid(format!("frame length {}, logical length {}", entry.total_len, entry.logical_len)));
    }
    Ok(entry)
}

/// Whether a frame may have this number after one with number `last`.
fn number_belongs(pack: ObjectKind, last: Option<u32>, number: u32) -> bool {
    match pack {
        ObjectKind::Data => number < SEGMENT_SLOTS_MAX && last.is_none_or(|last| last < number),
        ObjectKind::Meta => number == 0,
    }
}

fn kind_belongs(pack: ObjectKind, frame: FrameKind) -> bool {
    match frame {
        FrameKind::Data => pack == ObjectKind::Data,
        FrameKind::Page | FrameKind::ObjectTable | FrameKind::Overlay => pack == ObjectKind::Meta,
        FrameKind::Index | FrameKind::Head | FrameKind::LogBatch | FrameKind::LogFile => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentId = SegmentId { epoch: Epoch(2), nonce: Nonce(9) };

    #[test]
    fn frames_are_found_by_number_and_hold_their_payload() {
        let mut pack = PackBuilder::data(SEGMENT, 0);
        pack.append(3, FrameKind::Data, (7, 0), Codec::Lz4, &[1; 5000]);
        let failed = pack.append_with(4, FrameKind::Data, (7, 1), Codec::None, |buf| {
            buf.push(0);
            Err("disk")
        });
        assert_eq!(failed, Err("disk"));
        let filled = pack.append_with(9, FrameKind::Data, (8, 4096), Codec::None, |buf| {
            buf.extend_from_slice(b"tail");
            Ok::<(), ()>(())
        });
        let (object, index) = pack.finish(Codec::Lz4);
        let object = Bytes::from(object);
        assert_eq!(PackIndex::decode_object(&object).as_ref(), Ok(&index));
        assert_eq!(index.segment, SEGMENT);
        assert_eq!(index.find(4), None);
        let slots = index.slots();
        assert_eq!(slots.iter().map(Option::is_some).filter(|&there| there).count(), 2);
        assert_eq!(slots[9].map(|s| s.total_len), index.find(9).map(|e| e.total_len));
        assert_eq!(index.find(9).copied(), filled.ok());
        for (number, payload) in [(3, &[1; 5000][..]), (9, b"tail")] {
            let entry = index.find(number).expect("appended");
            let end = entry.offset as usize + entry.total_len as usize;
            let (header, back) = frame::decode_frame(&object.slice(entry.offset as usize..end)).expect("own frame");
            assert_eq!((header.owner, back.as_ref()), (entry.owner, payload));
        }
    }

    #[test]
    fn an_object_that_was_cut_or_grew_is_refused() {
        let (object, _) = PackBuilder::meta(0).finish(Codec::None);
        assert!(PackIndex::decode_object(&object.clone().into()).is_ok());
        assert!(PackIndex::decode_object(&object[1..].to_vec().into()).is_err());
        assert!(PackIndex::decode_object(&[&[0][..], &object].concat().into()).is_err());
        assert!(PackIndex::decode_object(&Bytes::new()).is_err());
    }
}
