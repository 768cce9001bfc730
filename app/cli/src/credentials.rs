//! Named credentials as commands need them: loading one, and failures in this program's words.

use proxyfs_credentials::{Error, ErrorKind, Found};

use crate::failure::{Failure, Outcome};
use crate::paths::Paths;

/// The credentials of this name.
pub(crate) async fn named(paths: &Paths, name: &str) -> Outcome<Found> {
    paths.credentials().load(name).await.map_err(|e| failure("use", &format!("credentials {name}"), &e))
}

/// A failure around credentials: on `subject`, because of what the error is about.
pub(crate) fn failure(action: &str, subject: &str, error: &Error) -> Failure {
    let why = if subject == error.subject { error.why.clone() } else { format!("{}: {}", error.subject, error.why) };
    match error.kind {
        ErrorKind::Invalid if error.subject.starts_with("the name ") => {
            Failure::usage(action, &error.subject, &error.why, &error.to_do)
        }
        ErrorKind::NotFound
        | ErrorKind::KeyringMissing
        | ErrorKind::KeyringLocked
        | ErrorKind::Refused
        | ErrorKind::Invalid
        | ErrorKind::Io => Failure::new(action, subject, why, &error.to_do),
    }
}
