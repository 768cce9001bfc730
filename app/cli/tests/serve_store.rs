//! The daemon on an S3 store that comes and goes, with named credentials that no answer shows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;
mod daemon;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use common::{World, can_mount};
use daemon::{Daemon, api, eventually, name};
use proxyfs_control::client::quietly;
use proxyfs_control::types::event::EventKind;
use proxyfs_control::types::volume::Connection;
use proxyfs_harness::s3server::S3Server;
use tokio::runtime::Runtime;

/// A volume on a server of its own, with credentials in a file.
fn prepare(world: &World, runtime: &Runtime) -> S3Server {
    let server = runtime.block_on(S3Server::start(world.dir("objects"))).unwrap();
    server.create_bucket("bucket").unwrap();
    let lines = format!("{}\n{}\n", server.access_key, server.secret_key);
    let set = world.command(&["credentials", "set", "lab", "--from-stdin", "--in", "file"]);
    assert_eq!(World::feed(set, &lines).code, 0);
    let url = server.url("bucket", "v");
    world.ok(&["volume", "create", "v", "--store", &url, "--credentials", "lab", "-o", "settle=1s"]);
    world.write_config(&format!(
        "[volumes.v]\nstore = \"{url}\"\ncredentials = \"lab\"\nmount_point = \"{}\"\noptions.settle = \"1s\"\n",
        world.dir("v").display()
    ));
    server
}

#[test]
fn a_known_volume_is_mounted_without_its_store_and_catches_up_when_it_is_back() {
    if !can_mount() {
        return;
    }
    let (world, runtime) = (World::new(), Runtime::new().unwrap());
    let mut server = prepare(&world, &runtime);
    let mut daemon = Daemon::start(&world);
    fs::write(world.path("v/before"), "b").unwrap();
    daemon.stop();
    runtime.block_on(server.stop());
    let mut daemon = Daemon::start(&world);
    assert_eq!(fs::read_to_string(world.path("v/before")).unwrap(), "b");
    fs::write(world.path("v/offline"), "o").unwrap();
    runtime.block_on(async {
        let client = daemon.client().await;
        let offline = async || {
            let status = client.volume(&name("v")).await.unwrap().status;
            status.is_some_and(|s| s.connection == Connection::Offline)
        };
        eventually(offline).await;
        eventually(async || client.problems().await.unwrap().problems.len() == 1).await;
        assert!(client.ready().await.unwrap().ready, "it answers from this computer");
        let mut events = client.events(None);
        events.connect().await.unwrap();
        server.restart().await.unwrap();
        client.queue_retry(&name("v")).await.unwrap();
        while events.next().await.unwrap().kind != EventKind::Online {}
        client.flush(&name("v"), quietly).await.unwrap();
        eventually(async || client.problems().await.unwrap().problems.is_empty()).await;
    });
    daemon.stop();
}

#[test]
fn no_answer_and_no_line_of_the_log_shows_a_secret() {
    if !can_mount() {
        return;
    }
    let (world, runtime) = (World::new(), Runtime::new().unwrap());
    let server = prepare(&world, &runtime);
    let mut daemon = Daemon::start(&world);
    api(daemon.client());
    fs::write(world.path("v/file"), "x").unwrap();
    let ask = |path: &str| {
        let mut stream = UnixStream::connect(world.path("state/proxyfs/daemon.sock")).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        answer
    };
    for path in [
        "/v1/version",
        "/v1/ready",
        "/v1/volumes",
        "/v1/volumes/v",
        "/v1/volumes/v/queue",
        "/v1/volumes/v/recent",
        "/v1/caches",
        "/v1/problems",
        "/v1/requests",
        "/v1/metrics",
        "/v1/logs?lines=1000&level=trace",
        "/v1/credentials",
        "/v1/credentials/lab",
    ] {
        let answer = ask(path);
        assert!(!answer.contains(&server.secret_key) && !answer.contains(&server.access_key), "{path}: {answer}");
    }
    daemon.stop();
}
