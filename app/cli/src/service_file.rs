//! The file by which a service manager knows the daemon (a unit of systemd, a property list of launchd): whose it is, and writing it.
//!
//! What stands in it, and by what this program knows its own, is the business of `service` and `launchd`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Service managers refuse files that others may write.
const MODE: u32 = 0o644;

/// What lies where the file belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// One that this program wrote, and may replace or remove.
    Own,
    /// Somebody else's.
    Foreign,
}

/// Looks at the file's place, and gives what it says. `is_own` knows this program's by its text.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn look(place: &Path, is_own: impl FnOnce(&str) -> bool) -> io::Result<(Found, String)> {
    match fs::read_to_string(place) {
        Ok(text) if is_own(&text) => Ok((Found::Own, text)),
        Ok(text) => Ok((Found::Foreign, text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((Found::Nothing, String::new())),
        Err(e) => Err(e),
    }
}

/// Writes the file, whole or not at all, and the directories that lead to it.
///
/// # Errors
/// When the directory does not take it.
pub(crate) fn write(place: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = place.parent() {
        fs::create_dir_all(dir)?;
    }
    let new = place.with_added_extension("new");
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, place)
    })();
    if written.is_err() {
        // The failure above is the one to tell of.
        let _gone = fs::remove_file(&new).is_ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("a/b/x.service");
        for text in ["first, and longer", "second"] {
            write(&place, text).unwrap();
            assert_eq!(fs::read_to_string(&place).unwrap(), text);
        }
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o022, 0);
        assert_eq!(fs::read_dir(dir.path().join("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_take_its_place_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("x.service");
        fs::create_dir(&place).unwrap();
        write(&place, "text").unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_its_own_by_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("x");
        let look = || look(&place, |text| text.starts_with("mine")).unwrap();
        assert_eq!(look(), (Found::Nothing, String::new()));
        for (text, found) in [("mine", Found::Own), ("theirs", Found::Foreign)] {
            write(&place, text).unwrap();
            assert_eq!(look(), (found, text.to_owned()));
        }
    }
}
