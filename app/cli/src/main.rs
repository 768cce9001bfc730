//! `proxyfs`: the one program. Creates, mounts, watches and checks volumes.
//!
//! A map: [`cli`] is what people type, one file in `commands` carries out each command; [`target`] finds and opens a volume, [`session`] is a
//! mounted one, shown by an [`adapter`], [`control`] is how commands reach it; [`serve`] hosts many of them as a daemon, and `service` lets systemd run it, `launchd` a Mac (by a `service_file` both), `winservice` Windows; [`helper`] is this program as `mount.proxyfs`; [`registry`], [`paths`], [`options`] and [`units`] are what is configured; [`sys`] is what the systems do differently; [`credentials`] and [`memory`]
//! keep secrets; [`output`] and [`failure`] are what is said, [`waiting`] while uploads take long. What a file system means is the engine's business, and none of it is decided here.

mod adapter;
mod cli;
mod commands;
mod control;
mod credentials;
mod daemon;
mod failure;
mod held;
mod helper;
#[cfg(any(target_os = "macos", all(unix, test)))]
mod launchd;
mod local_only;
mod logging;
mod memory;
#[cfg_attr(windows, path = "mounts/windows.rs")]
mod mounts;
mod options;
mod output;
mod paths;
mod registry;
mod serve;
#[cfg(not(any(target_os = "macos", windows)))]
mod service;
#[cfg(unix)]
mod service_file;
mod session;
mod stats;
mod sys;
mod target;
mod units;
mod waiting;
#[cfg(windows)]
mod winservice;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::failure::{Failure, Outcome};
use crate::helper::Asked;
use crate::logging::Wish;
use crate::output::Style;

/// How long background work may hold up the end of the program.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let (arguments, exit_code): (_, fn(&Failure) -> u8) = match helper::asked(std::env::args_os()) {
        Ok(Asked::Command(arguments)) => (arguments, Failure::exit_code),
        Ok(Asked::Mount(arguments)) => (arguments, helper::exit_code),
        Ok(Asked::Nothing) => return ExitCode::SUCCESS,
        Err(failure) => {
            Style::Text.fail(&failure);
            return ExitCode::from(helper::exit_code(&failure));
        }
    };
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return cli::explain(&error),
    };
    memory::take_no_more_than_used();
    memory::keep_private();
    let style = if cli.json { Style::Json } else { Style::Text };
    #[cfg(windows)]
    if let Command::Serve(args) = &cli.command
        && let Some(code) = winservice::runner::hand_over(args, style)
    {
        return code;
    }
    finish(cli, style, exit_code)
}

/// The same in the thread that Windows starts for the service; gives the exit code.
#[cfg(windows)]
fn serve_as_service(cli: Cli) -> u8 {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(cli, Style::Text))).unwrap_or_else(|_| Err(defect()));
    outcome.map_or_else(
        |failure| {
            tracing::error!("{failure}");
            failure.exit_code()
        },
        |_| 0,
    )
}

/// Carries out the command; says what failed.
fn finish(cli: Cli, style: Style, exit_code: fn(&Failure) -> u8) -> ExitCode {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(cli, style))).unwrap_or_else(|_| Err(defect()));
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            style.fail(&failure);
            ExitCode::from(exit_code(&failure))
        }
    }
}

fn run(cli: Cli, style: Style) -> Outcome<ExitCode> {
    let given = Wish { level: cli.log.clone().filter(|level| !level.is_empty()), format: cli.log_format };
    let configured = match &cli.command {
        Command::Serve(args) => serve::log_wish(args),
        _ => Wish::default(),
    };
    logging::start(given, configured, cli.command.log_purpose())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::io("start", "the runtime", &e))?;
    let outcome = runtime.block_on(commands::run(cli.command, style));
    runtime.shutdown_timeout(SHUTDOWN_PATIENCE);
    outcome
}

/// The failure after a panic, whose text is in the log.
fn defect() -> Failure {
    let advice = "report it with the lines above; data that was acknowledged is kept, so just start again";
    Failure::new("go on with", "this command", "proxyfs has a defect here", advice)
}
