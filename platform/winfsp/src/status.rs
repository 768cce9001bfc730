//! The one place where an engine error becomes an NTSTATUS, and the codes that the adapter itself answers.

use std::fmt;

use proxyfs_core::{Error, ErrorKind};

/// An NTSTATUS that is not plain success ([MS-ERREF] 2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u32);

macro_rules! codes {
    ($($name:ident = $value:literal,)*) => {
        #[expect(missing_docs, reason = "the names are those of [MS-ERREF]")]
        impl Status {
            $(pub const $name: Self = Self($value);)*
        }

        impl fmt::Debug for Status {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($value => f.write_str(stringify!($name)),)*
                    other => write!(f, "NTSTATUS {other:#010x}"),
                }
            }
        }
    };
}

codes! {
    REPARSE = 0x0000_0104,
    BUFFER_OVERFLOW = 0x8000_0005,
    NO_EAS_ON_FILE = 0xc000_0052,
    INVALID_EA_NAME = 0x8000_0013,
    EA_LIST_INCONSISTENT = 0x8000_0014,
    INVALID_HANDLE = 0xc000_0008,
    INVALID_PARAMETER = 0xc000_000d,
    END_OF_FILE = 0xc000_0011,
    ACCESS_DENIED = 0xc000_0022,
    BUFFER_TOO_SMALL = 0xc000_0023,
    OBJECT_NAME_INVALID = 0xc000_0033,
    OBJECT_NAME_NOT_FOUND = 0xc000_0034,
    OBJECT_NAME_COLLISION = 0xc000_0035,
    OBJECT_PATH_NOT_FOUND = 0xc000_003a,
    DISK_CORRUPT_ERROR = 0xc000_0032,
    QUOTA_EXCEEDED = 0xc000_0044,
    EA_TOO_LARGE = 0xc000_0050,
    FILE_LOCK_CONFLICT = 0xc000_0054,
    DISK_FULL = 0xc000_007f,
    MEDIA_WRITE_PROTECTED = 0xc000_00a2,
    IO_TIMEOUT = 0xc000_00b5,
    FILE_IS_A_DIRECTORY = 0xc000_00ba,
    NOT_SUPPORTED = 0xc000_00bb,
    NOT_SAME_DEVICE = 0xc000_00d4,
    INTERNAL_ERROR = 0xc000_00e5,
    DIRECTORY_NOT_EMPTY = 0xc000_0101,
    NOT_A_DIRECTORY = 0xc000_0103,
    NAME_TOO_LONG = 0xc000_0106,
    INVALID_ACL = 0xc000_0077,
    INVALID_SID = 0xc000_0078,
    INVALID_SECURITY_DESCR = 0xc000_0079,
    INVALID_DEVICE_REQUEST = 0xc000_0010,
    VOLUME_DISMOUNTED = 0xc000_026e,
    PENDING = 0x0000_0103,
    CANCELLED = 0xc000_0120,
    CANNOT_DELETE = 0xc000_0121,
    FILE_DELETED = 0xc000_0123,
    IO_DEVICE_ERROR = 0xc000_0185,
    DEVICE_BUSY = 0x8000_0011,
    TOO_MANY_LINKS = 0xc000_0265,
    NOT_A_REPARSE_POINT = 0xc000_0275,
    IO_REPARSE_TAG_INVALID = 0xc000_0276,
    IO_REPARSE_TAG_MISMATCH = 0xc000_0277,
    IO_REPARSE_DATA_INVALID = 0xc000_0278,
    POSSIBLE_DEADLOCK = 0xc000_0194,
    FILE_TOO_LARGE = 0xc000_0904,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Status {}

impl From<ErrorKind> for Status {
    /// Choices that are not obvious: an unreachable store is a timeout, which programs tell from damage; a writer that lost its
    /// volume sees a write-protected medium, as on a read-only mount; an inode that has gone is a deleted file.
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::OBJECT_NAME_NOT_FOUND,
            ErrorKind::AlreadyExists => Self::OBJECT_NAME_COLLISION,
            ErrorKind::NotADirectory => Self::NOT_A_DIRECTORY,
            ErrorKind::IsADirectory => Self::FILE_IS_A_DIRECTORY,
            ErrorKind::NotEmpty => Self::DIRECTORY_NOT_EMPTY,
            ErrorKind::NameTooLong => Self::NAME_TOO_LONG,
            ErrorKind::InvalidArgument | ErrorKind::NoSuchOffset => Self::INVALID_PARAMETER,
            ErrorKind::NotPermitted | ErrorKind::AccessDenied | ErrorKind::Denied => Self::ACCESS_DENIED,
            ErrorKind::BadHandle => Self::INVALID_HANDLE,
            ErrorKind::Stale => Self::FILE_DELETED,
            ErrorKind::NoAttribute => Self::NO_EAS_ON_FILE,
            ErrorKind::BufferTooSmall => Self::BUFFER_TOO_SMALL,
            ErrorKind::TooManyLinks => Self::TOO_MANY_LINKS,
            ErrorKind::FileTooLarge => Self::FILE_TOO_LARGE,
            ErrorKind::CrossDevice => Self::NOT_SAME_DEVICE,
            ErrorKind::NoSpace => Self::DISK_FULL,
            ErrorKind::QuotaExceeded => Self::QUOTA_EXCEEDED,
            ErrorKind::ReadOnly | ErrorKind::Fenced => Self::MEDIA_WRITE_PROTECTED,
            ErrorKind::WouldBlock => Self::FILE_LOCK_CONFLICT,
            ErrorKind::Deadlock => Self::POSSIBLE_DEADLOCK,
            ErrorKind::Interrupted => Self::CANCELLED,
            ErrorKind::Busy => Self::DEVICE_BUSY,
            ErrorKind::NotSupported => Self::NOT_SUPPORTED,
            ErrorKind::Unavailable => Self::IO_TIMEOUT,
            ErrorKind::Corrupt | ErrorKind::UnknownFormat => Self::DISK_CORRUPT_ERROR,
            ErrorKind::Config | ErrorKind::Io => Self::IO_DEVICE_ERROR,
            ErrorKind::Internal => Self::INTERNAL_ERROR,
        }
    }
}

impl From<Error> for Status {
    /// A code says little: what an administrator has to know of is logged here, where the rest of the error ends.
    fn from(error: Error) -> Self {
        if is_fault(error.kind()) {
            tracing::warn!(kind = ?error.kind(), "{error}");
        }
        error.kind().into()
    }
}

/// Whether an error is one of the volume's state rather than of what was asked.
fn is_fault(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unavailable
            | ErrorKind::Denied
            | ErrorKind::Config
            | ErrorKind::Corrupt
            | ErrorKind::UnknownFormat
            | ErrorKind::Fenced
            | ErrorKind::Io
            | ErrorKind::Internal
            | ErrorKind::NoSpace
    )
}

impl Status {
    /// The kind under which an operation that ended so is counted; `None` for an end that is no failure.
    #[must_use]
    pub fn counted_as(self) -> Option<ErrorKind> {
        match self {
            Self::REPARSE | Self::PENDING | Self::END_OF_FILE | Self::BUFFER_OVERFLOW => None,
            Self::OBJECT_NAME_NOT_FOUND | Self::OBJECT_PATH_NOT_FOUND => Some(ErrorKind::NotFound),
            Self::OBJECT_NAME_INVALID | Self::INVALID_PARAMETER => Some(ErrorKind::InvalidArgument),
            Self::NOT_A_REPARSE_POINT => Some(ErrorKind::NoAttribute),
            Self::CANNOT_DELETE | Self::ACCESS_DENIED => Some(ErrorKind::AccessDenied),
            Self::IO_DEVICE_ERROR => Some(ErrorKind::Io),
            other => {
                ErrorKind::ALL.into_iter().find(|kind| Self::from(*kind) == other).or(Some(ErrorKind::InvalidArgument))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_that_is_no_success() {
        for kind in ErrorKind::ALL {
            let status = Status::from(kind);
            assert!(status.0 >> 30 >= 2, "{kind:?} is {status:?}");
            assert!(!format!("{status:?}").starts_with("NTSTATUS"), "{kind:?} has no name");
        }
    }

    #[test]
    fn operations_are_counted_by_what_went_wrong() {
        for (status, expected) in [
            (Status::END_OF_FILE, None),
            (Status::OBJECT_PATH_NOT_FOUND, Some(ErrorKind::NotFound)),
            (Status::IO_TIMEOUT, Some(ErrorKind::Unavailable)),
            (Status::DISK_FULL, Some(ErrorKind::NoSpace)),
            (Status::DISK_CORRUPT_ERROR, Some(ErrorKind::Corrupt)),
            (Status::CANNOT_DELETE, Some(ErrorKind::AccessDenied)),
            (Status::EA_TOO_LARGE, Some(ErrorKind::InvalidArgument)),
        ] {
            assert_eq!(status.counted_as(), expected, "{status:?}");
        }
    }

    #[test]
    fn what_explorer_acts_on_is_told_apart() {
        let of = |kind| Status::from(kind);
        assert_eq!(of(ErrorKind::Unavailable), Status::IO_TIMEOUT);
        assert_eq!(of(ErrorKind::NoSpace), Status::DISK_FULL);
        assert_eq!(of(ErrorKind::Fenced), Status::MEDIA_WRITE_PROTECTED);
        assert_ne!(of(ErrorKind::Corrupt), of(ErrorKind::Io));
    }
}
