//! Which volume is meant, and opening it.
//!
//! A volume is named by its name in the registry or by its store's URL. Owns the way from there to an open [`Volume`]: state
//! directory, its lock, the store, the engine. A registered volume is opened without asking its store first, so that the engine can
//! fall back to its local copies when the store is away.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use proxyfs_core::engine::Engine;
use proxyfs_core::env::{Env, OsClock, OsDir, OsRng};
use proxyfs_core::format::VolumeMeta;
use proxyfs_core::store::{ObjectStore, StoreErrorKind};
use proxyfs_core::volume::{Volume, read_volume_meta};
use proxyfs_credentials::Sources;
use proxyfs_store::{OpenStore, StoreOptions, StoreUrl, open_offline, open_store};

use crate::control::client;
use crate::credentials::{failure, named};
use crate::failure::{Failure, Outcome};
use crate::options::{Given, Settings};
use crate::paths::Paths;
use crate::registry::{Registry, check_name};
use crate::sys::make_private_dir;

/// A volume that can be opened.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its name in the registry, if it has one.
    pub(crate) name: Option<String>,
    /// 32 hex digits.
    pub(crate) uuid: String,
    /// Where it lies.
    pub(crate) url: StoreUrl,
    /// Name of its credentials; without one, those of the environment.
    pub(crate) credentials: Option<String>,
    /// Where credentials are kept.
    pub(crate) sources: Sources,
    /// The registry's options.
    pub(crate) options: Given,
}

impl Target {
    /// The volume that `text` means: a registered name, or a URL.
    pub(crate) async fn resolve(paths: &Paths, text: &str, given: &Given) -> Outcome<Self> {
        Self::resolve_with(paths, text, given, None).await
    }

    /// The same with named credentials, which win over the registry's.
    pub(crate) async fn resolve_with(
        paths: &Paths,
        text: &str,
        given: &Given,
        credentials: Option<&str>,
    ) -> Outcome<Self> {
        let chosen = |known: Self| match credentials {
            Some(name) => Self { credentials: Some(name.to_owned()), ..known },
            None => known,
        };
        if !text.contains(':') {
            return Self::registered(paths, text).map(chosen);
        }
        let url = parse_url(text)?;
        if let Some(known) = Self::registered_at(paths, &url)? {
            return Ok(chosen(known));
        }
        let mut settings = Settings::with(given)?;
        if let Some(name) = credentials {
            settings.store.credentials = Some(named(paths, name).await?.record.credentials);
        }
        let subject = format!("the volume at {url}");
        let store = connect(&url, &settings.store, "open", &subject).await?;
        let meta = read_volume_meta(&store, settings.volume.operation_timeout)
            .await
            .map_err(|e| Failure::engine("open", &subject, &e))?;
        Ok(Self {
            name: None,
            uuid: meta.uuid.to_string(),
            url,
            credentials: credentials.map(str::to_owned),
            sources: paths.credentials(),
            options: Given::new(),
        })
    }

    /// The volume registered as `name`.
    pub(crate) fn registered(paths: &Paths, name: &str) -> Outcome<Self> {
        check_name(name)?;
        let entry = Registry::new(paths.registry()).get(name)?;
        let url = parse_url(&entry.store).map_err(|f| Failure {
            advice: format!("correct it in {}", paths.registry().display()),
            blame: crate::failure::Blame::Work,
            ..f
        })?;
        Ok(Self {
            name: Some(name.to_owned()),
            uuid: entry.uuid,
            url,
            credentials: entry.credentials,
            sources: paths.credentials(),
            options: entry.options,
        })
    }

    fn registered_at(paths: &Paths, url: &StoreUrl) -> Outcome<Option<Self>> {
        let canonical = url.to_string();
        let volumes = Registry::new(paths.registry()).load()?;
        let found = volumes.into_iter().find(|(_, entry)| entry.store == canonical);
        Ok(found.map(|(name, entry)| Self {
            name: Some(name),
            uuid: entry.uuid,
            url: url.clone(),
            credentials: entry.credentials,
            sources: paths.credentials(),
            options: entry.options,
        }))
    }

    /// For messages: `volume photos`, or `the volume at URL`.
    pub(crate) fn subject(&self) -> String {
        match &self.name {
            Some(name) => format!("volume {name}"),
            None => format!("the volume at {}", self.url),
        }
    }

    /// The name, or the URL.
    pub(crate) fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.url.to_string())
    }

    /// The registry's options with `given` over them.
    pub(crate) fn settings(&self, given: &Given) -> Outcome<Settings> {
        // A wrong key in the registry is not the command line's fault.
        Settings::with(&self.options).map_err(|f| Failure {
            subject: format!("{} of {}", f.subject, self.subject()),
            advice: format!("{}; it stands in the registry, volumes.toml: correct it there", f.advice),
            blame: crate::failure::Blame::Work,
            ..f
        })?;
        let mut all = self.options.clone();
        all.extend(given.clone());
        Settings::with(&all)
    }

    /// Its state directory.
    pub(crate) fn state_dir(&self, paths: &Paths) -> PathBuf {
        paths.state_of(&self.uuid)
    }

    /// Its store, without asking it anything.
    pub(crate) async fn store(&self, settings: &Settings) -> Outcome<Arc<dyn ObjectStore>> {
        Ok(self.opened(settings).await?.store)
    }

    /// The same with the store's counters.
    pub(crate) async fn opened(&self, settings: &Settings) -> Outcome<OpenStore> {
        let opened = open_offline(&self.url, &self.store_options(settings).await?).await;
        opened.map_err(|e| Failure::store("open the store of", &self.subject(), &e))
    }

    /// How its store is opened: the settings with the named credentials.
    pub(crate) async fn store_options(&self, settings: &Settings) -> Outcome<StoreOptions> {
        let mut options = settings.store.clone();
        if let Some(name) = &self.credentials {
            let found = self.sources.load(name).await.map_err(|e| failure("open the store of", &self.subject(), &e))?;
            tracing::debug!(name, place = %found.place, "credentials loaded");
            options.credentials = Some(found.record.credentials);
        }
        Ok(options)
    }

    /// Its description, from its store.
    pub(crate) async fn meta(&self, settings: &Settings) -> Outcome<VolumeMeta> {
        let store = self.store(settings).await?;
        let meta = read_volume_meta(&store, settings.volume.operation_timeout).await;
        meta.map_err(|e| Failure::engine("read", &self.subject(), &e))
    }

    /// Locks its state directory and opens it.
    pub(crate) async fn open(&self, paths: &Paths, action: &str, settings: Settings) -> Outcome<Volume> {
        let engine = Engine::new(&settings.engine);
        let store = self.opened(&settings).await?.store;
        self.open_on(engine, store, paths, action, settings).await
    }

    /// The same on an engine that others share.
    pub(crate) async fn open_on(
        &self,
        engine: Arc<Engine>,
        store: Arc<dyn ObjectStore>,
        paths: &Paths,
        action: &str,
        settings: Settings,
    ) -> Outcome<Volume> {
        let subject = self.subject();
        let env = self.environment(paths, action).await?;
        let volume = Volume::open(engine, env, store, settings.volume).await;
        let volume = volume.map_err(|e| Failure::engine(action, &subject, &e))?;
        if volume.meta().uuid.to_string() != self.uuid {
            let why = format!("the store holds volume {} now, not {}", volume.meta().uuid, self.uuid);
            let advice = "another volume was made at this place: correct the registry, or mount it by its URL";
            volume.abandon().await;
            return Err(Failure::new(action, subject, why, advice));
        }
        Ok(volume)
    }

    /// Locks its state directory.
    pub(crate) async fn environment(&self, paths: &Paths, action: &str) -> Outcome<Env> {
        let state_dir = self.state_dir(paths);
        make_private_dir(paths.states())
            .and_then(|()| make_private_dir(&state_dir))
            .map_err(|e| Failure::io("make", &format!("the state directory {}", state_dir.display()), &e))?;
        let dir = match OsDir::open_locked(&state_dir) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(self.in_use(paths, action).await),
            other => other.map_err(|e| Failure::io("lock", &state_dir.display().to_string(), &e))?,
        };
        Ok(Env { dir: Arc::new(dir), clock: Arc::new(OsClock), rng: Arc::new(OsRng) })
    }

    /// The failure when another process has the volume.
    pub(crate) async fn in_use(&self, paths: &Paths, action: &str) -> Failure {
        let running = client::running(&self.state_dir(paths)).await;
        let (why, advice) = match running {
            Some(r) => {
                let place = r.mount_point().display();
                (
                    format!("it is mounted on {place} already, by process {}", r.pid()),
                    format!("use it there, or end it first: proxyfs unmount {place}"),
                )
            }
            None => (
                "another process has it open on this computer".to_owned(),
                "wait until it has finished, then try again".to_owned(),
            ),
        };
        Failure::new(action, self.subject(), why, advice)
    }
}

/// Parses a URL from the command line or the registry. The text itself is never shown: it could hold a secret.
pub(crate) fn parse_url(text: &str) -> Outcome<StoreUrl> {
    let advice = "write for example file:///srv/data, s3://BUCKET/PREFIX, or s3://BUCKET/PREFIX?endpoint=https://HOST";
    let url: StoreUrl = text.parse().map_err(|e: proxyfs_core::store::StoreError| {
        Failure::usage("understand", "the store URL", e.message, advice)
    })?;
    match url {
        StoreUrl::Mem(_) => {
            Err(Failure::usage("use", "the store mem:", "it would be gone when this program ends", advice))
        }
        StoreUrl::File(_) | StoreUrl::S3(_) | StoreUrl::Swift(_) => Ok(url),
    }
}

/// Opens a store that must answer now.
pub(crate) async fn connect(
    url: &StoreUrl,
    options: &StoreOptions,
    action: &str,
    subject: &str,
) -> Outcome<Arc<dyn ObjectStore>> {
    open_store(url, options).await.map_err(|e| {
        let failure = Failure::store(action, subject, &e);
        match e.kind {
            StoreErrorKind::Unavailable if action == "open" => Failure {
                advice: format!("{}; the first time, a volume cannot be opened without its store", failure.advice),
                ..failure
            },
            _ => failure,
        }
    })
}
