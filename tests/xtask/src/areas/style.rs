//! How the sources look: formatting, lints, dependencies, house rules.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{licences, minutes, rules, workflows};
use crate::prerequisites as pre;
use crate::session::Session;
use crate::tally::Tally;

const FMT_LIMIT: Duration = minutes(5);
const CLIPPY_LIMIT: Duration = minutes(30);
const DENY_LIMIT: Duration = minutes(5);

/// Members that clippy leaves out, as whole runs do.
const EXCLUDED: &str = "proxyfs-tray";

/// Runs the area.
///
/// # Errors
/// When cargo cannot be started, or the user interrupts.
pub(crate) fn run(session: &Session) -> Result<Tally> {
    let mut tally = rules::check(session)?;
    tally.add(licences::check(session)?);
    tally.add(workflows::check(session)?);
    tally.add(session.check("cargo fmt --check", session.cargo().args(["fmt", "--all", "--check"]), FMT_LIMIT)?);
    tally.add(clippy(session)?);
    tally.add(deny(session)?);
    Ok(tally)
}

fn clippy(session: &Session) -> Result<Tally> {
    let mut command = session.cargo();
    command.args(["clippy", "--quiet", "--workspace", "--all-targets"]);
    if session.workspace.has_member(EXCLUDED) {
        command.args(["--exclude", EXCLUDED]);
    }
    command.args(["--", "-D", "warnings"]);
    session.check("cargo clippy", &mut command, CLIPPY_LIMIT)
}

/// cargo-deny takes minutes to build, so only a long run installs it.
fn deny(session: &Session) -> Result<Tally> {
    let program = match pre::which("cargo-deny") {
        Some(program) => Ok(program),
        None if session.extent.long => pre::program(session, pre::CARGO_DENY),
        None => Err("cargo-deny is not installed; a long run installs it".to_owned()),
    };
    let program = match program {
        Ok(program) => program,
        Err(why) => {
            println!("SKIP: {why}");
            return Ok(Tally::skip(why));
        }
    };
    let mut command = Command::new(program);
    command.current_dir(&session.workspace.root).args(["check", "bans", "licenses", "sources"]);
    session.check("cargo deny", &mut command, DENY_LIMIT)
}
