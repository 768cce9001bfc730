//! Where workloads are run: the built programs, the scratch folder, how much is to be done, and runs of the loader.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process::{interrupted, output, run};
use crate::session::Session;

/// Building everything for release on two cores, from nothing, takes a fraction of it.
const BUILD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Longest that a run of the loader may take; a million files take minutes.
const LOAD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Names a program that is measured instead of the one built here.
const PROGRAM_VARIABLE: &str = "PROXYFS_BIN";

/// How often a wait looks whether the user has interrupted it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The programs, all built for release.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The product.
    pub(crate) proxyfs: PathBuf,
    /// The S3 server.
    pub(crate) s3server: PathBuf,
    /// The file system that does nothing.
    pub(crate) nullfs: PathBuf,
    /// What puts load on all of them.
    loader: PathBuf,
}

/// One run of benchmarks.
#[derive(Debug)]
pub(crate) struct Lab {
    /// The programs.
    pub(crate) programs: Programs,
    /// Less of everything.
    pub(crate) quick: bool,
    /// Where volumes that take long to make are kept for the next run.
    pub(crate) keep: Option<PathBuf>,
    /// Goes last, with all that lies in it.
    session: Session,
}

/// What a load did, as the loader says it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Done {
    /// Operations: files, blocks, entries, objects.
    pub(crate) operations: u64,
    /// Bytes moved.
    pub(crate) bytes: u64,
    /// How long it took.
    pub(crate) seconds: f64,
}

impl Done {
    /// Operations in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds
    }

    /// MiB in a second.
    pub(crate) fn mebibytes_rate(&self) -> f64 {
        mebibytes(self.bytes) / self.seconds
    }
}

impl Lab {
    /// Builds the programs.
    ///
    /// # Errors
    /// When they do not build.
    pub(crate) fn new(session: Session, quick: bool, keep: Option<PathBuf>) -> Result<Self> {
        let programs = build(&session)?;
        Ok(Self { programs, quick, keep, session })
    }

    /// The folder that all of a run lies in.
    pub(crate) fn scratch(&self) -> &Path {
        self.session.scratch()
    }

    /// A new folder of a workload.
    ///
    /// # Errors
    /// As the OS gives them.
    pub(crate) fn folder(&self, name: &str) -> Result<Folder> {
        Folder::new(self.scratch().join(name))
    }

    /// The one or the other, depending on how much is to be done.
    pub(crate) fn pick<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// A run of the loader with these arguments.
    ///
    /// # Errors
    /// When it fails or the user interrupts.
    pub(crate) fn load<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<Done> {
        self.load_as(args, &[])
    }

    /// As [`Self::load`], with environment variables.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn load_as<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        variables: &[(&str, &str)],
    ) -> Result<Done> {
        let mut command = Command::new(&self.programs.loader);
        command.args(args).envs(variables.iter().copied());
        let said = output(&mut command, LOAD_LIMIT)?;
        let line = said.lines().last().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("the loader said '{line}'"))
    }
}

/// A folder that is gone at its end, so that the disk holds one workload at a time.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    fn new(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }

    /// A path in it.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        crate::leftovers::detach_below(&self.0);
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

/// Waits, unless the user interrupts.
///
/// # Errors
/// When the user interrupts.
pub(crate) fn wait(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        check_interrupt()?;
        thread::sleep(LOOK_AGAIN.min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

/// Fails once the user has interrupted.
///
/// # Errors
/// Then.
pub(crate) fn check_interrupt() -> Result<()> {
    if interrupted() {
        bail!("interrupted");
    }
    Ok(())
}

/// Bytes in MiB.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Writes out what lies in the page cache, so that a round does not pay for the one before it.
pub(crate) fn settle_disk() {
    rustix::fs::sync();
}

fn build(session: &Session) -> Result<Programs> {
    let mut command = session.cargo();
    command.args(["build", "--release", "--bins", "--example", "nullfs"]);
    command.args(["-p", "proxyfs", "-p", "proxyfs-harness", "-p", "proxyfs-loader", "-p", "proxyfs-fuse"]);
    println!("building the programs for release");
    let ended = run(&mut command, BUILD_LIMIT, |line| {
        if !line.trim_start().starts_with("Compiling") {
            println!("{line}");
        }
    })?;
    if !ended.is_success() {
        bail!("the programs do not build ({ended})");
    }
    let dir = session.workspace.target.join("release");
    let proxyfs = std::env::var_os(PROGRAM_VARIABLE).map_or_else(|| dir.join("proxyfs"), PathBuf::from);
    Ok(Programs {
        proxyfs,
        s3server: dir.join("s3server"),
        nullfs: dir.join("examples/nullfs"),
        loader: dir.join("loader"),
    })
}
