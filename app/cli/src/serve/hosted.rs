//! One volume of the daemon: what is wanted of it, how it is, and the way between the two.
//!
//! ```text
//! idle --(mount)--> opening --(the mount answers)--> mounted --(unmount, or unmounted from outside)--> idle
//!                      \--(failed; tried again for as long as it is wanted)--> failed
//! ```
//!
//! Invariants: one piece of work at a time, under `work`; looking never waits for work. Each volume is opened in a task of its own, so
//! one whose store is away holds up no other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use proxyfs_control::types::stats::Stats;
use proxyfs_control::types::volume::{HeldData, VolumeState};
use proxyfs_core::env::OsDir;
use proxyfs_core::store::ObjectStore;
use proxyfs_core::volume::{Volume, VolumeStatus, read_volume_meta};
use proxyfs_store::{Counters, StoreUrl};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::adapter::{Mounted, UnmountKind};
use crate::control::server::{Handler, Progress, Server, remove_socket};
use crate::control::{Reply, Request};
use crate::failure::{Failure, Outcome, Sort};
use crate::held::{Fenced, held};
use crate::local_only::LocalFiles;
use crate::options::{Given, Settings};
use crate::paths::Paths;
use crate::registry::{Entry, KeptMount, Registry};
use crate::serve::events::unix_now;
use crate::serve::host::{FENCED_PATIENCE, Host};
use crate::serve::regain;
use crate::session::{ANSWER_PATIENCE, Ended, FINISH_PATIENCE, Plan, answers, attach, check_place, give_up};
use crate::stats::measure::{empty, of_volume};
use crate::target::{Target, connect};
use crate::waiting;

/// First and longest wait before a mount that failed is tried again.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How long the store may take at the end of a volume whose uploads are held.
const HELD_PATIENCE: Duration = Duration::from_secs(1);
/// Time between progress lines.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// How long a closed volume may still be held by a request that looks at it.
const UNLOCK_PATIENCE: Duration = Duration::from_secs(5);
/// Time between looks.
const UNLOCK_POLL: Duration = Duration::from_millis(10);

/// Takes sentences for people.
pub(crate) type Tell<'a> = &'a (dyn Fn(String) + Send + Sync);

/// What is wanted of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) url: StoreUrl,
    /// 32 hex digits, if it was ever open here.
    pub(crate) uuid: Option<String>,
    pub(crate) credentials: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) options: Given,
    /// Where it is mounted whenever the daemon runs.
    pub(crate) mount: Option<KeptMount>,
    /// Whether it stands in the configuration, else in the registry.
    pub(crate) configured: bool,
}

/// What is asked of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountWish {
    pub(crate) kept: KeptMount,
    pub(crate) take_over: bool,
    /// The task that tries, if it is not a person.
    keeper: Option<u64>,
}

impl MountWish {
    /// A mount that somebody asked for.
    pub(crate) fn new(kept: KeptMount, take_over: bool) -> Self {
        Self { kept, take_over, keeper: None }
    }
}

/// How a volume is.
#[derive(Clone, Debug)]
pub(crate) enum Current {
    Idle,
    Opening(Option<Failure>),
    Mounted(Arc<Live>),
    Failed(Failure),
}

/// A volume that serves a mount.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) volume: Volume,
    pub(crate) mounted: Mounted,
    pub(crate) counters: Counters,
    pub(crate) target: Target,
    pub(crate) kept: KeptMount,
    pub(crate) since: i64,
    /// Whether somebody looks at its health.
    pub(crate) looking: AtomicBool,
    local: Mutex<Option<LocalFiles>>,
    server: Mutex<Option<Server>>,
}

impl Live {
    pub(crate) fn mount_point(&self) -> &Path {
        self.mounted.mount_point()
    }
}

/// A volume of the daemon.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) name: String,
    wanted: RwLock<Wanted>,
    current: RwLock<Current>,
    work: tokio::sync::Mutex<()>,
    /// Number of the task that tries until it is mounted; 0 when none is to.
    keep: watch::Sender<u64>,
    keepers: AtomicU64,
    nudge: Notify,
    pub(crate) attempts: AtomicU32,
    held: Mutex<Option<HeldData>>,
}

impl Hosted {
    pub(crate) fn new(name: &str, wanted: Wanted) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            wanted: RwLock::new(wanted),
            current: RwLock::new(Current::Idle),
            work: tokio::sync::Mutex::default(),
            keep: watch::channel(0).0,
            keepers: AtomicU64::new(0),
            nudge: Notify::new(),
            attempts: AtomicU32::new(0),
            held: Mutex::default(),
        })
    }

    pub(crate) fn subject(&self) -> String {
        format!("volume {}", self.name)
    }

    pub(crate) fn wanted(&self) -> Wanted {
        self.wanted.read().clone()
    }

    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Wanted)) {
        edit(&mut self.wanted.write());
    }

    pub(crate) fn current(&self) -> Current {
        self.current.read().clone()
    }

    /// The mount, if there is one.
    pub(crate) fn live(&self) -> Option<Arc<Live>> {
        match &*self.current.read() {
            Current::Mounted(live) => Some(Arc::clone(live)),
            Current::Idle | Current::Opening(_) | Current::Failed(_) => None,
        }
    }

    pub(crate) fn status(&self) -> Option<VolumeStatus> {
        self.live().map(|live| live.volume.status())
    }

    /// What was changed here and is not published, as of the last count.
    pub(crate) fn held(&self) -> Option<HeldData> {
        self.held.lock().clone()
    }

    /// Counts anew what was changed here and is not published.
    pub(crate) async fn count_held(&self, paths: &Paths) {
        let Some(uuid) = self.wanted().uuid else { return };
        let (name, state_dir) = (self.name.clone(), paths.state_of(&uuid));
        let open = self.status().map(|status| Fenced(status.fenced));
        let counted = tokio::task::spawn_blocking(move || held(&name, &state_dir, open)).await;
        *self.held.lock() = counted.unwrap_or_default();
    }

    /// Whether it is tried again until it is mounted.
    pub(crate) fn is_kept(&self) -> bool {
        *self.keep.borrow() != 0
    }

    /// Tries at once what waits to be tried again.
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    fn set_current(&self, current: Current) {
        *self.current.write() = current;
    }

    /// Mounts in a task of its own, and tries again until it is mounted or [`Hosted::let_go`] ends it.
    pub(crate) fn keep_mounted(self: &Arc<Self>, host: &Arc<Host>, kept: KeptMount) {
        let own = self.keepers.fetch_add(1, Ordering::Relaxed) + 1;
        self.keep.send_replace(own);
        {
            let mut current = self.current.write();
            if matches!(*current, Current::Idle | Current::Failed(_)) {
                *current = Current::Opening(None);
            }
        }
        let (hosted, host) = (Arc::clone(self), Arc::clone(host));
        tokio::spawn(async move {
            let mut keep = hosted.keep.subscribe();
            let mut wait = RETRY_FIRST;
            let wish = MountWish { keeper: Some(own), ..MountWish::new(kept, false) };
            let mut said = None;
            while *keep.borrow_and_update() == own {
                match hosted.mount(&host, &wish, &|_| {}).await {
                    Ok(_) => return,
                    Err(failure) if said.as_ref() == Some(&failure) => {}
                    Err(failure) => {
                        tracing::warn!(volume = hosted.name, "{failure}");
                        said = Some(failure);
                    }
                }
                host.first_attempts.notify_waiters();
                tokio::select! {
                    () = sleep(wait) => {}
                    () = hosted.nudge.notified() => {}
                    _ = keep.changed() => {}
                }
                wait = (wait * 2).min(RETRY_MAX);
            }
        });
    }

    /// Ends the trying.
    pub(crate) fn let_go(&self) {
        self.keep.send_replace(0);
    }

    /// Mounts once.
    pub(crate) async fn mount(
        self: &Arc<Self>,
        host: &Arc<Host>,
        wish: &MountWish,
        tell: Tell<'_>,
    ) -> Outcome<Arc<Live>> {
        let _work = self.work.lock().await;
        if let Some(live) = self.live() {
            let why = format!("it is mounted on {} already", live.mount_point().display());
            return Err(Failure::new("mount", self.subject(), why, "use it there, or unmount it first"));
        }
        let before = match self.current() {
            Current::Failed(failure) => Some(failure),
            Current::Opening(why) => why,
            Current::Idle | Current::Mounted(_) => None,
        };
        self.set_current(Current::Opening(before));
        let outcome = self.try_mount(host, wish, tell).await;
        self.attempts.fetch_add(1, Ordering::Relaxed);
        match &outcome {
            Ok(live) => {
                self.set_current(Current::Mounted(Arc::clone(live)));
                self.watch_end(host, live);
                regain::when_free(self, host, live);
            }
            Err(failure) if failure.sort == Sort::Unavailable && self.is_kept() => {
                self.set_current(Current::Opening(Some(failure.clone())));
            }
            Err(failure) if self.is_kept() => self.set_current(Current::Failed(failure.clone())),
            Err(_) => self.set_current(Current::Idle),
        }
        host.first_attempts.notify_waiters();
        host.volume_changed(self);
        outcome
    }

    async fn try_mount(self: &Arc<Self>, host: &Arc<Host>, wish: &MountWish, tell: Tell<'_>) -> Outcome<Arc<Live>> {
        let target = self.target(host).await?;
        let mut settings = target.settings(&wish.kept.options)?;
        settings.volume.read_only |= wish.kept.read_only;
        settings.volume.take_over = wish.take_over;
        settings.store.network = host.network.clone();
        let subject = target.subject();
        check_place(&subject, &wish.kept.mount_point, &settings).await?;
        let opened = target.opened(&settings).await?;
        tell(format!("Opening {subject}."));
        let engine = Arc::clone(&host.engine);
        let volume = target.open_on(Arc::clone(&engine), opened.store, &host.paths, "mount", settings.clone()).await?;
        let state_dir = target.state_dir(&host.paths);
        let local = match LocalFiles::open(&engine, &volume, &state_dir, &settings, &subject).await {
            Ok(local) => local,
            Err(failure) => {
                give_up(volume, None).await;
                return Err(failure);
            }
        };
        // It may have taken long.
        if host.is_stopping() || wish.keeper.is_some_and(|own| *self.keep.borrow() != own) {
            give_up(volume, local).await;
            return Err(Failure::new("mount", subject, "it is not wanted any more", "mount it again"));
        }
        volume.hold_uploads(host.holds_uploads());
        let plan = Plan { target: target.clone(), mount_point: wish.kept.mount_point.clone(), settings };
        let mounted = match attach(&volume, local.as_ref(), &plan).await {
            Ok(mounted) => mounted,
            Err(e) => {
                give_up(volume, local).await;
                return Err(Failure::engine("mount", &subject, &e));
            }
        };
        if let Err(failure) = answers(mounted.mount_point(), ANSWER_PATIENCE).await {
            drop(mounted);
            give_up(volume, local).await;
            return Err(failure);
        }
        let live = Arc::new(Live {
            volume,
            mounted,
            counters: opened.counters,
            kept: wish.kept.clone(),
            since: unix_now(),
            looking: AtomicBool::new(false),
            local: Mutex::new(local),
            server: Mutex::default(),
            target,
        });
        self.open_door(host, &live);
        Ok(live)
    }

    /// Lets commands that look into the state directory find the volume, too.
    fn open_door(self: &Arc<Self>, host: &Arc<Host>, live: &Arc<Live>) {
        let door = Door { host: Arc::clone(host), hosted: Arc::clone(self) };
        match Server::start(&live.target.state_dir(&host.paths), Arc::new(door)) {
            Ok(server) => *live.server.lock() = Some(server),
            Err(e) => tracing::warn!(volume = self.name, "no control socket beside its state: {e}"),
        }
    }

    /// The volume, named for good: from the registry, or from its store the first time.
    pub(crate) async fn target(&self, host: &Host) -> Outcome<Target> {
        let wanted = self.wanted();
        let target = |uuid: String| Target {
            name: Some(self.name.clone()),
            uuid,
            url: wanted.url.clone(),
            credentials: wanted.credentials.clone(),
            sources: host.paths.credentials(),
            options: wanted.options.clone(),
        };
        if let Some(uuid) = &wanted.uuid {
            return Ok(target(uuid.clone()));
        }
        let registry = Registry::new(host.paths.registry());
        let known = registry.load()?.remove(&self.name);
        let url = wanted.url.to_string();
        let uuid = match &known {
            Some(entry) if entry.store == url => entry.uuid.clone(),
            _ => self.ask_store(&target(String::new())).await?,
        };
        match known {
            Some(entry) if entry.uuid != uuid => {
                let why = format!("the registry has another volume of this name, at {}", entry.store);
                let advice = format!("choose another name, or forget that one: proxyfs volume delete {}", self.name);
                return Err(Failure::new("mount", self.subject(), why, advice));
            }
            Some(entry) if entry.store == url => {}
            Some(entry) => registry.put(&self.name, &Entry { store: url, ..entry })?,
            None => {
                let credentials = wanted.credentials.clone();
                registry.put(&self.name, &Entry { credentials, ..Entry::new(uuid.clone(), url) })?;
            }
        }
        self.edit(|wanted| wanted.uuid = Some(uuid.clone()));
        Ok(target(uuid))
    }

    async fn ask_store(&self, target: &Target) -> Outcome<String> {
        let settings = Settings::with(&target.options)?;
        let options = target.store_options(&settings).await?;
        let subject = self.subject();
        let store: Arc<dyn ObjectStore> = connect(&target.url, &options, "open", &subject).await?;
        let meta = read_volume_meta(&store, settings.volume.operation_timeout).await;
        Ok(meta.map_err(|e| Failure::engine("open", &subject, &e))?.uuid.to_string())
    }

    /// Waits for the mount's end in a task of its own; if it came from outside, closes the volume.
    fn watch_end(self: &Arc<Self>, host: &Arc<Host>, live: &Arc<Live>) {
        let (hosted, host, live) = (Arc::clone(self), Arc::clone(host), Arc::clone(live));
        tokio::spawn(async move {
            live.mounted.ended().await;
            // Not held any longer: whoever unmounts waits until nobody holds it.
            let ended = Arc::downgrade(&live);
            drop(live);
            if host.is_stopping() {
                return;
            }
            let _work = hosted.work.lock().await;
            let Some(live) = ended.upgrade().filter(|live| hosted.serves(live)) else { return };
            hosted.let_go();
            tracing::info!(volume = hosted.name, "the drive was unmounted; uploading what is left");
            if let Err(failure) = hosted.finish(&host, &live, false, host.close_patience(), &|_| {}).await {
                tracing::error!(volume = hosted.name, "{failure}");
            }
        });
    }

    fn serves(&self, live: &Arc<Live>) -> bool {
        self.live().is_some_and(|l| Arc::ptr_eq(&l, live))
    }

    /// Unmounts and closes; `None` if it is not mounted.
    pub(crate) async fn unmount(
        &self,
        host: &Arc<Host>,
        busy_patience: Duration,
        close_patience: Duration,
        tell: Tell<'_>,
    ) -> Outcome<Option<Ended>> {
        self.let_go();
        let _work = self.work.lock().await;
        let Some(live) = self.live() else {
            self.set_current(Current::Idle);
            host.volume_changed(self);
            return Ok(None);
        };
        let was_busy = detach(&live, busy_patience, tell).await?;
        let ended = self.finish(host, &live, was_busy, close_patience, tell).await;
        let state_dir = live.target.state_dir(&host.paths);
        drop(live);
        wait_unlocked(&state_dir).await;
        ended.map(Some)
    }

    /// Ends a mount that no program uses, and mounts it anew as soon as that can be done. Whether it ended.
    pub(crate) async fn renew(self: &Arc<Self>, host: &Arc<Host>, live: Arc<Live>) -> Outcome<bool> {
        let _work = self.work.lock().await;
        if host.is_stopping() || !self.serves(&live) {
            return Ok(true);
        }
        let unmounted = live.mounted.try_unmount().await;
        if !unmounted.map_err(|e| Failure::engine("unmount", &self.subject(), &e))? {
            return Ok(false);
        }
        if let Err(failure) = self.finish(host, &live, false, FENCED_PATIENCE, &|_| {}).await {
            tracing::warn!(volume = self.name, "{failure}");
        }
        let (kept, state_dir) = (live.kept.clone(), live.target.state_dir(&host.paths));
        drop(live);
        wait_unlocked(&state_dir).await;
        self.keep_mounted(host, kept);
        Ok(true)
    }

    /// Closes the volume after its mount has ended. Under `work`.
    async fn finish(
        &self,
        host: &Host,
        live: &Arc<Live>,
        was_busy: bool,
        patience: Duration,
        tell: Tell<'_>,
    ) -> Outcome<Ended> {
        live.mounted.finish(FINISH_PATIENCE).await;
        let patience = if live.volume.holds_uploads() { patience.min(HELD_PATIENCE) } else { patience };
        let closed = waiting::close(&live.volume, patience, tell).await;
        let local = live.local.lock().take();
        if let Some(local) = local {
            local.close().await;
        }
        let state_dir = live.target.state_dir(&host.paths);
        host.keep_counts(&self.name, live.counters.usage());
        live.server.lock().take();
        remove_socket(&state_dir);
        self.set_current(Current::Idle);
        host.volume_changed(self);
        let report = closed.map_err(|e| Failure::engine("close", &self.subject(), &e))?;
        Ok(Ended {
            unmounted: live.mount_point().to_owned(),
            in_store: report.in_store,
            waiting_bytes: report.waiting_bytes,
            was_busy,
        })
    }

    /// Does work that needs the volume closed, with nobody mounting it meanwhile.
    pub(crate) async fn closed<T>(&self, action: &str, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let _work = self.work.lock().await;
        if let Some(live) = self.live() {
            let why = format!("it is mounted on {}", live.mount_point().display());
            return Err(Failure::new(action, self.subject(), why, "unmount it first"));
        }
        work.await
    }
}

/// Takes the mount away; whether programs still used it.
async fn detach(live: &Live, patience: Duration, tell: Tell<'_>) -> Outcome<bool> {
    let place = live.mount_point().display().to_string();
    let unmounting = live.mounted.unmount(patience);
    tokio::pin!(unmounting);
    let unmounted = tokio::select! {
        unmounted = &mut unmounting => unmounted,
        () = sleep(PROGRESS_INTERVAL) => {
            let wait = patience.as_secs();
            tell(format!("The system has not let go of {place} yet; if programs still use it, it is detached after {wait} s."));
            unmounting.await
        }
    };
    Ok(unmounted.map_err(|e| Failure::engine("unmount", &place, &e))? == UnmountKind::Detached)
}

/// Waits until nobody in this process holds a closed volume any more, such as a request that looks at it.
async fn wait_unlocked(state_dir: &Path) {
    let deadline = Instant::now() + UNLOCK_PATIENCE;
    while OsDir::open_locked(state_dir).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock) {
        if Instant::now() >= deadline {
            tracing::warn!("{} is still locked after its volume was closed", state_dir.display());
            return;
        }
        sleep(UNLOCK_POLL).await;
    }
}

/// Answers on the socket in the volume's state directory.
struct Door {
    host: Arc<Host>,
    hosted: Arc<Hosted>,
}

impl Door {
    fn status(&self, live: &Live) -> serde_json::Value {
        let mount_point: PathBuf = live.mount_point().to_owned();
        json!({ "pid": std::process::id(), "mount_point": mount_point, "volume": live.volume.status() })
    }
}

impl Handler for Door {
    async fn handle(&self, request: Request, progress: Progress) -> Reply {
        let name = &self.hosted.name;
        let done = match request {
            Request::Status => self.host.mounted(name, "reach").map(|live| self.status(&live)),
            Request::Stats => self.host.mounted(name, "reach").and_then(|live| {
                let place = live.mount_point().display().to_string();
                let usage = self.host.counts_of(&self.hosted);
                let volume = of_volume(name, VolumeState::Mounted, Some(place), Some(&live.volume), &usage);
                let stats = Stats { volumes: vec![volume], ..empty(live.since, self.host.engine.memory_budget()) };
                serde_json::to_value(&stats).map_err(|e| Failure::io("encode", "the answer", &e.into()))
            }),
            Request::Flush => {
                let tell = |line: String| drop(progress.send(line));
                self.host.flush(name, &tell).await.map(|live| self.status(&live))
            }
            Request::Checkpoint => {
                let done = self.host.checkpoint(name).await;
                done.map(|(live, lsn)| json!({ "lsn": lsn, "status": self.status(&live) }))
            }
            Request::Unmount => {
                let tell = |line: String| drop(progress.send(line));
                let ended = self.host.unmount(name, false, &tell).await;
                ended.and_then(|ended| {
                    serde_json::to_value(&ended).map_err(|e| Failure::io("encode", "the answer", &e.into()))
                })
            }
        };
        done.map_or_else(Reply::Failed, Reply::Done)
    }

    fn outlives_the_mount(&self) -> bool {
        true
    }
}
