//! Other processes.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, WAIT_TIMEOUT};
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_SYNCHRONIZE, WaitForSingleObject};

/// Whether a process of this number runs. A number is given anew some time after its process has ended.
#[must_use]
pub fn exists(pid: u32) -> bool {
    // SAFETY: it takes integers only.
    let opened = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, pid) };
    if opened.is_null() {
        // One that runs with other rights is there all the same.
        return io::Error::last_os_error().raw_os_error() == i32::try_from(ERROR_ACCESS_DENIED).ok();
    }
    // SAFETY: the call succeeded, so it is an open handle that is nobody else's.
    let process = unsafe { OwnedHandle::from_raw_handle(opened) };
    // SAFETY: the handle is open; a wait of no time only looks.
    unsafe { WaitForSingleObject(process.as_raw_handle(), 0) == WAIT_TIMEOUT }
}

/// Asks the processes of a group on this console to end, as Ctrl-Break does. A group has the number of the process that it was made for.
///
/// # Errors
/// As Windows gives them, such as without a console.
pub fn send_break(group: u32) -> io::Result<()> {
    // SAFETY: it takes integers only.
    let done = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, group) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_exists_until_it_has_ended() {
        assert!(exists(std::process::id()));
        let mut child = std::process::Command::new("cmd").args(["/c", "exit"]).spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(!exists(pid), "our handle of it is open, so its number is not given anew");
        drop(child);
        assert!(!exists(0xffff_fffc));
    }
}
