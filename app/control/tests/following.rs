//! Events and logs: following, resuming, falling behind, and the bound on followers.

#![allow(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Daemon, name, serve};
use proxyfs_control::client::CallError;
use proxyfs_control::local::Connected;
use proxyfs_control::server::Bounds;
use proxyfs_control::types::event::EventKind;
use proxyfs_control::types::problem::Kind;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// Follows by hand; the lines of the answer's body, chunk sizes among them.
async fn follow(daemon: &Daemon, path: &str, header: &str) -> Lines<BufReader<Connected>> {
    let mut stream = daemon.connect().await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    until(&mut lines, |line| line == ": following").await;
    lines
}

async fn until(lines: &mut Lines<BufReader<Connected>>, wanted: impl Fn(&str) -> bool) -> String {
    let found = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the stream goes on");
            if wanted(&line) {
                return line;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("it comes")
}

async fn data(lines: &mut Lines<BufReader<Connected>>) -> Value {
    let line = until(lines, |line| line.starts_with("data: ")).await;
    serde_json::from_str(&line["data: ".len()..]).unwrap()
}

#[tokio::test]
async fn events_arrive_with_id_name_and_data_and_can_be_resumed() {
    let daemon = Daemon::start();
    let mut lines = follow(&daemon, "/v1/events", "").await;
    let first = daemon.fake.tell(EventKind::Offline, Some(&name("photos")));
    assert_eq!(until(&mut lines, |line| line.starts_with("id: ")).await, format!("id: {first}"));
    assert_eq!(until(&mut lines, |line| line.starts_with("event: ")).await, "event: offline");
    let event = data(&mut lines).await;
    assert_eq!((&event["id"], &event["volume"], &event["kind"]), (&json!(first), &json!("photos"), &json!("offline")));
    drop(lines);
    let second = daemon.fake.tell(EventKind::Online, None);
    let mut lines = follow(&daemon, "/v1/events", &format!("Last-Event-ID: {first}\r\n")).await;
    assert_eq!(data(&mut lines).await["id"], second);
}

#[tokio::test]
async fn a_follower_that_does_not_read_is_told_that_it_lost_events() {
    let daemon = Daemon::start();
    let mut lines = follow(&daemon, "/v1/events", "").await;
    // More than the socket's buffers, the connection's and the ring together take.
    let mut last = 0;
    for _ in 0..200 {
        for _ in 0..100 {
            last = daemon.fake.tell(EventKind::QueueProgress, Some(&name("photos")));
        }
        tokio::task::yield_now().await;
    }
    let (mut seen, mut missed) = (0, 0);
    loop {
        let event = data(&mut lines).await;
        match event["kind"].as_str() {
            Some("lost") => missed += event["data"]["missed"].as_u64().unwrap(),
            _ => seen += 1,
        }
        if event["id"] == last {
            break;
        }
    }
    assert!(missed > 0, "nothing was lost: the test sends too little");
    assert_eq!(seen + missed, 20_000);
}

#[tokio::test]
async fn a_client_of_an_earlier_life_is_told_that_events_are_lost() {
    let daemon = Daemon::start();
    daemon.fake.tell(EventKind::Online, None);
    let mut events = daemon.client().events(Some(5));
    assert_eq!(events.next().await.unwrap().kind, EventKind::Lost);
    assert_eq!(events.next().await.unwrap().kind, EventKind::Online);
}

#[tokio::test]
async fn followers_are_bounded_and_one_that_leaves_makes_room() {
    let bounds = Bounds { subscribers: 2, heartbeat: Duration::from_millis(20), ..Bounds::default() };
    let daemon = Daemon::bounded(bounds);
    let first = follow(&daemon, "/v1/events", "").await;
    let _second = follow(&daemon, "/v1/logs?follow=true", "").await;
    let refused = daemon.client().events(None).connect().await.unwrap_err();
    assert!(matches!(&refused, CallError::Problem(p) if p.kind == Kind::TooMany), "{refused:?}");
    assert_eq!(daemon.get("/v1/health").await.status, 200);
    drop(first);
    let room = async { while daemon.client().events(None).connect().await.is_err() {} };
    timeout(PATIENCE, room).await.expect("the server notices that one has left");
}

#[tokio::test]
async fn a_quiet_stream_shows_signs_of_life() {
    let daemon = Daemon::bounded(Bounds { heartbeat: Duration::from_millis(20), ..Bounds::default() });
    let mut lines = follow(&daemon, "/v1/events", "").await;
    until(&mut lines, |line| line == ": alive").await;
}

#[tokio::test]
async fn logs_are_followed_from_the_level_asked_for() {
    use proxyfs_control::Control;
    use proxyfs_control::types::logs::{Level, LogLine};
    let daemon = Daemon::start();
    let mut lines = follow(&daemon, "/v1/logs?follow=true&level=warn", "").await;
    daemon.fake.logs().publish(LogLine::new(1, Level::Info, "t", "not this"));
    daemon.fake.logs().publish(LogLine::new(2, Level::Error, "t", "password=x"));
    let line = data(&mut lines).await;
    assert_eq!((&line["level"], &line["message"]), (&json!("error"), &json!("password=***")));
    assert_eq!(daemon.client().logs(1, Level::Trace).await.unwrap().lines[0].level, Level::Error);
}

#[tokio::test]
async fn the_client_follows_across_a_restart_of_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let fake = Arc::new(proxyfs_control::testing::Fake::new());
    let bounds = Bounds::default();
    let server = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let entered = server.enter();
    let first = serve(&path, Arc::clone(&fake), bounds);
    drop(entered);
    let mut events = proxyfs_control::Client::local(&path).events(None);
    events.connect().await.unwrap();
    fake.tell(EventKind::Offline, None);
    assert_eq!(events.next().await.unwrap().kind, EventKind::Offline);
    // All connections end with the runtime, as they do with a process.
    drop(first);
    server.shutdown_background();
    fake.tell(EventKind::Online, None);
    let _second = serve(&path, fake, bounds);
    let next = timeout(PATIENCE, events.next()).await.expect("it connects again").unwrap();
    assert_eq!(next.kind, EventKind::Online);
}
