//! What is said when something fails: what, on what, why, and what to do.
//!
//! Every error answer is `{"error": Problem}`. The HTTP status follows from the kind alone, by one exhaustive match.

use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What sort of failure; a kind exists only if a client acts differently on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request makes no sense: correct it.
    Invalid,
    /// No token, or a wrong one.
    Unauthorized,
    /// Not for this caller.
    Forbidden,
    /// No such volume, credentials, path.
    NotFound,
    /// The path knows other methods.
    MethodNotAllowed,
    /// The request did not arrive in time.
    Timeout,
    /// It makes sense, but not now or not here: the state must change first.
    Conflict,
    /// The body is longer than allowed.
    TooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// Too many connections or subscribers: try again later.
    TooMany,
    /// The work failed.
    Failed,
    /// The store cannot be reached: try again later.
    Unavailable,
}

impl Kind {
    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// One failure: `cannot WHAT SUBJECT: WHY`, then what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
pub struct Problem {
    /// What was attempted, in the imperative: "mount", "create".
    pub what: String,
    /// On what: "volume photos".
    pub subject: String,
    /// The cause.
    pub why: String,
    /// The next step for the user.
    pub to_do: String,
    /// Decides the HTTP status.
    pub kind: Kind,
}

impl Problem {
    /// A failure of any kind. Lines are joined, so that it stays one line each.
    pub fn new(
        kind: Kind,
        what: impl Into<String>,
        subject: impl Into<String>,
        why: impl Into<String>,
        to_do: impl Into<String>,
    ) -> Self {
        Self {
            what: one_line(&what.into()),
            subject: one_line(&subject.into()),
            why: one_line(&why.into()),
            to_do: one_line(&to_do.into()),
            kind,
        }
    }

    /// A request that makes no sense.
    pub fn invalid(subject: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, "understand", subject, why, "correct the request; GET /v1/openapi.json describes it")
    }

    /// A volume of this name is not there.
    #[must_use]
    pub fn no_volume(name: &str) -> Self {
        let subject = format!("volume {name}");
        Self::new(Kind::NotFound, "find", subject, "no volume of this name is known", "GET /v1/volumes lists them")
    }

    /// Credentials of this name are not there.
    #[must_use]
    pub fn no_credentials(name: &str) -> Self {
        let subject = format!("credentials {name}");
        Self::new(Kind::NotFound, "find", subject, "no credentials of this name are known", "set them first")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.what, self.subject, self.why)
    }
}

/// The body of every answer whose status is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What failed.
    pub error: Problem,
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How bad a lasting problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Something works less well.
    Warning,
    /// Something does not work.
    Error,
}

/// A problem that lasts until it is solved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastingProblem {
    /// Names it for as long as it lasts.
    pub id: u64,
    /// Whose problem; none for the daemon's own.
    pub volume: Option<String>,
    /// Unix seconds.
    pub since: i64,
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

/// All problems that last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problems {
    /// Oldest first.
    pub problems: Vec<LastingProblem>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_and_an_object_named_error() {
        let error = Problem::new(Kind::Conflict, "mount", "volume a", "first\n  second", "do\nthis");
        assert_eq!(error.to_string(), "cannot mount volume a: first second");
        let json = serde_json::to_value(ErrorBody { error }).unwrap();
        let shown = r#"{"error":{"what":"mount","subject":"volume a","why":"first second","to_do":"do this","kind":"conflict"}}"#;
        assert_eq!(json, serde_json::from_str::<serde_json::Value>(shown).unwrap());
    }
}
