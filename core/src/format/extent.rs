//! Extent: the value of `01 ino 30 offset`.
//!
//! Layout: version 1; varint length; varint segment epoch; varint segment nonce; varint logical position; extras, which are not kept
//! when an extent is cut or moved. FORMAT, section 5.

use super::error::FormatResult;
use super::extras::Extras;
use super::value;
use super::varint::Writer;
use crate::types::{Epoch, Nonce, SegmentId};

const WHAT: &str = "extent";

/// A range of a file and where its bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes; not 0.
    pub len: u64,
    /// The segment that holds them.
    pub segment: SegmentId,
    /// Logical position of the first byte in the segment.
    pub position: u64,
}

impl Extent {
    /// The value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = value::begin(32);
        out.put_varint(self.len);
        out.put_varint(self.segment.epoch.0);
        out.put_varint(self.segment.nonce.0);
        out.put_varint(self.position);
        out
    }

    /// From the value.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(value: &[u8]) -> FormatResult<Self> {
        let mut r = value::open(WHAT, value)?;
        let extent = Self {
            len: r.varint()?,
            segment: SegmentId { epoch: Epoch(r.varint()?), nonce: Nonce(r.varint()?) },
            position: r.varint()?,
        };
        if extent.len == 0 {
            return Err(r.invalid("length is 0"));
        }
        if extent.position.checked_add(extent.len).is_none() {
            return Err(r.invalid("position and length pass 64 bits"));
        }
        Extras::skip(&mut r)?;
        Ok(extent)
    }
}
