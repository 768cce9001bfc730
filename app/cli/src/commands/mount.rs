//! `proxyfs mount`: in the foreground, or in the background with `--daemon`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use proxyfs_control::types::volume::Mounted;

use super::Context;
use crate::cli::Mount;
use crate::daemon;
use crate::failure::{Failure, Outcome};
use crate::options::{Given, parse_given};
use crate::output::Style;
use crate::serve::ask;
use crate::session::{Plan, Ready, run as serve};
use crate::target::Target;

/// Mounts.
pub(crate) async fn run(cx: &Context, args: Mount) -> Outcome<ExitCode> {
    let given = parse_given(&args.options)?;
    if !args.background
        && !args.alone
        && args.credentials.is_none()
        && let Some(mounted) = through_daemon(cx, &args, &given).await?
    {
        cx.style.show(&mounted, || {
            let offline = if mounted.online { "" } else { " The store does not answer: working offline." };
            format!(
                "Mounted {} on {} in the daemon, process {}.{offline}",
                mounted.volume, mounted.mount_point, mounted.pid
            )
        });
        return Ok(ExitCode::SUCCESS);
    }
    if args.daemon {
        return in_background(cx, &args);
    }
    if args.background {
        return Ok(background(cx, &args, &given).await);
    }
    let plan = plan(cx, &args, &given).await?;
    let ready = |ready: &Ready| {
        cx.style.show(ready, || text(ready));
        cx.style.say("Ctrl-C unmounts it.");
        Ok(())
    };
    let ended = serve(&cx.paths, plan, cx.style, ready).await?;
    cx.style.say(&ended.text());
    Ok(ExitCode::SUCCESS)
}

/// Asks the daemon, if one runs that knows the volume by this name. It mounts the volume again after a restart.
async fn through_daemon(cx: &Context, args: &Mount, given: &Given) -> Outcome<Option<Mounted>> {
    let Some((daemon, name)) = ask::daemon_with(&cx.paths, &args.volume, |_| true).await else { return Ok(None) };
    let subject = format!("volume {}", args.volume);
    let dir = crate::sys::absolute_place(&args.dir).map_err(|e| Failure::io("mount", &subject, &e))?;
    let mut options = given.clone();
    if args.allow_other {
        options.insert("allow_other".to_owned(), "yes".to_owned());
    }
    let mount = proxyfs_control::types::volume::Mount {
        mount_point: Some(dir.display().to_string()),
        read_only: args.read_only,
        take_over: args.take_over,
        options,
    };
    let mounted = daemon.mount(&name, &mount, |line| cx.style.progress(line)).await;
    mounted.map(Some).map_err(|e| ask::failure("mount", &subject, &e))
}

/// The side that people see.
fn in_background(cx: &Context, args: &Mount) -> Outcome<ExitCode> {
    let ready = daemon::spawn(&args.dir.display().to_string())?;
    cx.style.show(&ready, || {
        let [volume, place] = ["volume", "mount_point"].map(|key| ready[key].as_str().unwrap_or("").to_owned());
        format!("Mounted {volume} on {place} in the background, process {}.", ready["pid"])
    });
    Ok(ExitCode::SUCCESS)
}

/// The background process. Its failures go to whoever started it, or to the log once nobody waits.
async fn background(cx: &Context, args: &Mount, given: &Given) -> ExitCode {
    let reported = AtomicBool::new(false);
    let outcome = serve_in_background(cx, args, given, &reported).await;
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if reported.load(Ordering::Relaxed) => {
            tracing::error!("{failure}");
            ExitCode::from(failure.exit_code())
        }
        Err(failure) => {
            daemon::report_failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn serve_in_background(cx: &Context, args: &Mount, given: &Given, reported: &AtomicBool) -> Outcome {
    let plan = plan(cx, args, given).await?;
    let state_dir = plan.target.state_dir(&cx.paths);
    daemon::detach(&state_dir).map_err(|e| Failure::io("log to", &state_dir.display().to_string(), &e))?;
    let ready = |ready: &Ready| {
        daemon::report_ready(ready)
            .map_err(|e| Failure::io("report to", "the process that asked for the mount", &e))?;
        reported.store(true, Ordering::Relaxed);
        Ok(())
    };
    // Standard output is the report; progress goes to the log.
    let ended = serve(&cx.paths, plan, Style::Text, ready).await?;
    tracing::info!("{}", ended.text());
    Ok(())
}

async fn plan(cx: &Context, args: &Mount, given: &Given) -> Outcome<Plan> {
    let target = Target::resolve_with(&cx.paths, &args.volume, given, args.credentials.as_deref()).await?;
    let mut settings = target.settings(given)?;
    settings.volume.read_only |= args.read_only;
    settings.volume.take_over = args.take_over;
    settings.allow_other |= args.allow_other;
    Ok(Plan { target, mount_point: args.dir.clone(), settings })
}

fn text(ready: &Ready) -> String {
    let offline = if ready.online { "" } else { " The store does not answer: working offline." };
    format!("Mounted {} on {}.{offline}", ready.volume, ready.mount_point.display())
}
