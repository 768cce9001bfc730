//! The daemon: many volumes in one process, on one engine that has the budgets.
//!
//! Owns which volumes there are (the configuration's, then the registry's), their start and end, and what is done to one by its name. How
//! a single volume gets from wanted to mounted is in [`hosted`](super::hosted); how requests reach all this, in [`control`](super::control).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use proxyfs_control::ring::Ring;
use proxyfs_control::types::event::{EventKind, News};
use proxyfs_control::types::logs::LogLine;
use proxyfs_core::config::EngineOptions;
use proxyfs_core::engine::Engine;
use proxyfs_store::{Network, Usage};
use serde_json::json;
use tokio::sync::Notify;

use crate::failure::{Failure, Outcome};
use crate::options::Given;
use crate::paths::Paths;
use crate::registry::{Entry, KeptMount, Registry};
use crate::serve::answers::state_of;
use crate::serve::config::{Config, VolumeConfig};
use crate::serve::events::{Book, publish, unix_now};
use crate::serve::hosted::{Current, Hosted, Live, MountWish, Tell, Wanted};
use crate::session::{BUSY_PATIENCE, Ended};
use crate::target::parse_url;
use crate::waiting;

/// How long the store may take at an unmount that was asked for.
const CLOSE_PATIENCE: Duration = Duration::from_secs(60);

/// The daemon.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) paths: Paths,
    /// Need not be there: then all defaults hold.
    pub(crate) config_file: PathBuf,
    pub(crate) engine: Arc<Engine>,
    pub(crate) events: Arc<Ring<News>>,
    pub(crate) logs: Arc<Ring<LogLine>>,
    pub(crate) started: i64,
    /// What the stores of all volumes are told of the network.
    pub(crate) network: Network,
    pub(crate) book: Mutex<Book>,
    /// Signalled when a volume was tried.
    pub(crate) first_attempts: Notify,
    pub(crate) reloading: tokio::sync::Mutex<()>,
    config: RwLock<Config>,
    volumes: RwLock<BTreeMap<String, Arc<Hosted>>>,
    /// Requests of mounts that have ended, by volume.
    past_counts: Mutex<BTreeMap<String, Usage>>,
    held: AtomicBool,
    stopping: AtomicBool,
}

impl Host {
    /// A daemon with its budgets and limits, and no volume yet.
    pub(crate) fn new(paths: Paths, config_file: PathBuf, config: Config, logs: Arc<Ring<LogLine>>) -> Arc<Self> {
        let engine = Engine::new(&EngineOptions { memory_budget: config.cache.memory_budget });
        engine.set_disk_budget(config.cache.disk());
        engine.pace().upload.set(config.limits.upload);
        engine.pace().download.set(config.limits.download);
        Arc::new(Self {
            paths,
            config_file,
            engine,
            events: Arc::new(Ring::new()),
            logs,
            started: unix_now(),
            network: Network::default(),
            book: Mutex::default(),
            first_attempts: Notify::new(),
            reloading: tokio::sync::Mutex::default(),
            config: RwLock::new(config),
            volumes: RwLock::default(),
            past_counts: Mutex::default(),
            held: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        })
    }

    pub(crate) fn config(&self) -> Config {
        self.config.read().clone()
    }

    pub(crate) fn set_config(&self, config: Config) {
        *self.config.write() = config;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn holds_uploads(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    pub(crate) fn close_patience(&self) -> Duration {
        CLOSE_PATIENCE
    }

    /// All volumes, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Hosted>> {
        self.volumes.read().values().cloned().collect()
    }

    /// All volumes, with those that were registered since.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub(crate) fn all_now(&self) -> Outcome<Vec<Arc<Hosted>>> {
        self.look_into_registry()?;
        Ok(self.all())
    }

    /// A volume by name; `None` if none is known.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub(crate) fn find(&self, name: &str) -> Outcome<Option<Arc<Hosted>>> {
        self.look_into_registry()?;
        Ok(self.volumes.read().get(name).cloned())
    }

    /// A volume by name.
    pub(crate) fn get(&self, name: &str) -> Outcome<Arc<Hosted>> {
        self.find(name)?.ok_or_else(|| {
            let why = "no volume of this name is known";
            Failure::new("find", format!("volume {name}"), why, "look at those there are: proxyfs status")
        })
    }

    /// A volume's mount by name.
    pub(crate) fn mounted(&self, name: &str, action: &str) -> Outcome<Arc<Live>> {
        let hosted = self.get(name)?;
        hosted.live().ok_or_else(|| {
            let (why, advice) = match hosted.current() {
                Current::Opening(Some(f)) | Current::Failed(f) => (format!("it is not mounted: {}", f.why), f.advice),
                _ => ("it is not mounted".to_owned(), format!("mount it: proxyfs mount {name} DIR")),
            };
            Failure::new(action, hosted.subject(), why, advice)
        })
    }

    /// Takes the configured volumes and the registry's; none is mounted by this.
    pub(crate) fn adopt(&self, config: &Config) -> Outcome {
        for (name, volume) in &config.volumes {
            self.volumes.write().entry(name.clone()).or_insert_with(|| Hosted::new(name, configured(volume)));
        }
        self.look_into_registry()
    }

    /// Adds volumes that were registered, forgets idle ones that were forgotten.
    fn look_into_registry(&self) -> Outcome {
        let entries = Registry::new(self.paths.registry()).load()?;
        let mut volumes = self.volumes.write();
        for (name, entry) in &entries {
            // One line that makes no sense is that volume's trouble alone; commands on it say so.
            let Ok(wanted) = registered(entry) else { continue };
            match volumes.get(name) {
                Some(known) if known.wanted().configured || known.live().is_some() => {}
                Some(known) if known.wanted() != wanted => known.edit(|w| *w = wanted),
                Some(_) => {}
                None => drop(volumes.insert(name.clone(), Hosted::new(name, wanted))),
            }
        }
        volumes.retain(|name, known| {
            entries.contains_key(name) || known.wanted().configured || known.live().is_some() || known.is_kept()
        });
        Ok(())
    }

    /// Adds or replaces what is wanted of a volume.
    pub(crate) fn want(&self, name: &str, wanted: Wanted) -> Arc<Hosted> {
        let mut volumes = self.volumes.write();
        let hosted = volumes.entry(name.to_owned()).or_insert_with(|| Hosted::new(name, wanted.clone()));
        hosted.edit(|w| *w = wanted);
        Arc::clone(hosted)
    }

    /// Drops a volume that is not mounted.
    pub(crate) fn drop_volume(&self, name: &str) {
        self.volumes.write().remove(name);
        self.book.lock().forget(name);
    }

    /// Starts whatever is to be mounted; each in a task of its own.
    pub(crate) fn mount_all(self: &Arc<Self>) {
        for hosted in self.all() {
            if let Some(kept) = hosted.wanted().mount {
                hosted.keep_mounted(self, kept);
            }
        }
    }

    /// Waits until each volume that is to be mounted has been tried once, at most `patience`.
    pub(crate) async fn tried_all(&self, patience: Duration) {
        let untried = |h: &Arc<Hosted>| h.is_kept() && h.attempts.load(Ordering::Relaxed) == 0;
        let tried = async {
            loop {
                let tried = self.first_attempts.notified();
                tokio::pin!(tried);
                tried.as_mut().enable();
                if !self.all().iter().any(untried) {
                    return;
                }
                tried.await;
            }
        };
        if tokio::time::timeout(patience, tried).await.is_err() {
            tracing::warn!("some volumes are still being opened");
        }
    }

    /// Mounts a volume because somebody asked for it. `remember`: again after a restart.
    pub(crate) async fn mount(
        self: &Arc<Self>,
        name: &str,
        wish: MountWish,
        remember: bool,
        tell: Tell<'_>,
    ) -> Outcome<Arc<Live>> {
        let hosted = self.get(name)?;
        if self.is_stopping() {
            return Err(Failure::new(
                "mount",
                hosted.subject(),
                "the daemon is stopping",
                "mount it when it runs again",
            ));
        }
        // Whoever waits for a store that is away gives way to who asks now.
        let was_kept = hosted.is_kept();
        let live = hosted.mount(self, &wish, tell).await?;
        if was_kept {
            hosted.let_go();
        }
        if remember && !hosted.wanted().configured {
            let kept = KeptMount { mount_point: live.mount_point().to_owned(), ..wish.kept };
            hosted.edit(|w| w.mount = Some(kept.clone()));
            Registry::new(self.paths.registry()).edit(name, |entry| entry.mount = Some(kept))?;
        }
        Ok(live)
    }

    /// Unmounts because somebody asked for it: not mounted again by a restart, unless the configuration says so.
    pub(crate) async fn unmount(self: &Arc<Self>, name: &str, force: bool, tell: Tell<'_>) -> Outcome<Ended> {
        let hosted = self.get(name)?;
        let patience = if force { Duration::ZERO } else { BUSY_PATIENCE };
        let ended = hosted.unmount(self, patience, CLOSE_PATIENCE, tell).await;
        // Also after an end that went wrong: it is not to come back by itself.
        self.forget_mount(&hosted)?;
        ended?.ok_or_else(|| {
            let advice = "look where volumes are mounted: proxyfs status";
            Failure::new("unmount", hosted.subject(), "it is not mounted", advice)
        })
    }

    fn forget_mount(&self, hosted: &Hosted) -> Outcome {
        let wanted = hosted.wanted();
        if wanted.configured || wanted.mount.is_none() {
            return Ok(());
        }
        hosted.edit(|w| w.mount = None);
        Registry::new(self.paths.registry()).edit(&hosted.name, |entry| entry.mount = None)
    }

    /// Brings everything of a volume into the store; `tell` hears what it waits for.
    pub(crate) async fn flush(&self, name: &str, tell: Tell<'_>) -> Outcome<Arc<Live>> {
        let live = self.going(name, "flush")?;
        waiting::flush(&live.volume, tell)
            .await
            .map_err(|e| Failure::engine("flush", &format!("volume {name}"), &e))?;
        Ok(live)
    }

    /// Takes a checkpoint; gives the LSN that it covers.
    pub(crate) async fn checkpoint(&self, name: &str) -> Outcome<(Arc<Live>, u64)> {
        let live = self.going(name, "checkpoint")?;
        let lsn = live.volume.checkpoint().await;
        let lsn = lsn.map_err(|e| Failure::engine("checkpoint", &format!("volume {name}"), &e))?;
        Ok((live, lsn.0))
    }

    /// A mount whose uploads are not held: work that needs them would never end.
    fn going(&self, name: &str, action: &str) -> Outcome<Arc<Live>> {
        let live = self.mounted(name, action)?;
        if live.volume.holds_uploads() {
            let why = "its uploads are held by request";
            return Err(Failure::new(action, format!("volume {name}"), why, "let them go on first: resume its queue"));
        }
        Ok(live)
    }

    /// Holds the uploads of all volumes, or lets them go on.
    pub(crate) fn hold_uploads(&self, held: bool) {
        self.held.store(held, Ordering::Release);
        for live in self.all().iter().filter_map(|h| h.live()) {
            live.volume.hold_uploads(held);
        }
    }

    /// Requests of a volume since the start, of all its mounts.
    pub(crate) fn counts_of(&self, hosted: &Hosted) -> Usage {
        let past = self.past_counts.lock().get(&hosted.name).copied().unwrap_or_default();
        match hosted.live() {
            Some(live) => past.plus(&live.counters.usage()),
            None => past,
        }
    }

    /// Keeps the requests of a mount that has ended.
    pub(crate) fn keep_counts(&self, name: &str, counts: Usage) {
        let mut past = self.past_counts.lock();
        let kept = past.entry(name.to_owned()).or_default();
        *kept = kept.plus(&counts);
    }

    /// Says that a volume's state changed.
    pub(crate) fn volume_changed(&self, hosted: &Hosted) {
        let place = hosted.live().map(|live| live.mount_point().display().to_string());
        let data = json!({ "state": state_of(&hosted.current()), "mount_point": place });
        publish(&self.events, Some(&hosted.name), EventKind::VolumeState, data);
        self.note_troubles(hosted);
    }

    /// Unmounts and closes all volumes side by side; gives how each ended.
    pub(crate) async fn stop(self: &Arc<Self>, close_patience: Duration) -> Vec<(String, Outcome<Option<Ended>>)> {
        self.stopping.store(true, Ordering::Release);
        let all = self.all();
        all.iter().for_each(|hosted| hosted.let_go());
        let ends: Vec<_> = all
            .into_iter()
            .filter(|hosted| !matches!(hosted.current(), Current::Idle | Current::Failed(_)))
            .map(|hosted| {
                let host = Arc::clone(self);
                tokio::spawn(async move {
                    let tell = |line: String| tracing::info!(volume = hosted.name, "{line}");
                    // One that is still being opened holds nothing; it gives up by itself.
                    let opening = matches!(hosted.current(), Current::Opening(_));
                    let ending = hosted.unmount(&host, BUSY_PATIENCE, close_patience, &tell);
                    let limit = if opening { OPENING_PATIENCE } else { Duration::MAX };
                    let ended = tokio::time::timeout(limit, ending).await.unwrap_or(Ok(None));
                    (hosted.name.clone(), ended)
                })
            })
            .collect();
        let mut ended = Vec::with_capacity(ends.len());
        for end in ends {
            match end.await {
                Ok(end) => ended.push(end),
                Err(e) => tracing::error!("a volume's end failed: {e}"),
            }
        }
        ended
    }
}

/// How long the end of a volume that another owner has may take.
pub(crate) const FENCED_PATIENCE: Duration = Duration::from_secs(5);

/// How long a volume that is being opened may hold up the end.
const OPENING_PATIENCE: Duration = Duration::from_secs(5);

/// What the configuration wants of a volume.
pub(crate) fn configured(volume: &VolumeConfig) -> Wanted {
    let VolumeConfig { url, credentials, mount_point, label, options } = volume.clone();
    let mount = mount_point.map(|mount_point| KeptMount { mount_point, read_only: false, options: Given::new() });
    Wanted { url, uuid: None, credentials, label, options, mount, configured: true }
}

/// What the registry wants of a volume.
pub(crate) fn registered(entry: &Entry) -> Outcome<Wanted> {
    let Entry { uuid, store, credentials, label, mount, options } = entry.clone();
    Ok(Wanted { url: parse_url(&store)?, uuid: Some(uuid), credentials, label, options, mount, configured: false })
}
