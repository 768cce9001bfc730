//! Pending delete: the value of `04 kind epoch nonce`.
//!
//! Layout: version 1; varint LSN at which the object died; zigzag second at which it died; varint stored length; extras, which are
//! not kept. FORMAT, section 5.

use super::error::FormatResult;
use super::extras::Extras;
use super::value;
use super::varint::Writer;
use crate::types::Lsn;

/// An object that waits for its deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingDelete {
    /// The transaction that took its last reference.
    pub died_lsn: Lsn,
    /// Wall-clock second of that, since 1970.
    pub died_secs: i64,
    /// Stored length in bytes.
    pub stored_len: u64,
}

impl PendingDelete {
    /// The value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = value::begin(24);
        out.put_varint(self.died_lsn.0);
        out.put_zigzag(self.died_secs);
        out.put_varint(self.stored_len);
        out
    }

    /// From the value.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(value: &[u8]) -> FormatResult<Self> {
        let mut r = value::open("pending delete", value)?;
        let pending = Self { died_lsn: Lsn(r.varint()?), died_secs: r.zigzag()?, stored_len: r.varint()? };
        Extras::skip(&mut r)?;
        Ok(pending)
    }
}
