//! What happened, as it happens.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum EventKind {
    /// A volume's state changed.
    #[serde(rename = "volume.state")]
    VolumeState,
    /// Uploads moved on.
    #[serde(rename = "queue.progress")]
    QueueProgress,
    /// A store stopped answering.
    #[serde(rename = "offline")]
    Offline,
    /// A store answers again.
    #[serde(rename = "online")]
    Online,
    /// A lasting problem began.
    #[serde(rename = "problem")]
    Problem,
    /// It is over.
    #[serde(rename = "problem.solved")]
    ProblemSolved,
    /// This machine took a volume over.
    #[serde(rename = "taken-over")]
    TakenOver,
    /// Another machine took a volume over.
    #[serde(rename = "fenced")]
    Fenced,
    /// What this machine had not published when it lost a volume is in the volume now, in a folder of its own.
    #[serde(rename = "recovered")]
    Recovered,
    /// A checkpoint is in the store.
    #[serde(rename = "checkpoint")]
    Checkpoint,
    /// The configuration was read anew.
    #[serde(rename = "config.reloaded")]
    ConfigReloaded,
    /// A line of the log that matters.
    #[serde(rename = "log")]
    Log,
    /// Events were missed: read the state anew. Only for the subscriber that missed them; its id is the last one missed.
    #[serde(rename = "lost")]
    Lost,
}

impl EventKind {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::VolumeState => "volume.state",
            Self::QueueProgress => "queue.progress",
            Self::Offline => "offline",
            Self::Online => "online",
            Self::Problem => "problem",
            Self::ProblemSolved => "problem.solved",
            Self::TakenOver => "taken-over",
            Self::Fenced => "fenced",
            Self::Recovered => "recovered",
            Self::Checkpoint => "checkpoint",
            Self::ConfigReloaded => "config.reloaded",
            Self::Log => "log",
            Self::Lost => "lost",
        }
    }
}

/// What a publisher says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Unix seconds.
    pub time: i64,
    /// Which volume, if one.
    pub volume: Option<String>,
    /// About what.
    pub kind: EventKind,
    /// More, by kind.
    pub data: Map<String, Value>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Grows, also from one life of the daemon to the next.
    pub id: u64,
    /// Unix seconds; none for `lost`.
    #[serde(default)]
    pub time: Option<i64>,
    /// Which volume, if one.
    #[serde(default)]
    pub volume: Option<String>,
    /// About what.
    pub kind: EventKind,
    /// More, by kind.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_on_every_way() {
        use EventKind::*;
        for kind in [
            VolumeState,
            QueueProgress,
            Offline,
            Online,
            Problem,
            ProblemSolved,
            TakenOver,
            Fenced,
            Recovered,
            Checkpoint,
            ConfigReloaded,
            Log,
            Lost,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
