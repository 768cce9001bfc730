//! The stores that the suite runs on. Each test gets one of its own.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proxyfs_core::store::ObjectStore;
use proxyfs_harness::s3server::S3Server;
use proxyfs_store::fault::FaultConfig;
use proxyfs_store::retry::RetryPolicy;
use proxyfs_store::url::{FileUrl, StoreUrl};
use proxyfs_store::{Credentials, FaultStore, LocalStore, MemStore, Retry, StoreOptions, open_store};

/// What a store does with a conditional put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    /// One of several racers wins.
    Atomic,
    /// Honoured in sequence; several racers may win.
    InSequence,
    /// Taken as if there were no condition.
    Ignored,
    /// Answered by an error.
    Refused,
}

impl Create {
    /// Whether a name that is taken is refused and a free one is not.
    pub(crate) fn is_honoured(self) -> bool {
        matches!(self, Self::Atomic | Self::InSequence)
    }
}

/// A store under test and what it promises.
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) create: Create,
    pub(crate) creates_containers: bool,
    /// Servers and directories that end with the test.
    _keep: Box<dyn Any + Send + Sync>,
}

impl Backend {
    fn new(store: Arc<dyn ObjectStore>, keep: impl Any + Send + Sync) -> Option<Self> {
        Some(Self { store, create: Create::Atomic, creates_containers: true, _keep: Box::new(keep) })
    }

    /// The same as weak as `PROXYFS_TEST_CONDITIONAL_PUT` says: `atomic` (the default), `in-sequence`, `ignored` or `refused`.
    fn declared(self) -> Self {
        let create = match std::env::var("PROXYFS_TEST_CONDITIONAL_PUT").as_deref() {
            Ok("in-sequence") => Create::InSequence,
            Ok("ignored") => Create::Ignored,
            Ok("refused") => Create::Refused,
            Ok("atomic") | Err(_) => Create::Atomic,
            Ok(other) => panic!("PROXYFS_TEST_CONDITIONAL_PUT cannot be `{other}`"),
        };
        Self { create, ..self }
    }
}

pub(crate) async fn mem(_: &str) -> Option<Backend> {
    Backend::new(Arc::new(MemStore::with_page(7)), ())
}

pub(crate) async fn file(_: &str) -> Option<Backend> {
    let dir = tempfile::tempdir().unwrap();
    Backend::new(Arc::new(LocalStore::with_page(dir.path().join("store"), true, 100)), dir)
}

pub(crate) async fn s3(_: &str) -> Option<Backend> {
    let dir = tempfile::tempdir().unwrap();
    let server = S3Server::start(dir.path()).await.unwrap();
    let url: StoreUrl = server.url("bucket", "volume/one").parse().unwrap();
    let credentials = Credentials::new(&server.access_key, server.secret_key.as_str());
    let options = StoreOptions { create_containers: true, credentials: Some(credentials), ..Default::default() };
    Backend::new(open_store(&url, &options).await.unwrap(), (server, dir))
}

/// The fault store with nothing switched on.
pub(crate) async fn faultless(_: &str) -> Option<Backend> {
    Backend::new(Arc::new(FaultStore::new(Arc::new(MemStore::new()), FaultConfig::default())), ())
}

/// Retries over a store where about half of all calls go wrong.
pub(crate) async fn flaky(_: &str) -> Option<Backend> {
    let config = FaultConfig {
        seed: 7,
        error_before: 0.2,
        error_after: 0.2,
        duplicate: 0.1,
        throttle: 0.1,
        truncated: 0.03,
        ..Default::default()
    };
    let faults = FaultStore::new(Arc::new(MemStore::with_page(100)), config);
    let millisecond = Duration::from_millis(1);
    let policy = RetryPolicy { backoff_base: millisecond, backoff_max: millisecond, ..Default::default() };
    Backend::new(Arc::new(Retry::new(Arc::new(faults), policy)), ())
}

/// A local directory as users open it.
pub(crate) async fn opened(_: &str) -> Option<Backend> {
    let dir = tempfile::tempdir().unwrap();
    let url = StoreUrl::File(FileUrl { root: dir.path().join("volume") });
    let options = StoreOptions { create_containers: true, ..Default::default() };
    Backend::new(open_store(&url, &options).await.unwrap(), dir)
}

pub(crate) async fn real_s3(test: &str) -> Option<Backend> {
    let url = named_by("PROXYFS_TEST_S3_URL")?;
    let StoreUrl::S3(mut s3) = url else { panic!("PROXYFS_TEST_S3_URL must be an s3:// URL") };
    s3.prefix = format!("{}/{}", s3.prefix, unique(test)).trim_matches('/').to_owned();
    let create_containers = std::env::var_os("PROXYFS_TEST_CREATE_CONTAINERS").is_some();
    let options = StoreOptions { create_containers, ..Default::default() };
    let store = open_store(&StoreUrl::S3(s3), &options).await.unwrap();
    Some(Backend { creates_containers: create_containers, ..Backend::new(store, ())? }.declared())
}

pub(crate) async fn real_swift(test: &str) -> Option<Backend> {
    let url = named_by("PROXYFS_TEST_SWIFT_URL")?;
    let StoreUrl::Swift(mut swift) = url else { panic!("PROXYFS_TEST_SWIFT_URL must be a swift:// URL") };
    swift.prefix = format!("{}/{}", swift.prefix, unique(test)).trim_matches('/').to_owned();
    let options = StoreOptions { create_containers: true, ..Default::default() };
    let store = open_store(&StoreUrl::Swift(swift), &options).await.unwrap();
    Some(Backend { create: Create::InSequence, ..Backend::new(store, ())? })
}

fn named_by(variable: &str) -> Option<StoreUrl> {
    let Ok(url) = std::env::var(variable) else {
        println!("skipped: {variable} names no store");
        return None;
    };
    Some(url.parse().unwrap())
}

/// A prefix that no other run uses.
fn unique(test: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("{:x}-{:x}/{test}", now.as_nanos(), std::process::id())
}
