//! The engine's one public error: a kind that tells the caller what to do, the context, and the cause.
//!
//! A kind exists only where some caller acts differently on it. Adapters map kinds to errno, NTSTATUS or HTTP codes
//! by one exhaustive match each. Inner modules have small errors of their own and turn them into this one at their edge.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such name, inode or object. Fix the request.
    NotFound,
    /// The name exists already. Fix the request.
    AlreadyExists,
    /// A directory was needed. Fix the request.
    NotADirectory,
    /// Something that is not a directory was needed. Fix the request.
    IsADirectory,
    /// The directory still has entries. Fix the request.
    NotEmpty,
    /// A name longer than 255 bytes, or a symlink target or xattr longer than its limit. Fix the request.
    NameTooLong,
    /// An argument has no meaning here. Fix the request.
    InvalidArgument,
    /// The operation is not permitted, whoever asks (POSIX EPERM). Fix the request.
    NotPermitted,
    /// The caller lacks the right to do this (POSIX EACCES). Fix the request.
    AccessDenied,
    /// The handle is unknown or was opened in another mode. Fix the request.
    BadHandle,
    /// The inode has gone. Look the name up again.
    Stale,
    /// The named extended attribute does not exist. Fix the request.
    NoAttribute,
    /// The answer does not fit into the caller's buffer. Ask again with a larger one.
    BufferTooSmall,
    /// The inode cannot take another hard link. Fix the request.
    TooManyLinks,
    /// The offset or size is past the largest file. Fix the request.
    FileTooLarge,
    /// No data or hole at or after the offset (POSIX ENXIO). Fix the request.
    NoSuchOffset,
    /// The other file system or volume was meant (POSIX EXDEV). Copy instead.
    CrossDevice,
    /// Staging space on the local disk is truly full. Free space, then retry.
    NoSpace,
    /// The volume's quota is used up. Delete something or raise the quota.
    QuotaExceeded,
    /// The volume or mount is read-only. Mount it for writing.
    ReadOnly,
    /// Another lock is in the way. Retry later.
    WouldBlock,
    /// Waiting for the lock would never end. Release locks, then retry.
    Deadlock,
    /// The wait was cancelled by the caller. Retry if still wanted.
    Interrupted,
    /// The thing is in use (a mount point, a volume). Stop its user first.
    Busy,
    /// The operation is not offered here. Do without.
    NotSupported,
    /// The store did not answer in time, or is unreachable. Retry later; nothing is lost.
    Unavailable,
    /// The store or the OS refused for want of rights. Fix the credentials.
    Denied,
    /// A configuration, URL or argument is wrong. Fix it; the context says how.
    Config,
    /// Stored bytes are damaged or contradict each other. Run fsck.
    Corrupt,
    /// The store holds a format that this program does not know. Upgrade the program.
    UnknownFormat,
    /// This writer has lost its epoch to another owner. Take over again, or recover the staged data.
    Fenced,
    /// A local file or device failed. Look at the disk, then remount.
    Io,
    /// A broken invariant inside the engine; the volume is read-only now. Report it, remount.
    Internal,
}

impl ErrorKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 33] = [
        Self::NotFound,
        Self::AlreadyExists,
        Self::NotADirectory,
        Self::IsADirectory,
        Self::NotEmpty,
        Self::NameTooLong,
        Self::InvalidArgument,
        Self::NotPermitted,
        Self::AccessDenied,
        Self::BadHandle,
        Self::Stale,
        Self::NoAttribute,
        Self::BufferTooSmall,
        Self::TooManyLinks,
        Self::FileTooLarge,
        Self::NoSuchOffset,
        Self::CrossDevice,
        Self::NoSpace,
        Self::QuotaExceeded,
        Self::ReadOnly,
        Self::WouldBlock,
        Self::Deadlock,
        Self::Interrupted,
        Self::Busy,
        Self::NotSupported,
        Self::Unavailable,
        Self::Denied,
        Self::Config,
        Self::Corrupt,
        Self::UnknownFormat,
        Self::Fenced,
        Self::Io,
        Self::Internal,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::NotADirectory => "not_a_directory",
            Self::IsADirectory => "is_a_directory",
            Self::NotEmpty => "not_empty",
            Self::NameTooLong => "name_too_long",
            Self::InvalidArgument => "invalid_argument",
            Self::NotPermitted => "not_permitted",
            Self::AccessDenied => "access_denied",
            Self::BadHandle => "bad_handle",
            Self::Stale => "stale",
            Self::NoAttribute => "no_attribute",
            Self::BufferTooSmall => "buffer_too_small",
            Self::TooManyLinks => "too_many_links",
            Self::FileTooLarge => "file_too_large",
            Self::NoSuchOffset => "no_such_offset",
            Self::CrossDevice => "cross_device",
            Self::NoSpace => "no_space",
            Self::QuotaExceeded => "quota_exceeded",
            Self::ReadOnly => "read_only",
            Self::WouldBlock => "would_block",
            Self::Deadlock => "deadlock",
            Self::Interrupted => "interrupted",
            Self::Busy => "busy",
            Self::NotSupported => "not_supported",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::Config => "config",
            Self::Corrupt => "corrupt",
            Self::UnknownFormat => "unknown_format",
            Self::Fenced => "fenced",
            Self::Io => "io",
            Self::Internal => "internal",
        }
    }
}

/// An error with its kind, a sentence of context, and the cause.
pub struct Error {
    kind: ErrorKind,
    context: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a cause below it. `context` is lower case and holds the values involved.
    pub fn new(kind: ErrorKind, context: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// An error with the failure that led to it.
    pub fn with_source(
        kind: ErrorKind,
        context: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind, context: context.into(), source: Some(source.into()) }
    }

    /// What the caller can act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence that says what failed on what.
    #[must_use]
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The same error with `context` put before its own sentence.
    #[must_use]
    pub fn context_prefix(mut self, context: &str) -> Self {
        self.context = format!("{context}: {}", self.context).into();
        self
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind, "")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.context.is_empty() {
            write!(f, "{:?}", self.kind)?;
        } else {
            f.write_str(&self.context)?;
        }
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}
