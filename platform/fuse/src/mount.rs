//! Mounting a file system, and the life of the mount until its end.
//!
//! A mount ends when somebody unmounts it: [`Mounted::unmount`], `umount`, `fusermount3 -u`, or the Finder. Then the kernel closes the channel,
//! the FUSE threads end, and waiting operations are given a last chance. A [`Mounted`] that is dropped while mounted detaches the
//! mount, so that no dead mount stays behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuser::{Config, SessionACL};
use proxyfs_core::fs::FileSystem;
use proxyfs_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::adapter::Adapter;
use crate::dispatch::Dispatcher;
use crate::invalidate::{Invalidator, pass_on};
use crate::options::MountOptions;
use crate::sys::device;
use crate::sys::mountinfo::{self, MountEntry};
use crate::sys::preflight;

/// How often a busy mount is tried again while an unmount is patient.
const BUSY_RETRY: Duration = Duration::from_millis(100);
/// How long the FUSE threads may take to notice that a mount has gone.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Checks what [`mount`] would check, for whoever has something to do before that is not to be done in vain. The mount that a dead
/// process left on `mount_point` is removed.
///
/// Blocks shortly, as [`mount`] does.
///
/// # Errors
/// As [`mount`].
pub fn check(mount_point: &Path, options: &MountOptions) -> Result<()> {
    preflight::check(mount_point, options).map(drop)
}

/// Mounts `fs` on `mount_point` and serves it from threads of its own. Operations that have to wait run on `runtime`, which must
/// go on running until the mount has ended. What `fs` says that changed by itself ([`FileSystem::changes`]) the kernel is told to
/// forget.
///
/// Blocks shortly (reads the mount point, may run `fusermount3` or macFUSE's mount tool); from async code call it in `spawn_blocking`.
///
/// # Errors
/// `NotFound`, `NotADirectory`, `NotEmpty`, `Busy` when the mount point is unfit, `Denied` or `Config` when the machine does not
/// let this user mount, `Io` when the kernel refuses. Each says what to do.
pub fn mount<F: FileSystem>(
    fs: Arc<F>,
    mount_point: &Path,
    options: MountOptions,
    runtime: &Handle,
) -> Result<Mounted> {
    let mount_point = preflight::check(mount_point, &options)?;
    let channel = device::attach(&mount_point, &options)?;
    let dispatcher = Arc::new(Dispatcher::new(runtime.clone(), fs.meter()));
    let changes = fs.changes();
    let (ended_sender, ended) = watch::channel(false);
    let read_ahead_bytes = options.read_ahead_bytes;
    let session_config = session_config(&options);
    let acl = session_config.acl;
    let adapter = Adapter::new(fs, options, Arc::clone(&dispatcher), ended_sender);
    let notifier = match device::serve(channel, adapter, acl, session_config) {
        Ok(notifier) => notifier,
        Err(e) => {
            give_up(&mount_point);
            return Err(e.context_prefix(&format!("cannot serve the mount on {}", mount_point.display())));
        }
    };
    let identity = identify(&mount_point).inspect_err(|_| give_up(&mount_point))?;
    device::widen_read_ahead(&identity, read_ahead_bytes);
    info!(mount_point = %mount_point.display(), device = identity.device, "mounted");
    let invalidator = Invalidator::new(notifier);
    if let Some(feed) = changes {
        runtime.spawn(pass_on(feed, invalidator.clone(), ended.clone()));
    }
    Ok(Mounted { mount_point, identity, invalidator, ended, dispatcher })
}

/// Removes the mount after a failed start.
fn give_up(mount_point: &Path) {
    match device::detach(mount_point, Force::Detach) {
        Err(e) if e.kind() != ErrorKind::NotFound => warn!("after a failed start: {e}"),
        _ => {}
    }
}

fn session_config(options: &MountOptions) -> Config {
    let mut config = Config::default();
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    let threads = options.threads.clamp(1, device::THREADS_MAX);
    config.n_threads = Some(threads);
    config.clone_fd = threads > 1 && device::has_clones();
    config
}

/// The entry of the mount just made.
fn identify(mount_point: &Path) -> Result<MountEntry> {
    mountinfo::top_mount(mount_point)
        .map_err(|e| Error::with_source(ErrorKind::Io, "cannot read the table of mounts", e))?
        .filter(MountEntry::is_fuse)
        .ok_or_else(|| Error::new(ErrorKind::Io, format!("the mount on {} was gone at once", mount_point.display())))
}

/// How an unmount goes about users of the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// Fails while somebody uses it.
    Clean,
    /// Takes the name away now. On Linux the mount ends when the last user is gone; macOS cuts its users off.
    Detach,
}

/// How a mount was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmountKind {
    /// Nobody used it any more; everything was handed to the file system.
    Clean,
    /// It was in use for longer than the caller was patient. Its name is gone; on Linux its users keep what they have open and are
    /// served until they close it, when [`Mounted::ended`] returns. macOS has nothing like it: its users are cut off.
    Detached,
}

/// A mount that is being served.
#[derive(Debug)]
pub struct Mounted {
    mount_point: PathBuf,
    identity: MountEntry,
    invalidator: Invalidator,
    ended: watch::Receiver<bool>,
    dispatcher: Arc<Dispatcher>,
}

impl Mounted {
    /// Where it is mounted, without symlinks.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// For telling the kernel about changes that did not come through this mount.
    #[must_use]
    pub fn invalidator(&self) -> Invalidator {
        self.invalidator.clone()
    }

    /// Whether an operation has panicked, so that changes are refused.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.dispatcher.is_poisoned()
    }

    /// Whether the kernel asks no more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until the mount has ended, whoever unmounted it. Then no new operation begins; those under way are waited for by
    /// [`Mounted::finish`]. Dropping the future changes nothing.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means that the adapter is gone, which is an end as well.
        let _gone = ended.wait_for(|ended| *ended).await.is_err();
    }

    /// Waits up to `patience` for operations still under way after the end, and drops the rest. On return nothing of this mount
    /// calls the file system any more, and all handles are released, also those that the kernel did not release before it hung up.
    pub async fn finish(&self, patience: Duration) {
        self.dispatcher.finish(patience).await;
    }

    /// Unmounts. A mount in use is tried again for `patience`, then detached.
    ///
    /// On a return of [`UnmountKind::Clean`] the mount has ended. Already unmounted is fine.
    ///
    /// # Errors
    /// When the system refuses for another reason than use.
    pub async fn unmount(&self, patience: Duration) -> Result<UnmountKind> {
        let deadline = Instant::now() + patience;
        let mut force = Force::Clean;
        while !self.has_ended() && self.is_mounted()? {
            match self.detach(force).await {
                Ok(()) if force == Force::Detach => {
                    warn!(mount_point = %self.mount_point.display(), "the mount is in use and was detached");
                    return Ok(UnmountKind::Detached);
                }
                Ok(()) => break,
                Err(e) if e.kind() == ErrorKind::NotFound => break,
                Err(e) if e.kind() == ErrorKind::Busy && force == Force::Clean => {
                    if Instant::now() >= deadline {
                        force = Force::Detach;
                    } else {
                        sleep(BUSY_RETRY).await;
                    }
                }
                Err(e) => return Err(e),
            }
        }
        // Gone from our table of mounts, but perhaps alive in another namespace.
        if timeout(END_PATIENCE, self.ended()).await.is_err() {
            return Ok(UnmountKind::Detached);
        }
        Ok(UnmountKind::Clean)
    }

    /// Unmounts if no program uses it. Whether it has ended, now or before.
    ///
    /// # Errors
    /// When the kernel or `fusermount3` refuses for another reason than use.
    pub async fn try_unmount(&self) -> Result<bool> {
        if !self.has_ended() && self.is_mounted()? {
            match self.detach(Force::Clean).await {
                Err(e) if e.kind() == ErrorKind::Busy => return Ok(false),
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(timeout(END_PATIENCE, self.ended()).await.is_ok())
    }

    /// Unmounts on a thread that may wait, since the kernel may first send us dirty pages.
    async fn detach(&self, force: Force) -> Result<()> {
        let mount_point = self.mount_point.clone();
        tokio::task::spawn_blocking(move || device::detach(&mount_point, force))
            .await
            .map_err(|e| Error::with_source(ErrorKind::Internal, "the unmounting thread failed", e))?
    }

    /// Whether the mount on top at the mount point is still this one.
    fn is_mounted(&self) -> Result<bool> {
        let top = mountinfo::top_mount(&self.mount_point)
            .map_err(|e| Error::with_source(ErrorKind::Io, "cannot read the table of mounts", e))?;
        Ok(top.is_some_and(|top| top.is_same(&self.identity)))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.has_ended() || !self.is_mounted().unwrap_or(false) {
            return;
        }
        if let Err(e) = device::detach(&self.mount_point, Force::Detach) {
            warn!("a mount was dropped and cannot be detached: {e}");
        }
    }
}
