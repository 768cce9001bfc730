//! Drive letters.

use windows_sys::Win32::Storage::FileSystem::GetLogicalDrives;

/// Letters in use, in order.
#[must_use]
pub fn in_use() -> Vec<char> {
    // SAFETY: it takes nothing and only looks.
    let bits = unsafe { GetLogicalDrives() };
    ('A'..='Z').enumerate().filter(|(at, _)| bits & 1 << at != 0).map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_own_drive_is_in_use() {
        let windows = std::env::var("SystemRoot").unwrap();
        let system = windows.chars().next().unwrap().to_ascii_uppercase();
        assert!(in_use().contains(&system), "{:?}", in_use());
        assert!(in_use().is_sorted());
    }
}
