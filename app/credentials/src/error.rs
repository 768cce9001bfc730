//! What can go wrong with named credentials, with what to do about it. No message holds a secret.

use std::fmt;
use std::io;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No source has the name.
    NotFound,
    /// There is no credential store here.
    KeyringMissing,
    /// The credential store is locked, or waits for somebody who does not come.
    KeyringLocked,
    /// A file may be read or changed by others.
    Refused,
    /// A name or a content makes no sense.
    Invalid,
    /// The operating system failed.
    Io,
}

/// A failure: what it is about, why, and the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The kind.
    pub kind: ErrorKind,
    /// On what, e.g. "the file /home/me/.config/proxyfs/credentials.toml".
    pub subject: String,
    /// The cause.
    pub why: String,
    /// The next step.
    pub to_do: String,
}

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        subject: impl Into<String>,
        why: impl Into<String>,
        to_do: impl Into<String>,
    ) -> Self {
        Self { kind, subject: subject.into(), why: why.into(), to_do: to_do.into() }
    }

    pub(crate) fn io(subject: impl Into<String>, error: &io::Error) -> Self {
        Self::new(ErrorKind::Io, subject, error.to_string(), "check the path and the rights on it")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.subject, self.why, self.to_do)
    }
}

impl std::error::Error for Error {}
