//! A Unix socket: private to its user, and sure of who is at the other end.
//!
//! The socket has mode 0600 from its first moment, and each connection's user is asked from the kernel (`SO_PEERCRED`): only
//! our own and root are served, whatever the rights of the file.

use std::fs::{self, File};
use std::io;
#[cfg(not(target_os = "macos"))]
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
#[cfg(target_os = "macos")]
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use super::connections::Place;

/// Longest path that fits into a socket address (`sun_path` with its terminator).
pub const ADDRESS_BYTES_MAX: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// A listening socket.
#[derive(Debug)]
pub struct UnixPlace {
    listener: UnixListener,
    own: u32,
}

impl UnixPlace {
    /// Listens at `path`. The caller makes sure that no other process serves it, by a lock of its own: a socket that lies
    /// there is a dead one and is replaced. Anything else that lies there is an error.
    ///
    /// # Errors
    /// As the OS gives them; `AlreadyExists` if something other than a socket lies there.
    pub fn bind(path: &Path) -> io::Result<Self> {
        remove(path)?;
        let (near, _dir) = address(path)?;
        // Bound under a name of its own and moved once it is private, so that nobody finds it before.
        let fresh = near.with_file_name(format!(".{}", std::process::id()));
        match fs::remove_file(&fresh) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).and_then(|()| fs::rename(&fresh, &near))?;
        Ok(Self { listener, own: rustix::process::geteuid().as_raw() })
    }
}

/// Removes a socket; that there is none is no error.
///
/// # Errors
/// As the OS gives them; `AlreadyExists` if something other than a socket lies there.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is not a socket", path.display()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// Whether a peer of user `peer` may ask a daemon of user `own`.
#[must_use]
pub fn may_ask(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

/// A path to an open directory that is short however long its own is.
///
/// # Errors
/// When the directory cannot be looked at.
#[cfg(not(target_os = "macos"))]
pub fn short_path(dir: &File) -> io::Result<PathBuf> {
    Ok(PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())))
}

/// A path to an open directory that is short however long its own is: by its numbers, in the file system that macOS has for that.
///
/// # Errors
/// When the directory cannot be looked at.
#[cfg(target_os = "macos")]
pub fn short_path(dir: &File) -> io::Result<PathBuf> {
    let at = dir.metadata()?;
    Ok(PathBuf::from(format!("/.vol/{}/{}", at.dev(), at.ino())))
}

/// An address for a socket, short enough for the OS however long its path is. Keep the file open while it is in use.
pub(crate) fn address(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    // Room for the fresh name of `bind` as well.
    if path.as_os_str().as_bytes().len() + 12 <= ADDRESS_BYTES_MAX {
        return Ok((path.to_owned(), None));
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket's path has no name"));
    };
    let dir = File::open(dir)?;
    Ok((short_path(&dir)?.join(name), Some(dir)))
}

impl Place for UnixPlace {
    type Raw = UnixStream;
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<Option<UnixStream>> {
        let (stream, _) = self.listener.accept().await?;
        let peer = match stream.peer_cred() {
            Ok(peer) => peer.uid(),
            Err(e) => {
                tracing::warn!("control: a peer without a user was refused: {e}");
                return Ok(None);
            }
        };
        if !may_ask(peer, self.own) {
            tracing::warn!("control: user {peer} was refused");
            return Ok(None);
        }
        Ok(Some(stream))
    }

    fn prepare(&self, raw: UnixStream, _: Duration) -> impl Future<Output = io::Result<UnixStream>> + Send + 'static {
        std::future::ready(Ok(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_user_and_root_may_ask() {
        for (peer, own, may) in
            [(1000, 1000, true), (0, 1000, true), (1001, 1000, false), (1000, 0, false), (0, 0, true)]
        {
            assert_eq!(may_ask(peer, own), may, "{peer} {own}");
        }
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        drop(UnixPlace::bind(&path).unwrap());
        let _place = UnixPlace::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let file = dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert_eq!(UnixPlace::bind(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }
}
