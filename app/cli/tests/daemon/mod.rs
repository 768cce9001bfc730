//! Runs `proxyfs serve` in a world of its own, and asks it.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use proxyfs_control::Client;
use proxyfs_control::types::names::Name;
use proxyfs_control::types::volume::CreateVolume;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{Serving, World};

/// Longest that anything may take on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    pub(crate) fn config_file(&self) -> PathBuf {
        self.path("config/proxyfs/proxyfs.toml")
    }

    pub(crate) fn write_config(&self, text: &str) -> PathBuf {
        let file = self.config_file();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    /// Creates volumes that do not exist yet, each with a directory to mount it on.
    pub(crate) fn create(&self, volumes: &[&str]) {
        for volume in volumes {
            self.dir(volume);
            if !self.path("stores").join(volume).exists() {
                self.ok(&["volume", "create", volume, "--store", &self.url(&format!("stores/{volume}"))]);
            }
        }
    }

    /// Configures volumes on one store, and creates those that do not exist yet.
    pub(crate) fn configure(&self, volumes: &[&str], more: &str) -> PathBuf {
        self.configure_with_options(volumes, more, |_| "")
    }

    pub(crate) fn configure_with_options(
        &self,
        volumes: &[&str],
        more: &str,
        options: impl Fn(&str) -> &'static str,
    ) -> PathBuf {
        self.create(volumes);
        let mut text = format!("{more}\n[stores.local]\nurl = \"{}\"\n", self.url("stores"));
        for volume in volumes {
            let place = self.path(volume);
            let options = options(volume);
            text += &format!("[volumes.{volume}]\n{options}store = \"local\"\nmount_point = \"{}\"\n", place.display());
        }
        self.write_config(&text)
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    serving: Serving,
    socket: PathBuf,
}

impl Daemon {
    /// Returns once every volume was tried.
    pub(crate) fn start(world: &World) -> Self {
        Self { serving: world.serve(&["serve"]), socket: world.path("state/proxyfs/daemon.sock") }
    }

    /// Returns at once.
    pub(crate) fn start_without_waiting(world: &World) -> Self {
        let child = world.command(&["serve"]).stdout(Stdio::null()).spawn().unwrap();
        Self::of(world, child)
    }

    /// One that was started by hand.
    pub(crate) fn of(world: &World, child: Child) -> Self {
        let socket = world.path("state/proxyfs/daemon.sock");
        Self { serving: Serving { child, ready: json!(null) }, socket }
    }

    /// What it said of itself once it served.
    pub(crate) fn ready(&self) -> &Value {
        &self.serving.ready
    }

    pub(crate) fn pid(&self) -> u32 {
        self.serving.pid()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.serving.signal(signal);
    }

    pub(crate) fn ends(&mut self) -> i32 {
        self.serving.ends()
    }

    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.ends(), 0);
    }

    pub(crate) fn kill(self) {
        self.serving.kill();
    }

    /// A client of it, once it answers.
    pub(crate) async fn client(&self) -> Client {
        let client = Client::local(&self.socket);
        eventually(async || client.version().await.is_ok()).await;
        client
    }
}

/// Runs requests.
pub(crate) fn api<T>(requests: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(requests)
}

/// Waits until something is so.
pub(crate) async fn eventually(so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so().await {
        assert!(Instant::now() < deadline, "it never came about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A volume beside the others.
pub(crate) fn new_volume(world: &World, volume: &str) -> CreateVolume {
    let store = world.url(&format!("stores/{volume}"));
    serde_json::from_value(json!({ "name": volume, "store": store })).unwrap()
}
