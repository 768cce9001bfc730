//! The process itself: alive, ready, which version.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the process can do its work, or only a new start will help. A store that is away is no reason to start anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alive {
    /// Whether nothing is stuck.
    pub alive: bool,
    /// What is.
    #[serde(default)]
    pub stuck: Vec<Stuck>,
}

/// Something that will not go on by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stuck {
    /// Volume; none for the process itself.
    pub volume: Option<String>,
    /// What is stuck.
    pub why: String,
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
