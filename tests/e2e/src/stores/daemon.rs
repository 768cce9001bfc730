//! One server process of a store: started, suspended, ended, and the ports and answers of such servers.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::wait_child;

/// How long a server may take to end in order before it is killed.
const END_LIMIT: Duration = Duration::from_secs(30);
/// Longest that a health check may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// As much of a log as an error shows.
const TAIL_BYTES: usize = 2_000;

/// A server process that can be started again with the same arguments.
#[derive(Debug)]
pub(super) struct Daemon {
    program: PathBuf,
    args: Vec<OsString>,
    variables: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// Starts `program`; its output goes to `log`, its working directory is the log's.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn spawn<A: Into<OsString>>(
        program: &Path,
        args: impl IntoIterator<Item = A>,
        variables: &[(&str, &str)],
        log: &Path,
    ) -> Result<Self> {
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let args = args.into_iter().map(Into::into).collect();
        let mut daemon = Self { program: program.to_owned(), args, variables, log: log.to_owned(), child: None };
        daemon.start()?;
        Ok(daemon)
    }

    /// Starts it, again if it was ended before.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(&mut self) -> Result<()> {
        let sink = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.variables.iter().map(|(n, v)| (n, v))).stdin(Stdio::null());
        command.stdout(sink.try_clone()?).stderr(sink);
        if let Some(dir) = self.log.parent() {
            command.current_dir(dir);
        }
        let child = command.spawn().with_context(|| format!("starting {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Asks it to end, and kills it if it does not.
    ///
    /// # Errors
    /// When the OS says no.
    pub(super) fn end(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        // It may have ended by itself; then there is nothing to ask.
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        if wait_child(&mut child, END_LIMIT)?.is_none() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Kills it.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if it is gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it without ending it: it holds its connections and answers nothing.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn suspend(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("the server is not running")?;
        kill_process(Pid::from_child(child), signal).context("signalling the server")
    }

    /// The end of its output.
    pub(super) fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL_BYTES)..]).into_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `N` ports of this machine that nobody uses now, all different.
///
/// # Errors
/// When the OS has none.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until the last is found, so that none comes twice.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The status of the answer to a plain GET; `None` when there is none in time.
pub(super) fn http_status(port: u16, path: &str) -> Option<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT).ok()?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").ok()?;
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).ok()?;
    std::str::from_utf8(&begin).ok()?.strip_prefix("HTTP/1.")?.get(2..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_all_different() {
        let ports: [u16; 8] = free_ports().expect("ports");
        let mut sorted = ports.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), ports.len());
    }

    #[test]
    fn a_server_that_is_asked_to_end_is_gone_and_can_be_started_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("log");
        let mut daemon = Daemon::spawn(Path::new("sleep"), ["600"], &[], &log).expect("a process");
        daemon.suspend().expect("suspend");
        daemon.resume().expect("resume");
        daemon.end().expect("an end");
        assert!(daemon.suspend().is_err(), "it is gone");
        daemon.start().expect("a second start");
        daemon.suspend().expect("it runs");
    }
}
