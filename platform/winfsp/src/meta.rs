//! What Windows keeps of a file beyond what POSIX does, as extended attributes: file attributes, security descriptor, reparse data,
//! named streams, Windows' own extended attributes.
//!
//! | attribute of the volume | what | value |
//! |---|---|---|
//! | `trusted.win.attributes` | file attributes that were set | `0x` and hexadecimal digits |
//! | `trusted.win.security` | security descriptor | version 1, perm `u16`, uid `u32`, gid `u32`, all little-endian, then the self-relative descriptor |
//! | `trusted.win.reparse` | a reparse point that is no symlink | the reparse buffer, with its header |
//! | `trusted.win.label` | on the root: the volume's label | UTF-8 |
//! | `user.DosStream.NAME:$DATA` | a named stream | its bytes and one NUL, as Samba's `streams_xattr` stores it |
//! | `user.NAME` | one of Windows' extended attributes | its bytes |
//!
//! `trusted.` keeps the first four out of reach of those who are not root on Linux, as they decide about rights.

use proxyfs_core::fs::{Attr, FileKind, XATTR_VALUE_BYTES_MAX};

/// File attributes ([MS-FSCC] 2.6).
pub mod file_attribute {
    /// May not be changed or removed.
    pub const READONLY: u32 = 0x1;
    /// Not shown in ordinary listings.
    pub const HIDDEN: u32 = 0x2;
    /// Part of the operating system.
    pub const SYSTEM: u32 = 0x4;
    /// A directory.
    pub const DIRECTORY: u32 = 0x10;
    /// Changed since the last backup.
    pub const ARCHIVE: u32 = 0x20;
    /// Nothing of the others.
    pub const NORMAL: u32 = 0x80;
    /// Will be removed soon.
    pub const TEMPORARY: u32 = 0x100;
    /// A reparse point.
    pub const REPARSE_POINT: u32 = 0x400;
    /// Left out by the indexer.
    pub const NOT_CONTENT_INDEXED: u32 = 0x2000;
    /// What "leave them as they are" looks like.
    pub const INVALID: u32 = u32::MAX;
    /// Those that are stored as they are set.
    pub const STORED: u32 = READONLY | HIDDEN | SYSTEM | ARCHIVE | TEMPORARY | NOT_CONTENT_INDEXED;
}

use file_attribute as fa;

/// Where file attributes are kept.
pub const ATTRIBUTES: &[u8] = b"trusted.win.attributes";
/// Where a security descriptor is kept.
pub const SECURITY: &[u8] = b"trusted.win.security";
/// Where reparse data are kept.
pub const REPARSE: &[u8] = b"trusted.win.reparse";
/// Where the label is kept, on the root.
pub const LABEL: &[u8] = b"trusted.win.label";
const STREAM_PREFIX: &[u8] = b"user.DosStream.";
const STREAM_SUFFIX: &[u8] = b":$DATA";
const EA_PREFIX: &[u8] = b"user.";

/// Longest content of a named stream in bytes.
pub const STREAM_BYTES_MAX: usize = XATTR_VALUE_BYTES_MAX - 1;

/// The file attributes of an inode for which none are kept: files count as changed since the last backup, one that nobody may write
/// is read-only, and a name with a full stop at its start is hidden if `hidden_dot` says so.
#[must_use]
pub fn default_attributes(attr: &Attr, hidden_dot: bool) -> u32 {
    let mut shown = if hidden_dot { fa::HIDDEN } else { 0 };
    if attr.kind == FileKind::File {
        shown |= fa::ARCHIVE;
        if attr.perm & 0o222 == 0 {
            shown |= fa::READONLY;
        }
    }
    shown
}

/// The file attributes to show for an inode.
///
/// `chosen`: those that are kept, or the default. `to_dir`: for a symlink, whether it leads to a directory. `reparse`: whether
/// reparse data are kept.
#[must_use]
pub fn shown_attributes(attr: &Attr, chosen: u32, to_dir: bool, reparse: bool) -> u32 {
    let mut shown = chosen & fa::STORED;
    match attr.kind {
        FileKind::Dir => shown |= fa::DIRECTORY,
        FileKind::Symlink if to_dir => shown |= fa::DIRECTORY | fa::REPARSE_POINT,
        FileKind::Symlink => shown |= fa::REPARSE_POINT,
        FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {
            shown |= fa::REPARSE_POINT | fa::SYSTEM;
        }
        FileKind::File => {}
    }
    if reparse {
        shown |= fa::REPARSE_POINT;
    }
    if shown == 0 { fa::NORMAL } else { shown }
}

/// The value that keeps file attributes. "Directory" is kept for symlinks, which may lead to one that is not there yet.
#[must_use]
pub fn encode_attributes(attributes: u32) -> Vec<u8> {
    format!("{:#x}", attributes & (fa::STORED | fa::DIRECTORY)).into_bytes()
}

/// The file attributes of a value; `None` for one that is not understood.
#[must_use]
pub fn decode_attributes(value: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(value).ok()?.strip_prefix("0x")?;
    u32::from_str_radix(digits, 16).ok()
}

/// A security descriptor, and the permissions and owners that it was set with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecurity {
    /// Permission bits at that time.
    pub perm: u16,
    /// Owner at that time.
    pub uid: u32,
    /// Group at that time.
    pub gid: u32,
    /// The self-relative descriptor.
    pub descriptor: Vec<u8>,
}

impl StoredSecurity {
    const VERSION: u8 = 1;
    const HEADER: usize = 11;

    /// The value that keeps it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::VERSION];
        out.extend_from_slice(&self.perm.to_le_bytes());
        out.extend_from_slice(&self.uid.to_le_bytes());
        out.extend_from_slice(&self.gid.to_le_bytes());
        out.extend_from_slice(&self.descriptor);
        out
    }

    /// The descriptor of a value, unless it is not understood.
    #[must_use]
    pub fn decode(value: &[u8]) -> Option<Self> {
        let header: &[u8; Self::HEADER] = value.first_chunk()?;
        let [Self::VERSION, p0, p1, u0, u1, u2, u3, g0, g1, g2, g3] = *header else { return None };
        Some(Self {
            perm: u16::from_le_bytes([p0, p1]),
            uid: u32::from_le_bytes([u0, u1, u2, u3]),
            gid: u32::from_le_bytes([g0, g1, g2, g3]),
            descriptor: value[Self::HEADER..].to_vec(),
        })
    }

    /// Whether nobody has changed permissions or owners in another way since.
    #[must_use]
    pub fn holds_for(&self, attr: &Attr) -> bool {
        (self.perm, self.uid, self.gid) == (attr.perm, attr.uid, attr.gid)
    }
}

/// The attribute that keeps a stream.
#[must_use]
pub fn stream_attribute(stream: &[u8]) -> Vec<u8> {
    [STREAM_PREFIX, stream, STREAM_SUFFIX].concat()
}

/// The stream that an attribute keeps.
#[must_use]
pub fn stream_of(attribute: &[u8]) -> Option<&[u8]> {
    attribute.strip_prefix(STREAM_PREFIX)?.strip_suffix(STREAM_SUFFIX)
}

/// The attribute that keeps one of Windows' extended attributes.
#[must_use]
pub fn ea_attribute(name: &[u8]) -> Vec<u8> {
    [EA_PREFIX, name].concat()
}

/// The extended attribute of Windows that an attribute keeps: any of `user.` that is no stream, with a name that Windows allows.
#[must_use]
pub fn ea_of(attribute: &[u8]) -> Option<&[u8]> {
    let name = attribute.strip_prefix(EA_PREFIX)?;
    (stream_of(attribute).is_none() && crate::ea::is_name(name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use proxyfs_core::types::{Ino, Timestamp};

    use super::*;

    fn attr(kind: FileKind, perm: u16) -> Attr {
        let time = Timestamp::default();
        Attr {
            ino: Ino(7),
            kind,
            perm,
            nlink: 1,
            uid: 1000,
            gid: 1000,
            rdev: 0,
            size: 0,
            allocated_bytes: 0,
            atime: time,
            mtime: time,
            ctime: time,
            btime: time,
        }
    }

    #[test]
    fn attributes_come_from_what_was_set_else_from_kind_permissions_and_name() {
        let file = attr(FileKind::File, 0o644);
        for (attr, stored, dot, to_dir, reparse, expected) in [
            (file, None, false, false, false, fa::ARCHIVE),
            (file, None, true, false, false, fa::ARCHIVE | fa::HIDDEN),
            (file, Some(0), true, false, false, fa::NORMAL),
            (file, Some(fa::SYSTEM | fa::DIRECTORY), false, false, false, fa::SYSTEM),
            (file, Some(0), false, false, true, fa::REPARSE_POINT),
            (super::tests::attr(FileKind::File, 0o444), None, false, false, false, fa::READONLY | fa::ARCHIVE),
            (super::tests::attr(FileKind::File, 0o444), Some(0), false, false, false, fa::NORMAL),
            (super::tests::attr(FileKind::Dir, 0o555), None, false, false, false, fa::DIRECTORY),
            (super::tests::attr(FileKind::Symlink, 0o777), None, false, true, false, fa::DIRECTORY | fa::REPARSE_POINT),
            (super::tests::attr(FileKind::Symlink, 0o777), None, false, false, false, fa::REPARSE_POINT),
            (super::tests::attr(FileKind::Fifo, 0o644), None, false, false, false, fa::REPARSE_POINT | fa::SYSTEM),
        ] {
            let chosen = stored.unwrap_or_else(|| default_attributes(&attr, dot));
            assert_eq!(shown_attributes(&attr, chosen, to_dir, reparse), expected, "{attr:?} {stored:?}");
        }
    }

    #[test]
    fn stored_values_come_back_and_foreign_ones_are_none() {
        assert_eq!(encode_attributes(fa::READONLY | fa::ARCHIVE | fa::DIRECTORY), b"0x31");
        assert_eq!(decode_attributes(b"0x31"), Some(0x31));
        assert_eq!([&b"21"[..], b"0x", b"0xzz", b"\xff"].map(decode_attributes), [None; 4]);

        let stored = StoredSecurity { perm: 0o640, uid: 70_000, gid: 1, descriptor: vec![1, 0, 4, 128] };
        assert_eq!(stored.encode()[..4], [1, 0xa0, 1, 0x70]);
        assert_eq!(StoredSecurity::decode(&stored.encode()), Some(stored.clone()));
        assert_eq!(StoredSecurity::decode(&stored.encode()[..10]), None);
        assert_eq!(StoredSecurity::decode(&[2; 40]), None);
        let held = Attr { uid: 70_000, gid: 1, ..attr(FileKind::File, 0o640) };
        assert!(stored.holds_for(&held) && !stored.holds_for(&Attr { perm: 0o600, ..held }));
    }

    #[test]
    fn streams_and_eas_are_told_apart() {
        assert_eq!(stream_attribute(b"Zone.Identifier"), b"user.DosStream.Zone.Identifier:$DATA");
        assert_eq!(stream_of(b"user.DosStream.Zone.Identifier:$DATA"), Some(&b"Zone.Identifier"[..]));
        assert_eq!(stream_of(b"user.DosStream.x"), None);
        assert_eq!(ea_of(b"user.AUTHOR"), Some(&b"AUTHOR"[..]));
        assert_eq!(ea_of(b"user.DosStream.x:$DATA"), None);
        assert_eq!(ea_of(b"trusted.win.attributes"), None);
        assert_eq!(ea_of(b"user.a=b"), None);
    }
}
