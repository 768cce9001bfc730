//! One user of the program: directories of its own, credentials, and the commands that it types.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::mount::Mount;
use crate::network::in_network;
use crate::wait::output_within;

/// Names the built program; without it, the one beside the running test program is taken.
const PROGRAM_VARIABLE: &str = "PROXYFS_BIN";

/// Longest that a command may take; far more than any needs.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// A user's directories. Two homes are two machines, as far as the program can tell.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
    program: PathBuf,
    variables: Vec<(String, String)>,
    user: Option<u32>,
    network: Option<PathBuf>,
}

impl Home {
    /// A home in `dir`, which is made if missing, for the program at `program`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(dir: &Path, program: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        Ok(Self { dir: dir.to_owned(), program: program.to_owned(), variables: Vec::new(), user: None, network: None })
    }

    /// The program as the environment names it, or as it was built beside the running test; `None` when it is not built.
    #[must_use]
    pub fn find_program() -> Option<PathBuf> {
        find_built(PROGRAM_VARIABLE, "proxyfs")
    }

    /// The same home with an access key and its secret for S3 stores.
    #[must_use]
    pub fn with_credentials(self, access_key: &str, secret_key: &str) -> Self {
        let keys = [("AWS_ACCESS_KEY_ID", access_key), ("AWS_SECRET_ACCESS_KEY", secret_key)];
        self.with_variables(keys.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    /// The same home with more environment variables for every command.
    #[must_use]
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// The same home of another user, whose commands run with that user's rights alone. The caller must be root, and the program where
    /// that user can run it.
    ///
    /// # Errors
    /// When the home cannot be given away.
    pub fn of_user(self, uid: u32) -> Result<Self> {
        std::os::unix::fs::chown(&self.dir, Some(uid), Some(uid)).context("giving the home away")?;
        Ok(Self { user: Some(uid), ..self })
    }

    /// The same home on a machine of a network of its own: commands run there, and share everything else with the caller.
    #[must_use]
    pub fn in_network(self, machine: &Path) -> Self {
        Self { network: Some(machine.to_owned()), ..self }
    }

    /// A command with the rights of the home's user, or on its machine.
    pub fn plain_command(&self, program: impl AsRef<OsStr>) -> Command {
        if let Some(machine) = &self.network {
            return in_network(machine, program);
        }
        let Some(uid) = self.user else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()]);
        command.arg(program).current_dir("/");
        command
    }

    /// Where it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the program keeps replay logs, staged data and caches.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The program with these arguments, in this home.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.plain_command(&self.program);
        command.args(args).env("HOME", &self.dir);
        command.env("XDG_CONFIG_HOME", self.dir.join("config")).env("XDG_STATE_HOME", self.state_dir());
        command.env("XDG_DATA_HOME", self.dir.join("data")).env("XDG_CACHE_HOME", self.dir.join("cache"));
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command that answers in JSON.
    ///
    /// # Errors
    /// When it fails, takes too long, or answers something else.
    pub fn ask(&self, args: &[&str]) -> Result<serde_json::Value> {
        let said = self.run(&[args, &["--json"]].concat())?;
        serde_json::from_str(&said).with_context(|| format!("{args:?} answered {said}"))
    }

    /// Runs a command to its end and gives what it printed.
    ///
    /// # Errors
    /// When it fails or takes too long.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        output_within(&mut self.command(args), COMMAND_LIMIT)
    }

    /// Whether the program has this command.
    #[must_use]
    pub fn has_command(&self, name: &str) -> bool {
        self.run(&[name, "--help"]).is_ok()
    }

    /// Creates a volume.
    ///
    /// # Errors
    /// When the program says no.
    pub fn create_volume(&self, name: &str, store: &str, more: &[&str]) -> Result<()> {
        let mut args = vec!["volume", "create", name, "--store", store];
        args.extend(more);
        self.run(&args).map(drop)
    }

    /// Mounts a volume, or a store URL, on a directory, which is made if missing; on return it is mounted.
    ///
    /// # Errors
    /// When it is not mounted in time; the message holds what the program printed.
    pub fn mount(&self, volume: &str, dir: &Path, more: &[&str]) -> Result<Mount> {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let mut args = vec![OsStr::new("mount"), OsStr::new(volume), dir.as_os_str()];
        args.extend(more.iter().map(OsStr::new));
        Mount::begin(self, self.command(args), dir)
    }
}

/// A program that a variable names, or that was built beside the running test program.
pub(crate) fn find_built(variable: &str, name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join(name));
    named.or_else(beside).filter(|path| path.is_file())
}
