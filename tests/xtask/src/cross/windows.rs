//! `cargo xtask windows` and the area `windows`: the workspace for Windows, linted, and tested under Wine.
//!
//! Wine is no Windows: what it shows and what it cannot stands in docs/TESTING.md.

mod dist;
pub(crate) mod exchange;
mod members;
mod wine;
mod winfsp_sys;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::json::{Built, built};
use super::toolchain::Toolchain;
use super::{UNOPTIMISED_DEPENDENCIES, alone, packages, skipped};
use crate::prerequisites as pre;
use crate::process::run as run_command;
use crate::session::Session;
use crate::tally::Tally;
use wine::{Wine, windows_path};

/// What is built for. The other compiler for Windows, Microsoft's, does not run here.
const TRIPLE: &str = "x86_64-pc-windows-gnu";

/// Its folder below the target directory.
const DIR: &str = "windows";

/// The linker and C compiler.
const LINKER: &str = "x86_64-w64-mingw32-gcc";

/// Tests are built anew more often than they run long here: compiling fast counts.
const UNOPTIMISED: [&str; 2] = [UNOPTIMISED_DEPENDENCIES, "profile.test.opt-level=0"];

/// Building all from nothing takes a third of it on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);

/// Bound of one program of tests.
const TEST_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Tells tests where the programs are, as in other areas.
const PROGRAM_VARIABLES: [(&str, &str); 2] = [("proxyfs", "PROXYFS_BIN"), ("s3server", "PROXYFS_S3SERVER")];

/// The adapter's tests under the real library.
const DRIVER: &str = "driver";

/// Tells tests where the user-mode part of WinFsp is, which its bindings ship.
const WINFSP_DLL_VARIABLE: &str = "PROXYFS_WINFSP_DLL";

/// Tells tests that this is not Windows itself: what Wine is known to lack is skipped, and fails where it is not Wine that lacks it.
const WINE_VARIABLE: &str = "PROXYFS_TEST_WINE";

/// What to do for Windows.
#[derive(Debug, Args)]
pub(crate) struct WindowsArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building and testing need, as far as it is missing
    Setup,
    /// cargo check
    Check(Choice),
    /// cargo clippy, without warnings
    Clippy(Choice),
    /// Run the tests under Wine
    Test(Choice),
    /// cargo build
    Build(Choice),
    /// Build a release, pack it, and start it under Wine
    Dist,
}

#[derive(Debug, Args)]
struct Choice {
    /// Only these packages
    #[arg(short, long = "package", value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Of the tests, only those with one of these in their names
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Does one task.
///
/// # Errors
/// When the machine lacks what it takes, or the user interrupts.
pub(crate) fn run(args: &WindowsArgs) -> Result<ExitCode> {
    alone(|session| {
        let windows = match Windows::get(session) {
            Ok(windows) => windows,
            Err(why) => return Ok(skipped(why)),
        };
        match &args.task {
            Task::Setup => {
                Wine::template(session).map_err(anyhow::Error::msg)?;
                Ok(Tally::pass())
            }
            Task::Check(choice) => windows.check(
                "check",
                windows.cargo("check"),
                &["--all-targets"],
                &windows.chosen(choice, members::built),
            ),
            Task::Clippy(choice) => windows.clippy(&windows.chosen(choice, members::built)),
            Task::Test(choice) => windows.test(&windows.chosen(choice, members::tested), &choice.names),
            Task::Build(choice) => {
                windows.check("build", windows.cargo("build"), &[], &windows.chosen(choice, members::built))
            }
            Task::Dist => dist::run(&windows),
        }
    })
}

/// The area: lints, then tests.
///
/// # Errors
/// When cargo cannot be started, or the user interrupts.
pub(crate) fn area(session: &Session) -> Result<Tally> {
    let windows = match Windows::get(session) {
        Ok(windows) => windows,
        Err(why) => return Ok(skipped(why)),
    };
    let mut tally = windows.clippy(&members::built(&session.workspace))?;
    tally.add(windows.test(&members::tested(&session.workspace), &[])?);
    Ok(tally)
}

/// All that builds for Windows.
#[derive(Debug)]
struct Windows<'s> {
    session: &'s Session,
    toolchain: Toolchain,
    /// Arguments of every cargo.
    arguments: Vec<String>,
}

impl<'s> Windows<'s> {
    fn get(session: &'s Session) -> Result<Self, String> {
        pre::system(pre::MINGW)?;
        let toolchain = Toolchain::get(session, TRIPLE, DIR)?;
        let mut arguments = winfsp_sys::arguments(session, toolchain.target_dir()).map_err(|e| format!("{e:#}"))?;
        arguments.extend(UNOPTIMISED.iter().flat_map(|setting| ["--config".to_owned(), (*setting).to_owned()]));
        Ok(Self { session, toolchain, arguments })
    }

    fn cargo(&self, task: &str) -> Command {
        self.finish(self.toolchain.cargo(self.session, task))
    }

    fn finish(&self, mut command: Command) -> Command {
        command.args(["--color", "never"]).args(&self.arguments);
        command.env(self.toolchain.variable("LINKER"), LINKER);
        command
    }

    fn chosen(&self, choice: &Choice, all: fn(&crate::workspace::Workspace) -> Vec<&str>) -> Vec<String> {
        match choice.packages.as_slice() {
            [] => all(&self.session.workspace).into_iter().map(str::to_owned).collect(),
            some => some.to_vec(),
        }
    }

    fn check<N: AsRef<str>>(
        &self,
        what: &str,
        mut command: Command,
        arguments: &[&str],
        members: &[N],
    ) -> Result<Tally> {
        command.args(arguments).args(packages(members.iter().map(AsRef::as_ref)));
        self.session.check(&format!("cargo {what} for Windows"), &mut command, BUILD_LIMIT)
    }

    fn clippy<N: AsRef<str>>(&self, members: &[N]) -> Result<Tally> {
        let mut command = self.finish(self.toolchain.clippy(self.session));
        command.args(["--quiet", "--all-targets"]).args(packages(members.iter().map(AsRef::as_ref)));
        command.args(["--", "-D", "warnings"]);
        self.session.check("cargo clippy for Windows", &mut command, BUILD_LIMIT)
    }

    /// Builds the tests of all members at once, so that they share one set of features, and runs them program by program.
    fn test<N: AsRef<str>>(&self, members: &[N], names: &[String]) -> Result<Tally> {
        let wine = match Wine::start(self.session) {
            Ok(wine) => wine,
            Err(why) => return Ok(skipped(why)),
        };
        let mut command = self.cargo("test");
        command.args(["--quiet", "--no-run", "--message-format=json-render-diagnostics"]);
        command.args(packages(members.iter().map(AsRef::as_ref)));
        let built = self.build(&mut command)?;
        let mut tally = Tally::default();
        for test in built.iter().filter(|program| program.is_test) {
            println!("--- {} of {}", test.name, test.package.display());
            let mut command = self.under(&wine, &built, test);
            command.arg("--show-output").args(names);
            tally.add(self.session.count(&format!("{} under Wine", test.name), &mut command, TEST_LIMIT)?);
        }
        if let Some(driver) = built.iter().find(|program| program.is_test && program.name == DRIVER)
            && (names.is_empty() || names.iter().any(|name| name == exchange::TEST))
        {
            println!("--- both systems on one volume");
            tally.add(exchange::run(self.session, &self.under(&wine, &built, driver))?);
        }
        Ok(tally)
    }

    /// A test program under Wine.
    fn under(&self, wine: &Wine, built: &[Built], test: &Built) -> Command {
        let mut command = wine.command(&test.program);
        command.current_dir(&test.package);
        self.tell(built, &mut command);
        command
    }

    /// The programs that a command builds.
    fn build(&self, command: &mut Command) -> Result<Vec<Built>> {
        let mut programs = Vec::new();
        let ended = run_command(command, BUILD_LIMIT, |line| match built(line) {
            Some(program) => programs.push(program),
            None if line.starts_with('{') => {}
            None => println!("{line}"),
        })?;
        if !ended.is_success() {
            bail!("building for Windows: {ended}");
        }
        Ok(programs)
    }

    /// Tells a test what it cannot find by itself.
    fn tell(&self, built: &[Built], command: &mut Command) {
        command.env(WINE_VARIABLE, "1");
        for (name, variable) in PROGRAM_VARIABLES {
            if let Some(found) = built.iter().find(|program| program.name == name && !program.is_test) {
                command.env(variable, windows_path(&found.program));
            }
        }
        if let Some(dll) = winfsp_sys::dll(&self.session.workspace) {
            command.env(WINFSP_DLL_VARIABLE, windows_path(&dll));
        }
        if self.session.extent.long {
            command.env("PROXYFS_TEST_LONG", "1");
        }
        if self.session.extent.quick {
            command.env("PROXYFS_TEST_QUICK", "1");
        }
    }

    /// What a member's release program is called.
    fn release(&self, program: &str) -> std::path::PathBuf {
        self.toolchain.built("release").join(Path::new(program).with_extension("exe"))
    }
}
