//! WinFsp's callbacks, thin: take arguments apart, call the drive, fill in the answer.
//!
//! Each is a function for the C interface. [`call`] finds what it works on, contains panics and turns the answer into an NTSTATUS.
//! What they share stands here, the callbacks by subject in the modules.

mod data;
mod dir;
mod meta;
mod open;
mod reparse;
mod volume;

use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, OnceLock};

use proxyfs_core::fs::FileSystem;
use tokio::sync::watch;
use winfsp_sys as sys;

use super::api::Api;
use super::dispatch::{Asked, Dispatcher};
use super::files::{File, Files};
use super::operation::Originals;
use super::volume::Link;
use crate::drive::{Answer, Drive, Info};
use crate::path::Path;
use crate::status::Status;

/// Success.
pub(crate) const SUCCESS: sys::NTSTATUS = 0;

/// What the callbacks of one mount work on.
pub(crate) struct Host<F> {
    pub(crate) api: &'static Api,
    pub(crate) drive: Arc<Drive<F>>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) files: Arc<Files>,
    pub(crate) ended: watch::Sender<bool>,
    /// The library's own operations, which those of `operation` call.
    pub(crate) originals: OnceLock<Originals>,
    /// The way back to the driver, for answers that come later.
    pub(crate) link: OnceLock<Link>,
}

impl<F> fmt::Debug for Host<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("dispatcher", &self.dispatcher).finish_non_exhaustive()
    }
}

impl<F: FileSystem> Host<F> {
    /// Carries out an operation and waits for it.
    fn wait<T>(&self, asked: Asked, operation: impl Future<Output = Answer<T>>) -> Answer<T> {
        self.dispatcher.wait(asked, operation)
    }

    /// The open file of a callback's context.
    fn file(&self, context: sys::PVOID) -> Answer<Arc<File>> {
        self.files.get(context as u64)
    }
}

/// The interface of callbacks for a file system.
pub(crate) fn interface<F: FileSystem>() -> sys::FSP_FILE_SYSTEM_INTERFACE {
    sys::FSP_FILE_SYSTEM_INTERFACE {
        GetVolumeInfo: Some(volume::get_volume_info::<F>),
        SetVolumeLabelW: Some(volume::set_volume_label::<F>),
        DispatcherStopped: Some(volume::dispatcher_stopped::<F>),
        GetSecurityByName: Some(open::get_security_by_name::<F>),
        CreateEx: Some(open::create::<F>),
        Open: Some(open::open::<F>),
        OverwriteEx: Some(open::overwrite::<F>),
        Cleanup: Some(open::cleanup::<F>),
        Close: Some(open::close::<F>),
        CanDelete: Some(open::can_delete::<F>),
        Rename: Some(open::rename::<F>),
        Read: Some(data::read::<F>),
        Write: Some(data::write::<F>),
        Flush: Some(data::flush::<F>),
        SetFileSize: Some(data::set_file_size::<F>),
        GetFileInfo: Some(meta::get_file_info::<F>),
        SetBasicInfo: Some(meta::set_basic_info::<F>),
        GetSecurity: Some(meta::get_security::<F>),
        SetSecurity: Some(meta::set_security::<F>),
        GetEa: Some(meta::get_ea::<F>),
        SetEa: Some(meta::set_ea::<F>),
        ReadDirectory: Some(dir::read_directory::<F>),
        GetDirInfoByName: Some(dir::get_dir_info_by_name::<F>),
        GetStreamInfo: Some(dir::get_stream_info::<F>),
        ResolveReparsePoints: Some(reparse::resolve_reparse_points::<F>),
        GetReparsePoint: Some(reparse::get_reparse_point::<F>),
        SetReparsePoint: Some(reparse::set_reparse_point::<F>),
        DeleteReparsePoint: Some(reparse::delete_reparse_point::<F>),
        ..sys::FSP_FILE_SYSTEM_INTERFACE::default()
    }
}

/// What a file-system object works on.
///
/// # Safety
/// `fs` is an object of WinFsp whose context is a [`Host`] of this type, for as long as the reference is used. [`super::volume`]
/// sets it so, and keeps it until no thread of the library is left.
pub(crate) unsafe fn host_of<'a, F>(fs: *mut sys::FSP_FILE_SYSTEM) -> &'a Host<F> {
    // SAFETY: the library passes the object that it was given.
    let context = unsafe { (*fs).UserContext };
    // SAFETY: by the caller.
    unsafe { &*context.cast_const().cast::<Host<F>>() }
}

/// Runs a callback's `body`.
///
/// # Safety
/// As for [`host_of`].
unsafe fn call<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    body: impl FnOnce(&Host<F>) -> Answer<()>,
) -> sys::NTSTATUS {
    // SAFETY: by the caller.
    let host = unsafe { host_of::<F>(fs) };
    match host.dispatcher.contain(|| body(host)) {
        Ok(()) => SUCCESS,
        Err(status) => ntstatus(status),
    }
}

/// A status as the C interface has it.
pub(crate) fn ntstatus(status: Status) -> sys::NTSTATUS {
    status.0.cast_signed()
}

/// Text that ends with a NUL, without it.
///
/// # Safety
/// `text` is null, or text that ends with a NUL and stays as it is for as long as the slice is used.
unsafe fn text<'a>(text: sys::PWSTR) -> Option<&'a [u16]> {
    if text.is_null() {
        return None;
    }
    let mut len = 0;
    // SAFETY: no unit before the NUL is passed over.
    while unsafe { *text.add(len) } != 0 {
        len += 1;
    }
    // SAFETY: so many units there are.
    Some(unsafe { std::slice::from_raw_parts(text, len) })
}

/// A path that ends with a NUL.
///
/// # Safety
/// As for [`text`].
unsafe fn path(name: sys::PWSTR) -> Answer<Path> {
    // SAFETY: by the caller.
    let name = unsafe { text(name) };
    Path::parse(name.ok_or(Status::OBJECT_NAME_INVALID)?)
}

/// Bytes that the library passes.
///
/// # Safety
/// `start` is null, or has `len` bytes that stay as they are for as long as the slice is used.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> &'a [u8] {
    if start.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: by the caller.
    unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) }
}

/// Copies all of `from` to where the library wants it, and says how much it is.
///
/// # Safety
/// `to` is null or has room for `*len` bytes; `len` may be read and written.
///
/// # Errors
/// `short` when there is too little room; `*len` then is how much is needed.
unsafe fn put(from: &[u8], to: *mut c_void, len: *mut sys::SIZE_T, short: Status) -> Answer<()> {
    // SAFETY: by the caller.
    let room = unsafe { len.replace(from.len() as sys::SIZE_T) };
    if to.is_null() {
        return Ok(());
    }
    if room < from.len() as sys::SIZE_T {
        return Err(short);
    }
    // SAFETY: there is room for it, and the two do not overlap, as one is ours.
    unsafe { to.cast::<u8>().copy_from_nonoverlapping(from.as_ptr(), from.len()) };
    Ok(())
}

/// As [`put`], for a length of 32 bits that is only written.
///
/// # Safety
/// `to` has room for `room` bytes; `written` may be written.
unsafe fn put_part(from: &[u8], to: *mut c_void, room: u32, written: sys::PULONG) -> Answer<()> {
    let len = u32::try_from(from.len()).ok().filter(|len| *len <= room).ok_or(Status::BUFFER_OVERFLOW)?;
    if len > 0 {
        // SAFETY: there is room for it, and the two do not overlap, as one is ours.
        unsafe { to.cast::<u8>().copy_from_nonoverlapping(from.as_ptr(), from.len()) };
    }
    // SAFETY: by the caller.
    unsafe { written.write(len) };
    Ok(())
}

/// Information about a file as the library wants it.
pub(crate) fn file_info(info: &Info) -> sys::FSP_FSCTL_FILE_INFO {
    sys::FSP_FSCTL_FILE_INFO {
        FileAttributes: info.attributes,
        ReparseTag: info.reparse_tag,
        AllocationSize: info.allocation_size,
        FileSize: info.file_size,
        CreationTime: info.creation_time,
        LastAccessTime: info.last_access_time,
        LastWriteTime: info.last_write_time,
        ChangeTime: info.change_time,
        IndexNumber: info.index_number,
        HardLinks: 0,
        EaSize: info.ea_size,
    }
}
