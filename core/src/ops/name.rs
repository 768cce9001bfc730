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

/// What a name is to be used for; decides what `.` and `..` are answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be created.
    Create,
    /// To be removed as something that is not a directory.
    Unlink,
    /// To be removed as a directory.
    Rmdir,
    /// Either end of a rename.
    Rename,
}

/// Fails unless `name` may be the name of an entry. For [`Purpose::Create`] with `.` or `..`: they exist already.
pub(crate) fn check(name: &[u8], purpose: Purpose) -> Result<()> {
    check_form(name)?;
    let dot = match name {
        b"." => true,
        b".." => false,
        _ => return Ok(()),
    };
    Err(match purpose {
        Purpose::Create => Error::new(ErrorKind::AlreadyExists, "`.` and `..` always exist"),
        Purpose::Unlink => Error::new(ErrorKind::IsADirectory, "`.` and `..` are directories"),
        Purpose::Rmdir if dot => Error::new(ErrorKind::InvalidArgument, "`.` cannot be removed"),
        Purpose::Rmdir => Error::new(ErrorKind::NotEmpty, "`..` holds this directory"),
        Purpose::Rename => Error::new(ErrorKind::Busy, "`.` and `..` cannot be renamed"),
    })
}

/// Fails unless `name` has the form of a name; `.` and `..` have it.
pub(crate) fn check_form(name: &[u8]) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "empty name"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::new(ErrorKind::NameTooLong, format!("name of {} bytes", name.len())));
    }
    if name.contains(&b'/') || name.contains(&0) {
        return Err(Error::new(ErrorKind::InvalidArgument, "name with a slash or a NUL"));
    }
    Ok(())
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
    fn names_that_cannot_be_are_refused_by_purpose() {
        let kind = |name: &[u8], purpose| check(name, purpose).map_err(|e| e.kind());
        assert_eq!(kind(b"", Purpose::Create), Err(ErrorKind::NotFound));
        assert_eq!(kind(b"a/b", Purpose::Create), Err(ErrorKind::InvalidArgument));
        assert_eq!(kind(b"a\0", Purpose::Create), Err(ErrorKind::InvalidArgument));
        assert_eq!(kind(&[b'x'; 256], Purpose::Create), Err(ErrorKind::NameTooLong));
        assert_eq!(kind(&[b'x'; 255], Purpose::Create), Ok(()));
        assert_eq!(kind(b"...", Purpose::Create), Ok(()));
        assert_eq!(kind(b".", Purpose::Create), Err(ErrorKind::AlreadyExists));
        assert_eq!(kind(b"..", Purpose::Unlink), Err(ErrorKind::IsADirectory));
        assert_eq!(kind(b".", Purpose::Rmdir), Err(ErrorKind::InvalidArgument));
        assert_eq!(kind(b"..", Purpose::Rmdir), Err(ErrorKind::NotEmpty));
        assert_eq!(kind(b"..", Purpose::Rename), Err(ErrorKind::Busy));
    }
}
