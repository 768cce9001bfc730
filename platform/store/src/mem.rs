//! Objects in memory: the store of tests and of `mem:` URLs. Linearizable, and gone with its last handle.
//!
//! Named stores live as long as the process, so that a second open finds what the first left.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectInfo, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind,
    StoreResult,
};

use crate::key;

/// Objects of one listing page, as on S3.
const PAGE_OBJECTS: usize = 1000;

/// A store in memory.
#[derive(Debug)]
pub struct MemStore {
    name: Option<String>,
    page_objects: usize,
    objects: RwLock<BTreeMap<ObjectKey, Bytes>>,
}

impl MemStore {
    /// An empty store of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::with_page(PAGE_OBJECTS)
    }

    /// An empty store whose listings have at most `page_objects` objects a page.
    #[must_use]
    pub fn with_page(page_objects: usize) -> Self {
        Self { name: None, page_objects, objects: RwLock::default() }
    }

    /// The process's store of this name, made empty at its first use.
    #[must_use]
    pub fn named(name: &str) -> Arc<Self> {
        static STORES: OnceLock<Mutex<HashMap<String, Arc<MemStore>>>> = OnceLock::new();
        let make = || Arc::new(Self { name: Some(name.to_owned()), ..Self::new() });
        Arc::clone(STORES.get_or_init(Mutex::default).lock().entry(name.to_owned()).or_insert_with(make))
    }

    /// All objects with their contents, in key order; a cheap snapshot, as contents are shared.
    #[must_use]
    pub fn dump(&self) -> Vec<(ObjectKey, Bytes)> {
        self.objects.read().iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Replaces the content of an object behind the back of its user, e.g. by damaged bytes.
    pub fn overwrite(&self, key: ObjectKey, content: Bytes) {
        self.objects.write().insert(key, content);
    }

    fn load(&self, key: &ObjectKey) -> StoreResult<Bytes> {
        let missing = || StoreError::new(StoreErrorKind::NotFound, format!("get {key}: no such object"));
        self.objects.read().get(key).cloned().ok_or_else(missing)
    }
}

impl Default for MemStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl ObjectStore for MemStore {
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()> {
        key::check_path(&key.path)?;
        let content = key::concat(body);
        let mut objects = self.objects.write();
        match (mode, objects.get(key)) {
            (PutMode::CreateNew, Some(stored)) if *stored != content => {
                Err(StoreError::new(StoreErrorKind::AlreadyExists, format!("put {key}: the name is taken")))
            }
            (PutMode::CreateNew, Some(_)) => Ok(()),
            (PutMode::Fresh, _) | (PutMode::CreateNew, None) => {
                objects.insert(key.clone(), content);
                Ok(())
            }
        }
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        key::check_range(key, range)?;
        let content = self.load(key)?;
        let (offset, len) = key::resolve_range(key, range, content.len() as u64)?;
        // Fits: the range lies inside `content`, whose length is a usize.
        Ok(content.slice(offset as usize..(offset + len) as usize))
    }

    async fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        Ok(self.load(key)?.len() as u64)
    }

    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        let first = ObjectKey { container, path: start_after.unwrap_or(prefix).max(prefix).to_owned() };
        let excluded = start_after.is_some_and(|s| s >= prefix);
        let lower = if excluded { Bound::Excluded(first) } else { Bound::Included(first) };
        let objects = self.objects.read();
        let mut found = objects
            .range((lower, Bound::Unbounded))
            .take_while(|(k, _)| k.container == container && k.path.starts_with(prefix))
            .map(|(k, v)| ObjectInfo { key: k.clone(), len: v.len() as u64 });
        let page: Vec<_> = found.by_ref().take(self.page_objects).collect();
        let next = found.next().and(page.last()).map(|last| last.key.path.clone());
        Ok(ListPage { objects: page, next })
    }

    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        let mut objects = self.objects.write();
        for key in keys {
            objects.remove(key);
        }
        Ok(Vec::new())
    }

    fn conditional_put(&self) -> ConditionalPut {
        ConditionalPut::Atomic
    }

    fn describe(&self) -> String {
        format!("mem:{}", self.name.as_deref().unwrap_or(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stores_of_one_name_share_their_objects() {
        let key = ObjectKey::home("a");
        MemStore::named("shared").put(&key, vec![Bytes::from_static(b"x")], PutMode::Fresh).await.unwrap();
        assert_eq!(MemStore::named("shared").len(&key).await.unwrap(), 1);
        assert_eq!(MemStore::named("other").len(&key).await.unwrap_err().kind, StoreErrorKind::NotFound);
    }
}
