//! `proxyfs service`: installs, removes and shows the daemon as a systemd service.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Context;
use crate::cli::ServiceCommand;
use crate::failure::{Failure, Outcome};
use crate::service::manager::Manager;
use crate::service::{Found, Scope, UNIT, look, write};

/// Carries out one command on the service.
pub(crate) fn run(cx: &Context, command: &ServiceCommand) -> Outcome {
    let (ServiceCommand::Install { user } | ServiceCommand::Uninstall { user } | ServiceCommand::Status { user }) =
        command;
    let scope = if *user { Scope::User } else { Scope::System };
    let place = scope.place(cx.paths.config_home());
    match command {
        ServiceCommand::Install { .. } => install(cx, scope, &place),
        ServiceCommand::Uninstall { .. } => uninstall(cx, scope, &place),
        ServiceCommand::Status { .. } => status(cx, scope, &place),
    }
}

fn install(cx: &Context, scope: Scope, place: &Path) -> Outcome {
    may_change(scope, "install")?;
    let program = program()?;
    let manager = Manager::reach(scope)?;
    let (found, old) = look(place).map_err(|e| Failure::io("read", &place.display().to_string(), &e))?;
    if found == Found::Foreign {
        let advice = format!("remove it, or use it: systemctl enable --now {UNIT}");
        return Err(Failure::new("replace", place.display().to_string(), "somebody else wrote this unit", advice));
    }
    let unit = scope.unit(&program);
    let changed = unit != old;
    let ran = manager.facts()?.get("ActiveState").is_some_and(|state| state == "active");
    if changed {
        write(place, &unit).map_err(|e| Failure::io("write", &place.display().to_string(), &e))?;
        manager.reload_units()?;
    }
    manager.enable()?;
    let restart = changed && ran;
    let done = json!({ "unit": place, "program": program, "changed": changed, "needs_restart": restart });
    cx.style.show(&done, || {
        let mut text = format!("{} runs, now and after each {}.", UNIT, begin(scope));
        if restart {
            text += "\nIt still runs as it was before; when nothing uses the mounts: systemctl restart proxyfs";
        }
        if scope == Scope::User {
            text += "\nTo have it run without a login: loginctl enable-linger";
        }
        text
    });
    Ok(())
}

fn begin(scope: Scope) -> &'static str {
    match scope {
        Scope::System => "boot",
        Scope::User => "login",
    }
}

fn uninstall(cx: &Context, scope: Scope, place: &Path) -> Outcome {
    may_change(scope, "uninstall")?;
    let (found, _) = look(place).map_err(|e| Failure::io("read", &place.display().to_string(), &e))?;
    match found {
        Found::Nothing => {}
        Found::Foreign => {
            let advice = format!("remove it by hand: systemctl disable --now {UNIT}, then the file");
            return Err(Failure::new("remove", place.display().to_string(), "somebody else wrote this unit", advice));
        }
        Found::Own => {
            let manager = Manager::reach(scope)?;
            manager.disable()?;
            fs::remove_file(place).map_err(|e| Failure::io("remove", &place.display().to_string(), &e))?;
            manager.reload_units()?;
        }
    }
    let was_installed = found == Found::Own;
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
    let facts = Manager::reach(scope)?.facts()?;
    let fact = |key: &str| facts.get(key).filter(|v| !v.is_empty()).cloned();
    let unit = fact("FragmentPath");
    let shown = json!({
        "installed": unit.is_some(),
        "unit": unit,
        "ours": look(place).is_ok_and(|(found, _)| found == Found::Own),
        "active": fact("ActiveState"),
        "state": fact("SubState"),
        "enabled": fact("UnitFileState").is_some_and(|state| state.starts_with("enabled")),
        "pid": fact("MainPID").and_then(|pid| pid.parse::<u32>().ok()).filter(|pid| *pid != 0),
        "says": fact("StatusText"),
        "changed_on_disk": fact("NeedDaemonReload").is_some_and(|yes| yes == "yes"),
    });
    cx.style.show(&shown, || text(&shown));
    Ok(())
}

fn text(shown: &Value) -> String {
    if shown["installed"] != true {
        return "The service is not installed: proxyfs service install".to_owned();
    }
    let word = |key: &str| shown[key].as_str().unwrap_or("-").to_owned();
    let mut rows = vec![
        vec!["unit".to_owned(), word("unit")],
        vec!["state".to_owned(), format!("{} ({})", word("active"), word("state"))],
        vec!["starts by itself".to_owned(), if shown["enabled"] == true { "yes" } else { "no" }.to_owned()],
    ];
    if let Some(pid) = shown["pid"].as_u64() {
        rows.push(vec!["process".to_owned(), pid.to_string()]);
    }
    if let Some(says) = shown["says"].as_str() {
        rows.push(vec!["says".to_owned(), says.to_owned()]);
    }
    if shown["changed_on_disk"] == true {
        rows.push(vec!["note".to_owned(), "the unit changed on disk: systemctl daemon-reload".to_owned()]);
    }
    crate::output::table(&rows)
}

/// The machine's service is root's business, a user's service that user's.
fn may_change(scope: Scope, action: &str) -> Outcome {
    if scope == Scope::System && !rustix::process::geteuid().is_root() {
        let advice = format!("run it as root, or for yourself alone: proxyfs service {action} --user");
        return Err(Failure::new(action, "the machine's service", "only root may", advice));
    }
    Ok(())
}

/// The running program.
fn program() -> Outcome<PathBuf> {
    let failed = |e: std::io::Error| Failure::io("find", "this program's file", &e);
    std::env::current_exe().and_then(|path| path.canonicalize()).map_err(failed)
}
