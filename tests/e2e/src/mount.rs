//! A mounted volume whose server is our child process, in the foreground.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::home::Home;
use crate::wait::{wait_child, wait_mount_change};

/// Longest that a mount may take to appear; replaying a long log takes seconds.
const MOUNT_LIMIT: Duration = Duration::from_secs(90);
/// Longest that an unmount may take: all staged data goes to the store first.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(180);

/// A mount. Dropped, it is killed and detached.
#[derive(Debug)]
pub struct Mount {
    dir: PathBuf,
    home: Home,
    /// `None` once it has been waited for.
    server: Option<Child>,
    log: PathBuf,
}

impl Mount {
    pub(crate) fn begin(home: &Home, mut command: Command, dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize()?;
        let log = home.dir().join(format!("{}.log", dir.file_name().unwrap_or_default().to_string_lossy()));
        let sink = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(sink.try_clone()?).stderr(sink);
        // Opened before the start, so that no change is missed.
        let table = File::open("/proc/self/mountinfo").context("opening the table of mounts")?;
        let server = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let mut mount = Self { dir, home: home.clone(), server: Some(server), log };
        mount.wait_mounted(&table)?;
        Ok(mount)
    }

    /// The mount point.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path below the mount point.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// What the server has printed, over all mounts on this directory.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Memory that the server holds, in bytes; `None` when it is gone.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that the server has held since it began, in bytes; `None` when it is gone.
    #[must_use]
    pub fn peak_resident_bytes(&self) -> Option<u64> {
        self.status_bytes("VmHWM:")
    }

    /// Processor time that the server has used since it began, of its own and the kernel's; `None` when it is gone.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.server.as_ref()?.id())).ok()?;
        // The name, in parentheses, may hold anything; after it come the state and, as the 12th and 13th field, the times.
        let (_, fields) = stat.rsplit_once(") ")?;
        let times = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().ok());
        let ticks = times.sum::<Option<u64>>()?;
        Some(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
    }

    fn status_bytes(&self, field: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.as_ref()?.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    }

    /// Unmounts by the program's own command and waits for the server's end. The store must be there, and take everything.
    ///
    /// # Errors
    /// When the command or the server fails or takes too long, or something is left on this machine.
    pub fn unmount(mut self) -> Result<()> {
        let dir = self.dir.to_string_lossy().into_owned();
        let said = self.home.run(&["unmount", &dir]).with_context(|| self.log())?;
        if !said.contains("Everything is in the store") {
            bail!("{said}\n{}", self.log());
        }
        let Some(mut server) = self.server.take() else { return Ok(()) };
        match wait_child(&mut server, UNMOUNT_LIMIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the server of {dir} ended with {status}\n{}", self.log()),
            None => {
                self.server = Some(server);
                bail!("the server of {dir} did not end within {UNMOUNT_LIMIT:?}\n{}", self.log())
            }
        }
    }

    /// Kills the server, as a crash would, and detaches the dead mount.
    ///
    /// # Errors
    /// When the OS says no.
    pub fn kill(mut self) -> Result<()> {
        self.end()
    }

    /// Kills the server without waiting or detaching: for another thread that works on the mount meanwhile.
    ///
    /// # Errors
    /// When the OS says no.
    pub fn kill_server(&mut self) -> Result<()> {
        match &mut self.server {
            Some(server) => server.kill().context("killing the server"),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        server.kill().context("killing the server")?;
        server.wait()?;
        if is_mounted(&self.dir) {
            detach(&self.dir)?;
        }
        Ok(())
    }

    fn wait_mounted(&mut self, table: &File) -> Result<()> {
        let deadline = Instant::now() + MOUNT_LIMIT;
        loop {
            if is_mounted(&self.dir) {
                return Ok(());
            }
            let Some(server) = &mut self.server else { bail!("{} has no server", self.dir.display()) };
            if let Some(status) = server.try_wait()? {
                bail!("the mount of {} ended with {status}\n{}", self.dir.display(), self.log());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{} was not mounted within {MOUNT_LIMIT:?}\n{}", self.dir.display(), self.log());
            }
            wait_mount_change(table, server, left)?;
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(e) = self.end() {
            eprintln!("{}: {e:#}", self.dir.display());
        }
    }
}

/// Whether something is mounted exactly at `dir`.
#[must_use]
pub fn is_mounted(dir: &Path) -> bool {
    let Ok(table) = fs::read_to_string("/proc/self/mountinfo") else { return false };
    let wanted = dir.to_string_lossy();
    table.lines().any(|line| line.split(' ').nth(4) == Some(&*wanted))
}

/// Takes a mount whose server is dead out of the tree.
fn detach(dir: &Path) -> Result<()> {
    let quiet = |program: &str, flags: &str| {
        let mut command = Command::new(program);
        command.arg(flags).arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if quiet("umount", "-l") || quiet("fusermount3", "-uz") {
        return Ok(());
    }
    bail!("{}: neither umount nor fusermount3 would detach it", dir.display())
}
