//! Reparse points.

use proxyfs_core::fs::FileSystem;
use proxyfs_core::meter::Op;
use winfsp_sys as sys;

use super::{Host, bytes, call, host_of, path, put};
use crate::drive::Answer;
use crate::host::api::ReparseByName;
use crate::host::dispatch::Asked;
use crate::status::Status;

/// Writes where in a path the first reparse point is, if there is one.
///
/// # Safety
/// `fs` is the object of `host`; `file_name` ends with a NUL and may be written meanwhile; `index` is null or may be written.
pub(super) unsafe fn first_on_the_way<F: FileSystem>(
    host: &Host<F>,
    fs: *mut sys::FSP_FILE_SYSTEM,
    file_name: sys::PWSTR,
    index: sys::PUINT32,
) {
    let by_name = Some(reparse_by_name::<F> as ReparseByName);
    // SAFETY: by the caller; the callback is made for this object.
    let _found = unsafe { (host.api.find_reparse_point)(fs, by_name, std::ptr::null_mut(), file_name, index) };
}

/// Answers WinFsp's helpers: the reparse point of a name.
unsafe extern "C" fn reparse_by_name<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    _context: sys::PVOID,
    file_name: sys::PWSTR,
    _is_directory: sys::BOOLEAN,
    buffer: sys::PVOID,
    len: sys::PSIZE_T,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| -> Answer<()> {
        // SAFETY: the name ends with a NUL.
        let path = unsafe { path(file_name) }?;
        let found = host.wait(Asked::query(Op::Readlink), async {
            let place = host.drive.walk(&path).await?;
            host.drive.reparse_of(&place).await
        })?;
        if len.is_null() {
            return Ok(());
        }
        // SAFETY: the buffer has the length that is passed.
        unsafe { put(&found, buffer, len, Status::BUFFER_TOO_SMALL) }
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn resolve_reparse_points<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    file_name: sys::PWSTR,
    index: sys::UINT32,
    resolve_last: sys::BOOLEAN,
    io_status: sys::PIO_STATUS_BLOCK,
    buffer: sys::PVOID,
    len: sys::PSIZE_T,
) -> sys::NTSTATUS {
    // SAFETY: the object is the library's.
    let host = unsafe { host_of::<F>(fs) };
    let by_name = Some(reparse_by_name::<F> as ReparseByName);
    let resolve = host.api.resolve_reparse_points;
    // SAFETY: all that is passed on is as it came; the callback is made for this object.
    unsafe { resolve(fs, by_name, std::ptr::null_mut(), file_name, index, resolve_last, io_status, buffer, len) }
}

pub(super) unsafe extern "C" fn get_reparse_point<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    _file_name: sys::PWSTR,
    buffer: sys::PVOID,
    len: sys::PSIZE_T,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        let found = host.wait(Asked::query(Op::Readlink).on(file.id), host.drive.reparse(&file.open))?;
        // SAFETY: the buffer has the length that is passed.
        unsafe { put(&found, buffer, len, Status::BUFFER_TOO_SMALL) }
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn set_reparse_point<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    file_name: sys::PWSTR,
    buffer: sys::PVOID,
    len: sys::SIZE_T,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        // SAFETY: the name ends with a NUL.
        let path = unsafe { path(file_name) }?;
        // SAFETY: the library passes its length with it.
        let data = unsafe { bytes(buffer, usize::try_from(len).unwrap_or_default()) };
        host.wait(Asked::change(Op::Symlink).on(file.id), host.drive.set_reparse(&file.open, &path, data))
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn delete_reparse_point<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    file_name: sys::PWSTR,
    buffer: sys::PVOID,
    len: sys::SIZE_T,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        // SAFETY: the name ends with a NUL.
        let path = unsafe { path(file_name) }?;
        // SAFETY: the library passes its length with it.
        let data = unsafe { bytes(buffer, usize::try_from(len).unwrap_or_default()) };
        host.wait(Asked::change(Op::Unlink).on(file.id), host.drive.delete_reparse(&file.open, &path, data))
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}
