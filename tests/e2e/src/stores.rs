//! Launchers of real object stores, each from the programs that its project ships, on loopback and below a folder of the caller's.
//!
//! Owns how each store is configured, started, waited for, halted and ended. Every process is a child of ours and ended by its own id,
//! at the latest when the [`RealStore`] is dropped. Installing the programs is the caller's part.

mod ceph;
mod daemon;
mod garage;
mod swift;
mod weed;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use self::daemon::Daemon;
use crate::scenarios::Server;
use crate::wait::wait_until;

/// Longest until a store answers after its start.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// Bucket or container that volumes lie in; it is made by the first `volume create`.
const BUCKET: &str = "proxyfs-test";

/// A store, and the protocol it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// SeaweedFS over S3.
    Seaweed,
    /// Ceph's object gateway over S3.
    Ceph,
    /// OpenStack Swift by its own protocol.
    Swift,
    /// OpenStack Swift over S3.
    SwiftS3,
    /// Garage over S3.
    Garage,
}

/// What a store does with a conditional put, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditional {
    /// Exactly one of several racers wins.
    Atomic,
    /// Honoured in sequence, but two racers may win.
    InSequence,
    /// Taken as if there were no condition.
    Ignored,
    /// Answered by an error, whether or not the name is free.
    Refused,
}

impl StoreKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Seaweed, Self::Ceph, Self::Swift, Self::SwiftS3, Self::Garage];

    /// As results name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Seaweed => "seaweedfs",
            Self::Ceph => "ceph",
            Self::Swift => "swift",
            Self::SwiftS3 => "swift-s3",
            Self::Garage => "garage",
        }
    }

    /// What it does with a conditional put.
    #[must_use]
    pub fn conditional(self) -> Conditional {
        match self {
            Self::Seaweed | Self::Ceph => Conditional::Atomic,
            Self::Swift => Conditional::InSequence,
            Self::SwiftS3 => Conditional::Refused,
            Self::Garage => Conditional::Ignored,
        }
    }
}

/// A running store.
#[derive(Debug)]
pub struct RealStore {
    kind: StoreKind,
    /// In the order of their start; the last one is what clients talk to.
    daemons: Vec<Daemon>,
    /// Store URL without its scheme's prefix part: bucket and parameters.
    parameters: String,
    variables: Vec<(String, String)>,
    port: u16,
    /// What to ask to learn whether it serves, and the answer that says so.
    health: (&'static str, u16),
}

impl RealStore {
    /// Starts a store with everything it keeps below `dir`. `program`: the one that is not on the path, if there is one.
    ///
    /// # Errors
    /// When it does not start or does not answer in time.
    pub fn start(kind: StoreKind, program: Option<&Path>, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let program = |name: &str| program.map_or_else(|| PathBuf::from(name), Path::to_owned);
        let store = match kind {
            StoreKind::Seaweed => weed::start(&program("weed"), dir),
            StoreKind::Ceph => ceph::start(dir),
            StoreKind::Swift | StoreKind::SwiftS3 => swift::start(kind, dir),
            StoreKind::Garage => garage::start(&program("garage"), dir),
        }?;
        store.wait_ready()?;
        Ok(store)
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    fn wait_ready(&self) -> Result<()> {
        let (path, expected) = self.health;
        if wait_until(READY_LIMIT, || daemon::http_status(self.port, path) == Some(expected)) {
            return Ok(());
        }
        let last = self.daemons.last().map(Daemon::tail).unwrap_or_default();
        anyhow::bail!("{} did not answer within {READY_LIMIT:?}\n{last}", self.kind.name())
    }

    fn front(&mut self) -> Result<&mut Daemon> {
        self.daemons.last_mut().context("the store has no process")
    }
}

impl Server for RealStore {
    fn url(&mut self, prefix: &str) -> Result<String> {
        let scheme = if self.kind == StoreKind::Swift { "swift" } else { "s3" };
        Ok(format!("{scheme}://{BUCKET}/{prefix}?{}", self.parameters))
    }

    fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }

    fn stop(&mut self) -> Result<()> {
        self.front()?.end()
    }

    fn restart(&mut self) -> Result<()> {
        self.front()?.start()?;
        self.wait_ready()
    }

    fn suspend(&mut self) -> Result<()> {
        self.front()?.suspend()
    }

    fn resume(&mut self) -> Result<()> {
        self.front()?.resume()
    }

    fn weakness(&self) -> Option<&'static str> {
        match self.kind.conditional() {
            Conditional::Atomic => None,
            Conditional::InSequence => Some("does not create objects atomically"),
            Conditional::Ignored => Some("lets several conditional writes of one name succeed"),
            Conditional::Refused => Some("refuses conditional writes"),
        }
    }
}

impl Drop for RealStore {
    fn drop(&mut self) {
        while let Some(mut last) = self.daemons.pop() {
            last.kill();
        }
    }
}

/// Variables for an S3 store.
fn s3_variables(access_key: &str, secret_key: &str) -> Vec<(String, String)> {
    [("AWS_ACCESS_KEY_ID", access_key), ("AWS_SECRET_ACCESS_KEY", secret_key)].map(owned).to_vec()
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// URL parameters of an S3 store on a port of this machine.
fn s3_parameters(port: u16) -> String {
    format!("endpoint=http://127.0.0.1:{port}&region=us-east-1&path_style=true")
}
