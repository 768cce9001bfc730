//! Both systems on one volume by turns: `tests/e2e/tests/exchange.rs` here, and for Windows' turns the adapter's tests under Wine.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::areas::{RustTests, suite};
use crate::session::Session;
use crate::tally::Tally;

/// The test program of Linux' turns.
pub(crate) const TEST: &str = "exchange";
/// Tells it what runs a turn of Windows.
const TURN_VARIABLE: &str = "PROXYFS_TEST_WINDOWS_TURN";

/// Runs it. `driver`: the adapter's test program, as it is run under Wine.
///
/// # Errors
/// When cargo cannot be started, or the user interrupts.
pub(super) fn run(session: &Session, driver: &Command) -> Result<Tally> {
    let script = session.scratch().join("windows-turn");
    std::fs::write(&script, script_of(driver))
        .and_then(|()| std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("writing {}", script.display()))?;
    let tests = RustTests { only: Some(TEST), ..RustTests::of("proxyfs-e2e").programs().needs(suite::mounts) };
    suite::run_with(session, &tests, &[(TURN_VARIABLE, path_text(&script))])
}

/// A shell script that runs the test of the module `exchange` that its argument names.
fn script_of(driver: &Command) -> String {
    let mut script = "#!/bin/sh\n".to_owned();
    for (name, value) in driver.get_envs() {
        let name = name.to_string_lossy();
        script += &match value {
            Some(value) => format!("export {name}={}\n", quoted(value)),
            None => format!("unset {name}\n"),
        };
    }
    if let Some(dir) = driver.get_current_dir() {
        script += &format!("cd {}\n", quoted(dir.as_os_str()));
    }
    script += &format!("exec {}", quoted(driver.get_program()));
    for argument in driver.get_args() {
        script += &format!(" {}", quoted(argument));
    }
    script + " --include-ignored --exact \"exchange::$1\"\n"
}

fn quoted(text: &OsStr) -> String {
    format!("'{}'", text.to_string_lossy().replace('\'', r"'\''"))
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_runs_the_command_with_its_variables() {
        let mut command = Command::new("/usr/lib/wine");
        command.arg("a b").env("A", "it's").env_remove("B").current_dir("/x");
        let expected = "#!/bin/sh\nexport A='it'\\''s'\nunset B\ncd '/x'\nexec '/usr/lib/wine' 'a b' \
                        --include-ignored --exact \"exchange::$1\"\n";
        assert_eq!(script_of(&command), expected);
    }
}
