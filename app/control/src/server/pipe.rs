//! A named pipe: private to its user on this computer, and sure of who is at the other end.
//!
//! Windows has one space of names for the pipes of all users, so a path becomes a name ([`name_of`]). The system, administrators and the user
//! who listens can open the pipe, nobody else, and nobody over the network; since anybody could have made a pipe of that name before, whoever
//! connects asks who owns it first.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use proxyfs_windows::descriptor::Descriptor;
use proxyfs_windows::pipe::{Instance, create, server_is_trusted};
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::connections::Place;

/// Where Windows keeps pipes.
const PIPES: &str = r"\\.\pipe\";
/// ERROR_PIPE_BUSY: somebody else connects just now.
const BUSY: i32 = 231;
/// Time between attempts.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a name may still be held by connections of whoever had it before.
const NAME_PATIENCE: Duration = Duration::from_secs(2);

/// A listening pipe.
#[derive(Debug)]
pub struct PipePlace {
    name: OsString,
    who: Descriptor,
    /// The instance that the next connection gets. There always is one, so that the name stays ours.
    next: Mutex<NamedPipeServer>,
}

impl PipePlace {
    /// Listens at the pipe of `path`. The caller makes sure that no other process serves it, by a lock of its own. Needs a runtime around it;
    /// blocks shortly if the name is still in use.
    ///
    /// # Errors
    /// `AlreadyExists` if another program has the pipe's name; else as the OS gives them.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let (name, who) = (name_of(path), Descriptor::private()?);
        let begun = Instant::now();
        let next = loop {
            match create(&name, Instance::First, &who) {
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    if begun.elapsed() > NAME_PATIENCE {
                        let why = format!("another program has the pipe {}", name.display());
                        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
                    }
                    std::thread::sleep(PAUSE);
                }
                made => break made?,
            }
        };
        Ok(Self { name, who, next: Mutex::new(next) })
    }
}

/// The pipe's name for a path: itself if it is one already, else made of the path, in whatever case it is written.
#[must_use]
pub fn name_of(path: &Path) -> OsString {
    let text = path.as_os_str().to_string_lossy();
    if text.get(..PIPES.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(PIPES)) {
        return path.as_os_str().to_owned();
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = absolute.to_string_lossy().to_lowercase();
    // FNV-1a: names of one user's directories need to differ, not to resist.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{PIPES}proxyfs-{hash:016x}").into()
}

/// Does nothing: a pipe ends with its process.
///
/// # Errors
/// None.
pub fn remove(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Connects, once somebody accepts.
pub(crate) async fn connect(path: &Path) -> io::Result<NamedPipeClient> {
    let name = name_of(path);
    loop {
        match ClientOptions::new().open(&name) {
            Ok(pipe) if server_is_trusted(&pipe)? => return Ok(pipe),
            Ok(_) => {
                let why = format!("the pipe {} was made by another user", name.display());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            }
            Err(e) if e.raw_os_error() == Some(BUSY) => sleep(PAUSE).await,
            Err(e) => return Err(e),
        }
    }
}

impl Place for PipePlace {
    type Raw = NamedPipeServer;
    type Stream = NamedPipeServer;

    async fn accept(&self) -> io::Result<Option<NamedPipeServer>> {
        let mut next = self.next.lock().await;
        next.connect().await?;
        // If there can be no further instance, this one stays connected, and is given out by the next call.
        let fresh = create(&self.name, Instance::Further, &self.who)?;
        Ok(Some(std::mem::replace(&mut *next, fresh)))
    }

    fn prepare(
        &self,
        raw: NamedPipeServer,
        _: Duration,
    ) -> impl Future<Output = io::Result<NamedPipeServer>> + Send + 'static {
        std::future::ready(Ok(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_pipe_however_it_is_written() {
        let name = name_of(Path::new(r"C:\Users\Me\AppData\Local\ProxyFS\daemon.sock"));
        assert_eq!(name_of(Path::new(r"c:/users/me/appdata/local/proxyfs/daemon.sock")), name);
        assert_ne!(name_of(Path::new(r"C:\Users\You\AppData\Local\ProxyFS\daemon.sock")), name);
        let text = name.into_string().unwrap();
        assert!(text.starts_with(r"\\.\pipe\proxyfs-") && text.len() == 9 + 8 + 16, "{text}");
        for own in [r"\\.\pipe\mine", r"\\.\PIPE\mine"] {
            assert_eq!(name_of(Path::new(own)), own);
        }
    }

    #[tokio::test]
    async fn a_name_that_somebody_has_is_not_taken() {
        let name = format!(r"\\.\pipe\proxyfs-test-bind-{}", std::process::id());
        let _place = PipePlace::bind(Path::new(&name)).unwrap();
        let refused = match PipePlace::bind(Path::new(&name)) {
            Ok(_) if std::env::var_os("PROXYFS_TEST_WINE").is_some() => {
                eprintln!("SKIP: this Wine gives a pipe's first instance out twice");
                return;
            }
            second => second.unwrap_err(),
        };
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert!(refused.to_string().contains(&name), "{refused}");
    }
}
