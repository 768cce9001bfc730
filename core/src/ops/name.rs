//! Names of directory entries: which are allowed, and the form they are looked up by.
//!
//! On a case-insensitive volume an entry's key holds the folded name and its value the name as given. Folding is Unicode
//! *simple* case folding, one character to one character, as docs/FORMAT.md says; the full folding that most crates offer
//! would also make `ß` and `ss` one name. `icu_casemap` is the Unicode Consortium's own implementation of it.

use std::borrow::Cow;

use icu_casemap::CaseMapper;

use crate::error::{Error, ErrorKind, Result};
use crate::fs::NAME_BYTES_MAX;

use super::OpCx;

/// Fails unless `name` may be the name of an entry that exists: neither empty nor too long, neither `.` nor `..`.
pub(crate) fn check_entry(name: &[u8]) -> Result<()> {
    check_length(name)?;
    if is_dots(name) {
        return Err(Error::new(ErrorKind::InvalidArgument, "`.` and `..` are not entries"));
    }
    Ok(())
}

/// Fails unless an entry may get the name `name`, apart from `.` and `..`, which exist already.
pub(crate) fn check_new(name: &[u8]) -> Result<()> {
    check_length(name)?;
    if name.contains(&b'/') || name.contains(&0) {
        return Err(Error::new(ErrorKind::InvalidArgument, "name with a slash or a NUL"));
    }
    Ok(())
}

/// Fails if `name` is empty or too long.
pub(crate) fn check_length(name: &[u8]) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "empty name"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::new(ErrorKind::NameTooLong, format!("name of {} bytes", name.len())));
    }
    Ok(())
}

/// Whether `name` is one of the two that every directory has without an entry.
pub(crate) fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

/// The form of `name` that an entry's key holds: folded on a case-insensitive volume, else as it is.
///
/// At most one and a half times as long as `name`. Bytes that are not UTF-8 as a whole stay unchanged.
#[must_use]
pub fn key_name<'n>(cx: &OpCx, name: &'n [u8]) -> Cow<'n, [u8]> {
    if !cx.case_insensitive {
        return Cow::Borrowed(name);
    }
    match std::str::from_utf8(name) {
        Ok(text) => {
            let mapper = CaseMapper::new();
            Cow::Owned(text.chars().map(|c| mapper.simple_fold(c)).collect::<String>().into_bytes())
        }
        Err(_) => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(name: &[u8]) -> Vec<u8> {
        key_name(&OpCx { case_insensitive: true, ..OpCx::default() }, name).into_owned()
    }

    #[test]
    fn folding_is_simple_and_leaves_other_bytes_alone() {
        for (name, expected) in [
            ("ReadMe.TXT", "readme.txt"),
            ("ÄÖÜ", "äöü"),
            ("ΣΑΣ", "σασ"),
            ("σας", "σασ"),
            ("Straße", "straße"),
            ("STRASSE", "strasse"),
            ("\u{1E9E}", "ß"),
            ("K\u{212A}", "kk"),
            ("İ", "İ"),
        ] {
            assert_eq!(String::from_utf8_lossy(&folded(name.as_bytes())), expected, "{name}");
        }
        assert_eq!(folded(b"A\xffB"), b"A\xffB");
    }

    #[test]
    fn case_sensitive_names_are_their_own_keys() {
        assert_eq!(key_name(&OpCx::default(), b"ReadMe").as_ref(), b"ReadMe");
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let kind = |answer: Result<()>| answer.map_err(|e| e.kind());
        for (name, as_new, as_entry) in [
            (&b"a"[..], Ok(()), Ok(())),
            (b"...", Ok(()), Ok(())),
            (&[b'x'; 255], Ok(()), Ok(())),
            (&[b'x'; 256], Err(ErrorKind::NameTooLong), Err(ErrorKind::NameTooLong)),
            (b"", Err(ErrorKind::NotFound), Err(ErrorKind::NotFound)),
            (b"a/b", Err(ErrorKind::InvalidArgument), Ok(())),
            (b"a\0", Err(ErrorKind::InvalidArgument), Ok(())),
            (b"..", Ok(()), Err(ErrorKind::InvalidArgument)),
        ] {
            assert_eq!(kind(check_new(name)), as_new, "{name:?}");
            assert_eq!(kind(check_entry(name)), as_entry, "{name:?}");
        }
    }
}
