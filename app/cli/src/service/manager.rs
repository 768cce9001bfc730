//! Asks systemd, through `systemctl`.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, Stdio};

use super::{Scope, UNIT};
use crate::failure::{Failure, Outcome};

/// The program that speaks to systemd.
const SYSTEMCTL: &str = "systemctl";

/// The service manager of a scope, known to answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manager(Scope);

impl Manager {
    /// Makes sure that it answers.
    ///
    /// # Errors
    /// When there is no systemd here, or it does not run.
    pub(crate) fn reach(scope: Scope) -> Outcome<Self> {
        let manager = Self(scope);
        manager.systemctl("reach", &["show", "--property=Version"])?;
        Ok(manager)
    }

    /// Reads all units anew.
    ///
    /// # Errors
    /// With systemd's words.
    pub(crate) fn reload_units(self) -> Outcome {
        self.systemctl("let read its units", &["daemon-reload"]).map(drop)
    }

    /// Starts the service now and whenever its scope begins.
    ///
    /// # Errors
    /// With systemd's words.
    pub(crate) fn enable(self) -> Outcome {
        self.systemctl("enable", &["enable", UNIT])?;
        self.systemctl("start", &["start", UNIT]).map(drop)
    }

    /// Stops it, for good.
    ///
    /// # Errors
    /// With systemd's words.
    pub(crate) fn disable(self) -> Outcome {
        self.systemctl("stop", &["stop", UNIT])?;
        self.systemctl("disable", &["disable", UNIT]).map(drop)
    }

    /// What it says of the service, by property; one that it does not know is empty.
    ///
    /// # Errors
    /// With systemd's words.
    pub(crate) fn facts(self) -> Outcome<BTreeMap<String, String>> {
        let wanted = "--property=ActiveState,SubState,UnitFileState,MainPID,StatusText,NeedDaemonReload,FragmentPath";
        Ok(parse(&self.systemctl("look at", &["show", wanted, UNIT])?))
    }

    fn systemctl(self, action: &str, arguments: &[&str]) -> Outcome<String> {
        let scope: &[&str] = match self.0 {
            Scope::System => &[],
            Scope::User => &["--user"],
        };
        let subject = match self.0 {
            Scope::System => "the service with systemd",
            Scope::User => "the service with this user's systemd",
        };
        let output =
            Command::new(SYSTEMCTL).args(scope).arg("--no-pager").args(arguments).stdin(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let advice = match (action, self.0) {
                    ("start" | "enable", _) => "look at its log: journalctl -u proxyfs (with --user for a user's)",
                    ("reach", Scope::User) => {
                        "log in as this user (sudo and su do not count), or run without systemd: proxyfs serve"
                    }
                    ("reach", Scope::System) => "start systemd first, or run without it: proxyfs serve",
                    _ => "see what systemctl status proxyfs says",
                };
                Err(Failure::new(action, subject, format!("systemctl: {said}"), advice))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let why = "there is no systemctl here";
                Err(Failure::new(action, subject, why, "let your own service manager run: proxyfs serve"))
            }
            Err(e) => Err(Failure::io("run", SYSTEMCTL, &e)),
        }
    }
}

/// Lines of `KEY=VALUE`.
fn parse(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_an_equals_sign() {
        let facts = parse("ActiveState=active\nStatusText=a=b\nnonsense\n");
        assert_eq!((facts["ActiveState"].as_str(), facts["StatusText"].as_str(), facts.len()), ("active", "a=b", 2));
    }
}
