//! The two kinds of objects that are named by an object id, with the byte that stands for each.

use super::error::{FormatError, FormatResult};

/// Kind of a stored object named `<epoch>-<nonce>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A log segment: a pack of Data frames.
    Data,
    /// A checkpoint object: a pack of Page, `ObjectTable` and Overlay frames.
    Meta,
}

impl ObjectKind {
    /// The byte in keys and pack indexes.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Meta => 2,
        }
    }

    /// From the byte; `what` names the structure.
    ///
    /// # Errors
    /// Invalid.
    pub fn from_byte(what: &'static str, byte: u8) -> FormatResult<Self> {
        match byte {
            1 => Ok(Self::Data),
            2 => Ok(Self::Meta),
            _ => Err(FormatError::invalid(what, format!("object kind is {byte}"))),
        }
    }

    /// The folder of such objects inside the volume's prefix.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Meta => "meta",
        }
    }
}
