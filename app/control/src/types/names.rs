//! Names that come from outside and are checked as they arrive: of volumes, credentials and stores.
//!
//! A value of these types is valid; the patterns stand in the OpenAPI document as well.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest name of a volume or credentials.
pub const NAME_CHARS_MAX: usize = 64;
/// Longest store URL.
pub const STORE_URL_CHARS_MAX: usize = 2048;

/// Why a text is not a valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(String);

/// Name of a volume or of credentials: letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "photos")]
pub struct Name(String);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if plain && first && text.len() <= NAME_CHARS_MAX {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(NAME_CHARS_MAX).collect();
        Err(NameError(format!(
            "{shown:?} is no name; use 1 to {NAME_CHARS_MAX} letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
        )))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// URL of a store, such as `s3://bucket/prefix` or `file:///srv/store`. What follows the scheme is the store's to judge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = r"^[a-z][a-z0-9+]{0,15}://[!-~]{1,2000}$", example = "s3://bucket/prefix")]
pub struct StoreUrl(String);

impl StoreUrl {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StoreUrl {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = text.split_once("://").is_some_and(|(scheme, rest)| {
            let mut letters = scheme.chars();
            letters.next().is_some_and(|c| c.is_ascii_lowercase())
                && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '+')
                && scheme.len() <= 16
                && (1..=2000).contains(&rest.len())
                && rest.bytes().all(|b| b.is_ascii_graphic())
        });
        // Not shown: a mistaken URL may hold a password.
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError("a store is a URL such as s3://bucket/prefix".into()))
        }
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.0
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_registry_takes() {
        for good in ["a", "photos", "A-1_b.c", &"x".repeat(64)] {
            assert_eq!(good.parse::<Name>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "-a", "a/b", "a b", "ä", "a\0", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_store_needs_a_scheme_and_a_place() {
        for good in ["s3://b", "file:///srv/x", "swift://a@h/c?x=1", "s3+http://h/b"] {
            assert!(good.parse::<StoreUrl>().is_ok(), "{good:?}");
        }
        for bad in ["", "s3", "s3:/b", "s3://", "S3://b", "s3://b c", "s3://b\n", "://b", "1a://b"] {
            assert!(bad.parse::<StoreUrl>().is_err(), "{bad:?}");
        }
    }
}
