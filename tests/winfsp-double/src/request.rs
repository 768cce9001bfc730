//! Requests as the driver makes them (FSP_FSCTL_TRANSACT_REQ), and the numbers that go into them.

use winfsp_sys as sys;

/// Kinds of requests (FspFsctlTransact...Kind).
pub(crate) mod kind {
    pub(crate) const CREATE: u32 = 1;
    pub(crate) const OVERWRITE: u32 = 2;
    pub(crate) const CLEANUP: u32 = 3;
    pub(crate) const CLOSE: u32 = 4;
    pub(crate) const READ: u32 = 5;
    pub(crate) const WRITE: u32 = 6;
    pub(crate) const QUERY_INFORMATION: u32 = 7;
    pub(crate) const SET_INFORMATION: u32 = 8;
    pub(crate) const QUERY_EA: u32 = 9;
    pub(crate) const SET_EA: u32 = 10;
    pub(crate) const FLUSH: u32 = 11;
    pub(crate) const QUERY_VOLUME: u32 = 12;
    pub(crate) const SET_VOLUME: u32 = 13;
    pub(crate) const QUERY_DIRECTORY: u32 = 14;
    pub(crate) const FILE_SYSTEM_CONTROL: u32 = 15;
    pub(crate) const QUERY_SECURITY: u32 = 19;
    pub(crate) const SET_SECURITY: u32 = 20;
    pub(crate) const QUERY_STREAMS: u32 = 21;
}

/// What is to happen when a file is there, or is not ([MS-SMB2] 2.2.13).
pub mod disposition {
    /// Replace it. WinFsp's library makes none where there is none.
    pub const SUPERSEDE: u32 = 0;
    /// Open it.
    pub const OPEN: u32 = 1;
    /// Make it.
    pub const CREATE: u32 = 2;
    /// Open or make it.
    pub const OPEN_IF: u32 = 3;
    /// Empty it.
    pub const OVERWRITE: u32 = 4;
    /// Empty or make it.
    pub const OVERWRITE_IF: u32 = 5;
}

/// Options of a create ([MS-SMB2] 2.2.13).
pub mod option {
    /// It is a directory.
    pub const DIRECTORY: u32 = 0x1;
    /// Each write is to be durable.
    pub const WRITE_THROUGH: u32 = 0x2;
    /// It is no directory.
    pub const NON_DIRECTORY: u32 = 0x40;
    /// It goes when it is closed.
    pub const DELETE_ON_CLOSE: u32 = 0x1000;
    /// A reparse point itself is meant.
    pub const OPEN_REPARSE_POINT: u32 = 0x0020_0000;
}

/// Rights ([MS-DTYP] 2.4.3).
pub mod right {
    /// FILE_GENERIC_READ.
    pub const READ: u32 = 0x12_0089;
    /// FILE_GENERIC_READ and FILE_GENERIC_WRITE.
    pub const READ_WRITE: u32 = 0x12_019f;
    /// DELETE.
    pub const DELETE: u32 = 0x1_0000;
    /// READ_CONTROL, WRITE_DAC, WRITE_OWNER.
    pub const SECURITY: u32 = 0xe_0000;
    /// FILE_READ_ATTRIBUTES.
    pub const READ_ATTRIBUTES: u32 = 0x80;
    /// MAXIMUM_ALLOWED.
    pub const MAXIMUM: u32 = 0x200_0000;
}

/// What others may do meanwhile.
pub mod share {
    /// Read.
    pub const READ: u32 = 1;
    /// Write.
    pub const WRITE: u32 = 2;
    /// Delete and rename.
    pub const DELETE: u32 = 4;
    /// All of it.
    pub const ALL: u32 = 7;
}

/// How a file is to be opened or made.
#[derive(Clone, Debug)]
pub struct Create {
    /// [`disposition`].
    pub disposition: u32,
    /// [`option`].
    pub options: u32,
    /// [`right`].
    pub access: u32,
    /// [`share`].
    pub share: u32,
    /// File attributes of a new or emptied file.
    pub attributes: u32,
    /// Security descriptor of a new file; empty for the inherited one.
    pub security: Vec<u8>,
    /// Extended attributes of a new file, or its reparse data.
    pub extra: Vec<u8>,
    /// Which of the two.
    pub extra_is_reparse_point: bool,
}

impl Default for Create {
    /// Opens what is there, for everything, and shares everything.
    fn default() -> Self {
        Self {
            disposition: disposition::OPEN,
            options: 0,
            access: right::READ_WRITE | right::DELETE,
            share: share::ALL,
            attributes: 0x80,
            security: Vec::new(),
            extra: Vec::new(),
            extra_is_reparse_point: false,
        }
    }
}

/// A request that is being made.
pub struct Request {
    pub(crate) head: sys::FSP_FSCTL_TRANSACT_REQ,
    tail: Vec<u8>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("kind", &self.head.Kind).finish_non_exhaustive()
    }
}

impl Request {
    /// One of a kind, about a name or about none.
    pub(crate) fn new(kind: u32, name: Option<&str>) -> Self {
        let mut request = Self { head: sys::FSP_FSCTL_TRANSACT_REQ::default(), tail: Vec::new() };
        request.head.Kind = kind;
        if let Some(name) = name {
            request.head.FileName = request.push(&text(name));
        }
        request
    }

    /// Adds a part of variable length.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> sys::FSP_FSCTL_TRANSACT_BUF {
        let offset = u16::try_from(self.tail.len()).expect("a small request");
        self.tail.extend_from_slice(bytes);
        self.tail.resize(self.tail.len().next_multiple_of(8), 0);
        sys::FSP_FSCTL_TRANSACT_BUF { Offset: offset, Size: u16::try_from(bytes.len()).expect("a small part") }
    }

    /// Its bytes, under a number.
    pub(crate) fn finish(mut self, hint: u64) -> Vec<u8> {
        let len = size_of::<sys::FSP_FSCTL_TRANSACT_REQ>();
        self.head.Version = u16::try_from(len).expect("a small structure");
        self.head.Size = u16::try_from(len + self.tail.len()).expect("a small request");
        self.head.Hint = hint;
        // SAFETY: the structure has so many bytes, none of which is uninitialised: it began as zeros.
        let head = unsafe { std::slice::from_raw_parts((&raw const self.head).cast::<u8>(), len) };
        [head, &self.tail].concat()
    }
}

/// Text as requests carry it: with a NUL.
pub(crate) fn text(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}
