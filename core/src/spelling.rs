//! Names that people take for one though their bytes differ: the composed and the decomposed spelling of the same characters.
//!
//! Unicode writes `é` as one character (composed, NFC) or as `e` and an accent (decomposed, NFD). Linux and Windows hand names
//! over as they were typed, which is composed; programs on a Mac often decompose them first. A volume keeps the bytes that it
//! was given, and two names that differ in bytes are two names. An adapter whose users expect otherwise resolves each name here
//! before it asks the file system, by one rule:
//!
//! 1. the name as it is given, if an entry has just these bytes;
//! 2. else the entry with its composed spelling;
//! 3. else the entry with its decomposed spelling;
//! 4. else there is none, and a new entry gets the bytes as given.
//!
//! So both spellings may lie side by side, made elsewhere, and each is reached by its own bytes. A name that is stored in a mix of
//! both forms is reached only by its own bytes: finding it by others would mean reading the directory. Names that are ASCII, or
//! not UTF-8, have one spelling, and cost nothing here.
//!
//! Resolving and acting on what was found are two operations: between them somebody else may make or remove an entry. What follows
//! is what would have followed had the caller spelt the name that way, so no promise of the file system is touched.

use std::borrow::Cow;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

use crate::error::{ErrorKind, Result};
use crate::fs::{FileSystem, NAME_BYTES_MAX, NamedEntry};
use crate::types::Ino;

/// Other spellings of `name`, in the order in which they are tried: composed, then decomposed.
#[must_use]
pub fn others(name: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(name) else { return Vec::new() };
    if text.is_ascii() {
        return Vec::new();
    }
    let composed = ComposingNormalizerBorrowed::new_nfc().normalize(text);
    let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(text);
    let mut others: Vec<Vec<u8>> = Vec::with_capacity(2);
    for spelling in [composed, decomposed] {
        let bytes = spelling.as_bytes();
        let is_new = bytes != name && others.iter().all(|known| known != bytes);
        if is_new && bytes.len() <= NAME_BYTES_MAX {
            others.push(bytes.to_vec());
        }
    }
    others
}

/// Finds `name` in `parent` by the rule of this module, with the bytes that the entry has.
///
/// # Errors
/// `NotFound` when no spelling is there, and as [`FileSystem::find`].
pub async fn find<F: FileSystem>(fs: &F, parent: Ino, name: &[u8]) -> Result<NamedEntry> {
    let exact = match fs.find(parent, name).await {
        Err(e) if e.kind() == ErrorKind::NotFound => e,
        found => return found,
    };
    for spelling in others(name) {
        match fs.find(parent, &spelling).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            found => return found,
        }
    }
    Err(exact)
}

/// The spelling of `name` to use in `parent`: that of the entry which is there, or `name` itself. Errors of looking are left to
/// the operation that follows.
pub async fn stored<'n, F: FileSystem>(fs: &F, parent: Ino, name: &'n [u8]) -> Cow<'n, [u8]> {
    let spellings = others(name);
    if spellings.is_empty() || fs.find(parent, name).await.is_ok() {
        return Cow::Borrowed(name);
    }
    for spelling in spellings {
        if fs.find(parent, &spelling).await.is_ok() {
            return Cow::Owned(spelling);
        }
    }
    Cow::Borrowed(name)
}

/// The spellings to rename by: source and target. A target that is the source itself in another spelling stays as given, so that a
/// name can be respelt.
pub async fn renamed<'n, F: FileSystem>(
    fs: &F,
    (parent, name): (Ino, &'n [u8]),
    (new_parent, new_name): (Ino, &'n [u8]),
) -> (Cow<'n, [u8]>, Cow<'n, [u8]>) {
    let source = stored(fs, parent, name).await;
    let target = stored(fs, new_parent, new_name).await;
    let is_source = parent == new_parent && source == target;
    (source, if is_source { Cow::Borrowed(new_name) } else { target })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_spellings_that_it_is_not_in() {
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
        assert_eq!(others(composed.as_bytes()), [decomposed.as_bytes()]);
        assert_eq!(others(decomposed.as_bytes()), [composed.as_bytes()]);
        // Half composed, half not: both are tried, composed first.
        let mixed = "\u{e9}e\u{301}";
        assert_eq!(others(mixed.as_bytes()), ["\u{e9}\u{e9}".as_bytes(), "e\u{301}e\u{301}".as_bytes()]);
        // Hangul and marks in another order.
        assert_eq!(others("\u{ac00}".as_bytes()), ["\u{1100}\u{1161}".as_bytes()]);
        let (one_order, other_order) = ("a\u{323}\u{307}", "a\u{307}\u{323}");
        assert!(others(other_order.as_bytes()).contains(&one_order.as_bytes().to_vec()));
    }

    #[test]
    fn names_with_one_spelling_have_no_others() {
        for name in [&b"plain.txt"[..], b"", "\u{3b1}\u{3b2}".as_bytes(), b"\xff\xc3\xa9", "\u{1f600}".as_bytes()] {
            assert!(others(name).is_empty(), "{name:?}");
        }
    }

    #[test]
    fn compatibility_is_not_equivalence() {
        // A ligature and its letters look alike and are two names.
        assert!(others("\u{fb01}".as_bytes()).is_empty());
    }

    #[test]
    fn a_spelling_that_is_too_long_for_an_entry_is_not_tried() {
        let composed = "\u{e9}".repeat(127);
        assert_eq!(composed.len(), 254);
        assert!(others(composed.as_bytes()).is_empty());
    }
}
