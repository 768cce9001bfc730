//! The daemon beside a logind on a bus of its own: the lock that holds up a shutdown, and what it does when the computer wakes or the network
//! changes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![allow(missing_docs, reason = "the macro of a D-Bus interface writes methods without docs")]

mod common;
mod daemon;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use common::{World, can_mount};
use daemon::{Daemon, api, eventually};
use proxyfs_control::Client;
use proxyfs_control::types::logs::Level;
use zbus::object_server::SignalEmitter;

/// A bus that allows everything; killed when dropped.
struct Bus {
    child: Child,
    address: String,
}

impl Bus {
    /// `None` if this machine has no dbus-daemon, which is said.
    fn start(world: &World) -> Option<Self> {
        let config = world.path("bus.conf");
        let text = format!(
            "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/><allow send_destination=\"*\"/>\
             <allow receive_sender=\"*\"/></policy></busconfig>",
            world.path("bus").display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.arg(format!("--config-file={}", config.display())).args(["--nofork", "--nopidfile", "--print-address"]);
        let Ok(mut child) = command.stdout(Stdio::piped()).spawn() else {
            eprintln!("SKIPPED: there is no dbus-daemon");
            return None;
        };
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Some(Self { child, address: address.trim().to_owned() })
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Locks that were given out: what was asked, and the end that hears when one is let go.
type Locks = Arc<Mutex<Vec<([String; 4], UnixStream)>>>;

struct Logind(Locks);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Logind {
    #[allow(clippy::needless_pass_by_value, reason = "the shape of a D-Bus method")]
    fn inhibit(&self, what: String, who: String, why: String, mode: String) -> zbus::zvariant::OwnedFd {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        self.0.lock().unwrap().push(([what, who, why, mode], ours));
        OwnedFd::from(theirs).into()
    }

    #[zbus(signal)]
    async fn prepare_for_sleep(emitter: &SignalEmitter<'_>, start: bool) -> zbus::Result<()>;
}

/// Whether the newest lock is held.
fn is_held(locks: &Locks) -> bool {
    let mut locks = locks.lock().unwrap();
    let Some((_, end)) = locks.last_mut() else { return false };
    end.read(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
}

async fn logind(bus: &Bus, locks: &Locks) -> zbus::Connection {
    zbus::connection::Builder::address(bus.address.as_str())
        .unwrap()
        .name("org.freedesktop.login1")
        .unwrap()
        .serve_at("/org/freedesktop/login1", Logind(Arc::clone(locks)))
        .unwrap()
        .build()
        .await
        .unwrap()
}

/// How often the log says something.
async fn said(client: &Client, part: &str) -> usize {
    let logs = client.logs(1000, Level::Info).await.unwrap();
    logs.lines.iter().filter(|line| line.message.contains(part)).count()
}

#[test]
fn a_shutdown_is_held_up_until_the_store_has_what_its_tier_promises() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let Some(bus) = Bus::start(&world) else { return };
    world.dir("a");
    let store = world.url("stores/a");
    world.ok(&["volume", "create", "a", "--store", &store, "--tier", "store"]);
    world.configure_with_options(
        &["a"],
        "",
        |_| "options.max_flush_time = \"1s\"\noptions.checkpoint_interval = \"1s\"\n",
    );
    api(async {
        let locks = Locks::default();
        let logind = logind(&bus, &locks).await;
        let mut command = world.command(&["serve"]);
        let child = command.env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address).stdout(Stdio::null()).spawn().unwrap();
        let mut daemon = Daemon::of(&world, child);
        let client = daemon.client().await;
        eventually(async || client.ready().await.is_ok_and(|r| r.ready)).await;
        client.pause().await.unwrap();
        let file = world.path("a/file");
        tokio::task::spawn_blocking(move || fs::write(file, vec![7; 1 << 20]).unwrap()).await.unwrap();
        eventually(async || is_held(&locks)).await;
        let asked = locks.lock().unwrap().last().unwrap().0.clone();
        assert_eq!(asked, ["shutdown", "ProxyFS", "changes are not safe yet: a", "block"]);
        client.resume().await.unwrap();
        eventually(async || !is_held(&locks)).await;
        let status = client.volume(&daemon::name("a")).await.unwrap();
        assert_eq!(status.status.unwrap().waiting_bytes, 0);

        let manager = logind.object_server().interface::<_, Logind>("/org/freedesktop/login1").await.unwrap();
        Logind::prepare_for_sleep(manager.signal_emitter(), true).await.unwrap();
        Logind::prepare_for_sleep(manager.signal_emitter(), false).await.unwrap();
        eventually(async || said(&client, "the computer woke up").await == 1).await;
        daemon.stop();
    });
}

#[test]
fn without_logind_the_daemon_serves_all_the_same() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.configure(&["a"], "");
    let missing = format!("unix:path={}", world.path("nosuch").display());
    let child =
        world.command(&["serve"]).env("DBUS_SYSTEM_BUS_ADDRESS", missing).stdout(Stdio::null()).spawn().unwrap();
    let mut daemon = Daemon::of(&world, child);
    api(async {
        let client = daemon.client().await;
        eventually(async || client.ready().await.is_ok_and(|r| r.ready)).await;
        eventually(async || said(&client, "no logind").await == 1).await;
    });
    daemon.stop();
}

#[test]
fn a_new_address_has_everything_tried_again() {
    let tools = ["unshare", "nsenter", "ip"];
    let there = |tool: &&str| Command::new(tool).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !can_mount() || !tools.iter().all(there) {
        eprintln!("SKIPPED: it takes {tools:?}");
        return;
    }
    let world = World::new();
    world.configure(&["a"], "");
    // Nothing is where the store should be, and the volume was never open here.
    fs::rename(world.path("stores"), world.path("away")).unwrap();
    let template = world.command(&["serve"]);
    let mut command = Command::new("unshare");
    command.args(["--net", env!("CARGO_BIN_EXE_proxyfs"), "serve"]).stdin(Stdio::null()).stdout(Stdio::null());
    for (key, value) in template.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    let mut daemon = Daemon::of(&world, command.spawn().unwrap());
    api(async {
        let client = daemon.client().await;
        eventually(async || client.problems().await.is_ok_and(|p| !p.problems.is_empty())).await;
        fs::rename(world.path("away"), world.path("stores")).unwrap();
        let namespace = daemon.pid().to_string();
        let up = Command::new("nsenter").args(["-t", &namespace, "-n", "ip", "link", "set", "lo", "up"]).status();
        assert!(up.unwrap().success());
        eventually(async || said(&client, "the network changed").await >= 1).await;
        eventually(async || client.ready().await.is_ok_and(|r| r.ready)).await;
    });
    daemon.stop();
}
