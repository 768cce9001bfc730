//! A volume mounted for a suite, on a local directory or over S3.

use std::path::PathBuf;

use anyhow::{Context, Result};
use proxyfs_e2e::{Home, Mount, S3Process};

use super::suite;
use crate::prerequisites as pre;
use crate::session::Session;
use crate::tally::Tally;

/// What lies under the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// A local directory.
    File,
    /// The harness's S3 server.
    S3,
}

impl Store {
    /// As results name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::S3 => "s3",
        }
    }
}

/// A volume, mounted or not.
#[derive(Debug)]
pub(crate) struct Mounted {
    /// Who mounts it.
    pub(crate) home: Home,
    /// Its name.
    pub(crate) volume: String,
    point: PathBuf,
    /// `None` while it is not mounted. Goes before the server it needs.
    mount: Option<Mount>,
    /// The store's server, if it has one.
    _server: Option<S3Process>,
}

impl Mounted {
    /// A new volume called `name`, mounted.
    ///
    /// # Errors
    /// When building, creating or mounting fails.
    pub(crate) fn new(session: &Session, name: &str, store: Store) -> Result<Self> {
        let programs = suite::programs(session)?;
        let dir = session.scratch().join(name);
        let mut home = Home::new(&dir, &programs.proxyfs)?;
        let (url, server) = match store {
            Store::File => {
                let objects = dir.join("store");
                std::fs::create_dir_all(&objects)?;
                (format!("file://{}", objects.display()), None)
            }
            Store::S3 => {
                let mut server = S3Process::start(&programs.s3server, &dir.join("store"))?;
                home = home.with_credentials(&server.access_key, &server.secret_key);
                (server.url("bucket", name)?, Some(server))
            }
        };
        home.create_volume(name, &url, &[])?;
        let point = dir.join("m");
        let mut mounted = Self { home, volume: name.to_owned(), point, mount: None, _server: server };
        mounted.mount()?;
        Ok(mounted)
    }

    /// Mounts it again.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn mount(&mut self) -> Result<()> {
        // Only root may let others in, and only suites that run as root need it.
        let options: &[&str] = if pre::is_root() { &["-o", "allow_other"] } else { &[] };
        self.mount = Some(self.home.mount(&self.volume, &self.point, options)?);
        Ok(())
    }

    /// The mount.
    ///
    /// # Errors
    /// When it is not mounted.
    pub(crate) fn get(&mut self) -> Result<&mut Mount> {
        self.mount.as_mut().context("the volume is not mounted")
    }

    /// Unmounts as a user does.
    ///
    /// # Errors
    /// When the program says no.
    pub(crate) fn unmount(&mut self) -> Result<()> {
        self.mount.take().map_or(Ok(()), Mount::unmount)
    }

    /// Kills the server.
    ///
    /// # Errors
    /// When the OS says no.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.mount.take().map_or(Ok(()), Mount::kill)
    }

    /// Checks the volume, which must not be mounted, with the program's own command.
    pub(crate) fn fsck(&self, what: &str) -> Tally {
        if !self.home.has_command("fsck") {
            println!("SKIP: {what}: the program has no fsck");
            return Tally::skip(format!("{what}: the program has no fsck"));
        }
        let checked = self.home.run(&["fsck", &self.volume]);
        if let Err(e) = &checked {
            println!("{e:#}");
        }
        Tally::check(checked.is_ok(), format!("{what}: fsck"))
    }
}
