//! What every value of the B+Tree has in common: the version byte in front.

use super::error::FormatResult;
use super::varint::{Reader, Writer};

/// Version of every value, its first byte.
pub const VALUE_VERSION: u8 = 1;

/// An empty value that begins with the version.
pub(crate) fn begin(capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    out.put_u8(VALUE_VERSION);
    out
}

/// A reader past the version of the value `what`.
pub(crate) fn open<'a>(what: &'static str, value: &'a [u8]) -> FormatResult<Reader<'a>> {
    let mut reader = Reader::new(what, value);
    reader.version_1()?;
    Ok(reader)
}
