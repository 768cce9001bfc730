//! `proxyfs service` on Windows: installs, removes and shows the daemon as a service, or as what starts at a user's logon.

use std::io;
use std::path::PathBuf;

use proxyfs_windows::{descriptor, identity};
use serde_json::json;

use super::Context;
use crate::cli::ServiceCommand;
use crate::failure::{Failure, Outcome};
use crate::output::table;
use crate::paths::Paths;
use crate::paths::windows::MARK;
use crate::winservice::{self, NAME};

/// ERROR_ACCESS_DENIED.
const DENIED: i32 = 5;

/// Carries out one command on the service.
pub(crate) fn run(cx: &Context, command: &ServiceCommand) -> Outcome {
    match command {
        ServiceCommand::Install { user: true } => install_logon(cx),
        ServiceCommand::Install { user: false } => install(cx),
        ServiceCommand::Uninstall { user: true } => uninstall_logon(cx),
        ServiceCommand::Uninstall { user: false } => uninstall(cx),
        ServiceCommand::Status { user: true } => status_logon(cx),
        ServiceCommand::Status { user: false } => status(cx),
    }
}

fn install(cx: &Context) -> Outcome {
    may_change("install")?;
    let (program, dir) = (program()?, Paths::machine_dir()?);
    let failed = |e: io::Error| Failure::io("make", &format!("the service's directory {}", dir.display()), &e);
    // Anybody may make directories where programs keep the machine's data: whoever made this one has no say in it from here on.
    std::fs::create_dir_all(&dir).map_err(failed)?;
    descriptor::make_private(&dir).map_err(failed)?;
    std::fs::write(dir.join(MARK), "Written by `proxyfs service install`.\r\n").map_err(failed)?;
    let ran = winservice::install(&program).map_err(|e| refused("install", &e))?;
    let done = json!({ "service": NAME, "program": program, "needs_restart": ran, "directory": dir });
    cx.style.show(&done, || {
        let mut lines = vec![format!("The service {NAME} runs, now and after each start of Windows.")];
        if ran {
            lines.push(format!(
                "It still runs as it was before; when nothing uses the drives: net stop {NAME}, net start {NAME}"
            ));
        }
        lines.push(format!(
            "Its configuration and volumes: {}; commands mean them from elevated terminals.",
            dir.display()
        ));
        lines.push("Give it a volume: proxyfs volume create NAME --store URL --mount X:".to_owned());
        lines.join("\n")
    });
    Ok(())
}

fn uninstall(cx: &Context) -> Outcome {
    may_change("uninstall")?;
    let was_installed = winservice::uninstall().map_err(|e| refused("uninstall", &e))?;
    let mark = Paths::machine_dir()?.join(MARK);
    match std::fs::remove_file(&mark) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::io("remove", &mark.display().to_string(), &e));
        }
        _ => {}
    }
    say_removed(cx, was_installed);
    Ok(())
}

fn status(cx: &Context) -> Outcome {
    let Some(facts) = winservice::facts().map_err(|e| refused("look at", &e))? else {
        cx.style.show(&json!({ "installed": false }), || {
            "The service is not installed: proxyfs service install".to_owned()
        });
        return Ok(());
    };
    let shown = json!({
        "installed": true, "command": facts.command, "state": facts.state, "active": facts.state == "running", "pid": facts.pid,
        "enabled": facts.starts_by_itself,
    });
    cx.style.show(&shown, || {
        let mut rows = vec![
            vec!["command".to_owned(), facts.command.display().to_string()],
            vec!["state".to_owned(), facts.state.to_owned()],
            vec!["starts by itself".to_owned(), if facts.starts_by_itself { "yes" } else { "no" }.to_owned()],
        ];
        rows.extend(facts.pid.map(|pid| vec!["process".to_owned(), pid.to_string()]));
        table(&rows)
    });
    Ok(())
}

fn install_logon(cx: &Context) -> Outcome {
    let program = program()?;
    winservice::add_logon(&program).map_err(|e| refused("install", &e))?;
    cx.style.show(&json!({ "logon": true, "program": program }), || {
        "The daemon starts whenever you log in, with your drives. To have it now: proxyfs serve --logon".to_owned()
    });
    Ok(())
}

fn uninstall_logon(cx: &Context) -> Outcome {
    let was_installed = winservice::remove_logon().map_err(|e| refused("uninstall", &e))?;
    say_removed(cx, was_installed);
    Ok(())
}

fn status_logon(cx: &Context) -> Outcome {
    let command = winservice::logon().map_err(|e| refused("look at", &e))?;
    cx.style.show(&json!({ "installed": command.is_some(), "command": command }), || match &command {
        Some(command) => format!("At logon: {command}"),
        None => "Nothing starts at your logon: proxyfs service install --user".to_owned(),
    });
    Ok(())
}

fn say_removed(cx: &Context, was_installed: bool) {
    cx.style.show(&json!({ "was_installed": was_installed }), || {
        if was_installed {
            "The service is removed; volumes, configuration and data stay.".to_owned()
        } else {
            "The service is not installed.".to_owned()
        }
    });
}

/// The machine's service is an administrator's business.
fn may_change(action: &str) -> Outcome {
    if identity::is_elevated() {
        return Ok(());
    }
    let advice = format!(
        "run it in a terminal that was opened as administrator, or for yourself alone: proxyfs service {action} --user"
    );
    Err(Failure::new(action, "the machine's service", "only administrators may", advice))
}

fn refused(action: &str, error: &io::Error) -> Failure {
    let advice = if error.raw_os_error() == Some(DENIED) {
        "run it in a terminal that was opened as administrator"
    } else {
        "see what the Event Viewer says of ProxyFS under Windows Logs, Application"
    };
    Failure::new(action, "the service", error.to_string(), advice)
}

/// The running program.
fn program() -> Outcome<PathBuf> {
    std::env::current_exe().map_err(|e| Failure::io("find", "this program's file", &e))
}
