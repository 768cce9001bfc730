//! The one place where an engine error becomes an errno.
//!
//! `ENOSYS` is never made of an error: the kernel takes it as "this operation does not exist" and stops asking for good.

use fuser::Errno;
use proxyfs_core::ErrorKind;

/// The errno that a program sees for an error of `kind`.
///
/// Choices that are not obvious: an unreachable store is `ETIMEDOUT` (as on a soft NFS mount), so that it can be told from damage,
/// which is `EIO`; a writer that lost its volume (`Fenced`) sees a read-only file system.
pub(crate) fn errno(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::AlreadyExists => Errno::EEXIST,
        ErrorKind::NotADirectory => Errno::ENOTDIR,
        ErrorKind::IsADirectory => Errno::EISDIR,
        ErrorKind::NotEmpty => Errno::ENOTEMPTY,
        ErrorKind::NameTooLong => Errno::ENAMETOOLONG,
        ErrorKind::InvalidArgument => Errno::EINVAL,
        ErrorKind::NotPermitted => Errno::EPERM,
        ErrorKind::AccessDenied | ErrorKind::Denied => Errno::EACCES,
        ErrorKind::BadHandle => Errno::EBADF,
        ErrorKind::Stale => Errno::ESTALE,
        ErrorKind::NoAttribute => Errno::ENODATA,
        ErrorKind::BufferTooSmall => Errno::ERANGE,
        ErrorKind::TooManyLinks => Errno::EMLINK,
        ErrorKind::FileTooLarge => Errno::EFBIG,
        ErrorKind::NoSuchOffset => Errno::ENXIO,
        ErrorKind::CrossDevice => Errno::EXDEV,
        ErrorKind::NoSpace => Errno::ENOSPC,
        ErrorKind::QuotaExceeded => Errno::EDQUOT,
        ErrorKind::ReadOnly | ErrorKind::Fenced => Errno::EROFS,
        ErrorKind::WouldBlock => Errno::EAGAIN,
        ErrorKind::Deadlock => Errno::EDEADLK,
        ErrorKind::Interrupted => Errno::EINTR,
        ErrorKind::Busy => Errno::EBUSY,
        ErrorKind::NotSupported => Errno::EOPNOTSUPP,
        ErrorKind::Unavailable => Errno::ETIMEDOUT,
        ErrorKind::Config | ErrorKind::Corrupt | ErrorKind::UnknownFormat | ErrorKind::Io | ErrorKind::Internal => {
            Errno::EIO
        }
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

    #[test]
    fn every_kind_has_its_errno() {
        let table = [
            (ErrorKind::NotFound, libc::ENOENT),
            (ErrorKind::AlreadyExists, libc::EEXIST),
            (ErrorKind::NotADirectory, libc::ENOTDIR),
            (ErrorKind::IsADirectory, libc::EISDIR),
            (ErrorKind::NotEmpty, libc::ENOTEMPTY),
            (ErrorKind::NameTooLong, libc::ENAMETOOLONG),
            (ErrorKind::InvalidArgument, libc::EINVAL),
            (ErrorKind::NotPermitted, libc::EPERM),
            (ErrorKind::AccessDenied, libc::EACCES),
            (ErrorKind::BadHandle, libc::EBADF),
            (ErrorKind::Stale, libc::ESTALE),
            (ErrorKind::NoAttribute, libc::ENODATA),
            (ErrorKind::BufferTooSmall, libc::ERANGE),
            (ErrorKind::TooManyLinks, libc::EMLINK),
            (ErrorKind::FileTooLarge, libc::EFBIG),
            (ErrorKind::NoSuchOffset, libc::ENXIO),
            (ErrorKind::CrossDevice, libc::EXDEV),
            (ErrorKind::NoSpace, libc::ENOSPC),
            (ErrorKind::QuotaExceeded, libc::EDQUOT),
            (ErrorKind::ReadOnly, libc::EROFS),
            (ErrorKind::WouldBlock, libc::EAGAIN),
            (ErrorKind::Deadlock, libc::EDEADLK),
            (ErrorKind::Interrupted, libc::EINTR),
            (ErrorKind::Busy, libc::EBUSY),
            (ErrorKind::NotSupported, libc::EOPNOTSUPP),
            (ErrorKind::Unavailable, libc::ETIMEDOUT),
            (ErrorKind::Denied, libc::EACCES),
            (ErrorKind::Config, libc::EIO),
            (ErrorKind::Corrupt, libc::EIO),
            (ErrorKind::UnknownFormat, libc::EIO),
            (ErrorKind::Fenced, libc::EROFS),
            (ErrorKind::Io, libc::EIO),
            (ErrorKind::Internal, libc::EIO),
        ];
        for (kind, expected) in table {
            assert_eq!(errno(kind).code(), expected, "{kind:?}");
        }
    }

    #[test]
    fn damage_is_a_fault_and_a_missing_name_is_not() {
        assert!(is_fault(ErrorKind::Corrupt));
        assert!(!is_fault(ErrorKind::NotFound));
        assert!(!is_fault(ErrorKind::NoAttribute));
    }
}
