//! Unix: signals, user and group ids, modes of files.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proxyfs_core::fs::Caller;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Told;

/// The version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// This machine's name, by which other owners know us.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whoever runs this program: the first mount of a new volume makes a drive that they can write to.
pub(crate) fn this_user() -> Caller {
    use rustix::process::{getegid, geteuid};
    Caller { uid: geteuid().as_raw(), gid: getegid().as_raw(), pid: 0 }
}

/// Makes a directory that only this user can enter, with its parents.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// Has a file that is made be this user's alone.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// How others are kept from a file that they can read, if they can.
pub(crate) fn advice_if_shared(file: &Path, metadata: &Metadata) -> Option<String> {
    (metadata.mode() & 0o077 != 0).then(|| format!("chmod 600 {}", file.display()))
}

/// Brings a change of names in a directory to the disk.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Where a mount is, as an absolute path.
pub(crate) fn absolute_place(place: &Path) -> io::Result<PathBuf> {
    std::path::absolute(place)
}

/// Whether a text names a place for a mount in whatever directory a process works.
pub(crate) fn is_absolute_place(place: &Path) -> bool {
    place.is_absolute()
}

/// Makes the directory of a mount unless something is there, which may also be a dead mount.
pub(crate) fn make_mount_point(dir: &Path) -> io::Result<()> {
    match fs::symlink_metadata(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => fs::create_dir_all(dir),
        _ => Ok(()),
    }
}

/// Asks a mount for an answer.
pub(crate) fn ask_mount(mount_point: &Path) -> io::Result<()> {
    rustix::fs::statvfs(mount_point).map(drop).map_err(Into::into)
}

/// Sends standard error to a file from now on.
pub(crate) fn redirect_stderr(log: &File) -> io::Result<()> {
    rustix::stdio::dup2_stderr(log).map_err(Into::into)
}

/// Closes standard output for whoever reads it.
pub(crate) fn close_stdout() -> io::Result<()> {
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?).map_err(Into::into)
}

/// Prepares a command for a process that outlives its terminal.
pub(crate) fn in_background(_command: &mut std::process::Command) {}

/// Leaves the terminal.
pub(crate) fn leave_terminal() {
    // Fails only for the leader of a process group, which a spawned child is not unless somebody arranged for it.
    if let Err(e) = rustix::process::setsid() {
        tracing::debug!("no session of its own: {e}");
    }
}

/// What this process is told from outside: SIGINT and SIGTERM, and SIGHUP.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}

/// A request to end while the keyboard is somebody else's.
#[derive(Debug)]
pub(crate) struct Terminate(Signal);

impl Terminate {
    pub(crate) fn listen() -> io::Result<Self> {
        signal(SignalKind::terminate()).map(Self)
    }

    pub(crate) async fn recv(&mut self) {
        let _ended = self.0.recv().await;
    }
}
