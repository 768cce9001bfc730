//! A store that goes away and comes back, and a mount that has nothing to do.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use proxyfs_e2e::{Home, Mount, S3Process, load, wait_until};

/// Longest that an answer from resident metadata may take while the store is gone.
const PROMPT: Duration = Duration::from_millis(100);
/// Of so many answers one may be late: the machine has other work too, and what would wait for the store is always late.
const LATE_ONE_IN: usize = 50;

/// How long the store stays away, and how long idleness is watched.
fn while_long() -> Duration {
    Duration::from_secs(if std::env::var_os("PROXYFS_TEST_LONG").is_some() { 60 } else { 15 })
}

/// A volume over S3, mounted. The mount goes before the server.
struct Lab {
    home: Home,
    mount: Option<Mount>,
    server: S3Process,
    _scratch: tempfile::TempDir,
}

impl Lab {
    /// `None`, said aloud, when the programs are not built.
    fn new() -> Option<Self> {
        let (Some(program), Some(server)) = (Home::find_program(), S3Process::find_program()) else {
            eprintln!("SKIP: the programs are not built");
            return None;
        };
        Some(Self::begin(&program, &server).unwrap_or_else(|e| panic!("{e:#}")))
    }

    fn begin(program: &Path, server: &Path) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let mut server = S3Process::start(server, &scratch.path().join("objects"))?;
        let home = Home::new(&scratch.path().join("h"), program)?;
        let home = home.with_credentials(&server.access_key, &server.secret_key);
        home.create_volume("v", &server.url("bucket", "p")?, &[])?;
        let mount = Some(home.mount("v", &scratch.path().join("m"), &[])?);
        Ok(Self { home, mount, server, _scratch: scratch })
    }

    fn dir(&self) -> Result<&Path> {
        match &self.mount {
            Some(mount) => Ok(mount.dir()),
            None => bail!("it is not mounted"),
        }
    }
}

/// How promptly metadata was answered.
#[derive(Debug, Default)]
struct Answers {
    all: usize,
    late: Vec<String>,
}

impl Answers {
    fn take<T, E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        what: &str,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<()> {
        let begun = Instant::now();
        work()?;
        let took = begun.elapsed();
        self.all += 1;
        if took > PROMPT {
            self.late.push(format!("{what} took {took:?}"));
        }
        Ok(())
    }

    fn look_around(&mut self, dir: &Path) -> Result<()> {
        self.take("statfs", || rustix::fs::statvfs(dir))?;
        self.take("ls", || std::fs::read_dir(dir).map(Iterator::count))?;
        self.take("stat", || std::fs::metadata(dir.join("file-0-3")))
    }

    fn check(&self) -> Result<()> {
        if self.late.len() > self.all / LATE_ONE_IN {
            bail!("{} of {} answers were late: {}", self.late.len(), self.all, self.late.join(", "));
        }
        Ok(())
    }
}

fn store_gone(lab: &mut Lab) -> Result<()> {
    let dir = lab.dir()?.to_owned();
    (0..20).try_for_each(|n| load::write_synced(&dir, 0, n))?;
    lab.home.run(&["flush", "v"])?;
    lab.server.stop()?;
    let back = Instant::now() + while_long();
    let mut written = 0;
    let mut answers = Answers::default();
    while Instant::now() < back {
        // Bounded, so that the staging disk is not what is tested.
        if written < 500 {
            load::write_synced(&dir, 1, written)?;
            written += 1;
        }
        answers.look_around(&dir)?;
    }
    answers.check()?;
    lab.server.restart()?;
    lab.home.run(&["flush", "v"])?;
    load::check_files(&dir, 0, 20)?;
    load::check_files(&dir, 1, written)?;
    lab.mount.take().map_or(Ok(()), Mount::unmount)
}

#[test]
fn nothing_fails_or_hangs_while_the_store_is_gone_and_the_queue_drains_afterwards() {
    let Some(mut lab) = Lab::new() else { return };
    store_gone(&mut lab).unwrap_or_else(|e| panic!("{e:#}"));
}

fn mount_offline(lab: &mut Lab) -> Result<()> {
    let dir = lab.dir()?.to_owned();
    (0..20).try_for_each(|n| load::write_synced(&dir, 0, n))?;
    // Killed, not unmounted: what was not uploaded lies in the state directory alone.
    lab.mount.take().map_or(Ok(()), Mount::kill)?;
    lab.server.stop()?;
    lab.mount = Some(lab.home.mount("v", &dir, &[])?);
    std::fs::metadata(dir.join("file-0-3"))?;
    load::check_files(&dir, 0, 20)?;
    load::write_synced(&dir, 1, 0)?;
    lab.server.restart()?;
    lab.home.run(&["flush", "v"])?;
    lab.mount.take().map_or(Ok(()), Mount::unmount)
}

#[test]
fn a_known_volume_mounts_without_its_store_and_takes_writes() {
    let Some(mut lab) = Lab::new() else { return };
    mount_offline(&mut lab).unwrap_or_else(|e| panic!("{e:#}"));
}

fn idle(lab: &mut Lab) -> Result<()> {
    let dir = lab.dir()?.to_owned();
    (0..20).try_for_each(|n| load::write_synced(&dir, 0, n))?;
    lab.home.run(&["flush", "v"])?;
    lab.home.run(&["checkpoint", "v"])?;
    let mut last = lab.server.traffic()?;
    let mut since = Instant::now();
    // The tail of what the checkpoint began may still come; then there must be silence for the whole time.
    let limit = while_long() * 3;
    let silent = wait_until(limit, || {
        match lab.server.traffic() {
            Ok(now) if now != last => (last, since) = (now, Instant::now()),
            _ => {}
        }
        since.elapsed() >= while_long()
    });
    if !silent {
        bail!("requests went on for {limit:?}: {last:?}");
    }
    Ok(())
}

#[test]
fn an_idle_mount_sends_no_requests() {
    let Some(mut lab) = Lab::new() else { return };
    idle(&mut lab).unwrap_or_else(|e| panic!("{e:#}"));
}
