//! File information, attributes and times, security, extended attributes.

use proxyfs_core::fs::FileSystem;
use proxyfs_core::meter::Op;
use winfsp_sys as sys;

use super::open::self_relative;
use super::{Host, bytes, call, file_info, put, put_part};
use crate::drive::Basic;
use crate::ea;
use crate::host::dispatch::Asked;
use crate::meta::file_attribute as fa;
use crate::status::Status;
use crate::time::from_windows;

pub(super) unsafe extern "C" fn get_file_info<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    info: *mut sys::FSP_FSCTL_FILE_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        let now = host.wait(Asked::query(Op::Getattr).on(file.id), host.drive.info(&file.open))?;
        // SAFETY: it may be written.
        unsafe { info.write(file_info(&now)) };
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn set_basic_info<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    attributes: sys::UINT32,
    creation: sys::UINT64,
    access: sys::UINT64,
    write: sys::UINT64,
    change: sys::UINT64,
    info: *mut sys::FSP_FSCTL_FILE_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        let basic = Basic {
            attributes: Some(attributes).filter(|a| *a != fa::INVALID),
            creation: from_windows(creation),
            access: from_windows(access),
            write: from_windows(write),
            change: from_windows(change),
        };
        let now = host.wait(Asked::change(Op::Setattr).on(file.id), host.drive.set_basic(&file.open, basic))?;
        // SAFETY: it may be written.
        unsafe { info.write(file_info(&now)) };
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn get_security<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    descriptor: sys::PSECURITY_DESCRIPTOR,
    descriptor_len: *mut sys::SIZE_T,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        let found = host.wait(Asked::query(Op::Getxattr).on(file.id), host.drive.security(&file.open))?;
        // SAFETY: the buffer has the length that is passed.
        unsafe { put(&found, descriptor, descriptor_len, Status::BUFFER_OVERFLOW) }
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn set_security<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    parts: sys::SECURITY_INFORMATION,
    change: sys::PSECURITY_DESCRIPTOR,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        // SAFETY: the driver passes a self-relative descriptor.
        let change = unsafe { self_relative(change) }.ok_or(Status::INVALID_SECURITY_DESCR)?;
        host.wait(Asked::change(Op::Setxattr).on(file.id), host.drive.set_security(&file.open, parts, change))
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn get_ea<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    list: sys::PFILE_FULL_EA_INFORMATION,
    list_len: sys::ULONG,
    transferred: sys::PULONG,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        let found = host.wait(Asked::query(Op::Listxattr).on(file.id), host.drive.eas(&file.open))?;
        // SAFETY: the buffer has the length that is passed.
        unsafe { put_part(&ea::build(&found)?, list.cast(), list_len, transferred) }
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn set_ea<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    list: sys::PFILE_FULL_EA_INFORMATION,
    list_len: sys::ULONG,
    info: *mut sys::FSP_FSCTL_FILE_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        // SAFETY: the library passes its length with it.
        let eas = ea::parse(unsafe { bytes(list.cast(), list_len as usize) })?;
        let now = host.wait(Asked::change(Op::Setxattr).on(file.id), host.drive.set_eas(&file.open, &eas))?;
        // SAFETY: it may be written.
        unsafe { info.write(file_info(&now)) };
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}
