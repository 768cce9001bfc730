//! Serves a daemon without an engine, for trying clients and for testing the interface from outside.
//!
//! `fake_daemon unix PATH` or `fake_daemon tcp TOKEN`; prints where it listens and serves until its input ends.

use std::io::{self, Read};
use std::sync::Arc;

use proxyfs_control::secret::Secret;
use proxyfs_control::server::tcp::{Reach, TcpPlace};
use proxyfs_control::server::{Access, Bounds, Listener, Server};
use proxyfs_control::testing::Fake;

/// More than a daemon's default: a tester may leave many behind.
const SUBSCRIBERS: usize = 4096;
const CONNECTIONS: usize = 512;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the address is this program's output")]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let bounds = Bounds { subscribers: SUBSCRIBERS, connections: CONNECTIONS, ..Bounds::default() };
    let access = Access { bounds, ..Access::default() };
    let (listener, access) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["unix", path] => {
            println!("{path}");
            (Listener::local(path.as_ref())?, access)
        }
        ["tcp", token] => {
            let place = TcpPlace::bind(([127, 0, 0, 1], 0).into(), Reach::Loopback, None).await?;
            println!("http://{}", place.addr()?);
            (Listener::Tcp(place), Access { token: Some(Secret::new(token.to_owned())), ..access })
        }
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "usage: fake_daemon unix PATH | tcp TOKEN")),
    };
    let _server = Server::start(listener, Arc::new(Fake::new()), access)?;
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
