//! What is in the workspace: its members, the packages they depend on, and their files.
//!
//! Read from `cargo metadata`, so that an area can ask whether what it tests is there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

const METADATA_LIMIT: Duration = Duration::from_secs(300);

/// The workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// All packages, members and dependencies.
    pub(crate) packages: Vec<Package>,
    members: Vec<String>,
}

/// One package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its `Cargo.toml`.
    pub(crate) manifest_path: PathBuf,
    /// Its licence expression, if it states one.
    pub(crate) license: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    /// Reads the workspace that the current folder belongs to.
    ///
    /// # Errors
    /// When cargo cannot tell.
    pub(crate) fn load() -> Result<Self> {
        let mut command = cargo();
        command.args(["metadata", "--format-version=1", "--quiet"]);
        let text = crate::process::output(&mut command, METADATA_LIMIT)?;
        let json = text.lines().find(|line| line.starts_with('{')).context("cargo metadata printed no JSON")?;
        let metadata: Metadata = serde_json::from_str(json).context("reading cargo metadata")?;
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            packages: metadata.packages,
            members: metadata.workspace_members,
        })
    }

    /// Names of the workspace's own packages.
    pub(crate) fn member_names(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().filter(|p| self.members.contains(&p.id)).map(|p| p.name.as_str())
    }

    /// Whether the workspace has a package of this name.
    pub(crate) fn has_member(&self, name: &str) -> bool {
        self.member_names().any(|member| member == name)
    }

    /// Whether the tree has this file or folder.
    pub(crate) fn has(&self, path: impl AsRef<Path>) -> bool {
        self.root.join(path).exists()
    }
}

/// The cargo that runs us, or the one on the path.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
