//! WinFsp's object for a volume: made, mounted, started, stopped and deleted in the right order.

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::os::windows::io::IntoRawHandle;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use proxyfs_core::fs::FileSystem;
use proxyfs_core::{Error, ErrorKind, Result};
use winfsp_sys as sys;

use super::api::{Api, wide};
use super::callbacks::{Host, interface};
use super::operation::{self, Originals};
use crate::status::Status;

/// The driver's devices for local disks and for the network.
const DISK_DEVICE: &str = "WinFsp.Disk";
const NET_DEVICE: &str = "WinFsp.Net";
/// All kinds of requests, for the debug log.
const LOG_EVERYTHING: u32 = u32::MAX;

/// The way to the driver, through the library's object of one volume.
#[derive(Clone)]
pub(crate) struct Link {
    api: &'static Api,
    object: *mut sys::FSP_FILE_SYSTEM,
}

// SAFETY: the library lets any thread send answers and notifications; whoever holds a link sees to it that the object is there.
unsafe impl Send for Link {}
// SAFETY: as for `Send`.
unsafe impl Sync for Link {}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    /// The object.
    pub(crate) fn object(&self) -> *mut sys::FSP_FILE_SYSTEM {
        self.object
    }

    /// The library.
    pub(crate) fn api(&self) -> &'static Api {
        self.api
    }

    /// Sends an answer.
    ///
    /// # Safety
    /// The object is there; `response` is whole.
    pub(crate) unsafe fn send(&self, response: *mut sys::FSP_FSCTL_TRANSACT_RSP) {
        // SAFETY: by the caller.
        unsafe { (self.api.send_response)(self.object, response) };
    }
}

/// A volume of WinFsp.
pub(crate) struct Volume {
    /// `None` once it is deleted.
    link: Arc<RwLock<Option<Link>>>,
    /// Mounting, stopping and deleting are not to meet.
    changing: Mutex<()>,
    /// What the object points to: it goes after the object.
    _interface: Box<sys::FSP_FILE_SYSTEM_INTERFACE>,
    _host: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the interface is a table of functions that nobody changes; all else is `Send` by itself.
unsafe impl Send for Volume {}
// SAFETY: as for `Send`.
unsafe impl Sync for Volume {}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume").field("deleted", &self.link.read().is_none()).finish_non_exhaustive()
    }
}

impl Volume {
    /// A volume for `host`, which nobody can reach yet.
    pub(crate) fn create<F: FileSystem>(
        api: &'static Api,
        params: &sys::FSP_FSCTL_VOLUME_PARAMS,
        host: Arc<Host<F>>,
        debug_log: Option<&Path>,
    ) -> Result<Self> {
        let interface = Box::new(interface::<F>());
        let device = wide(if params.Prefix[0] == 0 { DISK_DEVICE } else { NET_DEVICE });
        let mut object = std::ptr::null_mut();
        // SAFETY: the name ends with a NUL; the interface lives longer than the object.
        let status =
            unsafe { (api.create)(device.as_ptr().cast_mut(), params, &raw const *interface, &raw mut object) };
        if status < 0 || object.is_null() {
            let why = "WinFsp refuses to make a volume: look whether its service runs, or install it anew from https://winfsp.dev/rel/";
            return Err(failed(why, status));
        }
        let link = Link { api, object };
        let context = Arc::as_ptr(&host).cast_mut().cast();
        // SAFETY: the object was just made, and no thread of the library is there yet.
        unsafe { (*object).UserContext = context };
        // SAFETY: as above.
        let originals: Originals = unsafe { (*object).Operations };
        for (kind, original) in (0..).zip(&originals) {
            if original.is_some() {
                // SAFETY: as above; the operation is one for objects with this context.
                unsafe { (api.set_operation)(object, kind, Some(operation::operation::<F>)) };
            }
        }
        // SAFETY: as above.
        unsafe { (api.set_operation_guard)(object, None, None) };
        let _first = host.originals.set(originals).is_ok() && host.link.set(link.clone()).is_ok();
        let volume = Self {
            link: Arc::new(RwLock::new(Some(link))),
            changing: Mutex::new(()),
            _interface: interface,
            _host: host,
        };
        if let Some(path) = debug_log {
            volume.log_to(path)?;
        }
        Ok(volume)
    }

    fn log_to(&self, path: &Path) -> Result<()> {
        let file = File::create(path).map_err(|e| {
            Error::with_source(ErrorKind::Io, format!("cannot write the debug log to {}", path.display()), e)
        })?;
        if let Some(link) = self.link.read().as_ref() {
            // SAFETY: the library keeps the handle for as long as the process lives, and nobody else has it.
            unsafe { (link.api.debug_log_handle)(file.into_raw_handle().cast()) };
            // SAFETY: the object is there.
            unsafe { (link.api.set_debug_log)(link.object, LOG_EVERYTHING) };
        }
        Ok(())
    }

    /// The way to the driver, which is empty once the volume is deleted.
    pub(crate) fn link(&self) -> Arc<RwLock<Option<Link>>> {
        Arc::clone(&self.link)
    }

    /// Begins to take requests.
    pub(crate) fn start(&self, threads: u32) -> Result<()> {
        let _one = self.changing.lock();
        let guard = self.link.read();
        let Some(link) = guard.as_ref() else { return Ok(()) };
        // SAFETY: the object is there.
        let status = unsafe { (link.api.start_dispatcher)(link.object, threads) };
        if status < 0 { Err(failed("WinFsp cannot start its threads", status)) } else { Ok(()) }
    }

    /// Shows the volume at a letter or as a directory; without one at the last free letter. Gives where it is.
    pub(crate) fn show_at(&self, place: Option<&str>) -> Result<String> {
        let _one = self.changing.lock();
        let guard = self.link.read();
        let Some(link) = guard.as_ref() else { return Ok(String::new()) };
        let text = place.map(wide);
        let text = text.as_ref().map_or(std::ptr::null_mut(), |text| text.as_ptr().cast_mut());
        // SAFETY: the object is there; the text is null or ends with a NUL, and is copied.
        let status = unsafe { (link.api.set_mount_point)(link.object, text) };
        if status < 0 {
            let shown = place.unwrap_or("a free drive letter");
            let what = format!("Windows does not show the volume at {shown}: choose another place");
            return Err(failed(&what, status));
        }
        // SAFETY: the object is there, and nobody changes its mount point meanwhile.
        let at = unsafe { (*link.object).MountPoint };
        let mut len = 0;
        // SAFETY: the library's text ends with a NUL.
        while !at.is_null() && unsafe { *at.add(len) } != 0 {
            len += 1;
        }
        if at.is_null() {
            return Ok(String::new());
        }
        // SAFETY: so many units there are.
        Ok(String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(at, len) }))
    }

    /// Shows it nowhere any more.
    pub(crate) fn hide(&self) {
        let _one = self.changing.lock();
        if let Some(link) = self.link.read().as_ref() {
            // SAFETY: the object is there.
            unsafe { (link.api.remove_mount_point)(link.object) };
        }
    }

    /// Ends the library's threads and deletes the object. No answer may be owed any more.
    pub(crate) fn delete(&self) {
        let _one = self.changing.lock();
        {
            let guard = self.link.read();
            let Some(link) = guard.as_ref() else { return };
            // SAFETY: the object is there.
            unsafe { (link.api.stop_dispatcher)(link.object) };
        }
        if let Some(link) = self.link.write().take() {
            // SAFETY: its threads have ended, and nobody has a way to it any more.
            unsafe { (link.api.delete)(link.object) };
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.hide();
        self.delete();
    }
}

fn failed(what: &str, status: sys::NTSTATUS) -> Error {
    Error::new(ErrorKind::Io, format!("{what} ({})", Status(status.cast_unsigned())))
}
