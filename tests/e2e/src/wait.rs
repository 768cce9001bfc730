//! Waiting with a limit: for a process to end, for the table of mounts to change, for a condition.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// How often a condition that nothing announces is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until `child` ends or `limit` passes; `None` when it has not ended.
///
/// # Errors
/// When the OS cannot tell.
pub fn wait_child(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let handle = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).context("watching a process")?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        poll_within(&mut [PollFd::new(&handle, PollFlags::IN)], left)?;
    }
}

/// Waits until the table of mounts changes, `child` ends, or `limit` passes.
pub(crate) fn wait_mount_change(table: &File, child: &Child, limit: Duration) -> Result<()> {
    let handle = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).context("watching a process")?;
    poll_within(&mut [PollFd::new(table, PollFlags::PRI), PollFd::new(&handle, PollFlags::IN)], limit)
}

fn poll_within(fds: &mut [PollFd<'_>], limit: Duration) -> Result<()> {
    let limit = Timespec { tv_sec: i64::try_from(limit.as_secs())?, tv_nsec: limit.subsec_nanos().into() };
    match poll(fds, Some(&limit)) {
        // Callers look at the state again in any case.
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e).context("waiting"),
    }
}

/// Looks until `condition` holds or `limit` passes; says whether it held. For what no event announces.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs a command to its end, whatever that is.
///
/// # Errors
/// When it cannot be started, or has not ended within `limit` (then it is killed). The message holds all it printed.
pub fn finish_within(command: &mut Command, limit: Duration) -> Result<Finished> {
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(err.try_clone()?);
    let shown = format!("{command:?}");
    let mut child = command.spawn().with_context(|| format!("starting {shown}"))?;
    let status = wait_child(&mut child, limit)?;
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    let (out, err) = (rewound(&mut out)?, rewound(&mut err)?);
    match status {
        Some(status) => Ok(Finished { status, out, err }),
        None => bail!("{shown}: did not end within {limit:?}\n{out}{err}"),
    }
}

/// Runs a command and gives what it printed to standard output.
///
/// # Errors
/// When it cannot be started, fails, or has not ended within `limit` (then it is killed). The message holds all it printed.
pub fn output_within(command: &mut Command, limit: Duration) -> Result<String> {
    let done = finish_within(command, limit)?;
    if !done.status.success() {
        bail!("{command:?}: {}\n{}{}", done.status, done.out, done.err);
    }
    Ok(done.out)
}

fn rewound(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gives_its_output_or_says_what_went_wrong() {
        let sh = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let limit = Duration::from_secs(30);
        assert_eq!(output_within(&mut sh("echo yes"), limit).expect("output"), "yes\n");
        let failed = output_within(&mut sh("echo out; echo err >&2; exit 4"), limit).expect_err("it fails");
        let text = failed.to_string();
        assert!(text.contains("out") && text.contains("err") && text.contains('4'), "{text}");
        let late = output_within(&mut sh("exec sleep 60"), Duration::from_millis(100)).expect_err("it is late");
        assert!(late.to_string().contains("did not end"), "{late}");
    }
}
