//! Pages to stored bytes and back: FORMAT section 4.
//!
//! The layout is read by [`format::page`](crate::format::page), entry by entry; here entries become a page in memory. Decoding never
//! panics and allocates no more than a fixed multiple of what it is given.

use super::node::{Child, Node};
use super::slots::common_prefix;
use crate::error::ErrorKind;
use crate::format::page::{PageEntries, PageSlot};
use crate::format::varint::Writer;
use crate::format::{FormatError, addr};
use crate::kv::PageAddr;

/// The version of the page layout that is written.
const VERSION: u8 = 1;

/// Largest page that is read: about four times the largest entry. Prefix compression makes a page grow when it is decoded, so
/// the bound keeps hostile pages from filling memory.
pub const PAGE_BYTES_MAX: usize = 256 << 10;

/// Highest level that is read: a tree of two children a branch would be larger than any store.
const LEVEL_MAX: u8 = 63;

/// Why bytes are not a page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The bytes are damaged, or a newer program wrote them.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The level inside the page is not the one its frame or its parent names, or higher than any tree.
    #[error("page of level {found} where level {expected} belongs")]
    Level {
        /// What the frame or the parent says.
        expected: u8,
        /// What the page says.
        found: u8,
    },
    /// The page is larger than any page may be.
    #[error("page of {0} bytes")]
    TooLarge(usize),
    /// There are no entries.
    #[error("page without entries")]
    Empty,
}

impl PageError {
    /// The kind that the engine reports: damaged, or newer than this program.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Format(error) => error.kind(),
            Self::Level { .. } | Self::TooLarge(_) | Self::Empty => ErrorKind::Corrupt,
        }
    }
}

/// Bytes of `n` as a varint.
pub(super) fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

/// Encodes a page. `children` are the addresses of a branch's children in order; empty for a leaf.
pub(super) fn encode(node: &Node, children: &[PageAddr]) -> Vec<u8> {
    assert!(node.len() > 0, "an empty page must not be stored");
    assert!(node.level() == 0 || children.len() == node.len(), "every child of a branch has an address");
    let mut out = Vec::with_capacity(node.encoded_len() + 16);
    out.put_u8(VERSION);
    out.put_u8(node.level());
    out.put_varint(node.len() as u64);
    let mut prev: &[u8] = &[];
    for at in 0..node.len() {
        let key = node.key(at);
        let shared = common_prefix(prev, key);
        out.put_varint(shared as u64);
        out.put_bytes(&key[shared..]);
        match children.get(at) {
            Some(child) => addr::encode_into(child, &mut out),
            None => out.put_bytes(node.value(at)),
        }
        prev = key;
    }
    out
}

/// Decodes the payload of a Page frame whose owner a is `level`.
///
/// # Errors
/// The payload is not such a page.
pub fn decode_page(level: u8, payload: &[u8]) -> Result<Node, PageError> {
    if payload.len() > PAGE_BYTES_MAX {
        return Err(PageError::TooLarge(payload.len()));
    }
    let mut entries = PageEntries::open(payload)?;
    let found = entries.level();
    if found != level || found > LEVEL_MAX {
        return Err(PageError::Level { expected: level, found });
    }
    if entries.count() == 0 {
        return Err(PageError::Empty);
    }
    let mut node = Node::with_capacity(level, entries.count(), payload.len());
    while let Some((key, slot)) = entries.next_entry()? {
        match slot {
            PageSlot::Value(value) => node.push_value(key, value),
            PageSlot::Child(addr) => node.push_child(key, Child::Stored(addr)),
        }
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Epoch, Nonce, ObjectId};

    /// Entries `abc`=1 and `abd`=22.
    const LEAF: &[u8] = b"\x01\x00\x02\x00\x03abc\x011\x02\x01d\x0222";
    /// Children at the empty key and at `m`.
    const BRANCH: &[u8] = b"\x01\x01\x02\x00\x00\x01\x02\x00\x30\x00\x01m\x01\x02\x30\x80\x01";

    fn addr(nonce: u64, offset: u32, len: u32) -> PageAddr {
        PageAddr { object: ObjectId { epoch: Epoch(1), nonce: Nonce(nonce) }, offset, len }
    }

    #[test]
    fn leaf_bytes_are_as_specified() {
        let node = decode_page(0, LEAF).expect("valid");
        assert_eq!((node.key(1), node.value(1)), (&b"abd"[..], &b"22"[..]));
        assert_eq!(node.encoded_len(), LEAF.len());
        assert_eq!(encode(&node, &[]), LEAF);
    }

    #[test]
    fn branch_bytes_are_as_specified() {
        let node = decode_page(1, BRANCH).expect("valid");
        let children: Vec<_> = node.child_addrs().collect();
        assert_eq!(children, [addr(2, 0, 48), addr(2, 48, 128)]);
        assert_eq!((node.key(0), node.key(1)), (&b""[..], &b"m"[..]));
        assert_eq!(encode(&node, &children), BRANCH);
    }

    #[test]
    fn what_is_not_a_page_is_refused_by_name() {
        let newer = decode_page(0, b"\x02\x00\x01").expect_err("newer");
        assert_eq!(newer.kind(), ErrorKind::UnknownFormat);
        let cases: [(&[u8], u8, PageError); 4] = [
            (LEAF, 1, PageError::Level { expected: 1, found: 0 }),
            (b"\x01\x40\x01\x00\x00\x00", 64, PageError::Level { expected: 64, found: 64 }),
            (b"\x01\x00\x00", 0, PageError::Empty),
            (&[1; PAGE_BYTES_MAX + 1], 1, PageError::TooLarge(PAGE_BYTES_MAX + 1)),
        ];
        for (bytes, level, error) in cases {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert_eq!(decode_page(level, bytes).err(), Some(error));
        }
    }

    #[test]
    fn damaged_entries_are_refused() {
        let leaves: [(&str, &[u8]); 12] = [
            ("no bytes", b""),
            ("more entries than bytes", b"\x01\x00\x03\x00\x01a\x00"),
            ("far more entries", b"\x01\x00\xff\xff\xff\xff\x0f\x00\x01a\x00"),
            ("first key shares", b"\x01\x00\x01\x01\x01a\x00"),
            ("empty key", b"\x01\x00\x01\x00\x00\x00"),
            ("key ends early", b"\x01\x00\x01\x00\x7fa\x00"),
            ("value ends early", b"\x01\x00\x01\x00\x01a\x05"),
            ("descending", b"\x01\x00\x02\x00\x01b\x00\x00\x01a\x00"),
            ("equal", b"\x01\x00\x02\x00\x01b\x00\x01\x00\x00"),
            ("trailing byte", b"\x01\x00\x01\x00\x01a\x00\x00"),
            ("varint not in its shortest form", b"\x01\x00\x01\x80\x00\x01a\x00"),
            ("shares more than there is", b"\x01\x00\x02\x00\x01a\x00\x02\x01b\x00"),
        ];
        for (what, bytes) in leaves {
            assert!(matches!(decode_page(0, bytes), Err(PageError::Format(_))), "{what}");
        }
        let long_offset = b"\x01\x01\x01\x00\x00\x01\x01\x80\x80\x80\x80\x10\x30";
        assert!(decode_page(1, long_offset).is_err());
        assert!(
            decode_page(1, b"\x01\x01\x02\x00\x00\x01\x02\x00\x30\x00\x00\x01\x02\x30\x30").is_err(),
            "empty key twice"
        );
    }

    #[test]
    fn every_prefix_of_a_page_is_refused() {
        for len in 0..LEAF.len() {
            assert!(decode_page(0, &LEAF[..len]).is_err(), "{len}");
        }
        for len in 0..BRANCH.len() {
            assert!(decode_page(1, &BRANCH[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn varints_are_as_long_as_computed() {
        for n in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
            let mut out = Vec::new();
            out.put_varint(n);
            assert_eq!(out.len(), varint_len(n));
        }
    }

    proptest! {
        #[test]
        fn decoding_never_panics(level in 0_u8..3, count in 1_u8..4, bytes in proptest::collection::vec(0_u8..60, 0..60)) {
            let mut page = vec![1, level, count];
            page.extend(bytes);
            if let Ok(node) = decode_page(level, &page) {
                let children: Vec<_> = node.child_addrs().collect();
                let again = decode_page(level, &encode(&node, &children)).expect("what was encoded");
                prop_assert_eq!(again.len(), node.len());
            }
        }

        #[test]
        fn a_changed_byte_never_panics(at in 0..LEAF.len(), byte: u8) {
            let mut page = LEAF.to_vec();
            page[at] = byte;
            let _ = decode_page(0, &page);
        }
    }
}
