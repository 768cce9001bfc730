//! A cargo and a compiler that build for another target, and commands with them.
//!
//! Each system has a target directory of its own below the workspace's, since the compiler may be another one than the usual.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::sysroot;
use crate::prerequisites as pre;
use crate::process::output;
use crate::session::Session;

const ASK_LIMIT: Duration = Duration::from_secs(60);

/// Debian's compiler where it lies beside another on the path.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CLIPPY: &str = "/usr/bin/cargo-clippy";

/// The oldest compiler that this workspace takes (`rust-version` in Cargo.toml): its minor version.
const RUST_MINOR_MIN: u32 = 95;

/// What another build may have set for itself.
const OTHERS_VARIABLES: &[&str] = &[
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// What builds for one target.
#[derive(Clone, Debug)]
pub(super) struct Toolchain {
    triple: &'static str,
    cargo: PathBuf,
    clippy: PathBuf,
    rustc: PathBuf,
    /// The folder of the target's standard library, if it is not the compiler's own.
    sysroot: Option<PathBuf>,
    target_dir: PathBuf,
}

impl Toolchain {
    /// Makes sure of a toolchain for `triple` that builds below `<target>/dir`; the error is the reason why there is none.
    pub(super) fn get(session: &Session, triple: &'static str, dir: &str) -> Result<Self, String> {
        let target_dir = session.workspace.target.join(dir);
        if let Some(own) = Self::running(triple, &target_dir) {
            return Ok(own);
        }
        pre::system(pre::DEBIAN_RUST)?;
        let version = version_of(Path::new(DEBIAN_RUSTC))?;
        if minor_of(&version).is_none_or(|minor| minor < RUST_MINOR_MIN) {
            return Err(format!(
                "{DEBIAN_RUSTC} is {version}; 1.{RUST_MINOR_MIN} is needed, or: rustup target add {triple}"
            ));
        }
        let (cargo, rustc) = (PathBuf::from(DEBIAN_CARGO), PathBuf::from(DEBIAN_RUSTC));
        let sysroot = sysroot::make(&cargo, &rustc, &version, triple, &session.cache)
            .map_err(|e| format!("no standard library for {triple}: {e:#}"))?;
        Ok(Self { triple, cargo, clippy: DEBIAN_CLIPPY.into(), rustc, sysroot: Some(sysroot), target_dir })
    }

    /// The toolchain that runs us, if it has the target.
    fn running(triple: &'static str, target_dir: &Path) -> Option<Self> {
        let cargo = PathBuf::from(std::env::var_os("CARGO")?);
        let beside = |name: &str| Some(cargo.parent()?.join(name)).filter(|path| path.is_file());
        let (rustc, clippy) = (beside("rustc")?, beside("cargo-clippy")?);
        let mut ask = Command::new(&rustc);
        let root = output(ask.args(["--print", "sysroot"]), ASK_LIMIT).ok()?;
        let has_target = Path::new(root.trim()).join("lib/rustlib").join(triple).join("lib").is_dir();
        has_target.then(|| Self { triple, cargo, clippy, rustc, sysroot: None, target_dir: target_dir.to_owned() })
    }

    /// Where it builds.
    pub(super) fn target_dir(&self) -> &Path {
        &self.target_dir
    }

    /// Where programs of a profile's folder lie (`debug`, `release`).
    pub(super) fn built(&self, profile: &str) -> PathBuf {
        self.target_dir.join(self.triple).join(profile)
    }

    /// `cargo TASK` for the target.
    pub(super) fn cargo(&self, session: &Session, task: &str) -> Command {
        self.command(session, &self.cargo, &[task])
    }

    /// `cargo clippy` for the target.
    pub(super) fn clippy(&self, session: &Session) -> Command {
        self.command(session, &self.clippy, &["clippy"])
    }

    /// Another program that stands for cargo.
    pub(super) fn command(&self, session: &Session, program: &Path, task: &[&str]) -> Command {
        let mut command = Command::new(program);
        clean(&mut command);
        command.current_dir(&session.workspace.root).env("TMPDIR", session.scratch());
        command.env("CARGO", &self.cargo).env("RUSTC", &self.rustc).env("CARGO_TARGET_DIR", &self.target_dir);
        self.flags(&mut command, "");
        command.args(task).args(["--target", self.triple]);
        command
    }

    /// Gives the compiler more flags for the target.
    pub(super) fn flags(&self, command: &mut Command, more: &str) {
        let sysroot = self.sysroot.as_ref().map(|sysroot| format!("--sysroot {}", sysroot.display()));
        let flags = [sysroot.as_deref().unwrap_or_default(), more].join(" ");
        command.env(self.variable("RUSTFLAGS"), flags.trim());
    }

    /// The name of cargo's setting for the target.
    pub(super) fn variable(&self, setting: &str) -> String {
        format!("CARGO_TARGET_{}_{setting}", self.triple.to_uppercase().replace('-', "_"))
    }
}

/// Takes away what the build that runs us was told.
pub(super) fn clean(command: &mut Command) {
    for name in OTHERS_VARIABLES {
        command.env_remove(name);
    }
}

/// `1.96.0` of `rustc 1.96.0 (...)`.
fn version_of(rustc: &Path) -> Result<String, String> {
    let mut ask = Command::new(rustc);
    clean(&mut ask);
    let said = output(ask.arg("--version"), ASK_LIMIT).map_err(|e| format!("{e:#}"))?;
    let word = said.split_whitespace().nth(1);
    word.map(str::to_owned).ok_or_else(|| format!("{} does not say its version: {said}", rustc.display()))
}

fn minor_of(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_are_compared_by_their_minor_version() {
        for (version, minor) in [("1.96.0", Some(96)), ("1.63.0-beta", Some(63)), ("2.0.0", None), ("", None)] {
            assert_eq!(minor_of(version), minor, "{version}");
        }
    }

    #[test]
    fn the_oldest_compiler_is_the_workspaces() {
        let manifest = include_str!("../../../../Cargo.toml");
        assert!(manifest.contains(&format!("rust-version = \"1.{RUST_MINOR_MIN}\"")));
    }
}
