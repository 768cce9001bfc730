//! The running side of the control socket: accepts connections and hands requests to a [`Handler`].
//!
//! Only one process can have a state directory locked, so a socket found there at the start is a dead one and is replaced.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proxyfs_control::local::{Accepted, Listener, remove};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, WriteHalf, split};
use tokio::sync::{RwLock, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{LINE_BYTES_MAX, Reply, Request, socket};
use crate::failure::Failure;

/// Sends progress lines to whoever asked.
pub(crate) type Progress = mpsc::UnboundedSender<String>;

/// Answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Does what is asked. Progress may be sent meanwhile; nobody need listen.
    fn handle(&self, request: Request, progress: Progress) -> impl Future<Output = Reply> + Send;

    /// Whether an answered unmount ends the connection, as the process goes on without the volume.
    fn outlives_the_mount(&self) -> bool {
        false
    }
}

/// A listening control socket. Dropping it stops accepting; open connections go on.
#[derive(Debug)]
pub(crate) struct Server {
    accepting: JoinHandle<()>,
    busy: Busy,
}

/// Held shared by each request until its answer is sent.
type Busy = Arc<RwLock<()>>;

impl Server {
    /// Listens in `state_dir`, which must be locked by this process.
    ///
    /// # Errors
    /// As the OS gives them.
    pub(crate) fn start<H: Handler>(state_dir: &Path, handler: Arc<H>) -> io::Result<Self> {
        let listener = Listener::bind(&socket(state_dir))?;
        let busy = Busy::default();
        Ok(Self { accepting: tokio::spawn(accept(listener, handler, Arc::clone(&busy))), busy })
    }

    /// Stops accepting and waits up to `patience` until every request has its answer.
    pub(crate) async fn drain(self, patience: Duration) {
        self.accepting.abort();
        if timeout(patience, self.busy.write()).await.is_err() {
            tracing::debug!("a control request was left without an answer");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Removes the socket of a state directory.
pub(crate) fn remove_socket(state_dir: &Path) {
    if let Err(e) = remove(&socket(state_dir)) {
        tracing::debug!("the control socket stays: {e}");
    }
}

async fn accept<H: Handler>(listener: Listener, handler: Arc<H>, busy: Busy) {
    loop {
        match listener.accept().await {
            Ok(None) => {}
            Ok(Some(stream)) => {
                let (handler, busy) = (Arc::clone(&handler), Arc::clone(&busy));
                tokio::spawn(async move {
                    if let Err(e) = serve(stream, &*handler, &busy).await {
                        tracing::debug!("a control connection ended: {e}");
                    }
                });
            }
            Err(e) => {
                // Out of descriptors, most likely: give the others time to end.
                tracing::warn!("control socket: {e}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve<H: Handler>(stream: Accepted, handler: &H, busy: &Busy) -> io::Result<()> {
    let (read, mut write) = split(stream);
    let mut lines = BufReader::new(read.take(LINE_BYTES_MAX)).lines();
    while let Some(line) = lines.next_line().await? {
        let _busy = busy.read().await;
        match serde_json::from_str(&line) {
            Ok(request) => {
                answer(request, handler, &mut write).await?;
                if request == Request::Unmount && handler.outlives_the_mount() {
                    return Ok(());
                }
            }
            Err(e) => send(&mut write, &Reply::Failed(not_understood(&e))).await?,
        }
    }
    Ok(())
}

async fn answer<H: Handler>(request: Request, handler: &H, write: &mut WriteHalf<Accepted>) -> io::Result<()> {
    let (sender, mut progress) = mpsc::unbounded_channel();
    let work = handler.handle(request, sender);
    tokio::pin!(work);
    let reply = loop {
        tokio::select! {
            reply = &mut work => break reply,
            Some(line) = progress.recv() => send(write, &Reply::Progress(line)).await?,
        }
    };
    // The work may have ended with lines unsent; they still come before the answer.
    while let Ok(line) = progress.try_recv() {
        send(write, &Reply::Progress(line)).await?;
    }
    send(write, &reply).await
}

async fn send(write: &mut WriteHalf<Accepted>, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    write.write_all(&line).await
}

fn not_understood(error: &serde_json::Error) -> Failure {
    Failure::usage("understand", "a control request", error.to_string(), "use the proxyfs program of the same version")
}
