//! A volume's device: the queue of requests, the answers, notifications.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Security::{DuplicateToken, SecurityImpersonation, TOKEN_DUPLICATE, TOKEN_QUERY};
use windows_sys::Win32::System::Threading::{CreateEventW, GetCurrentProcess, GetCurrentProcessId, OpenProcessToken};
use winfsp_sys as sys;

use crate::nodes::Nodes;
use crate::request::Request;
use crate::status::{self, Status};

/// How long a test waits for an answer before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Control codes, by the letter that WinFsp gives each (0x800 + letter).
const NAME: u8 = b'N';
const TRANSACT: u8 = b'T';
const STOP: u8 = b'S';
const STOP_FIRST: u8 = b's';
const NOTIFY: u8 = b'n';

static DEVICES: Mutex<Vec<Arc<Device>>> = Mutex::new(Vec::new());

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "it is const; clippy does not see that on every target")]
    static LAST: std::cell::RefCell<Option<Arc<Device>>> = const { std::cell::RefCell::new(None) };
}

/// One notification of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The path.
    pub path: String,
    /// FILE_NOTIFY_CHANGE flags.
    pub filter: u32,
    /// FILE_ACTION.
    pub action: u32,
}

/// A device that the library opened for a volume.
pub struct Device {
    handle: usize,
    params: sys::FSP_FSCTL_VOLUME_PARAMS,
    queue: Mutex<Queue>,
    arrived: Condvar,
    waiting: Mutex<HashMap<u64, Sender<Vec<u8>>>>,
    last_hint: AtomicU64,
    notifications: Mutex<Vec<Notification>>,
    token: u64,
    pub(crate) nodes: Nodes,
}

#[derive(Debug, Default)]
struct Queue {
    pending: VecDeque<(u64, Vec<u8>)>,
    stopped: bool,
    /// No thread of the library gets a request meanwhile.
    held: bool,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// Opens a device by its path, in which the volume's parameters stand as characters above U+F000.
pub(crate) fn open(path: &[u16]) -> HANDLE {
    let bytes: Vec<u8> = path.iter().filter(|unit| *unit & 0xff00 == 0xf000).map(|unit| (unit & 0xff) as u8).collect();
    let mut params = sys::FSP_FSCTL_VOLUME_PARAMS::default();
    let len = bytes.len().min(size_of_val(&params));
    // SAFETY: there are so many bytes on both sides, and any bytes are parameters.
    unsafe { (&raw mut params).cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), len) };
    // A handle that can be closed, as the library will.
    // SAFETY: it takes no pointers but null.
    let handle = unsafe { CreateEventW(std::ptr::null(), 1, 0, std::ptr::null()) };
    let device = Arc::new(Device {
        handle: handle as usize,
        nodes: Nodes::new(params.CaseSensitiveSearch() != 0),
        params,
        queue: Mutex::default(),
        arrived: Condvar::new(),
        waiting: Mutex::default(),
        last_hint: AtomicU64::new(1),
        notifications: Mutex::default(),
        token: token(),
    });
    DEVICES.lock().push(Arc::clone(&device));
    LAST.with(|last| last.replace(Some(device)));
    handle
}

/// A token of this process as the driver passes one: the process's number and a handle.
fn token() -> u64 {
    let (mut primary, mut impersonation) = (std::ptr::null_mut::<c_void>(), std::ptr::null_mut::<c_void>());
    // SAFETY: the handle of this process is always valid; the result goes to a local.
    let opened = unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_DUPLICATE | TOKEN_QUERY, &raw mut primary) };
    assert_ne!(opened, 0, "the process has no token");
    // SAFETY: the token is open; the result goes to a local.
    let copied = unsafe { DuplicateToken(primary, SecurityImpersonation, &raw mut impersonation) };
    assert_ne!(copied, 0, "the token cannot be copied");
    // SAFETY: it only says a number.
    let process = unsafe { GetCurrentProcessId() };
    u64::from(process) << 32 | impersonation as u64 & 0xffff_ffff
}

impl Device {
    pub(crate) fn of_handle(handle: usize) -> Option<Arc<Self>> {
        DEVICES.lock().iter().rev().find(|device| device.handle == handle).cloned()
    }

    /// The device that the library opened last on this thread, that is, for the volume that was made here last.
    #[must_use]
    pub fn last_of_this_thread() -> Option<Arc<Self>> {
        LAST.with(|last| last.borrow().clone())
    }

    /// The volume's parameters.
    #[must_use]
    pub fn params(&self) -> &sys::FSP_FSCTL_VOLUME_PARAMS {
        &self.params
    }

    /// The token under which requests are made.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// What the file system has told of since the last call.
    #[must_use]
    pub fn take_notifications(&self) -> Vec<Notification> {
        std::mem::take(&mut self.notifications.lock())
    }

    /// Whether the library has stopped the volume.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.queue.lock().stopped
    }

    /// Stops the volume from the driver's side, as when the driver is removed.
    pub fn stop(&self) {
        self.queue.lock().stopped = true;
        self.arrived.notify_all();
        self.waiting.lock().clear();
    }

    /// Gives no request to the library until [`Device::let_go`].
    pub fn hold(&self) {
        self.queue.lock().held = true;
    }

    /// Gives requests to the library again.
    pub fn let_go(&self) {
        self.queue.lock().held = false;
        self.arrived.notify_all();
    }

    /// Carries out a control code; `None` when the volume is gone.
    pub(crate) fn control(&self, code: u32, given: &[u8], room: usize) -> Option<Vec<u8>> {
        match u8::try_from((code >> 2 & 0xfff).wrapping_sub(0x800)).unwrap_or_default() {
            NAME => {
                let name = format!("\\Device\\Volume{{{:032x}}}\0", self.handle);
                Some(name.encode_utf16().flat_map(u16::to_le_bytes).collect())
            }
            TRANSACT => {
                self.take_answer(given);
                if room == 0 { Some(Vec::new()) } else { self.next_request() }
            }
            STOP | STOP_FIRST => {
                self.stop();
                Some(Vec::new())
            }
            NOTIFY => {
                self.note(given);
                Some(Vec::new())
            }
            _ => Some(Vec::new()),
        }
    }

    /// Notes an answer. One to a request that nobody waits for any more is dropped, as the driver does.
    fn take_answer(&self, answer: &[u8]) {
        let Some(hint) = answer.get(8..16).and_then(|hint| hint.first_chunk()) else { return };
        if let Some(sender) = self.waiting.lock().remove(&u64::from_le_bytes(*hint)) {
            let _gone = sender.send(answer.to_vec()).is_err();
        }
    }

    fn next_request(&self) -> Option<Vec<u8>> {
        let mut queue = self.queue.lock();
        loop {
            if queue.stopped {
                return None;
            }
            if !queue.held
                && let Some((_, request)) = queue.pending.pop_front()
            {
                return Some(request);
            }
            self.arrived.wait(&mut queue);
        }
    }

    fn note(&self, mut list: &[u8]) {
        while let Some([s0, s1, _, _, f0, f1, f2, f3, a0, a1, a2, a3]) = list.first_chunk::<12>().copied() {
            let size = usize::from(u16::from_le_bytes([s0, s1]));
            let Some(path) = list.get(12..size) else { return };
            let units: Vec<u16> = path.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
            if path.is_empty() {
                return;
            }
            self.notifications.lock().push(Notification {
                path: String::from_utf16_lossy(&units),
                filter: u32::from_le_bytes([f0, f1, f2, f3]),
                action: u32::from_le_bytes([a0, a1, a2, a3]),
            });
            list = list.get(size.next_multiple_of(8)..).unwrap_or_default();
        }
    }

    /// Puts a request into the queue.
    pub fn post(self: &Arc<Self>, request: Request) -> Pending {
        let hint = self.last_hint.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = channel();
        self.waiting.lock().insert(hint, sender);
        let mut queue = self.queue.lock();
        if queue.stopped {
            self.waiting.lock().remove(&hint);
        } else {
            queue.pending.push_back((hint, request.finish(hint)));
        }
        drop(queue);
        self.arrived.notify_one();
        Pending { device: Arc::clone(self), hint, receiver }
    }

    /// Carries out a request: posts it and waits for the answer.
    ///
    /// # Errors
    /// The answer's status.
    pub fn call(self: &Arc<Self>, request: Request) -> Result<Answer, Status> {
        self.post(request).wait()
    }
}

/// An answer that is whole.
#[derive(Clone)]
pub struct Answer(Vec<u64>);

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let mut words = vec![0u64; bytes.len().max(size_of::<sys::FSP_FSCTL_TRANSACT_RSP>()).div_ceil(8)];
        // SAFETY: there is room for so many bytes, and one of the two is new.
        unsafe { words.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Self(words)
    }

    /// The answer's fixed part.
    #[must_use]
    pub fn get(&self) -> &sys::FSP_FSCTL_TRANSACT_RSP {
        // SAFETY: the words are at least as many as its size, and any bytes are such a structure.
        unsafe { &*self.0.as_ptr().cast() }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.get().IoStatus.Status
    }

    /// The number that goes with the status.
    #[must_use]
    pub fn information(&self) -> u32 {
        self.get().IoStatus.Information
    }

    /// A part of variable length.
    #[must_use]
    pub fn part(&self, at: sys::FSP_FSCTL_TRANSACT_BUF) -> Vec<u8> {
        let all: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        let start = size_of::<sys::FSP_FSCTL_TRANSACT_RSP>() + usize::from(at.Offset);
        all.get(start..start + usize::from(at.Size)).map(<[u8]>::to_vec).unwrap_or_default()
    }
}

/// A request that is on its way.
#[derive(Debug)]
pub struct Pending {
    device: Arc<Device>,
    hint: u64,
    receiver: Receiver<Vec<u8>>,
}

impl Pending {
    /// Waits for the answer.
    ///
    /// # Errors
    /// The answer's status, or `CANCELLED` when the volume is gone, or `TIMED_OUT`.
    pub fn wait(&self) -> Result<Answer, Status> {
        self.wait_for(PATIENCE)
    }

    /// Waits for the answer for a time.
    ///
    /// # Errors
    /// As [`Pending::wait`].
    pub fn wait_for(&self, patience: Duration) -> Result<Answer, Status> {
        let answer = match self.receiver.recv_timeout(patience) {
            Ok(answer) => Answer::of(&answer),
            Err(RecvTimeoutError::Timeout) => return Err(status::TIMED_OUT),
            Err(RecvTimeoutError::Disconnected) => return Err(status::CANCELLED),
        };
        let status = answer.status();
        // Warnings and errors have the first bit.
        if status >> 31 == 0 { Ok(answer) } else { Err(status) }
    }

    /// Takes the request back, if no thread of the library has it yet, and says whether that was so.
    pub fn cancel(&self) -> bool {
        let mut queue = self.device.queue.lock();
        let before = queue.pending.len();
        queue.pending.retain(|(hint, _)| *hint != self.hint);
        let cancelled = queue.pending.len() < before;
        if cancelled {
            self.device.waiting.lock().remove(&self.hint);
        }
        cancelled
    }
}
