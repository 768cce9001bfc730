//! A fake daemon on a Unix socket, a named pipe or TCP, and requests written by hand.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use proxyfs_control::local::{self, Connected};
use proxyfs_control::secret::Secret;
use proxyfs_control::server::tcp::{Reach, TcpPlace};
use proxyfs_control::server::{Access, Bounds, Listener, Server};
use proxyfs_control::testing::Fake;
use proxyfs_control::types::names::Name;
use proxyfs_control::{Client, Control};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The token of TCP daemons.
pub(crate) const TOKEN: &str = "token-for-tests-0123456789";

/// A daemon on a Unix socket, on Windows on a named pipe.
pub(crate) struct Daemon {
    pub(crate) fake: Arc<Fake>,
    pub(crate) path: PathBuf,
    pub(crate) server: Option<Server>,
    _dir: TempDir,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::bounded(Bounds::default())
    }

    pub(crate) fn bounded(bounds: Bounds) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let fake = Arc::new(Fake::new());
        let server = serve(&path, Arc::clone(&fake), bounds);
        Self { fake, path, server: Some(server), _dir: dir }
    }

    pub(crate) fn client(&self) -> Client {
        Client::local(&self.path)
    }

    pub(crate) async fn connect(&self) -> Connected {
        local::connect(&self.path).await.unwrap()
    }

    pub(crate) async fn ask(&self, request: &str) -> Answer {
        exchange(self.connect().await, request.as_bytes()).await
    }

    /// A request with a JSON body.
    pub(crate) async fn json(&self, method: &str, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.ask(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
    }
}

pub(crate) fn serve(path: &std::path::Path, fake: Arc<Fake>, bounds: Bounds) -> Server {
    let access = Access { bounds, ..Access::default() };
    Server::start(Listener::local(path).unwrap(), fake, access).unwrap()
}

/// A daemon on TCP without TLS.
pub(crate) async fn tcp(access: Access) -> (Server, SocketAddr) {
    let place = TcpPlace::bind(([127, 0, 0, 1], 0).into(), Reach::Loopback, None).await.unwrap();
    let addr = place.addr().unwrap();
    let backend: Arc<dyn Control> = Arc::new(Fake::new());
    (Server::start(Listener::Tcp(place), backend, access).unwrap(), addr)
}

pub(crate) fn with_token() -> Access {
    Access { token: Some(Secret::new(TOKEN.into())), ..Access::default() }
}

pub(crate) async fn ask_tcp(addr: SocketAddr, request: &str) -> Answer {
    exchange(TcpStream::connect(addr).await.unwrap(), request.as_bytes()).await
}

/// One answer, read to the end of its connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The kind of the error that it must be.
    pub(crate) fn kind(&self) -> String {
        let error = &self.json()["error"];
        for part in ["what", "subject", "why", "to_do"] {
            assert!(error[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {self:?}");
        }
        error["kind"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &[u8]) -> Answer {
    // A server may answer and close before it has read all.
    let _sent = stream.write_all(request).await.is_ok();
    let mut bytes = Vec::new();
    let _read = stream.read_to_end(&mut bytes).await.is_ok();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}
