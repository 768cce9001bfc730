//! `proxyfs serve`: one process that hosts many volumes from one configuration.
//!
//! A map: [`config`] is what is wanted ([`keys`] each key once, [`document`] where it stands in the text, [`reload`] what changes while it
//! runs); [`host`] has the volumes and [`hosted`] is one of them; [`control`] does what the control interface asks ([`answers`], [`counts`],
//! [`metrics`], [`health`], [`delete`]); [`events`] says what happens, [`notify`] tells the service manager, `inhibit` works with logind and `session_end` with Windows to hold up a shutdown while there is a `risk`, [`wake`] notices another network; [`ask`] is how commands reach all this.

mod answers;
pub(crate) mod ask;
mod config;
mod control;
mod counts;
mod delete;
mod document;
mod events;
mod health;
mod host;
mod hosted;
#[cfg(target_os = "linux")]
mod inhibit;
mod keys;
mod manual;
mod metrics;
mod notify;
mod regain;
mod reload;
#[cfg(any(target_os = "linux", windows))]
mod risk;
#[cfg(windows)]
mod session_end;
mod wake;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proxyfs_control::backend::Control;
use proxyfs_control::local::remove;
use proxyfs_control::secret::Secret;
use proxyfs_control::server::tcp::{Reach, TcpPlace, tls_config};
use proxyfs_control::server::{Access, Listener, Server};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub(crate) use events::unix_now;
pub(crate) use manual::help;

use crate::cli::Serve;
use crate::failure::{Failure, Outcome};
use crate::logging::{self, Wish};
use crate::output::Style;
use crate::paths::Paths;
use crate::sys::{self, Signals, Told, make_private_dir};
use config::{Config, Listen};
use control::Desk;
use host::Host;

/// How long a first try of each volume may hold up "ready".
const FIRST_PATIENCE: Duration = Duration::from_secs(30);
/// How long control requests may take to get their answer at the end.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);
/// What the end may take beyond the store's time: unmounting, and the last flush to the local disk.
const STOP_MARGIN: Duration = Duration::from_secs(30);
/// Shortest bearer token.
const TOKEN_CHARS_MIN: usize = 16;

/// What the configuration wishes of the log; nothing if it cannot be read, which [`run`] then says.
pub(crate) fn log_wish(args: &Serve) -> Wish {
    let file = args.config.clone().or_else(|| Some(Paths::from_env().ok()?.config_file()));
    let config = file.and_then(|file| config::load_if_there(&file).ok());
    config.map(|config| config.log).unwrap_or_default()
}

/// Hosts the configured volumes until it is told to stop; or only checks the configuration.
pub(crate) async fn run(paths: &Paths, style: Style, args: &Serve) -> Outcome {
    let file = args.config.clone().unwrap_or_else(|| paths.config_file());
    let file = absolute(&file)?;
    let config = if args.config.is_some() { config::load(&file)? } else { config::load_if_there(&file)? };
    if args.check {
        return checked(style, &file, &config);
    }
    let _one = lock(paths)?;
    let host = Host::new(paths.clone(), file, config.clone(), logging::kept());
    host.adopt(&config)?;
    let mut signals = Signals::listen().map_err(|e| Failure::io("listen for", "signals", &e))?;
    let desk: Arc<dyn Control> = Arc::new(Desk(Arc::clone(&host)));
    let socket = config.daemon.socket.clone().unwrap_or_else(|| paths.socket().to_owned());
    let mut servers = vec![listen_local(&socket, &desk)?];
    let address = match listen_tcp(&config.listen, &desk).await? {
        Some((server, address)) => {
            servers.push(server);
            Some(address)
        }
        None => None,
    };
    let background = start_background(&host);
    host.mount_all();
    let early = tokio::select! {
        () = host.tried_all(FIRST_PATIENCE) => None,
        stop = signals.next() => Some(stop),
    };
    let mut stop = early.is_some_and(|s| s == Told::Stop);
    if !stop {
        let facts = facts(&host, &socket, address.as_deref());
        style.show(&facts, || welcome(&facts));
        notify::ready(&summary(&host));
    }
    while !stop {
        match signals.next().await {
            Told::Stop => stop = true,
            Told::Reload => reload(&host).await,
        }
    }
    let ended = end(&host, &mut signals).await;
    for server in servers {
        server.drain(DRAIN_PATIENCE).await;
    }
    background.iter().for_each(JoinHandle::abort);
    #[cfg(windows)]
    session_end::stopped();
    if let Err(e) = remove(&socket) {
        tracing::debug!("the control socket stays: {e}");
    }
    ended
}

/// Says that the configuration is right.
fn checked(style: Style, file: &Path, config: &Config) -> Outcome {
    let names: Vec<&String> = config.volumes.keys().collect();
    let there = file.exists();
    style.show(&json!({ "config": there.then_some(file), "valid": true, "volumes": names }), || {
        if there {
            format!("{} is right: {} volumes.", file.display(), names.len())
        } else {
            format!("There is no {}; the defaults hold.", file.display())
        }
    });
    Ok(())
}

fn absolute(file: &Path) -> Outcome<PathBuf> {
    std::path::absolute(file).map_err(|e| Failure::io("find", &file.display().to_string(), &e))
}

/// Makes sure that this is the only daemon on these state directories; the lock ends with the file.
fn lock(paths: &Paths) -> Outcome<File> {
    let path = paths.states().join("daemon.lock");
    let open = || {
        make_private_dir(paths.states())?;
        sys::private(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(&path)
    };
    let file = open().map_err(|e| Failure::io("open", &path.display().to_string(), &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            let why = "another daemon serves these volumes already";
            Err(Failure::new("start", "the daemon", why, "use that one: proxyfs status; or stop it first"))
        }
        Err(fs::TryLockError::Error(e)) => Err(Failure::io("lock", &path.display().to_string(), &e)),
    }
}

fn listen_local(socket: &Path, desk: &Arc<dyn Control>) -> Outcome<Server> {
    let failed = |e: io::Error| Failure::io("listen on", &socket.display().to_string(), &e);
    if let Some(dir) = socket.parent()
        && !dir.exists()
    {
        make_private_dir(dir).map_err(failed)?;
    }
    let listener = Listener::local(socket).map_err(failed)?;
    Server::start(listener, Arc::clone(desk), Access::default()).map_err(failed)
}

/// Listens on TCP, if that is configured; gives the URL too.
async fn listen_tcp(listen: &Listen, desk: &Arc<dyn Control>) -> Outcome<Option<(Server, String)>> {
    let (Some(address), Some(token_file)) = (listen.address, &listen.token_file) else { return Ok(None) };
    let failed = |e: io::Error| Failure::io("listen on", &address.to_string(), &e);
    let token = token(token_file)?;
    let tls = match (&listen.certificate, &listen.key) {
        (Some(certificate), Some(key)) => {
            let read = |path: &Path| fs::read(path).map_err(|e| Failure::io("read", &path.display().to_string(), &e));
            let (certificate, key) = (read(certificate)?, Zeroizing::new(read(key)?));
            Some(tls_config(&certificate, &key).map_err(failed)?)
        }
        _ => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let reach = if listen.network { Reach::Network } else { Reach::Loopback };
    let place = TcpPlace::bind(address, reach, tls).await.map_err(failed)?;
    let url = format!("{scheme}://{}", place.addr().map_err(failed)?);
    let access = Access { token: Some(token), origins: listen.origins.clone(), ..Access::default() };
    let server = Server::start(Listener::Tcp(place), Arc::clone(desk), access).map_err(failed)?;
    Ok(Some((server, url)))
}

/// The bearer token, from a file that nobody else can read.
fn token(file: &Path) -> Outcome<Secret> {
    let subject = format!("the token file {}", file.display());
    let failed = |e: io::Error| Failure::io("read", &subject, &e);
    if let Some(advice) = sys::advice_if_shared(file, &fs::metadata(file).map_err(failed)?) {
        return Err(Failure::new("use", subject, "others can read it", advice));
    }
    let text = Zeroizing::new(fs::read_to_string(file).map_err(failed)?);
    let token = text.trim();
    if token.chars().count() < TOKEN_CHARS_MIN {
        let why = format!("it holds fewer than {TOKEN_CHARS_MIN} characters");
        return Err(Failure::new("use", subject, why, "write a long random text into it"));
    }
    Ok(Secret::new(token.to_owned()))
}

fn start_background(host: &Arc<Host>) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![
        tokio::spawn(events::look(Arc::clone(host))),
        #[cfg(target_os = "linux")]
        tokio::spawn(inhibit::run(Arc::clone(host))),
        #[cfg(windows)]
        tokio::spawn(session_end::run(Arc::clone(host))),
        tokio::spawn(wake::run(Arc::clone(host))),
        tokio::spawn(events::tell_log(Arc::clone(&host.logs), Arc::clone(&host.events))),
    ];
    if let Some(interval) = notify::watchdog() {
        let host = Arc::clone(host);
        tasks.push(tokio::spawn(async move {
            let mut beat = tokio::time::interval(interval);
            loop {
                beat.tick().await;
                // What is stuck gives no sign of life, and is started anew.
                let health = health::look(&host).await;
                if health.alive {
                    notify::alive();
                    continue;
                }
                for stuck in health.stuck {
                    tracing::error!(volume = stuck.volume, "stuck, so no sign of life: {}", stuck.why);
                }
            }
        }));
    }
    tasks
}

async fn reload(host: &Arc<Host>) {
    match host.reload().await {
        Ok(done) => {
            let refused: Vec<String> = done.refused.iter().map(|r| format!("{}: {}", r.what, r.why)).collect();
            tracing::info!(applied = ?done.applied, needs_remount = ?done.needs_remount, ?refused, "configuration read anew");
        }
        Err(failure) => {
            tracing::error!("{failure}");
            notify::ready("the configuration has a mistake; the old one stays in force");
        }
    }
}

/// Stops everything; a second signal ends it at once.
async fn end(host: &Arc<Host>, signals: &mut Signals) -> Outcome {
    let patience = host.config().daemon.stop_timeout;
    notify::stopping("unmounting and uploading what is left", patience.saturating_add(STOP_MARGIN));
    tracing::info!("stopping: unmounting and uploading what is left");
    let ends = tokio::select! {
        ends = host.stop(patience) => ends,
        () = stop_again(signals) => {
            let why = "stopped before everything was in the store; what is missing is staged on this computer";
            return Err(Failure::new("finish", "the daemon", why, "start it again: what waits goes up then"));
        }
    };
    let mut failed = None;
    for (name, ended) in ends {
        match ended {
            Ok(Some(ended)) => tracing::info!(volume = name, "{}", ended.text()),
            Ok(None) => {}
            Err(failure) => {
                tracing::error!(volume = name, "{failure}");
                failed = Some(failure);
            }
        }
    }
    notify::status("stopped");
    failed.map_or(Ok(()), Err)
}

/// What the daemon says of itself once it serves.
fn facts(host: &Host, socket: &Path, url: Option<&str>) -> Value {
    let volumes: Vec<_> = host.all().iter().map(|hosted| answers::summary(hosted)).collect();
    json!({
        "pid": std::process::id(),
        "config": host.config_file,
        "socket": socket,
        "url": url,
        "volumes": volumes,
    })
}

fn welcome(facts: &Value) -> String {
    let mut rows = vec![["VOLUME", "STATE", "MOUNTED ON"].map(str::to_owned).to_vec()];
    for volume in facts["volumes"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        rows.push(vec![text(&volume["name"]), text(&volume["state"]), text(&volume["mount_points"][0])]);
    }
    format!(
        "{}\n\nServing; commands reach it at {}.",
        crate::output::table(&rows),
        facts["socket"].as_str().unwrap_or("")
    )
}

/// A line for the service manager.
fn summary(host: &Host) -> String {
    let all = host.all();
    let mounted = all.iter().filter(|hosted| hosted.live().is_some()).count();
    let wanted = all.iter().filter(|hosted| hosted.wanted().mount.is_some()).count();
    format!("{mounted} volumes mounted, {wanted} wanted")
}

/// Waits for another request to stop.
async fn stop_again(signals: &mut Signals) {
    while signals.next().await != Told::Stop {}
}
