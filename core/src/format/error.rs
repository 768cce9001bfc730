//! Why stored bytes could not be decoded.
//!
//! Two families matter to a caller: bytes that are damaged ([`ErrorKind::Corrupt`]) and bytes that a newer program wrote
//! ([`ErrorKind::UnknownFormat`]). A reserved field that is set belongs to the second family.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind};

/// A failed decode. `what` names the structure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The structure does not begin with its magic.
    #[error("{what}: magic is {found:02x?}")]
    BadMagic {
        /// The structure.
        what: &'static str,
        /// The four bytes that were there.
        found: [u8; 4],
    },
    /// A version that this program does not know.
    #[error("{what} was written by a newer ProxyFS (format {found}); upgrade")]
    UnknownVersion {
        /// The structure.
        what: &'static str,
        /// The version that was there.
        found: u64,
    },
    /// A reserved field is set, or a tag, codec or flag is not known.
    #[error("{what} was written by a newer ProxyFS ({feature} is not known); upgrade")]
    UnknownFeature {
        /// The structure.
        what: &'static str,
        /// The field and its value.
        feature: Cow<'static, str>,
    },
    /// A checksum does not hold.
    #[error("{what}: checksum is {stored:08x}, the bytes give {computed:08x}")]
    Checksum {
        /// The structure.
        what: &'static str,
        /// The checksum in the bytes.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// The bytes end inside the structure.
    #[error("{what}: ends early")]
    Truncated {
        /// The structure.
        what: &'static str,
    },
    /// A field contradicts its rules.
    #[error("{what}: {why}")]
    Invalid {
        /// The structure.
        what: &'static str,
        /// The field and the rule.
        why: Cow<'static, str>,
    },
}

/// Result of a decode.
pub type FormatResult<T> = Result<T, FormatError>;

impl FormatError {
    /// A field of `what` contradicts its rules.
    pub fn invalid(what: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid { what, why: why.into() }
    }

    /// A field of `what` that only a newer program would have set.
    pub fn unknown(what: &'static str, feature: impl Into<Cow<'static, str>>) -> Self {
        Self::UnknownFeature { what, feature: feature.into() }
    }

    /// The kind that the engine reports: damaged, or newer than this program.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownVersion { .. } | Self::UnknownFeature { .. } => ErrorKind::UnknownFormat,
            Self::BadMagic { .. } | Self::Checksum { .. } | Self::Truncated { .. } | Self::Invalid { .. } => {
                ErrorKind::Corrupt
            }
        }
    }
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
