//! The asking side: typed calls over a Unix socket, a named pipe or TCP.
//!
//! Each call takes a connection of its own, so that calls do not wait for each other and the end of a connection can tell the end
//! of a process. Calls with progress show each line as it comes. [`Client::events`] goes on across lost connections.

mod calls;
mod connect;
mod events;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub use events::Events;

use crate::secret::Secret;
use crate::server::{LINES, Line};
use crate::types::problem::{ErrorBody, Problem};

/// Longest answer, and longest line of one.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The daemon says what is wrong.
    #[error("{0}")]
    Problem(Problem),
    /// No daemon serves this place.
    #[error("nobody answers at {0}")]
    Nobody(String),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Broken(#[from] io::Error),
    /// The answer is not what this client knows.
    #[error("the answer is not understood: {0}")]
    NotUnderstood(String),
}

/// Takes progress lines that nobody wants to see.
pub fn quietly(_line: &str) {}

/// Result of a call.
pub type Outcome<T = ()> = Result<T, CallError>;

/// How to reach one daemon. Cheap to clone; holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    place: Place,
    token: Option<Secret>,
}

#[derive(Clone)]
enum Place {
    /// A Unix socket or a named pipe.
    Local(PathBuf),
    Tcp {
        authority: String,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    },
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Place {
    fn describe(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Tcp { authority, tls: Some(_) } => format!("https://{authority}"),
            Self::Tcp { authority, tls: None } => format!("http://{authority}"),
        }
    }

    fn host(&self) -> &str {
        match self {
            Self::Local(_) => "localhost",
            Self::Tcp { authority, .. } => authority,
        }
    }
}

impl Client {
    /// A daemon of this computer: on a Unix socket, on Windows on the named pipe of this path.
    #[must_use]
    pub fn local(path: impl Into<PathBuf>) -> Self {
        Self { place: Place::Local(path.into()), token: None }
    }

    /// A daemon at `https://HOST:PORT`, whose certificate must come from one of `roots` (PEM), or at `http://HOST:PORT`.
    ///
    /// # Errors
    /// `InvalidInput` for another URL or roots that are no certificates.
    pub fn tcp(url: &str, token: Secret, roots: &[u8]) -> io::Result<Self> {
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
        let (scheme, authority) = url.trim_end_matches('/').split_once("://").ok_or_else(|| bad("it is not a URL"))?;
        let parsed: http::uri::Authority = authority.parse().map_err(|_| bad("it has no host"))?;
        if parsed.port().is_none() || authority.contains('@') {
            return Err(bad("a daemon's URL is https://HOST:PORT"));
        }
        let tls = match scheme {
            "http" => None,
            "https" => {
                let host = parsed.host().trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(host).map_err(|_| bad("its host is no name or address"))?;
                Some((trusting(roots)?, name))
            }
            _ => return Err(bad("a daemon's URL is https://HOST:PORT")),
        };
        Ok(Self { place: Place::Tcp { authority: authority.to_owned(), tls }, token: Some(token) })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        let (response, _alive) = self.send(Method::GET, path, None, &[]).await?;
        decoded(&whole(response).await?)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.call(Method::POST, path, None).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<Body>) -> Outcome<T> {
        let (response, _alive) = self.send(method, path, body, &[]).await?;
        decoded(&whole(response).await?)
    }

    /// A call whose progress lines are shown. Gives the connection as well, whose end can be waited for.
    async fn work<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
        mut progress: impl FnMut(&str),
    ) -> Outcome<(T, Alive)> {
        let accept = [(ACCEPT, HeaderValue::from_static(LINES))];
        let (response, alive) = self.send(method, path, body, &accept).await?;
        if response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != LINES) {
            return Ok((decoded(&whole(response).await?)?, alive));
        }
        let mut lines = Lines::new(response.into_body());
        while let Some(line) = lines.next().await? {
            match decoded(&line)? {
                Line::Progress(text) => progress(&text),
                Line::Failed(problem) => return Err(CallError::Problem(problem)),
                Line::Done(value) => {
                    let value = serde_json::from_value(value).map_err(|e| CallError::NotUnderstood(e.to_string()))?;
                    // To the end of the body, so that the connection is idle, not cut.
                    while lines.next().await?.is_some() {}
                    return Ok((value, alive));
                }
            }
        }
        Err(CallError::Broken(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer")))
    }

    /// Sends a request and gives a good answer's head.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Outcome<(Response<Incoming>, Alive)> {
        let (response, alive) = self.request(method, path, body, headers).await?;
        if response.status().is_success() { Ok((response, alive)) } else { Err(refused(response).await) }
    }

    /// As [`Client::send`], whatever the answer's status.
    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Outcome<(Response<Incoming>, Alive)> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.place.host());
        if let Some(token) = &self.token {
            let text = Zeroizing::new(format!("Bearer {}", token.expose()));
            let mut value = HeaderValue::from_str(&text).map_err(|e| invalid(&e))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let body = Full::new(body.map_or_else(Bytes::new, |body| body.0));
        let request = request.body(body).map_err(|e| invalid(&e))?;
        let (mut sender, task) = connect::http(&self.place).await?;
        let response = sender.send_request(request).await.map_err(|e| CallError::Broken(io::Error::other(e)))?;
        Ok((response, Alive { sender, task }))
    }
}

/// A connection. Dropped, it ends once its answer has been read; kept, it ends when the other side ends it.
#[derive(Debug)]
struct Alive {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Alive {
    /// Waits until the other side has ended it.
    async fn ended(self) {
        let Self { sender, task } = self;
        // However it ends, it has ended.
        let _ended = task.await.is_ok();
        drop(sender);
    }
}

/// A body to send.
struct Body(Bytes);

impl Body {
    fn json(value: &impl Serialize) -> Outcome<Option<Self>> {
        serde_json::to_vec(value).map(|bytes| Some(Self(bytes.into()))).map_err(|e| invalid(&e))
    }

    /// As [`Body::json`] of a JSON value made by hand; the one place where a secret leaves.
    fn value(value: &Value) -> Outcome<Option<Self>> {
        Self::json(value)
    }
}

fn invalid(error: &impl std::fmt::Display) -> CallError {
    CallError::Broken(io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))
}

fn trusting(roots: &[u8]) -> io::Result<Arc<ClientConfig>> {
    let bad = |e: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, e.to_string());
    let mut store = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots) {
        store.add(root.map_err(|e| bad(&e))?).map_err(|e| bad(&e))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(Arc::new(builder.map_err(|e| bad(&e))?.with_root_certificates(store).with_no_client_auth()))
}

async fn whole(response: Response<Incoming>) -> Outcome<Bytes> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|e| CallError::Broken(io::Error::other(e)))
}

async fn refused(response: Response<Incoming>) -> CallError {
    let status: StatusCode = response.status();
    match whole(response).await {
        Ok(bytes) => match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => CallError::Problem(body.error),
            Err(_) => CallError::NotUnderstood(format!("status {status}")),
        },
        Err(e) => e,
    }
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Outcome<T> {
    serde_json::from_slice(bytes).map_err(|e| CallError::NotUnderstood(e.to_string()))
}

/// Lines of a body, none longer than an answer may be.
#[derive(Debug)]
struct Lines {
    body: Incoming,
    left: BytesMut,
    /// Bytes of `left` that hold no end of a line.
    looked: usize,
}

impl Lines {
    fn new(body: Incoming) -> Self {
        Self { body, left: BytesMut::new(), looked: 0 }
    }

    /// The next line without its end; none at the end of the body.
    async fn next(&mut self) -> Outcome<Option<BytesMut>> {
        loop {
            if let Some(end) = self.left[self.looked..].iter().position(|b| *b == b'\n') {
                let mut line = self.left.split_to(self.looked + end + 1);
                line.truncate(line.len() - 1);
                self.looked = 0;
                return Ok(Some(line));
            }
            self.looked = self.left.len();
            if self.looked > ANSWER_BYTES_MAX {
                return Err(CallError::NotUnderstood("a line is too long".to_owned()));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.left.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..])),
                Some(Err(e)) => return Err(CallError::Broken(io::Error::other(e))),
                None => return Ok(None),
            }
        }
    }
}

/// Headers of a request for events.
fn following(seen: Option<u64>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(seen) = seen {
        headers.insert("last-event-id", HeaderValue::from(seen));
    }
    headers
}
