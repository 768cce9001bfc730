//! The simplest object store: a map, for where the store's own failures are not the point; or one that is away. Cheap to copy.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectInfo, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind,
    StoreResult,
};

/// Objects in memory.
#[derive(Debug, Default)]
pub struct SimStore {
    objects: Mutex<BTreeMap<ObjectKey, Bytes>>,
    is_away: bool,
}

impl SimStore {
    /// A store with these objects.
    #[must_use]
    pub fn with(objects: BTreeMap<ObjectKey, Bytes>) -> Self {
        Self { objects: Mutex::new(objects), is_away: false }
    }

    /// A store that cannot be reached.
    #[must_use]
    pub fn away() -> Self {
        Self { is_away: true, ..Self::default() }
    }

    /// All objects; their contents are shared, not copied.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<ObjectKey, Bytes> {
        self.objects.lock().clone()
    }

    fn reach(&self) -> StoreResult<MutexGuard<'_, BTreeMap<ObjectKey, Bytes>>> {
        if self.is_away {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the store is away"));
        }
        Ok(self.objects.lock())
    }
}

fn missing(key: &ObjectKey) -> StoreError {
    StoreError::new(StoreErrorKind::NotFound, format!("get {key}: no such object"))
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()> {
        let content = Bytes::from(body.concat());
        let mut objects = self.reach()?;
        if mode == PutMode::CreateNew && objects.get(key).is_some_and(|there| *there != content) {
            return Err(StoreError::new(StoreErrorKind::AlreadyExists, format!("put {key}: the name is taken")));
        }
        objects.insert(key.clone(), content);
        Ok(())
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        let content = self.reach()?.get(key).cloned().ok_or_else(|| missing(key))?;
        let whole = content.len() as u64;
        let (start, end) = match range {
            GetRange::Full => (0, whole),
            GetRange::Bounded { offset, len } => (offset, offset.saturating_add(len)),
            GetRange::Suffix { len } => (whole.saturating_sub(len), whole),
        };
        if end > whole {
            return Err(StoreError::new(StoreErrorKind::Truncated, format!("get {key}: {end} is past its end")));
        }
        // Both lie inside the content, whose length is a usize.
        Ok(content.slice(start as usize..end as usize))
    }

    async fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        self.reach()?.get(key).map(|content| content.len() as u64).ok_or_else(|| missing(key))
    }

    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        let objects = self.reach()?;
        let wanted = |key: &ObjectKey| {
            key.container == container
                && key.path.starts_with(prefix)
                && start_after.is_none_or(|after| key.path.as_str() > after)
        };
        let found = objects.iter().filter(|(key, _)| wanted(key));
        let objects = found.map(|(key, content)| ObjectInfo { key: key.clone(), len: content.len() as u64 }).collect();
        Ok(ListPage { objects, next: None })
    }

    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        self.reach()?.retain(|key, _| !keys.contains(key));
        Ok(Vec::new())
    }

    fn conditional_put(&self) -> ConditionalPut {
        ConditionalPut::Atomic
    }

    fn describe(&self) -> String {
        "sim:".to_owned()
    }
}
