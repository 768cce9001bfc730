//! The process itself: alive, ready, which version.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alive {
    /// Always true.
    pub alive: bool,
}

/// Whether everything that should be mounted is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether every configured mount answers.
    pub ready: bool,
    /// Those that do not.
    pub waiting: Vec<NotReady>,
}

/// A mount that does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotReady {
    /// Volume.
    pub volume: String,
    /// Where it should be.
    pub mount_point: String,
    /// Why it is not.
    pub why: String,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Of the program.
    pub version: String,
    /// Process.
    pub pid: u32,
    /// Unix seconds.
    pub started: i64,
    /// The configuration file; none without one.
    pub config: Option<String>,
}
