//! Security descriptors: who owns a thing, and who may do what with it.
//!
//! Made from the text form (SDDL), which is what Windows' own documents and tools show.

use std::ffi::c_void;
use std::io;
use std::path::Path;
use std::ptr::{NonNull, null_mut};

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW, ConvertStringSecurityDescriptorToSecurityDescriptorW,
    GetNamedSecurityInfoW, SDDL_REVISION_1, SE_FILE_OBJECT,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR,
    SECURITY_ATTRIBUTES, SetFileSecurityW,
};
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;

use crate::identity::{ADMINISTRATORS, SYSTEM, own_sid};
use crate::wide::{LocalText, wide};

/// Anyone who comes over the network.
const NETWORK: &str = "S-1-5-2";

/// A security descriptor.
#[derive(Debug)]
pub struct Descriptor(NonNull<c_void>);

// SAFETY: it is memory that nobody changes once it is made.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Sync for Descriptor {}

impl Descriptor {
    /// From its text form.
    ///
    /// # Errors
    /// When Windows does not understand it.
    pub fn from_sddl(text: &str) -> io::Result<Self> {
        let text = wide(text);
        let mut made: PSECURITY_DESCRIPTOR = null_mut();
        // SAFETY: the text is zero-terminated, `made` outlives the call; the size is not asked for.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut made,
                null_mut(),
            )
        };
        match NonNull::new(made) {
            Some(made) if done != 0 => Ok(Self(made)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Full rights for this process's user, the system and administrators, on this computer only; nothing for anybody else.
    ///
    /// # Errors
    /// When Windows does not say who this process's user is.
    pub fn private() -> io::Result<Self> {
        Self::from_sddl(&private_sddl(&own_sid()?))
    }

    /// Owner and access list in the text form.
    ///
    /// # Errors
    /// As Windows gives them.
    pub fn to_sddl(&self) -> io::Result<String> {
        let mut text = null_mut();
        // SAFETY: the descriptor is a valid one for as long as `self` lives; `text` outlives the call.
        let done = unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                self.0.as_ptr(),
                SDDL_REVISION_1,
                OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                &raw mut text,
                null_mut(),
            )
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so `text` is a zero-terminated text that is ours to free.
        Ok(unsafe { LocalText::own(text) }.text())
    }

    /// Takes over a descriptor that Windows has made.
    ///
    /// # Safety
    /// It is a valid descriptor, was allocated by `LocalAlloc`, and is nobody else's.
    pub(crate) unsafe fn own(made: NonNull<c_void>) -> Self {
        Self(made)
    }

    /// For calls that make something. The result points into `self`; what is made is not inherited by other processes.
    pub(crate) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(0),
            lpSecurityDescriptor: self.0.as_ptr(),
            bInheritHandle: 0,
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: it was allocated by `LocalAlloc` and is freed once.
        unsafe { LocalFree(self.0.as_ptr()) };
    }
}

/// Owner `sid`; a protected access list. Refusals come first, as Windows takes entries in their order.
fn private_sddl(sid: &str) -> String {
    let own = if sid == SYSTEM { String::new() } else { format!("(A;;GA;;;{sid})") };
    format!("O:{sid}D:P(D;;GA;;;{NETWORK})(A;;GA;;;{SYSTEM})(A;;GA;;;{ADMINISTRATORS}){own}")
}

/// Owner `sid`; full rights for it, the system and administrators, also on what will be in the directory.
fn private_dir_sddl(sid: &str) -> String {
    let own = if sid == SYSTEM { String::new() } else { format!("(A;OICI;FA;;;{sid})") };
    format!("O:{sid}D:P(A;OICI;FA;;;{SYSTEM})(A;OICI;FA;;;{ADMINISTRATORS}){own}")
}

/// Makes a directory that only this process's user, the system and administrators can enter. Its parent must be there.
///
/// # Errors
/// `AlreadyExists`, or as Windows gives them.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    let who = Descriptor::from_sddl(&private_dir_sddl(&own_sid()?))?;
    let (name, attributes) = (wide(path), who.attributes());
    // SAFETY: the name is zero-terminated; the attributes point into `who`, which outlives the call.
    let done = unsafe { CreateDirectoryW(name.as_ptr(), &raw const attributes) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has a directory that is there belong to the administrators, and takes everybody else's rights but the system's away: whoever made it
/// has none any more.
///
/// # Errors
/// As Windows gives them; only administrators may.
pub fn make_private(path: &Path) -> io::Result<()> {
    let who = Descriptor::from_sddl(&private_dir_sddl(ADMINISTRATORS))?;
    let name = wide(path);
    let what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    // SAFETY: the name is zero-terminated; the descriptor is a valid one that outlives the call.
    let done = unsafe { SetFileSecurityW(name.as_ptr(), what, who.0.as_ptr()) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Owner and access list of a file or directory, in the text form.
///
/// # Errors
/// As Windows gives them.
pub fn of_file(path: &Path) -> io::Result<String> {
    let (name, mut owner, mut descriptor) = (wide(path), null_mut(), null_mut());
    // SAFETY: the name is zero-terminated; what is not asked for is null; the rest outlives the call.
    let code = unsafe {
        GetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            &raw mut owner,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut descriptor,
        )
    };
    if code != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(i32::MAX)));
    }
    let descriptor = NonNull::new(descriptor).ok_or(io::ErrorKind::InvalidData)?;
    // SAFETY: the call succeeded, so it is a valid descriptor that is ours to free.
    unsafe { Descriptor::own(descriptor) }.to_sddl()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_thing_is_for_its_user_the_system_and_administrators() {
        let sddl = private_sddl("S-1-5-21-1-2-3-1001");
        assert_eq!(
            sddl,
            "O:S-1-5-21-1-2-3-1001D:P(D;;GA;;;S-1-5-2)(A;;GA;;;S-1-5-18)(A;;GA;;;S-1-5-32-544)(A;;GA;;;S-1-5-21-1-2-3-1001)"
        );
        assert_eq!(private_sddl(SYSTEM), "O:S-1-5-18D:P(D;;GA;;;S-1-5-2)(A;;GA;;;S-1-5-18)(A;;GA;;;S-1-5-32-544)");
    }

    #[test]
    fn descriptors_are_made_of_text_and_shown_as_text() {
        let shown = Descriptor::private().unwrap().to_sddl().unwrap();
        assert_eq!(shown.matches("(A;").count(), if own_sid().unwrap() == SYSTEM { 2 } else { 3 }, "{shown}");
        assert!(shown.contains("D:P(D;;GA;;;NU)"), "{shown}");
        assert!(Descriptor::from_sddl("D:(nonsense").is_err());
    }

    #[test]
    fn a_directory_lets_its_user_in_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own");
        create_private_dir(&path).unwrap();
        std::fs::write(path.join("file"), "x").unwrap();
        assert_eq!(create_private_dir(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        make_private(&path).unwrap();
        assert_eq!(std::fs::read(path.join("file")).unwrap(), b"x");
        let shown = of_file(&path).unwrap();
        assert!(!shown.contains(";;;WD)") && !shown.contains(";;;BU)"), "neither everyone nor users: {shown}");
    }
}
