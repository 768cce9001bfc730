//! Texts as Windows takes and gives them: UTF-16 with a zero at the end.

use std::ffi::OsStr;
use std::os::windows::ffi::OsStrExt;

use windows_sys::Win32::Foundation::{HLOCAL, LocalFree};
use windows_sys::core::PWSTR;

/// A text with a zero at its end.
pub(crate) fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}

/// A text that Windows has allocated, freed when dropped.
pub(crate) struct LocalText(PWSTR);

impl LocalText {
    /// Takes over a text.
    ///
    /// # Safety
    /// `text` is zero-terminated, was allocated by `LocalAlloc`, and is nobody else's.
    pub(crate) unsafe fn own(text: PWSTR) -> Self {
        Self(text)
    }

    /// Its content.
    pub(crate) fn text(&self) -> String {
        let mut units = Vec::new();
        let mut at = self.0;
        loop {
            // SAFETY: all units up to the first zero belong to the text, and none beyond it is read.
            let unit = unsafe { at.read() };
            if unit == 0 {
                return String::from_utf16_lossy(&units);
            }
            units.push(unit);
            // SAFETY: this unit is not the last one, so the next is in the same allocation.
            at = unsafe { at.add(1) };
        }
    }
}

impl Drop for LocalText {
    fn drop(&mut self) {
        let memory: HLOCAL = self.0.cast();
        // SAFETY: `own` was promised an allocation of `LocalAlloc` that is ours; it is freed once.
        unsafe { LocalFree(memory) };
    }
}
