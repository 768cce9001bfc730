//! Page address: how a branch entry and a head name a frame inside a meta object.
//!
//! Layout: varint object epoch, object nonce, offset, length of the frame with its header. FORMAT, sections 4 and 6.

use super::error::FormatResult;
use super::frame::FRAME_HEADER_LEN;
use super::varint::{Reader, Writer};
use crate::kv::PageAddr;
use crate::types::{Epoch, Nonce, ObjectId};

/// Appends an address.
pub fn encode_into(addr: &PageAddr, out: &mut Vec<u8>) {
    out.put_varint(addr.object.epoch.0);
    out.put_varint(addr.object.nonce.0);
    out.put_varint(addr.offset.into());
    out.put_varint(addr.len.into());
}

/// Takes an address.
///
/// # Errors
/// Truncated or Invalid.
pub fn decode(r: &mut Reader<'_>) -> FormatResult<PageAddr> {
    let addr = PageAddr {
        object: ObjectId { epoch: Epoch(r.varint()?), nonce: Nonce(r.varint()?) },
        offset: r.varint_u32("offset of a frame")?,
        len: r.varint_u32("length of a frame")?,
    };
    if (addr.len as usize) < FRAME_HEADER_LEN {
        return Err(r.invalid(format!("a frame of {} bytes", addr.len)));
    }
    Ok(addr)
}

/// Appends `u8` present and, if so, the address.
pub fn encode_option_into(addr: Option<&PageAddr>, out: &mut Vec<u8>) {
    out.put_u8(addr.is_some().into());
    if let Some(addr) = addr {
        encode_into(addr, out);
    }
}

/// Takes `u8` present and, if so, the address.
///
/// # Errors
/// Truncated or Invalid.
pub fn decode_option(r: &mut Reader<'_>) -> FormatResult<Option<PageAddr>> {
    match r.u8()? {
        0 => Ok(None),
        1 => decode(r).map(Some),
        n => Err(r.invalid(format!("presence byte is {n}"))),
    }
}
