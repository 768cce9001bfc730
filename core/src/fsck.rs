//! fsck: is everything that a volume's newest head names there, whole, and free of contradictions?
//!
//! A check only reads: the description, all kept heads, the newest one's object table against a listing, every page of the tree,
//! the rules of [`crate::ops::check`], every location of data against the objects, and with [`FsckOptions::data`] every stored
//! byte. What an owner has not brought into the store yet (its local log and staging) is not looked at. Damage never ends
//! a check with an error: it is a [`Fault`], and the check goes on with what can still be looked at. [`repair_volume`] mends what
//! can be computed from what is left, in ordinary transactions of an owner; it deletes nothing.
//!
//! Memory: the page budget, 80 bytes for each object in the store, 24 for each damaged frame, and what [`crate::ops::check`] takes.

mod contents;
mod fallback;
mod heads;
mod listing;
pub(crate) mod plan;
mod reader;
mod repair;
mod report;
mod verify;
mod walk;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::volume_json_key;
use crate::format::{Head, Layout, ObjectKind, ObjectTable, VolumeMeta};
use crate::limits::OPERATION_TIMEOUT_DEFAULT;
use crate::ops::check;
use crate::store::{GetRange, ObjectStore};
use crate::volume::recover::{read_overlay, read_table};
use crate::volume::storage::Storage;

use listing::Listing;
use reader::Reader;
use report::{HARMLESS, REPAIR, RESTORE};
use walk::Walked;

pub use fallback::fall_back;
pub use repair::{RepairReport, repair_volume};
pub use report::{Counts, FAULTS_MAX, Fault, FsckReport, HeadSummary, Severity};

/// Memory for pages, by default.
const MEMORY_DEFAULT: usize = 64 << 20;
/// Faults that get the path of their inode: each costs a search.
const PATHS_MAX: usize = 1_000;
/// Leftover objects that are listed one by one.
const LEFTOVERS_MAX: usize = 100;

/// Called as a check goes on. Must be quick.
pub type ProgressFn = dyn Fn(&Progress) + Send + Sync;

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being looked at, in words.
    pub stage: &'static str,
    /// How many so far.
    pub done: u64,
    /// How many there are, if it is known.
    pub total: Option<u64>,
}

/// How to check.
#[derive(Clone)]
pub struct FsckOptions {
    /// Also read every data and metadata object whole and verify each frame.
    pub data: bool,
    /// Deadline of one store operation.
    pub timeout: Duration,
    /// Memory for metadata pages in bytes.
    pub memory: usize,
    /// Told how far the check has come.
    pub progress: Option<Arc<ProgressFn>>,
}

impl Default for FsckOptions {
    fn default() -> Self {
        Self { data: false, timeout: OPERATION_TIMEOUT_DEFAULT, memory: MEMORY_DEFAULT, progress: None }
    }
}

impl fmt::Debug for FsckOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FsckOptions")
            .field("data", &self.data)
            .field("timeout", &self.timeout)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

/// A check under way.
struct Check<'o> {
    storage: Arc<Storage>,
    options: &'o FsckOptions,
    report: FsckReport,
}

/// Checks a volume as its newest head has it. Only reads; anybody may run it at any time, though on a volume that is open elsewhere for
/// longer than the deletion grace some objects may be gone before they are looked at: use `Volume::check` there.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there is no volume, [`ErrorKind::UnknownFormat`] for a newer one, the store's errors. Damage is in
/// the report.
pub async fn check_volume(store: &Arc<dyn ObjectStore>, options: &FsckOptions) -> Result<FsckReport> {
    let layout = Layout { shards: 1, containers: 1, max_objects_per_container: 0 };
    let storage = Arc::new(Storage::new(Arc::clone(store), layout, options.timeout));
    let mut check = Check { storage, options, report: FsckReport::new(store.describe()) };
    check.run().await?;
    Ok(check.report)
}

/// Whether an error means that stored bytes are damaged or missing, so that looking further makes sense.
fn is_damage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::UnknownFormat | ErrorKind::NotFound)
}

impl Check<'_> {
    async fn run(&mut self) -> Result<()> {
        let Some(meta) = self.description().await? else { return Ok(()) };
        self.storage = Arc::new(Storage::new(Arc::clone(&self.storage.store), meta.layout, self.storage.timeout));
        self.progress("listing", 0, None);
        let mut listing = Listing::load(&self.storage).await?;
        for key in listing.foreign.iter().take(LEFTOVERS_MAX) {
            self.push(Fault::note("this object is not of this volume, or lies in the wrong folder").object(key));
        }
        let Some(head) = self.heads(&mut listing).await? else { return Ok(()) };
        self.logs(&head, &listing).await?;
        self.check_nothing_newer(&head, &listing);
        self.head(&head, &meta, listing).await
    }

    /// Reads volume.json.
    async fn description(&mut self) -> Result<Option<VolumeMeta>> {
        let key = volume_json_key();
        let place = self.storage.store.describe();
        let damaged = match self.storage.get(&key, GetRange::Full).await {
            Ok(bytes) => match VolumeMeta::decode(&bytes) {
                Ok(meta) => {
                    self.report.name = Some(meta.name.clone());
                    self.report.uuid = Some(meta.uuid.to_string());
                    return Ok(Some(meta));
                }
                Err(error) => Error::from(error),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if Listing::load(&self.storage).await?.heads.is_empty() {
                    return Err(Error::new(ErrorKind::NotFound, format!("there is no volume at {place}")));
                }
                error
            }
            Err(error) => return Err(error),
        };
        if damaged.kind() == ErrorKind::UnknownFormat {
            return Err(damaged.context_prefix(&format!("volume.json at {place}")));
        }
        let what = format!("the volume's description cannot be read: {damaged}");
        self.push(Fault::new(Severity::Error, what, RESTORE).object(&key));
        Ok(None)
    }

    /// Checks everything that `head` names.
    async fn head(&mut self, head: &Head, meta: &VolumeMeta, mut listing: Listing) -> Result<()> {
        let (count, bytes) = listing.totals(ObjectKind::Meta);
        (self.report.counts.meta_objects, self.report.counts.meta_bytes) = (count, bytes);
        let (count, bytes) = listing.totals(ObjectKind::Data);
        (self.report.counts.data_objects, self.report.counts.data_object_bytes) = (count, bytes);
        let table = self.table(head).await?;
        let overlay = match read_overlay(&self.storage, head).await {
            Ok(overlay) => overlay,
            Err(error) if is_damage(error.kind()) => {
                let what = format!("the overlay of head {} is unreadable: {error}", head.seq);
                self.push(Fault::new(Severity::Error, what, RESTORE));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let known = table.clone().unwrap_or_default();
        let reader = Reader::new(&self.storage, head, &known, overlay.as_ref(), self.options.memory)?;
        let walked = self.walk(&reader).await?;
        if let Some(table) = &table {
            self.check_table(table, &walked, &mut listing).await?;
        }
        if !walked.whole {
            return Ok(());
        }
        self.totals(head, &walked);
        if head.lsn == crate::types::Lsn(0) {
            self.push(Fault::note("the volume has never been written to"));
        } else {
            self.rules(&reader).await?;
        }
        let bad = self.contents(&reader, meta, &mut listing).await?;
        self.files(&reader, meta, bad).await?;
        self.leftovers(head, &listing);
        self.report.data_verified = self.options.data;
        self.report.complete = table.is_some();
        self.paths(&reader).await
    }

    async fn table(&mut self, head: &Head) -> Result<Option<ObjectTable>> {
        match read_table(&self.storage, head).await {
            Ok(table) => Ok(Some(table)),
            Err(error) if is_damage(error.kind()) => {
                let what = format!("the object table of head {} is unreadable: {error}", head.seq);
                let key = head.object_table.map(|addr| self.storage.layout.meta_key(addr.object));
                let fault = Fault::new(Severity::Error, what, RESTORE);
                self.push(match key {
                    Some(key) => fault.object(&key),
                    None => fault,
                });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The object table against the store and against the walk.
    async fn check_table(&mut self, table: &ObjectTable, walked: &Walked, listing: &mut Listing) -> Result<()> {
        for entry in &table.entries {
            let key = self.storage.layout.meta_key(entry.object);
            let len = listing.find(&self.storage, ObjectKind::Meta, entry.object).await?;
            listing.mark(ObjectKind::Meta, entry.object, |known| known.in_use = true);
            let alive = entry.dead_seq == 0;
            match len {
                None if alive => {
                    self.push(Fault::new(Severity::Error, "a metadata object is missing", RESTORE).object(&key));
                }
                Some(len) if alive && entry.stored_len > 0 && len != entry.stored_len => {
                    let what = format!("a metadata object has {len} bytes, {} were written", entry.stored_len);
                    self.push(Fault::new(Severity::Error, what, RESTORE).object(&key));
                }
                Some(len) if self.options.data => self.verify_meta(entry, len).await?,
                None | Some(_) => {}
            }
            let live = walked.live.get(&entry.object).copied().unwrap_or(0);
            if walked.whole && live != entry.live_bytes {
                let what = format!("its live pages take {live} bytes, the object table says {}", entry.live_bytes);
                let severity = if live > entry.live_bytes { Severity::Error } else { Severity::Warning };
                self.push(Fault::new(severity, what, REPAIR).object(&key));
            }
        }
        for (object, live) in &walked.live {
            if table.entries.binary_search_by_key(object, |e| e.object).is_err() {
                let key = self.storage.layout.meta_key(*object);
                let what = format!("holds {live} bytes of live pages and is not in the object table");
                self.push(Fault::new(Severity::Error, what, REPAIR).object(&key));
                listing.mark(ObjectKind::Meta, *object, |known| known.in_use = true);
            }
        }
        Ok(())
    }

    fn totals(&mut self, head: &Head, walked: &Walked) {
        for (what, said, counted) in [
            ("inodes", head.inode_count, self.report.counts.inodes),
            ("bytes of file data", head.data_bytes, walked.data_bytes),
        ] {
            if said != counted {
                let what = format!("head {} says {said} {what}, there are {counted}", head.seq);
                self.push(Fault::new(Severity::Warning, what, REPAIR));
            }
        }
    }

    /// The rules of the file system.
    async fn rules(&mut self, reader: &Reader) -> Result<()> {
        self.progress("rules of the file system", 0, None);
        let all = reader.scan_all(|kv| Ok((check::check_all(kv)?, check::check_subtrees(kv)?))).await;
        let (faults, counters) = match all {
            Err(error) if is_damage(error.kind()) => {
                let what = format!("the metadata cannot be read to its end: {error}");
                self.push(Fault::new(Severity::Error, what, RESTORE));
                return Ok(());
            }
            other => other?,
        };
        for (severity, fault) in
            faults.into_iter().map(|f| (Severity::Error, f)).chain(counters.into_iter().map(|f| (Severity::Warning, f)))
        {
            let found = Fault::new(severity, fault.to_string(), REPAIR);
            self.push(match fault.subject {
                check::Subject::Inode(ino) => found.ino(ino),
                check::Subject::Segment(_) | check::Subject::Key(_) | check::Subject::Volume => found,
            });
        }
        Ok(())
    }

    /// Objects that nothing knows.
    fn leftovers(&mut self, head: &Head, listing: &Listing) {
        let unknown = listing.objects.iter().filter(|(_, listed)| !listed.known.any());
        for ((kind, id), listed) in unknown {
            if is_newer(head, *id) {
                continue;
            }
            self.report.counts.leftovers += 1;
            if self.report.counts.leftovers <= LEFTOVERS_MAX as u64 {
                let key = self.storage.layout.object_key(*kind, *id);
                let what = format!("leftover of {} bytes: nothing names this object any more", listed.len);
                let advice = format!("{HARMLESS}; fsck with --repair queues it for deletion");
                self.push(Fault::new(Severity::Note, what, &advice).object(&key));
            }
        }
    }

    /// Finds the paths of the inodes that faults name.
    async fn paths(&mut self, reader: &Reader) -> Result<()> {
        let inos: Vec<_> = self.report.faults.iter().filter_map(|f| f.ino).take(PATHS_MAX).collect();
        if inos.is_empty() {
            return Ok(());
        }
        let found = reader.scan_all(move |kv| {
            let path = |ino: &u64| crate::ops::path::path_of(kv, crate::types::Ino(*ino));
            inos.iter()
                .map(|ino| Ok((*ino, path(ino)?)))
                .collect::<crate::kv::OpResult<std::collections::BTreeMap<_, _>>>()
        });
        let found = found.await?;
        for fault in &mut self.report.faults {
            let path = fault.ino.and_then(|ino| found.get(&ino)).and_then(Option::as_ref);
            fault.path = path.map(|p| String::from_utf8_lossy(p).into_owned());
        }
        Ok(())
    }

    fn push(&mut self, fault: Fault) {
        self.report.push(fault);
    }

    fn progress(&self, stage: &'static str, done: u64, total: Option<u64>) {
        if let Some(progress) = &self.options.progress {
            progress(&Progress { stage, done, total });
        }
    }
}

/// Whether an object was named after `head` was written, by its writer or a later one.
fn is_newer(head: &Head, id: crate::types::ObjectId) -> bool {
    id.epoch > head.epoch || (id.epoch == head.epoch && id.nonce >= head.nonce_floor)
}
