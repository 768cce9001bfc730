//! `cargo xtask macos` and the area `macos`: the workspace compiles for macOS, and the program links. Nothing built for it runs here.
//!
//! A check generates no code and links nothing, so it needs no SDK and no compiler of C: crates that build C are given one that makes
//! empty files (`macos/nothing.sh`). What they would build from C is therefore not checked; their Rust is. A build ([`build`]) takes a
//! real compiler, and a target directory of its own, since what is made with the one is of no use to the other.

mod build;
mod image;
mod stubs;
mod zig;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::toolchain::Toolchain;
use super::{UNOPTIMISED_DEPENDENCIES, alone, skipped};
use crate::session::Session;
use crate::tally::Tally;
use image::Cpu;
use zig::Zig;

/// A kind of Mac.
#[derive(Clone, Copy, Debug)]
struct Mac {
    /// Rust's word for it.
    triple: &'static str,
    /// Its processor.
    cpu: Cpu,
}

/// Macs of today.
const APPLE_SILICON: Mac = Mac { triple: "aarch64-apple-darwin", cpu: Cpu::Arm64 };

/// Macs of before.
const INTEL: Mac = Mac { triple: "x86_64-apple-darwin", cpu: Cpu::X86_64 };

impl Mac {
    /// zig's words for it.
    fn zig_target(self) -> String {
        let processor = self.triple.split('-').next().unwrap_or_default();
        format!("{processor}-macos.{MACOS_MIN}")
    }
}

/// Folders below the target directory.
const CHECK_DIR: &str = "macos";
const BUILD_DIR: &str = "macos-build";

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
    /// Install what checking and building need, as far as it is missing
    Setup,
    /// cargo check
    Check,
    /// Build the program, and look at what it needs to start
    Build,
}

/// Does one task.
///
/// # Errors
/// When the machine lacks what it takes, or the user interrupts.
pub(crate) fn run(args: &MacosArgs) -> Result<ExitCode> {
    alone(|session| match args.task {
        Task::Setup => on_all(session, args.intel, CHECK_DIR, setup),
        Task::Check => on_all(session, args.intel, CHECK_DIR, check),
        Task::Build => on_all(session, args.intel, BUILD_DIR, build::run),
    })
}

/// The area.
///
/// # Errors
/// When cargo cannot be started, or the user interrupts.
pub(crate) fn area(session: &Session) -> Result<Tally> {
    let mut tally = on_all(session, session.extent.long, CHECK_DIR, check)?;
    if session.extent.long {
        tally.add(on_all(session, true, BUILD_DIR, build::run)?);
    }
    Ok(tally)
}

fn on_all(session: &Session, intel: bool, dir: &str, work: impl Fn(&Macos<'_>) -> Result<Tally>) -> Result<Tally> {
    let mut tally = Tally::default();
    for mac in [Some(APPLE_SILICON), intel.then_some(INTEL)].into_iter().flatten() {
        tally.add(match Toolchain::get(session, mac.triple, dir) {
            Ok(toolchain) => work(&Macos { session, toolchain, mac })?,
            Err(why) => skipped(why),
        });
    }
    Ok(tally)
}

/// The toolchain is there already; zig may not be.
fn setup(macos: &Macos<'_>) -> Result<Tally> {
    Ok(Zig::install(macos.session).map_or_else(skipped, |_| Tally::pass()))
}

fn check(macos: &Macos<'_>) -> Result<Tally> {
    let mut command = macos.toolchain.cargo(macos.session, "check");
    command.args(["--quiet", "--color", "never", "--workspace", "--all-targets"]);
    for (name, _) in LEFT_OUT.iter().filter(|(name, _)| macos.session.workspace.has_member(name)) {
        command.args(["--exclude", name]);
    }
    macos.without_c(&mut command)?;
    macos.session.check(&format!("cargo check for {}", macos.mac.triple), &mut command, CHECK_LIMIT)
}

/// All that checks or builds for one kind of Mac.
#[derive(Debug)]
struct Macos<'s> {
    session: &'s Session,
    toolchain: Toolchain,
    mac: Mac,
}

impl Macos<'_> {
    /// Lets crates believe that they build C.
    fn without_c(&self, command: &mut Command) -> Result<()> {
        let nothing = self.nothing()?;
        let suffix = self.mac.triple.replace('-', "_");
        for tool in ["CC", "CXX", "AR", "RANLIB"] {
            command.env(format!("{tool}_{suffix}"), &nothing);
        }
        self.settle(command)
    }

    /// Says which macOS is built for, without its SDK, and that haste goes before speed.
    fn settle(&self, command: &mut Command) -> Result<()> {
        // An SDK that is there is not asked for by a program that only macOS has.
        let sdk = self.toolchain.target_dir().join("sdk");
        std::fs::create_dir_all(&sdk)?;
        command.env("SDKROOT", sdk).env("MACOSX_DEPLOYMENT_TARGET", MACOS_MIN);
        command.args(["--config", UNOPTIMISED_DEPENDENCIES]);
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
