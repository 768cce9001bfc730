//! Drive letters, and places where something can be mounted.

use std::path::Path;

use windows_sys::Win32::Storage::FileSystem::GetLogicalDrives;

/// Letters in use, in order.
#[must_use]
pub fn in_use() -> Vec<char> {
    // SAFETY: it takes nothing and only looks.
    let bits = unsafe { GetLogicalDrives() };
    ('A'..='Z').enumerate().filter(|(at, _)| bits & 1 << at != 0).map(|(_, letter)| letter).collect()
}

/// Whether a text is a drive: `X:` or `X:\`.
#[must_use]
pub fn is_drive(text: &str) -> bool {
    let letter = text.trim_end_matches(['\\', '/']).strip_suffix(':');
    letter.is_some_and(|l| l.len() == 1 && l.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Whether a text names a place for a mount in whatever directory a process works: a drive, `*` for any that is free, an absolute path.
#[must_use]
pub fn is_place(text: &str) -> bool {
    text == "*" || is_drive(text) || Path::new(text).is_absolute()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_drives_and_absolute_paths() {
        for place in ["x:", r"X:\", "X:/", "*", r"C:\a\b", r"\\nas\p"] {
            assert!(is_place(place), "{place}");
        }
        for other in ["", "photos", "C:photos", ":", "xy:", "1:", "**", r"\photos"] {
            assert!(!is_place(other), "{other}");
        }
        assert!(is_drive("x:") && !is_drive("*") && !is_drive(r"C:\a"));
    }

    #[test]
    fn the_systems_own_drive_is_in_use() {
        let windows = std::env::var("SystemRoot").unwrap();
        let system = windows.chars().next().unwrap().to_ascii_uppercase();
        assert!(in_use().contains(&system), "{:?}", in_use());
        assert!(in_use().is_sorted());
    }
}
