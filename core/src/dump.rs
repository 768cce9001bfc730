//! Dump: any stored object as JSON for a person to read.
//!
//! Owns the choice of decoder by content, and the shape of the JSON, which is for people and promises nothing to programs. Every
//! checksum is checked on the way; a part that does not decode is an `"error"` in its place, so that a damaged object can be
//! looked at. Data is described and not shown.

mod object;
mod text;
mod tree;

use bytes::Bytes;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::format::volume::VolumeMeta;
use crate::format::{FrameHeader, FrameKind, PackIndex};

pub use tree::{dump_key, dump_value};

/// Describes a stored object: `volume.json`, a head, a pack, a log batch, a local log file, or a single frame. `path_hint` is its name,
/// which only goes into the answer and the error.
///
/// # Errors
/// Corrupt or `UnknownFormat` when the object as a whole cannot be read.
pub fn dump_object(path_hint: &str, bytes: &[u8]) -> Result<Value> {
    let object = Bytes::copy_from_slice(bytes);
    let described = describe(&object).map_err(|e| e.context_prefix(path_hint))?;
    let (what, content) = described;
    Ok(serde_json::json!({ "object": path_hint, "bytes": bytes.len(), "what": what, "content": content }))
}

/// What the object is, and its content.
fn describe(object: &Bytes) -> Result<(&'static str, Value)> {
    if object.first() == Some(&b'{') {
        VolumeMeta::decode(object)?;
        let json = serde_json::from_slice(object)
            .map_err(|e| Error::with_source(ErrorKind::Corrupt, "volume.json is not JSON", e))?;
        return Ok(("volume description", json));
    }
    // A pack begins with a frame too, unless it is empty: its trailer tells it apart.
    if let Ok(index) = PackIndex::decode_object(object) {
        return Ok(("pack", object::pack(object, &index)));
    }
    let header = FrameHeader::decode(object)?;
    match header.kind {
        FrameKind::LogFile => Ok(("log file", object::log_file(object)?)),
        FrameKind::Data | FrameKind::Page | FrameKind::ObjectTable | FrameKind::Overlay
            if header.total_len() != object.len() as u64 =>
        {
            // Begins like a pack, yet is none: say why.
            PackIndex::decode_object(object)?;
            Ok(("frame", object::frame(object)?))
        }
        _ => Ok(("frame", object::frame(object)?)),
    }
}
