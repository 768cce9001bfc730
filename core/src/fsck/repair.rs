//! Mending what can be computed from what is left.
//!
//! Owns the rounds of a repair: checkpoint, plan on the head, transactions; then the recursive counters and the totals, and a check
//! at the end. Everything goes through the replay log like any other change. Nothing is deleted from the store directly: leftovers
//! are queued, the grace applies. Extents are never touched.

use std::sync::Arc;

use serde::Serialize;

use crate::config::VolumeOptions;
use crate::engine::Engine;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{ObjectKind, keys};
use crate::ops::check::wrong_counters;
use crate::store::ObjectStore;
use crate::types::ObjectId;
use crate::volume::Volume;
use crate::volume::claim::newest_head;
use crate::volume::recover::{read_overlay, read_table};
use crate::volume::storage::Storage;

use super::listing::Listing;
use super::plan::plan;
use super::reader::{Reader, take_pairs};
use super::report::FsckReport;
use super::{FsckOptions, is_newer};

/// Rounds after which a repair gives up: each mends what the one before brought to light.
const ROUNDS_MAX: usize = 16;
/// Changes in one transaction.
const CHANGES_PER_TRANSACTION: usize = 256;
/// Actions that the report lists.
const ACTIONS_MAX: usize = 10_000;
/// How long the close at the end may take.
const CLOSE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RepairReport {
    /// What was changed, in words, as far as it fits.
    pub actions: Vec<String>,
    /// How many changes there were.
    pub actions_total: u64,
    /// The check afterwards.
    pub after: FsckReport,
}

/// Opens a volume as its owner, mends what can be mended, closes it and checks it. Give `volume_options` as for a mount.
///
/// # Errors
/// As [`Volume::open`], and as any change of a volume. What was mended until then stays.
pub async fn repair_volume(
    engine: Arc<Engine>,
    env: Env,
    store: Arc<dyn ObjectStore>,
    volume_options: VolumeOptions,
    options: &FsckOptions,
) -> Result<RepairReport> {
    let volume = Volume::open(engine, env, Arc::clone(&store), volume_options).await?;
    let storage = Arc::new(Storage::new(Arc::clone(&store), volume.meta().layout, options.timeout));
    let mut repair = Repair { volume, storage, options, actions: Vec::new(), total: 0 };
    let outcome = repair.run().await;
    let closed = repair.volume.close(CLOSE_PATIENCE).await;
    outcome?;
    closed?;
    let after = super::check_volume(&store, options).await?;
    Ok(RepairReport { actions: repair.actions, actions_total: repair.total, after })
}

struct Repair<'o> {
    volume: Volume,
    storage: Arc<Storage>,
    options: &'o FsckOptions,
    actions: Vec<String>,
    total: u64,
}

impl Repair<'_> {
    async fn run(&mut self) -> Result<()> {
        // What is being removed would change under the plan.
        self.volume.finish_removals().await;
        for _ in 0..ROUNDS_MAX {
            let (_, reader) = self.checkpointed().await?;
            let changes = reader.scan_all(plan).await?;
            if changes.is_empty() {
                break;
            }
            for changes in changes.chunks(CHANGES_PER_TRANSACTION) {
                let done = self.volume.apply_repair(changes).await?;
                self.note(done);
            }
        }
        self.counters().await?;
        self.queues().await?;
        self.totals().await
    }

    /// A checkpoint of the present state, and its head to read from.
    async fn checkpointed(&self) -> Result<(crate::format::Head, Reader)> {
        self.volume.checkpoint().await?;
        let head = newest_head(&self.storage, 0).await?;
        let head = head.ok_or_else(|| Error::new(ErrorKind::Corrupt, "the head that was just written is gone"))?;
        let table = read_table(&self.storage, &head).await?;
        let overlay = read_overlay(&self.storage, &head).await?;
        let reader = Reader::new(&self.storage, &head, &table, overlay.as_ref(), self.options.memory)?;
        Ok((head, reader))
    }

    async fn counters(&mut self) -> Result<()> {
        let (_, reader) = self.checkpointed().await?;
        let wrong = reader.scan_all(wrong_counters).await?;
        for wrong in wrong.chunks(CHANGES_PER_TRANSACTION) {
            let done = self.volume.set_counters(wrong).await?;
            self.note(done);
        }
        Ok(())
    }

    async fn totals(&mut self) -> Result<()> {
        let (head, reader) = self.checkpointed().await?;
        let (inodes, bytes) = reader.scan_all(recount).await?;
        if (inodes, bytes) != (head.inode_count, head.data_bytes) {
            self.volume.add_to_totals((head.inode_count, head.data_bytes), (inodes, bytes)).await?;
            self.note(vec![format!("totals set to {inodes} inodes and {bytes} bytes")]);
        }
        Ok(())
    }

    /// Takes data in use out of the queues for deletion, and leftovers into them.
    async fn queues(&mut self) -> Result<()> {
        let (head, reader) = self.checkpointed().await?;
        let table = read_table(&self.storage, &head).await?;
        let used = reader.scan_all(located).await?;
        let waiting = reader.scan_all(waiting).await?;
        let spared: Vec<_> =
            waiting.iter().filter(|(kind, id)| *kind == ObjectKind::Data && used.contains(id)).copied().collect();
        self.volume.spare(&spared).await?;
        let key = |(kind, id): &(ObjectKind, ObjectId)| self.storage.layout.object_key(*kind, *id);
        let mut done: Vec<_> =
            spared.iter().map(|o| format!("object {} is not deleted: it is in use", key(o))).collect();
        let listing = Listing::load(&self.storage).await?;
        let is_known = |kind: ObjectKind, id: ObjectId| match kind {
            ObjectKind::Data => used.contains(&id),
            ObjectKind::Meta => table.entries.binary_search_by_key(&id, |e| e.object).is_ok(),
        };
        // An object of this epoch may be under way; those of earlier ones are not, as their writers are fenced.
        let unknown = listing.objects.keys().filter(|(kind, id)| {
            id.epoch < head.epoch && !is_newer(&head, *id) && !is_known(*kind, *id) && !waiting.contains(&(*kind, *id))
        });
        let unknown: Vec<_> = unknown.copied().collect();
        self.volume.queue_leftovers(&unknown).await?;
        done.extend(unknown.iter().map(|o| format!("leftover object {} is queued for deletion", key(o))));
        self.note(done);
        Ok(())
    }

    fn note(&mut self, done: Vec<String>) {
        self.total += done.len() as u64;
        let room = ACTIONS_MAX.saturating_sub(self.actions.len());
        self.actions.extend(done.into_iter().take(room));
    }
}

type Objects = std::collections::BTreeSet<(ObjectKind, ObjectId)>;

/// Inodes and their allocated bytes.
fn recount(kv: &dyn crate::kv::KvRead) -> crate::kv::OpResult<(u64, u64)> {
    let (mut inodes, mut bytes) = (0, 0_u64);
    let (from, to) = keys::all_inodes_range();
    kv.scan(&from, &to, &mut |key, value| {
        if let Ok(keys::Key::Inode(_)) = keys::Key::decode(key) {
            inodes += 1;
            let record = crate::format::InodeRecord::decode(value);
            bytes = bytes.saturating_add(record.map_or(0, |r| r.allocated_bytes));
        }
        std::ops::ControlFlow::Continue(())
    })?;
    Ok((inodes, bytes))
}

/// All objects that segments lie in.
fn located(kv: &dyn crate::kv::KvRead) -> crate::kv::OpResult<std::collections::BTreeSet<ObjectId>> {
    let mut used = std::collections::BTreeSet::new();
    let (from, to) = keys::all_segments_range();
    kv.scan(&from, &to, &mut |key, value| {
        if let (Ok(keys::Key::SegmentLocation { .. }), Ok(location)) =
            (keys::Key::decode(key), crate::format::SegmentLocation::decode(value))
        {
            used.insert(location.object);
        }
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(used)
}

/// All objects that wait for deletion or may be under way.
fn waiting(kv: &dyn crate::kv::KvRead) -> crate::kv::OpResult<Objects> {
    let mut found = Objects::new();
    for (from, to) in [keys::pending_delete_range(), keys::intent_range()] {
        for (key, _) in take_pairs(kv, &from, &to, usize::MAX)? {
            if let Ok(keys::Key::PendingDelete { kind, object } | keys::Key::Intent { kind, object }) =
                keys::Key::decode(&key)
            {
                found.insert((kind, object));
            }
        }
    }
    Ok(found)
}
