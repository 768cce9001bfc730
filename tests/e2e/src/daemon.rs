//! The daemon of a home, as our child process.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::home::Home;
use crate::wait::wait_child;

/// Longest that an orderly end may take: everything goes to the store first.
const STOP_LIMIT: Duration = Duration::from_secs(120);

/// A running daemon. Dropped, it is killed; its mounts are the caller's to detach.
#[derive(Debug)]
pub struct Daemon {
    child: Option<Child>,
    log: PathBuf,
}

impl Daemon {
    /// Starts it; on return each volume that is to be mounted has been tried.
    ///
    /// # Errors
    /// When it does not start; the message holds what it printed.
    pub fn start(home: &Home) -> Result<Self> {
        let log = home.dir().join("daemon.log");
        let sink = File::options().create(true).append(true).open(&log)?;
        let mut command = home.command(["serve", "--json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(sink);
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let Some(out) = child.stdout.take() else { bail!("no pipe") };
        let daemon = Self { child: Some(child), log };
        // What it says of itself once it serves ends with this line; it says nothing after that.
        for line in BufReader::new(out).lines() {
            if line? == "}" {
                return Ok(daemon);
            }
        }
        bail!("the daemon ended early\n{}", daemon.log())
    }

    /// What it has printed, over all starts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it, as a crash would, and waits for its end.
    ///
    /// # Errors
    /// When the OS says no.
    pub fn kill(mut self) -> Result<()> {
        self.end()
    }

    /// Tells it to stop, and waits until it has.
    ///
    /// # Errors
    /// When it fails or takes too long.
    pub fn stop(mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        match wait_child(&mut child, STOP_LIMIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the daemon ended with {status}\n{}", self.log()),
            None => {
                self.child = Some(child);
                bail!("the daemon did not end within {STOP_LIMIT:?}\n{}", self.log())
            }
        }
    }

    fn end(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().context("killing the daemon")?;
        child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(e) = self.end() {
            eprintln!("{}: {e:#}", self.log.display());
        }
    }
}
