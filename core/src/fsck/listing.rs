//! What is really in the store: one listing of the volume's objects.
//!
//! Owns the listing and what each data and meta object is known for. A listing may lag behind the store, so an object that is not
//! in it is asked for by name before it counts as missing.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::format::layout::{HEAD_PREFIX, LOG_PREFIX, parse_head_path, parse_log_path};
use crate::format::{Layout, ObjectKind};
use crate::store::{ObjectInfo, ObjectKey, StoreErrorKind};
use crate::types::{Epoch, ObjectId};
use crate::volume::storage::{Storage, store_error};

/// Most containers asked for on a volume that makes them on demand: the listing ends at the first that does not exist.
const CONTAINERS_ON_DEMAND_MAX: u32 = 1 << 20;

/// What makes an object known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// It holds live pages, or a located segment.
    pub(super) in_use: bool,
    /// It waits for its deletion.
    pub(super) pending: bool,
    /// It is the name of an upload that may be under way.
    pub(super) intended: bool,
}

impl Known {
    pub(super) fn any(self) -> bool {
        self.in_use || self.pending || self.intended
    }
}

/// An object of the listing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listed {
    pub(super) len: u64,
    pub(super) known: Known,
}

/// Everything of a volume in its store.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) heads: Vec<u64>,
    pub(super) logs: Vec<(Epoch, u64)>,
    pub(super) objects: BTreeMap<(ObjectKind, ObjectId), Listed>,
    /// Names under `data/` and `meta/` that this volume would not give.
    pub(super) foreign: Vec<ObjectKey>,
}

impl Listing {
    /// Lists everything.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn load(storage: &Storage) -> Result<Self> {
        let mut listing = Self::default();
        list(storage, 0, HEAD_PREFIX, |info| listing.heads.extend(parse_head_path(&info.key.path))).await?;
        list(storage, 0, LOG_PREFIX, |info| listing.logs.extend(parse_log_path(&info.key.path))).await?;
        listing.heads.sort_unstable();
        listing.logs.sort_unstable();
        for container in 0..containers(&storage.layout) {
            let mut there = true;
            for kind in [ObjectKind::Data, ObjectKind::Meta] {
                let prefix = format!("{}/", kind.folder());
                there &= list(storage, container, &prefix, |info| listing.add(&storage.layout, info)).await?;
            }
            if !there {
                break;
            }
        }
        Ok(listing)
    }

    fn add(&mut self, layout: &Layout, info: ObjectInfo) {
        match layout.parse_object(&info.key) {
            Some(id) => {
                self.objects.insert(id, Listed { len: info.len, ..Listed::default() });
            }
            None => self.foreign.push(info.key),
        }
    }

    /// The length of an object, from the listing or from the store itself; `None` if it is in neither.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn find(&mut self, storage: &Storage, kind: ObjectKind, id: ObjectId) -> Result<Option<u64>> {
        if let Some(listed) = self.objects.get(&(kind, id)) {
            return Ok(Some(listed.len));
        }
        let key = storage.layout.object_key(kind, id);
        match storage.store.len(&key).await {
            Ok(len) => {
                self.objects.insert((kind, id), Listed { len, ..Listed::default() });
                Ok(Some(len))
            }
            Err(e) if matches!(e.kind, StoreErrorKind::NotFound | StoreErrorKind::NoContainer) => Ok(None),
            Err(e) => Err(store_error("look for", &key, e)),
        }
    }

    /// Notes what an object is known for, if it is there.
    pub(super) fn mark(&mut self, kind: ObjectKind, id: ObjectId, mark: impl FnOnce(&mut Known)) {
        if let Some(listed) = self.objects.get_mut(&(kind, id)) {
            mark(&mut listed.known);
        }
    }

    /// How many objects of a kind there are, and their bytes.
    pub(super) fn totals(&self, kind: ObjectKind) -> (u64, u64) {
        let of_kind = self.objects.iter().filter(|((k, _), _)| *k == kind);
        of_kind.fold((0, 0), |(count, bytes), (_, listed)| (count + 1, bytes + listed.len))
    }
}

/// How many containers may hold objects.
fn containers(layout: &Layout) -> u32 {
    if layout.max_objects_per_container > 0 { CONTAINERS_ON_DEMAND_MAX } else { layout.containers }
}

/// Lists a prefix of one container. Whether the container exists.
async fn list(storage: &Storage, container: u32, prefix: &str, mut visit: impl FnMut(ObjectInfo)) -> Result<bool> {
    let mut after: Option<String> = None;
    loop {
        let page = match storage.store.list(container, prefix, after.as_deref()).await {
            Ok(page) => page,
            Err(e) if container > 0 && e.kind == StoreErrorKind::NoContainer => return Ok(false),
            Err(e) => return Err(store_error("list", &ObjectKey { container, path: prefix.to_owned() }, e)),
        };
        page.objects.into_iter().for_each(&mut visit);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(true),
        }
    }
}
