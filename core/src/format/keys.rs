//! Keys of the B+Tree: typed, order-preserving, integers big-endian so that byte order is numeric order.
//!
//! Layout (FORMAT, section 5):
//!
//! ```text
//! 01 ino(8) 00              inode record        02 epoch(8) nonce(8) 00          segment usage
//! 01 ino(8) 10 name         xattr               02 epoch(8) nonce(8) 01 slot(4)  segment location
//! 01 ino(8) 20 name         dirent              03 ino(8)                        orphan
//! 01 ino(8) 30 offset(8)    extent              04 kind(1) epoch(8) nonce(8)     pending delete
//!                                               06 kind(1) epoch(8) nonce(8)     upload intent
//! ```
//!
//! `05`, `07` and `08` are reserved. Ranges are half-open: `from <= key < to`.

use super::error::{FormatError, FormatResult};
use super::object_kind::ObjectKind;
use super::varint::Reader;
use crate::types::{Epoch, Ino, Nonce, ObjectId, SegmentId};

const WHAT: &str = "key";
/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest value in bytes.
pub const VALUE_BYTES_MAX: usize = 65_792;

const INODE_SPACE: u8 = 0x01;
const SEGMENT_SPACE: u8 = 0x02;
const ORPHAN_SPACE: u8 = 0x03;
const PENDING_SPACE: u8 = 0x04;
const INTENT_SPACE: u8 = 0x06;

const INODE_PART: u8 = 0x00;
const XATTR_PART: u8 = 0x10;
const DIRENT_PART: u8 = 0x20;
const EXTENT_PART: u8 = 0x30;

const USAGE_PART: u8 = 0x00;
const LOCATION_PART: u8 = 0x01;

/// A half-open range of keys: `from <= key < to`.
pub type KeyRange = (Vec<u8>, Vec<u8>);

/// A key in typed form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// An inode record.
    Inode(Ino),
    /// An extended attribute.
    Xattr {
        /// The inode.
        ino: Ino,
        /// Its name, not empty.
        name: Vec<u8>,
    },
    /// A name in a directory.
    Dirent {
        /// The directory.
        ino: Ino,
        /// The name, folded on case-insensitive volumes; not empty.
        name: Vec<u8>,
    },
    /// A range of a file.
    Extent {
        /// The file.
        ino: Ino,
        /// Offset of its first byte in the file.
        offset: u64,
    },
    /// Live bytes of a segment.
    SegmentUsage(SegmentId),
    /// Where a chunk of a segment's slots lies.
    SegmentLocation {
        /// The segment.
        segment: SegmentId,
        /// First slot of the chunk.
        slot: u32,
    },
    /// An inode without a name.
    Orphan(Ino),
    /// An object that waits for its deletion.
    PendingDelete {
        /// Its kind.
        kind: ObjectKind,
        /// The object.
        object: ObjectId,
    },
    /// An object that may exist and is not referenced yet.
    Intent {
        /// Its kind.
        kind: ObjectKind,
        /// The object.
        object: ObjectId,
    },
}

impl Key {
    /// The key's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Inode(ino) => inode_key(*ino),
            Self::Xattr { ino, name } => xattr_key(*ino, name),
            Self::Dirent { ino, name } => dirent_key(*ino, name),
            Self::Extent { ino, offset } => extent_key(*ino, *offset),
            Self::SegmentUsage(segment) => segment_usage_key(*segment),
            Self::SegmentLocation { segment, slot } => segment_location_key(*segment, *slot),
            Self::Orphan(ino) => orphan_key(*ino),
            Self::PendingDelete { kind, object } => pending_delete_key(*kind, *object),
            Self::Intent { kind, object } => intent_key(*kind, *object),
        }
    }

    /// From the key's bytes.
    ///
    /// # Errors
    /// `UnknownFeature` for a space or part that is reserved or not known, else Truncated or Invalid.
    pub fn decode(key: &[u8]) -> FormatResult<Self> {
        let mut r = Reader::new(WHAT, key);
        let decoded = match r.u8()? {
            INODE_SPACE => Self::decode_inode_space(&mut r)?,
            SEGMENT_SPACE => Self::decode_segment_space(&mut r)?,
            ORPHAN_SPACE => Self::Orphan(Ino(be64(&mut r)?)),
            PENDING_SPACE => {
                let (kind, object) = kind_and_object(&mut r)?;
                Self::PendingDelete { kind, object }
            }
            INTENT_SPACE => {
                let (kind, object) = kind_and_object(&mut r)?;
                Self::Intent { kind, object }
            }
            space => return Err(FormatError::unknown(WHAT, format!("key space {space:02x}"))),
        };
        r.finish()?;
        Ok(decoded)
    }

    fn decode_inode_space(r: &mut Reader<'_>) -> FormatResult<Self> {
        let ino = Ino(be64(r)?);
        Ok(match r.u8()? {
            INODE_PART => Self::Inode(ino),
            XATTR_PART => Self::Xattr { ino, name: decode_name(r)? },
            DIRENT_PART => Self::Dirent { ino, name: decode_name(r)? },
            EXTENT_PART => Self::Extent { ino, offset: be64(r)? },
            part => return Err(FormatError::unknown(WHAT, format!("inode part {part:02x}"))),
        })
    }

    fn decode_segment_space(r: &mut Reader<'_>) -> FormatResult<Self> {
        let segment = SegmentId { epoch: Epoch(be64(r)?), nonce: Nonce(be64(r)?) };
        Ok(match r.u8()? {
            USAGE_PART => Self::SegmentUsage(segment),
            LOCATION_PART => Self::SegmentLocation { segment, slot: r.array().map(u32::from_be_bytes)? },
            part => return Err(FormatError::unknown(WHAT, format!("segment part {part:02x}"))),
        })
    }
}

fn be64(r: &mut Reader<'_>) -> FormatResult<u64> {
    r.array().map(u64::from_be_bytes)
}

fn kind_and_object(r: &mut Reader<'_>) -> FormatResult<(ObjectKind, ObjectId)> {
    let kind = ObjectKind::from_byte(WHAT, r.u8()?)?;
    Ok((kind, ObjectId { epoch: Epoch(be64(r)?), nonce: Nonce(be64(r)?) }))
}

fn decode_name(r: &mut Reader<'_>) -> FormatResult<Vec<u8>> {
    let len = r.remaining().len();
    if len == 0 || r.position() + len > KEY_BYTES_MAX {
        return Err(r.invalid(format!("name of {len} bytes")));
    }
    r.take(len).map(<[u8]>::to_vec)
}

fn inode_part(ino: Ino, part: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(10 + rest.len());
    key.push(INODE_SPACE);
    key.extend_from_slice(&ino.0.to_be_bytes());
    key.push(part);
    key.extend_from_slice(rest);
    key
}

fn segment_part(segment: SegmentId, part: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(22);
    key.push(SEGMENT_SPACE);
    key.extend_from_slice(&segment.epoch.0.to_be_bytes());
    key.extend_from_slice(&segment.nonce.0.to_be_bytes());
    key.push(part);
    key.extend_from_slice(rest);
    key
}

fn object_part(space: u8, kind: ObjectKind, object: ObjectId) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    key.extend_from_slice(&[space, kind.to_byte()]);
    key.extend_from_slice(&object.epoch.0.to_be_bytes());
    key.extend_from_slice(&object.nonce.0.to_be_bytes());
    key
}

/// All keys of the spaces `space..=space`.
fn space_range(space: u8) -> KeyRange {
    (vec![space], vec![space + 1])
}

/// Key of an inode record.
#[must_use]
pub fn inode_key(ino: Ino) -> Vec<u8> {
    inode_part(ino, INODE_PART, &[])
}

/// Everything of one inode: record, xattrs, dirents, extents.
#[must_use]
pub fn inode_range(ino: Ino) -> KeyRange {
    (inode_part(ino, INODE_PART, &[]), inode_part(ino, u8::MAX, &[]))
}

/// Everything of all inodes.
#[must_use]
pub fn all_inodes_range() -> KeyRange {
    space_range(INODE_SPACE)
}

/// Key of an extended attribute; `name` must not be empty.
#[must_use]
pub fn xattr_key(ino: Ino, name: &[u8]) -> Vec<u8> {
    inode_part(ino, XATTR_PART, name)
}

/// All extended attributes of an inode.
#[must_use]
pub fn xattr_range(ino: Ino) -> KeyRange {
    (inode_part(ino, XATTR_PART, &[]), inode_part(ino, XATTR_PART + 1, &[]))
}

/// Key of a name in a directory; `folded_name` must not be empty.
#[must_use]
pub fn dirent_key(ino: Ino, folded_name: &[u8]) -> Vec<u8> {
    inode_part(ino, DIRENT_PART, folded_name)
}

/// All names in a directory.
#[must_use]
pub fn dirent_range(ino: Ino) -> KeyRange {
    (inode_part(ino, DIRENT_PART, &[]), inode_part(ino, DIRENT_PART + 1, &[]))
}

/// Key of the extent that begins at `offset` of a file.
#[must_use]
pub fn extent_key(ino: Ino, offset: u64) -> Vec<u8> {
    inode_part(ino, EXTENT_PART, &offset.to_be_bytes())
}

/// All extents of a file.
#[must_use]
pub fn extent_range(ino: Ino) -> KeyRange {
    (inode_part(ino, EXTENT_PART, &[]), inode_part(ino, EXTENT_PART + 1, &[]))
}

/// Key of a segment's live bytes.
#[must_use]
pub fn segment_usage_key(segment: SegmentId) -> Vec<u8> {
    segment_part(segment, USAGE_PART, &[])
}

/// Key of the location record whose chunk begins at `slot`.
#[must_use]
pub fn segment_location_key(segment: SegmentId, slot: u32) -> Vec<u8> {
    segment_part(segment, LOCATION_PART, &slot.to_be_bytes())
}

/// Usage and locations of one segment.
#[must_use]
pub fn segment_range(segment: SegmentId) -> KeyRange {
    (segment_part(segment, USAGE_PART, &[]), segment_part(segment, u8::MAX, &[]))
}

/// All location records of one segment.
#[must_use]
pub fn segment_location_range(segment: SegmentId) -> KeyRange {
    (segment_part(segment, LOCATION_PART, &[]), segment_part(segment, LOCATION_PART + 1, &[]))
}

/// Usage and locations of all segments.
#[must_use]
pub fn all_segments_range() -> KeyRange {
    space_range(SEGMENT_SPACE)
}

/// Key of an orphan.
#[must_use]
pub fn orphan_key(ino: Ino) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(ORPHAN_SPACE);
    key.extend_from_slice(&ino.0.to_be_bytes());
    key
}

/// All orphans.
#[must_use]
pub fn orphan_range() -> KeyRange {
    space_range(ORPHAN_SPACE)
}

/// Key of a pending delete.
#[must_use]
pub fn pending_delete_key(kind: ObjectKind, object: ObjectId) -> Vec<u8> {
    object_part(PENDING_SPACE, kind, object)
}

/// All pending deletes.
#[must_use]
pub fn pending_delete_range() -> KeyRange {
    space_range(PENDING_SPACE)
}

/// Key of an upload intent.
#[must_use]
pub fn intent_key(kind: ObjectKind, object: ObjectId) -> Vec<u8> {
    object_part(INTENT_SPACE, kind, object)
}

/// All upload intents.
#[must_use]
pub fn intent_range() -> KeyRange {
    space_range(INTENT_SPACE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    /// The order that FORMAT gives to typed keys.
    fn order(key: &Key) -> (u8, u64, u64, u64, Vec<u8>) {
        let part = |kind: ObjectKind| u64::from(kind.to_byte());
        match key {
            Key::Inode(ino) => (1, ino.0, 0, 0, vec![]),
            Key::Xattr { ino, name } => (1, ino.0, 1, 0, name.clone()),
            Key::Dirent { ino, name } => (1, ino.0, 2, 0, name.clone()),
            Key::Extent { ino, offset } => (1, ino.0, 3, *offset, vec![]),
            Key::SegmentUsage(s) => (2, s.epoch.0, s.nonce.0, 0, vec![]),
            Key::SegmentLocation { segment: s, slot } => (2, s.epoch.0, s.nonce.0, 1 + u64::from(*slot), vec![]),
            Key::Orphan(ino) => (3, ino.0, 0, 0, vec![]),
            Key::PendingDelete { kind, object } => (4, part(*kind), object.epoch.0, object.nonce.0, vec![]),
            Key::Intent { kind, object } => (6, part(*kind), object.epoch.0, object.nonce.0, vec![]),
        }
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![0..3u64, 250..260u64, 65_530..65_540u64, any::<u64>()]
    }

    fn key() -> impl Strategy<Value = Key> {
        let name = prop::collection::vec(prop_oneof![Just(0), Just(255), any::<u8>()], 1..4);
        let kind = prop_oneof![Just(ObjectKind::Data), Just(ObjectKind::Meta)];
        (0..9, number(), number(), any::<u32>(), name, kind).prop_map(|(which, a, b, slot, name, kind)| {
            let (ino, segment) = (Ino(a), SegmentId { epoch: Epoch(a), nonce: Nonce(b) });
            let object = ObjectId { epoch: Epoch(a), nonce: Nonce(b) };
            match which {
                0 => Key::Inode(ino),
                1 => Key::Xattr { ino, name },
                2 => Key::Dirent { ino, name },
                3 => Key::Extent { ino, offset: b },
                4 => Key::SegmentUsage(segment),
                5 => Key::SegmentLocation { segment, slot },
                6 => Key::Orphan(ino),
                7 => Key::PendingDelete { kind, object },
                _ => Key::Intent { kind, object },
            }
        })
    }

    fn holds(range: &KeyRange, key: &[u8]) -> bool {
        range.0.as_slice() <= key && key < range.1.as_slice()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn bytes_sort_like_typed_keys(a in key(), b in key()) {
            prop_assert_eq!(a.encode().cmp(&b.encode()), order(&a).cmp(&order(&b)));
        }

        #[test]
        fn every_key_comes_back(key in key()) {
            prop_assert_eq!(Key::decode(&key.encode()), Ok(key));
        }

        #[test]
        fn a_range_holds_its_own_keys_and_no_others(key in key(), ino in number().prop_map(Ino)) {
            let bytes = key.encode();
            let of_ino = |of: &Ino| *of == ino;
            prop_assert_eq!(holds(&dirent_range(ino), &bytes), matches!(&key, Key::Dirent { ino, .. } if of_ino(ino)));
            prop_assert_eq!(holds(&xattr_range(ino), &bytes), matches!(&key, Key::Xattr { ino, .. } if of_ino(ino)));
            prop_assert_eq!(holds(&extent_range(ino), &bytes), matches!(&key, Key::Extent { ino, .. } if of_ino(ino)));
            prop_assert_eq!(holds(&orphan_range(), &bytes), matches!(key, Key::Orphan(_)));
            prop_assert_eq!(holds(&pending_delete_range(), &bytes), matches!(key, Key::PendingDelete { .. }));
            prop_assert_eq!(holds(&intent_range(), &bytes), matches!(key, Key::Intent { .. }));
            let segment = SegmentId { epoch: Epoch(ino.0), nonce: Nonce(ino.0) };
            let location = matches!(&key, Key::SegmentLocation { segment: s, .. } if *s == segment);
            prop_assert_eq!(holds(&segment_location_range(segment), &bytes), location);
            prop_assert_eq!(holds(&segment_range(segment), &bytes), location || key == Key::SegmentUsage(segment));
        }
    }

    #[test]
    fn reserved_spaces_are_a_newer_format_and_long_keys_are_damage() {
        for space in [5, 7, 8] {
            assert_eq!(Key::decode(&[space]).expect_err("reserved").kind(), ErrorKind::UnknownFormat);
        }
        let mut long = orphan_key(Ino(1));
        long.push(0);
        assert_eq!(Key::decode(&long).expect_err("too long").kind(), ErrorKind::Corrupt);
        assert!(Key::decode(&dirent_key(Ino(1), b"")).is_err());
        assert!(Key::decode(&dirent_key(Ino(1), &[b'x'; 1015])).is_err());
        assert!(Key::decode(&dirent_key(Ino(1), &[b'x'; 1014])).is_ok());
    }
}
