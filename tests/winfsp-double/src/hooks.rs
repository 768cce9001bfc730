//! What stands in the place of the library's imports: its service, its device, its drive letters.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_OPERATION_ABORTED, ERROR_SERVICE_ALREADY_RUNNING, SetLastError,
};

use crate::device::{self, Device};

type Handle = *mut c_void;

/// One import that is redirected.
pub(crate) struct Hook {
    /// The function's name.
    pub(crate) name: &'static str,
    /// What it is redirected to.
    pub(crate) function: *const (),
    /// Where it led before.
    pub(crate) original: AtomicUsize,
}

// SAFETY: the function is code, which does not change.
unsafe impl Sync for Hook {}

const fn hook(name: &'static str, function: *const ()) -> Hook {
    Hook { name, function, original: AtomicUsize::new(0) }
}

/// All of them.
pub(crate) static ALL: [Hook; 9] = [
    hook("CreateFileW", create_file as *const ()),
    hook("DeviceIoControl", device_io_control as *const ()),
    hook("DefineDosDeviceW", define_dos_device as *const ()),
    hook("OpenSCManagerW", open_manager as *const ()),
    hook("OpenServiceW", open_service as *const ()),
    hook("StartServiceW", start_service as *const ()),
    hook("QueryServiceConfigW", query_service_config as *const ()),
    hook("CloseServiceHandle", close_service_handle as *const ()),
    hook("CreatePrivateObjectSecurity", crate::inherit::create_private_object_security as *const ()),
];

/// Where the library opens devices.
const DEVICE_PREFIX: &str = r"\\?\GLOBALROOT\Device\WinFsp.";
/// What stands for handles of the service manager.
const MANAGER: Handle = 0x7001 as Handle;
const SERVICE: Handle = 0x7002 as Handle;

static DOS_DEVICES: Mutex<Vec<(String, bool)>> = Mutex::new(Vec::new());

/// Drive letters that were asked for (`true`) and given back (`false`), in order.
#[must_use]
pub fn dos_devices() -> Vec<(String, bool)> {
    DOS_DEVICES.lock().clone()
}

fn original(name: &str) -> usize {
    ALL.iter().find(|hook| hook.name == name).map_or(0, |hook| hook.original.load(Ordering::Acquire))
}

fn fail(error: u32) {
    // SAFETY: it sets a number of this thread.
    unsafe { SetLastError(error) };
}

/// # Safety
/// `text` is null or ends with a NUL.
unsafe fn text(text: *const u16) -> Vec<u16> {
    let mut units = Vec::new();
    if text.is_null() {
        return units;
    }
    for at in 0.. {
        // SAFETY: no unit behind the NUL is read.
        match unsafe { *text.add(at) } {
            0 => break,
            unit => units.push(unit),
        }
    }
    units
}

extern "system" fn open_manager(_machine: *const u16, _database: *const u16, _access: u32) -> Handle {
    MANAGER
}

extern "system" fn open_service(_manager: Handle, _name: *const u16, _access: u32) -> Handle {
    SERVICE
}

extern "system" fn start_service(_service: Handle, _count: u32, _arguments: *const *const u16) -> i32 {
    fail(ERROR_SERVICE_ALREADY_RUNNING);
    0
}

extern "system" fn query_service_config(_service: Handle, _config: *mut c_void, _size: u32, _needed: *mut u32) -> i32 {
    fail(ERROR_ACCESS_DENIED);
    0
}

extern "system" fn close_service_handle(_handle: Handle) -> i32 {
    1
}

const REMOVE_DEFINITION: u32 = 2;

unsafe extern "system" fn define_dos_device(flags: u32, device: *const u16, _target: *const u16) -> i32 {
    // SAFETY: the library passes text that ends with a NUL.
    let name = String::from_utf16_lossy(&unsafe { text(device) });
    DOS_DEVICES.lock().push((name, flags & REMOVE_DEFINITION == 0));
    1
}

type CreateFile = unsafe extern "system" fn(*const u16, u32, u32, *const c_void, u32, u32, Handle) -> Handle;

unsafe extern "system" fn create_file(
    name: *const u16,
    access: u32,
    share: u32,
    security: *const c_void,
    disposition: u32,
    flags: u32,
    template: Handle,
) -> Handle {
    // SAFETY: the library passes text that ends with a NUL.
    let path = unsafe { text(name) };
    let prefix: Vec<u16> = DEVICE_PREFIX.encode_utf16().collect();
    if path.starts_with(&prefix) {
        return device::open(&path);
    }
    // SAFETY: what stood in the slot is this function of Windows.
    let function = unsafe { std::mem::transmute::<usize, CreateFile>(original("CreateFileW")) };
    // SAFETY: all is passed on as it came.
    unsafe { function(name, access, share, security, disposition, flags, template) }
}

type Control =
    unsafe extern "system" fn(Handle, u32, *const c_void, u32, *mut c_void, u32, *mut u32, *mut c_void) -> i32;

unsafe extern "system" fn device_io_control(
    handle: Handle,
    code: u32,
    input: *const c_void,
    input_len: u32,
    output: *mut c_void,
    output_len: u32,
    returned: *mut u32,
    overlapped: *mut c_void,
) -> i32 {
    let Some(device) = Device::of_handle(handle as usize) else {
        // SAFETY: what stood in the slot is this function of Windows.
        let function = unsafe { std::mem::transmute::<usize, Control>(original("DeviceIoControl")) };
        // SAFETY: all is passed on as it came.
        return unsafe { function(handle, code, input, input_len, output, output_len, returned, overlapped) };
    };
    let given: &[u8] = if input.is_null() {
        &[]
    } else {
        // SAFETY: the library passes the length with it.
        unsafe { std::slice::from_raw_parts(input.cast::<u8>(), input_len as usize) }
    };
    let room = if output.is_null() { 0 } else { output_len as usize };
    let answer = device.control(code, given, room);
    let Some(answer) = answer else {
        fail(ERROR_OPERATION_ABORTED);
        return 0;
    };
    let len = answer.len().min(room);
    if len > 0 {
        // SAFETY: there is room for it, and one of the two is ours.
        unsafe { output.cast::<u8>().copy_from_nonoverlapping(answer.as_ptr(), len) };
    }
    if !returned.is_null() {
        // SAFETY: it may be written.
        unsafe { returned.write(u32::try_from(len).unwrap_or_default()) };
    }
    1
}
