//! Carries out commands: one file each.

#[cfg(target_os = "macos")]
mod agent;
mod checkpoint;
mod completions;
mod credentials;
mod dump;
mod flush;
mod fsck;
mod mount;
mod quickstart;
mod reload;
mod serve;
#[cfg(not(any(target_os = "macos", windows)))]
mod service;
mod stats;
mod status;
mod unmount;
pub(crate) mod volume;
#[cfg(windows)]
mod winservice;

use std::process::ExitCode;

use crate::cli::Command;
use crate::failure::Outcome;
use crate::output::Style;
use crate::paths::Paths;

/// What every command gets.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// How to answer.
    pub(crate) style: Style,
    /// Where things are kept.
    pub(crate) paths: Paths,
}

/// Runs a command.
pub(crate) async fn run(command: Command, style: Style) -> Outcome<ExitCode> {
    let cx = Context { style, paths: Paths::from_env()? };
    match command {
        Command::Quickstart(args) => quickstart::run(&cx, args).await?,
        Command::Volume(command) => volume::run(&cx, command).await?,
        Command::Credentials(command) => credentials::run(&cx, command).await?,
        Command::Mount(args) => return mount::run(&cx, args).await,
        Command::Unmount { dir } => unmount::run(&cx, &dir).await?,
        Command::Serve(args) => serve::run(&cx, &args).await?,
        Command::Reload => reload::run(&cx).await?,
        #[cfg(not(any(target_os = "macos", windows)))]
        Command::Service(command) => service::run(&cx, &command)?,
        #[cfg(windows)]
        Command::Service(command) => winservice::run(&cx, &command)?,
        #[cfg(target_os = "macos")]
        Command::Service(command) => agent::run(&cx, &command)?,
        Command::Status { name } => status::run(&cx, name.as_deref()).await?,
        Command::Stats(args) => stats::run(&cx, &args).await?,
        Command::Flush { name } => flush::run(&cx, &name).await?,
        Command::Checkpoint { name } => checkpoint::run(&cx, &name).await?,
        Command::Fsck { name, data, repair, fall_back } => {
            let way = if repair {
                fsck::Way::Repair
            } else if fall_back {
                fsck::Way::FallBack
            } else {
                fsck::Way::Check
            };
            return fsck::run(&cx, &name, data, way).await;
        }
        Command::Dump { what, object } => dump::run(&cx, &what, object.as_deref()).await?,
        Command::Completions { shell } => completions::run(shell),
    }
    Ok(ExitCode::SUCCESS)
}
