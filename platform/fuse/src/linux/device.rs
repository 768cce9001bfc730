//! Mounting and unmounting: by system call as root, else through the set-user-id helper `fusermount3`.
//!
//! Done here and not by the protocol crate, whose unmounting goes by path alone and can hit a later mount of somebody else.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fuser::{Config, Notifier, Session, SessionACL};
use proxyfs_core::fs::FileSystem;
use proxyfs_core::{Error, ErrorKind, Result};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg, socketpair,
};
use rustix::process::{getegid, geteuid};
use tracing::debug;

use super::mountinfo::MountEntry;
use crate::adapter::Adapter;
use crate::mount::Force;
use crate::options::MountOptions;

/// The kernel's door to FUSE.
pub(crate) const DEVICE: &str = "/dev/fuse";
/// The helper that mounts for ordinary users.
pub(crate) const HELPER: &str = "fusermount3";
/// Where the helper may be if `PATH` does not say.
const HELPER_DIRS: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"];
/// Tells the helper on which descriptor to hand over the device; it is given as standard input.
const HELPER_SOCKET: (&str, &str) = ("_FUSE_COMMFD", "0");

/// FUSE threads that a mount can use.
pub(crate) const THREADS_MAX: usize = usize::MAX;

/// Whether this process may mount by system call.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Path of the helper, if it is installed.
pub(crate) fn helper() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(HELPER_DIRS.iter().map(PathBuf::from));
    dirs.map(|dir| dir.join(HELPER)).find(|file| file.is_file())
}

/// Mounts on `mount_point` and returns the channel to the kernel.
///
/// # Errors
/// `Denied` when not allowed, `Config` when the helper is missing or refuses, else `Io`.
pub(crate) fn attach(mount_point: &Path, options: &MountOptions) -> Result<OwnedFd> {
    if !is_root() {
        return attach_with_helper(mount_point, options);
    }
    match attach_directly(mount_point, options) {
        // Root without CAP_SYS_ADMIN, as in a container.
        Err(e) if e.kind() == ErrorKind::Denied && helper().is_some() => attach_with_helper(mount_point, options),
        other => other,
    }
}

fn attach_directly(mount_point: &Path, options: &MountOptions) -> Result<OwnedFd> {
    let device = open_device().map_err(|e| Error::with_source(ErrorKind::Io, format!("cannot open {DEVICE}"), e))?;
    let data = kernel_data(device.as_raw_fd(), options.allow_other);
    let data = CString::new(data).map_err(|e| Error::with_source(ErrorKind::Internal, "mount data", e))?;
    let fs_type = format!("fuse.{}", options.subtype);
    rustix::mount::mount(
        options.fs_name.as_str(),
        mount_point,
        fs_type.as_str(),
        kernel_flags(options),
        data.as_c_str(),
    )
    .map_err(|e| {
        let kind = if e == rustix::io::Errno::PERM { ErrorKind::Denied } else { ErrorKind::Io };
        Error::with_source(kind, format!("cannot mount on {}", mount_point.display()), e)
    })?;
    Ok(device.into())
}

/// Opens the device as the kernel wants it.
pub(crate) fn open_device() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(DEVICE)
}

/// Whether each FUSE thread can have a channel of its own.
pub(crate) fn has_clones() -> bool {
    open_device().is_ok()
}

/// Serves the mount behind `channel` from threads of its own.
///
/// # Errors
/// `Io` when the kernel does not begin as the protocol says.
pub(crate) fn serve<F: FileSystem>(
    channel: OwnedFd,
    adapter: Adapter<F>,
    acl: SessionACL,
    config: Config,
) -> Result<Notifier> {
    let started = Session::from_fd(adapter, channel, acl, config).and_then(|session| {
        let notifier = session.notifier();
        session.spawn().map(|_threads| notifier)
    });
    started.map_err(|e| Error::with_source(ErrorKind::Io, "the kernel did not begin", e))
}

/// Sets the kernel's read-ahead window, which the protocol can only make smaller. Only root may.
pub(crate) fn widen_read_ahead(mount: &MountEntry, bytes: u32) {
    let path = format!("/sys/class/bdi/{}/read_ahead_kb", mount.device);
    if let Err(e) = fs::write(&path, (bytes / 1024).to_string()) {
        debug!(path, "the read-ahead window stays as it is: {e}");
    }
}

/// Options that the kernel's FUSE itself reads.
fn kernel_data(device: i32, allow_other: bool) -> String {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let others = if allow_other { ",allow_other" } else { "" };
    format!("fd={device},rootmode=40000,user_id={uid},group_id={gid},default_permissions{others}")
}

fn kernel_flags(options: &MountOptions) -> MountFlags {
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, options.read_only);
    flags.set(MountFlags::NOSUID, !options.suid);
    flags.set(MountFlags::NODEV, !options.dev);
    flags.set(MountFlags::NOEXEC, !options.exec);
    flags
}

/// Options in the helper's words. It adds `nosuid` and `nodev` by itself for ordinary users.
fn helper_options(options: &MountOptions) -> String {
    let mut words = vec![
        "default_permissions".to_owned(),
        format!("fsname={}", escape(&options.fs_name)),
        format!("subtype={}", escape(&options.subtype)),
    ];
    let switches = [
        (options.read_only, "ro"),
        (options.allow_other, "allow_other"),
        (!options.exec, "noexec"),
        (!options.suid, "nosuid"),
        (!options.dev, "nodev"),
    ];
    words.extend(switches.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()));
    words.join(",")
}

/// Protects the helper's separators.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,")
}

fn attach_with_helper(mount_point: &Path, options: &MountOptions) -> Result<OwnedFd> {
    let helper = helper().ok_or_else(helper_missing)?;
    let failed = |e: io::Error| Error::with_source(ErrorKind::Io, format!("cannot run {}", helper.display()), e);
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|e| failed(e.into()))?;
    let child = Command::new(&helper)
        .arg("-o")
        .arg(helper_options(options))
        .arg("--")
        .arg(mount_point)
        .env(HELPER_SOCKET.0, HELPER_SOCKET.1)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let device = receive_device(ours.as_fd());
    let output = child.wait_with_output().map_err(failed)?;
    match device {
        Ok(Some(device)) if output.status.success() => Ok(device),
        Ok(_) => Err(Error::new(
            ErrorKind::Config,
            format!(
                "{} could not mount on {}: {}",
                helper.display(),
                mount_point.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            ),
        )),
        Err(e) => Err(failed(e)),
    }
}

/// The error when an ordinary user has no helper.
pub(crate) fn helper_missing() -> Error {
    Error::new(
        ErrorKind::Config,
        format!("{HELPER} is not installed, and only root can mount without it; install the package `fuse3`"),
    )
}

/// Takes the device from the helper's socket; none if the helper ended without sending it.
fn receive_device(socket: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0_u8; 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
            Ok(_) => break,
        }
    }
    let device = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok(device)
}

/// Unmounts what is on top at `mount_point`. May wait until the kernel has written dirty pages back.
///
/// # Errors
/// `Busy` when it is in use (with [`Force::Clean`]), `NotFound` when nothing is mounted there, else `Io`.
pub(crate) fn detach(mount_point: &Path, force: Force) -> Result<()> {
    let mut flags = UnmountFlags::NOFOLLOW;
    if force == Force::Detach {
        flags |= UnmountFlags::DETACH;
    }
    let context = || format!("cannot unmount {}", mount_point.display());
    match rustix::mount::unmount(mount_point, flags) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::PERM) => detach_with_helper(mount_point, force),
        Err(e @ rustix::io::Errno::BUSY) => Err(Error::with_source(ErrorKind::Busy, context(), e)),
        Err(e @ (rustix::io::Errno::INVAL | rustix::io::Errno::NOENT)) => {
            Err(Error::with_source(ErrorKind::NotFound, context(), e))
        }
        Err(e) => Err(Error::with_source(ErrorKind::Io, context(), e)),
    }
}

fn detach_with_helper(mount_point: &Path, force: Force) -> Result<()> {
    let helper = helper().ok_or_else(helper_missing)?;
    let mut command = Command::new(&helper);
    command.arg("-u");
    if force == Force::Detach {
        command.arg("-z");
    }
    let output = command
        .arg("--")
        .arg(mount_point)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Error::with_source(ErrorKind::Io, format!("cannot run {}", helper.display()), e))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let kind = if text.contains("busy") { ErrorKind::Busy } else { ErrorKind::Io };
    Err(Error::new(kind, format!("cannot unmount {}: {text}", mount_point.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helper_gets_its_options_escaped() {
        let options = MountOptions {
            fs_name: "a,b\\c".to_owned(),
            allow_other: true,
            read_only: true,
            ..MountOptions::default()
        };
        assert_eq!(
            helper_options(&options),
            "default_permissions,fsname=a\\,b\\\\c,subtype=proxyfs,ro,allow_other,nosuid,nodev"
        );
    }

    #[test]
    fn a_default_mount_is_nosuid_and_nodev() {
        assert_eq!(kernel_flags(&MountOptions::default()), MountFlags::NOSUID | MountFlags::NODEV);
    }
}
