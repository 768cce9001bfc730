//! A probe says what is wrong with a store: against a server that checks signatures, and against scripted answers.

#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

use std::time::SystemTime;

use aws_smithy_types::date_time::{DateTime, Format};
use proxyfs_harness::s3server::S3Server;
use proxyfs_store::{Credentials, Finding, ProbeDepth, ProbeReport, StoreOptions, StoreUrl, Trouble, probe};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const EMPTY_LIST: &str = "<?xml version=\"1.0\"?><ListBucketResult><Name>bucket</Name><KeyCount>0</KeyCount>\
                          <MaxKeys>1</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>";

async fn server() -> (S3Server, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let server = S3Server::start(dir.path()).await.unwrap();
    server.create_bucket("bucket").unwrap();
    (server, dir)
}

fn options(id: &str, secret: &str) -> StoreOptions {
    StoreOptions { credentials: Some(Credentials::new(id, secret)), operation_timeout: 10, ..Default::default() }
}

async fn try_out(url: &str, options: &StoreOptions, depth: ProbeDepth) -> ProbeReport {
    let url: StoreUrl = url.parse().unwrap();
    probe(&url, options, depth).await
}

async fn finding(url: &str, options: &StoreOptions) -> Finding {
    let finding = try_out(url, options, ProbeDepth::Read).await.finding.unwrap();
    assert!(!finding.why.contains("hunter2") && !finding.to_do.contains("hunter2"), "{finding:?}");
    finding
}

fn error(status: &str, code: &str, headers: &str) -> String {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
    answer(status, headers, &body)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// A server that answers each request, given by its head, with what `say` returns.
async fn scripted(say: impl Fn(&str) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 1 << 16];
            let n = socket.read(&mut request).await.unwrap_or(0);
            let text = say(&String::from_utf8_lossy(&request[..n]));
            let _ = socket.write_all(text.as_bytes()).await;
        }
    });
    port
}

fn at(port: u16) -> String {
    format!("s3://bucket/p?endpoint=http://127.0.0.1:{port}&region=here")
}

#[tokio::test]
async fn a_good_store_passes_and_is_left_as_it_was() {
    let (server, dir) = server().await;
    let options = options(&server.access_key, &server.secret_key);
    for (depth, actions) in
        [(ProbeDepth::Read, vec!["list", "get"]), (ProbeDepth::Write, vec!["list", "put", "get", "delete"])]
    {
        let report = try_out(&server.url("bucket", "p"), &options, depth).await;
        assert_eq!(report.finding, None);
        assert!(report.checks.iter().all(|c| c.ok));
        assert_eq!(report.checks.iter().map(|c| c.action.as_str()).collect::<Vec<_>>(), actions);
    }
    assert_eq!(server.counts().put, 1);
    let left: Vec<_> = walk(&dir.path().join("bucket"));
    assert!(left.is_empty(), "{left:?}");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { walk(&p) } else { vec![p] }).collect()
}

#[tokio::test]
async fn wrong_keys_secrets_and_buckets_are_told_apart() {
    let (server, _dir) = server().await;
    let (url, good) = (server.url("bucket", "p"), options(&server.access_key, &server.secret_key));
    let wrong = finding(&url, &options(&server.access_key, "hunter2")).await;
    assert_eq!(wrong.trouble, Trouble::WrongSecret, "{wrong:?}");
    assert_eq!(finding(&url, &options("nobody", "hunter2")).await.trouble, Trouble::WrongKeyId);
    let missing = finding(&server.url("other", "p"), &good).await;
    assert_eq!(missing.trouble, Trouble::NoBucket);
    assert!(missing.why.contains("`other`"), "{missing:?}");
}

#[tokio::test]
async fn denied_actions_are_named_with_the_rights_that_are_missing() {
    let port = scripted(|request| {
        if request.starts_with("GET /bucket?") || request.starts_with("GET /bucket/?") {
            answer("200 OK", "", EMPTY_LIST)
        } else {
            error("403 Forbidden", "AccessDenied", "")
        }
    });
    let report = try_out(&at(port.await), &options("id", "hunter2"), ProbeDepth::Write).await;
    let finding = report.finding.unwrap();
    assert_eq!(finding.trouble, Trouble::Denied, "{finding:?}");
    assert!(
        finding.why.contains("put, delete") && finding.to_do.contains("s3:PutObject, s3:DeleteObject"),
        "{finding:?}"
    );
    assert_eq!(report.checks.iter().map(|c| c.ok).collect::<Vec<_>>(), [true, false, false]);
}

#[tokio::test]
async fn a_wrong_clock_is_found_by_the_stores_date() {
    let hour_ahead = DateTime::from_secs(DateTime::from(SystemTime::now()).secs() + 3600);
    let date = format!("Date: {}\r\n", hour_ahead.fmt(Format::HttpDate).unwrap());
    let port = scripted(move |_| error("403 Forbidden", "RequestTimeTooSkewed", &date)).await;
    let found = finding(&at(port), &options("id", "hunter2")).await;
    assert_eq!(found.trouble, Trouble::ClockSkew);
    assert!(found.why.contains("behind") && found.to_do.contains("clock"), "{found:?}");
}

#[tokio::test]
async fn a_bucket_elsewhere_names_its_region() {
    let there = "x-amz-bucket-region: there\r\n";
    for (status, code) in
        [("301 Moved Permanently", "PermanentRedirect"), ("400 Bad Request", "AuthorizationHeaderMalformed")]
    {
        let port = scripted(move |_| error(status, code, there)).await;
        let found = finding(&at(port), &options("id", "hunter2")).await;
        assert_eq!(found.trouble, Trouble::WrongRegion, "{found:?}");
        assert!(found.to_do.contains("region=there"), "{found:?}");
    }
}

#[tokio::test]
async fn a_store_that_wants_the_bucket_in_the_path_is_found_by_trying() {
    let port = scripted(|request| {
        if request.starts_with("GET /bucket") {
            answer("200 OK", "", EMPTY_LIST)
        } else {
            error("404 Not Found", "NoSuchBucket", "")
        }
    })
    .await;
    // A name, as addresses always get the bucket in the path. `bucket.localhost` may resolve here or not; both must be found.
    let url = format!("s3://bucket/p?endpoint=http://localhost:{port}&region=here&path_style=false");
    let found = finding(&url, &options("id", "hunter2")).await;
    assert_eq!(found.trouble, Trouble::PathStyleNeeded, "{found:?}");
    assert!(found.to_do.contains("path_style=true"));
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_told_from_one_without_encryption() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let plain = scripted(|_| error("400 Bad Request", "BadRequest", "")).await;
    for (endpoint, expected) in [
        (format!("http://127.0.0.1:{gone}"), Trouble::Unreachable),
        (format!("https://127.0.0.1:{plain}"), Trouble::Tls),
        ("http://no-such-host.invalid".to_owned(), Trouble::Dns),
    ] {
        let url = format!("s3://bucket/p?endpoint={endpoint}&region=here");
        let found = finding(&url, &options("id", "hunter2")).await;
        assert_eq!(found.trouble, expected, "{endpoint}: {found:?}");
    }
}

#[tokio::test]
async fn a_refused_swift_login_is_a_wrong_key() {
    let port = scripted(|_| answer("401 Unauthorized", "", "")).await;
    let url = format!("swift://c?auth=http://127.0.0.1:{port}/auth/v1.0");
    let found = finding(&url, &options("a:u", "hunter2")).await;
    assert_eq!(found.trouble, Trouble::WrongSecret, "{found:?}");
}
