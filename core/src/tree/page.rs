//! The stored form of a page: FORMAT section 4.
//!
//! `u8` version 1; `u8` level; varint entry count; entries in strictly ascending order of key, each: varint bytes shared with
//! the previous key, varint length and bytes of the rest of the key, then in a leaf varint length and bytes of the value, in a
//! branch the child: varint epoch, nonce, offset, length of frame.
//!
//! Decoding never panics and allocates no more than a fixed multiple of what it is given.

use super::node::{Child, Node};
use super::slots::common_prefix;
use crate::kv::PageAddr;
use crate::types::{Epoch, Nonce, ObjectId};

/// The version of the page layout that is written, and the only one that is read.
const VERSION: u8 = 1;

/// Longest key (FORMAT section 4).
pub const KEY_BYTES_MAX: usize = 1024;

/// Longest value (FORMAT section 4).
pub const VALUE_BYTES_MAX: usize = 65_792;

/// Largest page that is read: four times the largest entry, rounded. Prefix compression makes a page grow when it is decoded,
/// so the bound keeps hostile pages from filling memory.
pub const PAGE_BYTES_MAX: usize = 256 << 10;

/// Highest level that is read: a tree of two children a branch would be larger than any store.
const LEVEL_MAX: u8 = 63;

/// Why bytes are not a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// A newer program wrote it.
    #[error("unknown page version {0}")]
    Version(u8),
    /// The level inside the page is not the one its frame or its parent names.
    #[error("page of level {found} where level {expected} belongs")]
    Level {
        /// What the frame or the parent says.
        expected: u8,
        /// What the page says.
        found: u8,
    },
    /// The page ends inside a field.
    #[error("page ends early")]
    Short,
    /// Bytes follow the last entry.
    #[error("{0} bytes follow the last entry of a page")]
    Trailing(usize),
    /// A varint is too long, not in its shortest form, or out of range for its field.
    #[error("bad number in a page")]
    Number,
    /// The page is larger than any page may be.
    #[error("page of {0} bytes")]
    TooLarge(usize),
    /// There are no entries, or more than the bytes can hold.
    #[error("impossible entry count {0} in a page")]
    Count(u64),
    /// A key or value is empty or too long, or shares more than the previous key has.
    #[error("entry {0} of a page has an impossible length")]
    Length(usize),
    /// A key is not above the previous one.
    #[error("entry {0} of a page is out of order")]
    Order(usize),
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
    out.extend_from_slice(&[VERSION, node.level()]);
    put_varint(&mut out, node.len() as u64);
    let mut prev: &[u8] = &[];
    for at in 0..node.len() {
        let key = node.key(at);
        let shared = common_prefix(prev, key);
        put_varint(&mut out, shared as u64);
        put_bytes(&mut out, &key[shared..]);
        match children.get(at) {
            Some(child) => put_addr(&mut out, *child),
            None => put_bytes(&mut out, node.value(at)),
        }
        prev = key;
    }
    out
}

/// Decodes the payload of a Page frame whose owner a is `level`.
///
/// # Errors
/// The payload is not such a page; [`PageError::Version`] if a newer program wrote it.
pub fn decode_page(level: u8, payload: &[u8]) -> Result<Node, PageError> {
    if payload.len() > PAGE_BYTES_MAX {
        return Err(PageError::TooLarge(payload.len()));
    }
    let mut input = Input(payload);
    let version = input.u8()?;
    if version != VERSION {
        return Err(PageError::Version(version));
    }
    let found = input.u8()?;
    if found != level || found > LEVEL_MAX {
        return Err(PageError::Level { expected: level, found });
    }
    let count = input.count(if level == 0 { 3 } else { 6 })?;
    let mut node = Node::with_capacity(level, count, payload.len());
    let mut key = Vec::new();
    for at in 0..count {
        input.key(at, level, &mut key)?;
        if at > 0 && node.key(at - 1) >= key.as_slice() {
            return Err(PageError::Order(at));
        }
        if level == 0 {
            node.push_value(&key, input.bytes(VALUE_BYTES_MAX).map_err(|e| e.at(at))?);
        } else {
            node.push_child(&key, Child::Stored(input.addr()?));
        }
    }
    match input.0.len() {
        0 => Ok(node),
        more => Err(PageError::Trailing(more)),
    }
}

impl PageError {
    /// Names the entry in a length error.
    fn at(self, entry: usize) -> Self {
        match self {
            Self::Length(_) => Self::Length(entry),
            other => other,
        }
    }
}

/// What is left of a payload.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn u8(&mut self) -> Result<u8, PageError> {
        let (first, rest) = self.0.split_first().ok_or(PageError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    fn varint(&mut self) -> Result<u64, PageError> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (byte == 0 && shift > 0) {
                return Err(PageError::Number);
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(PageError::Number)
    }

    fn u32(&mut self) -> Result<u32, PageError> {
        u32::try_from(self.varint()?).map_err(|_| PageError::Number)
    }

    /// A length of at most `max`.
    fn len(&mut self, max: usize) -> Result<usize, PageError> {
        usize::try_from(self.varint()?).ok().filter(|len| *len <= max).ok_or(PageError::Length(0))
    }

    fn bytes(&mut self, max: usize) -> Result<&'a [u8], PageError> {
        let len = self.len(max)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(PageError::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The entry count; each entry takes at least `entry_min` bytes.
    fn count(&mut self, entry_min: usize) -> Result<usize, PageError> {
        let count = self.varint()?;
        let max = (self.0.len() / entry_min) as u64;
        if count == 0 || count > max {
            return Err(PageError::Count(count));
        }
        usize::try_from(count).map_err(|_| PageError::Count(count))
    }

    /// Turns `key` from the previous key into that of entry `at`.
    fn key(&mut self, at: usize, level: u8, key: &mut Vec<u8>) -> Result<(), PageError> {
        let shared = self.len(key.len()).map_err(|e| e.at(at))?;
        let rest = self.bytes(KEY_BYTES_MAX - shared).map_err(|e| e.at(at))?;
        key.truncate(shared);
        key.extend_from_slice(rest);
        if key.is_empty() && (level == 0 || at > 0) {
            return Err(PageError::Length(at));
        }
        Ok(())
    }

    fn addr(&mut self) -> Result<PageAddr, PageError> {
        let object = ObjectId { epoch: Epoch(self.varint()?), nonce: Nonce(self.varint()?) };
        Ok(PageAddr { object, offset: self.u32()?, len: self.u32()? })
    }
}

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_addr(out: &mut Vec<u8>, addr: PageAddr) {
    put_varint(out, addr.object.epoch.0);
    put_varint(out, addr.object.nonce.0);
    put_varint(out, u64::from(addr.offset));
    put_varint(out, u64::from(addr.len));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
    fn what_is_not_a_page_is_refused() {
        use PageError::*;
        let cases: [(&[u8], u8, PageError); 16] = [
            (b"", 0, Short),
            (b"\x02\x00\x01", 0, Version(2)),
            (b"\x01\x01\x01\x00\x01a\x00", 0, Level { expected: 0, found: 1 }),
            (b"\x01\x40\x01\x00\x01a\x00", 64, Level { expected: 64, found: 64 }),
            (b"\x01\x00\x00", 0, Count(0)),
            (b"\x01\x00\x03\x00\x01a\x00", 0, Count(3)),
            (b"\x01\x00\xff\xff\xff\xff\x0f\x00\x01a\x00", 0, Count(0xffff_ffff)),
            (b"\x01\x00\x01\x01\x01a\x00", 0, Length(0)),
            (b"\x01\x00\x01\x00\x00\x00", 0, Length(0)),
            (b"\x01\x00\x01\x00\x81\x08a", 0, Length(0)),
            (b"\x01\x00\x01\x00\x01a\x05", 0, Short),
            (b"\x01\x00\x01\x00\x01a\x81\x82\x04", 0, Length(0)),
            (b"\x01\x00\x02\x00\x01b\x00\x00\x01a\x00", 0, Order(1)),
            (b"\x01\x00\x02\x00\x01b\x00\x01\x00\x00", 0, Order(1)),
            (b"\x01\x00\x01\x00\x01a\x00\x00", 0, Trailing(1)),
            (b"\x01\x00\x01\x80\x00\x01a\x00", 0, Number),
        ];
        for (bytes, level, error) in cases {
            assert_eq!(decode_page(level, bytes).err(), Some(error), "{bytes:x?}");
        }
        assert_eq!(decode_page(1, b"\x01\x01\x01\x00\x00\x01\x01\x80\x80\x80\x80\x10\x01").err(), Some(Number));
        assert_eq!(decode_page(0, &vec![1; PAGE_BYTES_MAX + 1]).err(), Some(TooLarge(PAGE_BYTES_MAX + 1)));
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
            put_varint(&mut out, n);
            assert_eq!(out.len(), varint_len(n));
            assert_eq!(Input(&out).varint(), Ok(n));
        }
        assert_eq!(Input(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02").varint(), Err(PageError::Number));
    }

    proptest! {
        #[test]
        fn decoding_never_panics(level in 0_u8..3, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut page = vec![1, level];
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
