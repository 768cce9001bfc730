//! `proxyfs service` on macOS: installs, removes and shows the daemon as a job of launchd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::geteuid;
use serde_json::json;

use super::Context;
use crate::cli::ServiceCommand;
use crate::failure::{Failure, Outcome};
use crate::launchd::{Job, LABEL, Scope, is_own, job, property_list};
use crate::service_file::{Found, look, write};

/// The program that speaks to launchd.
const LAUNCHCTL: &str = "/bin/launchctl";
/// What it answers when there is no such job.
const NO_SUCH_JOB: [i32; 2] = [113, 3];
/// What it answers when the job has been asked to end and has not ended yet.
const STILL_ENDING: i32 = 36;

/// Carries out one command on the service.
pub(crate) fn run(cx: &Context, command: &ServiceCommand) -> Outcome {
    let (ServiceCommand::Install { user } | ServiceCommand::Uninstall { user } | ServiceCommand::Status { user }) =
        command;
    let scope = if *user { Scope::User(geteuid().as_raw()) } else { Scope::System };
    let home = home(scope)?;
    let place = scope.place(&home);
    match command {
        ServiceCommand::Install { .. } => install(cx, scope, &place, &scope.log(&home)),
        ServiceCommand::Uninstall { .. } => uninstall(cx, scope, &place),
        ServiceCommand::Status { .. } => status(cx, scope, &place),
    }
}

fn home(scope: Scope) -> Outcome<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    match (scope, home) {
        (_, Some(home)) => Ok(home),
        (Scope::System, None) => Ok(PathBuf::from("/")),
        (Scope::User(_), None) => {
            Err(Failure::new("find", "this user's library", "HOME is not an absolute path", "set HOME"))
        }
    }
}

fn install(cx: &Context, scope: Scope, place: &Path, log: &Path) -> Outcome {
    may_change(scope, "install")?;
    let failed = |e| Failure::io("find", "this program", &e);
    let program = std::env::current_exe().and_then(|path| path.canonicalize()).map_err(failed)?;
    let (found, old) = look(place, is_own).map_err(|e| Failure::io("read", &place.display().to_string(), &e))?;
    if found == Found::Foreign {
        let advice = format!("remove it, or use it: launchctl bootstrap {} '{}'", scope.domain(), place.display());
        return Err(Failure::new("replace", place.display().to_string(), "somebody else wrote this job", advice));
    }
    let text = property_list(&program, log);
    let changed = text != old;
    if changed {
        write(place, &text).map_err(|e| Failure::io("write", &place.display().to_string(), &e))?;
    }
    let running = loaded(scope)?.is_some();
    if !running {
        launchctl("start", &["enable", &scope.target()])?;
        launchctl("start", &["bootstrap", &scope.domain(), &place.display().to_string()])?;
    }
    let restart = changed && running;
    let done = json!({ "job": scope.target(), "unit": place, "program": program, "changed": changed, "needs_restart": restart, "log": log });
    cx.style.show(&done, || {
        let begin = if scope == Scope::System { "boot" } else { "login" };
        let mut lines = vec![format!("{LABEL} runs, now and after each {begin}; its log: {}", log.display())];
        if restart {
            let switch = if scope == Scope::System { "" } else { " --user" };
            lines.push(format!(
                "It still runs as it was before; when nothing uses the mounts: proxyfs service uninstall{switch}, then install again"
            ));
        }
        lines.push("What it mounts: proxyfs status".to_owned());
        lines.join("\n")
    });
    Ok(())
}

fn uninstall(cx: &Context, scope: Scope, place: &Path) -> Outcome {
    may_change(scope, "uninstall")?;
    let (found, _) = look(place, is_own).map_err(|e| Failure::io("read", &place.display().to_string(), &e))?;
    if found == Found::Foreign {
        let advice = format!("remove it by hand: launchctl bootout {}, then the file", scope.target());
        return Err(Failure::new("remove", place.display().to_string(), "somebody else wrote this job", advice));
    }
    let was_installed = found == Found::Own;
    if was_installed {
        let output = ask(&["bootout", &scope.target()])?;
        let code = output.status.code().unwrap_or(-1);
        if !(output.status.success() || code == STILL_ENDING || NO_SUCH_JOB.contains(&code)) {
            return Err(refused("stop", &output));
        }
        fs::remove_file(place).map_err(|e| Failure::io("remove", &place.display().to_string(), &e))?;
    }
    cx.style.show(&json!({ "unit": place, "was_installed": was_installed }), || {
        if was_installed {
            "The service is stopped and removed; volumes, configuration and data stay.".to_owned()
        } else {
            "The service is not installed.".to_owned()
        }
    });
    Ok(())
}

fn status(cx: &Context, scope: Scope, place: &Path) -> Outcome {
    let (found, _) = look(place, is_own).map_err(|e| Failure::io("read", &place.display().to_string(), &e))?;
    let job = loaded(scope)?;
    let Job { state, pid, last_exit } = job.clone().unwrap_or_default();
    let shown = json!({
        "installed": found != Found::Nothing,
        "unit": place,
        "ours": found == Found::Own,
        "loaded": job.is_some(),
        "state": state,
        "pid": pid,
        "last_exit": last_exit,
    });
    cx.style.show(&shown, || {
        if found == Found::Nothing {
            return "The service is not installed: proxyfs service install".to_owned();
        }
        let mut rows = vec![
            vec!["job".to_owned(), scope.target()],
            vec!["state".to_owned(), state.clone().unwrap_or_else(|| "not loaded".to_owned())],
        ];
        rows.extend(pid.map(|pid| vec!["process".to_owned(), pid.to_string()]));
        rows.extend(last_exit.clone().map(|code| vec!["ended last with".to_owned(), code]));
        crate::output::table(&rows)
    });
    Ok(())
}

/// Only root may change the machine's jobs, and an agent belongs to whoever is logged in.
fn may_change(scope: Scope, action: &str) -> Outcome {
    let root = geteuid().is_root();
    match scope {
        Scope::System if !root => Err(Failure::new(
            action,
            "the machine's service",
            "only root may",
            format!("sudo proxyfs service {action}; or for yourself alone: proxyfs service {action} --user"),
        )),
        Scope::User(_) if root => Err(Failure::new(
            action,
            "a user's service",
            "root has no login session of its own",
            format!("proxyfs service {action}, for the machine; or as that user, without sudo"),
        )),
        _ => Ok(()),
    }
}

/// What launchd says of the job, if it is loaded.
fn loaded(scope: Scope) -> Outcome<Option<Job>> {
    let output = ask(&["print", &scope.target()])?;
    if output.status.success() {
        return Ok(Some(job(&String::from_utf8_lossy(&output.stdout))));
    }
    match output.status.code() {
        Some(code) if NO_SUCH_JOB.contains(&code) => Ok(None),
        _ => Err(refused("look at", &output)),
    }
}

fn launchctl(action: &str, arguments: &[&str]) -> Outcome {
    let output = ask(arguments)?;
    if output.status.success() { Ok(()) } else { Err(refused(action, &output)) }
}

fn ask(arguments: &[&str]) -> Outcome<Output> {
    let output = Command::new(LAUNCHCTL).args(arguments).stdin(Stdio::null()).output();
    output.map_err(|e| Failure::io("run", LAUNCHCTL, &e))
}

fn refused(action: &str, output: &Output) -> Failure {
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let why = if said.is_empty() { output.status.to_string() } else { said };
    Failure::new(
        action,
        format!("the job {LABEL}"),
        why,
        "look at Console, or `log show --predicate 'process == \"launchd\"' --last 5m`",
    )
}
