//! The companion of a mounted volume: a small volume of this computer's own, in which its local-only files are.
//!
//! It lies in `local-only` of the volume's state directory: its store in `store`, its own state in `state`. Owns its life: made when the
//! option is first used, opened before the mount, closed after the volume. Nothing of it counts as the volume's: neither what it
//! has to bring into its store, nor trouble with that. Which files are in it is decided by [`LocalOnly`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::config::VolumeOptions;
use proxyfs_core::engine::Engine;
use proxyfs_core::env::{Env, OsClock, OsDir, OsRng};
use proxyfs_core::limits::{LOCAL_ONLY_DISK_BYTES, LOCAL_ONLY_FLUSH_BYTES, LOCAL_ONLY_MEMORY_BYTES};
use proxyfs_core::local_only::LocalOnly;
use proxyfs_core::store::ObjectStore;
use proxyfs_core::volume::{Volume, VolumeSpec, create_volume, read_volume_meta};
use proxyfs_core::{Error, ErrorKind};
use proxyfs_store::url::FileUrl;
use proxyfs_store::{StoreOptions, StoreUrl, open_store};
use tokio::task::JoinHandle;

use crate::failure::{Failure, Outcome};
use crate::options::Settings;
use crate::sys::make_private_dir;

/// Where it lies in the volume's state directory.
const DIR: &str = "local-only";
/// How long its store, a local directory, may take at the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// A volume as it is shown with its local-only files.
pub(crate) type Shown = LocalOnly<Volume, Volume>;

/// An open companion.
#[derive(Debug)]
pub(crate) struct LocalFiles {
    shown: Arc<Shown>,
    companion: Volume,
    pruning: JoinHandle<()>,
}

impl LocalFiles {
    /// Opens the companion of an open volume, if the settings ask for one and the volume takes changes.
    ///
    /// # Errors
    /// One that names the directory and what is in it.
    pub(crate) async fn open(
        engine: &Arc<Engine>,
        volume: &Volume,
        state_dir: &Path,
        settings: &Settings,
        subject: &str,
    ) -> Outcome<Option<Self>> {
        if !settings.local_only || settings.volume.read_only {
            return Ok(None);
        }
        let dir = state_dir.join(DIR);
        let opened = open_companion(engine, volume, &dir, settings).await;
        let companion = opened.map_err(|e| cannot_open(&dir, subject, &e))?;
        let shown = Arc::new(LocalOnly::new(volume.clone(), companion.clone(), volume.meta().case));
        let pruning = tokio::spawn(prune(Arc::clone(&shown)));
        Ok(Some(Self { shown, companion, pruning }))
    }

    /// What is to be mounted.
    pub(crate) fn shown(&self) -> &Arc<Shown> {
        &self.shown
    }

    /// Closes the companion. What its store does not take is staged, and goes there at the next mount.
    pub(crate) async fn close(self) {
        self.pruning.abort();
        // It has nothing to say but that it was aborted.
        let _ = self.pruning.await;
        drop(self.shown);
        if let Err(e) = self.companion.close(CLOSE_PATIENCE).await {
            tracing::warn!("closing the local-only files: {e}");
        }
    }
}

/// Drops what belongs to directories that are gone, while the drive is in use. What cannot be told now is left to the next mount.
async fn prune(shown: Arc<Shown>) {
    match shown.prune().await {
        Ok(0) => {}
        Ok(dropped) => tracing::debug!(dropped, "local-only files of directories that are gone were dropped"),
        Err(e) => tracing::debug!("looking for local-only files of directories that are gone: {e}"),
    }
}

fn cannot_open(dir: &Path, subject: &str, error: &Error) -> Failure {
    let place = dir.display();
    let advice = format!(
        "look at the local disk; if {place} is damaged, delete it: only files that stay on this computer are lost (._*, .DS_Store, \
         Thumbs.db, desktop.ini, ~$*). `-o local_only=no` mounts without them"
    );
    Failure { advice, ..Failure::engine("open", &format!("the local-only files of {subject} in {place}"), error) }
}

async fn open_companion(
    engine: &Arc<Engine>,
    volume: &Volume,
    dir: &Path,
    settings: &Settings,
) -> proxyfs_core::Result<Volume> {
    let (root, state) = (dir.join("store"), dir.join("state"));
    for made in [dir, &root, &state] {
        make_private_dir(made).map_err(|e| local(made, e))?;
    }
    let state_dir = OsDir::open_locked(&state).map_err(|e| local(&state, e))?;
    let env = Env { dir: Arc::new(state_dir), clock: Arc::new(OsClock), rng: Arc::new(OsRng) };
    let options = VolumeOptions {
        owner: settings.volume.owner.clone(),
        replay_log_sync: settings.volume.replay_log_sync,
        operation_timeout: settings.volume.operation_timeout,
        max_flush_size: LOCAL_ONLY_FLUSH_BYTES,
        uploads_max: 1,
        disk_budget: LOCAL_ONLY_DISK_BYTES,
        // Its store is on the same disk.
        disk_cache_bytes: 0,
        ..VolumeOptions::default()
    };
    let store = store_in(root, volume, &env, &options).await?;
    let companion = Volume::open(engine.part(LOCAL_ONLY_MEMORY_BYTES), env, store, options).await?;
    if companion.meta().case != volume.meta().case {
        companion.abandon().await;
        return Err(Error::new(ErrorKind::Config, "it compares names by another rule than the volume"));
    }
    Ok(companion)
}

/// The companion's store, with the companion made if there is none.
async fn store_in(
    root: PathBuf,
    volume: &Volume,
    env: &Env,
    options: &VolumeOptions,
) -> proxyfs_core::Result<Arc<dyn ObjectStore>> {
    let url = StoreUrl::File(FileUrl { root: root.clone() });
    let store = open_store(&url, &StoreOptions::default())
        .await
        .map_err(|e| Error::with_source(ErrorKind::Io, format!("cannot open {}", root.display()), e))?;
    let timeout = options.operation_timeout;
    match read_volume_meta(&store, timeout).await {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let of = volume.meta();
            let spec = VolumeSpec { case: of.case, ..VolumeSpec::new(format!("{} (local-only files)", of.name)) };
            create_volume(&store, spec, &*env.clock, &*env.rng, None, timeout).await?;
        }
        found => drop(found?),
    }
    Ok(store)
}

fn local(path: &Path, error: io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::StorageFull { ErrorKind::NoSpace } else { ErrorKind::Io };
    Error::with_source(kind, format!("cannot use {}", path.display()), error)
}
