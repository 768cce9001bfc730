//! Where this program keeps things on Windows.
//!
//! | what | a user's | the machine's |
//! |---|---|---|
//! | configuration, registry of volumes, credentials kept in a file | `%APPDATA%\ProxyFS` | `%ProgramData%\ProxyFS` |
//! | state of a volume: replay log, staged data, cache | `%LOCALAPPDATA%\ProxyFS\<uuid>` | `%ProgramData%\ProxyFS\state\<uuid>` |
//! | the embedded default store | `%LOCALAPPDATA%\ProxyFS\default-store` | `%ProgramData%\ProxyFS\state\default-store` |
//!
//! The service, which runs as the system, uses the machine's. So does an elevated process once the service is installed, so that an
//! administrator at a terminal means the same volumes. What is local must not roam, so only small files are in `%APPDATA%`. The daemon
//! listens at a named pipe that is made of the path of `daemon.sock`.

use std::env;
use std::path::PathBuf;

use proxyfs_windows::identity;

use super::Paths;
use crate::failure::{Failure, Outcome};

/// Our directory inside each base directory.
const PROGRAM: &str = "ProxyFS";

/// Whose process this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    System,
    Elevated,
    User,
}

impl Paths {
    /// From the environment.
    pub(crate) fn from_env() -> Outcome<Self> {
        let who = match identity::own_sid() {
            Ok(sid) if sid == identity::SYSTEM => Who::System,
            _ if identity::is_elevated() => Who::Elevated,
            _ => Who::User,
        };
        Self::from_vars(who, |name| env::var_os(name).map(PathBuf::from))
    }

    fn from_vars(who: Who, var: impl Fn(&str) -> Option<PathBuf>) -> Outcome<Self> {
        let named = |name: &str| var(name).filter(|p| p.is_absolute());
        let base = |name: &str| {
            named(name).map(|base| base.join(PROGRAM)).ok_or_else(|| {
                let why = format!("{name} is not an absolute path");
                Failure::new("find", "this user's directories", why, format!("set {name}"))
            })
        };
        let (socket, config_file) = (named("PROXYFS_SOCKET"), named("PROXYFS_CONFIG"));
        let machine = named("ProgramData").map(|base| base.join(PROGRAM));
        if let Some(config) =
            machine.filter(|dir| who == Who::System || (who == Who::Elevated && dir.join(MARK).exists()))
        {
            let state = config.join("state");
            let socket = socket.unwrap_or_else(|| state.join("daemon.sock"));
            return Ok(Self { config, data: state.clone(), state, socket, config_file, machine: true });
        }
        let state = base("LOCALAPPDATA")?;
        Ok(Self {
            config: base("APPDATA")?,
            socket: socket.unwrap_or_else(|| state.join("daemon.sock")),
            data: state.clone(),
            state,
            config_file,
            machine: false,
        })
    }

    /// The machine's directory, whoever asks.
    pub(crate) fn machine_dir() -> Outcome<PathBuf> {
        let base = env::var_os("ProgramData").map(PathBuf::from).filter(|p| p.is_absolute());
        base.map(|base| base.join(PROGRAM)).ok_or_else(|| {
            Failure::new("find", "the machine's directories", "ProgramData is not an absolute path", "set ProgramData")
        })
    }

    /// Where `quickstart` mounts when no place is named: at the last free letter.
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "other systems need a home")]
    pub(crate) fn default_drive(&self) -> Outcome<PathBuf> {
        Ok(PathBuf::from("*"))
    }
}

/// A file in the machine's directory that says that the service is installed.
pub(crate) const MARK: &str = "service.installed";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn paths(who: Who, data: &Path) -> Paths {
        Paths::from_vars(who, |name| {
            let path = match name {
                "APPDATA" => r"C:\Users\me\AppData\Roaming".into(),
                "LOCALAPPDATA" => r"C:\Users\me\AppData\Local".into(),
                "USERPROFILE" => r"C:\Users\me".into(),
                "ProgramData" => data.to_owned(),
                _ => return None,
            };
            Some(path)
        })
        .unwrap()
    }

    #[test]
    fn a_user_has_small_things_that_roam_and_state_that_does_not() {
        let dir = tempfile::tempdir().unwrap();
        for who in [Who::User, Who::Elevated] {
            let paths = paths(who, dir.path());
            assert_eq!(paths.registry(), Path::new(r"C:\Users\me\AppData\Roaming\ProxyFS\volumes.toml"));
            assert_eq!(paths.state_of("ab"), Path::new(r"C:\Users\me\AppData\Local\ProxyFS\ab"));
            assert!(!paths.are_machines());
        }
    }

    #[test]
    fn the_system_and_administrators_of_an_installed_service_use_the_machines() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("ProxyFS");
        assert_eq!(paths(Who::System, dir.path()).state_of("ab"), own.join("state").join("ab"));
        std::fs::create_dir(&own).unwrap();
        assert!(!paths(Who::Elevated, dir.path()).are_machines());
        std::fs::write(own.join(MARK), "").unwrap();
        assert!(!paths(Who::User, dir.path()).are_machines());
        let elevated = paths(Who::Elevated, dir.path());
        assert!(elevated.are_machines());
        assert_eq!(elevated, paths(Who::System, dir.path()));
        assert_eq!(elevated.config_file(), own.join("proxyfs.toml"));
    }

    #[test]
    fn without_a_users_directories_it_is_said_which() {
        assert!(Paths::from_vars(Who::User, |_| None).unwrap_err().why.contains("LOCALAPPDATA"));
    }
}
