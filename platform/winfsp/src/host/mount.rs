//! Mounting a file system, and the life of the mount until its end.
//!
//! A mount ends when somebody unmounts it, or when the driver ends it. Then its place is gone, files that are still open are waited for,
//! operations under way are given a last chance, and the library's threads end: in this order, since answers may be written into
//! memory that the driver takes back at the end.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proxyfs_core::fs::{Attr, FileSystem};
use proxyfs_core::types::Ino;
use proxyfs_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use super::callbacks::Host;
use super::dispatch::Dispatcher;
use super::files::Files;
use super::notify::{Notifier, pass_on};
use super::volume::Volume;
use super::{identity, params, preflight};
use crate::drive::{Drive, DriveOptions};
use crate::options::{MountOptions, MountPoint};

/// How long operations under way may take when a mount ends.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Checks what [`mount`] would check, for whoever has something to do before that is not to be done in vain.
///
/// Blocks shortly, as [`mount`] does.
///
/// # Errors
/// As [`mount`].
pub fn check(point: &MountPoint, options: &MountOptions) -> Result<()> {
    preflight::check(point, options).map(drop)
}

/// Mounts `fs` at `point` and serves it from threads of its own. Operations that have to wait run on `runtime`, which must have threads
/// of its own and go on running until the mount has ended. What `fs` says that changed by itself ([`FileSystem::changes`]) Windows
/// is told.
///
/// Blocks shortly; from async code call it in `spawn_blocking`.
///
/// # Errors
/// `InvalidArgument`, `Busy`, `NotFound` when the place is unfit, `Config` when WinFsp is missing, `Io` when Windows refuses. Each
/// says what to do.
#[expect(clippy::needless_pass_by_value, reason = "as the FUSE adapter's, which keeps them")]
pub fn mount<F: FileSystem>(
    fs: Arc<F>,
    point: &MountPoint,
    options: MountOptions,
    runtime: &Handle,
) -> Result<Mounted> {
    let api = preflight::check(point, &options)?;
    let root = runtime.block_on(fs.getattr(Ino::ROOT))?;
    let params = params::of(&options, point, root.btime);
    let threads = options.threads.max(2);
    let dispatcher = Arc::new(Dispatcher::new(runtime.clone(), fs.meter(), threads));
    let changes = fs.changes();
    let drive = Arc::new(Drive::new(fs, drive_options(&options, &root)?));
    let files = Arc::new(Files::default());
    let (ended_sender, ended) = watch::channel(false);
    let host = Arc::new(Host {
        api,
        drive: Arc::clone(&drive),
        dispatcher: Arc::clone(&dispatcher),
        files: Arc::clone(&files),
        ended: ended_sender.clone(),
        originals: OnceLock::new(),
        link: OnceLock::new(),
    });
    let volume = Volume::create(api, &params, Arc::clone(&host), options.debug_log.as_deref())?;
    volume.start(threads)?;
    let place = match point {
        MountPoint::Drive(letter) => volume.show_at(Some(&format!("{}:", letter.to_ascii_uppercase())))?,
        MountPoint::NextFree => volume.show_at(None)?,
        MountPoint::Directory(path) => volume.show_at(Some(&path.display().to_string()))?,
        MountPoint::Unc { .. } => point.to_string(),
    };
    info!(mount_point = place, "mounted");
    let notifier = Notifier::new(volume.link());
    if let Some(feed) = changes {
        runtime.spawn(pass_on(feed, host, notifier.clone(), ended.clone()));
    }
    let shared = Arc::new(Shared {
        volume: Arc::new(volume),
        dispatcher,
        files: Arc::clone(&files),
        close: Box::new(move || -> Closing {
            let (drive, left) = (Arc::clone(&drive), files.drain());
            Box::pin(async move {
                for file in &left {
                    drive.close(&file.open).await;
                }
            })
        }),
        ended: ended_sender,
        down: AsyncMutex::new(false),
    });
    Ok(Mounted { place: PathBuf::from(place), notifier, ended, shared })
}

fn drive_options(options: &MountOptions, root: &Attr) -> Result<DriveOptions> {
    let who = match &options.who {
        Some(who) => who.clone(),
        None => identity::process_identity(root.uid, root.gid)?,
    };
    Ok(DriveOptions { who, hide_dot_names: options.hide_dot_names, label: label_of(&options.name) })
}

/// A name as a label: as much of it as there is room for.
fn label_of(name: &str) -> String {
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units <= crate::drive::LABEL_UNITS_MAX
    };
    name.chars().take_while(fits).collect()
}

/// How a mount was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmountKind {
    /// Nobody had a file open any more.
    Clean,
    /// Files were open for longer than the caller was patient. Programs that have them open get errors from now on.
    Detached,
}

/// Ends all open files.
type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is left to be taken down.
struct Shared {
    volume: Arc<Volume>,
    dispatcher: Arc<Dispatcher>,
    files: Arc<Files>,
    close: Box<dyn Fn() -> Closing + Send + Sync>,
    ended: watch::Sender<bool>,
    down: AsyncMutex<bool>,
}

impl Shared {
    /// Takes the mount down: hides it, ends what is under way after `patience`, ends the library's threads, closes what is open.
    async fn take_down(&self, patience: Duration) -> Result<()> {
        let mut down = self.down.lock().await;
        if *down {
            return Ok(());
        }
        self.on_thread(Volume::hide).await?;
        self.dispatcher.finish(patience).await;
        self.on_thread(Volume::delete).await?;
        (self.close)().await;
        *down = true;
        let _nobody_listens = self.ended.send_replace(true);
        Ok(())
    }

    /// Does something with the volume on a thread that may wait.
    async fn on_thread(&self, what: impl FnOnce(&Volume) + Send + 'static) -> Result<()> {
        let volume = Arc::clone(&self.volume);
        tokio::task::spawn_blocking(move || what(&volume))
            .await
            .map_err(|e| Error::with_source(ErrorKind::Internal, "the unmounting thread failed", e))
    }
}

/// A mount that is being served.
pub struct Mounted {
    place: PathBuf,
    notifier: Notifier,
    ended: watch::Receiver<bool>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Mounted {
    /// Where it is mounted: `X:`, a directory, or `\\server\share`.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        &self.place
    }

    /// For telling Windows about changes that did not come through this mount.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// Whether an operation has panicked, so that changes are refused.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.shared.dispatcher.is_poisoned()
    }

    /// Files that programs have open, directories and streams included.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.shared.files.len()
    }

    /// Whether the driver asks no more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until the mount has ended, whoever ended it. Then [`Mounted::finish`] takes down what is left. Dropping the
    /// future changes nothing.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means that the mount is gone, which is an end as well.
        let _gone = ended.wait_for(|ended| *ended).await.is_err();
    }

    /// Waits up to `patience` for operations still under way after the end, and drops the rest. On return nothing of this mount
    /// calls the file system any more, and all files are closed.
    pub async fn finish(&self, patience: Duration) {
        if let Err(e) = self.shared.take_down(patience).await {
            warn!("taking down a mount that has ended: {e}");
        }
    }

    /// Unmounts if no program has a file open. Whether it has ended, now or before. A file that is opened in the very moment
    /// is cut off, as the driver cannot be asked to let nobody in and leave the others alone.
    ///
    /// # Errors
    /// When a thread fails.
    pub async fn try_unmount(&self) -> Result<bool> {
        if !self.has_ended() && self.open_files() > 0 {
            return Ok(false);
        }
        self.unmount(Duration::ZERO).await.map(|_| true)
    }

    /// Unmounts. The place is gone at once; open files are waited for up to `patience`, then cut off.
    ///
    /// On return the mount has ended. Already unmounted is fine.
    ///
    /// # Errors
    /// When a thread fails.
    pub async fn unmount(&self, patience: Duration) -> Result<UnmountKind> {
        if self.has_ended() {
            self.shared.take_down(END_PATIENCE).await?;
            return Ok(UnmountKind::Clean);
        }
        self.shared.on_thread(Volume::hide).await?;
        let closed = timeout(patience, self.shared.files.all_closed()).await.is_ok();
        let left = self.open_files();
        if !closed {
            warn!(mount_point = %self.place.display(), files = left, "files are still open and are cut off");
        }
        self.shared.take_down(END_PATIENCE).await?;
        Ok(if closed { UnmountKind::Clean } else { UnmountKind::Detached })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.shared);
        if shared.down.try_lock().is_ok_and(|down| *down) {
            return;
        }
        warn!(mount_point = %self.place.display(), "a mount was dropped and is taken down");
        let runtime = shared.dispatcher.runtime().clone();
        let spawned = std::thread::Builder::new().name("unmount".to_owned()).spawn(move || {
            if let Err(e) = runtime.block_on(shared.take_down(Duration::ZERO)) {
                warn!("a mount was dropped and cannot be taken down: {e}");
            }
        });
        if let Err(e) = spawned {
            warn!("a mount was dropped and cannot be taken down: {e}");
        }
    }
}
