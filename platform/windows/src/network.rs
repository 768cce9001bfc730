//! News of the network: addresses that come and go.

use std::io;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::Foundation::{HANDLE, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    CancelMibChangeNotify2, MIB_NOTIFICATION_TYPE, MIB_UNICASTIPADDRESS_ROW, MibDeleteInstance,
    NotifyUnicastIpAddressChange,
};
use windows_sys::Win32::Networking::WinSock::AF_UNSPEC;

/// What happened since the last look. Of the process, as the calls of Windows come without a place for more.
static CHANGED: AtomicBool = AtomicBool::new(false);
static LOST: AtomicBool = AtomicBool::new(false);

/// What is heard of the network for as long as this lives.
#[derive(Debug)]
pub struct News {
    handle: HANDLE,
}

// SAFETY: the handle is used once, to end the news, from whatever thread drops it.
unsafe impl Send for News {}
// SAFETY: as above.
unsafe impl Sync for News {}

/// What a look has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Something has changed.
    pub changed: bool,
    /// An address has gone, and what was connected with it.
    pub lost: bool,
}

impl News {
    /// Begins to listen.
    ///
    /// # Errors
    /// As Windows gives them.
    pub fn listen() -> io::Result<Self> {
        let mut handle = null_mut();
        // SAFETY: the callback uses nothing but statics, so it may be called at any time; `handle` outlives the call.
        let code = unsafe { NotifyUnicastIpAddressChange(AF_UNSPEC, Some(heard), null_mut(), false, &raw mut handle) };
        if code == NO_ERROR {
            Ok(Self { handle })
        } else {
            Err(io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(i32::MAX)))
        }
    }

    /// What happened since the last look.
    #[must_use]
    pub fn look(&self) -> Found {
        Found { changed: CHANGED.swap(false, Ordering::Relaxed), lost: LOST.swap(false, Ordering::Relaxed) }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        // SAFETY: the handle came from the call that this one undoes; it is used once.
        unsafe { CancelMibChangeNotify2(self.handle) };
    }
}

extern "system" fn heard(_: *const core::ffi::c_void, _: *const MIB_UNICASTIPADDRESS_ROW, kind: MIB_NOTIFICATION_TYPE) {
    CHANGED.store(true, Ordering::Relaxed);
    if kind == MibDeleteInstance {
        LOST.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::null;

    use super::*;

    #[test]
    fn an_address_that_has_gone_is_a_loss() {
        let news = News::listen().unwrap();
        let _earlier = news.look();
        heard(null(), null(), MibDeleteInstance);
        assert_eq!(news.look(), Found { changed: true, lost: true });
        heard(null(), null(), MibDeleteInstance + 1);
        assert_eq!(news.look(), Found { changed: true, lost: false });
        assert_eq!(news.look(), Found::default());
    }
}
