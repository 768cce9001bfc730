//! Holding up the end of a user's session (logging off, shutting down) with a reason that Windows shows.
//!
//! Windows asks windows, so there is one that nobody sees, with a thread of its own. There is at most one in a process. A process with a
//! window is not told of the end by console events any more, so what is to be done then is given here.

use std::io;
use std::ptr::null_mut;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

use windows_sys::Win32::Foundation::{HWND, LPARAM, LRESULT, WPARAM};
use windows_sys::Win32::System::Shutdown::{ShutdownBlockReasonCreate, ShutdownBlockReasonDestroy};
use windows_sys::Win32::UI::WindowsAndMessaging::{
    CreateWindowExW, DefWindowProcW, DispatchMessageW, GetMessageW, MSG, PostMessageW, RegisterClassW, WM_APP,
    WM_ENDSESSION, WM_QUERYENDSESSION, WNDCLASSW,
};

use crate::wide::wide;

const CLASS: &str = "ProxyFS session end";
/// The reason has changed.
const CHANGED: u32 = WM_APP;

/// Why the session must not end yet, if there is a reason.
static REASON: Mutex<Option<String>> = Mutex::new(None);
/// What is done when it ends all the same.
static AT_END: OnceLock<fn()> = OnceLock::new();

/// The window that Windows asks. It stays until the process ends.
#[derive(Debug)]
pub struct SessionEnd(HWND);

// SAFETY: all that is done with the handle is posting messages, which any thread may.
unsafe impl Send for SessionEnd {}
// SAFETY: as above.
unsafe impl Sync for SessionEnd {}

impl SessionEnd {
    /// Makes the window. `at_end` is called in its thread when the session ends; Windows gives it 5 seconds.
    ///
    /// # Errors
    /// As Windows gives them, such as where there is no desktop.
    pub fn watch(at_end: fn()) -> io::Result<Self> {
        Self::below(null_mut(), at_end)
    }

    fn below(parent: HWND, at_end: fn()) -> io::Result<Self> {
        AT_END.get_or_init(|| at_end);
        let (sender, made) = channel();
        let parent = parent as usize;
        std::thread::Builder::new().name("session-end".to_owned()).spawn(move || serve(parent, &sender))?;
        let window = made.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
        Ok(Self(window as HWND))
    }

    /// Holds the end up, or lets it go on.
    ///
    /// # Errors
    /// As Windows gives them.
    pub fn hold(&self, reason: Option<&str>) -> io::Result<()> {
        *REASON.lock().unwrap_or_else(PoisonError::into_inner) = reason.map(str::to_owned);
        // SAFETY: the window lives as long as the process; the message carries no pointer.
        let posted = unsafe { PostMessageW(self.0, CHANGED, 0, 0) };
        if posted == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// The thread: makes the window and serves it.
fn serve(parent: usize, made: &Sender<io::Result<usize>>) {
    let name = wide(CLASS);
    let class = WNDCLASSW {
        style: 0,
        lpfnWndProc: Some(asked),
        cbClsExtra: 0,
        cbWndExtra: 0,
        hInstance: null_mut(),
        hIcon: null_mut(),
        hCursor: null_mut(),
        hbrBackground: null_mut(),
        lpszMenuName: std::ptr::null(),
        lpszClassName: name.as_ptr(),
    };
    // SAFETY: the structure and the name that it points to outlive the call, which copies both. That the class is there already is fine.
    let _registered = unsafe { RegisterClassW(&raw const class) };
    // SAFETY: both texts are zero-terminated; the parent is none, or the constant for windows that only take messages; no pointer is kept.
    let window = unsafe {
        CreateWindowExW(
            0,
            name.as_ptr(),
            name.as_ptr(),
            0,
            0,
            0,
            0,
            0,
            parent as HWND,
            null_mut(),
            null_mut(),
            null_mut(),
        )
    };
    if window.is_null() {
        // Whoever waits for it is there.
        let _told = made.send(Err(io::Error::last_os_error())).is_ok();
        return;
    }
    let _told = made.send(Ok(window as usize)).is_ok();
    let mut message = MSG::default();
    // SAFETY: `message` outlives the call.
    while unsafe { GetMessageW(&raw mut message, null_mut(), 0, 0) } > 0 {
        // SAFETY: it is the message that Windows has just given.
        unsafe { DispatchMessageW(&raw const message) };
    }
}

/// What Windows asks of the window.
unsafe extern "system" fn asked(window: HWND, message: u32, word: WPARAM, long: LPARAM) -> LRESULT {
    let reason = || REASON.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match message {
        CHANGED => {
            if let Some(reason) = reason() {
                let reason = wide(reason);
                // SAFETY: the window is this thread's own; the text is zero-terminated and copied.
                unsafe { ShutdownBlockReasonCreate(window, reason.as_ptr()) };
            } else {
                // SAFETY: the window is this thread's own.
                unsafe { ShutdownBlockReasonDestroy(window) };
            }
            0
        }
        WM_QUERYENDSESSION => LRESULT::from(reason().is_none()),
        WM_ENDSESSION => {
            if word != 0
                && let Some(at_end) = AT_END.get()
            {
                at_end();
            }
            0
        }
        // SAFETY: these are the arguments that Windows has just given.
        _ => unsafe { DefWindowProcW(window, message, word, long) },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use windows_sys::Win32::UI::WindowsAndMessaging::{HWND_MESSAGE, SendMessageW};

    use super::*;

    static ENDED: AtomicBool = AtomicBool::new(false);

    #[test]
    fn the_end_of_a_session_waits_while_there_is_a_reason() {
        // A window that only takes messages needs no desktop; Windows itself would not ask it.
        let end = SessionEnd::below(HWND_MESSAGE, || ENDED.store(true, Ordering::Relaxed)).unwrap();
        // SAFETY: the window is there, and the messages carry no pointer.
        let ask = |message, word| unsafe { SendMessageW(end.0, message, word, 0) };
        assert_eq!(ask(WM_QUERYENDSESSION, 0), 1);
        end.hold(Some("changes are not safe yet: photos")).unwrap();
        assert_eq!(ask(WM_QUERYENDSESSION, 0), 0);
        end.hold(None).unwrap();
        assert_eq!(ask(WM_QUERYENDSESSION, 0), 1);
        ask(WM_ENDSESSION, 0);
        assert!(!ENDED.load(Ordering::Relaxed), "the end was called off");
        ask(WM_ENDSESSION, 1);
        assert!(ENDED.load(Ordering::Relaxed));
    }
}
