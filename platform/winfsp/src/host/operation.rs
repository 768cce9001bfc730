//! Carrying out the driver's requests: on which thread, and with what a callback has to know beyond its arguments.
//!
//! The library's threads take requests and call its own operations, which check rights and call back. Reads, writes and listings
//! never wait there ([`Dispatcher::begin`]). Any other operation may have to wait for the store in the middle of one of the library's, so
//! only half of the threads carry such operations out; a request that comes while they are busy is copied and goes to a thread of its own,
//! and its answer is sent from there. The library's lock over all names is switched off: the file system needs none,
//! and one slow request would hold it against all others. What that lock gave besides is done here: of two programs that "open or create" one
//! name at once, the later opens what the earlier made.
//!
//! [`Dispatcher::begin`]: super::dispatch::Dispatcher::begin

use std::cell::Cell;
use std::sync::Arc;

use proxyfs_core::fs::FileSystem;
use winfsp_sys as sys;

use super::callbacks::{Host, host_of, ntstatus};
use super::volume::Link;
use crate::status::Status;

/// The library's own operations by kind of request.
pub(crate) type Originals = [sys::FSP_FILE_SYSTEM_OPERATION; 22];

/// Kinds of requests (FspFsctlTransact...Kind).
pub(crate) mod kind {
    pub(super) const CREATE: u32 = 1;
    pub(crate) const READ: u32 = 5;
    pub(crate) const WRITE: u32 = 6;
    pub(super) const SET_INFORMATION: u32 = 8;
    pub(crate) const QUERY_DIRECTORY: u32 = 14;
}

/// Dispositions that make a file where there is none.
const FILE_OPEN_IF: u32 = 3;
const FILE_OVERWRITE_IF: u32 = 5;
/// FileDispositionInformationEx, and its flag for read-only files.
const DISPOSITION_EX: u32 = 64;
const DISPOSITION_IGNORE_READ_ONLY: u32 = 0x10;
/// FileRenameInformationEx, and its flag for read-only files.
const RENAME_EX: u32 = 65;
const RENAME_IGNORE_READ_ONLY: u32 = 0x40;
/// How often a name may come and go while it is being opened.
const TRIES_MAX: usize = 8;

/// What a callback has to know of the request that it serves.
#[derive(Clone, Copy, Debug, Default)]
struct Current {
    hint: u64,
    ignores_read_only: bool,
}

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "it is const; clippy does not see that on every target")]
    static CURRENT: Cell<Current> = const { Cell::new(Current { hint: 0, ignores_read_only: false }) };
}

/// The number by which the driver knows the request that this thread serves.
pub(crate) fn current_hint() -> u64 {
    CURRENT.get().hint
}

/// Whether the request that this thread serves is to remove or replace read-only files as well.
pub(crate) fn ignores_read_only() -> bool {
    CURRENT.get().ignores_read_only
}

impl Current {
    /// # Safety
    /// `request` is whole.
    unsafe fn of(request: *const sys::FSP_FSCTL_TRANSACT_REQ) -> Self {
        // SAFETY: by the caller.
        let request = unsafe { &*request };
        let mut current = Self { hint: request.Hint, ignores_read_only: false };
        if request.Kind != kind::SET_INFORMATION {
            return current;
        }
        // SAFETY: a request of this kind has these fields.
        let set = unsafe { request.Req.SetInformation };
        current.ignores_read_only = match set.FileInformationClass {
            // SAFETY: a request of this class has this field.
            DISPOSITION_EX => unsafe { set.Info.DispositionEx.Flags & DISPOSITION_IGNORE_READ_ONLY != 0 },
            // SAFETY: a request of this class has this field.
            RENAME_EX => unsafe { set.Info.RenameEx.Flags & RENAME_IGNORE_READ_ONLY != 0 },
            _ => false,
        };
        current
    }
}

/// The operation that stands in the place of each of the library's.
pub(crate) unsafe extern "C" fn operation<F: FileSystem>(
    fs: *mut sys::FSP_FILE_SYSTEM,
    request: *mut sys::FSP_FSCTL_TRANSACT_REQ,
    response: *mut sys::FSP_FSCTL_TRANSACT_RSP,
) -> sys::NTSTATUS {
    // SAFETY: the library passes its object.
    let host = unsafe { host_of::<F>(fs) };
    // SAFETY: the library passes a whole request.
    if unsafe { never_waits(request) } {
        // SAFETY: all of it is the library's.
        return unsafe { run(host, fs, request, response) };
    }
    if let Some(_right) = host.dispatcher.try_library_thread() {
        // SAFETY: all of it is the library's.
        return unsafe { run(host, fs, request, response) };
    }
    let Some(link) = host.link.get().cloned() else { return ntstatus(Status::INVALID_DEVICE_REQUEST) };
    // SAFETY: the library passes a whole request.
    let copy = unsafe { Copied::of(request) };
    let work = move || answer_later::<F>(&link, copy);
    if let Err(work) = Arc::clone(&host.dispatcher).on_own_thread(work) {
        work();
    }
    ntstatus(Status::PENDING)
}

/// Whether a request is of those that are answered later when they have to wait.
///
/// # Safety
/// `request` is whole.
unsafe fn never_waits(request: *const sys::FSP_FSCTL_TRANSACT_REQ) -> bool {
    // SAFETY: by the caller.
    let request = unsafe { &*request };
    match request.Kind {
        kind::READ | kind::WRITE => true,
        // SAFETY: a request of this kind has these fields.
        kind::QUERY_DIRECTORY => unsafe { request.Req.QueryDirectory }.PatternIsFileName() == 0,
        _ => false,
    }
}

/// Carries out a request by the library's own operation.
///
/// # Safety
/// `fs` is the object of `host`; `request` is whole; `response` has the size that the library gives it, and its header is set.
unsafe fn run<F: FileSystem>(
    host: &Host<F>,
    fs: *mut sys::FSP_FILE_SYSTEM,
    request: *mut sys::FSP_FSCTL_TRANSACT_REQ,
    response: *mut sys::FSP_FSCTL_TRANSACT_RSP,
) -> sys::NTSTATUS {
    // SAFETY: by the caller.
    let kind = unsafe { (*request).Kind };
    let original = host.originals.get().and_then(|all| all.get(kind as usize).copied().flatten());
    let Some(original) = original else { return ntstatus(Status::INVALID_DEVICE_REQUEST) };
    // SAFETY: by the caller.
    CURRENT.set(unsafe { Current::of(request) });
    let mut status = 0;
    for _ in 0..TRIES_MAX {
        // SAFETY: it is the library's own operation for requests of this kind.
        status = unsafe { original(fs, request, response) };
        // SAFETY: by the caller.
        if status != ntstatus(Status::OBJECT_NAME_COLLISION) || !unsafe { makes_if_missing(request) } {
            break;
        }
        // SAFETY: by the caller; the header is as before, the rest as the library has it at the start.
        unsafe { (*response).Size = RESPONSE_HEADER };
        // SAFETY: by the caller.
        unsafe { (*response).Rsp = Default::default() };
    }
    CURRENT.set(Current::default());
    status
}

/// # Safety
/// `request` is whole.
unsafe fn makes_if_missing(request: *const sys::FSP_FSCTL_TRANSACT_REQ) -> bool {
    // SAFETY: by the caller.
    let request = unsafe { &*request };
    if request.Kind != kind::CREATE {
        return false;
    }
    // SAFETY: a request of this kind has these fields.
    let options = unsafe { request.Req.Create.CreateOptions };
    matches!(options >> 24, FILE_OPEN_IF | FILE_OVERWRITE_IF)
}

const RESPONSE_HEADER: u16 = size_of::<sys::FSP_FSCTL_TRANSACT_RSP>() as u16;
/// Size of the library's own buffers for responses (FSP_FSCTL_TRANSACT_RSP_SIZEMAX).
const RESPONSE_BYTES_MAX: usize = 16 << 10;

/// A copy of a request, aligned as the original.
struct Copied(Vec<u64>);

impl Copied {
    /// # Safety
    /// `request` is whole, with the bytes behind it that it says.
    unsafe fn of(request: *const sys::FSP_FSCTL_TRANSACT_REQ) -> Self {
        // SAFETY: by the caller.
        let size = usize::from(unsafe { (*request).Size });
        let mut copy = vec![0u64; size.max(size_of::<sys::FSP_FSCTL_TRANSACT_REQ>()).div_ceil(8)];
        // SAFETY: both have so many bytes, and one is new.
        unsafe { copy.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(request.cast::<u8>(), size) };
        Self(copy)
    }

    fn as_mut_ptr(&mut self) -> *mut sys::FSP_FSCTL_TRANSACT_REQ {
        self.0.as_mut_ptr().cast()
    }
}

/// Carries out a copied request and sends the answer.
fn answer_later<F: FileSystem>(link: &Link, mut copy: Copied) {
    let request = copy.as_mut_ptr();
    let mut buffer = vec![0u64; RESPONSE_BYTES_MAX / 8];
    let response = buffer.as_mut_ptr().cast::<sys::FSP_FSCTL_TRANSACT_RSP>();
    let fs = link.object();
    // SAFETY: the volume is not taken down before this thread has ended, which `Dispatcher::finish` waits for.
    let host = unsafe { host_of::<F>(fs) };
    // SAFETY: the copy is whole.
    let (kind, hint) = unsafe { ((*request).Kind, (*request).Hint) };
    let header = sys::FSP_FSCTL_TRANSACT_RSP { Size: RESPONSE_HEADER, Kind: kind, Hint: hint, ..Default::default() };
    // SAFETY: the buffer is larger than the header.
    unsafe { response.write(header) };
    // SAFETY: request and response are whole, and of the sizes that the library gives them.
    let status = unsafe { run(host, fs, request, response) };
    // SAFETY: the response is ours.
    unsafe { (*response).IoStatus.Status = status.cast_unsigned() };
    // SAFETY: the response is ours.
    unsafe { (*response).Size = (*response).Size.next_multiple_of(8) };
    // SAFETY: the response is whole.
    unsafe { link.send(response) };
}
