//! Windows: console events and the service's controls, access lists instead of modes, drive letters.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};

use proxyfs_core::fs::Caller;
use proxyfs_windows::descriptor;
use proxyfs_windows::drives::{is_drive, is_place};
use proxyfs_windows::stdio::{self, Stream};
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

use super::Told;
use crate::winservice::runner;

/// The version, and the licence of what is linked into it.
pub(crate) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nLicence: GPL-3.0, since this build for Windows contains WinFsp's bindings (https://winfsp.dev/)"
);

/// CREATE_NEW_PROCESS_GROUP and CREATE_NO_WINDOW (Microsoft, "Process Creation Flags"): a console that nobody sees, whose Ctrl-C is no one's.
const BACKGROUND: u32 = 0x0000_0200 | 0x0800_0000;

/// This machine's name, by which other owners know us.
pub(crate) fn host_name() -> String {
    std::env::var("COMPUTERNAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "windows".to_owned())
}

/// Whoever runs this program. Windows has no such numbers: the adapter takes the owner of a volume's root for the user who mounts it.
pub(crate) fn this_user() -> Caller {
    Caller { uid: 0, gid: 0, pid: 0 }
}

/// Makes a directory that only this user, the system and administrators can enter, with its parents. One that is there keeps its list.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match descriptor::create_private_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// Nothing to do: a file has the access list of its directory.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Nothing to say: a file has the access list of its directory, which is the business of whoever put it there.
pub(crate) fn advice_if_shared(_file: &Path, _metadata: &Metadata) -> Option<String> {
    None
}

/// Nothing to do: NTFS has names in its own log.
#[expect(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// Where a mount is: a drive letter and `*` stand for themselves, everything else is an absolute path.
pub(crate) fn absolute_place(place: &Path) -> io::Result<PathBuf> {
    if is_absolute_place(place) { Ok(plain(place)) } else { std::path::absolute(place) }
}

/// Whether a text names a place for a mount in whatever directory a process works.
pub(crate) fn is_absolute_place(place: &Path) -> bool {
    is_place(&place.to_string_lossy())
}

/// A drive as `X:`, in capitals.
fn plain(place: &Path) -> PathBuf {
    let text = place.to_string_lossy();
    if is_drive(&text) { text.trim_end_matches(['\\', '/']).to_uppercase().into() } else { place.to_owned() }
}

/// Makes the parents of a directory in which a volume is to be shown; the directory itself is made by the mount.
pub(crate) fn make_mount_point(place: &Path) -> io::Result<()> {
    match place.parent().filter(|_| !is_drive(&place.to_string_lossy()) && place.is_absolute()) {
        Some(parent) if !place.to_string_lossy().starts_with(r"\\") => fs::create_dir_all(parent),
        _ => Ok(()),
    }
}

/// Asks a mount for an answer.
pub(crate) fn ask_mount(mount_point: &Path) -> io::Result<()> {
    let mut root = mount_point.as_os_str().to_owned();
    // Without it, a letter means the directory in which a process works on that drive.
    root.push("\\");
    fs::metadata(root).map(drop)
}

/// Sends standard error to a file from now on.
pub(crate) fn redirect_stderr(log: &File) -> io::Result<()> {
    stdio::redirect(Stream::Error, log.try_clone()?)
}

/// Closes standard output for whoever reads it.
pub(crate) fn close_stdout() -> io::Result<()> {
    stdio::close(Stream::Output)
}

/// Prepares a command for a process that outlives its console.
pub(crate) fn in_background(command: &mut std::process::Command) {
    command.creation_flags(BACKGROUND);
}

/// Nothing to do: a background process was started without the console.
pub(crate) fn leave_terminal() {}

/// What this process is told from outside: Ctrl-C, Ctrl-Break, a console that is closed, a shutdown, and what Windows tells a service.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: CtrlC,
    stop: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
    service: runner::Told,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            stop: ctrl_break()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
            service: runner::told(),
        })
    }

    pub(crate) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.stop.recv() => Told::Stop,
            _ = self.close.recv() => Told::Stop,
            _ = self.shutdown.recv() => Told::Stop,
            told = self.service.next() => told,
        }
    }
}

/// A request to end while the keyboard is somebody else's.
#[derive(Debug)]
pub(crate) struct Terminate(CtrlClose);

impl Terminate {
    pub(crate) fn listen() -> io::Result<Self> {
        ctrl_close().map(Self)
    }

    pub(crate) async fn recv(&mut self) {
        let _ended = self.0.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_letters_or_paths() {
        for (given, absolute) in
            [("x:", "X:"), (r"x:\", "X:"), ("*", "*"), (r"C:\a\b", r"C:\a\b"), (r"\\nas\p", r"\\nas\p")]
        {
            assert_eq!(absolute_place(Path::new(given)).unwrap(), Path::new(absolute), "{given}");
            assert!(is_absolute_place(Path::new(given)), "{given}");
        }
        assert!(!is_absolute_place(Path::new("photos")) && !is_absolute_place(Path::new("C:photos")));
        assert!(absolute_place(Path::new("photos")).unwrap().is_absolute());
    }

    #[test]
    fn a_private_directory_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a").join("b");
        make_private_dir(&path).unwrap();
        fs::write(path.join("file"), "x").unwrap();
        make_private_dir(&path).unwrap();
        assert!(path.join("file").exists());
    }
}
