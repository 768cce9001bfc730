//! WinFsp's library: found where it is installed, loaded once, and the functions of it that are used.
//!
//! They are looked up by name rather than linked, so that a program starts, and can say what is missing, on a computer without
//! WinFsp, whatever the linker.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::OnceLock;

use proxyfs_core::{Error, ErrorKind, Result};
use windows_sys::Win32::Foundation::{HMODULE, MAX_PATH};
use windows_sys::Win32::System::LibraryLoader::{
    GetModuleHandleW, GetProcAddress, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR,
    LoadLibraryExW,
};
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RegGetValueW};
use winfsp_sys as sys;

/// Where WinFsp comes from.
const DOWNLOAD_PAGE: &str = "https://winfsp.dev/rel/";
/// Where an installed WinFsp says that it is: 32-bit installers write the first, native ones the second.
const REGISTRY_KEYS: [&str; 2] = [r"SOFTWARE\WOW6432Node\WinFsp", r"SOFTWARE\WinFsp"];

#[cfg(target_arch = "x86_64")]
const LIBRARY: &str = "winfsp-x64.dll";
#[cfg(target_arch = "aarch64")]
const LIBRARY: &str = "winfsp-a64.dll";
#[cfg(target_arch = "x86")]
const LIBRARY: &str = "winfsp-x86.dll";

/// A callback by which WinFsp's helpers ask for the reparse point of a name.
pub(crate) type ReparseByName = unsafe extern "C" fn(
    *mut sys::FSP_FILE_SYSTEM,
    sys::PVOID,
    sys::PWSTR,
    sys::BOOLEAN,
    sys::PVOID,
    sys::PSIZE_T,
) -> sys::NTSTATUS;

macro_rules! functions {
    ($($field:ident = $name:literal: fn($($arg:ty),* $(,)?) -> $answer:ty;)*) => {
        /// The functions of the loaded library.
        #[derive(Debug)]
        pub(crate) struct Api {
            $(pub(crate) $field: unsafe extern "C" fn($($arg),*) -> $answer,)*
        }

        impl Api {
            /// # Safety
            /// `module` is WinFsp's library, and stays loaded.
            unsafe fn of(module: HMODULE) -> std::result::Result<Self, &'static str> {
                Ok(Self {
                    $($field: {
                        // SAFETY: the module is loaded, and the name ends with a NUL.
                        let found = unsafe { GetProcAddress(module, concat!($name, "\0").as_ptr()) };
                        let found = found.ok_or($name)?;
                        // SAFETY: the library's header declares the function of this name with this type.
                        unsafe {
                            std::mem::transmute::<
                                unsafe extern "system" fn() -> isize,
                                unsafe extern "C" fn($($arg),*) -> $answer,
                            >(found)
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    create = "FspFileSystemCreate": fn(
        sys::PWSTR,
        *const sys::FSP_FSCTL_VOLUME_PARAMS,
        *const sys::FSP_FILE_SYSTEM_INTERFACE,
        *mut *mut sys::FSP_FILE_SYSTEM,
    ) -> sys::NTSTATUS;
    delete = "FspFileSystemDelete": fn(*mut sys::FSP_FILE_SYSTEM) -> ();
    set_mount_point = "FspFileSystemSetMountPoint": fn(*mut sys::FSP_FILE_SYSTEM, sys::PWSTR) -> sys::NTSTATUS;
    remove_mount_point = "FspFileSystemRemoveMountPoint": fn(*mut sys::FSP_FILE_SYSTEM) -> ();
    start_dispatcher = "FspFileSystemStartDispatcher": fn(*mut sys::FSP_FILE_SYSTEM, sys::ULONG) -> sys::NTSTATUS;
    stop_dispatcher = "FspFileSystemStopDispatcher": fn(*mut sys::FSP_FILE_SYSTEM) -> ();
    send_response = "FspFileSystemSendResponse": fn(*mut sys::FSP_FILE_SYSTEM, *mut sys::FSP_FSCTL_TRANSACT_RSP) -> ();
    notify_begin = "FspFileSystemNotifyBegin": fn(*mut sys::FSP_FILE_SYSTEM, sys::ULONG) -> sys::NTSTATUS;
    notify = "FspFileSystemNotify": fn(
        *mut sys::FSP_FILE_SYSTEM,
        *mut sys::FSP_FSCTL_NOTIFY_INFO,
        sys::SIZE_T,
    ) -> sys::NTSTATUS;
    notify_end = "FspFileSystemNotifyEnd": fn(*mut sys::FSP_FILE_SYSTEM) -> sys::NTSTATUS;
    find_reparse_point = "FspFileSystemFindReparsePoint": fn(
        *mut sys::FSP_FILE_SYSTEM,
        Option<ReparseByName>,
        sys::PVOID,
        sys::PWSTR,
        sys::PUINT32,
    ) -> sys::BOOLEAN;
    resolve_reparse_points = "FspFileSystemResolveReparsePoints": fn(
        *mut sys::FSP_FILE_SYSTEM,
        Option<ReparseByName>,
        sys::PVOID,
        sys::PWSTR,
        sys::UINT32,
        sys::BOOLEAN,
        sys::PIO_STATUS_BLOCK,
        sys::PVOID,
        sys::PSIZE_T,
    ) -> sys::NTSTATUS;
    set_operation_guard = "FspFileSystemSetOperationGuardF": fn(
        *mut sys::FSP_FILE_SYSTEM,
        sys::FSP_FILE_SYSTEM_OPERATION_GUARD,
        sys::FSP_FILE_SYSTEM_OPERATION_GUARD,
    ) -> ();
    set_operation = "FspFileSystemSetOperationF": fn(
        *mut sys::FSP_FILE_SYSTEM,
        sys::ULONG,
        sys::FSP_FILE_SYSTEM_OPERATION,
    ) -> ();
    set_debug_log = "FspFileSystemSetDebugLogF": fn(*mut sys::FSP_FILE_SYSTEM, sys::UINT32) -> ();
    debug_log_handle = "FspDebugLogSetHandle": fn(sys::HANDLE) -> ();
}

impl Api {
    /// The loaded library; loads it the first time.
    ///
    /// # Errors
    /// `Config` when WinFsp is not installed, or is too old or damaged; says where it comes from.
    pub(crate) fn get() -> Result<&'static Self> {
        static LOADED: OnceLock<Api> = OnceLock::new();
        if let Some(api) = LOADED.get() {
            return Ok(api);
        }
        let module = load()?;
        // SAFETY: `load` gives WinFsp's library, and nothing here unloads it.
        let api = unsafe { Self::of(module) }.map_err(|missing| {
            let why =
                format!("the installed WinFsp has no {missing}: install its current version from {DOWNLOAD_PAGE}");
            Error::new(ErrorKind::Config, why)
        })?;
        Ok(LOADED.get_or_init(|| api))
    }
}

/// The library: as it is loaded in this process already, or from where the registry says.
fn load() -> Result<HMODULE> {
    let name = wide(LIBRARY);
    // SAFETY: the name ends with a NUL.
    let loaded = unsafe { GetModuleHandleW(name.as_ptr()) };
    if !loaded.is_null() {
        return Ok(loaded);
    }
    let Some(dir) = REGISTRY_KEYS.into_iter().find_map(install_dir) else {
        let why = format!(
            "WinFsp is not installed, which shows drives to Windows: install it from {DOWNLOAD_PAGE} and try again"
        );
        return Err(Error::new(ErrorKind::Config, why));
    };
    let path = format!(r"{}\bin\{LIBRARY}", dir.trim_end_matches('\\'));
    let from = LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS;
    // SAFETY: the path ends with a NUL; the library's own start-up code is trusted as the driver is.
    let module = unsafe { LoadLibraryExW(wide(&path).as_ptr(), null_mut(), from) };
    if module.is_null() {
        let os = std::io::Error::last_os_error();
        let why =
            format!("cannot load WinFsp from {path}: repair its installation, or install it from {DOWNLOAD_PAGE}");
        return Err(Error::with_source(ErrorKind::Config, why, os));
    }
    Ok(module)
}

/// The directory that a registry key names.
fn install_dir(key: &str) -> Option<String> {
    let mut text = [0u16; MAX_PATH as usize];
    let mut size = u32::try_from(size_of_val(&text)).ok()?;
    let (key, value) = (wide(key), wide("InstallDir"));
    // SAFETY: names end with a NUL; `size` is that of the buffer in bytes.
    let status = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            value.as_ptr(),
            RRF_RT_REG_SZ,
            null_mut(),
            text.as_mut_ptr().cast::<c_void>(),
            &raw mut size,
        )
    };
    let len = text.iter().position(|unit| *unit == 0)?;
    (status == 0 && len > 0).then(|| String::from_utf16_lossy(&text[..len]))
}

/// UTF-16 with a NUL at its end.
pub(crate) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
