//! `proxyfs service`: installs, removes and shows the daemon as a systemd service.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Context;
use crate::cli::ServiceCommand;
use crate::failure::{Failure, Outcome};
use crate::mounts;
use crate::registry::Registry;
use crate::service::link::{self, Linked};
use crate::service::manager::Manager;
use crate::service::{Scope, UNIT, is_own, notes_link};
use crate::service_file::{Found, look, write};

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
    let (found, old) = look(place, is_own).map_err(|e| Failure::io("read", &place.display().to_string(), &e))?;
    if found == Found::Foreign {
        let advice = format!("remove it, or use it: systemctl enable --now {UNIT}");
        return Err(Failure::new("replace", place.display().to_string(), "somebody else wrote this unit", advice));
    }
    let linked = (scope == Scope::System).then(|| link::make(Path::new(link::HELPERS), &program, notes_link(&old)));
    let unit = scope.unit(&program, linked.as_ref().is_some_and(Linked::is_ours));
    let changed = unit != old;
    let ran = manager.facts()?.get("ActiveState").is_some_and(|state| state == "active");
    if changed {
        write(place, &unit).map_err(|e| Failure::io("write", &place.display().to_string(), &e))?;
        manager.reload_units()?;
    }
    manager.enable()?;
    let restart = changed && ran;
    let mounts = wanted_mounts(cx)?;
    let helper = linked.as_ref().and_then(Linked::place);
    let done = json!({
        "unit": place, "program": program, "changed": changed, "needs_restart": restart, "mount_helper": helper, "mounts": mounts
    });
    cx.style.show(&done, || {
        let mut lines = vec![format!("{} runs, now and after each {}.", UNIT, begin(scope))];
        if restart {
            lines.push(
                "It still runs as it was before; when nothing uses the mounts: systemctl restart proxyfs".to_owned(),
            );
        }
        lines.extend(linked.as_ref().and_then(about_link));
        lines.extend(about_mounts(&mounts, cx.paths.config_file().exists()));
        if scope == Scope::User {
            lines.push("To have it run without a login: loginctl enable-linger".to_owned());
        }
        lines.join("\n")
    });
    Ok(())
}

/// What to say of mount(8)'s helper, if it is not as it should be.
fn about_link(linked: &Linked) -> Option<String> {
    let (place, why) = match linked {
        Linked::Ours(_) | Linked::There(_) => return None,
        Linked::Foreign(place) => (place, "somebody else's file is there".to_owned()),
        Linked::Refused(place, e) => (place, e.to_string()),
    };
    let place = place.display();
    Some(format!("mount(8) and fstab do not know the type proxyfs: {place} could not be linked, {why}."))
}

/// A volume that the registry wants mounted.
#[derive(Debug, serde::Serialize)]
struct Mount {
    volume: String,
    mount_point: PathBuf,
    /// Whether one of our file systems is there.
    mounted: bool,
}

/// What is to be mounted, and whether it is; the service was started, so each was tried.
fn wanted_mounts(cx: &Context) -> Outcome<Vec<Mount>> {
    let registered = Registry::new(cx.paths.registry()).load()?;
    let wanted = registered.into_iter().filter_map(|(volume, entry)| Some((volume, entry.mount?.mount_point)));
    let look = |(volume, mount_point): (String, PathBuf)| {
        let kind = mounts::type_at(&mount_point).unwrap_or_default();
        Mount { volume, mount_point, mounted: kind.is_some_and(|kind| mounts::is_ours(&kind)) }
    };
    Ok(wanted.map(look).collect())
}

/// `configured`: the configuration may name more of them.
fn about_mounts(mounts: &[Mount], configured: bool) -> Vec<String> {
    if mounts.is_empty() {
        let next = if configured {
            "What it mounts: proxyfs status"
        } else {
            "Give it a volume: proxyfs volume create NAME --store URL --mount DIR; one that is there: proxyfs mount NAME DIR"
        };
        return vec![next.to_owned()];
    }
    let line = |m: &Mount| {
        let (volume, place) = (&m.volume, m.mount_point.display());
        if m.mounted {
            format!("{volume} is mounted on {place}.")
        } else {
            format!("{volume} is not mounted on {place} yet; why: proxyfs status")
        }
    };
    mounts.iter().map(line).collect()
}

fn begin(scope: Scope) -> &'static str {
    match scope {
        Scope::System => "boot",
        Scope::User => "login",
    }
}

fn uninstall(cx: &Context, scope: Scope, place: &Path) -> Outcome {
    may_change(scope, "uninstall")?;
    let (found, unit) = look(place, is_own).map_err(|e| Failure::io("read", &place.display().to_string(), &e))?;
    match found {
        Found::Nothing => {}
        Found::Foreign => {
            let advice = format!("remove it by hand: systemctl disable --now {UNIT}, then the file");
            return Err(Failure::new("remove", place.display().to_string(), "somebody else wrote this unit", advice));
        }
        Found::Own => {
            let manager = Manager::reach(scope)?;
            manager.disable()?;
            if scope == Scope::System && notes_link(&unit) {
                link::remove(Path::new(link::HELPERS), &program()?)
                    .map_err(|e| Failure::io("remove", "the link mount.proxyfs", &e))?;
            }
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
        "ours": look(place, is_own).is_ok_and(|(found, _)| found == Found::Own),
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
