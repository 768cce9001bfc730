//! Dirent: the value of `01 ino 20 name`.
//!
//! Layout: version 1; `u8` kind; varint ino; `bytes` display name, empty if equal to the key's name; extras. FORMAT, section 5.

use super::error::FormatResult;
use super::extras::Extras;
use super::kind::{kind_from_byte, kind_to_byte};
use super::value;
use super::varint::Writer;
use crate::fs::FileKind;
use crate::types::Ino;

const WHAT: &str = "dirent";

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirent {
    /// Type of the inode; never changes.
    pub kind: FileKind,
    /// The inode.
    pub ino: Ino,
    /// The name as it was given, empty if it equals the key's.
    pub display_name: Vec<u8>,
    /// Fields that this program does not know.
    pub extras: Extras,
}

impl Dirent {
    /// A dirent for `name` under a key that holds `key_name` (equal on case-sensitive volumes).
    #[must_use]
    pub fn new(kind: FileKind, ino: Ino, name: &[u8], key_name: &[u8]) -> Self {
        let display_name = if name == key_name { Vec::new() } else { name.to_vec() };
        Self { kind, ino, display_name, extras: Extras::default() }
    }

    /// The name to show, given the key's.
    #[must_use]
    pub fn name<'a>(&'a self, key_name: &'a [u8]) -> &'a [u8] {
        if self.display_name.is_empty() { key_name } else { &self.display_name }
    }

    /// The value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = value::begin(16 + self.display_name.len());
        out.put_u8(kind_to_byte(self.kind));
        out.put_varint(self.ino.0);
        out.put_bytes(&self.display_name);
        self.extras.encode_into(&mut out);
        out
    }

    /// From the value.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(value: &[u8]) -> FormatResult<Self> {
        let mut r = value::open(WHAT, value)?;
        Ok(Self {
            kind: kind_from_byte(WHAT, r.u8()?)?,
            ino: Ino(r.varint()?),
            display_name: r.bytes()?.to_vec(),
            extras: Extras::decode(&mut r)?,
        })
    }
}
