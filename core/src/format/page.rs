//! B+Tree page: the payload of a Page frame, read entry by entry for dumps and checks. The tree writes pages and has a reader of its
//! own that searches them in place.
//!
//! Layout: version 1; `u8` level; varint entry count; entries in strictly ascending key order: varint bytes shared with the previous
//! key, `bytes` rest of the key, then in a leaf `bytes` value, in a branch the address of the child's frame. FORMAT, section 4.

use super::addr;
use super::error::FormatResult;
use super::keys::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use super::varint::Reader;
use crate::kv::PageAddr;

/// Fewest bytes of an entry: shared, rest length, and an empty value.
const ENTRY_BYTES_MIN: usize = 3;

/// What a page's entry leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSlot<'a> {
    /// In a leaf: the value.
    Value(&'a [u8]),
    /// In a branch: the child.
    Child(PageAddr),
}

/// Walks the entries of a page.
#[derive(Debug)]
pub struct PageEntries<'a> {
    reader: Reader<'a>,
    level: u8,
    count: usize,
    left: usize,
    key: Vec<u8>,
}

impl<'a> PageEntries<'a> {
    /// Opens a page's payload.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn open(payload: &'a [u8]) -> FormatResult<Self> {
        let mut reader = Reader::new("page", payload);
        reader.version_1()?;
        let level = reader.u8()?;
        let count = reader.count(ENTRY_BYTES_MIN)?;
        Ok(Self { reader, level, count, left: count, key: Vec::new() })
    }

    /// 0 for a leaf.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Entries of the page.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The next key and what it leads to; `None` at the end, where nothing may follow.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn next_entry(&mut self) -> FormatResult<Option<(&[u8], PageSlot<'a>)>> {
        if self.left == 0 {
            self.reader.finish()?;
            return Ok(None);
        }
        self.next_key()?;
        let slot = if self.level == 0 {
            PageSlot::Value(self.next_value()?)
        } else {
            PageSlot::Child(addr::decode(&mut self.reader)?)
        };
        self.left -= 1;
        Ok(Some((&self.key, slot)))
    }

    fn next_key(&mut self) -> FormatResult<()> {
        let first = self.left == self.count;
        let shared = usize::try_from(self.reader.varint()?).ok().filter(|&n| n <= self.key.len());
        let shared = shared.ok_or_else(|| self.reader.invalid("more shared bytes than the previous key has"))?;
        let rest = self.reader.bytes()?;
        // Strictly ascending: the rest must be more than what it takes the place of.
        if !first && rest <= &self.key[shared..] {
            return Err(self.reader.invalid("keys do not ascend"));
        }
        let len = shared + rest.len();
        let empty_allowed = first && self.level > 0;
        if len > KEY_BYTES_MAX || (len == 0 && !empty_allowed) {
            return Err(self.reader.invalid(format!("key of {len} bytes")));
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(rest);
        Ok(())
    }

    fn next_value(&mut self) -> FormatResult<&'a [u8]> {
        let value = self.reader.bytes()?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(self.reader.invalid(format!("value of {} bytes", value.len())));
        }
        Ok(value)
    }
}
