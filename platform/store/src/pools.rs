//! Limits how many requests are under way: reads and writes have pools of their own, so neither starves the other.
//!
//! One write permit is kept for small metadata objects (`head/`, `meta/`, `log/`): a queue of segment uploads cannot delay a
//! commit. Waiting for a permit has a deadline, as everything that waits on the store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind, StoreResult,
    Trouble,
};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// Where objects lie whose writes have a permit of their own.
const METADATA_PREFIXES: &[&str] = &["head/", "meta/", "log/"];

/// Sizes of the pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Reads, lengths and listings at once; at least 1.
    pub read_connections: usize,
    /// Writes and deletes at once, the reserved one included; at least 2.
    pub write_connections: usize,
    /// Longest wait for a permit; then the call fails with [`StoreErrorKind::Unavailable`].
    pub wait_max: Duration,
}

/// A store with limited concurrency.
#[derive(Debug)]
pub struct Pools<S: ?Sized> {
    reads: Semaphore,
    writes: Semaphore,
    metadata_writes: Semaphore,
    wait_max: Duration,
    inner: Arc<S>,
}

impl<S: ObjectStore + ?Sized> Pools<S> {
    /// Wraps a store.
    pub fn new(inner: Arc<S>, limits: PoolLimits) -> Self {
        Self {
            reads: Semaphore::new(limits.read_connections.clamp(1, Semaphore::MAX_PERMITS)),
            writes: Semaphore::new(limits.write_connections.saturating_sub(1).clamp(1, Semaphore::MAX_PERMITS)),
            metadata_writes: Semaphore::new(1),
            wait_max: limits.wait_max,
            inner,
        }
    }

    async fn read_permit(&self) -> StoreResult<SemaphorePermit<'_>> {
        self.wait("read", self.reads.acquire()).await
    }

    async fn write_permit(&self, path: &str) -> StoreResult<SemaphorePermit<'_>> {
        if !METADATA_PREFIXES.iter().any(|p| path.starts_with(p)) {
            return self.wait("write", self.writes.acquire()).await;
        }
        let either = async {
            tokio::select! {
                biased;
                permit = self.metadata_writes.acquire() => permit,
                permit = self.writes.acquire() => permit,
            }
        };
        self.wait("write", either).await
    }

    async fn wait<'a>(
        &self,
        pool: &str,
        permit: impl Future<Output = Result<SemaphorePermit<'a>, AcquireError>>,
    ) -> StoreResult<SemaphorePermit<'a>> {
        match tokio::time::timeout(self.wait_max, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphores are never closed, so this is time running out.
            Ok(Err(_)) | Err(_) => {
                let message = format!("all {pool} connections have been busy for {:?}", self.wait_max);
                Err(StoreError::new(StoreErrorKind::Unavailable, message))
            }
        }
    }
}

#[async_trait]
impl<S: ObjectStore + ?Sized> ObjectStore for Pools<S> {
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()> {
        let _permit = self.write_permit(&key.path).await?;
        self.inner.put(key, body, mode).await
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        let _permit = self.read_permit().await?;
        self.inner.get(key, range).await
    }

    async fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        let _permit = self.read_permit().await?;
        self.inner.len(key).await
    }

    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        let _permit = self.read_permit().await?;
        self.inner.list(container, prefix, start_after).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        // Deletes never are urgent: no reserved permit for them.
        let _permit = self.write_permit("").await?;
        self.inner.delete(keys).await
    }

    fn conditional_put(&self) -> ConditionalPut {
        self.inner.conditional_put()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn trouble(&self) -> Option<Trouble> {
        self.inner.trouble()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemStore;
    use crate::fault::{FaultConfig, FaultHandle, FaultStore};
    use tokio::time::Instant;

    /// A store where each call takes one second, behind pools of the given sizes.
    fn slow(read_connections: usize, write_connections: usize) -> (Arc<Pools<FaultStore<MemStore>>>, FaultHandle) {
        let second = Duration::from_secs(1);
        let config = FaultConfig { latency_min: second, latency_max: second, ..Default::default() };
        let store = FaultStore::new(Arc::new(MemStore::new()), config);
        let (handle, wait_max) = (store.handle(), Duration::from_secs(60));
        let limits = PoolLimits { read_connections, write_connections, wait_max };
        (Arc::new(Pools::new(Arc::new(store), limits)), handle)
    }

    fn put(store: &Arc<Pools<FaultStore<MemStore>>>, path: String) -> tokio::task::JoinHandle<StoreResult<()>> {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.put(&ObjectKey::home(path), Vec::new(), PutMode::Fresh).await })
    }

    #[tokio::test(start_paused = true)]
    async fn segment_uploads_never_hold_the_permit_of_metadata() {
        let (store, faults) = slow(1, 3);
        let uploads: Vec<_> = (0..8).map(|i| put(&store, format!("data/{i}"))).collect();
        tokio::task::yield_now().await;
        let start = Instant::now();
        put(&store, "head/1".into()).await.unwrap().unwrap();
        assert_eq!(start.elapsed().as_secs(), 1);
        for upload in uploads {
            upload.await.unwrap().unwrap();
        }
        assert_eq!(start.elapsed().as_secs(), 4, "8 uploads through 2 permits");
        assert_eq!(faults.calls(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn reads_do_not_wait_for_writes() {
        let (store, _) = slow(1, 2);
        let uploads: Vec<_> = (0..4).map(|i| put(&store, format!("data/{i}"))).collect();
        tokio::task::yield_now().await;
        let start = Instant::now();
        store.list(0, "", None).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 1);
        drop(uploads);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_permit_ends_at_the_deadline() {
        let (store, _) = slow(1, 2);
        let uploads: Vec<_> = (0..100).map(|i| put(&store, format!("data/{i}"))).collect();
        let mut results = Vec::new();
        for upload in uploads {
            results.push(upload.await.unwrap());
        }
        let failed =
            results.iter().filter(|r| r.as_ref().is_err_and(|e| e.kind == StoreErrorKind::Unavailable)).count();
        assert!((38..=41).contains(&failed), "{failed}");
    }
}
