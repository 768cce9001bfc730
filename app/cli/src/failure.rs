//! What the user reads when something fails: what, on what, why, and what to do.
//!
//! Owns the wording around an engine error and the exit codes. Every command returns an [`Outcome`]; nothing else of this
//! program prints an error. The advice for an engine error follows from its kind alone, by one exhaustive match.

use std::fmt;
use std::io;

use proxyfs_core::store::{StoreError, StoreErrorKind};
use proxyfs_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

/// Result of whatever a command does.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Whose fault a failure is, which is what the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Blame {
    /// The work failed.
    Work,
    /// The command line makes no sense.
    Usage,
}

/// One failure, ready to be shown: `proxyfs: cannot ACTION SUBJECT: WHY`, then `what to do: ADVICE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What was attempted, in the imperative: "mount", "create".
    pub(crate) action: String,
    /// On what: "volume photos".
    pub(crate) subject: String,
    /// The cause.
    pub(crate) why: String,
    /// The next step for the user.
    pub(crate) advice: String,
    /// Decides the exit code.
    pub(crate) blame: Blame,
    /// What a program does about it.
    #[serde(skip)]
    pub(crate) sort: Sort,
}

/// What a program that sees a failure does about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Something must change first.
    #[default]
    Conflict,
    /// The store cannot be reached: the same may work later.
    Unavailable,
    /// This computer or this program failed.
    Broken,
}

impl Sort {
    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Io | ErrorKind::Internal | ErrorKind::Corrupt => Self::Broken,
            _ => Self::Conflict,
        }
    }
}

impl Failure {
    /// Work that failed.
    pub(crate) fn new(
        action: impl Into<String>,
        subject: impl Into<String>,
        why: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            action: action.into(),
            subject: one_line(&subject.into()),
            why: one_line(&why.into()),
            advice: one_line(&advice.into()),
            blame: Blame::Work,
            sort: Sort::default(),
        }
    }

    /// A command line that makes no sense.
    pub(crate) fn usage(
        action: impl Into<String>,
        subject: impl Into<String>,
        why: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { blame: Blame::Usage, ..Self::new(action, subject, why, advice) }
    }

    /// An error of the engine or an adapter.
    pub(crate) fn engine(action: &str, subject: &str, error: &Error) -> Self {
        Self { sort: Sort::of(error.kind()), ..Self::new(action, subject, error.to_string(), advice(error.kind())) }
    }

    /// An error of a store.
    pub(crate) fn store(action: &str, subject: &str, error: &StoreError) -> Self {
        let sort = if error.kind == StoreErrorKind::Unavailable { Sort::Unavailable } else { Sort::Conflict };
        Self { sort, ..Self::new(action, subject, &error.message, store_advice(error.kind)) }
    }

    /// An error of the operating system.
    pub(crate) fn io(action: &str, subject: &str, error: &io::Error) -> Self {
        let theirs = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
        let sort = if theirs { Sort::Conflict } else { Sort::Broken };
        Self { sort, ..Self::new(action, subject, error.to_string(), io_advice(error)) }
    }

    /// 1 for failed work, 2 for a wrong command line.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.blame {
            Blame::Work => 1,
            Blame::Usage => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "proxyfs: cannot {} {}: {}", self.action, self.subject, self.why)?;
        write!(f, "what to do: {}", self.advice)
    }
}

/// Joins lines, so that a failure is one line however its cause is worded.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What to do about an engine error.
fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "check the name or path, then try again",
        ErrorKind::AlreadyExists => "choose another name or place, or use what is there",
        ErrorKind::NotADirectory => "name a directory",
        ErrorKind::IsADirectory => "name a file",
        ErrorKind::NotEmpty => "choose an empty directory",
        ErrorKind::NameTooLong => "use a shorter name",
        ErrorKind::InvalidArgument | ErrorKind::Config => "correct what is named above, then try again",
        ErrorKind::NotPermitted | ErrorKind::AccessDenied => "run this as a user who may do it",
        ErrorKind::BadHandle | ErrorKind::Stale => "open the file again",
        ErrorKind::NoAttribute => "check the attribute's name",
        ErrorKind::BufferTooSmall | ErrorKind::FileTooLarge | ErrorKind::NoSuchOffset => "ask for another size",
        ErrorKind::TooManyLinks => "remove a hard link first",
        ErrorKind::CrossDevice => "copy instead",
        ErrorKind::NoSpace => "free space on the local disk, then try again",
        ErrorKind::QuotaExceeded => "delete something or raise the quota",
        ErrorKind::ReadOnly => "mount without --read-only",
        ErrorKind::WouldBlock | ErrorKind::Deadlock | ErrorKind::Interrupted => "try again",
        ErrorKind::Busy => {
            "stop what uses it, then try again; a volume in use elsewhere is released there, or taken over with --take-over if that owner is gone for good"
        }
        ErrorKind::NotSupported => "do without it",
        ErrorKind::Unavailable => "check the network and the store, then try again; data on this computer is kept",
        ErrorKind::Denied => "check the credentials and rights, then try again",
        ErrorKind::Corrupt => "run `proxyfs fsck` on the volume",
        ErrorKind::UnknownFormat => "upgrade proxyfs: a newer version wrote this",
        ErrorKind::Fenced => {
            "another owner has the volume; if it should be here, mount again with --take-over. Changes not uploaded are still in the state directory"
        }
        ErrorKind::Io => "look at the local disk, then try again",
        ErrorKind::Internal => "this is a defect of proxyfs: report it with the log (--log debug), then mount again",
    }
}

/// What to do about a store's error.
fn store_advice(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::NotFound => "check the store URL: no volume lies there",
        StoreErrorKind::AlreadyExists => "a volume lies there already: mount it by its URL, or choose another prefix",
        StoreErrorKind::NoContainer => "create the bucket, container or directory first, or correct the URL",
        StoreErrorKind::Denied => "check the credentials and the rights on the bucket or directory",
        StoreErrorKind::Unavailable | StoreErrorKind::Truncated => "check the network and the store, then try again",
        StoreErrorKind::Unsupported => "use a store that offers it",
        StoreErrorKind::Invalid => "correct the store URL or the store's settings",
        StoreErrorKind::NoSpace => "make room in the store, then try again",
    }
}

fn io_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "check the rights on it, or run as a user who may use it",
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::StorageFull => "free space on the local disk",
        _ => "look at the local disk and the path, then try again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_two_lines_whatever_its_cause_looks_like() {
        let failure = Failure::new("mount", "volume photos", "first\n  second", "do\nthis");
        assert_eq!(failure.to_string(), "proxyfs: cannot mount volume photos: first second\nwhat to do: do this");
    }

    #[test]
    fn exit_codes_tell_usage_from_failed_work() {
        assert_eq!(Failure::new("a", "b", "c", "d").exit_code(), 1);
        assert_eq!(Failure::usage("a", "b", "c", "d").exit_code(), 2);
    }
}
