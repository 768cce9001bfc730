//! The serving side: an [`App`] answers requests, a [`Listener`] brings them, a [`Server`] is one of each at work.
//!
//! The guards stand around every route, known or not: who may ask, from which origin, how much, how long. What a request asks
//! for is the backend's affair.

mod access;
mod busy;
pub(crate) mod connections;
mod extract;
#[cfg(windows)]
pub mod pipe;
mod routes;
mod stream;
pub mod tcp;
#[cfg(unix)]
pub mod unix;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::backend::Control;
use crate::secret::Secret;
use busy::Busy;
pub(crate) use stream::{LINES, Line};

/// Bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once; further ones wait in the system's queue.
    pub connections: usize,
    /// Followers of events and logs at once; further ones are refused.
    pub subscribers: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Time for a request's head to arrive, also the idle time of a connection.
    pub head_time: Duration,
    /// Time for a request's body to arrive.
    pub body_time: Duration,
    /// Time for a TLS handshake.
    pub handshake_time: Duration,
    /// Time between signs of life in a stream of events.
    pub heartbeat: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 64,
            subscribers: 32,
            body_bytes: 1 << 20,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            handshake_time: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The bearer token that every request must have; none where the listener knows its peers, as a Unix socket and a
    /// named pipe do.
    pub token: Option<Secret>,
    /// Origins of web pages that may ask; by default no page may.
    pub origins: Vec<String>,
    /// Bounds.
    pub bounds: Bounds,
}

/// Answers requests, however they come.
#[derive(Clone, Debug)]
pub struct App {
    router: Router,
    busy: Busy,
    bounds: Bounds,
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    backend: Arc<dyn Control>,
    bounds: Bounds,
    subscribers: Arc<Semaphore>,
}

impl App {
    /// An app for one listener.
    pub fn new(backend: Arc<dyn Control>, access: Access) -> Self {
        let bounds = access.bounds;
        let api = Api { backend, bounds, subscribers: Arc::new(Semaphore::new(bounds.subscribers)) };
        let busy = Busy::default();
        let router = routes::all()
            .split_for_parts()
            .0
            .fallback(routes::no_such_path)
            .method_not_allowed_fallback(routes::no_such_method)
            .with_state(api)
            .layer(from_fn_with_state(Arc::new(access), access::guard))
            .layer(from_fn_with_state(busy.clone(), busy::count));
        Self { router, busy, bounds }
    }

    /// The router with all its guards.
    pub fn router(&self) -> Router {
        self.router.clone()
    }
}

/// The router with all its guards, for a server of one's own.
pub fn router(backend: Arc<dyn Control>, access: Access) -> Router {
    App::new(backend, access).router
}

/// The interface's document, made from the handlers.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    routes::all().split_for_parts().1
}

/// Where requests come from.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket, which knows its peers' users.
    #[cfg(unix)]
    Unix(unix::UnixPlace),
    /// A named pipe of Windows, which only users with a right to it can open.
    #[cfg(windows)]
    Pipe(pipe::PipePlace),
    /// TCP, with TLS and always with a token.
    Tcp(tcp::TcpPlace),
}

impl Listener {
    /// A Unix socket at `path`, on Windows the named pipe of that path. The caller makes sure that no other process serves it, by a lock of
    /// its own. Needs a runtime around it.
    ///
    /// # Errors
    /// As the OS gives them; `AlreadyExists` if something else is there.
    pub fn local(path: &Path) -> io::Result<Self> {
        #[cfg(unix)]
        return unix::UnixPlace::bind(path).map(Self::Unix);
        #[cfg(windows)]
        return pipe::PipePlace::bind(path).map(Self::Pipe);
    }
}

/// A server at work. Dropping it stops accepting; open connections go on until the process ends.
#[derive(Debug)]
pub struct Server {
    accepting: JoinHandle<()>,
    busy: Busy,
}

impl Server {
    /// Begins to accept.
    ///
    /// # Errors
    /// `InvalidInput` for TCP without a token.
    pub fn start(listener: Listener, backend: Arc<dyn Control>, access: Access) -> io::Result<Self> {
        if matches!(listener, Listener::Tcp(_)) && access.token.is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "TCP needs a token"));
        }
        let app = App::new(backend, access);
        let busy = app.busy.clone();
        let accepting = match listener {
            #[cfg(unix)]
            Listener::Unix(place) => tokio::spawn(connections::accept(place, app)),
            #[cfg(windows)]
            Listener::Pipe(place) => tokio::spawn(connections::accept(place, app)),
            Listener::Tcp(place) => tokio::spawn(connections::accept(place, app)),
        };
        Ok(Self { accepting, busy })
    }

    /// Stops accepting and waits up to `patience` until every request has its answer; streams of events do not count. Idle
    /// connections stay: their end tells clients that the process has ended.
    pub async fn drain(self, patience: Duration) {
        self.accepting.abort();
        if timeout(patience, self.busy.idle()).await.is_err() {
            tracing::debug!("a control request was left without an answer");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}
