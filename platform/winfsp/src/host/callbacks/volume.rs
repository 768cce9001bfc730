//! The volume's size and label, and its end.

use proxyfs_core::fs::FileSystem;
use proxyfs_core::meter::Op;
use winfsp_sys as sys;

use super::{Host, call, host_of, text};
use crate::drive::VolumeInfo;
use crate::host::dispatch::Asked;
use crate::status::Status;

pub(super) unsafe extern "C" fn get_volume_info<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    info: *mut sys::FSP_FSCTL_VOLUME_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        let now = host.wait(Asked::query(Op::Statfs), host.drive.volume())?;
        // SAFETY: it may be written.
        unsafe { info.write(shown(&now)) };
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

pub(super) unsafe extern "C" fn set_volume_label<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    label: sys::PWSTR,
    info: *mut sys::FSP_FSCTL_VOLUME_INFO,
) -> sys::NTSTATUS {
    let body = |host: &Host<F>| {
        // SAFETY: it ends with a NUL.
        let label = unsafe { text(label) }.ok_or(Status::INVALID_PARAMETER)?;
        let label = String::from_utf16(label).map_err(|_| Status::INVALID_PARAMETER)?;
        let now = host.wait(Asked::change(Op::Setxattr), host.drive.set_label(&label))?;
        // SAFETY: it may be written.
        unsafe { info.write(shown(&now)) };
        Ok(())
    };
    // SAFETY: the object is the library's.
    unsafe { call::<F>(fs, body) }
}

fn shown(volume: &VolumeInfo) -> sys::FSP_FSCTL_VOLUME_INFO {
    let mut info = sys::FSP_FSCTL_VOLUME_INFO {
        TotalSize: volume.total_bytes,
        FreeSize: volume.free_bytes,
        ..sys::FSP_FSCTL_VOLUME_INFO::default()
    };
    let mut len = 0;
    for (to, unit) in info.VolumeLabel.iter_mut().zip(volume.label.encode_utf16()) {
        *to = unit;
        len += 2;
    }
    info.VolumeLabelLength = len;
    info
}

pub(super) unsafe extern "C" fn dispatcher_stopped<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    normally: sys::BOOLEAN,
) {
    // SAFETY: the object is the library's.
    let host = unsafe { host_of::<F>(fs) };
    if normally == 0 {
        tracing::warn!("the WinFsp driver has ended the volume by itself, perhaps as it is being updated or removed");
    }
    let _nobody_listens = host.ended.send_replace(true);
}
