//! What is really in the store: one listing of the volume's objects.
//!
//! Owns the listing and what each data and meta object is known for. A listing may lag behind the store, so an object that is not
//! in it is asked for by name before it counts as missing. On a volume that makes containers on demand nothing says how many there are, and
//! some may be missing or empty where everything in them was deleted: the listing goes on past such gaps, up to every nonce that a head
//! has promised, and then until [`CONTAINERS_GAP`] in a row hold nothing.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::format::layout::{HEAD_PREFIX, LOG_PREFIX, parse_head_path, parse_log_path};
use crate::format::{Layout, ObjectKind};
use crate::store::{ObjectInfo, ObjectKey, StoreErrorKind};
use crate::types::{Epoch, ObjectId};
use crate::volume::claim::read_head;
use crate::volume::storage::{Storage, store_error};

use super::is_damage;

/// Most containers asked for on a volume that makes them on demand.
const CONTAINERS_ON_DEMAND_MAX: u32 = 1 << 20;
/// Containers in a row that are missing or empty, past those that the heads promise, after which no more are expected. An unreadable
/// newest head hides what it promised, so that some slack is needed.
const CONTAINERS_GAP: u32 = 64;

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
        if storage.layout.max_objects_per_container == 0 {
            for container in 0..storage.layout.containers {
                listing.load_container(storage, container).await?;
            }
        } else {
            listing.load_on_demand(storage).await?;
        }
        Ok(listing)
    }

    /// Lists containers that were made on demand.
    async fn load_on_demand(&mut self, storage: &Storage) -> Result<()> {
        let mut end = self.promised(storage).await?.saturating_add(CONTAINERS_GAP);
        let mut container = 0;
        while container < end.min(CONTAINERS_ON_DEMAND_MAX) {
            if self.load_container(storage, container).await? {
                end = end.max(container.saturating_add(1 + CONTAINERS_GAP));
            }
            container += 1;
        }
        Ok(())
    }

    /// How many containers may hold objects, by the nonces that the readable heads have given out.
    async fn promised(&self, storage: &Storage) -> Result<u32> {
        let mut nonces = 0;
        for &seq in &self.heads {
            match read_head(storage, seq).await {
                Ok(head) => nonces = head.nonce_floor.0.max(nonces),
                Err(error) if is_damage(error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
        let max = storage.layout.max_objects_per_container.max(1);
        Ok(u32::try_from(nonces / max).unwrap_or(u32::MAX).saturating_add(1))
    }

    /// Lists the objects of one container. Whether there are any.
    async fn load_container(&mut self, storage: &Storage, container: u32) -> Result<bool> {
        let mut any = false;
        for kind in [ObjectKind::Data, ObjectKind::Meta] {
            let prefix = format!("{}/", kind.folder());
            let there = list(storage, container, &prefix, |info| {
                any = true;
                self.add(&storage.layout, info);
            });
            if !there.await? {
                break;
            }
        }
        Ok(any)
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
