//! Entries in the log of the system, which Windows' Event Viewer shows.
//!
//! An entry names an event of a message file; where the file is registered is up to the installer of the program. Entries without one are
//! kept as well, and shown with a remark.

use std::io;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE, REPORT_EVENT_TYPE,
    RegisterEventSourceW, ReportEventW,
};

use crate::wide::wide;

/// Longest text of an entry in UTF-16 units (ReportEventW's documentation: 31,839 characters).
const TEXT_UNITS_MAX: usize = 31_000;

/// How serious an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An error.
    Error,
    /// A warning.
    Warning,
    /// Something else worth knowing.
    Information,
}

impl Level {
    fn code(self) -> REPORT_EVENT_TYPE {
        match self {
            Self::Error => EVENTLOG_ERROR_TYPE,
            Self::Warning => EVENTLOG_WARNING_TYPE,
            Self::Information => EVENTLOG_INFORMATION_TYPE,
        }
    }
}

/// A source of entries.
#[derive(Debug)]
pub struct EventLog(HANDLE);

// SAFETY: Windows lets any thread use the handle.
unsafe impl Send for EventLog {}
// SAFETY: as above.
unsafe impl Sync for EventLog {}

impl EventLog {
    /// Opens the log for entries of `source`.
    ///
    /// # Errors
    /// As Windows gives them.
    pub fn open(source: &str) -> io::Result<Self> {
        let source = wide(source);
        // SAFETY: no server means this computer; the name is zero-terminated.
        let handle = unsafe { RegisterEventSourceW(null(), source.as_ptr()) };
        if handle.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(handle)) }
    }

    /// Writes an entry. `event` is the number of a message that has a place for one text.
    ///
    /// # Errors
    /// As Windows gives them.
    pub fn write(&self, level: Level, event: u32, text: &str) -> io::Result<()> {
        let mut text: Vec<u16> = text.encode_utf16().filter(|unit| *unit != 0).take(TEXT_UNITS_MAX).collect();
        text.push(0);
        let texts = [text.as_ptr()];
        // SAFETY: the handle is open; there is one zero-terminated text, no user and no further data.
        let done = unsafe { ReportEventW(self.0, level.code(), 0, event, null_mut(), 1, 0, texts.as_ptr(), null()) };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        // SAFETY: the handle is open and is closed once.
        unsafe { DeregisterEventSource(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_every_level_and_length_are_taken() {
        let log = EventLog::open("ProxyFS test").unwrap();
        for level in [Level::Error, Level::Warning, Level::Information] {
            log.write(level, 1, "a volume was mounted").unwrap();
        }
        log.write(Level::Information, 1, &"long\0".repeat(20_000)).unwrap();
    }
}
