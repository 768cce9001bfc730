//! `mount --daemon`: the same command again in the background, which reports over a pipe when the mount answers.
//!
//! The pipe is the child's standard output: it carries one line, a [`Reply`]. The child leads a session of its own, and once it knows the
//! volume its standard error is a log file in the volume's state directory.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;
use serde_json::Value;

use crate::control::Reply;
use crate::failure::{Failure, Outcome};
use crate::helper::{self, Asked};
use crate::output::line;
use crate::sys;

/// The switch that people type, and the one that the child gets instead.
const SWITCHES: (&str, &str) = ("--daemon", "--background");

/// Starts this command anew in the background and waits for its report.
pub(crate) fn spawn(subject: &str) -> Outcome<Value> {
    let failed = |e: io::Error| Failure::io("start a background process for", subject, &e);
    let program = std::env::current_exe().map_err(failed)?;
    let arguments = match helper::asked(std::env::args_os())? {
        Asked::Command(arguments) | Asked::Mount(arguments) => arguments,
        Asked::Nothing => Vec::new(),
    };
    let mut command = Command::new(program);
    command.args(child_arguments(arguments.into_iter().skip(1))).stdin(Stdio::null()).stdout(Stdio::piped());
    sys::in_background(&mut command);
    let mut child = command.spawn().map_err(failed)?;
    let mut report = String::new();
    if let Some(pipe) = child.stdout.take() {
        BufReader::new(pipe).read_line(&mut report).map_err(failed)?;
    }
    match serde_json::from_str(&report) {
        Ok(Reply::Done(value)) => Ok(value),
        Ok(Reply::Failed(failure)) => Err(failure),
        Ok(Reply::Progress(_)) | Err(_) => {
            let status = child.wait().map_err(failed)?;
            let why = format!("the background process ended without a report ({status})");
            Err(Failure::new("mount", subject, why, "mount without --daemon to see what happens"))
        }
    }
}

fn child_arguments(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    if let Some(switch) = arguments.iter_mut().find(|a| *a == SWITCHES.0) {
        *switch = SWITCHES.1.into();
    }
    arguments
}

/// In the child: logs to a file in `state_dir` from now on. Returns the log's path.
pub(crate) fn detach(state_dir: &Path) -> io::Result<PathBuf> {
    sys::make_private_dir(state_dir)?;
    let path = state_dir.join("proxyfs.log");
    let log = sys::private(OpenOptions::new().append(true).create(true)).open(&path)?;
    sys::redirect_stderr(&log)?;
    Ok(path)
}

/// In the child: leaves the terminal, reports that the mount answers, and closes the pipe.
///
/// Not before: an automount point lets only the process group pass that was asked to mount there, all others wait for it.
///
/// # Errors
/// When the parent has gone: then nobody waits for this mount.
pub(crate) fn report_ready<T: Serialize>(ready: &T) -> io::Result<()> {
    sys::leave_terminal();
    let value = serde_json::to_value(ready)?;
    let mut text = serde_json::to_vec(&Reply::Done(value))?;
    text.push(b'\n');
    let mut out = io::stdout().lock();
    io::Write::write_all(&mut out, &text)?;
    io::Write::flush(&mut out)?;
    sys::close_stdout()
}

/// In the child: reports a failure before the mount answered.
pub(crate) fn report_failure(failure: &Failure) {
    tracing::error!("{failure}");
    if let Ok(text) = serde_json::to_string(&Reply::Failed(failure.clone())) {
        line(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_switch_is_replaced() {
        let arguments = ["mount", "--daemon", "x", "--", "--daemon"].map(OsString::from);
        assert_eq!(child_arguments(arguments.into_iter()), ["mount", "--background", "x", "--", "--daemon"]);
    }
}
