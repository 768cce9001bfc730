//! The one place where an engine error becomes an errno.
//!
//! `ENOSYS` is never made of an error: the kernel takes it as "this operation does not exist" and stops asking for good.

use fuser::Errno;
use proxyfs_core::ErrorKind;

use crate::system::{HERE, System};

/// The errno that a program sees for an error of `kind`.
///
/// Choices that are not obvious: an unreachable store is `ETIMEDOUT` (as on a soft NFS mount), so that it can be told from damage,
/// which is `EIO`; a writer that lost its volume (`Fenced`) sees a read-only file system.
pub(crate) fn errno(kind: ErrorKind) -> Errno {
    Errno::from_i32(number(HERE, kind))
}

/// The number that a system gives to an error. Where the two agree, one is written.
///
/// A missing attribute is `ENODATA` on Linux and `ENOATTR` on macOS. What is not supported is `ENOTSUP` on macOS, which is another
/// number than `EOPNOTSUPP` there, and the one that its kernel looks for.
fn number(system: System, kind: ErrorKind) -> i32 {
    let of = |linux: i32, mac_os: i32| match system {
        System::Linux => linux,
        System::MacOs => mac_os,
    };
    match kind {
        ErrorKind::NotFound => 2,
        ErrorKind::AlreadyExists => 17,
        ErrorKind::NotADirectory => 20,
        ErrorKind::IsADirectory => 21,
        ErrorKind::NotEmpty => of(39, 66),
        ErrorKind::NameTooLong => of(36, 63),
        ErrorKind::InvalidArgument => 22,
        ErrorKind::NotPermitted => 1,
        ErrorKind::AccessDenied | ErrorKind::Denied => 13,
        ErrorKind::BadHandle => 9,
        ErrorKind::Stale => of(116, 70),
        ErrorKind::NoAttribute => of(61, 93),
        ErrorKind::BufferTooSmall => 34,
        ErrorKind::TooManyLinks => 31,
        ErrorKind::FileTooLarge => 27,
        ErrorKind::NoSuchOffset => 6,
        ErrorKind::CrossDevice => 18,
        ErrorKind::NoSpace => 28,
        ErrorKind::QuotaExceeded => of(122, 69),
        ErrorKind::ReadOnly | ErrorKind::Fenced => 30,
        ErrorKind::WouldBlock => of(11, 35),
        ErrorKind::Deadlock => of(35, 11),
        ErrorKind::Interrupted => 4,
        ErrorKind::Busy => 16,
        ErrorKind::NotSupported => of(95, 45),
        ErrorKind::Unavailable => of(110, 60),
        ErrorKind::Config | ErrorKind::Corrupt | ErrorKind::UnknownFormat | ErrorKind::Io | ErrorKind::Internal => 5,
    }
}

/// Whether an error of `kind` says that something is wrong with the volume, its store or this machine, rather than with the
/// request. Such errors are logged; the others are everyday answers.
pub(crate) fn is_fault(kind: ErrorKind) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "macos")]
    const NO_ATTRIBUTE: i32 = libc::ENOATTR;
    #[cfg(not(target_os = "macos"))]
    const NO_ATTRIBUTE: i32 = libc::ENODATA;

    /// Kind, this system's own name for its errno, the numbers on Linux and on macOS (its `sys/errno.h`).
    const TABLE: &[(ErrorKind, i32, i32, i32)] = &[
        (ErrorKind::NotFound, libc::ENOENT, 2, 2),
        (ErrorKind::AlreadyExists, libc::EEXIST, 17, 17),
        (ErrorKind::NotADirectory, libc::ENOTDIR, 20, 20),
        (ErrorKind::IsADirectory, libc::EISDIR, 21, 21),
        (ErrorKind::NotEmpty, libc::ENOTEMPTY, 39, 66),
        (ErrorKind::NameTooLong, libc::ENAMETOOLONG, 36, 63),
        (ErrorKind::InvalidArgument, libc::EINVAL, 22, 22),
        (ErrorKind::NotPermitted, libc::EPERM, 1, 1),
        (ErrorKind::AccessDenied, libc::EACCES, 13, 13),
        (ErrorKind::BadHandle, libc::EBADF, 9, 9),
        (ErrorKind::Stale, libc::ESTALE, 116, 70),
        (ErrorKind::NoAttribute, NO_ATTRIBUTE, 61, 93),
        (ErrorKind::BufferTooSmall, libc::ERANGE, 34, 34),
        (ErrorKind::TooManyLinks, libc::EMLINK, 31, 31),
        (ErrorKind::FileTooLarge, libc::EFBIG, 27, 27),
        (ErrorKind::NoSuchOffset, libc::ENXIO, 6, 6),
        (ErrorKind::CrossDevice, libc::EXDEV, 18, 18),
        (ErrorKind::NoSpace, libc::ENOSPC, 28, 28),
        (ErrorKind::QuotaExceeded, libc::EDQUOT, 122, 69),
        (ErrorKind::ReadOnly, libc::EROFS, 30, 30),
        (ErrorKind::WouldBlock, libc::EAGAIN, 11, 35),
        (ErrorKind::Deadlock, libc::EDEADLK, 35, 11),
        (ErrorKind::Interrupted, libc::EINTR, 4, 4),
        (ErrorKind::Busy, libc::EBUSY, 16, 16),
        (ErrorKind::NotSupported, libc::ENOTSUP, 95, 45),
        (ErrorKind::Unavailable, libc::ETIMEDOUT, 110, 60),
        (ErrorKind::Denied, libc::EACCES, 13, 13),
        (ErrorKind::Config, libc::EIO, 5, 5),
        (ErrorKind::Corrupt, libc::EIO, 5, 5),
        (ErrorKind::UnknownFormat, libc::EIO, 5, 5),
        (ErrorKind::Fenced, libc::EROFS, 30, 30),
        (ErrorKind::Io, libc::EIO, 5, 5),
        (ErrorKind::Internal, libc::EIO, 5, 5),
    ];

    #[test]
    fn every_kind_has_its_errno_on_both_systems() {
        for (kind, here, linux, mac_os) in TABLE {
            assert_eq!((number(System::Linux, *kind), number(System::MacOs, *kind)), (*linux, *mac_os), "{kind:?}");
            assert_eq!(errno(*kind).code(), *here, "{kind:?}");
        }
    }

    #[test]
    fn damage_is_a_fault_and_a_missing_name_is_not() {
        assert!(is_fault(ErrorKind::Corrupt));
        assert!(!is_fault(ErrorKind::NotFound));
        assert!(!is_fault(ErrorKind::NoAttribute));
    }
}
