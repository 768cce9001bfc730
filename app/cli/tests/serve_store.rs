//! The daemon on an S3 store that comes and goes, with named credentials that no answer shows.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;
mod daemon;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{World, can_mount};
use daemon::{Daemon, eventually, name};
use proxyfs_control::client::quietly;
use proxyfs_control::types::cache::DropCaches;
use proxyfs_control::types::event::EventKind;
use proxyfs_control::types::volume::Connection;
use proxyfs_harness::s3server::S3Server;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A secret that no store knows.
const PLANTED: &str = "planted-secret-77c1e0aa";

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

/// Paths of the document that answer to GET, with `names` put in, that are not there for this daemon left out.
fn paths(document: &Value) -> Vec<String> {
    let all = document["paths"].as_object().unwrap().iter();
    let read = all.filter(|(_, methods)| !methods["get"].is_null()).map(|(path, _)| path);
    let named = read.map(|path| path.replace("{name}", if path.contains("credentials") { "lab" } else { "v" }));
    let paths: Vec<String> = named.collect();
    assert!(paths.len() > 12 && paths.iter().all(|path| !path.contains('{')), "{paths:?}");
    paths
}

#[test]
fn no_answer_no_file_and_no_process_shows_a_secret() {
    if !can_mount() {
        return;
    }
    let (world, runtime) = (World::new(), Runtime::new().unwrap());
    let server = prepare(&world, &runtime);
    let log = fs::File::create(world.path("daemon.log")).unwrap();
    let mut command = world.command(&["serve", "--json", "--log", "trace"]);
    command.stderr(log);
    let serving = World::serve_command(command);
    let socket = world.path("state/proxyfs/daemon.sock");
    fs::write(world.path("v/file"), "x").unwrap();
    let hidden = |place: &str, bytes: &[u8]| {
        for secret in [server.secret_key.as_str(), PLANTED] {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret} is in {place}");
        }
    };
    let ask = |method: &str, path: &str, body: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        let body = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        // Streams do not end by themselves.
        stream.set_read_timeout(path.contains("events").then_some(Duration::from_secs(1))).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        assert!(ended.is_ok() || path.contains("events"), "{path}: {ended:?}");
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        hidden(path, answer.as_bytes());
        answer
    };
    let given = json!({ "kind": "s3", "access_key_id": "AKIAEXAMPLE1234", "secret_access_key": PLANTED });
    ask("PUT", "/v1/credentials/other", &given.to_string());
    let tested = json!({ "store": server.url("bucket", "w") }).to_string();
    assert!(ask("POST", "/v1/credentials/lab/test", &tested).contains("\"ok\":true"));
    // The server knows no such key, and the store's own words are passed on.
    assert!(ask("POST", "/v1/credentials/other/test", &tested).contains("\"ok\":false"));
    ask("POST", "/v1/volumes/v/flush", "");
    let document: Value =
        serde_json::from_str(ask("GET", "/v1/openapi.json", "").split_once("\r\n\r\n").unwrap().1).unwrap();
    for path in paths(&document) {
        ask("GET", &path, "");
    }
    assert!(ask("GET", "/v1/logs?lines=1000&level=trace", "").len() > 200, "there are lines");
    for process in fs::read_dir("/proc").unwrap().flatten() {
        // Processes end while they are looked at.
        hidden("arguments", &fs::read(process.path().join("cmdline")).unwrap_or_default());
    }
    hidden("its environment", &fs::read(format!("/proc/{}/environ", serving.pid())).unwrap());
    serving.stop();
    let log = fs::read(world.path("daemon.log")).unwrap();
    assert!(log.windows(5).any(|w| w == b"TRACE" || w == b"DEBUG"), "the log is on");
    hidden("the log", &log);
    let kept = world.path("config/proxyfs/credentials.toml");
    assert!(fs::read_to_string(&kept).unwrap().contains(PLANTED), "the search can find what is there");
    let all = ["config", "state", "home"].map(|dir| world.dir(dir));
    for file in all.iter().flat_map(|dir| common::files(dir)).filter(|file| *file != kept) {
        hidden(&file.display().to_string(), &fs::read(&file).unwrap());
    }
}

#[test]
fn a_slow_store_slows_no_other_volume() {
    if !can_mount() {
        return;
    }
    let (world, runtime) = (World::new(), Runtime::new().unwrap());
    let server = prepare(&world, &runtime);
    let url = server.url("bucket", "v");
    world.dir("v");
    let slow = format!(
        "[volumes.v]\nstore = \"{url}\"\ncredentials = \"lab\"\nmount_point = \"{}\"\n",
        world.path("v").display()
    );
    world.configure(&["fast"], &slow);
    let mut daemon = Daemon::start(&world);
    // Whole seconds for each of many requests.
    server.set_rate(20_000);
    let noise: Vec<u8> = (0..400_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for number in 0..20 {
        fs::write(world.path("v").join(number.to_string()), &noise).unwrap();
    }
    runtime.block_on(async {
        let client = daemon.client().await;
        let slow = client.clone();
        let slow = tokio::spawn(async move { slow.flush(&name("v"), quietly).await });
        eventually(async || client.queue(&name("v")).await.unwrap().waiting_bytes > 7_000_000).await;
        for round in 0..10 {
            fs::write(world.path("fast/file"), &noise[round..]).unwrap();
            client.flush(&name("fast"), quietly).await.unwrap();
            client.drop_caches(&DropCaches::default()).await.unwrap();
            assert_eq!(fs::read(world.path("fast/file")).unwrap(), &noise[round..]);
        }
        assert!(
            !slow.is_finished() && client.queue(&name("v")).await.unwrap().waiting_bytes > 4_000_000,
            "it was not slow"
        );
        server.set_rate(0);
        slow.await.unwrap().unwrap();
    });
    daemon.stop();
}
