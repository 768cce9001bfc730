//! Who runs this process.

use std::ffi::c_void;
use std::io;
use std::ptr::null_mut;

use proxyfs_core::{Error, ErrorKind, Result};
use windows_sys::Win32::Foundation::{CloseHandle, HANDLE};
use windows_sys::Win32::Security::{
    GetLengthSid, GetTokenInformation, PSID, TOKEN_INFORMATION_CLASS, TOKEN_PRIMARY_GROUP, TOKEN_QUERY, TOKEN_USER,
    TokenPrimaryGroup, TokenUser,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use crate::security::Identity;
use crate::sid::Sid;

/// Closes the process's token.
struct Token(HANDLE);

impl Drop for Token {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nobody else has it.
        let _closed = unsafe { CloseHandle(self.0) };
    }
}

/// The user and group of this process, as those of the volume's user `uid` and group `gid`.
///
/// # Errors
/// `Io` when Windows does not say.
pub fn process_identity(uid: u32, gid: u32) -> Result<Identity> {
    let failed = |e: io::Error| Error::with_source(ErrorKind::Io, "cannot find out which user runs this program", e);
    let token = token().map_err(failed)?;
    let user_buffer = information(&token, TokenUser).map_err(failed)?;
    // SAFETY: Windows filled the buffer, which is aligned for pointers, with this structure.
    let user = unsafe { (*user_buffer.as_ptr().cast::<TOKEN_USER>()).User.Sid };
    // SAFETY: the SID lies behind the structure in the buffer, which is still there.
    let user = unsafe { copy(user) };
    let group_buffer = information(&token, TokenPrimaryGroup).map_err(failed)?;
    // SAFETY: Windows filled the buffer, which is aligned for pointers, with this structure.
    let group = unsafe { (*group_buffer.as_ptr().cast::<TOKEN_PRIMARY_GROUP>()).PrimaryGroup };
    // SAFETY: the SID lies behind the structure in the buffer, which is still there.
    let group = unsafe { copy(group) };
    let whole = |sid: Vec<u8>| {
        Sid::parse(&sid).map_err(|status| Error::new(ErrorKind::Io, format!("the process's user: {status}")))
    };
    Ok(Identity { user: whole(user)?, group: whole(group)?, uid, gid })
}

fn token() -> io::Result<Token> {
    let mut token = null_mut();
    // SAFETY: the handle of this process is always valid; the result goes to a local.
    let opened = unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) };
    if opened == 0 { Err(io::Error::last_os_error()) } else { Ok(Token(token)) }
}

/// Information about a token, in a buffer that is aligned for the structures that it may be.
fn information(token: &Token, class: TOKEN_INFORMATION_CLASS) -> io::Result<Vec<u64>> {
    let mut buffer = vec![0u64; 64];
    let mut len = 0;
    let size = u32::try_from(size_of_val(&buffer[..])).unwrap_or(u32::MAX);
    // SAFETY: the token is open; the buffer has the size that is given.
    let got = unsafe { GetTokenInformation(token.0, class, buffer.as_mut_ptr().cast::<c_void>(), size, &raw mut len) };
    if got == 0 { Err(io::Error::last_os_error()) } else { Ok(buffer) }
}

/// The bytes of a SID.
///
/// # Safety
/// `sid` is a SID that Windows made.
unsafe fn copy(sid: PSID) -> Vec<u8> {
    // SAFETY: it is a SID.
    let len = unsafe { GetLengthSid(sid) };
    // SAFETY: a SID has as many bytes as Windows says.
    unsafe { std::slice::from_raw_parts(sid.cast::<u8>(), len as usize) }.to_vec()
}
