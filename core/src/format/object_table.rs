//! Object table: the payload of an `ObjectTable` frame. Every meta object that a kept head can reach, and those that wait for deletion.
//!
//! Layout: version 1; varint count; entries ascending by id: varint epoch, nonce, live bytes, stored length, seq of the first head in
//! which it was dead (0 = alive), zigzag second of its death. FORMAT, section 6.

use bytes::Bytes;

use super::error::FormatResult;
use super::frame::{self, Codec, FrameKind};
use super::varint::{Reader, Writer};
use crate::types::{Epoch, Nonce, ObjectId};

const WHAT: &str = "object table";
/// Fewest bytes of an entry.
const ENTRY_BYTES_MIN: usize = 6;

/// One meta object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectEntry {
    /// Its id.
    pub object: ObjectId,
    /// Bytes of its pages that the newest tree uses.
    pub live_bytes: u64,
    /// Stored length.
    pub stored_len: u64,
    /// Seq of the first head in which it was dead; 0 while alive.
    pub dead_seq: u64,
    /// Wall-clock second of its death, since 1970; 0 while alive.
    pub dead_secs: i64,
}

/// The meta objects of a head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectTable {
    /// Strictly ascending by id.
    pub entries: Vec<ObjectEntry>,
}

impl ObjectTable {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.entries.len() * 16);
        out.put_u8(1);
        out.put_varint(self.entries.len() as u64);
        for entry in &self.entries {
            out.put_varint(entry.object.epoch.0);
            out.put_varint(entry.object.nonce.0);
            out.put_varint(entry.live_bytes);
            out.put_varint(entry.stored_len);
            out.put_varint(entry.dead_seq);
            out.put_zigzag(entry.dead_secs);
        }
        out
    }

    /// The table in a frame of its own.
    #[must_use]
    pub fn encode_frame(&self) -> Vec<u8> {
        frame::encode_frame(FrameKind::ObjectTable, (0, 0), Codec::None, &self.encode())
    }

    /// From a frame of its own.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode_frame(bytes: &Bytes) -> FormatResult<Self> {
        let (_, payload) = frame::decode_frame_of(FrameKind::ObjectTable, bytes)?;
        Self::decode(&payload)
    }

    /// From the payload.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(payload: &[u8]) -> FormatResult<Self> {
        let mut r = Reader::new(WHAT, payload);
        r.version_1()?;
        let count = r.count(ENTRY_BYTES_MIN)?;
        let mut entries: Vec<ObjectEntry> = Vec::with_capacity(count);
        for _ in 0..count {
            let entry = ObjectEntry {
                object: ObjectId { epoch: Epoch(r.varint()?), nonce: Nonce(r.varint()?) },
                live_bytes: r.varint()?,
                stored_len: r.varint()?,
                dead_seq: r.varint()?,
                dead_secs: r.zigzag()?,
            };
            if entries.last().is_some_and(|last| last.object >= entry.object) {
                return Err(r.invalid(format!("{} is out of order", entry.object)));
            }
            entries.push(entry);
        }
        r.finish()?;
        Ok(Self { entries })
    }
}
