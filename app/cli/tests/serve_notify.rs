//! The daemon and a service manager that speaks sd_notify: what it is told, and when. And the interface over TCP.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;
mod daemon;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use common::{World, can_mount};
use daemon::{Daemon, api};
use proxyfs_control::Client;
use proxyfs_control::client::CallError;
use proxyfs_control::secret::Secret;
use rustix::process::Signal;

/// Longest wait for a message on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads messages until one holds `part`; gives all that were read.
fn until(manager: &UnixDatagram, part: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut buffer = [0; 4096];
    while !all.last().is_some_and(|m| m.contains(part)) {
        let len = manager.recv(&mut buffer).unwrap_or_else(|e| panic!("no {part} but {all:?}: {e}"));
        all.push(String::from_utf8_lossy(&buffer[..len]).into_owned());
    }
    all
}

#[test]
fn a_service_manager_is_told_of_ready_reloading_life_and_stopping() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.configure(&["a"], "");
    let path = world.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = world.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").stdout(Stdio::null());
    let mut daemon = Daemon::of(&world, command.spawn().unwrap());
    let told = until(&manager, "READY=1");
    assert!(told.last().unwrap().contains("STATUS=1 volumes mounted"), "{told:?}");
    assert_eq!(fs::read_dir(world.path("a")).unwrap().count(), 0);
    assert!(fs::write(world.path("a/x"), "x").is_ok());
    until(&manager, "WATCHDOG=1");
    daemon.signal(Signal::HUP);
    let told = until(&manager, "RELOADING=1");
    assert!(told.last().unwrap().contains("MONOTONIC_USEC="), "{told:?}");
    until(&manager, "READY=1");
    daemon.signal(Signal::TERM);
    let told = until(&manager, "STOPPING=1");
    assert!(told.last().unwrap().contains("EXTEND_TIMEOUT_USEC=90000000"), "{told:?}");
    assert_eq!(daemon.ends(), 0);
}

#[test]
fn over_tcp_only_who_has_the_token_is_answered() {
    let world = World::new();
    let token = world.path("token");
    fs::write(&token, "0123456789abcdef-token\n").unwrap();
    world.write_config(&format!("[listen]\naddress = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n", token.display()));
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    world.run(&["serve"]).fails(1, "others can read it", "chmod 600");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let mut daemon = Daemon::start(&world);
    let url = daemon.ready()["url"].as_str().unwrap().to_owned();
    api(async {
        let with = |token: &str| Client::tcp(&url, Secret::new(token.to_owned()), b"").unwrap();
        assert_eq!(with("0123456789abcdef-token").version().await.unwrap().pid, daemon.pid());
        let refused = with("wrong").version().await.unwrap_err();
        assert!(matches!(refused, CallError::Problem(p) if p.kind == proxyfs_control::Kind::Unauthorized));
    });
    daemon.stop();
}
