//! The store as one volume uses it: object ids instead of keys, the engine's errors, a deadline on everything.
//!
//! Owns the translation and nothing else; retries and pools are below, meaning is above.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::format::Layout;
use crate::pace::Pace;
use crate::store::{GetRange, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind};
use crate::types::ObjectId;

/// A volume's view of its store.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) layout: Layout,
    pub(crate) timeout: Duration,
    /// Limits of transfer, which are waited for outside of the deadline.
    pub(crate) pace: Arc<Pace>,
}

impl Storage {
    /// A store without limits of transfer.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, layout: Layout, timeout: Duration) -> Self {
        Self { store, layout, timeout, pace: Arc::default() }
    }

    pub(crate) async fn get_meta(&self, id: ObjectId, range: GetRange) -> Result<Bytes> {
        self.get_named(&self.layout.meta_key(id), range).await
    }

    pub(crate) async fn get_data(&self, id: ObjectId, range: GetRange) -> Result<Bytes> {
        self.get_named(&self.layout.data_key(id), range).await
    }

    /// Reads an object that the volume's metadata names: its absence is damage.
    async fn get_named(&self, key: &ObjectKey, range: GetRange) -> Result<Bytes> {
        self.get(key, range).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let place = self.store.describe();
                let what = format!("object {key} is missing from {place}, and the volume needs it; run fsck");
                Error::with_source(ErrorKind::Corrupt, what, error)
            }
            ErrorKind::Corrupt => error.context_prefix(&format!("object {key} is not whole, run fsck")),
            _ => error,
        })
    }

    pub(crate) fn describe_meta(&self, id: ObjectId) -> String {
        self.layout.meta_key(id).to_string()
    }

    pub(crate) async fn get(&self, key: &ObjectKey, range: GetRange) -> Result<Bytes> {
        self.pace.download.ready().await;
        let bytes = self.deadline(key, "read", self.store.get(key, range)).await?;
        self.pace.download.spend(bytes.len() as u64);
        Ok(bytes)
    }

    pub(crate) async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> Result<()> {
        self.pace.upload.ready().await;
        self.pace.upload.spend(body.iter().map(|b| b.len() as u64).sum());
        self.deadline(key, "write", self.store.put(key, body, mode)).await
    }

    pub(crate) async fn delete(&self, keys: &[ObjectKey]) -> Result<Vec<(ObjectKey, StoreError)>> {
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        self.deadline(first, "delete", self.store.delete(keys)).await
    }

    async fn deadline<T>(
        &self,
        key: &ObjectKey,
        what: &str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(outcome) => outcome.map_err(|e| self.explain(store_error(what, key, e))),
            Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("cannot {what} object {key}: no answer from {} in {:?}", self.store.describe(), self.timeout),
            )),
        }
    }

    /// Says which store refused, as it may be another than somebody thinks.
    fn explain(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Denied => error.context_prefix(&format!("{} refuses these credentials", self.store.describe())),
            _ => error,
        }
    }
}

/// A store failure in the engine's terms.
pub(crate) fn store_error(what: &str, key: &ObjectKey, error: StoreError) -> Error {
    let kind = match error.kind {
        StoreErrorKind::NotFound => ErrorKind::NotFound,
        StoreErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        StoreErrorKind::Denied => ErrorKind::Denied,
        StoreErrorKind::Unavailable => ErrorKind::Unavailable,
        StoreErrorKind::Truncated => ErrorKind::Corrupt,
        StoreErrorKind::NoContainer | StoreErrorKind::Invalid => ErrorKind::Config,
        StoreErrorKind::Unsupported => ErrorKind::NotSupported,
        StoreErrorKind::NoSpace => ErrorKind::NoSpace,
    };
    Error::with_source(kind, format!("cannot {what} object {key}"), error)
}
