//! Stores that do not create objects atomically: one that ignores the condition of a put, and one that refuses it.

use async_trait::async_trait;
use bytes::Bytes;
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind, StoreResult,
};
use proxyfs_store::MemStore;

/// What a weak store does with a conditional put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// Puts all the same.
    Ignores,
    /// Says that it cannot.
    Refuses,
}

/// A store with a weakness.
#[derive(Debug)]
pub struct WeakStore {
    inner: MemStore,
    weakness: Weakness,
}

impl WeakStore {
    /// An empty store.
    #[must_use]
    pub fn new(weakness: Weakness) -> Self {
        Self { inner: MemStore::new(), weakness }
    }
}

#[async_trait]
impl ObjectStore for WeakStore {
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()> {
        match (mode, self.weakness) {
            (PutMode::CreateNew, Weakness::Refuses) => {
                Err(StoreError::new(StoreErrorKind::Unsupported, format!("put {key}: conditions are not implemented")))
            }
            _ => self.inner.put(key, body, PutMode::Fresh).await,
        }
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        self.inner.get(key, range).await
    }

    async fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        self.inner.len(key).await
    }

    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        self.inner.list(container, prefix, start_after).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        self.inner.delete(keys).await
    }

    fn conditional_put(&self) -> ConditionalPut {
        ConditionalPut::MustProbe
    }

    fn describe(&self) -> String {
        format!("a store that {:?} conditions", self.weakness).to_lowercase()
    }
}
