//! Opening, creating, overwriting, cleanup, closing, deletion and renaming.

use proxyfs_core::fs::FileSystem;
use proxyfs_core::meter::Op;
use windows_sys::Win32::Security::GetSecurityDescriptorLength;
use winfsp_sys as sys;

use super::{Host, SUCCESS, bytes, call, file_info, host_of, ntstatus, path, put, reparse, text};
use crate::drive::{Answer, Cleanup, CreateWish, Opened, Replace};
use crate::ea;
use crate::host::dispatch::Asked;
use crate::host::operation;
use crate::meta::file_attribute as fa;
use crate::name;
use crate::path::Path;
use crate::status::Status;

/// CreateOptions ([MS-SMB2] 2.2.13).
mod option {
    pub(super) const DIRECTORY_FILE: u32 = 0x1;
    pub(super) const WRITE_THROUGH: u32 = 0x2;
}

/// Rights to change content: FILE_WRITE_DATA and FILE_APPEND_DATA.
const WRITE_RIGHTS: u32 = 0x2 | 0x4;
const COLON: u16 = b':' as u16;

/// FspCleanup flags.
mod cleanup_flag {
    pub(super) const DELETE: u32 = 0x01;
    pub(super) const SET_ARCHIVE: u32 = 0x10;
    pub(super) const SET_ACCESS_TIME: u32 = 0x20;
    pub(super) const SET_WRITE_TIME: u32 = 0x40;
    pub(super) const SET_CHANGE_TIME: u32 = 0x80;
}

pub(super) unsafe extern "C" fn get_security_by_name<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    file_name: sys::PWSTR,
    attributes_or_index: sys::PUINT32,
    descriptor: sys::PSECURITY_DESCRIPTOR,
    descriptor_len: *mut sys::SIZE_T,
) -> sys::NTSTATUS {
    // SAFETY: WinFsp passes what its documents say, here and in all callbacks of this file.
    let host = unsafe { host_of::<F>(fs) };
    let looked = host.dispatcher.contain(|| {
        // SAFETY: the name ends with a NUL.
        let path = unsafe { path(file_name) }?;
        let wants_descriptor = !descriptor_len.is_null();
        let (attributes, found) = host.wait(Asked::query(Op::Lookup), async {
            let place = host.drive.walk(&path).await?;
            if !host.drive.has_stream(&place, &path).await? {
                return Err(Status::OBJECT_NAME_NOT_FOUND);
            }
            let info = host.drive.look(&place).await?;
            // A stream is data, also that of a directory.
            let attributes = if path.stream.is_some() { info.attributes & !fa::DIRECTORY } else { info.attributes };
            let found = if wants_descriptor { host.drive.security_of(&place.entry.attr).await? } else { Vec::new() };
            Ok((attributes, found))
        })?;
        if !attributes_or_index.is_null() {
            // SAFETY: it is not null.
            unsafe { attributes_or_index.write(attributes) };
        }
        if wants_descriptor {
            // SAFETY: the buffer has the length that is passed.
            unsafe { put(&found, descriptor, descriptor_len, Status::BUFFER_OVERFLOW) }?;
        }
        Ok(())
    });
    match looked {
        Ok(()) => SUCCESS,
        Err(Status::REPARSE) => {
            // SAFETY: name and index are those that were passed.
            unsafe { reparse::first_on_the_way::<F>(host, fs, file_name, attributes_or_index) };
            ntstatus(Status::REPARSE)
        }
        Err(status) => ntstatus(status),
    }
}

pub(super) unsafe extern "C" fn create<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    file_name: sys::PWSTR,
    options: sys::UINT32,
    _granted: sys::UINT32,
    attributes: sys::UINT32,
    descriptor: sys::PSECURITY_DESCRIPTOR,
    _allocation: sys::UINT64,
    extra: sys::PVOID,
    extra_len: sys::ULONG,
    extra_is_reparse_point: sys::BOOLEAN,
    context: *mut sys::PVOID,
    info: *mut sys::FSP_FSCTL_FILE_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        // SAFETY: the name ends with a NUL.
        let path = unsafe { path(file_name) }?;
        // SAFETY: the library passes its length with it.
        let extra = unsafe { bytes(extra, extra_len as usize) };
        let is_reparse = extra_is_reparse_point != 0;
        let wish = CreateWish {
            directory: options & option::DIRECTORY_FILE != 0,
            attributes,
            // SAFETY: null or self-relative.
            security: unsafe { self_relative(descriptor) }.map(<[u8]>::to_vec),
            eas: if is_reparse { Vec::new() } else { ea::parse(extra)? },
            reparse: is_reparse.then(|| extra.to_vec()),
        };
        let op = if wish.directory { Op::Mkdir } else { Op::Create };
        let made = host.wait(Asked::change(op), host.drive.create(&path, &wish))?;
        // SAFETY: both may be written; the information is one of an open file.
        unsafe { hand_out(host, made, file_name, options, context, info) };
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn open<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    file_name: sys::PWSTR,
    options: sys::UINT32,
    granted: sys::UINT32,
    context: *mut sys::PVOID,
    info: *mut sys::FSP_FSCTL_FILE_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        // SAFETY: the name ends with a NUL.
        let path = unsafe { path(file_name) }?;
        let opened = host.wait(Asked::query(Op::Open), host.drive.open(&path, granted & WRITE_RIGHTS != 0))?;
        // SAFETY: both may be written; the information is one of an open file.
        unsafe { hand_out(host, opened, file_name, options, context, info) };
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

/// Gives the driver an open file, with its name as the volume spells it.
///
/// # Safety
/// `file_name` ends with a NUL; `context` may be written; `info` is the first part of an FSP_FSCTL_OPEN_FILE_INFO, as WinFsp
/// says of the parameters of Create and Open.
unsafe fn hand_out<F: FileSystem>(
    host: &Host<F>,
    opened: Opened,
    file_name: sys::PWSTR,
    options: u32,
    context: *mut sys::PVOID,
    info: *mut sys::FSP_FSCTL_FILE_INFO,
) {
    if options & option::WRITE_THROUGH != 0 {
        opened.open.write_through();
    }
    // SAFETY: by the caller.
    let given = unsafe { text(file_name) }.unwrap_or_default();
    let mut spelt = opened.path;
    let last = given.iter().rposition(|unit| *unit == u16::from(b'\\')).map_or(0, |at| at + 1);
    if let Some(colon) = given[last..].iter().position(|unit| *unit == COLON) {
        spelt.extend_from_slice(&given[last + colon..]);
    }
    let id = host.files.add(opened.open, spelt.clone());
    // SAFETY: by the caller.
    unsafe { context.write(id as sys::PVOID) };
    // SAFETY: by the caller.
    unsafe { info.write(file_info(&opened.info)) };
    // The driver refuses a spelling that it does not take for the same name.
    if !name::is_same_in_any_case(&spelt, given) {
        return;
    }
    let whole = info.cast::<sys::FSP_FSCTL_OPEN_FILE_INFO>();
    let size = spelt.len() * 2;
    // SAFETY: by the caller.
    let room = unsafe { (*whole).NormalizedNameSize };
    let Ok(size_short) = u16::try_from(size) else { return };
    if size_short > room {
        return;
    }
    // SAFETY: by the caller.
    let to = unsafe { (*whole).NormalizedName };
    // SAFETY: there is room for so many bytes, and the two do not overlap, as one is ours.
    unsafe { to.copy_from_nonoverlapping(spelt.as_ptr(), spelt.len()) };
    // SAFETY: by the caller.
    unsafe { (*whole).NormalizedNameSize = size_short };
}

/// The bytes of a self-relative descriptor.
///
/// # Safety
/// `descriptor` is null, or one that stays as it is for as long as the slice is used.
pub(super) unsafe fn self_relative<'a>(descriptor: sys::PSECURITY_DESCRIPTOR) -> Option<&'a [u8]> {
    if descriptor.is_null() {
        return None;
    }
    // SAFETY: by the caller.
    let len = unsafe { GetSecurityDescriptorLength(descriptor) };
    // SAFETY: so many bytes it has.
    Some(unsafe { bytes(descriptor, len as usize) })
}

pub(super) unsafe extern "C" fn overwrite<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    attributes: sys::UINT32,
    replace_attributes: sys::BOOLEAN,
    _allocation: sys::UINT64,
    ea_list: sys::PFILE_FULL_EA_INFORMATION,
    ea_len: sys::ULONG,
    info: *mut sys::FSP_FSCTL_FILE_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        // SAFETY: the library passes its length with it.
        let eas = ea::parse(unsafe { bytes(ea_list.cast(), ea_len as usize) })?;
        let overwriting = host.drive.overwrite(&file.open, attributes, replace_attributes != 0, &eas);
        let now = host.wait(Asked::change(Op::Setattr).on(file.id), overwriting)?;
        // SAFETY: it may be written.
        unsafe { info.write(file_info(&now)) };
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn cleanup<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    file_name: sys::PWSTR,
    flags: sys::ULONG,
) {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        let has = |flag: u32| flags & flag != 0;
        let what = Cleanup {
            delete: has(cleanup_flag::DELETE),
            set_archive: has(cleanup_flag::SET_ARCHIVE),
            set_access_time: has(cleanup_flag::SET_ACCESS_TIME),
            set_write_time: has(cleanup_flag::SET_WRITE_TIME),
            set_change_time: has(cleanup_flag::SET_CHANGE_TIME),
        };
        // SAFETY: null, or it ends with a NUL.
        let path: Option<Path> = unsafe { text(file_name) }.map(Path::parse).transpose()?;
        let op = if what.delete { Op::Unlink } else { Op::Flush };
        host.wait(Asked::change(op).on(file.id), async {
            host.drive.cleanup(&file.open, path.as_ref(), what).await;
            Ok(())
        })
    };
    // SAFETY: the object is the library's.
    let _nobody_to_tell = unsafe { call::<F>(fs, body) };
}

pub(super) unsafe extern "C" fn close<F: FileSystem>(fs: *mut sys::FSP_FILE_SYSTEM, context: sys::PVOID) {
    let body = |host: &Host<F>| {
        let file = host.files.remove(context as u64).ok_or(Status::INVALID_HANDLE)?;
        host.wait(Asked::end(Op::Release).on(file.id), async {
            host.drive.close(&file.open).await;
            Ok(())
        })
    };
    // SAFETY: the object is the library's.
    let _nobody_to_tell = unsafe { call::<F>(fs, body) };
}

pub(super) unsafe extern "C" fn can_delete<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    _file_name: sys::PWSTR,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        let read_only_too = operation::ignores_read_only();
        host.wait(Asked::query(Op::Getattr).on(file.id), host.drive.can_delete(&file.open, read_only_too))
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn rename<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    from: sys::PWSTR,
    to: sys::PWSTR,
    replace: sys::BOOLEAN,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| -> Answer<()> {
        let file = host.file(context)?;
        // SAFETY: it ends with a NUL.
        let from_path = unsafe { path(from) }?;
        // SAFETY: it ends with a NUL.
        let to_path = unsafe { path(to) }?;
        let replace = match (replace != 0, operation::ignores_read_only()) {
            (false, _) => Replace::No,
            (true, false) => Replace::Yes,
            (true, true) => Replace::ReadOnlyToo,
        };
        let renaming = host.drive.rename(&file.open, &from_path, &to_path, replace);
        host.wait(Asked::change(Op::Rename).on(file.id), renaming)?;
        // SAFETY: it ends with a NUL.
        let from = unsafe { text(from) }.unwrap_or_default();
        // SAFETY: it ends with a NUL.
        host.files.renamed(from, unsafe { text(to) }.unwrap_or_default());
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}
