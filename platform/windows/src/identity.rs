//! Whose process this is, and with what rights it runs.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Security::Authorization::ConvertSidToStringSidW;
use windows_sys::Win32::Security::{
    GetTokenInformation, PSID, TOKEN_ELEVATION, TOKEN_INFORMATION_CLASS, TOKEN_QUERY, TOKEN_USER, TokenElevation,
    TokenUser,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use crate::wide::LocalText;

/// The system itself, as which services run unless they are told otherwise.
pub const SYSTEM: &str = "S-1-5-18";
/// The group of administrators.
pub const ADMINISTRATORS: &str = "S-1-5-32-544";

/// The user of this process, as `S-1-...`.
///
/// # Errors
/// As Windows gives them.
pub fn own_sid() -> io::Result<String> {
    // In eights, for the alignment of what is put there: a TOKEN_USER with the identifier that it points to behind it.
    let mut room = [0_u64; 32];
    let written = query(TokenUser, &mut room)?;
    if written < size_of::<TOKEN_USER>() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: Windows has written a TOKEN_USER at the beginning of `room`, which is aligned for it.
    let user = unsafe { room.as_ptr().cast::<TOKEN_USER>().read() };
    // SAFETY: the identifier that it points to lies in `room`, which outlives the call.
    unsafe { sid_text(user.User.Sid) }
}

/// Whether this process has the rights of an administrator, not only the wish for them.
#[must_use]
pub fn is_elevated() -> bool {
    let mut room = [0_u64; 1];
    // SAFETY: a TOKEN_ELEVATION is one integer, at the beginning of `room`, which is aligned for it.
    query(TokenElevation, &mut room)
        .is_ok_and(|_| unsafe { room.as_ptr().cast::<TOKEN_ELEVATION>().read() }.TokenIsElevated != 0)
}

/// An identifier's text form.
///
/// # Safety
/// `sid` points to a valid identifier.
pub(crate) unsafe fn sid_text(sid: PSID) -> io::Result<String> {
    let mut text = null_mut();
    // SAFETY: the identifier is valid, as the caller promises; `text` outlives the call.
    if unsafe { ConvertSidToStringSidW(sid, &raw mut text) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so `text` is a zero-terminated text that is ours to free.
    Ok(unsafe { LocalText::own(text) }.text())
}

/// Asks something of this process's token; gives the bytes that were written.
fn query(class: TOKEN_INFORMATION_CLASS, room: &mut [u64]) -> io::Result<usize> {
    let token = own_token()?;
    let bytes = u32::try_from(size_of_val(room)).unwrap_or(u32::MAX);
    let mut written = 0;
    // SAFETY: the token is open, `room` has as many bytes as is said, and `written` outlives the call.
    let done =
        unsafe { GetTokenInformation(token.as_raw_handle(), class, room.as_mut_ptr().cast(), bytes, &raw mut written) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(usize::try_from(written).unwrap_or(0)) }
}

fn own_token() -> io::Result<OwnedHandle> {
    let mut token: HANDLE = null_mut();
    // SAFETY: it takes nothing and gives a handle that is always valid and need not be closed.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: the process is our own; `token` outlives the call.
    if unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so `token` is an open handle that is nobody else's.
    Ok(unsafe { OwnedHandle::from_raw_handle(token) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_user_and_rights() {
        let sid = own_sid().unwrap();
        assert!(sid.starts_with("S-1-") && sid.len() > 6, "{sid}");
        assert_eq!(own_sid().unwrap(), sid);
        assert_eq!(is_elevated(), is_elevated());
    }
}
