//! Loading of metadata pages that are not resident.
//!
//! Owns the single flight per page and the read-around: neighbours in key order lie next to each other in a meta object, so one
//! ranged GET brings several. Verification is the frame's and the page's.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::disk_cache::DiskCache;
use crate::error::{Error, ErrorKind, Result};
use crate::format::ObjectKind;
use crate::format::frame::{FRAME_HEADER_LEN, FrameHeader, FrameKind, decode_frame_of};
use crate::kv::{Miss, PageAddr};
use crate::limits::META_READ_AROUND;
use crate::meter::{HitCounts, Hits};
use crate::store::GetRange;
use crate::tree::{PageCache, PinSet, decode_page};
use crate::types::ObjectId;
use crate::volume::storage::Storage;

/// Loads pages of one volume.
pub(crate) struct PageLoader {
    storage: Arc<Storage>,
    cache: Arc<PageCache>,
    tag: u32,
    read_around: bool,
    /// Absent for a check, which wants to see the store.
    disk: Option<Arc<DiskCache>>,
    in_flight: Mutex<HashMap<PageAddr, Arc<Notify>>>,
    /// Stored lengths of meta objects, for the read-around.
    lengths: Mutex<HashMap<ObjectId, u64>>,
    /// Pages that were not in memory: whether they were on the disk.
    from_disk: Hits,
}

impl PageLoader {
    pub(crate) fn new(
        storage: Arc<Storage>,
        cache: Arc<PageCache>,
        disk: Option<Arc<DiskCache>>,
        tag: u32,
        read_around: bool,
    ) -> Self {
        Self {
            storage,
            cache,
            tag,
            read_around,
            disk,
            in_flight: Mutex::new(HashMap::new()),
            lengths: Mutex::new(HashMap::new()),
            from_disk: Hits::default(),
        }
    }

    /// Replaces what is known of meta objects' lengths.
    pub(crate) fn set_lengths(&self, lengths: impl Iterator<Item = (ObjectId, u64)>) {
        *self.lengths.lock() = lengths.collect();
    }

    /// Brings a missing page into the cache and pins it in `pins`.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer; [`ErrorKind::Corrupt`] when the page is damaged.
    pub(crate) async fn load(&self, Miss(addr): Miss, pins: &mut PinSet) -> Result<()> {
        loop {
            if let Some(node) = self.cache.find(self.tag, addr) {
                pins.pin(self.tag, addr, node);
                return Ok(());
            }
            let other = {
                let mut flights = self.in_flight.lock();
                match flights.get(&addr) {
                    Some(n) => Some(Arc::clone(n)),
                    None => {
                        flights.insert(addr, Arc::new(Notify::new()));
                        None
                    }
                }
            };
            if let Some(notify) = other {
                let waiting = notify.notified();
                if self.in_flight.lock().contains_key(&addr) {
                    waiting.await;
                }
                continue;
            }
            let _flight = Flight { loader: self, addr };
            let node = self.fetch(addr).await?;
            pins.pin(self.tag, addr, node);
            return Ok(());
        }
    }

    /// How often pages that were not in memory were on the disk.
    pub(crate) fn disk_hits(&self) -> HitCounts {
        self.from_disk.counts()
    }

    /// A frame of a meta object, if the disk has it.
    pub(crate) fn on_disk(&self, addr: PageAddr) -> Option<Bytes> {
        self.disk.as_ref()?.get(ObjectKind::Meta, addr.object, addr.offset.into(), addr.len)
    }

    async fn fetch(&self, addr: PageAddr) -> Result<Arc<crate::tree::Node>> {
        let start = u64::from(addr.offset);
        if let Some(disk) = self.disk.as_ref().filter(|disk| disk.is_on()) {
            let frame = disk.get(ObjectKind::Meta, addr.object, start, addr.len);
            let node = frame.and_then(|frame| self.keep(addr, &frame).ok());
            self.from_disk.note(node.is_some());
            if let Some(node) = node {
                return Ok(node);
            }
        }
        let own = u64::from(addr.len);
        let len = match self.lengths.lock().get(&addr.object) {
            Some(total) if self.read_around && start < *total => own.max(META_READ_AROUND.min(total - start)),
            _ => own,
        };
        let bytes = self.storage.get_meta(addr.object, GetRange::Bounded { offset: start, len }).await?;
        let first = self.keep(addr, &bytes.slice(..usize::try_from(own).unwrap_or(usize::MAX).min(bytes.len())))?;
        self.keep_neighbours(addr, &bytes);
        if let Some(disk) = &self.disk {
            disk.put(ObjectKind::Meta, addr.object, start, &bytes);
        }
        Ok(first)
    }

    fn keep(&self, addr: PageAddr, frame: &Bytes) -> Result<Arc<crate::tree::Node>> {
        let damaged = |why: &dyn std::fmt::Display| {
            let what = format!("metadata page at {} of {}", addr.offset, self.storage.describe_meta(addr.object));
            Error::new(ErrorKind::Corrupt, format!("{what} is damaged: {why}; run fsck"))
        };
        let (header, payload) = decode_frame_of(FrameKind::Page, frame).map_err(|e| damaged(&e))?;
        let level = u8::try_from(header.owner.0).map_err(|e| damaged(&e))?;
        let node = Arc::new(decode_page(level, &payload).map_err(|e| damaged(&e))?);
        self.cache.insert(self.tag, addr, Arc::clone(&node));
        Ok(node)
    }

    /// Keeps whatever whole page frames follow the wanted one; damage there is found when it is asked for.
    fn keep_neighbours(&self, addr: PageAddr, bytes: &Bytes) {
        let mut at = addr.len as usize;
        while let Some(rest) = bytes.get(at..).filter(|r| r.len() > FRAME_HEADER_LEN) {
            let Ok(header) = FrameHeader::decode(&rest[..FRAME_HEADER_LEN]) else { return };
            let total = usize::try_from(header.total_len()).unwrap_or(usize::MAX);
            if header.kind != FrameKind::Page || total > rest.len() {
                return;
            }
            let Ok(len) = u32::try_from(total) else { return };
            let next = PageAddr { object: addr.object, offset: addr.offset + at as u32, len };
            if !self.cache.contains(self.tag, next) && self.keep(next, &bytes.slice(at..at + total)).is_err() {
                return;
            }
            at += total;
        }
    }
}

/// Ends a flight, also when its future is dropped.
struct Flight<'l> {
    loader: &'l PageLoader,
    addr: PageAddr,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let Some(notify) = self.loader.in_flight.lock().remove(&self.addr) {
            notify.notify_waiters();
        }
    }
}
