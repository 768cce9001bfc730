//! The harness's S3 server as a process of its own, so that its threads and memory are not the caller's, and its traffic is counted.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::home::find_built;
use crate::network::{Network, STORE_ADDRESS, in_network};

/// Names the built program.
const PROGRAM_VARIABLE: &str = "PROXYFS_S3SERVER";

/// A running server. Dropped, it is ended; its objects stay.
#[derive(Debug)]
pub struct S3Process {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    endpoint: String,
    /// Access key that it accepts.
    pub access_key: String,
    /// Its secret key.
    pub secret_key: String,
}

/// Requests and bytes that the server has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// PUT of an object.
    pub put: u64,
    /// GET of an object.
    pub get: u64,
    /// HEAD of an object or bucket.
    pub head: u64,
    /// Listings.
    pub list: u64,
    /// Deletes, single and batch.
    pub delete: u64,
    /// Everything else.
    pub other: u64,
    /// Bytes of objects put.
    pub put_bytes: u64,
    /// Bytes of objects got.
    pub get_bytes: u64,
}

impl Traffic {
    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.put + self.get + self.head + self.list + self.delete + self.other
    }

    /// What was added since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            put: self.put - earlier.put,
            get: self.get - earlier.get,
            head: self.head - earlier.head,
            list: self.list - earlier.list,
            delete: self.delete - earlier.delete,
            other: self.other - earlier.other,
            put_bytes: self.put_bytes - earlier.put_bytes,
            get_bytes: self.get_bytes - earlier.get_bytes,
        }
    }

    /// `put=1 get=2 head=3 list=4 delete=5 other=6 put_bytes=7 get_bytes=8`
    fn parse(line: &str) -> Option<Self> {
        let mut traffic = Self::default();
        for word in line.split_whitespace() {
            let (name, count) = word.split_once('=')?;
            let count = count.parse().ok()?;
            match name {
                "put" => traffic.put = count,
                "get" => traffic.get = count,
                "head" => traffic.head = count,
                "list" => traffic.list = count,
                "delete" => traffic.delete = count,
                "other" => traffic.other = count,
                "put_bytes" => traffic.put_bytes = count,
                "get_bytes" => traffic.get_bytes = count,
                _ => return None,
            }
        }
        Some(traffic)
    }
}

impl S3Process {
    /// The program as the environment names it, or as it was built beside the running test; `None` when it is not built.
    #[must_use]
    pub fn find_program() -> Option<PathBuf> {
        find_built(PROGRAM_VARIABLE, "s3server")
    }

    /// Starts the server program with its objects below `dir`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(program: &Path, dir: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg(dir);
        Self::begin(command, dir)
    }

    /// The same on the store's machine of a network of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_in(network: &Network, program: &Path, dir: &Path) -> Result<Self> {
        let mut command = in_network(&network.store(), program);
        command.arg(dir).arg(STORE_ADDRESS);
        Self::begin(command, dir)
    }

    fn begin(mut command: Command, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let (Some(ask), Some(answers)) = (child.stdin.take(), child.stdout.take()) else { bail!("no pipes") };
        let mut answers = BufReader::new(answers);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [endpoint, access_key, secret_key] = words[..] else { bail!("the S3 server said '{}'", line.trim()) };
        Ok(Self {
            endpoint: endpoint.to_owned(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            child,
            ask,
            answers,
        })
    }

    /// Where it listens, such as `http://127.0.0.1:1234`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A store URL for a new bucket and a prefix.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn url(&mut self, bucket: &str, prefix: &str) -> Result<String> {
        self.request(&format!("bucket {bucket}"))?;
        Ok(format!("s3://{bucket}/{prefix}?endpoint={}&region=us-east-1&path_style=true", self.endpoint))
    }

    /// What it has seen so far.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn traffic(&mut self) -> Result<Traffic> {
        let line = self.request("traffic")?;
        Traffic::parse(&line).with_context(|| format!("the S3 server said '{line}'"))
    }

    /// Lets all connections together move at most so many bytes a second in each direction; 0 is no limit.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn set_rate(&mut self, bytes_per_second: u64) -> Result<()> {
        self.request(&format!("rate {bytes_per_second}")).map(drop)
    }

    /// Cuts all connections and stops listening, as a store that is gone.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn stop(&mut self) -> Result<()> {
        self.request("stop").map(drop)
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    /// When the server does not answer, or the port was taken.
    pub fn restart(&mut self) -> Result<()> {
        self.request("start").map(drop)
    }

    fn request(&mut self, request: &str) -> Result<String> {
        writeln!(self.ask, "{request}").context("asking the S3 server")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the S3 server has ended");
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for S3Process {
    fn drop(&mut self) {
        // It may have ended by itself; then both fail and nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_read_from_one_line_and_subtracted() {
        let first =
            Traffic::parse("put=1 get=2 head=0 list=0 delete=0 other=3 put_bytes=9 get_bytes=0").expect("a line");
        let second = Traffic::parse("put=5 get=2 head=0 list=1 delete=0 other=3 put_bytes=50").expect("a line");
        assert_eq!(second.since(&first), Traffic { put: 4, list: 1, put_bytes: 41, ..Traffic::default() });
        assert_eq!(second.requests(), 11);
        assert_eq!(Traffic::parse("hello"), None);
    }
}
