//! Extended attribute: the value of `01 ino 10 name`.
//!
//! Layout: version 1; `bytes` value; extras, which are not kept when the attribute is set anew. FORMAT, section 5.

use super::error::FormatResult;
use super::extras::Extras;
use super::value;
use super::varint::Writer;

/// The stored value of an attribute's content.
#[must_use]
pub fn encode(content: &[u8]) -> Vec<u8> {
    let mut out = value::begin(content.len() + 8);
    out.put_bytes(content);
    out
}

/// An attribute's content, borrowed from its stored value.
///
/// # Errors
/// The bytes are damaged or newer than this program.
pub fn decode(value: &[u8]) -> FormatResult<&[u8]> {
    let mut r = value::open("xattr", value)?;
    let content = r.bytes()?;
    Extras::skip(&mut r)?;
    Ok(content)
}
