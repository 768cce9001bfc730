//! Overlay: the payload of an Overlay frame. Records to apply to the tree after loading the root; idempotent.
//!
//! Layout: version 1; varint count; that many record bodies. FORMAT, section 6.

use super::error::FormatResult;
use super::record::{BODY_BYTES_MIN, RecordBody};
use super::varint::{Reader, Writer};

/// Records that were made between the freeze of a root and its publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// In the order in which they apply.
    pub records: Vec<RecordBody>,
}

impl Overlay {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(1);
        out.put_varint(self.records.len() as u64);
        for record in &self.records {
            record.encode_into(&mut out);
        }
        out
    }

    /// From the payload.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(payload: &[u8]) -> FormatResult<Self> {
        let mut r = Reader::new("overlay", payload);
        r.version_1()?;
        let count = r.count(BODY_BYTES_MIN)?;
        let records = (0..count).map(|_| RecordBody::decode_from(&mut r)).collect::<FormatResult<_>>()?;
        r.finish()?;
        Ok(Self { records })
    }
}
