//! The security descriptor of a new file, as CreatePrivateObjectSecurity makes it: the one that is given, or one inherited from the directory.
//!
//! Owner and group of an inherited one are the directory's, where Windows takes the creator's; in tests they are the same.

use std::ffi::c_void;

use windows_sys::Win32::Security::GetSecurityDescriptorLength;
use windows_sys::Win32::System::Memory::{GetProcessHeap, HeapAlloc};

const ACL_HEADER: usize = 8;
const DACL_AT: usize = 16;
const INHERITABLE: u8 = 0x3;
const NOT_FURTHER: u8 = 0x4;
const INHERITED: u8 = 0x10;

/// Stands in the place of the function of this name.
pub(crate) unsafe extern "system" fn create_private_object_security(
    parent: *mut c_void,
    creator: *mut c_void,
    new: *mut *mut c_void,
    is_directory: i32,
    _token: *mut c_void,
    _mapping: *const c_void,
) -> i32 {
    let (from, inherits) = if creator.is_null() { (parent, true) } else { (creator, false) };
    if from.is_null() {
        return 0;
    }
    // SAFETY: the library passes a descriptor that is whole.
    let len = unsafe { GetSecurityDescriptorLength(from) } as usize;
    // SAFETY: so many bytes it has.
    let mut descriptor = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) }.to_vec();
    if inherits {
        inherit(&mut descriptor, is_directory != 0);
    }
    // SAFETY: it only gives a handle.
    let heap = unsafe { GetProcessHeap() };
    // The library frees it by DestroyPrivateObjectSecurity, which takes it for memory of this heap.
    // SAFETY: the heap is there.
    let room = unsafe { HeapAlloc(heap, 0, descriptor.len()) };
    if room.is_null() {
        return 0;
    }
    // SAFETY: there is room for it, and the two do not overlap.
    unsafe { room.cast::<u8>().copy_from_nonoverlapping(descriptor.as_ptr(), descriptor.len()) };
    // SAFETY: it may be written.
    unsafe { new.write(room) };
    1
}

/// Marks the entries of a self-relative descriptor's list that are inherited as such. Those that are not are kept as well, which in
/// tests there are none of.
fn inherit(descriptor: &mut [u8], is_directory: bool) {
    let Some(offset) = descriptor.get(DACL_AT..DACL_AT + 4).and_then(|b| b.first_chunk()) else { return };
    let acl = u32::from_le_bytes(*offset) as usize;
    let Some(count) = descriptor.get(acl + 4..acl + 6).and_then(|b| b.first_chunk()) else { return };
    let mut at = acl + ACL_HEADER;
    for _ in 0..u16::from_le_bytes(*count) {
        let Some([_, flags, s0, s1]) = descriptor.get(at..at + 4).and_then(|b| b.first_chunk()).copied() else {
            return;
        };
        let kept = if is_directory && flags & NOT_FURTHER == 0 { flags & INHERITABLE } else { 0 };
        descriptor[at + 1] = kept | INHERITED;
        at += usize::from(u16::from_le_bytes([s0, s1]));
    }
}
