//! Bytes, ids and times as text.

use serde_json::{Value, json};

use crate::kv::PageAddr;
use crate::types::Timestamp;

/// Longest byte string that is shown whole.
const SHOWN_BYTES_MAX: usize = 4096;

/// A string if the bytes are UTF-8 without control characters, else `{"hex": ...}`; long ones are cut and their length told.
pub(super) fn bytes(bytes: &[u8]) -> Value {
    if bytes.len() > SHOWN_BYTES_MAX {
        let shown = hex(&bytes[..SHOWN_BYTES_MAX]);
        return json!({ "hex": shown, "bytes": bytes.len() });
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => json!(text),
        _ => json!({ "hex": hex(bytes) }),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('?');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// Seconds and nine digits.
pub(super) fn time(time: Timestamp) -> Value {
    json!(format!("{}.{:09}", time.secs, time.nanos))
}

/// `<object>@<offset>+<length>`.
pub(super) fn addr(addr: &PageAddr) -> Value {
    json!(format!("{}@{}+{}", addr.object, addr.offset, addr.len))
}
