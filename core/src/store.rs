//! The object store as the engine sees it: put whole objects under new names, get ranges, list, delete.
//!
//! Owns the trait that every backend implements and the classification of its failures. Does not own retries, pools or
//! URLs: those live in the store crate. The engine never overwrites an object, so no method offers it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// Where an object lies: which of the volume's containers (buckets), and its path inside the volume's prefix.
///
/// A container is an ordinal; the store maps it to a bucket name (a configured list, or `<base>-<ordinal>` made on demand).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Ordinal of the container; 0 is the volume's home container.
    pub container: u32,
    /// Path below the volume's prefix, ASCII, no leading slash, e.g. `data/3f/0000000000000001-000000000000002a`.
    pub path: String,
}

impl ObjectKey {
    /// A key in the volume's home container.
    pub fn home(path: impl Into<String>) -> Self {
        Self { container: 0, path: path.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.container {
            0 => f.write_str(&self.path),
            n => write!(f, "{n}:{}", self.path),
        }
    }
}

/// How a put treats a name that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// The name is fresh by construction (epoch and nonce); a retry may write the same bytes again.
    Fresh,
    /// Create only if absent (`If-None-Match: *`); exactly one of several racers may succeed on a store that is atomic.
    ///
    /// A retry after a lost reply may find its own object: the store layer resolves this by comparing content and
    /// reports success when the stored bytes are the ones it sent.
    CreateNew,
}

/// What a store promises for [`PutMode::CreateNew`], as known without asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionalPut {
    /// Atomic by construction (local directory, memory): no probe needed.
    Atomic,
    /// Unknown: the engine probes by racing at claim time.
    MustProbe,
    /// Known not to be atomic (native Swift): needs the settle fallback.
    NotAtomic,
}

/// An object seen by a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: ObjectKey,
    /// Stored length in bytes.
    pub len: u64,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Objects in byte order of their paths.
    pub objects: Vec<ObjectInfo>,
    /// Pass as `start_after` to get the next page; `None` at the end.
    pub next: Option<String>,
}

/// A range of bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetRange {
    /// The whole object.
    Full,
    /// Exactly `len` bytes from `offset`. Fewer available is [`StoreErrorKind::Truncated`].
    Bounded {
        /// First byte.
        offset: u64,
        /// How many; not 0.
        len: u64,
    },
    /// The last `len` bytes, or the whole object when it is shorter.
    Suffix {
        /// How many; not 0.
        len: u64,
    },
}

/// What a store failure means to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// No such object.
    NotFound,
    /// [`PutMode::CreateNew`] found the name taken by other content.
    AlreadyExists,
    /// No such bucket or container. Create it or fix the URL.
    NoContainer,
    /// Credentials missing, wrong or not sufficient. Not retried.
    Denied,
    /// Throttled, 5xx, connection refused or timed out: worth a retry. Retries have already been made within the deadline.
    Unavailable,
    /// Fewer or other bytes than the store announced, after retries.
    Truncated,
    /// The store does not offer what was asked (conditional put, for example). Not retried.
    Unsupported,
    /// The request, URL or response makes no sense. Not retried.
    Invalid,
    /// The store is full (quota or disk). Not retried at once.
    NoSpace,
}

/// A failed store operation. The message says what failed on which object and why; it never holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What it means.
    pub kind: StoreErrorKind,
    /// Sentence for a person.
    pub message: String,
}

impl StoreError {
    /// A new error.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;

/// A place that keeps immutable objects. Implementations are cheap to share and safe to call from many tasks.
///
/// Read-your-writes holds for fresh names. Listings may lag. Dropping a future may leave the request done or not done.
#[async_trait]
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// Stores an object whose content is `body` (chunks in order). On return it is durable at the store.
    ///
    /// # Errors
    /// [`StoreErrorKind::AlreadyExists`] only with [`PutMode::CreateNew`]. Any error leaves it unknown whether the object exists.
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()>;

    /// Reads a range. The length of the answer is exactly what [`GetRange`] promises.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`], [`StoreErrorKind::Truncated`], or the general kinds.
    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes>;

    /// Length of an object in bytes.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`] or the general kinds.
    async fn len(&self, key: &ObjectKey) -> StoreResult<u64>;

    /// Lists objects of one container whose path begins with `prefix` and sorts after `start_after`, at most one page.
    ///
    /// # Errors
    /// The general kinds.
    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage>;

    /// Deletes objects; one that does not exist counts as deleted. Returns those that failed.
    ///
    /// # Errors
    /// The general kinds, when nothing is known of any key.
    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>>;

    /// What is known of [`PutMode::CreateNew`] on this store.
    fn conditional_put(&self) -> ConditionalPut;

    /// The store's URL for messages, without secrets.
    fn describe(&self) -> String;

    /// Calls that fail just now and are being repeated, if no call has succeeded since; `None` also for stores that repeat nothing.
    fn trouble(&self) -> Option<Trouble> {
        None
    }
}

/// A store that does not answer, while its callers still wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Since the first failure.
    pub lasts: Duration,
    /// What the last failure said.
    pub message: String,
}
