//! Names of credentials: plain words, which need no quoting in a file, a unit, a variable or a shell.

use crate::error::{Error, ErrorKind, Result};

/// Longest name.
const NAME_CHARS_MAX: usize = 64;

/// Accepts a name.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn check_name(name: &str) -> Result<()> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if plain && first && name.len() <= NAME_CHARS_MAX {
        return Ok(());
    }
    let to_do =
        format!("use 1 to {NAME_CHARS_MAX} letters, digits, `-`, `_` and `.`, beginning with a letter or digit");
    Err(Error::new(ErrorKind::Invalid, format!("the name {name:?}"), "credentials cannot be called so", to_do))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for name in ["a", "lab-2", "A.b_c"] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", "a b", "../x", "-a", "a/b", "\u{e9}", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
