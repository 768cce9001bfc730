//! Listings: of directories, of one entry by its name, of streams.

use std::sync::Arc;

use proxyfs_core::fs::FileSystem;
use proxyfs_core::meter::Op;
use winfsp_sys as sys;

use super::{Host, call, put_part, text};
use crate::drive::{Answer, Drive, Open};
use crate::host::callbacks::file_info;
use crate::host::dispatch::Asked;
use crate::host::operation;
use crate::host::reply::{Buffer, Reply};
use crate::listing;
use crate::status::Status;

pub(super) unsafe extern "C" fn read_directory<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    _pattern: sys::PWSTR,
    marker: sys::PWSTR,
    buffer: sys::PVOID,
    len: sys::ULONG,
    transferred: sys::PULONG,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        // SAFETY: null, or it ends with a NUL.
        let marker = unsafe { text(marker) }.map(<[u16]>::to_vec);
        // SAFETY: the buffer is the request's, and stays until it is answered.
        let buffer = unsafe { Buffer::new(buffer, len) };
        let (drive, asked) = (Arc::clone(&host.drive), Asked::query(Op::Readdir).on(file.id));
        let listing = async move {
            let list = list(&drive, &file.open, marker, len as usize).await?;
            Ok(buffer.fill(&[list.into()]))
        };
        let reply = Reply::to(host, operation::current_hint(), operation::kind::QUERY_DIRECTORY);
        match host.dispatcher.begin(asked, listing, |listed| reply.read(listed)) {
            Some(listed) => {
                // SAFETY: it may be written.
                unsafe { transferred.write(listed?) };
                Ok(())
            }
            None => Err(Status::PENDING),
        }
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

/// As many entries after `marker` as go into `room` bytes, and the end if it is reached.
async fn list<F: FileSystem>(
    drive: &Drive<F>,
    open: &Open,
    mut marker: Option<Vec<u16>>,
    room: usize,
) -> Answer<Vec<u8>> {
    let mut out = listing::Entries::new(room);
    loop {
        let page = drive.list(open, marker.as_deref()).await?;
        let Some(last) = page.last() else {
            out.end();
            return Ok(out.finish());
        };
        marker = Some(last.name.clone());
        for entry in &page {
            if !out.push(entry) {
                return Ok(out.finish());
            }
        }
    }
}

pub(super) unsafe extern "C" fn get_dir_info_by_name<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    file_name: sys::PWSTR,
    entry: *mut sys::FSP_FSCTL_DIR_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        // SAFETY: it ends with a NUL.
        let wanted = unsafe { text(file_name) }.ok_or(Status::OBJECT_NAME_INVALID)?;
        let found = host.wait(Asked::query(Op::Lookup).on(file.id), host.drive.list_one(&file.open, wanted))?;
        let size = size_of::<sys::FSP_FSCTL_DIR_INFO>() + found.name.len() * 2;
        // SAFETY: it may be written.
        unsafe { (*entry).Size = u16::try_from(size).map_err(|_| Status::NAME_TOO_LONG)? };
        // SAFETY: it may be written.
        unsafe { (*entry).FileInfo = file_info(&found.info) };
        // SAFETY: it may be written.
        let name = unsafe { (*entry).FileNameBuf.as_mut_ptr() };
        // SAFETY: WinFsp leaves room for the longest name behind the structure, and none of ours is longer.
        unsafe { name.copy_from_nonoverlapping(found.name.as_ptr(), found.name.len()) };
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn get_stream_info<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    buffer: sys::PVOID,
    len: sys::ULONG,
    transferred: sys::PULONG,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        let found = host.wait(Asked::query(Op::Listxattr).on(file.id), host.drive.streams(&file.open))?;
        let list = listing::streams(&found, len as usize).ok_or(Status::BUFFER_OVERFLOW)?;
        // SAFETY: the buffer has the length that is passed.
        unsafe { put_part(&list, buffer, len, transferred) }
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}
