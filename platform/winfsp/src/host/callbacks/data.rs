//! Reading, writing, sizes, flushing.
//!
//! Reads and writes that have to wait are answered later. Their buffers lie in memory of the request, which the driver keeps in
//! place until it has the answer; a mount is ended only after all answers are given.

use std::sync::Arc;

use bytes::Bytes;
use proxyfs_core::fs::FileSystem;
use proxyfs_core::meter::Op;
use winfsp_sys as sys;

use super::{Host, bytes, call, file_info};
use crate::drive::{Answer, WriteAt};
use crate::host::dispatch::Asked;
use crate::host::operation;
use crate::host::reply::{Buffer, Reply};
use crate::status::Status;

pub(super) unsafe extern "C" fn read<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    buffer: sys::PVOID,
    offset: sys::UINT64,
    len: sys::ULONG,
    transferred: sys::PULONG,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        // SAFETY: the buffer is the request's, and stays until it is answered.
        let buffer = unsafe { Buffer::new(buffer, len) };
        let (drive, asked) = (Arc::clone(&host.drive), Asked::query(Op::Read).on(file.id));
        let dispatcher = Arc::clone(&host.dispatcher);
        let reading = async move {
            let pieces = drive.read(&file.open, offset, len).await?;
            let read = buffer.fill(&pieces);
            dispatcher.meter().note_read(u64::from(read));
            Ok(read)
        };
        let reply = Reply::to(host, operation::current_hint(), operation::kind::READ);
        match host.dispatcher.begin(asked, reading, |read| reply.read(read)) {
            Some(read) => {
                // SAFETY: it may be written.
                unsafe { transferred.write(read?) };
                Ok(())
            }
            None => Err(Status::PENDING),
        }
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn write<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    buffer: sys::PVOID,
    offset: sys::UINT64,
    len: sys::ULONG,
    to_end: sys::BOOLEAN,
    constrained: sys::BOOLEAN,
    transferred: sys::PULONG,
    info: *mut sys::FSP_FSCTL_FILE_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        // SAFETY: the buffer is the request's, which is not answered yet.
        let data = Bytes::copy_from_slice(unsafe { bytes(buffer, len as usize) });
        let at = if to_end != 0 { WriteAt::End } else { WriteAt::Offset(offset) };
        let (drive, asked) = (Arc::clone(&host.drive), Asked::change(Op::Write).on(file.id));
        let dispatcher = Arc::clone(&host.dispatcher);
        let writing = async move {
            let (written, now) = drive.write(&file.open, at, constrained != 0, data).await?;
            dispatcher.meter().note_written(u64::from(written));
            Ok((written, file_info(&now)))
        };
        let reply = Reply::to(host, operation::current_hint(), operation::kind::WRITE);
        match host.dispatcher.begin(asked, writing, |written| reply.written(written)) {
            Some(written) => {
                let (written, now) = written?;
                // SAFETY: it may be written.
                unsafe { transferred.write(written) };
                // SAFETY: it may be written.
                unsafe { info.write(now) };
                Ok(())
            }
            None => Err(Status::PENDING),
        }
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn flush<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    info: *mut sys::FSP_FSCTL_FILE_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| -> Answer<()> {
        // Without a file, the whole volume is meant.
        let file = if context.is_null() { None } else { Some(host.file(context)?) };
        let asked = Asked::change(Op::Fsync).on(file.as_ref().map_or(0, |file| file.id));
        let now = host.wait(asked, host.drive.flush(file.as_ref().map(|file| &file.open)))?;
        if let Some(now) = now {
            // SAFETY: it may be written when a file is flushed.
            unsafe { info.write(file_info(&now)) };
        }
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn set_file_size<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    context: sys::PVOID,
    size: sys::UINT64,
    allocation: sys::BOOLEAN,
    info: *mut sys::FSP_FSCTL_FILE_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let file = host.file(context)?;
        let setting = host.drive.set_size(&file.open, size, allocation != 0);
        let now = host.wait(Asked::change(Op::Setattr).on(file.id), setting)?;
        // SAFETY: it may be written.
        unsafe { info.write(file_info(&now)) };
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}
