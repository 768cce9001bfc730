//! Lets `winfsp-sys` build for the GNU toolchain, which its own build script refuses.
//!
//! A copy of the crate, as the registry gave it, lies below the target directory with another build script
//! (`winfsp_sys/build_script.rs`) and stands in for the original (cargo's `paths`). The tree holds nothing of the crate, and builds
//! with Microsoft's toolchain use it as it is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::output;
use crate::session::Session;
use crate::workspace::Workspace;

const CRATE: &str = "winfsp-sys";
const SCRIPT: &str = include_str!("winfsp_sys/build_script.rs");
const COPY_LIMIT: Duration = Duration::from_secs(60);

/// The user-mode part of WinFsp, inside the crate.
const DLL: &str = "winfsp/bin/winfsp-x64.dll";

/// Arguments that make cargo use the copy; none if the workspace does not use the crate.
///
/// # Errors
/// When the copy cannot be made.
pub(super) fn arguments(session: &Session, target: &Path) -> Result<Vec<String>> {
    let Some(original) = folder(&session.workspace) else { return Ok(Vec::new()) };
    let name = original.file_name().context("the crate's folder has no name")?;
    let copy = target.join(name);
    if !copy.join("Cargo.toml").is_file() {
        std::fs::create_dir_all(target)?;
        output(Command::new("cp").arg("-rT").arg(&original).arg(&copy), COPY_LIMIT)?;
    }
    let script = copy.join("build.rs");
    // Cargo goes by the time of the file.
    if std::fs::read_to_string(&script).ok().as_deref() != Some(SCRIPT) {
        std::fs::write(&script, SCRIPT).with_context(|| format!("writing {}", script.display()))?;
    }
    Ok(vec!["--config".to_owned(), format!("paths=[{:?}]", copy.display().to_string())])
}

/// The user-mode part of WinFsp, if the workspace uses the crate.
pub(super) fn dll(workspace: &Workspace) -> Option<PathBuf> {
    folder(workspace).map(|folder| folder.join(DLL))
}

fn folder(workspace: &Workspace) -> Option<PathBuf> {
    let package = workspace.packages.iter().find(|package| package.name == CRATE)?;
    package.manifest_path.parent().map(Path::to_owned)
}
