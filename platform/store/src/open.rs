//! Opens a store from its URL: client, counters, retries and pools, in this order from the wire upwards.
//!
//! Counters lie below the retries, so they count what was sent. Pools lie above them, so a call keeps its permit while it
//! backs off and a throttled store is not asked by more callers.

use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::store::{ObjectStore, StoreError, StoreErrorKind, StoreResult};
use serde::{Deserialize, Serialize};

use crate::containers::ContainerOptions;
use crate::count::{Counted, Counters};
use crate::credentials::Credentials;
use crate::local::LocalStore;
use crate::mem::MemStore;
use crate::network::Network;
use crate::pools::{PoolLimits, Pools};
use crate::retry::{Repeater, Retry, RetryPolicy};
use crate::s3::S3Store;
use crate::swift::SwiftStore;
use crate::url::StoreUrl;

/// How a store is used. Every field has a default, so a configuration names only what differs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreOptions {
    /// Reads under way at once; default 64.
    pub read_connections: usize,
    /// Writes under way at once, at least 2, of which one is kept for metadata; default 16.
    pub write_connections: usize,
    /// Seconds that one call may take with all its attempts, and that it may wait for a connection before; default 60.
    pub operation_timeout: u64,
    /// Names of containers 0, 1, 2 ...; default derives them from the URL's.
    pub containers: Vec<String>,
    /// Whether missing containers are made; default no.
    pub create_containers: bool,
    /// Storage class (S3) of segments.
    pub data_storage_class: Option<String>,
    /// Storage class (S3) of everything else.
    pub meta_storage_class: Option<String>,
    /// Storage policy (Swift) of containers made here.
    pub storage_policy: Option<String>,
    /// Credentials that replace the environment's; never read from or written to a configuration.
    #[serde(skip)]
    pub credentials: Option<Credentials>,
    /// Who tells of changes of the network; by default nobody does.
    #[serde(skip)]
    pub network: Network,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            read_connections: 64,
            write_connections: 16,
            operation_timeout: 60,
            containers: Vec::new(),
            create_containers: false,
            data_storage_class: None,
            meta_storage_class: None,
            storage_policy: None,
            credentials: None,
            network: Network::default(),
        }
    }
}

impl StoreOptions {
    fn container_options(&self) -> ContainerOptions {
        ContainerOptions {
            containers: self.containers.clone(),
            create_containers: self.create_containers,
            data_storage_class: self.data_storage_class.clone(),
            meta_storage_class: self.meta_storage_class.clone(),
            storage_policy: self.storage_policy.clone(),
        }
    }

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy { operation_timeout: Duration::from_secs(self.operation_timeout), ..RetryPolicy::default() }
    }

    fn check(&self) -> StoreResult<()> {
        for (name, value, min) in [
            ("read_connections", self.read_connections as u64, 1),
            ("write_connections", self.write_connections as u64, 2),
            ("operation_timeout", self.operation_timeout, 1),
        ] {
            if value < min {
                let message = format!("{name} is {value}; write {min} or more");
                return Err(StoreError::new(StoreErrorKind::Invalid, message));
            }
        }
        Ok(())
    }
}

/// An open store with its counters.
#[derive(Clone, Debug)]
pub struct OpenStore {
    /// The store, ready for use by many tasks.
    pub store: Arc<dyn ObjectStore>,
    /// What it has cost so far.
    pub counters: Counters,
}

/// Opens a store and checks that its home container exists, or makes it when allowed.
///
/// # Errors
/// [`StoreErrorKind::NoContainer`], [`StoreErrorKind::Denied`] or [`StoreErrorKind::Invalid`] with a sentence that says what to
/// do; [`StoreErrorKind::Unavailable`] when the store does not answer.
pub async fn open_store(url: &StoreUrl, options: &StoreOptions) -> StoreResult<Arc<dyn ObjectStore>> {
    Ok(open_counted(url, options).await?.store)
}

/// The same with counters.
///
/// # Errors
/// As [`open_store`].
pub async fn open_counted(url: &StoreUrl, options: &StoreOptions) -> StoreResult<OpenStore> {
    let client = Client::connect(url, options).await?;
    Repeater::new(options.retry_policy(), &options.network).run(&format!("open {url}"), || client.check()).await?;
    Ok(wrap(client.into_store(), options))
}

/// Opens a store without asking it anything, so that a volume can be mounted while its store is away.
///
/// # Errors
/// [`StoreErrorKind::Invalid`] when URL and options contradict each other; [`StoreErrorKind::Denied`] for Swift without credentials.
pub async fn open_offline(url: &StoreUrl, options: &StoreOptions) -> StoreResult<OpenStore> {
    Ok(wrap(Client::connect(url, options).await?.into_store(), options))
}

/// The backend alone: each call is made once.
pub(crate) async fn bare(url: &StoreUrl, options: &StoreOptions) -> StoreResult<Arc<dyn ObjectStore>> {
    Ok(Client::connect(url, options).await?.into_store())
}

/// Puts counters, retries and pools around any store.
#[must_use]
pub fn wrap(client: Arc<dyn ObjectStore>, options: &StoreOptions) -> OpenStore {
    let counted = Counted::new(client);
    let counters = counted.counters();
    let retry = Retry::on(Arc::new(counted), options.retry_policy(), &options.network);
    let counters = counters.with_retries(retry.retries());
    let limits = PoolLimits {
        read_connections: options.read_connections,
        write_connections: options.write_connections,
        wait_max: Duration::from_secs(options.operation_timeout),
    };
    OpenStore { store: Arc::new(Pools::new(Arc::new(retry), limits)), counters }
}

/// The backend that a URL names.
enum Client {
    Mem(Arc<MemStore>),
    Local(LocalStore),
    S3(S3Store),
    Swift(SwiftStore),
}

impl Client {
    async fn connect(url: &StoreUrl, options: &StoreOptions) -> StoreResult<Self> {
        options.check()?;
        let (containers, credentials, network) =
            (options.container_options(), options.credentials.clone(), &options.network);
        Ok(match url {
            StoreUrl::Mem(None) => Self::Mem(Arc::new(MemStore::new())),
            StoreUrl::Mem(Some(name)) => Self::Mem(MemStore::named(name)),
            StoreUrl::File(file) => Self::Local(LocalStore::new(&file.root, options.create_containers)),
            StoreUrl::S3(s3) => Self::S3(S3Store::connect_on(s3, containers, credentials, network).await?),
            StoreUrl::Swift(swift) => Self::Swift(SwiftStore::connect_on(swift, containers, credentials, network)?),
        })
    }

    async fn check(&self) -> StoreResult<()> {
        match self {
            Self::Mem(_) => Ok(()),
            Self::Local(store) => store.check().await,
            Self::S3(store) => store.check().await,
            Self::Swift(store) => store.check().await,
        }
    }

    fn into_store(self) -> Arc<dyn ObjectStore> {
        match self {
            Self::Mem(store) => store,
            Self::Local(store) => Arc::new(store),
            Self::S3(store) => Arc::new(store),
            Self::Swift(store) => Arc::new(store),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::FileUrl;

    #[test]
    fn a_configuration_names_only_what_differs_and_never_credentials() {
        let options: StoreOptions = serde_json::from_str(r#"{"read_connections": 8}"#).unwrap();
        assert_eq!((options.read_connections, options.write_connections, options.operation_timeout), (8, 16, 60));
        assert!(serde_json::from_str::<StoreOptions>(r#"{"read_conections": 8}"#).is_err());
        assert!(serde_json::from_str::<StoreOptions>(r#"{"credentials": null}"#).is_err());
    }

    #[tokio::test]
    async fn a_missing_directory_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let url = StoreUrl::File(FileUrl { root: dir.path().join("none") });
        let error = open_store(&url, &StoreOptions::default()).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NoContainer);
        assert!(error.message.contains("create it"), "{error}");
        let options = StoreOptions { create_containers: true, ..Default::default() };
        assert_eq!(open_store(&url, &options).await.unwrap().describe(), url.to_string());
    }

    #[tokio::test]
    async fn limits_that_allow_nothing_are_refused() {
        let options = StoreOptions { write_connections: 1, ..Default::default() };
        let error = open_store(&"mem:".parse().unwrap(), &options).await.unwrap_err();
        assert!(error.message.contains("write 2 or more"), "{error}");
    }
}
