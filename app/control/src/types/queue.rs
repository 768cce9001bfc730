//! What is on its way to the store.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a segment is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    /// Still taking data.
    Open,
    /// Full, or old enough: it goes next.
    Sealed,
    /// On the wire.
    Uploading,
    /// Waits before another attempt.
    Retrying,
    /// Held by request.
    Paused,
    /// In the store.
    Done,
}

/// One segment, or the part of one file in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueEntry {
    /// Names it in the queue.
    pub id: u64,
    /// The file, if this is a file's part and its path is known.
    pub path: Option<String>,
    /// Size.
    pub bytes: u64,
    /// Where it is.
    pub state: UploadState,
    /// Bytes sent of the attempt under way.
    pub sent: u64,
    /// Expected end in seconds, if it can be told.
    pub eta_s: Option<u64>,
    /// Attempts so far.
    pub attempts: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
}

/// The queue of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// Whether uploads are held.
    pub paused: bool,
    /// Bytes that wait.
    pub waiting_bytes: u64,
    /// Per segment.
    pub segments: Vec<QueueEntry>,
    /// Per file.
    pub files: Vec<QueueEntry>,
}

/// Limits of transfer in bytes a second; null lifts one, a field left out keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditLimits {
    /// To stores.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub upload: Option<Option<u64>>,
    /// From stores.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub download: Option<Option<u64>>,
}

/// Tells a null from a field left out.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    super::amount::optional(deserializer).map(Some)
}

/// Limits of transfer in force, bytes a second; null is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// To stores.
    pub upload: Option<u64>,
    /// From stores.
    pub download: Option<u64>,
}

/// Whether all queues are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Paused {
    /// Whether they are.
    pub paused: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_left_out_differs_from_one_that_is_lifted() {
        let edit = |text| serde_json::from_str::<EditLimits>(text).unwrap();
        assert_eq!(edit("{}"), EditLimits::default());
        assert_eq!(edit(r#"{"upload":null}"#), EditLimits { upload: Some(None), download: None });
        assert_eq!(edit(r#"{"download":5}"#), EditLimits { upload: None, download: Some(Some(5)) });
        assert_eq!(serde_json::to_string(&edit(r#"{"upload":null}"#)).unwrap(), r#"{"upload":null}"#);
    }
}
