//! The asking side of the control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proxyfs_control::local::{connect, is_nobody};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::{LINE_BYTES_MAX, Reply, Request, socket};
use crate::failure::{Failure, Outcome};

/// How long a running process may take to say how it is; it answers from memory.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);

/// What a running process says of itself, from its status.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Running {
    /// Its state directory.
    pub(crate) state_dir: PathBuf,
    /// The whole status.
    pub(crate) status: Value,
}

impl Running {
    /// Where the volume is mounted.
    pub(crate) fn mount_point(&self) -> &Path {
        Path::new(self.status["mount_point"].as_str().unwrap_or(""))
    }

    /// The process.
    pub(crate) fn pid(&self) -> u64 {
        self.status["pid"].as_u64().unwrap_or(0)
    }
}

/// The process that has the volume of `state_dir` mounted, if there is one.
pub(crate) async fn running(state_dir: &Path) -> Option<Running> {
    let answer = timeout(STATUS_PATIENCE, ask(state_dir, Request::Status, |_| {})).await;
    match answer {
        Ok(Ok(Some(status))) => Some(Running { state_dir: state_dir.to_owned(), status }),
        _ => None,
    }
}

/// Asks the process that serves `state_dir`. `None` when there is none.
///
/// After [`Request::Unmount`], returns once the process has closed the connection, which it does by ending.
///
/// # Errors
/// What the process says, or a broken connection.
pub(crate) async fn ask(state_dir: &Path, request: Request, mut progress: impl FnMut(&str)) -> Outcome<Option<Value>> {
    let failed = |e: &io::Error| Failure::io("talk to", &format!("the process of {}", state_dir.display()), e);
    let stream = match connect(&socket(state_dir)).await {
        Ok(stream) => stream,
        Err(e) if is_nobody(&e) => return Ok(None),
        Err(e) => return Err(failed(&e)),
    };
    let (read, mut write) = tokio::io::split(stream);
    let mut line = serde_json::to_vec(&request).map_err(|e| failed(&e.into()))?;
    line.push(b'\n');
    write.write_all(&line).await.map_err(|e| failed(&e))?;
    let mut lines = BufReader::new(read.take(LINE_BYTES_MAX)).lines();
    while let Some(line) = lines.next_line().await.map_err(|e| failed(&e))? {
        match serde_json::from_str(&line).map_err(|e| failed(&e.into()))? {
            Reply::Progress(text) => progress(&text),
            Reply::Failed(failure) => return Err(failure),
            Reply::Done(value) => {
                if request == Request::Unmount {
                    // Nothing more is said; the end of the stream is the end of the process, and so is a reset.
                    let _end = lines.next_line().await.is_ok();
                }
                return Ok(Some(value));
            }
        }
    }
    Err(failed(&io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::server::{Handler, Progress, Server};
    use super::*;

    struct Echo;

    impl Handler for Echo {
        async fn handle(&self, request: Request, progress: Progress) -> Reply {
            match request {
                Request::Flush => {
                    progress.send("half".to_owned()).unwrap();
                    Reply::Done(Value::Null)
                }
                Request::Checkpoint => Reply::Failed(Failure::new("a", "b", "c", "d")),
                Request::Status | Request::Stats | Request::Unmount => {
                    Reply::Done(serde_json::json!({"pid": 7, "mount_point": "/m"}))
                }
            }
        }
    }

    #[tokio::test]
    async fn requests_are_answered_with_progress_and_failures() {
        let dir = tempfile::tempdir().unwrap();
        let _server = Server::start(dir.path(), Arc::new(Echo)).unwrap();
        let mut seen = Vec::new();
        assert_eq!(ask(dir.path(), Request::Flush, |l| seen.push(l.to_owned())).await, Ok(Some(Value::Null)));
        assert_eq!(seen, ["half"]);
        let failure = ask(dir.path(), Request::Checkpoint, |_| {}).await.unwrap_err();
        assert_eq!(failure, Failure::new("a", "b", "c", "d"));
        let running = running(dir.path()).await.unwrap();
        assert_eq!((running.pid(), running.mount_point()), (7, Path::new("/m")));
    }

    #[tokio::test]
    async fn nobody_there_is_no_error_and_a_dead_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ask(dir.path(), Request::Status, |_| {}).await, Ok(None));
        #[cfg(unix)]
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("control.sock")).unwrap());
        #[cfg(windows)]
        drop(proxyfs_control::local::Listener::bind(&dir.path().join("control.sock")).unwrap());
        assert_eq!(ask(dir.path(), Request::Status, |_| {}).await, Ok(None));
        let _server = Server::start(dir.path(), Arc::new(Echo)).unwrap();
        assert!(running(dir.path()).await.is_some());
    }

    #[tokio::test]
    async fn a_state_directory_with_a_long_path_works_too() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let _server = Server::start(&deep, Arc::new(Echo)).unwrap();
        assert!(running(&deep).await.is_some());
    }
}
