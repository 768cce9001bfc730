//! The S3 server of the harness as a program: `s3server DIR [ADDRESS]`, driven over standard input by one-word requests.
//!
//! It first prints `ENDPOINT ACCESS_KEY SECRET_KEY`. Then each line gets one line in answer: `bucket NAME` makes a bucket; `traffic`
//! prints the requests seen by kind and the bytes of puts and gets; `rate N` lets N bytes a second pass in each direction (0: no limit); `stop` cuts all connections and `start` listens again on the same port. It ends with its input.
#![allow(clippy::print_stdout, reason = "standard output is the answer")]

use std::io::{self, BufRead, Write};
use std::net::Ipv4Addr;

use proxyfs_harness::s3server::S3Server;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let dir = std::env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: s3server DIR [ADDRESS]"))?;
    let address =
        std::env::args().nth(2).map_or(Ok(Ipv4Addr::LOCALHOST), |text| text.parse().map_err(io::Error::other))?;
    let mut server = S3Server::start_on(address, dir).await?;
    answer(&format!("{} {} {}", server.endpoint(), server.access_key, server.secret_key))?;
    // The server has threads of its own, so this one may block.
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("bucket", name) => server.create_bucket(name).and_then(|()| answer("ok"))?,
            ("traffic", "") => answer(&traffic(&server))?,
            ("rate", n) => match n.parse() {
                Ok(bytes_per_second) => {
                    server.set_rate(bytes_per_second);
                    answer("ok")?;
                }
                Err(_) => answer("not a number")?,
            },
            ("stop", "") => {
                server.stop().await;
                answer("ok")?;
            }
            ("start", "") => {
                server.restart().await?;
                answer("ok")?;
            }
            _ => answer("unknown request")?,
        }
    }
    Ok(())
}

fn traffic(server: &S3Server) -> String {
    let c = server.counts();
    let requests = format!("put={} get={} head={} list={} delete={}", c.put, c.get, c.head, c.list, c.delete);
    format!("{requests} other={} put_bytes={} get_bytes={}", c.other, c.put_bytes, c.get_bytes)
}

fn answer(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
