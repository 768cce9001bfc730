//! Answers that come later, and the buffers that they fill.

use bytes::Bytes;
use proxyfs_core::fs::FileSystem;
use winfsp_sys as sys;

use super::callbacks::Host;
use super::volume::Link;
use crate::drive::Answer;

/// The buffer of a request.
#[derive(Debug)]
pub(crate) struct Buffer {
    start: *mut u8,
    len: u32,
}

// SAFETY: the buffer is memory of this process that only the answer to its request writes to.
unsafe impl Send for Buffer {}

impl Buffer {
    /// # Safety
    /// `start` has room for `len` bytes until the request is answered, and nobody else uses it.
    pub(crate) unsafe fn new(start: sys::PVOID, len: u32) -> Self {
        Self { start: start.cast(), len }
    }

    /// Copies pieces into it one behind the other, as much as there is room for, and says how much that was.
    pub(crate) fn fill(&self, pieces: &[Bytes]) -> u32 {
        let mut done = 0;
        for piece in pieces {
            let part = &piece[..piece.len().min(self.len as usize - done)];
            if part.is_empty() {
                continue;
            }
            // SAFETY: `done` is less than the length.
            let to = unsafe { self.start.add(done) };
            // SAFETY: there is room for the part, and the two do not overlap, as one is ours.
            unsafe { to.copy_from_nonoverlapping(part.as_ptr(), part.len()) };
            done += part.len();
        }
        u32::try_from(done).unwrap_or(self.len)
    }
}

/// The way to answer one request later.
#[derive(Debug)]
pub(crate) struct Reply {
    link: Option<Link>,
    hint: u64,
    kind: u32,
}

impl Reply {
    /// To the request of this number and kind.
    pub(crate) fn to<F: FileSystem>(host: &Host<F>, hint: u64, kind: u32) -> Self {
        Self { link: host.link.get().cloned(), hint, kind }
    }

    /// Answers a read or a listing: with so many bytes.
    pub(crate) fn read(self, answer: Answer<u32>) {
        self.send(answer.map(|bytes| (bytes, sys::FSP_FSCTL_FILE_INFO::default())));
    }

    /// Answers a write: with so many bytes, and how the file is now.
    pub(crate) fn written(self, answer: Answer<(u32, sys::FSP_FSCTL_FILE_INFO)>) {
        self.send(answer);
    }

    fn send(self, answer: Answer<(u32, sys::FSP_FSCTL_FILE_INFO)>) {
        let Some(link) = self.link else { return };
        let size = u16::try_from(size_of::<sys::FSP_FSCTL_TRANSACT_RSP>()).unwrap_or_default();
        let mut response =
            sys::FSP_FSCTL_TRANSACT_RSP { Size: size, Kind: self.kind, Hint: self.hint, ..Default::default() };
        match answer {
            Ok((bytes, info)) => {
                response.IoStatus.Information = bytes;
                // For a read, all of it is 0.
                response.Rsp.Write.FileInfo = info;
            }
            Err(status) => response.IoStatus.Status = status.0,
        }
        // SAFETY: the response is whole.
        unsafe { link.send(&raw mut response) };
    }
}
