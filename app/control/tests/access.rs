//! Who may ask: users of the socket, tokens, origins; and how much anyone may take up.

#![allow(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod common;

use std::time::Duration;

use common::{Daemon, TOKEN, ask_tcp, tcp, with_token};
use proxyfs_control::openapi::openapi;
use proxyfs_control::server::tcp::{Reach, TcpPlace, tls_config};
use proxyfs_control::server::{Access, Bounds};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// For what must happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// For what must not happen.
const MOMENT: Duration = Duration::from_millis(300);

/// All methods and paths of the document, with names filled in.
fn operations() -> Vec<(String, String)> {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            found.push((method.to_uppercase(), path.replace("{name}", "photos").replace("{id}", "1")));
        }
    }
    found
}

/// Unknown paths and methods are guarded as known ones are.
fn everything() -> Vec<(String, String)> {
    let mut all = operations();
    for method in ["GET", "POST", "OPTIONS", "HEAD", "TRACE"] {
        all.push((method.into(), "/no/such/path".into()));
        all.push((method.into(), "/v1/volumes".into()));
    }
    all
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_refused_on_the_socket_whatever_its_rights() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIP: changing users takes root");
        return;
    }
    let daemon = Daemon::start();
    std::fs::set_permissions(&daemon.path, std::fs::Permissions::from_mode(0o666)).unwrap();
    std::fs::set_permissions(daemon.path.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  s.sendall(b'GET /v1/health HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\nprint(len(s.recv(1000)))";
    let ask = |user: u32| {
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(&daemon.path).uid(user).gid(user);
        command
    };
    let Ok(own) = tokio::task::block_in_place(|| ask(0).output()) else {
        eprintln!("SKIP: python3 is missing");
        return;
    };
    assert!(own.status.success() && String::from_utf8_lossy(&own.stdout).trim() != "0", "{own:?}");
    let other = tokio::task::block_in_place(|| ask(NOBODY).output()).unwrap();
    // Closed without an answer: an empty read, or a reset.
    let got = String::from_utf8_lossy(&other.stdout).trim().to_owned();
    let errors = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(got == "0" || errors.contains("BrokenPipe") || errors.contains("ConnectionReset"), "{other:?}");
    assert_eq!(daemon.get("/v1/health").await.status, 200);
}

#[cfg(windows)]
#[tokio::test]
async fn no_other_user_has_a_right_to_the_pipe_nor_anybody_over_the_network() {
    use proxyfs_windows::{identity, pipe};

    let daemon = Daemon::start();
    let connected = daemon.connect().await;
    let (owner, descriptor) = pipe::security(&connected).unwrap();
    let own = identity::own_sid().unwrap();
    assert_eq!(owner, own);
    let sddl = descriptor.to_sddl().unwrap();
    let (refused, allowed) = sddl.split_once("(A;").expect("an access list");
    assert!(refused.ends_with("(D;;FA;;;NU)") || refused.ends_with("(D;;GA;;;NU)"), "{sddl}");
    // The system, administrators and this user; nobody else.
    let who: Vec<&str> =
        allowed.split(')').filter_map(|entry| entry.rsplit(';').next()).filter(|w| !w.is_empty()).collect();
    assert!(who.len() <= 3 && who.contains(&"SY") && who.contains(&"BA"), "{sddl}");
    assert!(who.iter().all(|w| ["SY", "BA", own.as_str(), "LA"].contains(w)), "{sddl}");
}

#[tokio::test]
async fn every_request_over_tcp_needs_the_token() {
    let (_server, addr) = tcp(with_token()).await;
    let wrong = [
        String::new(),
        "Authorization: Bearer\r\n".into(),
        "Authorization: Bearer \r\n".into(),
        format!("Authorization: Bearer {TOKEN}x\r\n"),
        format!("Authorization: Bearer {}\r\n", &TOKEN[1..]),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: {TOKEN}\r\n"),
        format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}\r\n"),
        format!("X-Token: {TOKEN}\r\n"),
    ];
    for (method, path) in everything() {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = ask_tcp(addr, &request).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
    }
    for header in wrong {
        let answer =
            ask_tcp(addr, &format!("GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n")).await;
        assert_eq!((answer.status, answer.kind().as_str()), (401, "unauthorized"), "{header}");
    }
    let right = format!(
        "GET /v1/health?token={TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: bearer {TOKEN}\r\n\r\n"
    );
    assert_eq!(ask_tcp(addr, &right).await.status, 200);
    let in_query = format!("GET /v1/health?token={TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(ask_tcp(addr, &in_query).await.status, 401);
}

#[tokio::test]
async fn a_foreign_origin_is_refused_on_every_route_and_method() {
    let daemon = Daemon::start();
    for (method, path) in everything() {
        for origin in ["https://evil.example", "null", "http://localhost", "x"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: {origin}\r\n\r\n");
            let answer = daemon.ask(&request).await;
            assert_eq!(answer.status, 403, "{method} {path} {origin}");
        }
    }
    // Also one that is named among the right ones, and although the token is right.
    let (_server, addr) = tcp(Access { origins: vec!["http://own".into()], ..with_token() }).await;
    let ask = |origins: &'static str| async move {
        let request = format!(
            "GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n{origins}\r\n"
        );
        ask_tcp(addr, &request).await.status
    };
    assert_eq!(ask("Origin: http://own\r\n").await, 200);
    assert_eq!(ask("Origin: http://own.evil\r\n").await, 403);
    assert_eq!(ask("Origin: http://own\r\nOrigin: http://evil\r\n").await, 403);
}

#[tokio::test]
async fn tcp_takes_a_token_and_beyond_this_machine_also_tls() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let refused = std::io::ErrorKind::InvalidInput;
    assert_eq!(TcpPlace::bind(everywhere, Reach::Loopback, None).await.unwrap_err().kind(), refused);
    assert_eq!(TcpPlace::bind(everywhere, Reach::Network, None).await.unwrap_err().kind(), refused);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = tls_config(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(TcpPlace::bind(everywhere, Reach::Loopback, Some(tls)).await.unwrap_err().kind(), refused);
    let place = TcpPlace::bind("127.0.0.1:0".parse().unwrap(), Reach::Loopback, None).await.unwrap();
    let backend = std::sync::Arc::new(proxyfs_control::testing::Fake::new());
    let listener = proxyfs_control::server::Listener::Tcp(place);
    let started = proxyfs_control::server::Server::start(listener, backend, Access::default());
    assert_eq!(started.unwrap_err().kind(), refused);
    for (chain, key) in [("", ""), ("x", "y"), (made.cert.pem().as_str(), "secret key text")] {
        let error = tls_config(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(!error.to_string().contains("secret key text"), "{error}");
    }
}

#[tokio::test]
async fn a_head_that_dribbles_in_is_cut_off() {
    let daemon = Daemon::bounded(Bounds { head_time: MOMENT, ..Bounds::default() });
    let mut stream = daemon.connect().await;
    stream.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let mut bytes = Vec::new();
    // The end of the stream is the cut; what comes before it, if anything, is no answer to the request.
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it is cut off").is_ok();
    assert!(!String::from_utf8_lossy(&bytes).contains("200 OK"));
    let mut silent = daemon.connect().await;
    timeout(PATIENCE, silent.read_to_end(&mut bytes)).await.expect("it is cut off, too").unwrap();
}

#[tokio::test]
async fn a_body_that_dribbles_in_is_cut_off() {
    let daemon = Daemon::bounded(Bounds { body_time: MOMENT, ..Bounds::default() });
    let request = "POST /v1/volumes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    let answer = timeout(PATIENCE, daemon.ask(request)).await.unwrap();
    assert_eq!((answer.status, answer.kind().as_str()), (408, "timeout"));
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_until_one_ends() {
    let daemon = Daemon::bounded(Bounds { connections: 2, head_time: PATIENCE, ..Bounds::default() });
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = daemon.connect().await;
        stream.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'H');
        held.push(stream);
    }
    let mut third = daemon.connect().await;
    third.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(timeout(MOMENT, third.read_u8()).await.is_err(), "it has to wait");
    held.pop();
    assert_eq!(timeout(PATIENCE, third.read_u8()).await.unwrap().unwrap(), b'H');
}
