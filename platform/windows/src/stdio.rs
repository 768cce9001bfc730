//! Where this process's standard output and error go.

use std::fs::File;
use std::io;
use std::os::windows::io::IntoRawHandle;

use windows_sys::Win32::System::Console::{STD_ERROR_HANDLE, STD_HANDLE, STD_OUTPUT_HANDLE, SetStdHandle};

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

impl Stream {
    fn code(self) -> STD_HANDLE {
        match self {
            Self::Output => STD_OUTPUT_HANDLE,
            Self::Error => STD_ERROR_HANDLE,
        }
    }
}

/// Sends a stream to `file` from now on. Rust's own streams ask for the handle each time they write. The former one stays open, as
/// others in the process may use it.
///
/// # Errors
/// As Windows gives them.
pub fn redirect(stream: Stream, file: File) -> io::Result<()> {
    // SAFETY: the handle is open, and is nobody else's from here on: it stays open for as long as the process lives.
    let done = unsafe { SetStdHandle(stream.code(), file.into_raw_handle()) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Closes a standard stream for whoever reads it at the other end, and sends what is written to it nowhere from now on.
///
/// # Errors
/// As Windows gives them.
pub fn close(stream: Stream) -> io::Result<()> {
    use std::os::windows::io::{FromRawHandle, OwnedHandle};
    use windows_sys::Win32::System::Console::GetStdHandle;

    // SAFETY: it takes an integer.
    let former = unsafe { GetStdHandle(stream.code()) };
    redirect(stream, File::options().write(true).open("NUL")?)?;
    if !former.is_null() && former != windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE {
        // SAFETY: it was this process's standard stream, which nobody finds any more; it is closed once.
        drop(unsafe { OwnedHandle::from_raw_handle(former) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_written_to_a_redirected_stream_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        redirect(Stream::Error, File::create(&path).unwrap()).unwrap();
        io::stderr().write_all(b"into the file").unwrap();
        close(Stream::Error).unwrap();
        io::stderr().write_all(b"nowhere").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"into the file");
    }
}
