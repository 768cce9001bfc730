//! Reparse buffers: REPARSE_DATA_BUFFER ([MS-FSCC] 2.1.2), of which symlinks are understood and all others kept as they are.
//!
//! A buffer: `u32` tag, `u16` length of what follows the header, `u16` 0, then the data. Of a symlink: `u16` offset and length of
//! the substitute name and of the print name, `u32` flags (1: relative), then the names in UTF-16.

use crate::name;
use crate::status::Status;

/// A symlink.
pub const TAG_SYMLINK: u32 = 0xa000_000c;
/// A fifo, socket or device, as Microsoft's NFS server shows them.
pub const TAG_NFS: u32 = 0x8000_0014;
const FLAG_RELATIVE: u32 = 1;
const HEADER: usize = 8;
const SYMLINK_HEADER: usize = 12;
const BACKSLASH: u16 = b'\\' as u16;
/// Largest buffer that there may be.
pub const BYTES_MAX: usize = 16 << 10;

/// The tag and data of a buffer.
///
/// # Errors
/// `IO_REPARSE_DATA_INVALID` when its lengths contradict each other, `IO_REPARSE_TAG_INVALID` for the reserved tags.
pub fn parse(buffer: &[u8]) -> Result<(u32, &[u8]), Status> {
    let [t0, t1, t2, t3, l0, l1, _, _] = *buffer.first_chunk::<HEADER>().ok_or(Status::IO_REPARSE_DATA_INVALID)?;
    let (tag, len) = (u32::from_le_bytes([t0, t1, t2, t3]), usize::from(u16::from_le_bytes([l0, l1])));
    if tag <= 1 {
        return Err(Status::IO_REPARSE_TAG_INVALID);
    }
    let data = &buffer[HEADER..];
    if data.len() != len || buffer.len() > BYTES_MAX {
        return Err(Status::IO_REPARSE_DATA_INVALID);
    }
    Ok((tag, data))
}

/// The target that a symlink's data name, as the volume keeps it: with slashes; absolute targets are those from the volume's root.
///
/// # Errors
/// `IO_REPARSE_DATA_INVALID` when the data are damaged; `NOT_SAME_DEVICE` for a target with a drive or server, which means nothing
/// elsewhere: such a link is kept as any other reparse point.
pub fn symlink_target(data: &[u8]) -> Result<Vec<u8>, Status> {
    let header: &[u8; SYMLINK_HEADER] = data.first_chunk().ok_or(Status::IO_REPARSE_DATA_INVALID)?;
    let number = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let (offset, len) = (number(0), number(2));
    let flags = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    let bytes = data[SYMLINK_HEADER..].get(offset..offset + len).ok_or(Status::IO_REPARSE_DATA_INVALID)?;
    if !len.is_multiple_of(2) || len == 0 {
        return Err(Status::IO_REPARSE_DATA_INVALID);
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    if flags & FLAG_RELATIVE == 0 || units.starts_with(&[BACKSLASH; 2]) {
        return Err(Status::NOT_SAME_DEVICE);
    }
    let parts: Vec<Vec<u8>> = units.split(|u| *u == BACKSLASH).map(name::from_windows).collect();
    Ok(parts.join(&b'/'))
}

/// The buffer that shows a symlink.
#[must_use]
pub fn of_symlink(target: &[u8]) -> Vec<u8> {
    let shown = |part: &[u8]| match part {
        b"." | b".." => part.iter().map(|b| u16::from(*b)).collect(),
        _ => name::to_windows(part),
    };
    let parts: Vec<Vec<u16>> = target.split(|b| *b == b'/').map(shown).collect();
    let units = parts.join(&BACKSLASH);
    let path: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
    let len = u16::try_from(path.len()).unwrap_or(u16::MAX - 1);
    let path = &path[..usize::from(len)];
    let mut data = Vec::with_capacity(SYMLINK_HEADER + path.len());
    for number in [0, len, 0, len] {
        data.extend_from_slice(&number.to_le_bytes());
    }
    data.extend_from_slice(&FLAG_RELATIVE.to_le_bytes());
    data.extend_from_slice(path);
    build(TAG_SYMLINK, &data)
}

/// The buffer that shows a special file ([MS-FSCC] 2.1.2.6): its kind, and a device's numbers.
#[must_use]
pub fn of_special(kind: &[u8; 8], device: Option<(u32, u32)>) -> Vec<u8> {
    let mut data = kind.to_vec();
    if let Some((major, minor)) = device {
        data.extend_from_slice(&major.to_le_bytes());
        data.extend_from_slice(&minor.to_le_bytes());
    }
    build(TAG_NFS, &data)
}

fn build(tag: u32, data: &[u8]) -> Vec<u8> {
    let mut out = tag.to_le_bytes().to_vec();
    out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(data);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(target: &[u8]) -> Vec<u8> {
        let buffer = of_symlink(target);
        let (tag, data) = parse(&buffer).unwrap();
        assert_eq!(tag, TAG_SYMLINK);
        symlink_target(data).unwrap()
    }

    #[test]
    fn targets_come_back() {
        for target in ["a", "a/b", "../up", "/from/root", "./x", "with:colon/con", "dir/"] {
            assert_eq!(back(target.as_bytes()), target.as_bytes(), "{target}");
        }
    }

    #[test]
    fn a_symlink_has_the_documented_bytes() {
        let buffer = of_symlink(b"a/b");
        let path = b"a\0\\\0b\0";
        assert_eq!(buffer, [&[0x0c, 0, 0, 0xa0, 18, 0, 0, 0, 0, 0, 6, 0, 0, 0, 6, 0, 1, 0, 0, 0][..], path].concat());
        assert_eq!(of_special(b"LNK\0\0\0\0\0", None)[..8], [0x14, 0, 0, 0x80, 8, 0, 0, 0]);
    }

    #[test]
    fn damaged_and_foreign_buffers_are_told_apart() {
        assert_eq!(parse(&[0; 4]), Err(Status::IO_REPARSE_DATA_INVALID));
        assert_eq!(parse(&[1, 0, 0, 0, 0, 0, 0, 0]), Err(Status::IO_REPARSE_TAG_INVALID));
        assert_eq!(parse(&[3, 0, 0, 0xa0, 5, 0, 0, 0]), Err(Status::IO_REPARSE_DATA_INVALID));
        let mut absolute = of_symlink(b"x")[HEADER..].to_vec();
        absolute[8] = 0;
        assert_eq!(symlink_target(&absolute), Err(Status::NOT_SAME_DEVICE));
        let mut short = of_symlink(b"x")[HEADER..].to_vec();
        short[2] = 40;
        assert_eq!(symlink_target(&short), Err(Status::IO_REPARSE_DATA_INVALID));
    }
}
