//! Requests as bytes: what is wrong with one is said in one way, and never by a server error.

#![allow(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod common;

use common::Daemon;
use proxyfs_control::openapi::openapi;

#[tokio::test]
async fn every_answer_is_json_and_says_how_it_may_be_used() {
    let daemon = Daemon::start();
    let answer = daemon.get("/v1/volumes").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
    assert_eq!(answer.json()["volumes"][1]["name"], "photos");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_errors_like_all_others() {
    let daemon = Daemon::start();
    for path in ["/", "/v1", "/v2/volumes", "/v1/volumes/photos/nothing", "/v1/volumes/"] {
        let answer = daemon.get(path).await;
        assert_eq!((answer.status, answer.kind().as_str()), (404, "not_found"), "{path}");
    }
    let answer = daemon.json("PUT", "/v1/volumes", "{}").await;
    assert_eq!((answer.status, answer.kind().as_str()), (405, "method_not_allowed"));
    assert!(answer.head.contains("allow: "), "{}", answer.head);
}

#[tokio::test]
async fn unknown_fields_are_refused_in_every_body_of_the_document() {
    let daemon = Daemon::start();
    let document = serde_json::to_value(openapi()).unwrap();
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["requestBody"].is_null() {
                continue;
            }
            let path = path.replace("{name}", "photos").replace("{id}", "1");
            let answer = daemon.json(&method.to_uppercase(), &path, r#"{"no_such_field": 1}"#).await;
            assert_eq!((answer.status, answer.kind().as_str()), (400, "invalid"), "{method} {path}: {answer:?}");
            tried += 1;
        }
    }
    assert_eq!(tried, 22);
}

#[tokio::test]
async fn malformed_bodies_are_refused_with_the_status_that_fits() {
    let daemon = Daemon::start();
    for body in ["{", "[]", "null", "\"x\"", "{\"name\":1}", "{\"name\":\"a\",\"name\":\"b\"}", "\u{0}", ""] {
        let answer = daemon.json("POST", "/v1/volumes", body).await;
        assert_eq!((answer.status, answer.kind().as_str()), (400, "invalid"), "{body:?}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(daemon.json("POST", "/v1/volumes", &deep).await.status, 400);
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data; boundary=x"]
    {
        let request = format!(
            "POST /v1/volumes/photos/flush HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let answer = daemon.ask(&request).await;
        assert_eq!((answer.status, answer.kind().as_str()), (415, "unsupported_media_type"), "{kind}");
    }
    let untyped = "POST /v1/volumes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(daemon.ask(untyped).await.status, 415);
}

#[tokio::test]
async fn oversized_bodies_are_refused_announced_or_not() {
    let daemon = Daemon::start();
    for path in ["/v1/volumes", "/v1/health", "/no/such/path"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 1048577\r\n\r\n"
        );
        let answer = daemon.ask(&request).await;
        assert_eq!((answer.status, answer.kind().as_str()), (413, "too_large"), "{path}");
    }
    let chunk = "x".repeat(0x10_0001);
    let request = format!(
        "POST /v1/volumes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n{chunk}\r\n0\r\n\r\n"
    );
    let answer = daemon.ask(&request).await;
    assert_eq!((answer.status, answer.kind().as_str()), (413, "too_large"));
    let fits = format!("{{\"confirm\":\"{}\"}}", "x".repeat((1 << 20) - 14));
    assert_eq!(fits.len(), 1 << 20);
    assert_eq!(daemon.json("POST", "/v1/volumes/photos/take-over", &fits).await.status, 409);
}

#[tokio::test]
async fn parameters_in_path_and_query_are_checked() {
    let daemon = Daemon::start();
    for bad in ["..", "%2e%2e", "a%2Fb", "-a", "a%00b", "%ff", "a%20b", &"x".repeat(65)] {
        for path in ["/v1/volumes/NAME", "/v1/volumes/NAME/queue", "/v1/credentials/NAME"] {
            let answer = daemon.get(&path.replace("NAME", bad)).await;
            assert_eq!((answer.status, answer.kind().as_str()), (400, "invalid"), "{path} {bad}");
        }
    }
    for id in ["x", "-1", "1.5", "18446744073709551616"] {
        let answer = daemon.json("POST", &format!("/v1/volumes/photos/queue/{id}/cancel"), "").await;
        assert_eq!((answer.status, answer.kind().as_str()), (400, "invalid"), "{id}");
    }
    for query in ["lines=0", "lines=1001", "lines=x", "lines=", "level=loud", "follow=2", "other=1", "lines=1&lines=2"]
    {
        let answer = daemon.get(&format!("/v1/logs?{query}")).await;
        assert_eq!((answer.status, answer.kind().as_str()), (400, "invalid"), "{query}");
    }
    let answer = daemon.json("DELETE", "/v1/volumes/backup?data=perhaps", "").await;
    assert_eq!((answer.status, answer.kind().as_str()), (400, "invalid"));
    for id in ["x", "-1", ""] {
        let request = format!("GET /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nLast-Event-ID: {id}\r\n\r\n");
        assert_eq!(daemon.ask(&request).await.status, 400, "{id}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_request_do_no_harm() {
    let daemon = Daemon::start();
    for bytes in ["GET\r\n\r\n", "\u{1}\u{2}\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "{\"do\":\"status\"}\n\n"] {
        let answer = daemon.ask(bytes).await;
        assert!(answer.status < 500, "{bytes:?}: {answer:?}");
    }
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(200_000));
    assert_eq!(daemon.ask(&head).await.status, 431);
    assert_eq!(daemon.get("/v1/health").await.status, 200);
}

#[tokio::test]
async fn deletion_of_data_takes_the_volumes_name() {
    let daemon = Daemon::start();
    for body in ["", "{}", r#"{"confirm":null}"#, r#"{"confirm":"photos"}"#] {
        let answer = daemon.json("DELETE", "/v1/volumes/backup?data=true", body).await;
        assert_eq!((answer.status, answer.kind().as_str()), (409, "conflict"), "{body}");
    }
    let answer = daemon.json("DELETE", "/v1/volumes/backup?data=true", r#"{"confirm":"backup"}"#).await;
    assert_eq!((answer.status, answer.json()["objects"].as_u64()), (200, Some(3)));
}

#[tokio::test]
async fn work_that_panics_is_an_error_and_the_daemon_goes_on() {
    let daemon = Daemon::start();
    let body = r#"{"name":"panic","store":"s3://b"}"#;
    let answer = daemon.json("POST", "/v1/volumes", body).await;
    assert_eq!((answer.status, answer.kind().as_str()), (500, "failed"));
    assert_eq!(daemon.get("/v1/health").await.status, 200);
}

#[tokio::test]
async fn a_secret_that_comes_in_never_comes_out() {
    let daemon = Daemon::start();
    let body = r#"{"kind":"s3","access_key_id":"AKIAEXAMPLE1","secret_access_key":"hunter2"}"#;
    let set = daemon.json("PUT", "/v1/credentials/new", body).await;
    assert_eq!(set.status, 200, "{set:?}");
    let shown = daemon.get("/v1/credentials/new").await;
    assert_eq!(shown.json()["key_id_end"], "PLE1");
    let list = daemon.get("/v1/credentials").await;
    let wrong = daemon.json("PUT", "/v1/credentials/new", r#"{"kind":"s3","secret_access_key":"hunter2"}"#).await;
    let kind = daemon.json("PUT", "/v1/credentials/new", r#"{"kind":"hunter3","access_key_id":"a"}"#).await;
    assert_eq!((wrong.status, kind.status), (400, 400));
    for answer in [set, shown, list, wrong] {
        assert!(!answer.body.contains("hunter2") && !answer.body.contains("AKIAEXAMPLE1"), "{answer:?}");
    }
    let logs = daemon.get("/v1/logs").await;
    assert!(logs.body.contains("token=***") && !logs.body.contains("never-shown"), "{logs:?}");
}

#[tokio::test]
async fn readiness_is_a_status_and_says_what_is_missing() {
    let daemon = Daemon::start();
    assert_eq!(daemon.get("/v1/ready").await.status, 200);
    let edit = daemon.json("PATCH", "/v1/volumes/photos", r#"{"options":{"never_ready":"1"}}"#).await;
    assert_eq!(edit.json()["needs_remount"][0], "never_ready");
    let answer = daemon.get("/v1/ready").await;
    assert_eq!((answer.status, answer.json()["waiting"][0]["volume"].as_str()), (503, Some("photos")));
    assert!(!daemon.client().ready().await.unwrap().ready);
}

#[tokio::test]
async fn health_is_a_status_and_says_what_is_stuck() {
    let daemon = Daemon::start();
    assert_eq!(daemon.get("/v1/health").await.status, 200);
    daemon.json("PATCH", "/v1/volumes/photos", r#"{"options":{"stuck":"1"}}"#).await;
    let answer = daemon.get("/v1/health").await;
    assert_eq!((answer.status, answer.json()["stuck"][0]["volume"].as_str()), (503, Some("photos")));
    assert!(!daemon.client().health().await.unwrap().alive);
}
