//! An upload intent: the value of `06 kind epoch nonce`, an object name that may exist in the store and is not referenced yet.
//!
//! Layout: version 1; extras, which are not kept. FORMAT, section 5.

use super::error::FormatResult;
use super::extras::Extras;
use super::value;

/// The value.
#[must_use]
pub fn encode() -> Vec<u8> {
    value::begin(1)
}

/// Checks the value.
///
/// # Errors
/// The bytes are damaged or newer than this program.
pub fn decode(value: &[u8]) -> FormatResult<()> {
    Extras::skip(&mut value::open("upload intent", value)?)
}
