//! One run of the tests: where things are, what was asked for, and what has to be cleaned up at its end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::leftovers::Leftovers;
use crate::process::{Ended, run};
use crate::tally::{RunnerOutput, Tally};
use crate::workspace::{Workspace, cargo};

/// Moves the cache of programs that suites need.
const CACHE_VARIABLE: &str = "PROXYFS_TEST_CACHE";

/// How much is to be run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// More rounds, longer fuzzing, areas that take long.
    pub(crate) long: bool,
    /// Fewer rounds, for a quick look.
    pub(crate) quick: bool,
    /// All areas, not chosen ones: then the whole workspace is built at once, so that nothing is built twice.
    pub(crate) whole: bool,
}

/// The run.
#[derive(Debug)]
pub(crate) struct Session {
    /// The workspace under test.
    pub(crate) workspace: Workspace,
    /// How much is to be run.
    pub(crate) extent: Extent,
    /// Mounts and servers that must not outlive the run.
    pub(crate) leftovers: Leftovers,
    /// Where programs that suites need are kept between runs; outside the tree.
    pub(crate) cache: PathBuf,
    /// For volumes, states and mount points of this run; on the same disk as the build, never in memory.
    scratch: TempDir,
}

impl Session {
    /// Begins a run.
    ///
    /// # Errors
    /// When cargo or the disk says no.
    pub(crate) fn new(extent: Extent) -> Result<Self> {
        let workspace = Workspace::load()?;
        std::fs::create_dir_all(&workspace.target)?;
        let scratch = tempfile::Builder::new()
            .prefix("xtask-")
            .tempdir_in(&workspace.target)
            .with_context(|| format!("making a folder in {}", workspace.target.display()))?;
        Ok(Self { cache: cache_dir()?, workspace, extent, leftovers: Leftovers::default(), scratch })
    }

    /// A folder of this run; gone at its end.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Cargo, in the workspace's root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.workspace.root);
        command
    }

    /// Runs a command whose exit code is its result, showing its output.
    ///
    /// # Errors
    /// When it cannot be started, or the user interrupts.
    pub(crate) fn check(&self, what: &str, command: &mut Command, limit: Duration) -> Result<Tally> {
        let ended = run(command, limit, |line| println!("{line}"))?;
        Ok(Tally::check(ended.is_success(), format!("{what} ({ended})")))
    }

    /// Runs a command that is a Rust test runner, and counts its tests.
    ///
    /// # Errors
    /// When it cannot be started, or the user interrupts.
    pub(crate) fn count(&self, what: &str, command: &mut Command, limit: Duration) -> Result<Tally> {
        let mut output = RunnerOutput::default();
        let ended = run(command, limit, |line| {
            if output.line(line) {
                println!("{line}");
            }
        })?;
        let mut tally = output.tally();
        if ended == Ended::TimedOut || (!ended.is_success() && tally.failures.is_empty()) {
            tally.add(Tally::fail(format!("{what} ({ended})")));
        }
        if tally.is_empty() {
            tally.add(Tally::skip(format!("{what}: there are no tests in it")));
        }
        Ok(tally)
    }
}

fn cache_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os(CACHE_VARIABLE) {
        return Ok(dir.into());
    }
    if let Some(dir) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(Path::new(&dir).join("proxyfs-test"));
    }
    let home = std::env::var_os("HOME").with_context(|| format!("neither {CACHE_VARIABLE} nor HOME is set"))?;
    Ok(Path::new(&home).join(".cache/proxyfs-test"))
}
