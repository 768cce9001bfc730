//! Deleting a volume's objects, for good.
//!
//! The volume is claimed first, so that no other owner loses what it has; only what a volume writes is deleted, whatever else lies under
//! its prefix; its description goes last, so that a deletion that was cut off can be done again.

use std::sync::Arc;

use proxyfs_core::format::layout::VOLUME_JSON;
use proxyfs_core::store::{ObjectKey, ObjectStore, StoreError, StoreErrorKind};
use proxyfs_core::volume::read_volume_meta;

use crate::failure::{Failure, Outcome};
use crate::options::Given;
use crate::serve::host::Host;
use crate::serve::hosted::Tell;
use crate::target::Target;

/// What a volume's objects are called.
const PREFIXES: &[&str] = &["head/", "meta/", "data/", "log/"];

/// Deletes them; gives how many there were.
pub(crate) async fn delete_objects(host: &Host, target: &Target, tell: Tell<'_>) -> Outcome<u64> {
    let subject = target.subject();
    let settings = target.settings(&Given::new())?;
    let store = target.opened(&settings).await?.store;
    let timeout = settings.volume.operation_timeout;
    let (engine, shared) = (Arc::clone(&host.engine), Arc::clone(&store));
    let volume = target.open_on(engine, shared, &host.paths, "delete", settings).await?;
    volume.abandon().await;
    let meta = read_volume_meta(&store, timeout).await.map_err(|e| Failure::engine("delete", &subject, &e))?;
    let failed = |e: &StoreError| Failure::store("delete", &subject, e);
    let mut deleted = 0;
    let grows = meta.layout.max_objects_per_container > 0;
    for container in 0.. {
        if !grows && container >= meta.layout.containers {
            break;
        }
        match empty(&*store, container, tell).await {
            Ok(count) => deleted += count,
            Err(e) if e.kind == StoreErrorKind::NoContainer => break,
            Err(e) => return Err(failed(&e)),
        }
    }
    remove(&*store, &[ObjectKey::home(VOLUME_JSON)]).await.map_err(|e| failed(&e))?;
    Ok(deleted + 1)
}

async fn empty(store: &dyn ObjectStore, container: u32, tell: Tell<'_>) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for prefix in PREFIXES {
        let mut after: Option<String> = None;
        loop {
            let page = store.list(container, prefix, after.as_deref()).await?;
            let keys: Vec<ObjectKey> = page.objects.into_iter().map(|o| o.key).collect();
            remove(store, &keys).await?;
            deleted += keys.len() as u64;
            if !keys.is_empty() {
                tell(format!("{deleted} objects of container {container} are deleted."));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(deleted)
}

async fn remove(store: &dyn ObjectStore, keys: &[ObjectKey]) -> Result<(), StoreError> {
    match store.delete(keys).await?.into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}
