//! The typed client against a daemon: every call, progress, failures, TLS, the end of a process.

#![allow(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Daemon, TOKEN, name, with_token};
use proxyfs_control::Client;
use proxyfs_control::client::CallError;
use proxyfs_control::secret::Secret;
use proxyfs_control::server::tcp::{Reach, TcpPlace, tls_config};
use proxyfs_control::server::{Listener, Server};
use proxyfs_control::testing::Fake;
use proxyfs_control::types::credential::{StoreCredentials, TestCredentials};
use proxyfs_control::types::problem::Kind;
use proxyfs_control::types::queue::EditLimits;
use proxyfs_control::types::volume::{CreateVolume, EditVolume, Mount, TakeOver, TestConnection, Unmount, VolumeState};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn quiet(_: &str) {}

fn kind(error: &CallError) -> Option<Kind> {
    match error {
        CallError::Problem(problem) => Some(problem.kind),
        _ => None,
    }
}

fn new_volume(text: &str) -> CreateVolume {
    serde_json::from_value(serde_json::json!({ "name": text, "store": "s3://b/p", "tier": "store" })).unwrap()
}

#[tokio::test]
async fn a_volume_lives_its_life_through_the_client() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let made = client.create(&new_volume("new"), quiet).await.unwrap();
    assert_eq!((made.summary.state, made.status.is_none()), (VolumeState::Unmounted, true));
    assert_eq!(kind(&client.create(&new_volume("new"), quiet).await.unwrap_err()), Some(Kind::Conflict));
    let place = if cfg!(windows) { "M:" } else { "/m" };
    let mount = Mount { mount_point: Some(place.into()), ..Mount::default() };
    assert_eq!(client.mount(&name("new"), &mount, quiet).await.unwrap().mount_point, place);
    let shown = client.volume(&name("new")).await.unwrap();
    assert_eq!(shown.status.unwrap().tier, "store");
    assert_eq!(kind(&client.forget(&name("new")).await.unwrap_err()), Some(Kind::Conflict));
    client.flush(&name("new"), quiet).await.unwrap();
    assert_eq!(client.checkpoint(&name("new"), quiet).await.unwrap().lsn, 7);
    client.release(&name("new"), quiet).await.unwrap();
    client.take_over(&name("new"), quiet).await.unwrap();
    assert!(client.unmount(&name("new"), Unmount::default(), quiet).await.unwrap().in_store);
    assert_eq!(client.delete_data(&name("new"), quiet).await.unwrap().objects, Some(3));
    assert_eq!(kind(&client.volume(&name("new")).await.unwrap_err()), Some(Kind::NotFound));
    assert_eq!(client.volumes().await.unwrap().volumes.len(), 2);
}

#[tokio::test]
async fn all_other_calls_are_answered() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let photos = name("photos");
    assert_eq!(client.version().await.unwrap().pid, std::process::id());
    assert!(client.ready().await.unwrap().ready);
    assert_eq!(client.openapi().await.unwrap(), serde_json::to_value(proxyfs_control::openapi::openapi()).unwrap());
    let edit = EditVolume { label: Some("L".into()), ..EditVolume::default() };
    assert_eq!(client.edit(&photos, &edit).await.unwrap().applied, ["label"]);
    assert_eq!(client.recent(&photos).await.unwrap().files.len(), 1);
    assert!(!client.queue(&photos).await.unwrap().paused);
    assert_eq!(kind(&client.queue_cancel(&photos, 1).await.unwrap_err()), Some(Kind::Conflict));
    assert!(client.queue_pause(&photos).await.unwrap().paused);
    client.queue_cancel(&photos, 1).await.unwrap();
    assert_eq!(kind(&client.queue_cancel(&photos, 9).await.unwrap_err()), Some(Kind::NotFound));
    client.queue_retry(&photos).await.unwrap();
    assert!(!client.queue_resume(&photos).await.unwrap().paused);
    assert!(client.pause().await.unwrap().paused && !client.resume().await.unwrap().paused);
    let budgets = proxyfs_control::types::cache::EditCaches { memory_budget: Some(5), ..Default::default() };
    assert_eq!(client.edit_caches(&budgets).await.unwrap().memory_budget, 5);
    assert_eq!(client.drop_caches(&Default::default()).await.unwrap(), client.caches().await.unwrap());
    assert_eq!(client.problems().await.unwrap().problems.len(), 1);
    assert_eq!(client.store_requests().await.unwrap().requests[0].count, 3);
    assert_eq!(client.stats().await.unwrap().volumes.len(), 2);
    assert!(client.metrics().await.unwrap().contains("proxyfs_up 1"));
    client.reload().await.unwrap();
    let limits = client.edit_limits(&EditLimits { upload: Some(Some(9)), download: None }).await.unwrap();
    assert_eq!((limits.upload, limits.download), (Some(9), None));
    let lifted = client.edit_limits(&EditLimits { upload: Some(None), download: Some(Some(1)) }).await.unwrap();
    assert_eq!((lifted.upload, lifted.download), (None, Some(1)));
}

#[tokio::test]
async fn credentials_reach_the_daemon_whole_and_come_back_as_a_hint() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let swift = StoreCredentials::Swift {
        user: "somebody-long".into(),
        key: Secret::new("hunter2".into()),
        project: None,
        domain: None,
    };
    let set = client.set_credential(&name("sw"), &swift).await.unwrap();
    assert_eq!((set.kind.as_str(), set.key_id_end.as_str()), ("swift", "long"));
    assert_eq!(client.credential(&name("sw")).await.unwrap(), set);
    assert_eq!(client.credentials().await.unwrap().len(), 2);
    let test = TestCredentials { store: "s3://refuse".parse().unwrap() };
    assert!(!client.test_credential(&name("sw"), &test).await.unwrap().ok);
    let test = TestConnection { store: "s3://b".parse().unwrap(), credentials: None, with: Some(swift) };
    assert!(client.test_connection(&test).await.unwrap().ok);
    client.delete_credential(&name("sw")).await.unwrap();
    assert_eq!(kind(&client.delete_credential(&name("sw")).await.unwrap_err()), Some(Kind::NotFound));
    // A body for confirmation is built by the client; its type is for servers.
    assert!(serde_json::from_str::<TakeOver>("{}").is_err());
}

#[tokio::test]
async fn progress_comes_before_the_end_of_the_work() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.create(&new_volume("fast"), quiet).await.unwrap();
    let fake = Arc::clone(&daemon.fake);
    let mut lines = Vec::new();
    // The work ends only once its progress has been seen.
    let slow = new_volume("slow");
    let made = client.create(&slow, |line| {
        lines.push(line.to_owned());
        fake.let_go();
    });
    timeout(PATIENCE, made).await.expect("progress is not held back").unwrap();
    assert_eq!(lines, ["half of it is done"]);
    let failed = client.create(&new_volume("fails"), quiet).await.unwrap_err();
    assert_eq!(kind(&failed), Some(Kind::Conflict));
    let panicked = client.create(&new_volume("panics"), quiet).await.unwrap_err();
    assert_eq!(kind(&panicked), Some(Kind::Failed));
}

#[tokio::test]
async fn work_goes_on_when_whoever_asked_has_gone() {
    let daemon = Daemon::start();
    let (sender, began) = tokio::sync::oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let client = daemon.client();
    let asking = tokio::spawn(async move {
        let began = |_: &str| assert!(sender.lock().unwrap().take().is_none_or(|s| s.send(()).is_ok()));
        client.create(&new_volume("slow"), began).await
    });
    began.await.unwrap();
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    daemon.fake.let_go();
    let there = async { while daemon.client().volume(&name("slow")).await.is_err() {} };
    timeout(PATIENCE, there).await.expect("the volume is made all the same");
}

#[tokio::test]
async fn nobody_there_is_told_from_other_failures() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    assert!(matches!(Client::local(&path).version().await, Err(CallError::Nobody(_))));
    #[cfg(unix)]
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    #[cfg(windows)]
    drop(Listener::local(&path).unwrap());
    assert!(matches!(Client::local(&path).version().await, Err(CallError::Nobody(_))));
}

#[tokio::test]
async fn a_socket_with_a_long_path_works_too() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let path = deep.join("control.sock");
    let _server = common::serve(&path, Arc::new(Fake::new()), proxyfs_control::server::Bounds::default());
    assert_eq!(Client::local(&path).version().await.unwrap().pid, std::process::id());
}

#[tokio::test]
async fn a_draining_server_answers_what_it_has_begun_and_accepts_no_more() {
    let mut daemon = Daemon::start();
    let (sender, began) = tokio::sync::oneshot::channel();
    let (client, mut sender) = (daemon.client(), Some(sender));
    let asking = tokio::spawn(async move {
        client.create(&new_volume("slow"), |_| assert!(sender.take().is_none_or(|s| s.send(()).is_ok()))).await
    });
    began.await.unwrap();
    let mut events = daemon.client().events(None);
    events.connect().await.unwrap();
    let draining = tokio::spawn(daemon.server.take().unwrap().drain(PATIENCE));
    let refused = async { while daemon.client().version().await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("new connections are refused");
    assert!(!draining.is_finished(), "a request is under way");
    daemon.fake.let_go();
    asking.await.unwrap().unwrap();
    timeout(PATIENCE, draining).await.expect("followers of events are not waited for").unwrap();
}

/// Not on Windows: there, pipes of a runtime that is shut down stay open until their process itself has ended.
#[cfg(unix)]
#[tokio::test]
async fn an_unmount_that_ends_the_process_returns_when_the_connection_does() {
    const MOMENT: Duration = Duration::from_millis(300);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let process = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let entered = process.enter();
    let server = common::serve(&path, Arc::new(Fake::new()), proxyfs_control::server::Bounds::default());
    drop(entered);
    let client = Client::local(&path);
    let alone = serde_json::from_str(r#"{"options":{"stand_alone":"1"}}"#).unwrap();
    client.edit(&name("photos"), &alone).await.unwrap();
    let lines = std::cell::Cell::new(0);
    let photos = name("photos");
    let unmounting = client.unmount(&photos, Unmount::default(), |_| lines.set(lines.get() + 1));
    tokio::pin!(unmounting);
    assert!(timeout(MOMENT, &mut unmounting).await.is_err(), "the process has not ended");
    server.drain(PATIENCE).await;
    assert!(timeout(MOMENT, &mut unmounting).await.is_err(), "drained is not ended");
    process.shutdown_background();
    let ended = timeout(PATIENCE, unmounting).await.expect("the process has ended").unwrap();
    assert!(ended.process_ends && lines.get() == 1);
}

#[tokio::test]
async fn tls_with_the_right_root_and_token_works_and_with_others_does_not() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = tls_config(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    let place = TcpPlace::bind("127.0.0.1:0".parse().unwrap(), Reach::Loopback, Some(tls)).await.unwrap();
    let port = place.addr().unwrap().port();
    let _server = Server::start(Listener::Tcp(place), Arc::new(Fake::new()), with_token()).unwrap();
    let ask = |url: String, token: &'static str, root: String| async move {
        Client::tcp(&url, Secret::new(token.into()), root.as_bytes()).unwrap().version().await
    };
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}");
        ask(url.clone(), TOKEN, made.cert.pem()).await.unwrap();
        let refused = ask(url.clone(), "wrong", made.cert.pem()).await.unwrap_err();
        assert_eq!(kind(&refused), Some(Kind::Unauthorized));
        assert!(matches!(ask(url, TOKEN, other.cert.pem()).await, Err(CallError::Broken(_))));
    }
    assert!(matches!(ask(format!("http://127.0.0.1:{port}"), TOKEN, String::new()).await, Err(CallError::Broken(_))));
    for url in ["https://h", "ftp://h:1", "h:1", "https://u@h:1", "https://h:1/path"] {
        assert!(Client::tcp(url, Secret::new(TOKEN.into()), b"").is_err(), "{url}");
    }
    let client = Client::tcp(&format!("https://localhost:{port}"), Secret::new(TOKEN.into()), b"").unwrap();
    assert!(!format!("{client:?}").contains(TOKEN));
}
