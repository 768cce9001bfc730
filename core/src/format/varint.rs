//! The primitives of every stored structure: a reader over a slice, and writers that append to a `Vec<u8>`.
//!
//! varint: unsigned LEB128, at most 10 bytes, shortest form only. zigzag: a varint of `(n << 1) ^ (n >> 63)`. bytes: a varint
//! length and that many bytes. Fixed integers are little-endian. FORMAT, first section.

use super::error::{FormatError, FormatResult};

/// Most bytes of a varint: ceil(64 / 7).
pub const VARINT_BYTES_MAX: usize = 10;

/// Takes fields off the front of a slice. Every failure names the structure that is being read.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
    len: usize,
}

impl<'a> Reader<'a> {
    /// A reader of the structure `what` over `bytes`.
    #[must_use]
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes, len: bytes.len() }
    }

    /// Name of the structure.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    /// Bytes that are left, without taking them.
    #[must_use]
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// Truncated.
    pub fn take(&mut self, n: usize) -> FormatResult<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// Truncated.
    pub fn array<const N: usize>(&mut self) -> FormatResult<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// Truncated.
    pub fn u8(&mut self) -> FormatResult<u8> {
        self.array::<1>().map(|[b]| b)
    }

    /// A little-endian `u32`.
    ///
    /// # Errors
    /// Truncated.
    pub fn u32(&mut self) -> FormatResult<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A little-endian `u64`.
    ///
    /// # Errors
    /// Truncated.
    pub fn u64(&mut self) -> FormatResult<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A varint.
    ///
    /// # Errors
    /// Truncated, or Invalid when it is longer than needed or passes 64 bits.
    pub fn varint(&mut self) -> FormatResult<u64> {
        let mut value = 0u64;
        for i in 0..VARINT_BYTES_MAX {
            let byte = self.u8()?;
            if i == VARINT_BYTES_MAX - 1 && byte > 1 {
                return Err(self.invalid("varint passes 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                if byte == 0 && i > 0 {
                    return Err(self.invalid("varint is not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(self.invalid("varint passes 64 bits"))
    }

    /// A varint that fits 32 bits.
    ///
    /// # Errors
    /// As [`Reader::varint`], or Invalid when it passes 32 bits; `field` names it.
    pub fn varint_u32(&mut self, field: &'static str) -> FormatResult<u32> {
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| self.invalid(format!("{field} {value} passes 32 bits")))
    }

    /// A varint count of things that take at least `bytes_each` (not 0) bytes each: no more than can be there.
    ///
    /// # Errors
    /// As [`Reader::varint`], or Truncated when that many cannot follow.
    pub fn count(&mut self, bytes_each: usize) -> FormatResult<usize> {
        let value = self.varint()?;
        usize::try_from(value).ok().filter(|&n| n <= self.rest.len() / bytes_each).ok_or_else(|| self.truncated())
    }

    /// A signed integer in zigzag form.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn zigzag(&mut self) -> FormatResult<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A varint length and that many bytes.
    ///
    /// # Errors
    /// As [`Reader::varint`]; Truncated when fewer bytes are left.
    pub fn bytes(&mut self) -> FormatResult<&'a [u8]> {
        let len = self.count(1)?;
        self.take(len)
    }

    /// A version byte that must be 1.
    ///
    /// # Errors
    /// Truncated or `UnknownVersion`.
    pub fn version_1(&mut self) -> FormatResult<()> {
        match self.u8()? {
            1 => Ok(()),
            found => Err(FormatError::UnknownVersion { what: self.what, found: found.into() }),
        }
    }

    /// Refuses bytes that are left.
    ///
    /// # Errors
    /// Invalid when some are.
    pub fn finish(&self) -> FormatResult<()> {
        match self.rest.len() {
            0 => Ok(()),
            n => Err(self.invalid(format!("{n} bytes too many"))),
        }
    }

    /// An error of this structure.
    pub fn invalid(&self, why: impl Into<std::borrow::Cow<'static, str>>) -> FormatError {
        FormatError::invalid(self.what, why)
    }

    fn truncated(&self) -> FormatError {
        FormatError::Truncated { what: self.what }
    }
}

/// Appends fields to a byte vector; the mirror of [`Reader`].
pub trait Writer {
    /// One byte.
    fn put_u8(&mut self, value: u8);
    /// A little-endian `u32`.
    fn put_u32(&mut self, value: u32);
    /// A little-endian `u64`.
    fn put_u64(&mut self, value: u64);
    /// A varint.
    fn put_varint(&mut self, value: u64);
    /// A signed integer in zigzag form.
    fn put_zigzag(&mut self, value: i64);
    /// A varint length and the bytes.
    fn put_bytes(&mut self, value: &[u8]);
}

impl Writer for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn put_zigzag(&mut self, value: i64) {
        self.put_varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn put_bytes(&mut self, value: &[u8]) {
        self.put_varint(value.len() as u64);
        self.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reader(bytes: &[u8]) -> Reader<'_> {
        Reader::new("test", bytes)
    }

    #[test]
    fn varints_have_their_known_bytes() {
        for (value, bytes) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0x80, 1]),
            (300, vec![0xac, 2]),
            (u64::MAX, vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut out = Vec::new();
            out.put_varint(value);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn a_varint_in_a_longer_form_or_past_64_bits_is_refused() {
        assert!(reader(&[0x80, 0]).varint().is_err());
        assert!(reader(&[0xff, 0x80, 0x00]).varint().is_err());
        assert!(reader(&[0xff; 9]).varint().is_err());
        assert!(reader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).varint().is_err());
        assert!(reader(&[0xff; 11]).varint().is_err());
        assert_eq!(reader(&[0x80]).varint(), Err(FormatError::Truncated { what: "test" }));
    }

    #[test]
    fn a_count_that_cannot_fit_the_rest_is_refused_before_anything_is_allocated() {
        assert!(reader(&[5, 0, 0, 0, 0]).bytes().is_err());
        assert!(reader(&[3, 0, 0, 0, 0]).count(2).is_err());
        assert_eq!(reader(&[2, 0, 0, 0, 0]).count(2), Ok(2));
    }

    proptest! {
        #[test]
        fn every_value_comes_back(v: u64, z: i64, b: Vec<u8>) {
            let mut out = Vec::new();
            out.put_varint(v);
            out.put_zigzag(z);
            out.put_bytes(&b);
            let mut r = reader(&out);
            prop_assert_eq!(r.varint(), Ok(v));
            prop_assert_eq!(r.zigzag(), Ok(z));
            prop_assert_eq!(r.bytes(), Ok(b.as_slice()));
            prop_assert_eq!(r.finish(), Ok(()));
        }
    }
}
