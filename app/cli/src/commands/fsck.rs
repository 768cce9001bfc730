//! `proxyfs fsck`: is the volume in its store what it should be, and `--repair` for what can be mended.
//!
//! A volume that is mounted here is asked for a checkpoint first, so that the check sees what is true now. The check itself only
//! reads. Exit code 1 says that something is wrong, whatever the style.

use std::process::ExitCode;

use proxyfs_core::engine::Engine;
use proxyfs_core::fsck::{FsckOptions, FsckReport, check_volume, fall_back, repair_volume};

use super::Context;
use crate::control::{Request, client};
use crate::failure::{Failure, Outcome};
use crate::options::{Given, Settings};
use crate::target::Target;

/// Exit code of a check that found something.
const FOUND: u8 = 1;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Only look.
    Check,
    /// Mend what can be mended, then look.
    Repair,
    /// Publish the newest readable head again, then look.
    FallBack,
}

/// Checks, or mends and checks.
pub(crate) async fn run(cx: &Context, name: &str, data: bool, way: Way) -> Outcome<ExitCode> {
    let target = Target::resolve(&cx.paths, name, &Given::new()).await?;
    let settings = target.settings(&Given::new())?;
    let options = FsckOptions { data, timeout: settings.volume.operation_timeout, ..FsckOptions::default() };
    if way == Way::FallBack {
        let _lock = target.environment(&cx.paths, "go back to an older head of").await?;
        let store = target.store(&settings).await?;
        let head = fall_back(&store, &options).await;
        let head = head.map_err(|e| Failure::engine("go back to an older head of", &target.subject(), &e))?;
        cx.style.progress(&format!("went back to what head {} holds (LSN {})", head.seq, head.lsn));
    }
    let report = if way == Way::Repair {
        mend(cx, &target, settings, &options).await?
    } else {
        let here =
            client::ask(&target.state_dir(&cx.paths), Request::Checkpoint, |line| cx.style.progress(line)).await?;
        if here.is_some() {
            cx.style.progress("the volume is mounted here: what is checked is a checkpoint taken now");
        }
        let store = target.store(&settings).await?;
        check_volume(&store, &options).await.map_err(|e| Failure::engine("check", &target.subject(), &e))?
    };
    cx.style.show(&report, || text(&target, &report));
    Ok(if report.clean() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

async fn mend(cx: &Context, target: &Target, settings: Settings, options: &FsckOptions) -> Outcome<FsckReport> {
    let env = target.environment(&cx.paths, "repair").await?;
    let store = target.store(&settings).await?;
    let engine = Engine::new(&settings.engine);
    let outcome = repair_volume(engine, env, store, settings.volume, options).await;
    let report = outcome.map_err(|e| Failure::engine("repair", &target.subject(), &e))?;
    for action in &report.actions {
        cx.style.progress(&format!("mended: {action}"));
    }
    cx.style.progress(&format!("{} changes made", report.actions_total));
    Ok(report.after)
}

fn text(target: &Target, report: &FsckReport) -> String {
    let mut out = String::new();
    for fault in &report.faults {
        out.push_str(&format!("{fault}\n"));
    }
    let counts = &report.counts;
    let verdict = if report.clean() { "nothing is wrong" } else { "something is wrong" };
    out.push_str(&format!(
        "Checked {}: {verdict}. {} files and {} directories, {} bytes in {} data objects, {} pages; {} errors, {} warnings, {} notes.",
        target.subject(),
        counts.files,
        counts.directories,
        counts.file_bytes,
        counts.data_objects,
        counts.pages,
        report.errors,
        report.warnings,
        report.notes,
    ));
    if report.unreplayed {
        out.push_str("\nChanges that are not in this checkpoint may wait with the volume's owner.");
    }
    out
}
