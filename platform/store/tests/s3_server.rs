//! The S3 client against a server that is missing things, refuses, goes away and comes back; and what it asks of the server.

#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

use std::time::Duration;

use bytes::Bytes;
use proxyfs_core::store::{GetRange, ObjectKey, PutMode, StoreErrorKind};
use proxyfs_harness::s3server::{RequestCounts, S3Server};
use proxyfs_store::url::StoreUrl;
use proxyfs_store::{Credentials, StoreOptions, open_counted, open_offline, open_store};
use tempfile::TempDir;

/// A server with one bucket, and options that may use it.
async fn server() -> (S3Server, StoreUrl, StoreOptions, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let server = S3Server::start(dir.path()).await.unwrap();
    server.create_bucket("bucket").unwrap();
    let url = server.url("bucket", "volume").parse().unwrap();
    let credentials = Credentials::new(&server.access_key, server.secret_key.as_str());
    let options = StoreOptions { credentials: Some(credentials), operation_timeout: 20, ..Default::default() };
    (server, url, options, dir)
}

fn body() -> Vec<Bytes> {
    vec![Bytes::from_static(b"content")]
}

#[tokio::test]
async fn a_missing_bucket_is_named_and_made_when_allowed() {
    let (server, _, options, _dir) = server().await;
    let url: StoreUrl = server.url("other", "").parse().unwrap();
    let error = open_store(&url, &options).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NoContainer);
    assert!(error.message.contains("`other`") && error.message.contains("create it"), "{error}");
    let options = StoreOptions { create_containers: true, ..options };
    let store = open_store(&url, &options).await.unwrap();
    store.put(&ObjectKey::home("k"), body(), PutMode::Fresh).await.unwrap();
}

#[tokio::test]
async fn a_wrong_secret_is_denied_without_showing_it() {
    let (_server, url, mut options, _dir) = server().await;
    options.credentials.as_mut().unwrap().secret = "hunter2".into();
    let error = open_store(&url, &options).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied, "{error}");
    assert!(!error.message.contains("hunter2") && error.message.contains("check"), "{error}");
}

#[tokio::test]
async fn each_call_is_one_request_and_opening_offline_is_none() {
    let (server, url, options, _dir) = server().await;
    let opened = open_offline(&url, &options).await.unwrap();
    assert_eq!(server.counts().total(), 0);
    let key = ObjectKey::home("head/1");
    opened.store.put(&key, body(), PutMode::CreateNew).await.unwrap();
    opened.store.get(&key, GetRange::Suffix { len: 3 }).await.unwrap();
    opened.store.len(&key).await.unwrap();
    opened.store.list(0, "head/", None).await.unwrap();
    let keys: Vec<_> = (0..1000).map(|i| ObjectKey::home(format!("data/{i}"))).collect();
    opened.store.delete(&keys).await.unwrap();
    let sent = RequestCounts { put: 1, get: 1, head: 1, list: 1, delete: 1, other: 0, put_bytes: 7, get_bytes: 3 };
    assert_eq!(server.counts(), sent);
    let counts = opened.counters.snapshot();
    assert_eq!((counts.requests(), counts.put.bytes, counts.get.bytes, counts.retries), (5, 7, 3, 0));
}

#[tokio::test]
async fn calls_outlast_a_restart_of_the_server() {
    let (mut server, url, options, _dir) = server().await;
    let opened = open_counted(&url, &options).await.unwrap();
    let key = ObjectKey::home("data/k");
    opened.store.put(&key, body(), PutMode::Fresh).await.unwrap();
    server.stop().await;
    let reading = tokio::spawn({
        let (store, key) = (opened.store.clone(), key.clone());
        async move { store.get(&key, GetRange::Full).await }
    });
    while opened.counters.snapshot().retries == 0 {
        tokio::task::yield_now().await;
    }
    server.restart().await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), "content");
}

#[tokio::test]
async fn a_server_that_stays_away_is_unavailable_at_the_deadline() {
    let (mut server, url, options, _dir) = server().await;
    let options = StoreOptions { operation_timeout: 1, ..options };
    let opened = open_counted(&url, &options).await.unwrap();
    server.stop().await;
    let key = ObjectKey::home("k");
    let call = opened.store.get(&key, GetRange::Full);
    let error = tokio::time::timeout(Duration::from_secs(10), call).await.unwrap().unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(opened.counters.snapshot().retries > 0);
}
