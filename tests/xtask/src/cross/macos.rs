//! `cargo xtask macos` and the area `macos`: the workspace compiles for macOS. Nothing built for it runs here.
//!
//! A check generates no code and links nothing, so it needs no SDK and no compiler of C: crates that build C are given one that makes
//! empty files (`macos/nothing.sh`). What they would build from C is therefore not checked; their Rust is.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::toolchain::Toolchain;
use super::{alone, skipped};
use crate::session::Session;
use crate::tally::Tally;

/// Macs of today.
const APPLE_SILICON: &str = "aarch64-apple-darwin";

/// Macs of before.
const INTEL: &str = "x86_64-apple-darwin";

/// Its folder below the target directory.
const DIR: &str = "macos";

/// The oldest macOS that is built for.
const MACOS_MIN: &str = "12.0";

/// Stands for the compiler and the archiver of C.
const NOTHING: &str = include_str!("macos/nothing.sh");

/// Members that are not built for macOS, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("proxyfs-tray", "a window, which needs another toolchain"),
    ("xtask", "these tasks, which lean on the tests' tools for Linux"),
];

/// Checking all from nothing takes a fifth of it on two cores.
const CHECK_LIMIT: Duration = Duration::from_secs(30 * 60);

/// What to do for macOS.
#[derive(Debug, Args)]
pub(crate) struct MacosArgs {
    #[command(subcommand)]
    task: Task,
    /// For Macs with Intel's processors too
    #[arg(long, global = true)]
    intel: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what checking needs, as far as it is missing
    Setup,
    /// cargo check
    Check,
}

/// Does one task.
///
/// # Errors
/// When the machine lacks what it takes, or the user interrupts.
pub(crate) fn run(args: &MacosArgs) -> Result<ExitCode> {
    alone(|session| {
        on_all(session, args.intel, |macos| match args.task {
            Task::Setup => Ok(Tally::pass()),
            Task::Check => macos.check(),
        })
    })
}

/// The area.
///
/// # Errors
/// When cargo cannot be started, or the user interrupts.
#[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough over lifetimes")]
pub(crate) fn area(session: &Session) -> Result<Tally> {
    on_all(session, session.extent.long, |macos| macos.check())
}

fn on_all(session: &Session, intel: bool, work: impl Fn(&Macos<'_>) -> Result<Tally>) -> Result<Tally> {
    let mut tally = Tally::default();
    for triple in [Some(APPLE_SILICON), intel.then_some(INTEL)].into_iter().flatten() {
        tally.add(match Toolchain::get(session, triple, DIR) {
            Ok(toolchain) => work(&Macos { session, toolchain, triple })?,
            Err(why) => skipped(why),
        });
    }
    Ok(tally)
}

/// All that checks for one kind of Mac.
#[derive(Debug)]
struct Macos<'s> {
    session: &'s Session,
    toolchain: Toolchain,
    triple: &'static str,
}

impl Macos<'_> {
    fn check(&self) -> Result<Tally> {
        let mut command = self.toolchain.cargo(self.session, "check");
        command.args(["--quiet", "--color", "never", "--workspace", "--all-targets"]);
        for (name, _) in LEFT_OUT.iter().filter(|(name, _)| self.session.workspace.has_member(name)) {
            command.args(["--exclude", name]);
        }
        self.without_c(&mut command)?;
        self.session.check(&format!("cargo check for {}", self.triple), &mut command, CHECK_LIMIT)
    }

    /// Lets crates believe that they build C.
    fn without_c(&self, command: &mut Command) -> Result<()> {
        let nothing = self.nothing()?;
        // An SDK that is there is not asked for by a program that only macOS has.
        let sdk = self.toolchain.target_dir().join("sdk");
        std::fs::create_dir_all(&sdk)?;
        let suffix = self.triple.replace('-', "_");
        for tool in ["CC", "CXX", "AR", "RANLIB"] {
            command.env(format!("{tool}_{suffix}"), &nothing);
        }
        command.env("SDKROOT", sdk).env("MACOSX_DEPLOYMENT_TARGET", MACOS_MIN);
        Ok(())
    }

    fn nothing(&self) -> Result<PathBuf> {
        let path = self.toolchain.target_dir().join("nothing.sh");
        write_program(&path, NOTHING).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

fn write_program(path: &Path, text: &str) -> std::io::Result<()> {
    if std::fs::read_to_string(path).ok().as_deref() == Some(text) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
