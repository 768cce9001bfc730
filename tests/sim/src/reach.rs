//! What lies in a raw store, and what refers to it: read with the format's decoders alone.
//!
//! [`check_store`] fails when a kept head refers to an object that is missing or too short, or (if asked) when an object lies there
//! that no kept head, pending deletion or intent accounts for.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proxyfs_core::format::layout::{HEAD_PREFIX, LOG_PREFIX, parse_head_path, parse_object_path};
use proxyfs_core::format::page::{PageEntries, PageSlot};
use proxyfs_core::format::{
    Extent, FrameKind, Head, Key, ObjectKind, ObjectTable, Overlay, SegmentLocation, VolumeMeta, frame,
};
use proxyfs_core::kv::PageAddr;
use proxyfs_core::store::ObjectKey;
use proxyfs_core::types::{ObjectId, SegmentId};
use proxyfs_store::MemStore;

/// Heads that are kept at most: eight, and claims since.
const HEADS_MAX: usize = 8;

/// Everything in a store.
struct Store {
    meta: VolumeMeta,
    objects: BTreeMap<ObjectKey, Bytes>,
}

/// What one head refers to.
#[derive(Debug, Default)]
struct Referred {
    meta: BTreeSet<ObjectId>,
    data: BTreeSet<ObjectId>,
    /// Objects that are waiting for deletion, or may exist.
    waiting: BTreeSet<(u8, ObjectId)>,
}

/// Checks a store; `exact`: also that nothing is left over.
///
/// # Errors
/// What is wrong, in words.
pub fn check_store(store: &MemStore, exact: bool) -> Result<(), String> {
    let objects: BTreeMap<_, _> = store.dump().into_iter().collect();
    let json = objects.get(&ObjectKey::home("volume.json")).ok_or("no volume.json")?;
    let meta = VolumeMeta::decode(json).map_err(|e| e.to_string())?;
    let store = Store { meta, objects };
    let mut seqs: Vec<u64> = store.objects.keys().filter_map(|k| parse_head_path(&k.path)).collect();
    seqs.sort_unstable();
    let mut all = Referred::default();
    for seq in seqs.iter().rev().take(HEADS_MAX) {
        let one = store.head(*seq).map_err(|e| format!("head {seq}: {e}"))?;
        all.meta.extend(one.meta);
        all.data.extend(one.data);
        all.waiting.extend(one.waiting);
    }
    if exact {
        if seqs.len() > HEADS_MAX {
            return Err(format!("{} heads are kept: {seqs:?}", seqs.len()));
        }
        store.check_leftovers(&all)?;
    }
    Ok(())
}

impl Store {
    fn head(&self, seq: u64) -> Result<Referred, String> {
        let key = proxyfs_core::format::layout::head_key(seq);
        let object = self.objects.get(&key).ok_or("is missing")?;
        let head = Head::decode_object(object).map_err(|e| e.to_string())?;
        let mut referred = Referred::default();
        if let Some(addr) = head.object_table {
            let payload = self.frame(FrameKind::ObjectTable, addr, &mut referred)?;
            let table = ObjectTable::decode(&payload).map_err(|e| e.to_string())?;
            let dead = table.entries.iter().filter(|e| e.dead_seq != 0).map(|e| (ObjectKind::Meta.to_byte(), e.object));
            referred.waiting.extend(dead);
        }
        let mut locations: BTreeMap<(SegmentId, u32), SegmentLocation> = BTreeMap::new();
        let mut extents = Vec::new();
        if let Some(root) = head.root {
            self.page(root, &mut referred, &mut locations, &mut extents)?;
        }
        if let Some(addr) = head.overlay {
            let payload = self.frame(FrameKind::Overlay, addr, &mut referred)?;
            for body in Overlay::decode(&payload).map_err(|e| e.to_string())?.records {
                for write in body.writes {
                    let value = write.value.ok_or("an overlay that removes")?;
                    note_pair(&write.key, &value, &mut referred, &mut locations, &mut extents)?;
                }
            }
        }
        for extent in extents {
            self.extent(&extent, &locations)?;
        }
        referred.data.extend(locations.values().map(|l| l.object));
        Ok(referred)
    }

    /// That every slot of an extent lies in an object that is there.
    fn extent(&self, extent: &Extent, locations: &BTreeMap<(SegmentId, u32), SegmentLocation>) -> Result<(), String> {
        let slot_bytes = u64::from(self.meta.frame_size);
        let (first, last) = (extent.position / slot_bytes, (extent.position + extent.len - 1) / slot_bytes);
        for slot in first..=last {
            let slot = u32::try_from(slot).map_err(|e| e.to_string())?;
            let chunk = proxyfs_core::format::segment::chunk_start(slot);
            let location = locations.get(&(extent.segment, chunk));
            let found = location.and_then(|l| l.find(slot - chunk));
            let found = found.ok_or_else(|| format!("slot {slot} of segment {} is nowhere", extent.segment))?;
            let key = self.meta.layout.data_key(found.object);
            let object = self.objects.get(&key).ok_or_else(|| format!("object {key} is missing"))?;
            if found.offset + u64::from(found.total_len) > object.len() as u64 {
                return Err(format!("object {key} is too short"));
            }
        }
        Ok(())
    }

    fn page(
        &self,
        addr: PageAddr,
        referred: &mut Referred,
        locations: &mut BTreeMap<(SegmentId, u32), SegmentLocation>,
        extents: &mut Vec<Extent>,
    ) -> Result<(), String> {
        let payload = self.frame(FrameKind::Page, addr, referred)?;
        let mut entries = PageEntries::open(&payload).map_err(|e| e.to_string())?;
        let mut children = Vec::new();
        while let Some((key, slot)) = entries.next_entry().map_err(|e| e.to_string())? {
            match slot {
                PageSlot::Child(child) => children.push(child),
                PageSlot::Value(value) => note_pair(key, value, referred, locations, extents)?,
            }
        }
        children.into_iter().try_for_each(|child| self.page(child, referred, locations, extents))
    }

    fn frame(&self, kind: FrameKind, addr: PageAddr, referred: &mut Referred) -> Result<Bytes, String> {
        referred.meta.insert(addr.object);
        let key = self.meta.layout.meta_key(addr.object);
        let object = self.objects.get(&key).ok_or_else(|| format!("object {key} is missing"))?;
        let end = addr.offset as usize + addr.len as usize;
        if end > object.len() {
            return Err(format!("object {key} is too short"));
        }
        let (_, payload) = frame::decode_frame_of(kind, &object.slice(addr.offset as usize..end))
            .map_err(|e| format!("{key}: {e}"))?;
        Ok(payload)
    }

    fn check_leftovers(&self, all: &Referred) -> Result<(), String> {
        let mut lost = Vec::new();
        for key in self.objects.keys() {
            let known = match parse_object_path(&key.path) {
                Some((kind, object)) => {
                    let referred = if kind == ObjectKind::Data { &all.data } else { &all.meta };
                    referred.contains(&object) || all.waiting.contains(&(kind.to_byte(), object))
                }
                None => {
                    key.path.starts_with(HEAD_PREFIX) || key.path.starts_with(LOG_PREFIX) || key.path == "volume.json"
                }
            };
            if !known {
                lost.push(key.to_string());
            }
        }
        if lost.is_empty() { Ok(()) } else { Err(format!("nothing refers to {lost:?}")) }
    }
}

fn note_pair(
    key: &[u8],
    value: &[u8],
    referred: &mut Referred,
    locations: &mut BTreeMap<(SegmentId, u32), SegmentLocation>,
    extents: &mut Vec<Extent>,
) -> Result<(), String> {
    match Key::decode(key).map_err(|e| e.to_string())? {
        Key::Extent { .. } => extents.push(Extent::decode(value).map_err(|e| e.to_string())?),
        Key::SegmentLocation { segment, slot } => {
            let location = SegmentLocation::decode(value).map_err(|e| e.to_string())?;
            locations.insert((segment, slot), location);
        }
        Key::PendingDelete { kind, object } | Key::Intent { kind, object } => {
            referred.waiting.insert((kind.to_byte(), object));
        }
        _ => {}
    }
    Ok(())
}
