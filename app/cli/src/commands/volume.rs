//! `proxyfs volume ...`: volumes and their names.

pub(crate) mod create;
mod delete;
mod list;
mod release;
mod show;

use std::time::Duration;

use super::Context;
use crate::cli::VolumeCommand;
use crate::failure::{Failure, Outcome};
use crate::options::Given;
use crate::paths::Paths;
use crate::target::Target;
use crate::units::about_size;

/// How long the store may take to get everything when a volume is opened only to be closed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(60);

/// Runs one of them.
pub(crate) async fn run(cx: &Context, command: VolumeCommand) -> Outcome {
    match command {
        VolumeCommand::Create(args) => create::run(cx, &args).await,
        VolumeCommand::List => list::run(cx).await,
        VolumeCommand::Show { name } => show::run(cx, &name).await,
        VolumeCommand::Release { name } => release::run(cx, &name, false).await,
        VolumeCommand::TakeOver { name } => release::run(cx, &name, true).await,
        VolumeCommand::Delete { name } => delete::run(cx, &name).await,
    }
}

/// Opens a volume that is not mounted and closes it cleanly: what was staged here is in the store then.
pub(crate) async fn open_and_close(paths: &Paths, target: &Target, action: &str, take_over: bool) -> Outcome {
    let mut settings = target.settings(&Given::new())?;
    settings.volume.take_over = take_over;
    settings.volume.read_only = false;
    let volume = target.open(paths, action, settings).await?;
    let report = volume.close(CLOSE_PATIENCE).await.map_err(|e| Failure::engine(action, &target.subject(), &e))?;
    if report.in_store {
        return Ok(());
    }
    let why = format!(
        "the store did not take everything in time; {} wait on this computer",
        about_size(report.waiting_bytes)
    );
    Err(Failure::new(action, target.subject(), why, "check the network and the store, then try again"))
}
