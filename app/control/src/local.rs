//! The way between programs of one computer: a Unix socket, on Windows a named pipe. Both are named by a path, private to their user, and sure
//! of who is at the other end; what is said over them is up to the caller.
//!
//! [`crate::server::Server`] and [`crate::Client`] speak HTTP over it. This module is for whoever speaks something else.

use std::io;
use std::path::Path;

use crate::server::connections::Place;
#[cfg(windows)]
pub use crate::server::pipe::remove;
#[cfg(unix)]
pub use crate::server::unix::remove;

#[cfg(unix)]
type OwnPlace = crate::server::unix::UnixPlace;
#[cfg(windows)]
type OwnPlace = crate::server::pipe::PipePlace;

/// A connection that was accepted.
#[cfg(unix)]
pub type Accepted = tokio::net::UnixStream;
/// A connection that was accepted.
#[cfg(windows)]
pub type Accepted = tokio::net::windows::named_pipe::NamedPipeServer;

/// A connection that was made.
#[cfg(unix)]
pub type Connected = tokio::net::UnixStream;
/// A connection that was made.
#[cfg(windows)]
pub type Connected = tokio::net::windows::named_pipe::NamedPipeClient;

/// Listens for connections until dropped.
#[derive(Debug)]
pub struct Listener(OwnPlace);

impl Listener {
    /// Listens at `path`. The caller makes sure that no other process does, by a lock of its own.
    ///
    /// # Errors
    /// As the OS gives them; `AlreadyExists` if something else is there.
    pub fn bind(path: &Path) -> io::Result<Self> {
        OwnPlace::bind(path).map(Self)
    }

    /// The next connection; `None` is one that was refused, as it came from somebody who may not ask. Dropping the future loses no
    /// connection.
    ///
    /// # Errors
    /// As the OS gives them; the listener can be used again after a while.
    pub async fn accept(&self) -> io::Result<Option<Accepted>> {
        self.0.accept().await
    }
}

/// Connects to whoever listens at `path`. `NotFound` and `ConnectionRefused` mean that nobody does.
///
/// # Errors
/// As the OS gives them; `PermissionDenied` on Windows also if the pipe belongs to somebody else.
pub async fn connect(path: &Path) -> io::Result<Connected> {
    #[cfg(unix)]
    {
        let (near, _dir) = crate::server::unix::address(path)?;
        tokio::net::UnixStream::connect(near).await
    }
    #[cfg(windows)]
    {
        crate::server::pipe::connect(path).await
    }
}

/// Whether an error of [`connect`] means that nobody listens: nothing is there, or what a process left that has died.
#[must_use]
pub fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}
