//! HTTP/1.1 with reused connections, TCP_NODELAY and a time limit on every wait.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use proxyfs_core::store::{StoreError, StoreErrorKind, StoreResult};

use crate::body::ChunkBody;
use crate::network::Network;

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time until an answer begins; covers the sending of a 16 MiB body at 1 MiB/s.
const READ_TIMEOUT: Duration = Duration::from_secs(25);

/// Longest silence inside a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// Unused connections are closed before servers and load balancers do it (60 s and more).
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// Memory set aside for a body of announced length, before its bytes are seen.
const RESERVE_BYTES_MAX: usize = 64 << 20;

/// A client that shares its connections, and forgets those that may be dead: after a change of the network, and after a silence.
#[derive(Debug)]
pub(super) struct HttpClient {
    network: Network,
    /// The client, and the count of changes that its connections have seen.
    current: Mutex<(u64, Pooled)>,
    /// Answers that did not come: whatever else is connected may be as dead.
    silences: AtomicU64,
}

/// A client with its own connections.
type Pooled = Client<HttpsConnector<HttpConnector>, ChunkBody>;

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl HttpClient {
    /// # Errors
    /// [`StoreErrorKind::Invalid`] when the system's certificates cannot be read.
    pub(super) fn new(network: &Network) -> StoreResult<Self> {
        let current = Mutex::new((network.count(), Self::connect()?));
        Ok(Self { network: network.clone(), current, silences: AtomicU64::new(0) })
    }

    fn connect() -> StoreResult<Pooled> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let unreadable =
            |e| StoreError::new(StoreErrorKind::Invalid, format!("the system's certificates cannot be read: {e}"));
        let provider = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(unreadable)?;
        let connector = provider.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(client)
    }

    /// The client; another one, without connections, if those there were may be dead.
    fn client(&self) -> Pooled {
        let count = self.network.count() + self.silences.load(Ordering::Relaxed);
        let mut current = self.current.lock();
        if current.0 != count {
            match Self::connect() {
                Ok(client) => *current = (count, client),
                Err(e) => tracing::warn!("connections from before a change of the network are used: {e}"),
            }
        }
        current.1.clone()
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when no whole answer came.
    pub(super) async fn send(&self, what: &str, request: Request<ChunkBody>) -> StoreResult<Answer> {
        let unavailable = |why: String| StoreError::new(StoreErrorKind::Unavailable, format!("{what}: {why}"));
        let response = match tokio::time::timeout(READ_TIMEOUT, self.client().request(request)).await {
            Err(_) => {
                self.silences.fetch_add(1, Ordering::Relaxed);
                return Err(unavailable(format!("no answer for {READ_TIMEOUT:?}")));
            }
            Ok(Err(e)) => return Err(unavailable(chain(&e))),
            Ok(Ok(response)) => response,
        };
        let (parts, body) = response.into_parts();
        let body = collect(body, &parts.headers).await.map_err(unavailable)?;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// Reads a body to its end; hyper fails when it is shorter than announced. A single chunk is not copied.
async fn collect(mut body: Incoming, headers: &HeaderMap) -> Result<Bytes, String> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(BODY_TIMEOUT, body.frame()).await {
            Err(_) => return Err(format!("no byte for {BODY_TIMEOUT:?}")),
            Ok(None) => break,
            Ok(Some(Err(e))) => return Err(format!("the body broke off: {}", chain(&e))),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(chunk) = frame.into_data() else { continue };
        if first.is_empty() && joined.is_empty() {
            first = chunk;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(announced.unwrap_or(0).min(RESERVE_BYTES_MAX));
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&chunk);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
