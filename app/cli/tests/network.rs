//! The daemon when its network goes, comes back and changes, in a network namespace of the test's own.
//!
//! Each test runs itself again inside the namespace: server, daemon and test share it, and what is done to its addresses reaches nobody else.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;
mod daemon;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{World, can_mount};
use daemon::{Daemon, eventually, name};
use proxyfs_control::Client;
use proxyfs_control::client::quietly;
use proxyfs_control::types::logs::Level;
use proxyfs_control::types::volume::Connection;
use proxyfs_harness::s3server::S3Server;
use tokio::runtime::Runtime;

/// Tells a test that it runs inside.
const INSIDE: &str = "PROXYFS_TEST_INSIDE";
/// An address that comes and goes.
const ADDRESS: &str = "10.99.0.1/32";
/// Failures in a row after which the wait before another attempt has grown to its limit (50 ms doubled up to 5 s).
const RETRIES_MANY: u64 = 9;
/// How soon everything goes on, as the docs promise.
const SOON: Duration = Duration::from_secs(5);
/// The same with as much data and machine in between as a test has, and well below the 25 s that a silent connection costs.
const SOON_UNDER_LOAD: Duration = Duration::from_secs(12);

/// Whether this is the inside; else runs the test there, if that is possible here.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !can_mount() {
        return false;
    }
    let set_up = "ip link set lo up && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", set_up, "sh"]);
    let possible =
        Command::new("unshare").args(["--net", "ip", "link"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: it takes unshare and ip");
        return false;
    }
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(INSIDE, "yes");
    assert!(command.status().unwrap().success(), "it failed inside");
    false
}

/// Gives this network an address, or takes it away.
fn address(verb: &str) {
    let status = Command::new("ip").args(["address", verb, ADDRESS, "dev", "lo"]).status().unwrap();
    assert!(status.success());
}

/// A way to the server that can die without a sign: what was connected stays so, and nothing comes through any more.
struct Way {
    addr: SocketAddr,
    deaths: Arc<AtomicU64>,
    /// Bytes that nobody got.
    swallowed: Arc<AtomicU64>,
}

impl Way {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self { addr: listener.local_addr().unwrap(), deaths: Arc::default(), swallowed: Arc::default() };
        let (deaths, swallowed) = (Arc::clone(&way.deaths), Arc::clone(&way.swallowed));
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(server) else { continue };
                let born = deaths.load(Ordering::SeqCst);
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (deaths, swallowed) = (Arc::clone(&deaths), Arc::clone(&swallowed));
                    thread::spawn(move || relay(from, to, || deaths.load(Ordering::SeqCst) == born, &swallowed));
                }
            }
        });
        way
    }

    /// Lets all that is connected die; what connects from now on lives.
    fn die(&self) {
        self.deaths.fetch_add(1, Ordering::SeqCst);
    }

    fn swallowed(&self) -> u64 {
        self.swallowed.load(Ordering::SeqCst)
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, lives: impl Fn() -> bool, swallowed: &AtomicU64) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(len) = from.read(&mut bytes)
        && len > 0
    {
        if !lives() {
            swallowed.fetch_add(len as u64, Ordering::SeqCst);
        } else if to.write_all(&bytes[..len]).is_err() {
            break;
        }
    }
    if lives() {
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// A volume on a server, mounted by a daemon.
struct Site {
    // Fields end in this order: the daemon before its store.
    daemon: Daemon,
    server: S3Server,
    runtime: Runtime,
    world: World,
}

impl Site {
    /// `way`: what the volume's URL has as its server.
    fn new(way: impl FnOnce(&S3Server) -> String) -> Self {
        let (world, runtime) = (World::new(), Runtime::new().unwrap());
        let server = runtime.block_on(S3Server::start(world.dir("objects"))).unwrap();
        server.create_bucket("bucket").unwrap();
        let lines = format!("{}\n{}\n", server.access_key, server.secret_key);
        let set = world.command(&["credentials", "set", "lab", "--from-stdin", "--in", "file"]);
        assert_eq!(World::feed(set, &lines).code, 0);
        let url = server.url("bucket", "v").replace(&server.endpoint(), &way(&server));
        let place = world.path("v").display().to_string();
        let options = "max_flush_time=1s,checkpoint_interval=1s";
        world.ok(&["volume", "create", "v", "--store", &url, "--credentials", "lab", "--mount", &place, "-o", options]);
        let daemon = Daemon::start(&world);
        Self { daemon, server, runtime, world }
    }

    /// A site whose server is reached by a way that can die.
    fn behind_a_way() -> (Self, Way) {
        let mut way = None;
        let site = Self::new(|server| {
            let addr = server.endpoint().trim_start_matches("http://").parse().unwrap();
            format!("http://{}", way.insert(Way::to(addr)).addr)
        });
        (site, way.unwrap())
    }

    fn write(&self, file: &str) {
        fs::write(self.world.path("v").join(file), vec![7; 300_000]).unwrap();
    }

    /// Writes as many files, which are uploaded over as many connections.
    fn write_many(&self, files: u32, round: u32) {
        (0..files).for_each(|n| self.write(&format!("warm-{round}-{n}")));
    }

    fn stop(mut self) {
        self.daemon.stop();
    }
}

async fn is(client: &Client, connection: Connection) -> bool {
    client.volume(&name("v")).await.unwrap().status.is_some_and(|s| s.connection == connection)
}

/// Attempts beyond the first of each request.
async fn retries(client: &Client) -> u64 {
    let metrics = client.metrics().await.unwrap();
    let line = metrics.lines().find(|l| l.starts_with("proxyfs_store_retries_total{")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Waits until the log says once more that the network changed.
async fn change_is_noticed(client: &Client, change: impl FnOnce()) {
    let noticed = async || {
        let logs = client.logs(1000, Level::Info).await.unwrap();
        logs.lines.iter().filter(|line| line.message.contains("the network changed")).count()
    };
    let before = noticed().await;
    change();
    eventually(async || noticed().await > before).await;
}

#[test]
fn uploads_go_on_within_seconds_once_the_store_is_back_and_the_network_says_so() {
    if !inside("uploads_go_on_within_seconds_once_the_store_is_back_and_the_network_says_so") {
        return;
    }
    let mut site = Site::new(S3Server::endpoint);
    site.write("before");
    site.runtime.block_on(async {
        let client = site.daemon.client().await;
        client.flush(&name("v"), quietly).await.unwrap();
        site.server.stop().await;
        let before = retries(&client).await;
        fs::write(site.world.path("v/offline"), vec![7; 300_000]).unwrap();
        eventually(async || retries(&client).await >= before + RETRIES_MANY).await;
        let waiting = async || client.volume(&name("v")).await.unwrap().status.unwrap().waiting_bytes;
        assert!(waiting().await > 0);

        site.server.restart().await.unwrap();
        let back = Instant::now();
        address("add");
        eventually(async || waiting().await == 0).await;
        eventually(async || is(&client, Connection::Online).await).await;
        eprintln!("uploads went on {:?} after the server was back", back.elapsed());
        assert!(back.elapsed() < SOON, "{:?}", back.elapsed());
        client.flush(&name("v"), quietly).await.unwrap();
    });
    site.stop();
}

#[test]
fn connections_that_died_without_a_sign_hold_up_nothing_once_an_address_changed() {
    if !inside("connections_that_died_without_a_sign_hold_up_nothing_once_an_address_changed") {
        return;
    }
    address("add");
    let (site, way) = Site::behind_a_way();
    site.write_many(4, 0);
    let took = site.runtime.block_on(async {
        let client = site.daemon.client().await;
        client.flush(&name("v"), quietly).await.unwrap();

        // Under way when its address goes.
        way.die();
        site.write_many(4, 1);
        let before = way.swallowed();
        let volume = name("v");
        let flush = client.flush(&volume, quietly);
        let loss = async {
            eventually(async || way.swallowed() > before).await;
            address("delete");
            Instant::now()
        };
        let (flushed, lost) = tokio::join!(flush, loss);
        flushed.unwrap();
        let under_way = lost.elapsed();

        // Idle when another address comes.
        way.die();
        change_is_noticed(&client, || address("add")).await;
        site.write_many(4, 2);
        let begin = Instant::now();
        client.flush(&name("v"), quietly).await.unwrap();
        [under_way, begin.elapsed()]
    });
    eprintln!("went on {:?} after a loss, and {:?} after a change", took[0], took[1]);
    assert!(took.iter().all(|t| *t < SOON_UNDER_LOAD), "{took:?}");
    site.stop();
}

#[test]
fn a_way_that_dies_while_nobody_says_so_costs_one_timeout() {
    if !inside("a_way_that_dies_while_nobody_says_so_costs_one_timeout") {
        return;
    }
    let (site, way) = Site::behind_a_way();
    site.write_many(8, 0);
    let took = site.runtime.block_on(async {
        let client = site.daemon.client().await;
        client.flush(&name("v"), quietly).await.unwrap();
        way.die();
        site.write_many(8, 1);
        let begin = Instant::now();
        client.flush(&name("v"), quietly).await.unwrap();
        begin.elapsed()
    });
    eprintln!("went on {took:?} after a death that nobody noticed");
    // One of 25 s, not one for each connection that was kept.
    assert!(took < Duration::from_secs(45), "{took:?}");
    site.stop();
}
