//! One run of the tests: where things are, what was asked for, and what has to be cleaned up at its end.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::leftovers;
use crate::process::{Ended, run};
use crate::tally::{RunnerOutput, Tally};
use crate::workspace::{Workspace, cargo};

/// Moves the folder for temporary files.
const SCRATCH_VARIABLE: &str = "PROXYFS_TEST_SCRATCH";

/// On a disk, unlike the usual place, and short, as paths of sockets must be.
const SCRATCH_BASE: &str = "/var/tmp";

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
    /// Where programs that suites need are kept between runs; outside the tree.
    pub(crate) cache: PathBuf,
    /// For volumes, states and mount points of this run, and all temporary files of its tests.
    scratch: TempDir,
}

impl Session {
    /// Begins a run.
    ///
    /// # Errors
    /// When cargo or the disk says no.
    pub(crate) fn new(extent: Extent) -> Result<Self> {
        let workspace = Workspace::load()?;
        let base = std::env::var_os(SCRATCH_VARIABLE).map_or_else(|| PathBuf::from(SCRATCH_BASE), PathBuf::from);
        let scratch = tempfile::Builder::new()
            .prefix("pfs-")
            .tempdir_in(&base)
            .with_context(|| format!("making a folder in {}", base.display()))?;
        // Tests as another user must reach their files in it.
        std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { cache: cache_dir()?, workspace, extent, scratch })
    }

    /// A folder of this run; gone at its end.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Cargo, in the workspace's root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.workspace.root).env("TMPDIR", self.scratch());
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

impl Drop for Session {
    fn drop(&mut self) {
        leftovers::detach_below(self.scratch.path());
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
