//! Runs one command: its output line by line, a time limit, and nothing of it left afterwards.
//!
//! Every command gets a process group of its own, so that what it started ends with it when the limit passes or the user interrupts.
//! A program that leaves the group (a daemon) is the caller's to end.

use std::io::{BufRead, BufReader, PipeReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often a waiting run looks whether the user has interrupted it.
const INTERRUPT_POLL: Duration = Duration::from_millis(200);

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signalled,
    /// It passed its limit and was killed.
    TimedOut,
}

impl Ended {
    /// Whether the command exited with 0.
    pub(crate) fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signalled => f.write_str("ended by a signal"),
            Self::TimedOut => f.write_str("killed at its time limit"),
        }
    }
}

/// How long the reader of the pipe may take with what a command said last.
const LAST_LINES: Duration = Duration::from_secs(3);

/// Runs `command` to its end or to `limit`, giving each line of its output and errors to `on_line`.
///
/// # Errors
/// When it cannot be started, or the user interrupts.
pub(crate) fn run(command: &mut Command, limit: Duration, mut on_line: impl FnMut(&str)) -> Result<Ended> {
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    let shown = shown(command);
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let mut child = command.spawn().with_context(|| format!("starting {shown}"))?;
    // The command keeps the writing ends; ours must go, or the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let group = Pid::from_child(&child);
    let stop = || {
        // It may have just ended by itself; then there is nothing to kill.
        let _ = kill_process_group(group, Signal::KILL);
    };
    let lines = spawn_reader(reader);
    let deadline = Instant::now() + limit;
    let mut timed_out = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left.min(INTERRUPT_POLL)) {
            Ok(line) => on_line(&line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if interrupted() => {
                stop();
                child.wait()?;
                bail!("interrupted during {shown}");
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                timed_out = true;
                stop();
                break;
            }
            // A child that is gone may have left the pipe to a daemon; that is not waited for.
            Err(RecvTimeoutError::Timeout) if child.try_wait()?.is_some() => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    // The last lines may still be on their way from the pipe; a daemon that has it open sends none.
    let patience = Instant::now() + LAST_LINES;
    while let Ok(line) = lines.recv_timeout(patience.saturating_duration_since(Instant::now())) {
        on_line(&line);
        if Instant::now() > patience {
            break;
        }
    }
    let status = child.wait()?;
    if timed_out {
        return Ok(Ended::TimedOut);
    }
    Ok(status.code().map_or(Ended::Signalled, Ended::Code))
}

/// Runs `command` and gives its whole output; an exit code other than 0 is an error that shows it.
///
/// # Errors
/// When it cannot be started, fails, or passes `limit`.
pub(crate) fn output(command: &mut Command, limit: Duration) -> Result<String> {
    let mut text = String::new();
    let ended = run(command, limit, |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    if !ended.is_success() {
        bail!("{}: {ended}\n{}", shown(command), text.trim_end());
    }
    Ok(text)
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn spawn_reader(reader: PipeReader) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            line.clear();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Set once the user has asked to stop.
fn interrupt_flag() -> &'static Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(Arc::default)
}

/// Makes interrupt and termination signals end the run in order instead of at once.
///
/// # Errors
/// When the handlers cannot be set.
pub(crate) fn watch_interrupts() -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(interrupt_flag())).context("setting a signal handler")?;
    }
    Ok(())
}

/// Whether the user has asked to stop.
pub(crate) fn interrupted() -> bool {
    interrupt_flag().load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_arrive_line_by_line_with_the_exit_code() {
        let mut lines = Vec::new();
        let ended = run(&mut sh("echo out; echo err >&2; exit 3"), Duration::from_secs(30), |line| {
            lines.push(line.to_owned());
        });
        assert_eq!(ended.expect("a run"), Ended::Code(3));
        assert_eq!(lines, ["out", "err"]);
    }

    #[test]
    fn a_command_that_passes_its_limit_ends_with_all_it_started() {
        let started = Instant::now();
        let ended = run(&mut sh("sleep 60 & sleep 60"), Duration::from_millis(300), |_| {});
        assert_eq!(ended.expect("a run"), Ended::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(30), "it was not waited for");
    }

    #[test]
    fn a_daemon_that_keeps_the_pipe_is_not_waited_for() {
        let started = Instant::now();
        let ended = run(&mut sh("setsid sleep 20 & echo up"), Duration::from_secs(15), |_| {});
        assert_eq!(ended.expect("a run"), Ended::Code(0));
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn what_a_command_says_last_is_not_lost() {
        for millis in [195, 200, 205] {
            let said = output(&mut sh(&format!("sleep 0.{millis}; echo last")), Duration::from_secs(30));
            assert_eq!(said.expect("a run"), "last\n");
        }
    }

    #[test]
    fn a_failing_command_shows_what_it_said() {
        let error = output(&mut sh("echo why; exit 1"), Duration::from_secs(30)).expect_err("it fails");
        assert!(error.to_string().contains("exit code 1") && error.to_string().contains("why"), "{error}");
    }
}
