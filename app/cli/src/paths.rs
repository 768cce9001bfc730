//! Where this program keeps things, by the XDG base directory specification.
//!
//! | what | where |
//! |---|---|
//! | named credentials, if kept in a file | `$XDG_CONFIG_HOME/proxyfs/credentials.toml` |
//! | registry of volumes | `$XDG_CONFIG_HOME/proxyfs/volumes.toml` (default `~/.config`) |
//! | state of a volume: replay log, staged data, cache, control socket | `$XDG_STATE_HOME/proxyfs/<uuid>` (default `~/.local/state`) |
//! | the embedded default store | `$XDG_DATA_HOME/proxyfs/default-store` (default `~/.local/share`) |
//!
//! A relative path in one of these variables is ignored, as the specification says.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proxyfs_credentials::Sources;

use crate::failure::{Failure, Outcome};

/// Our directory inside each base directory.
const PROGRAM: &str = "proxyfs";

/// The directories of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paths {
    config: PathBuf,
    state: PathBuf,
    data: PathBuf,
    home: Option<PathBuf>,
}

impl Paths {
    /// From the environment.
    pub(crate) fn from_env() -> Outcome<Self> {
        Self::from_vars(|name| env::var_os(name).map(PathBuf::from))
    }

    fn from_vars(var: impl Fn(&str) -> Option<PathBuf>) -> Outcome<Self> {
        let home = var("HOME").filter(|p| p.is_absolute());
        let base = |name: &str, below: &str| {
            let given = var(name).filter(|p| p.is_absolute());
            let base = given.or_else(|| home.as_ref().map(|h| h.join(below)));
            base.map(|b| b.join(PROGRAM)).ok_or_else(|| {
                let why = format!("neither {name} nor HOME is an absolute path");
                Failure::new("find", "this user's directories", why, format!("set HOME or {name}"))
            })
        };
        Ok(Self {
            config: base("XDG_CONFIG_HOME", ".config")?,
            state: base("XDG_STATE_HOME", ".local/state")?,
            data: base("XDG_DATA_HOME", ".local/share")?,
            home,
        })
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
    pub(crate) fn default_drive(&self) -> Outcome<PathBuf> {
        self.home.as_ref().map(|h| h.join("ProxyFS")).ok_or_else(|| {
            Failure::usage("choose", "a directory for the drive", "HOME is not set", "name it: proxyfs quickstart DIR")
        })
    }
}

/// Makes a directory that only this user can enter, with its parents.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(vars: &[(&str, &str)]) -> Outcome<Paths> {
        Paths::from_vars(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v)))
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
    fn without_home_all_three_variables_are_needed() {
        assert!(paths(&[("XDG_STATE_HOME", "/s")]).unwrap_err().why.contains("XDG_CONFIG_HOME"));
        let all = [("XDG_STATE_HOME", "/s"), ("XDG_CONFIG_HOME", "/c"), ("XDG_DATA_HOME", "/d")];
        assert!(paths(&all).unwrap().default_drive().is_err());
    }
}
