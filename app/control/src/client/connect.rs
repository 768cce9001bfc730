//! Opens connections.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{CallError, Outcome, Place};
use crate::local::{self, is_nobody};

/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

type Http = (SendRequest<Full<Bytes>>, JoinHandle<()>);

/// A connection for one request; the task ends with it.
pub(super) async fn http(place: &Place) -> Outcome<Http> {
    let connected = timeout(CONNECT_PATIENCE, connect(place)).await.unwrap_or_else(|e| Err(e.into()));
    connected.map_err(|e| if is_nobody(&e) { CallError::Nobody(place.describe()) } else { CallError::Broken(e) })
}

async fn connect(place: &Place) -> io::Result<Http> {
    match place {
        Place::Local(path) => speak(local::connect(path).await?).await,
        Place::Tcp { authority, tls } => {
            let stream = TcpStream::connect(authority.as_str()).await?;
            stream.set_nodelay(true)?;
            match tls {
                None => speak(stream).await,
                Some((config, name)) => {
                    speak(TlsConnector::from(config.clone()).connect(name.clone(), stream).await?).await
                }
            }
        }
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> io::Result<Http> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let alive = tokio::spawn(async move {
        if let Err(e) = connection.await {
            tracing::debug!("a control connection ended: {e}");
        }
    });
    Ok((sender, alive))
}
