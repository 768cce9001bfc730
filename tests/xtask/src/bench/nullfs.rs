//! The mounted file system that does nothing: the bound of what a file system behind the kernel's protocol can do.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::lab::Lab;

/// A mount. Dropped, it is killed and detached.
#[derive(Debug)]
pub(crate) struct NullFs {
    server: Child,
    dir: PathBuf,
}

impl NullFs {
    /// Mounts it on `dir`, which is made.
    ///
    /// # Errors
    /// When it does not mount.
    pub(crate) fn mount(lab: &Lab, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let mut command = Command::new(&lab.programs.nullfs);
        let mut server = command.arg(dir).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let said = server.stdout.take().context("no pipe")?;
        let mounted = Self { server, dir: dir.to_owned() };
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        if line.trim() != "mounted" {
            bail!("nullfs did not mount on {}: it said '{}'", dir.display(), line.trim());
        }
        Ok(mounted)
    }

    /// A path in the mount, as an argument.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for NullFs {
    fn drop(&mut self) {
        // It may have ended by itself; then both fail and nothing is left to do.
        let _ = self.server.kill();
        let _ = self.server.wait();
        crate::leftovers::detach_quietly(&self.dir);
    }
}
