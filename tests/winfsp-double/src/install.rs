//! Loading the library, and redirecting its imports.

use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};
use std::sync::Once;

use windows_sys::Win32::System::LibraryLoader::LoadLibraryW;
use windows_sys::Win32::System::Memory::{PAGE_READWRITE, VirtualProtect};

use crate::hooks;

/// Where the library is, if it is not beside the bindings' sources.
const LIBRARY_VARIABLE: &str = "PROXYFS_WINFSP_DLL";

/// Offsets in a PE32+ image ([PE format], "Optional header", "The .idata section").
const NT_HEADER_AT: usize = 0x3c;
const IMPORTS_AT: usize = 24 + 112 + 8;
const DESCRIPTOR_BYTES: usize = 20;
const BY_ORDINAL: u64 = 1 << 63;

/// Loads the library and redirects its imports, once for the process. Must come before anything else loads it.
///
/// # Panics
/// When the library is not found or is not what is expected.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let path = library();
        let wide: Vec<u16> = path.to_string_lossy().encode_utf16().chain([0]).collect();
        // SAFETY: the path ends with a NUL; the library's start-up code is trusted.
        let module = unsafe { LoadLibraryW(wide.as_ptr()) };
        assert!(!module.is_null(), "cannot load {}: {}", path.display(), std::io::Error::last_os_error());
        redirect(module.cast::<u8>().cast_const());
    });
}

fn library() -> PathBuf {
    let named = std::env::var_os(LIBRARY_VARIABLE).map(PathBuf::from);
    let path = named.unwrap_or_else(|| PathBuf::from(env!("WINFSP_DLL_HINT")));
    assert!(
        !path.as_os_str().is_empty(),
        "winfsp-x64.dll is not among cargo's sources: say where it is by {LIBRARY_VARIABLE}"
    );
    as_wine_has_it(&path)
}

/// A path of the machine below, when the tests run under Wine.
fn as_wine_has_it(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    if text.starts_with('/') { PathBuf::from(format!("Z:{}", text.replace('/', r"\"))) } else { path.to_owned() }
}

/// Puts our functions in the place of imports of the module at `base`.
fn redirect(base: *const u8) {
    // SAFETY: all offsets are those of the loaded image's own headers.
    let read_u32 = |at: usize| unsafe { base.add(at).cast::<u32>().read_unaligned() } as usize;
    // SAFETY: as above.
    let read_u64 = |at: usize| unsafe { base.add(at).cast::<u64>().read_unaligned() };
    let mut descriptor = read_u32(read_u32(NT_HEADER_AT) + IMPORTS_AT);
    let mut left: Vec<&str> = hooks::ALL.iter().map(|hook| hook.name).collect();
    while read_u32(descriptor + 16) != 0 {
        let (names, slots) = (read_u32(descriptor), read_u32(descriptor + 16));
        for index in (0..).map(|n| n * 8).take_while(|n| read_u64(names + n) != 0) {
            let entry = read_u64(names + index);
            if entry & BY_ORDINAL != 0 {
                continue;
            }
            let entry = usize::try_from(entry).expect("an offset");
            // SAFETY: an import by name points to a hint of two bytes and a name with a NUL.
            let name = unsafe { CStr::from_ptr(base.add(entry + 2).cast::<c_char>()) };
            let Some(hook) = hooks::ALL.iter().find(|hook| name.to_bytes() == hook.name.as_bytes()) else { continue };
            // SAFETY: the slot is inside the image.
            let slot = unsafe { base.add(slots + index) }.cast_mut().cast::<usize>();
            // SAFETY: the slot is one of the import table.
            unsafe { replace(slot, hook) };
            left.retain(|name| *name != hook.name);
        }
        descriptor += DESCRIPTOR_BYTES;
    }
    assert!(left.is_empty(), "the library does not import {left:?}");
}

/// # Safety
/// `slot` is a slot of an import table, and no other thread runs code of that module yet.
unsafe fn replace(slot: *mut usize, hook: &hooks::Hook) {
    let mut before = 0;
    // SAFETY: by the caller.
    let open = unsafe { VirtualProtect(slot.cast(), size_of::<usize>(), PAGE_READWRITE, &raw mut before) };
    assert_ne!(open, 0, "the import table stays closed");
    // SAFETY: the slot may be read and written now.
    let original = unsafe { slot.replace(hook.function as usize) };
    hook.original.store(original, std::sync::atomic::Ordering::Release);
    let mut unused = 0;
    // SAFETY: as before.
    unsafe { VirtualProtect(slot.cast(), size_of::<usize>(), before, &raw mut unused) };
}
