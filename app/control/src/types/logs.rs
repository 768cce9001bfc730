//! The newest lines of the log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::redact::redact;

/// How much a line matters; the least comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something works less well.
    Warn,
    /// Worth knowing.
    Info,
    /// For finding a defect.
    Debug,
    /// Everything.
    Trace,
}

/// One line. Its text has lost its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct LogLine {
    /// Unix seconds.
    pub time: i64,
    /// How much it matters.
    pub level: Level,
    /// Which part of the program.
    pub target: String,
    /// The text.
    pub message: String,
}

impl LogLine {
    /// A line, with its secrets taken out.
    #[must_use]
    pub fn new(time: i64, level: Level, target: &str, message: &str) -> Self {
        Self { time, level, target: target.to_owned(), message: redact(message) }
    }
}

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsQuery {
    /// The newest so many; 1 to 1,000, by default 100.
    #[serde(default)]
    pub lines: Option<u32>,
    /// Nothing that matters less.
    #[serde(default)]
    pub level: Option<Level>,
    /// Go on with new lines, as server-sent events.
    #[serde(default)]
    pub follow: bool,
}

/// Lines of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Logs {
    /// Oldest first.
    pub lines: Vec<LogLine>,
}
