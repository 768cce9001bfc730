//! Commands that must be refused: how, how soon, and that nothing was written.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::home::Home;
use crate::wait::{Finished, finish_within};

/// Longest that a refusal may take, on a busy machine too.
const REFUSAL_LIMIT: Duration = Duration::from_secs(20);
/// Files that a refused command may make or leave: locks hold nothing, and a log says what was refused.
const ALLOWED: [&str; 3] = ["lock", "volumes.lock", "proxyfs.log"];

/// Copies of sound objects that a mount may have put into a state directory that had none.
const COPIES: [&str; 4] = ["owner.json", "volume.json", "head.bin", "table.bin"];

/// What a refused command must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// 1 for failed work, 2 for a command line that makes no sense.
    pub code: i32,
    /// Parts of the first line: what failed, on what, why.
    pub why: &'a [&'a str],
    /// A part of what to do next, in either line.
    pub advice: &'a str,
}

impl Home {
    /// Runs a command that must be refused as `expected`, in two lines and soon, with all files in `places` and of this home
    /// unchanged.
    ///
    /// # Errors
    /// When anything is otherwise; the message holds what the program printed.
    pub fn refuses(&self, args: &[&str], places: &[&Path], expected: Expected<'_>) -> Result<()> {
        self.refuses_command(self.command(args), places, expected)
            .with_context(|| format!("proxyfs {}", args.join(" ")))
    }

    /// The same for a command with an environment of its own.
    ///
    /// # Errors
    /// As [`Home::refuses`].
    pub fn refuses_command(
        &self,
        mut command: std::process::Command,
        places: &[&Path],
        expected: Expected<'_>,
    ) -> Result<()> {
        let look = || -> Result<Vec<Picture>> {
            let own = ["config", "state", "data"].map(|name| self.dir().join(name));
            own.iter().map(PathBuf::as_path).chain(places.iter().copied()).map(picture).collect()
        };
        let before = look()?;
        let done = finish_within(&mut command, REFUSAL_LIMIT)?;
        check_text(&done, expected).with_context(|| format!("{done:?}"))?;
        let after = look()?;
        for (before, after) in before.iter().zip(&after) {
            let differs = |path: &&PathBuf| before.get(*path) != after.get(*path) && !self.is_new_copy(path, before);
            let changed: Vec<_> = before.keys().chain(after.keys()).filter(differs).collect();
            ensure!(changed.is_empty(), "{done:?}: these files were changed: {changed:?}");
        }
        Ok(())
    }
}

impl Home {
    fn is_new_copy(&self, path: &Path, before: &Picture) -> bool {
        let is_copy = COPIES.iter().any(|name| path.file_name() == Some(OsStr::new(name)));
        is_copy && path.starts_with(self.state_dir()) && !before.contains_key(path)
    }
}

fn check_text(done: &Finished, expected: Expected<'_>) -> Result<()> {
    ensure!(done.status.code() == Some(expected.code), "the exit code is not {}", expected.code);
    let lines: Vec<&str> = done.err.trim_end().lines().filter(|l| !l.contains(" WARN ")).collect();
    ensure!(lines.len() == 2 && done.out.is_empty(), "a failure is two lines on standard error");
    ensure!(
        lines[0].starts_with("proxyfs: cannot ") && lines[1].starts_with("what to do: "),
        "the lines begin otherwise"
    );
    for part in expected.why {
        ensure!(lines[0].contains(part), "the first line does not say `{part}`");
    }
    ensure!(done.err.contains(expected.advice), "the advice `{}` is missing", expected.advice);
    ensure!(!done.err.contains("panicked") && !done.err.contains("RUST_BACKTRACE"), "it panicked");
    Ok(())
}

/// Files below a directory with their content.
type Picture = BTreeMap<PathBuf, Vec<u8>>;

fn picture(dir: &Path) -> Result<Picture> {
    let mut found = Picture::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() && !ALLOWED.iter().any(|name| entry.file_name() == OsStr::new(name)) {
                found.insert(entry.path(), fs::read(entry.path())?);
            }
        }
    }
    Ok(found)
}
