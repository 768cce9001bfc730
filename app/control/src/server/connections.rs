//! Accepts connections, bounded in number, and serves HTTP/1.1 on each, bounded in time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use super::App;

/// Bytes of a connection's read buffer, and so the longest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long to wait when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Something that connections come from.
pub(crate) trait Place: Send + Sync + 'static {
    /// A connection that is not ready for HTTP yet.
    type Raw: Send + 'static;
    /// One that is.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection; `None` is one that was refused.
    fn accept(&self) -> impl Future<Output = io::Result<Option<Self::Raw>>> + Send;
    /// Makes it ready, with a time limit of its own.
    fn prepare(
        &self,
        raw: Self::Raw,
        patience: Duration,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static;
}

/// Accepts until it is aborted.
pub(crate) async fn accept<P: Place>(place: P, app: App) {
    let room = Arc::new(Semaphore::new(app.bounds.connections));
    loop {
        // Taken before accepting: those beyond the bound wait in the system's queue, which is bounded too.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let raw = match place.accept().await {
            Ok(Some(raw)) => raw,
            Ok(None) => continue,
            Err(e) => {
                // Out of descriptors, most likely: give the others time to end.
                tracing::warn!("control: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let preparing = place.prepare(raw, app.bounds.handshake_time);
        let app = app.clone();
        tokio::spawn(async move {
            let served = match preparing.await {
                Ok(stream) => serve(stream, &app).await,
                Err(e) => Err(e),
            };
            if let Err(e) = served {
                tracing::debug!("a control connection ended: {e}");
            }
            drop(permit);
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, app: &App) -> io::Result<()> {
    let service = TowerToHyperService::new(app.router.clone());
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.bounds.head_time)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}
