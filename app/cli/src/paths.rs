//! Where this program keeps things, by the XDG base directory specification.
//!
//! Root, at home or without a home, uses the machine's directories: `/etc/proxyfs`, `/var/lib/proxyfs`, `/run/proxyfs` (on macOS `/var/db`
//! and `/var/run` instead of the latter two), so that a service and a person at a terminal mean the same volumes. For everybody else, on
//! macOS as well, where these are easier to type and to back up than what lies in `~/Library`:
//!
//! | what | where |
//! |---|---|
//! | configuration of the daemon | `$XDG_CONFIG_HOME/proxyfs/proxyfs.toml`, or `$PROXYFS_CONFIG` |
//! | named credentials, if kept in a file | `$XDG_CONFIG_HOME/proxyfs/credentials.toml` |
//! | registry of volumes | `$XDG_CONFIG_HOME/proxyfs/volumes.toml` (default `~/.config`) |
//! | state of a volume: replay log, staged data, cache, control socket | `$XDG_STATE_HOME/proxyfs/<uuid>` (default `~/.local/state`) |
//! | the embedded default store | `$XDG_DATA_HOME/proxyfs/default-store` (default `~/.local/share`) |
//!
//! A relative path in one of these variables is ignored, as the specification says. On Windows, which has directories of its own for
//! such things, all is different: see `windows`.

#[cfg(windows)]
pub(crate) mod windows;

#[cfg(unix)]
use std::env;
use std::path::{Path, PathBuf};

use proxyfs_credentials::Sources;

use crate::failure::{Failure, Outcome};

/// Our directory inside each base directory.
#[cfg(unix)]
const PROGRAM: &str = "proxyfs";

/// The machine's configuration.
#[cfg(unix)]
const MACHINE_CONFIG: &str = "/etc/proxyfs";

/// Where root is at home, the machine's state, and where its daemon listens. macOS has no `/run`, and keeps what daemons keep in
/// `/var/db`.
#[cfg(all(unix, not(target_os = "macos")))]
const ROOT_HOME: &str = "/root";
#[cfg(all(unix, not(target_os = "macos")))]
const MACHINE_STATE: &str = "/var/lib/proxyfs";
#[cfg(all(unix, not(target_os = "macos")))]
const MACHINE_SOCKET: &str = "/run/proxyfs/control.sock";
#[cfg(target_os = "macos")]
const ROOT_HOME: &str = "/var/root";
#[cfg(target_os = "macos")]
const MACHINE_STATE: &str = "/var/db/proxyfs";
#[cfg(target_os = "macos")]
const MACHINE_SOCKET: &str = "/var/run/proxyfs/control.sock";

/// The directories of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paths {
    config: PathBuf,
    state: PathBuf,
    data: PathBuf,
    #[cfg(unix)]
    home: Option<PathBuf>,
    /// Where the daemon listens.
    socket: PathBuf,
    /// The daemon's configuration, if it was named.
    config_file: Option<PathBuf>,
    /// Whether they are the machine's, not one user's.
    machine: bool,
}

#[cfg(unix)]
impl Paths {
    /// From the environment.
    pub(crate) fn from_env() -> Outcome<Self> {
        Self::from_vars(rustix::process::geteuid().is_root(), |name| env::var_os(name).map(PathBuf::from))
    }

    fn from_vars(is_root: bool, var: impl Fn(&str) -> Option<PathBuf>) -> Outcome<Self> {
        let named = |name: &str| var(name).filter(|p| p.is_absolute());
        let (socket, config_file) = (named("PROXYFS_SOCKET"), named("PROXYFS_CONFIG"));
        let at_home = var("HOME").is_none_or(|home| home == Path::new(ROOT_HOME));
        let own_base = ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"].iter().any(|name| var(name).is_some());
        if is_root && at_home && !own_base {
            return Ok(Self {
                config: PathBuf::from(MACHINE_CONFIG),
                state: PathBuf::from(MACHINE_STATE),
                data: PathBuf::from(MACHINE_STATE),
                home: Some(PathBuf::from(ROOT_HOME)),
                socket: socket.unwrap_or_else(|| PathBuf::from(MACHINE_SOCKET)),
                config_file,
                machine: true,
            });
        }
        let home = var("HOME").filter(|p| p.is_absolute());
        let base = |name: &str, below: &str| {
            let given = var(name).filter(|p| p.is_absolute());
            let base = given.or_else(|| home.as_ref().map(|h| h.join(below)));
            base.map(|b| b.join(PROGRAM)).ok_or_else(|| {
                let why = format!("neither {name} nor HOME is an absolute path");
                Failure::new("find", "this user's directories", why, format!("set HOME or {name}"))
            })
        };
        let state = base("XDG_STATE_HOME", ".local/state")?;
        Ok(Self {
            config: base("XDG_CONFIG_HOME", ".config")?,
            socket: socket.unwrap_or_else(|| state.join("daemon.sock")),
            state,
            data: base("XDG_DATA_HOME", ".local/share")?,
            home,
            config_file,
            machine: false,
        })
    }
}

impl Paths {
    /// Whether these are the machine's directories, not one user's.
    pub(crate) fn are_machines(&self) -> bool {
        self.machine
    }

    /// The daemon's configuration.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.config_file.clone().unwrap_or_else(|| self.config.join("proxyfs.toml"))
    }

    /// Where the daemon listens unless its configuration says otherwise.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Parent of this user's configuration directories.
    #[cfg(all(unix, not(target_os = "macos")))]
    pub(crate) fn config_home(&self) -> &Path {
        self.config.parent().unwrap_or(&self.config)
    }

    /// The registry file.
    pub(crate) fn registry(&self) -> PathBuf {
        self.config.join("volumes.toml")
    }

    /// Where named credentials are kept.
    pub(crate) fn credentials(&self) -> Sources {
        Sources::from_env(&self.config)
    }

    /// Parent of all state directories.
    pub(crate) fn states(&self) -> &Path {
        &self.state
    }

    /// State directory of a volume.
    pub(crate) fn state_of(&self, uuid: &str) -> PathBuf {
        self.state.join(uuid)
    }

    /// The embedded default store.
    pub(crate) fn default_store(&self) -> PathBuf {
        self.data.join("default-store")
    }

    /// Where `quickstart` mounts when no directory is named.
    #[cfg(unix)]
    pub(crate) fn default_drive(&self) -> Outcome<PathBuf> {
        self.home.as_ref().map(|h| h.join("ProxyFS")).ok_or_else(|| {
            Failure::usage("choose", "a directory for the drive", "HOME is not set", "name it: proxyfs quickstart DIR")
        })
    }
}

/// Makes what a mount needs to be there before: on Unix its directory, on Windows the one around it.
pub(crate) fn make_mount_point(dir: &Path) -> Outcome {
    crate::sys::make_mount_point(dir).map_err(|e| Failure::io("make", &format!("the directory {}", dir.display()), &e))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn paths(vars: &[(&str, &str)]) -> Outcome<Paths> {
        Paths::from_vars(false, |name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v)))
    }

    #[test]
    fn base_directories_come_from_xdg_or_home() {
        let paths = paths(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s"), ("XDG_CONFIG_HOME", "relative")]).unwrap();
        assert_eq!(paths.registry(), Path::new("/h/.config/proxyfs/volumes.toml"));
        assert_eq!(paths.state_of("ab"), Path::new("/s/proxyfs/ab"));
        assert_eq!(paths.default_store(), Path::new("/h/.local/share/proxyfs/default-store"));
        assert_eq!(paths.default_drive().unwrap(), Path::new("/h/ProxyFS"));
    }

    #[test]
    fn root_at_home_uses_the_machines_directories() {
        let root = |vars: &[(&str, &str)]| {
            let vars: Vec<_> = vars.iter().map(|(n, v)| ((*n).to_owned(), PathBuf::from(v))).collect();
            Paths::from_vars(true, |name| vars.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())).unwrap()
        };
        for vars in [&[][..], &[("HOME", ROOT_HOME)]] {
            let paths = root(vars);
            assert!(paths.are_machines());
            assert_eq!(paths.config_file(), Path::new("/etc/proxyfs/proxyfs.toml"));
            assert_eq!((paths.states(), paths.socket()), (Path::new(MACHINE_STATE), Path::new(MACHINE_SOCKET)));
        }
        let other = root(&[("HOME", ROOT_HOME), ("XDG_STATE_HOME", "/s"), ("PROXYFS_CONFIG", "/c.toml")]);
        assert_eq!(other.socket(), Path::new("/s/proxyfs/daemon.sock"));
        assert!(!other.are_machines());
        assert_eq!(other.config_file(), Path::new("/c.toml"));
        assert_eq!(root(&[("HOME", "/home/me")]).registry(), Path::new("/home/me/.config/proxyfs/volumes.toml"));
    }

    #[test]
    fn without_home_all_three_variables_are_needed() {
        assert!(paths(&[("XDG_STATE_HOME", "/s")]).unwrap_err().why.contains("XDG_CONFIG_HOME"));
        let all = [("XDG_STATE_HOME", "/s"), ("XDG_CONFIG_HOME", "/c"), ("XDG_DATA_HOME", "/d")];
        assert!(paths(&all).unwrap().default_drive().is_err());
    }
}
