//! Mounting through macFUSE's mount tool, serving, and unmounting.
//!
//! Order of a mount: the tool hands over the device ([`attach`]); it mounts, for which the kernel wants its first request answered; so
//! [`serve`] answers on one thread and waits for the tool's verdict on another. The verdict is four bytes on the socket that the device
//! came through, zero or an errno (version 2 of that protocol).

use std::ffi::CString;
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use fuser::{Config, Notifier, Session, SessionACL};
use proxyfs_core::fs::FileSystem;
use proxyfs_core::{Error, ErrorKind, Result};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::install;
use super::mountinfo::MountEntry;
use super::words::words;
use crate::adapter::Adapter;
use crate::mount::Force;
use crate::options::MountOptions;

/// FUSE threads that a mount can use: the protocol crate serves macFUSE with one.
pub(crate) const THREADS_MAX: usize = 1;
/// How long the tool and the kernel may take to mount, with a person allowing the extension meanwhile.
const MOUNT_PATIENCE: Duration = Duration::from_secs(60);
/// Unmounts where unmount(2) may not: for another user's mount, through the service that may.
const DISKUTIL: &str = "/usr/sbin/diskutil";
/// What to do when the tool fails.
const ADVICE: &str = "if macOS asked about a system extension, allow it in System Settings > Privacy & Security and restart; with \
                      allow_other, mount as root or as an administrator";

/// A device that the kernel will be heard through, and who mounts it.
#[derive(Debug)]
pub(crate) struct Channel {
    device: OwnedFd,
    verdict: UnixStream,
    tool: Child,
}

/// The user that this process acts as.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Each FUSE thread having a channel of its own is Linux's.
pub(crate) fn has_clones() -> bool {
    false
}

/// The read-ahead window is the kernel's own affair here.
pub(crate) fn widen_read_ahead(_mount: &MountEntry, _bytes: u32) {}

/// Has macFUSE's tool begin a mount on `mount_point`, and returns the channel to the kernel.
///
/// # Errors
/// `Config` when macFUSE is missing or its tool refuses, else `Io`.
pub(crate) fn attach(mount_point: &Path, options: &MountOptions) -> Result<Channel> {
    let tool = install::find(Path::new("/"))?.tool;
    let failed = |e: io::Error| Error::with_source(ErrorKind::Io, format!("cannot run {}", tool.display()), e);
    let (verdict, theirs) = UnixStream::pair().map_err(failed)?;
    let mut command = Command::new(&tool);
    command.arg("-o").arg(words(options)).arg(mount_point);
    command
        .env("_FUSE_CALL_BY_LIB", "1")
        .env("_FUSE_COMMFD", theirs.as_raw_fd().to_string())
        .env("_FUSE_COMMVERS", "2");
    if let Ok(program) = std::env::current_exe() {
        command.env("_FUSE_DAEMON_PATH", program);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    keep_open(&mut command, theirs.as_raw_fd());
    let tool = command.spawn().map_err(failed)?;
    drop(theirs);
    match receive_device(verdict.as_fd()).map_err(failed)? {
        Some(device) => Ok(Channel { device, verdict, tool }),
        None => Err(refused(tool, mount_point)),
    }
}

/// Lets the child, and no other, have a descriptor of ours that outlives the change to another program.
fn keep_open(command: &mut Command, fd: RawFd) {
    let keep = move || {
        // SAFETY: the parent holds the descriptor open until the child has been started.
        let fd = unsafe { rustix::fd::BorrowedFd::borrow_raw(fd) };
        fcntl_setfd(fd, FdFlags::empty()).map_err(io::Error::from)
    };
    // SAFETY: between fork and exec the closure makes one system call, and neither allocates nor locks.
    unsafe { command.pre_exec(keep) };
}

/// Takes the device from the tool's socket; none if the tool ended without sending it.
fn receive_device(socket: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0_u8; 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
            Ok(_) => break,
        }
    }
    let device = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    if let Some(device) = &device {
        fcntl_setfd(device, FdFlags::CLOEXEC)?;
    }
    Ok(device)
}

/// The error of a tool that ended without mounting, in its own words.
fn refused(tool: Child, mount_point: &Path) -> Error {
    let said = match tool.wait_with_output() {
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(e) => e.to_string(),
    };
    let said = if said.is_empty() { "it gave no reason".to_owned() } else { said };
    Error::new(ErrorKind::Config, format!("macFUSE could not mount on {}: {said}; {ADVICE}", mount_point.display()))
}

/// What happens while a mount begins.
enum Event {
    /// The tool has ended, well or not.
    Mounted(Result<()>),
    /// The kernel's first request was answered, or never came.
    Served(io::Result<Notifier>),
}

/// Serves the mount behind `channel` from a thread of its own.
///
/// # Errors
/// `Config` when the tool could not mount, `Io` when the kernel does not begin as the protocol says, or not in time. Then the thread
/// that waits for the kernel is left waiting.
pub(crate) fn serve<F: FileSystem>(
    channel: Channel,
    adapter: Adapter<F>,
    acl: SessionACL,
    config: Config,
) -> Result<Notifier> {
    let Channel { device, mut verdict, tool } = channel;
    let (events, news) = mpsc::channel();
    let (mounted, served) = (events.clone(), events);
    // Once nobody listens any more, there is nobody to tell.
    begin("proxyfs-mount", move || drop(mounted.send(Event::Mounted(verdict_of(&mut verdict, tool)))))?;
    begin("proxyfs-serve", move || {
        let started = Session::from_fd(adapter, device, acl, config).and_then(|session| {
            let notifier = session.notifier();
            session.spawn().map(|_threads| notifier)
        });
        drop(served.send(Event::Served(started)));
    })?;
    let deadline = Instant::now() + MOUNT_PATIENCE;
    let (mut is_mounted, mut notifier) = (false, None);
    loop {
        match news.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Mounted(Ok(()))) => is_mounted = true,
            Ok(Event::Mounted(Err(e))) => return Err(e),
            Ok(Event::Served(Ok(started))) => notifier = Some(started),
            Ok(Event::Served(Err(e))) => return Err(Error::with_source(ErrorKind::Io, "the kernel did not begin", e)),
            Err(_) => return Err(Error::new(ErrorKind::Io, format!("macFUSE did not mount in time; {ADVICE}"))),
        }
        match (is_mounted, notifier.take()) {
            (true, Some(started)) => return Ok(started),
            (_, started) => notifier = started,
        }
    }
}

fn begin(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|e| Error::with_source(ErrorKind::Io, "cannot start a thread", e))
}

/// Waits for the tool's verdict. One that says nothing is judged by how it ended.
fn verdict_of(verdict: &mut UnixStream, tool: Child) -> Result<()> {
    let mut status = [0; 4];
    let told = verdict.read_exact(&mut status).is_ok();
    let output =
        tool.wait_with_output().map_err(|e| Error::with_source(ErrorKind::Io, "cannot wait for macFUSE", e))?;
    let fine = if told { i32::from_ne_bytes(status) == 0 } else { output.status.success() };
    if fine {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let why = match (told, said.is_empty()) {
        (_, false) => said,
        (true, true) => io::Error::from_raw_os_error(i32::from_ne_bytes(status)).to_string(),
        (false, true) => output.status.to_string(),
    };
    Err(Error::new(ErrorKind::Config, format!("macFUSE could not mount: {why}; {ADVICE}")))
}

/// Unmounts what is on top at `mount_point`. May wait until the kernel has written dirty pages back.
///
/// # Errors
/// `Busy` when it is in use (with [`Force::Clean`]), `NotFound` when nothing is mounted there, else `Io`.
pub(crate) fn detach(mount_point: &Path, force: Force) -> Result<()> {
    let context = || format!("cannot unmount {}", mount_point.display());
    let path = CString::new(mount_point.as_os_str().as_bytes())
        .map_err(|e| Error::with_source(ErrorKind::InvalidArgument, context(), e))?;
    let flags = if force == Force::Detach { libc::MNT_FORCE } else { 0 };
    // SAFETY: the path ends with a zero byte and lives until the call returns.
    if unsafe { libc::unmount(path.as_ptr(), flags) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EPERM) => detach_with_diskutil(mount_point, force),
        Some(libc::EBUSY) => Err(Error::with_source(ErrorKind::Busy, context(), error)),
        Some(libc::EINVAL | libc::ENOENT) => Err(Error::with_source(ErrorKind::NotFound, context(), error)),
        _ => Err(Error::with_source(ErrorKind::Io, context(), error)),
    }
}

fn detach_with_diskutil(mount_point: &Path, force: Force) -> Result<()> {
    let mut command = Command::new(DISKUTIL);
    command.arg("unmount");
    if force == Force::Detach {
        command.arg("force");
    }
    let output = command
        .arg(mount_point)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Error::with_source(ErrorKind::Io, format!("cannot run {DISKUTIL}"), e))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
    let busy = text.contains("in use") || text.contains("dissented");
    let kind = if busy { ErrorKind::Busy } else { ErrorKind::Io };
    Err(Error::new(kind, format!("cannot unmount {}: {text}", mount_point.display())))
}
