//! A mounted volume, from the mount to the end of the process.
//!
//! Owns the order: check the place, open, mount, listen for control requests, check that the mount answers, say so; then wait for a signal, a
//! control request or an unmount from outside; then unmount, bring everything into the store or say what stays staged, and end. A second signal ends
//! it at once: what is not in the store yet is staged on the local disk either way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proxyfs_control::types::stats::Stats;
use proxyfs_control::types::volume::VolumeState;
use proxyfs_core::engine::Engine;
use proxyfs_core::volume::Volume;
use proxyfs_store::Counters;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::adapter::{Mounted, UnmountKind, check, mount};
use crate::control::server::{Handler, Progress, Server, remove_socket};
use crate::control::{Reply, Request};
use crate::failure::{Failure, Outcome};
use crate::local_only::LocalFiles;
use crate::options::Settings;
use crate::output::Style;
use crate::paths::Paths;
use crate::serve::unix_now;
use crate::stats::measure::{empty, of_volume};
use crate::sys::{self, Signals};
use crate::target::Target;
use crate::units::about_size;
use crate::waiting;

/// How long a mount in use is waited for before it is detached.
pub(crate) const BUSY_PATIENCE: Duration = Duration::from_secs(10);
/// How long operations under way may take after the unmount.
pub(crate) const FINISH_PATIENCE: Duration = Duration::from_secs(5);
/// How long the store may take at the end before the rest stays staged.
const CLOSE_PATIENCE: Duration = Duration::from_secs(60);
/// How long a fresh mount may take to answer.
pub(crate) const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// How long controllers may take to read their answer at the end.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);
/// Time between progress lines.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// What is to be mounted where.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The volume.
    pub(crate) target: Target,
    /// The directory.
    pub(crate) mount_point: PathBuf,
    /// With what settings.
    pub(crate) settings: Settings,
}

/// A mount that answers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ready {
    /// Name or URL.
    pub(crate) volume: String,
    /// 32 hex digits.
    pub(crate) uuid: String,
    /// Canonical store URL.
    pub(crate) store: String,
    /// Without symlinks.
    pub(crate) mount_point: PathBuf,
    /// Where staged data and the log lie.
    pub(crate) state_dir: PathBuf,
    /// The process that serves it.
    pub(crate) pid: u32,
    /// Files and directories in it, without the root.
    pub(crate) files: u64,
    /// Bytes of data in it.
    pub(crate) data_bytes: u64,
    /// Whether its store answers.
    pub(crate) online: bool,
    /// Segments found staged on this computer.
    pub(crate) waiting_bytes: u64,
}

/// How a session ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// Where the mount was.
    pub(crate) unmounted: PathBuf,
    /// Whether everything is in the store; else the rest is staged on this computer.
    pub(crate) in_store: bool,
    /// Bytes that wait on this computer.
    pub(crate) waiting_bytes: u64,
    /// Whether programs still had it open when it was taken away.
    pub(crate) was_busy: bool,
}

impl Ended {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let place = self.unmounted.display();
        let busy = if self.was_busy { " Programs that still used it were cut off." } else { "" };
        if self.in_store {
            format!("Unmounted {place}. Everything is in the store.{busy}")
        } else {
            let left = about_size(self.waiting_bytes);
            format!(
                "Unmounted {place}. The store did not take everything in time: {left} of data and the newest changes are \
                 safe on this computer and go up at the next mount.{busy}"
            )
        }
    }
}

/// Mounts and serves until the end. `ready` is called once the mount answers; if it fails, the session ends.
pub(crate) async fn run(
    paths: &Paths,
    plan: Plan,
    style: Style,
    ready: impl FnOnce(&Ready) -> Outcome,
) -> Outcome<Ended> {
    let subject = plan.target.subject();
    let state_dir = plan.target.state_dir(paths);
    check_place(&subject, &plan.mount_point, &plan.settings).await?;
    let engine = Engine::new(&plan.settings.engine);
    let opened = plan.target.opened(&plan.settings).await?;
    let volume = plan.target.open_on(Arc::clone(&engine), opened.store, paths, "mount", plan.settings.clone()).await?;
    let local = match LocalFiles::open(&engine, &volume, &state_dir, &plan.settings, &subject).await {
        Ok(local) => local,
        Err(failure) => {
            give_up(volume, None).await;
            return Err(failure);
        }
    };
    let mut stops = match Signals::listen() {
        Ok(stops) => stops,
        Err(e) => {
            give_up(volume, local).await;
            return Err(Failure::io("listen for", "signals", &e));
        }
    };
    let mounted = match attach(&volume, local.as_ref(), &plan).await {
        Ok(mounted) => mounted,
        Err(e) => {
            give_up(volume, local).await;
            return Err(Failure::engine("mount", &subject, &e));
        }
    };
    let (name, place) = (plan.target.label(), mounted.mount_point().to_owned());
    let shared =
        Arc::new(Running::new(name, volume.clone(), place, opened.counters, plan.settings.engine.memory_budget));
    let begun = begin(&state_dir, &plan.target, &shared, &mounted).await;
    let server = match begun.and_then(|(server, facts)| ready(&facts).map(|()| server)) {
        Ok(server) => Some(server),
        Err(failure) => {
            shared.fail(failure);
            None
        }
    };
    if server.is_some() {
        tokio::select! {
            _ = stops.next() => style.progress("Stopping: unmounting and uploading what is left. Ctrl-C again stops at once."),
            () = shared.stop.notified() => {}
            () = mounted.ended() => style.progress("The drive was unmounted; uploading what is left."),
        }
    }
    let ended = tokio::select! {
        ended = end(&shared, &mounted, local, style) => ended,
        _ = stops.next() => Err(stopped_at_once(&subject, &volume)),
    };
    let ended = ended.map_err(|e| shared.earlier().unwrap_or(e)).and_then(|e| shared.earlier().map_or(Ok(e), Err));
    shared.outcome.send_replace(Some(ended.clone()));
    if let Some(server) = server {
        server.drain(DRAIN_PATIENCE).await;
        remove_socket(&state_dir);
    }
    ended
}

/// Checks that a mount is possible here before anything is claimed or written.
pub(crate) async fn check_place(subject: &str, mount_point: &Path, settings: &Settings) -> Outcome {
    let (mount_point, settings) = (mount_point.to_owned(), settings.clone());
    let checking = tokio::task::spawn_blocking(move || check(&mount_point, &settings)).await;
    checking.unwrap_or_else(|e| Err(thread_failed(e))).map_err(|e| Failure::engine("mount", subject, &e))
}

fn thread_failed(error: tokio::task::JoinError) -> proxyfs_core::Error {
    proxyfs_core::Error::with_source(proxyfs_core::ErrorKind::Internal, "the mounting thread failed", error)
}

/// Closes a volume whose mount failed; it was not used, so there is nothing to say.
pub(crate) async fn give_up(volume: Volume, local: Option<LocalFiles>) {
    if let Err(e) = volume.close(FINISH_PATIENCE).await {
        tracing::warn!("closing after a failed mount: {e}");
    }
    if let Some(local) = local {
        local.close().await;
    }
}

/// Mounts on a thread that may block.
pub(crate) async fn attach(volume: &Volume, local: Option<&LocalFiles>, plan: &Plan) -> proxyfs_core::Result<Mounted> {
    let shown = local.map(|local| Arc::clone(local.shown()));
    let (volume, label, runtime) = (volume.clone(), plan.target.label(), Handle::current());
    let (mount_point, settings) = (plan.mount_point.clone(), plan.settings.clone());
    let mounting =
        tokio::task::spawn_blocking(move || mount(&volume, shown.as_ref(), &label, &mount_point, &settings, &runtime));
    mounting.await.unwrap_or_else(|e| Err(thread_failed(e)))
}

/// Starts the control socket and asks the mount for a first answer.
async fn begin(
    state_dir: &Path,
    target: &Target,
    shared: &Arc<Running>,
    mounted: &Mounted,
) -> Outcome<(Server, Ready)> {
    let server = Server::start(state_dir, Arc::clone(shared))
        .map_err(|e| Failure::io("open the control socket in", &state_dir.display().to_string(), &e))?;
    answers(mounted.mount_point(), ANSWER_PATIENCE).await?;
    let status = shared.volume.status();
    let facts = Ready {
        volume: target.label(),
        uuid: target.uuid.clone(),
        store: target.url.to_string(),
        mount_point: mounted.mount_point().to_owned(),
        state_dir: state_dir.to_owned(),
        pid: std::process::id(),
        files: status.inodes.saturating_sub(1),
        data_bytes: status.data_bytes,
        online: status.offline_since.is_none(),
        waiting_bytes: status.waiting_bytes,
    };
    Ok((server, facts))
}

/// Whether a mount answers within `patience`.
pub(crate) async fn answers(mount_point: &Path, patience: Duration) -> Outcome {
    let subject = format!("the mount on {}", mount_point.display());
    let path = mount_point.to_owned();
    let asked = tokio::task::spawn_blocking(move || sys::ask_mount(&path));
    match timeout(patience, asked).await {
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err(e))) => Err(Failure::io("use", &subject, &e)),
        Ok(Err(_)) | Err(_) => Err(Failure::new("use", subject, "it does not answer", "look at the log (--log debug)")),
    }
}

/// Unmounts and closes, telling whoever listens.
async fn end(shared: &Running, mounted: &Mounted, local: Option<LocalFiles>, style: Style) -> Outcome<Ended> {
    let tell = |line: String| {
        style.progress(&line);
        shared.progress.send_replace(line);
    };
    let unmounting = mounted.unmount(BUSY_PATIENCE);
    tokio::pin!(unmounting);
    let unmounted = tokio::select! {
        unmounted = &mut unmounting => unmounted,
        () = sleep(PROGRESS_INTERVAL) => {
            let wait = BUSY_PATIENCE.as_secs();
            let dir = shared.mount_point.display();
            tell(format!("The system has not let go of {dir} yet; if programs still use it, it is detached after {wait} s."));
            unmounting.await
        }
    };
    let subject = shared.mount_point.display().to_string();
    let was_busy = unmounted.map_err(|e| Failure::engine("unmount", &subject, &e))? == UnmountKind::Detached;
    mounted.finish(FINISH_PATIENCE).await;
    let closed = waiting::close(&shared.volume, CLOSE_PATIENCE, &tell).await;
    if let Some(local) = local {
        local.close().await;
    }
    let report = closed.map_err(|e| Failure::engine("close", &shared.volume.status().name, &e))?;
    Ok(Ended {
        unmounted: shared.mount_point.clone(),
        in_store: report.in_store,
        waiting_bytes: report.waiting_bytes,
        was_busy,
    })
}

fn stopped_at_once(subject: &str, volume: &Volume) -> Failure {
    let left = about_size(volume.status().waiting_bytes);
    Failure::new(
        "finish",
        subject,
        format!("stopped before everything was in the store; {left} wait on this computer"),
        "mount it again: what waits goes up then",
    )
}

/// What control requests reach.
struct Running {
    name: String,
    since: i64,
    counters: Counters,
    memory_budget: u64,
    volume: Volume,
    mount_point: PathBuf,
    stop: Notify,
    progress: watch::Sender<String>,
    outcome: watch::Sender<Option<Outcome<Ended>>>,
    failure: std::sync::OnceLock<Failure>,
}

impl Running {
    fn new(name: String, volume: Volume, mount_point: PathBuf, counters: Counters, memory_budget: u64) -> Self {
        Self {
            name,
            since: unix_now(),
            counters,
            memory_budget,
            volume,
            mount_point,
            stop: Notify::new(),
            progress: watch::channel(String::new()).0,
            outcome: watch::channel(None).0,
            failure: std::sync::OnceLock::new(),
        }
    }

    /// Notes why the session ends early.
    fn fail(&self, failure: Failure) {
        self.failure.get_or_init(|| failure);
    }

    fn earlier(&self) -> Option<Failure> {
        self.failure.get().cloned()
    }

    fn status(&self) -> Value {
        json!({ "pid": std::process::id(), "mount_point": self.mount_point, "volume": self.volume.status() })
    }

    fn stats(&self) -> Stats {
        let place = Some(self.mount_point.display().to_string());
        let usage = self.counters.usage();
        let volume = of_volume(&self.name, VolumeState::Mounted, place, Some(&self.volume), &usage);
        Stats { volumes: vec![volume], ..empty(self.since, self.memory_budget) }
    }

    fn failed(&self, action: &str, error: &proxyfs_core::Error) -> Reply {
        Reply::Failed(Failure::engine(action, &format!("volume {}", self.volume.status().name), error))
    }

    async fn unmount(&self, progress: Progress) -> Reply {
        let (mut lines, mut outcome) = (self.progress.subscribe(), self.outcome.subscribe());
        self.stop.notify_one();
        loop {
            if let Some(outcome) = outcome.borrow_and_update().clone() {
                return match outcome.map(|ended| serde_json::to_value(&ended)) {
                    Ok(Ok(value)) => Reply::Done(value),
                    Ok(Err(e)) => Reply::Failed(Failure::io("encode", "the answer", &e.into())),
                    Err(failure) => Reply::Failed(failure),
                };
            }
            tokio::select! {
                Ok(()) = outcome.changed() => {}
                Ok(()) = lines.changed() => {
                    let line = lines.borrow_and_update().clone();
                    // Whoever asked may have gone; the unmount goes on.
                    let _unread = progress.send(line).is_err();
                }
            }
        }
    }
}

impl Handler for Running {
    async fn handle(&self, request: Request, progress: Progress) -> Reply {
        match request {
            Request::Status => Reply::Done(self.status()),
            Request::Stats => match serde_json::to_value(self.stats()) {
                Ok(value) => Reply::Done(value),
                Err(e) => Reply::Failed(Failure::io("encode", "the answer", &e.into())),
            },
            Request::Flush => match waiting::flush(&self.volume, |line| drop(progress.send(line))).await {
                Ok(()) => Reply::Done(self.status()),
                Err(e) => self.failed("flush", &e),
            },
            Request::Checkpoint => match self.volume.checkpoint().await {
                Ok(lsn) => Reply::Done(json!({ "lsn": lsn.0, "status": self.status() })),
                Err(e) => self.failed("checkpoint", &e),
            },
            Request::Unmount => self.unmount(progress).await,
        }
    }
}
