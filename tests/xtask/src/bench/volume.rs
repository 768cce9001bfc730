//! A volume to measure, and what its mount and its store have used.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use proxyfs_e2e::{Home, Mount, S3Process, Traffic};

use super::lab::{Done, Lab};
use super::row::Usage;

/// The bucket that volumes and raw objects share.
const BUCKET: &str = "bench";

/// The name of every volume, each on computers of its own.
const NAME: &str = "bench";

/// Bytes of an object of the raw client: the size at which volumes seal a segment.
pub(crate) const OBJECT_BYTES: u64 = 16 << 20;

/// What lies under a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// A local directory.
    File,
    /// The S3 server over loopback.
    S3,
}

impl Store {
    /// As rows name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::S3 => "s3",
        }
    }
}

/// A volume, its store, and the computers that mount it.
#[derive(Debug)]
pub(crate) struct Volume {
    url: String,
    /// What commands call it: its name where it was made, which asks the store nothing, and its URL elsewhere.
    called: String,
    dir: PathBuf,
    program: PathBuf,
    /// How many other computers there have been.
    others: usize,
    home: Home,
    /// `None` while it is not mounted. Goes before the server it needs.
    mount: Option<Mount>,
    server: Option<S3Process>,
}

impl Volume {
    /// A new volume in `dir`, not mounted.
    ///
    /// # Errors
    /// When the store or the volume cannot be made.
    pub(crate) fn create(lab: &Lab, dir: &Path, store: Store) -> Result<Self> {
        let volume = Self::attach(lab, dir, store)?;
        volume.home.create_volume(NAME, &volume.url, &[])?;
        Ok(Self { called: NAME.to_owned(), ..volume })
    }

    /// The volume that lies in `dir` already.
    ///
    /// # Errors
    /// When the store does not start.
    pub(crate) fn attach(lab: &Lab, dir: &Path, store: Store) -> Result<Self> {
        let objects = dir.join("store");
        fs::create_dir_all(&objects)?;
        let program = lab.programs.proxyfs.clone();
        let mut home = Home::new(&dir.join("home"), &program)?;
        let (url, server) = match store {
            Store::File => (format!("file://{}", objects.display()), None),
            Store::S3 => {
                let mut server = S3Process::start(&lab.programs.s3server, &objects)?;
                home = home.with_credentials(&server.access_key, &server.secret_key);
                (server.url(BUCKET, "volume")?, Some(server))
            }
        };
        Ok(Self { called: url.clone(), url, dir: dir.to_owned(), program, others: 0, home, mount: None, server })
    }

    /// Mounts it.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn mount(&mut self, options: &[&str]) -> Result<()> {
        self.mount = Some(self.home.mount(&self.called, &self.dir.join("m"), options)?);
        Ok(())
    }

    /// Unmounts it and mounts it on a computer that has never seen it: nothing cached, nothing staged.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn mount_elsewhere(&mut self, options: &[&str]) -> Result<()> {
        self.unmount()?;
        fs::remove_dir_all(self.home.dir())?;
        self.others += 1;
        let mut home = Home::new(&self.dir.join(format!("home-{}", self.others)), &self.program)?;
        if let Some(server) = &self.server {
            home = home.with_credentials(&server.access_key, &server.secret_key);
        }
        self.home = home;
        self.called.clone_from(&self.url);
        self.mount(options)
    }

    /// Unmounts as a user does, if it is mounted.
    ///
    /// # Errors
    /// When the program says no.
    pub(crate) fn unmount(&mut self) -> Result<()> {
        self.mount.take().map_or(Ok(()), Mount::unmount)
    }

    /// A path in the mount, as an argument.
    ///
    /// # Errors
    /// When it is not mounted.
    pub(crate) fn path(&self, name: &str) -> Result<String> {
        Ok(self.mounted()?.path(name).to_string_lossy().into_owned())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// As the OS gives them.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        Ok(fs::remove_file(self.path(name)?)?)
    }

    /// Brings everything into the store.
    ///
    /// # Errors
    /// When the program says no.
    pub(crate) fn flush(&self) -> Result<()> {
        self.home.run(&["flush", &self.called]).map(drop)
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// When the program says no.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.home.run(&["checkpoint", &self.called]).map(drop)
    }

    /// What the store has seen so far; nothing of a local directory.
    ///
    /// # Errors
    /// When its server does not answer.
    pub(crate) fn traffic(&mut self) -> Result<Option<Traffic>> {
        self.server.as_mut().map(S3Process::traffic).transpose()
    }

    /// Limits what all connections to the store move together, in bytes a second and direction; 0 is no limit.
    ///
    /// # Errors
    /// When the store has no server, or it does not answer.
    pub(crate) fn limit_link(&mut self, bytes_per_second: u64) -> Result<()> {
        self.server.as_mut().context("the store has no server")?.set_rate(bytes_per_second)
    }

    /// Begins to watch what is used.
    ///
    /// # Errors
    /// When it is not mounted, or its store's server does not answer.
    pub(crate) fn watch(&mut self) -> Result<Watch> {
        let cpu = self.mounted()?.cpu_time();
        Ok(Watch { traffic: self.traffic()?, cpu, begun: Instant::now() })
    }

    /// What was used since `watch` began.
    ///
    /// # Errors
    /// As [`Self::watch`].
    pub(crate) fn usage(&mut self, watch: &Watch) -> Result<Usage> {
        let now = self.watch()?;
        let traffic = now.traffic.zip(watch.traffic).map(|(now, then)| now.since(&then));
        let cpu = now.cpu.zip(watch.cpu).map(|(now, then)| now.saturating_sub(then).as_secs_f64());
        Ok(Usage { traffic, rss: self.mounted()?.peak_resident_bytes(), cpu_seconds: cpu })
    }

    /// Puts objects of [`OBJECT_BYTES`] into the store with the raw client.
    ///
    /// # Errors
    /// When the store is none that has one, or the client fails.
    pub(crate) fn put_raw(&self, lab: &Lab, bytes: u64, connections: usize) -> Result<Done> {
        self.raw(lab, "put", bytes, connections)
    }

    /// Gets what [`Self::put_raw`] put.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn get_raw(&self, lab: &Lab, bytes: u64, connections: usize) -> Result<Done> {
        self.raw(lab, "get", bytes, connections)
    }

    /// Takes the raw objects away, behind the server's back.
    ///
    /// # Errors
    /// As the OS gives them.
    pub(crate) fn remove_raw(&self) -> Result<()> {
        Ok(fs::remove_dir_all(self.dir.join("store").join(BUCKET).join("raw"))?)
    }

    fn raw(&self, lab: &Lab, verb: &str, bytes: u64, connections: usize) -> Result<Done> {
        let server = self.server.as_ref().context("the store has no raw client")?;
        let (objects, bytes) = (bytes.div_ceil(OBJECT_BYTES).to_string(), OBJECT_BYTES.to_string());
        let connections = connections.to_string();
        let args = [verb, "--endpoint", server.endpoint(), "--bucket", BUCKET, "--prefix", "raw/"];
        let more = ["--objects", &objects, "--bytes", &bytes, "--connections", &connections];
        let credentials =
            [("AWS_ACCESS_KEY_ID", server.access_key.as_str()), ("AWS_SECRET_ACCESS_KEY", &server.secret_key)];
        lab.load_as(args.into_iter().chain(more), &credentials)
    }

    fn mounted(&self) -> Result<&Mount> {
        self.mount.as_ref().context("the volume is not mounted")
    }
}

/// Where counters stood when a round began.
#[derive(Debug)]
pub(crate) struct Watch {
    traffic: Option<Traffic>,
    cpu: Option<Duration>,
    begun: Instant,
}

impl Watch {
    /// Seconds since then.
    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }
}
