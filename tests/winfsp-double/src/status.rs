//! NTSTATUS values that the driver itself gives ([MS-ERREF] 2.3).

/// An NTSTATUS.
pub type Status = u32;

/// Success.
pub const SUCCESS: Status = 0;
/// A reparse point that somebody else has to follow.
pub const REPARSE: Status = 0x104;
/// The answer comes later.
pub const PENDING: Status = 0x103;
/// No answer came in time: the test's own.
pub const TIMED_OUT: Status = 0xc000_00b5;
/// The request was cancelled, or the volume is gone.
pub const CANCELLED: Status = 0xc000_0120;
/// Somebody else has it open and does not share.
pub const SHARING_VIOLATION: Status = 0xc000_0043;
/// It is about to be deleted.
pub const DELETE_PENDING: Status = 0xc000_0056;
/// Not allowed.
pub const ACCESS_DENIED: Status = 0xc000_0022;
/// It is no directory.
pub const NOT_A_DIRECTORY: Status = 0xc000_0103;
/// No entry has such a name.
pub const NO_SUCH_FILE: Status = 0xc000_000f;
/// Too many reparse points in a row.
pub const STOPPED_ON_SYMLINK: Status = 0x8000_002d;
