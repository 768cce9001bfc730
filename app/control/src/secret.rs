//! A text that must not be shown: a key, a password, a token.
//!
//! Its memory is cleared when it is dropped, and neither `Debug` nor serialisation shows it. A client, which has to send it, does
//! so through [`Secret::expose`] alone.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What stands wherever a secret would be shown.
pub const HIDDEN: &str = "***";

/// A secret text of 1 to 4,096 characters.
#[derive(Clone, Zeroize, ZeroizeOnDrop, ToSchema)]
#[schema(value_type = String, format = Password, min_length = 1, max_length = 4096)]
pub struct Secret(String);

/// Longest secret; session tokens run to some thousands.
const CHARS_MAX: usize = 4096;

impl Secret {
    /// Takes a text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one place that uses it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `other` is the same, in a time that depends on its length only.
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(other).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = Zeroizing::<String>::deserialize(deserializer)?;
        if text.is_empty() || text.chars().count() > CHARS_MAX {
            return Err(serde::de::Error::custom("a secret has 1 to 4096 characters"));
        }
        Ok(Self(std::mem::take(&mut *text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_serialisation_shows_a_secret() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(format!("{secret:?} {secret:#?}"), "*** ***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn comparison_tells_same_from_different() {
        let secret = Secret::new("abc".into());
        assert!(secret.matches(b"abc"));
        for other in ["", "ab", "abd", "abcd"] {
            assert!(!secret.matches(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn an_error_about_a_secret_does_not_show_it() {
        let long = format!("\"{}\"", "s3cr3t".repeat(1000));
        let error = serde_json::from_str::<Secret>(&long).unwrap_err().to_string();
        assert!(!error.contains("s3cr3t"), "{error}");
    }
}
