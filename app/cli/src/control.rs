//! How a command talks to the process that has a volume mounted: a Unix socket in the volume's state directory, on Windows a
//! named pipe of that path.
//!
//! A request is one line of JSON. The answer is any number of progress lines, then one line with the result; after `unmount` the
//! connection stays open until the process has ended. The directory is private to its user, and so is the socket.

pub(crate) mod client;
pub(crate) mod server;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;

/// Name of the socket in a state directory.
const SOCKET: &str = "control.sock";
/// Longest line that either side reads.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What is asked of a running volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Request {
    /// How it is.
    Status,
    /// Its numbers.
    Stats,
    /// Bring everything into the store.
    Flush,
    /// Write a checkpoint.
    Checkpoint,
    /// Unmount cleanly and end.
    Unmount,
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reply {
    /// It goes on; a sentence for people.
    Progress(String),
    /// Done; the result.
    Done(Value),
    /// It failed.
    Failed(Failure),
}

/// The socket of a state directory.
fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join(SOCKET)
}
