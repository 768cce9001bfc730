//! Checkpoints: a consistent root of the volume in the store, named by a head.
//!
//! Owns the order "data before metadata before head": freeze the root (in memory, an instant), wait until every segment that it may
//! name is uploaded, write its dirty pages, create the head under the next number. Operations go on meanwhile. Locations of
//! segments that were uploaded after the freeze travel in the head's overlay. A head whose number is taken means that the
//! epoch is lost: the volume is fenced.
//!
//! One task owns the [`Publisher`]; everybody else asks it through [`Checkpoints`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::format::frame::FrameKind;
use crate::format::keys::intent_key;
use crate::format::layout::{head_key, log_key};
use crate::format::{
    Head, HeadFlags, KeyWrite, LogFileHeader, LogStart, ObjectEntry, ObjectKind, ObjectTable, Overlay, PackBuilder,
    RecordBody,
};
use crate::kv::{OpError, PageAddr, Txn};
use crate::limits::{HEADS_KEPT, LISTING_LAG_SECS, META_OBJECT_BYTES};
use crate::meter::Histogram;
use crate::ops;
use crate::store::{GetRange, PutMode};
use crate::tree::{Frozen, PinSet, Published};
use crate::types::{Lsn, Nonce, ObjectId};
use crate::volume::Shared;
use crate::volume::claim::create_head;
use crate::volume::staging::StagedSegment;

/// Copy of the newest head in the state directory, for mounting while the store is away.
pub(crate) const HEAD_COPY: &str = "head.bin";
/// Copy of that head's object table.
pub(crate) const TABLE_COPY: &str = "table.bin";

/// How a checkpoint is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The head says that the volume was closed cleanly.
    pub(crate) clean: bool,
}

/// Where checkpoints are asked for.
#[derive(Default)]
pub(crate) struct Checkpoints {
    requested: AtomicBool,
    waiters: Mutex<Vec<(Wish, oneshot::Sender<Result<Lsn>>)>>,
    pub(crate) wake: Notify,
    pub(crate) meter: CheckpointMeter,
}

/// What checkpoints cost.
#[derive(Default)]
pub(crate) struct CheckpointMeter {
    /// How long those took that succeeded, the upload of what they cover included.
    pub(crate) timings: Histogram,
    /// Those that failed; each is tried again.
    pub(crate) failures: AtomicU64,
    /// Bytes of metadata objects written for them.
    pub(crate) bytes: AtomicU64,
    /// Bytes of metadata objects of the last one.
    pub(crate) last_bytes: AtomicU64,
    /// Unix second of the last one; 0 before the first.
    pub(crate) last_secs: AtomicI64,
}

impl Checkpoints {
    /// Asks for a checkpoint soon, without waiting.
    pub(crate) fn request(&self) {
        if !self.requested.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// Asks for a checkpoint and waits for the LSN that its head covers.
    pub(crate) async fn run(&self, wish: Wish) -> Result<Lsn> {
        let (done, outcome) = oneshot::channel();
        self.waiters.lock().push((wish, done));
        self.wake.notify_one();
        outcome.await.map_err(|_| Error::new(ErrorKind::Interrupted, "the volume is being closed"))?
    }

    /// Takes all requests: whether there is any, the wishes joined, and whom to tell.
    pub(crate) fn take(&self) -> (bool, Wish, Vec<oneshot::Sender<Result<Lsn>>>) {
        let requested = self.requested.swap(false, Ordering::AcqRel);
        let waiters = std::mem::take(&mut *self.waiters.lock());
        let wish = Wish { clean: waiters.iter().any(|(w, _)| w.clean) };
        let forced = requested || !waiters.is_empty();
        (forced, wish, waiters.into_iter().map(|(_, done)| done).collect())
    }
}

/// What the checkpointer knows of the store.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// The newest head.
    pub(crate) head: Head,
    /// All meta objects, live and waiting for deletion.
    table: BTreeMap<ObjectId, ObjectEntry>,
    /// Heads in the store, oldest first: number, LSN (0 if not known) and the second since when they are known.
    kept: VecDeque<(u64, Lsn, i64)>,
    /// Whether the local copies do not contradict the newest head.
    copied: bool,
    /// Log batches in the store: epoch, number, last LSN.
    pub(crate) batches: VecDeque<(crate::types::Epoch, u64, Lsn)>,
}

impl Publisher {
    pub(crate) fn new(head: Head, table: ObjectTable) -> Self {
        let table = table.entries.into_iter().map(|e| (e.object, e)).collect();
        Self { head, table, kept: VecDeque::new(), copied: true, batches: VecDeque::new() }
    }

    /// The oldest head that may still be read, if it is known.
    pub(crate) fn oldest_kept(&self) -> Option<(u64, Lsn)> {
        self.kept.front().map(|&(seq, lsn, _)| (seq, lsn))
    }

    /// Notes heads that were in the store before; what they cover is not known.
    pub(crate) fn note_older(&mut self, mut seqs: Vec<u64>, now: i64) {
        seqs.sort_unstable();
        seqs.dedup();
        self.kept = seqs.into_iter().map(|seq| (seq, Lsn(0), now)).collect();
    }

    /// Takes the heads that need not be kept any more: enough newer ones are there, and listings have had time to show them.
    fn outdated(&mut self, now: i64) -> Vec<u64> {
        let mut gone = Vec::new();
        while self.kept.len() as u64 > HEADS_KEPT
            && self.kept.front().is_some_and(|(_, _, since)| now - since >= LISTING_LAG_SECS)
        {
            gone.extend(self.kept.pop_front().map(|(seq, _, _)| seq));
        }
        gone
    }

    /// Meta objects that died in or before head `oldest`, and before second `cutoff`.
    pub(crate) fn due_meta(&self, oldest: u64, cutoff: i64) -> Vec<ObjectId> {
        let due = |e: &&ObjectEntry| e.dead_seq != 0 && e.dead_seq <= oldest && e.dead_secs <= cutoff;
        self.table.values().filter(due).map(|e| e.object).collect()
    }

    pub(crate) fn forget_meta(&mut self, gone: impl Iterator<Item = ObjectId>) {
        for id in gone {
            self.table.remove(&id);
        }
    }

    /// Whether the table knows `id`.
    pub(crate) fn knows_meta(&self, id: ObjectId) -> bool {
        self.table.contains_key(&id)
    }

    /// Adds an object that a crashed attempt may have left, as dead.
    pub(crate) fn add_leaked_meta(&mut self, id: ObjectId, seconds: i64) {
        let dead_seq = self.head.seq + 1;
        let entry = ObjectEntry { object: id, live_bytes: 0, stored_len: 0, dead_seq, dead_secs: seconds };
        self.table.entry(id).or_insert(entry);
    }

    /// Lengths of the objects that pages lie in.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = (ObjectId, u64)> + '_ {
        self.table.values().filter(|e| e.stored_len > 0).map(|e| (e.object, e.stored_len))
    }

    fn note_published(&mut self, head: Head, now: i64) {
        self.kept.push_back((head.seq, head.lsn, now));
        self.head = head;
    }
}

/// The volume at the moment of a freeze.
struct Moment {
    frozen: Frozen,
    lsn: Lsn,
    segments: Vec<Arc<StagedSegment>>,
    next_ino: crate::types::Ino,
    inodes: u64,
    data_bytes: u64,
}

/// The pages of a checkpoint in the store, and what goes beside them.
struct Written {
    published: Published,
    table: BTreeMap<ObjectId, ObjectEntry>,
    objects: Vec<ObjectId>,
    table_addr: Option<PageAddr>,
    overlay_addr: Option<PageAddr>,
}

impl Shared {
    /// Takes a checkpoint if there is reason to, or if `wish` differs from the newest head.
    pub(crate) async fn checkpoint(self: &Arc<Self>, publisher: &mut Publisher, wish: Wish) -> Result<Lsn> {
        self.until_claimed(publisher).await?;
        let up_to_date = {
            let state = self.state.read();
            state.dirty_lsn <= publisher.head.lsn && state.subtree.is_empty()
        };
        let same_flags = publisher.head.flags.clean == wish.clean;
        if up_to_date && same_flags && !publisher.head.flags.claim {
            return Ok(publisher.head.lsn);
        }
        let meter = &self.checkpoints.meter;
        let (begun, bytes_before) = (Instant::now(), meter.bytes.load(Ordering::Relaxed));
        let moment = self.freeze().await?;
        match self
            .write_and_publish(
                publisher,
                &moment.segments,
                moment.frozen,
                wish,
                Numbers {
                    lsn: moment.lsn,
                    next_ino: moment.next_ino,
                    inodes: moment.inodes,
                    data_bytes: moment.data_bytes,
                },
            )
            .await
        {
            Ok(()) => {}
            Err((frozen, error)) => {
                if let Some(frozen) = frozen {
                    self.state.write().tree.thaw(*frozen);
                }
                return Err(error);
            }
        }
        meter.timings.note(begun.elapsed());
        meter.last_bytes.store(meter.bytes.load(Ordering::Relaxed) - bytes_before, Ordering::Relaxed);
        meter.last_secs.store(self.env.clock.now().secs, Ordering::Relaxed);
        self.after_publication(publisher, &moment.segments).await;
        Ok(moment.lsn)
    }

    /// Fixes the volume at one moment: subtree counters folded, segments and log file closed, root frozen.
    async fn freeze(&self) -> Result<Moment> {
        let mut pins = PinSet::new(Arc::clone(&self.engine.pages));
        loop {
            let miss = {
                let mut state = self.state.write();
                state.check_writable()?;
                match self.fold(&mut state) {
                    Ok(()) => {
                        let segments = self.staging.freeze();
                        self.log.rotate(state.next_lsn, self.log_header(state.next_lsn));
                        return Ok(Moment {
                            lsn: state.last_lsn(),
                            next_ino: state.next_ino,
                            inodes: state.inodes,
                            data_bytes: state.data_bytes,
                            frozen: state.tree.freeze(),
                            segments,
                        });
                    }
                    Err(OpError::Fs(error)) => return Err(error),
                    Err(OpError::Miss(miss)) => miss,
                }
            };
            self.load(miss, &mut pins).await?;
        }
    }

    fn fold(&self, state: &mut crate::volume::state::State) -> crate::kv::OpResult<()> {
        if state.subtree.is_empty() {
            return Ok(());
        }
        let mut txn = Txn::new(&state.tree);
        ops::subtree::fold(&mut txn, &state.subtree)?;
        let writes = txn.into_writes();
        if !writes.is_empty() {
            self.commit_writes(state, &writes, &[])?;
        }
        state.subtree.clear();
        Ok(())
    }

    /// Header of the log file whose first record is `first`, under the present term.
    pub(crate) fn log_header(&self, first: Lsn) -> Vec<u8> {
        let term = *self.term.read();
        LogFileHeader { volume: self.meta.uuid, epoch: term.epoch, claim: term.claim, first_lsn: first }.encode_frame()
    }

    /// On failure gives the frozen tree back, unless it is unknown whether the head counts: then the volume has been halted.
    async fn write_and_publish(
        self: &Arc<Self>,
        publisher: &mut Publisher,
        segments: &[Arc<StagedSegment>],
        frozen: Frozen,
        wish: Wish,
        numbers: Numbers,
    ) -> Result<(), (Option<Box<Frozen>>, Error)> {
        if let Err(error) = self.wait_uploaded(segments).await {
            return Err((Some(Box::new(frozen)), error));
        }
        let overlay: Vec<_> = segments
            .iter()
            .filter_map(|s| s.uploaded())
            .filter(|u| u.lsn > numbers.lsn)
            .flat_map(|u| u.overlay)
            .collect();
        let written = self.write_pages(publisher, frozen, overlay).await.map_err(|(f, e)| (Some(f), e))?;
        let head = self.new_head(publisher, &written, wish, &numbers);
        let bytes = Bytes::from(head.encode_object());
        match self.publish(&head, &bytes).await {
            Ok(()) => {}
            Err(error) => {
                let known_absent = matches!(error.kind(), ErrorKind::Fenced);
                let frozen = known_absent.then(|| Box::new(written.published.abandon()));
                if frozen.is_none() {
                    self.halt(ErrorKind::Interrupted, format!("a head was being written: {error}"));
                }
                return Err((frozen, error));
            }
        }
        self.state.write().tree.settle(written.published);
        publisher.table = written.table;
        publisher.note_published(head, self.env.clock.now().secs);
        self.pages.set_lengths(publisher.lengths());
        let entries = publisher.table.values().copied().collect();
        publisher.copied = self.keep_copies(&ObjectTable { entries }.encode_frame(), &bytes).await;
        self.note_head(&publisher.head);
        match self.forget_intents(&written.objects).await {
            // The head counts, and what it covers makes room; the intents are settled at the next mount.
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                tracing::warn!("intents of a checkpoint are kept: {error}");
                Ok(())
            }
            other => other.map_err(|e| (None, e)),
        }
    }

    /// Keeps copies of the newest head and its table for mounting without the store. An old copy does not go with the logs that are
    /// left after this head: where no new one can be made, there is none. Whether what the head covers may go.
    async fn keep_copies(&self, table: &[u8], head: &[u8]) -> bool {
        let dir = &self.env.dir;
        let Err(error) = dir.replace(TABLE_COPY, table).and_then(|()| dir.replace(HEAD_COPY, head)) else {
            return true;
        };
        tracing::warn!(
            "cannot keep a local copy of the head: {error}; until the next checkpoint this computer cannot mount the volume while the store is away"
        );
        dir.remove(HEAD_COPY).is_ok() && dir.sync_dir("").await.is_ok()
    }

    /// Writes the dirty pages of `frozen` into new meta objects, children before parents, then the table and the overlay.
    async fn write_pages(
        self: &Arc<Self>,
        publisher: &Publisher,
        frozen: Frozen,
        overlay: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Written, (Box<Frozen>, Error)> {
        let mut table = publisher.table.clone();
        let seq = publisher.head.seq + 1;
        let now = self.env.clock.now().secs;
        for addr in frozen.freed() {
            lower_live(&mut table, addr, seq, now);
        }
        for entry in table.values_mut().filter(|e| e.live_bytes == 0 && e.dead_seq == 0) {
            (entry.dead_seq, entry.dead_secs) = (seq, now);
        }
        let mut writer = frozen.writer();
        let mut objects = Vec::new();
        let outcome = self.pack_pages(&mut writer, &mut table, &mut objects, overlay).await;
        match outcome {
            Ok((table_addr, overlay_addr)) => {
                Ok(Written { published: writer.finish(), table, objects, table_addr, overlay_addr })
            }
            Err(error) => Err((Box::new(writer.abandon()), error)),
        }
    }

    async fn pack_pages(
        self: &Arc<Self>,
        writer: &mut crate::tree::CheckpointWriter,
        table: &mut BTreeMap<ObjectId, ObjectEntry>,
        objects: &mut Vec<ObjectId>,
        overlay: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<(Option<PageAddr>, Option<PageAddr>)> {
        let codec = self.meta.compress.codec();
        let mut pack = PackBuilder::meta(1 << 20);
        let mut object = self.start_object(table, objects).await?;
        while let Some(page) = writer.next_page() {
            let entry = pack.append(0, FrameKind::Page, (u64::from(page.level), 0), codec, &page.payload);
            let addr = page_addr(object, entry.offset, entry.total_len);
            writer.place(addr);
            if let Some(e) = table.get_mut(&object) {
                e.live_bytes += u64::from(addr.len);
            }
            if pack.len() as usize >= META_OBJECT_BYTES {
                self.put_meta(object, pack, table).await?;
                pack = PackBuilder::meta(1 << 20);
                object = self.start_object(table, objects).await?;
            }
        }
        let overlay_addr = if overlay.is_empty() {
            None
        } else {
            let writes = overlay.into_iter().map(|(key, value)| KeyWrite { key, value: Some(value) }).collect();
            let payload = Overlay { records: vec![RecordBody { writes, data: Vec::new() }] }.encode();
            let entry = pack.append(0, FrameKind::Overlay, (0, 0), codec, &payload);
            Some(page_addr(object, entry.offset, entry.total_len))
        };
        // Table and overlay are not counted as live: an object dies in a later head at the earliest, and is kept as long as
        // any head that was written before its death.
        let entries = table.values().copied().collect();
        let entry = pack.append(0, FrameKind::ObjectTable, (0, 0), codec, &ObjectTable { entries }.encode());
        let table_addr = page_addr(object, entry.offset, entry.total_len);
        self.put_meta(object, pack, table).await?;
        Ok((Some(table_addr), overlay_addr))
    }

    async fn start_object(
        &self,
        table: &mut BTreeMap<ObjectId, ObjectEntry>,
        objects: &mut Vec<ObjectId>,
    ) -> Result<ObjectId> {
        let object = self.new_object_id();
        self.intend(ObjectKind::Meta, object).await?;
        objects.push(object);
        table.insert(object, ObjectEntry { object, live_bytes: 0, stored_len: 0, dead_seq: 0, dead_secs: 0 });
        Ok(object)
    }

    async fn put_meta(
        self: &Arc<Self>,
        object: ObjectId,
        pack: PackBuilder,
        table: &mut BTreeMap<ObjectId, ObjectEntry>,
    ) -> Result<()> {
        let (body, _) = pack.finish(crate::format::Codec::None);
        if let Some(e) = table.get_mut(&object) {
            e.stored_len = body.len() as u64;
        }
        let key = self.storage.layout.meta_key(object);
        let body = Bytes::from(body);
        self.until_stored(|| Box::pin(self.storage.put(&key, vec![body.clone()], PutMode::Fresh))).await?;
        self.checkpoints.meter.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        self.disk.put(ObjectKind::Meta, object, 0, &body);
        Ok(())
    }

    fn new_head(&self, publisher: &Publisher, written: &Written, wish: Wish, numbers: &Numbers) -> Head {
        let term = *self.term.read();
        Head {
            volume: self.meta.uuid,
            seq: publisher.head.seq + 1,
            epoch: term.epoch,
            claim: term.claim,
            flags: HeadFlags { clean: wish.clean, claim: false, released: false },
            lsn: numbers.lsn,
            next_ino: numbers.next_ino,
            nonce_floor: Nonce(self.next_nonce.load(Ordering::Relaxed)),
            inode_count: numbers.inodes,
            data_bytes: numbers.data_bytes,
            written_secs: self.env.clock.now().secs,
            owner: self.options.owner.clone(),
            root: written.published.root,
            object_table: written.table_addr,
            overlay: written.overlay_addr,
            logs: vec![LogStart { epoch: term.epoch, first_batch: self.commits.first_batch_after(numbers.lsn) }],
        }
    }

    /// Creates the head. A lost reply is settled by reading what is there.
    async fn publish(&self, head: &Head, bytes: &Bytes) -> Result<()> {
        let settle = self.options.settle;
        let key = head_key(head.seq);
        let outcome = self.until_stored(|| Box::pin(create_head(&self.storage, &key, bytes, settle))).await;
        match outcome {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(self.fenced(&format!("head {} is theirs", head.seq)))
            }
            other => other,
        }
    }

    /// Whether no head newer than ours is in the store.
    pub(crate) async fn still_newest(&self, publisher: &Publisher) -> Result<bool> {
        let next = head_key(publisher.head.seq + 1);
        match self.storage.get(&next, GetRange::Full).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Ok(_) => {
                self.fenced(&format!("head {} is theirs", publisher.head.seq + 1));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn forget_intents(&self, objects: &[ObjectId]) -> Result<()> {
        let ((), lsn) = self
            .housekeep_queued(|tx| {
                for object in objects {
                    tx.delete(intent_key(ObjectKind::Meta, *object));
                }
                Ok(())
            })
            .await?;
        self.logged(lsn).await
    }

    /// Frees what the new head covers. Failures here cost space, never data.
    async fn after_publication(self: &Arc<Self>, publisher: &mut Publisher, segments: &[Arc<StagedSegment>]) {
        if publisher.copied {
            if let Err(error) = self.staging.remove_covered(segments, &self.disk) {
                tracing::warn!("cannot remove a staging file that is in the store: {error}");
            }
            if let Err(error) = self.log.remove_covered(publisher.head.lsn) {
                tracing::warn!("cannot remove a replay log file that a head covers: {error}");
            }
        }
        self.room.notify_waiters();
        let outdated = publisher.outdated(self.env.clock.now().secs);
        let mut old: Vec<_> = outdated.into_iter().map(head_key).collect();
        self.commits.hand_over(&mut publisher.batches);
        if let Some((_, oldest)) = publisher.oldest_kept() {
            while publisher.batches.front().is_some_and(|(_, _, last)| *last <= oldest) {
                old.extend(publisher.batches.pop_front().map(|(epoch, number, _)| log_key(epoch, number)));
            }
        }
        if let Err(error) = self.storage.delete(&old).await {
            tracing::debug!("cannot delete an old head or log batch: {error}");
        }
        if let Err(error) = self.collect(publisher).await {
            tracing::debug!("cannot delete dead objects now: {error}");
        }
    }
}

/// What a head says besides addresses.
struct Numbers {
    lsn: Lsn,
    next_ino: crate::types::Ino,
    inodes: u64,
    data_bytes: u64,
}

fn page_addr(object: ObjectId, offset: u64, len: u32) -> PageAddr {
    PageAddr { object, offset: u32::try_from(offset).unwrap_or(u32::MAX), len }
}

/// Takes a dead page off its object's live bytes; the object is dead when none are left.
fn lower_live(table: &mut BTreeMap<ObjectId, ObjectEntry>, addr: PageAddr, seq: u64, now: i64) {
    let Some(entry) = table.get_mut(&addr.object) else {
        tracing::error!("page at {} of unknown meta object {} was freed; run fsck", addr.offset, addr.object);
        return;
    };
    entry.live_bytes = entry.live_bytes.saturating_sub(u64::from(addr.len));
    if entry.live_bytes == 0 && entry.dead_seq == 0 {
        entry.dead_seq = seq;
        entry.dead_secs = now;
    }
}
