//! Opening and closing a volume.
//!
//! Owns the order of a mount: description, newest head, claim, overlay, replay, then the tasks; and of a close: seal, upload,
//! checkpoint with the clean flag. With the store away a volume that this host has had open before opens from its local copies,
//! under its last claim, and claims anew when the store is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::config::VolumeOptions;
use crate::disk_cache::DiskCache;
use crate::disk_room::DiskRoom;
use crate::engine::Engine;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::{LOG_PREFIX, head_key, parse_log_path};
use crate::format::{FormatError, FormatResult, Head, ObjectTable, Tier, VolumeMeta};
use crate::limits::{DISK_RESERVE_BYTES, MOUNT_PATIENCE, REPLAYED_MAX};
use crate::locks::LockTable;
use crate::ops;
use crate::store::{ObjectKey, ObjectStore};
use crate::tree::{PageLimits, PinSet, Tree};
use crate::types::{Epoch, Ino, Lsn};
use crate::volume::checkpoint::{Checkpoints, HEAD_COPY, Publisher, TABLE_COPY, Wish};
use crate::volume::claim::{
    OwnerFile, Standing, check_claimable, check_fencing, claim, create_head, heads, intend_claim, standing,
};
use crate::volume::commit::Commits;
use crate::volume::create::read_volume_meta;
use crate::volume::fenced::set_aside;
use crate::volume::flush::Flusher;
use crate::volume::follow::Following;
use crate::volume::frames::FrameReader;
use crate::volume::log::{LocalLog, local_error};
use crate::volume::pages::PageLoader;
use crate::volume::recent::Recent;
use crate::volume::recover::{Recovery, check_root, read_table};
use crate::volume::staging::Staging;
use crate::volume::state::{Halt, State};
use crate::volume::storage::{Storage, store_error};
use crate::volume::upload::Uploads;
use crate::volume::{Shared, Term, Volume, VolumeStatus};

/// Copy of volume.json in the state directory.
const META_COPY: &str = "volume.json";

/// What is known of the volume before it is recovered.
struct Found {
    meta: VolumeMeta,
    head: Head,
    table: ObjectTable,
    owner: OwnerFile,
    claimed: bool,
    /// Numbers of the heads in the store, as far as they are known.
    heads: Vec<u64>,
    /// Why the store could not be asked, if it could not.
    away: Option<Error>,
}

impl Volume {
    /// Opens a volume: recovers what this host has not brought into the store yet, and claims it unless read-only.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] (no volume), [`ErrorKind::Busy`] (owned elsewhere), [`ErrorKind::NotSupported`] (store cannot
    /// fence), [`ErrorKind::UnknownFormat`], [`ErrorKind::Corrupt`], [`ErrorKind::Unavailable`] (store away and nothing known here).
    pub async fn open(
        engine: Arc<Engine>,
        env: Env,
        store: Arc<dyn ObjectStore>,
        options: VolumeOptions,
    ) -> Result<Self> {
        let found = match find_online(&env, &store, &options).await {
            Err(error) if error.kind() == ErrorKind::Unavailable && !options.take_over => find_offline(&env, error)?,
            other => other?,
        };
        let (tag, cache) = engine.join(options.read_cache_weight);
        let opened = assemble(Arc::clone(&engine), env, store, options, found, (tag, cache)).await;
        if opened.is_err() {
            engine.leave(tag);
        }
        let (shared, publisher) = opened?;
        shared.start_tasks(publisher);
        Ok(Self { shared })
    }

    /// The status, from memory.
    #[must_use]
    pub fn status(&self) -> VolumeStatus {
        self.shared.status()
    }

    /// The volume's description.
    #[must_use]
    pub fn meta(&self) -> &VolumeMeta {
        &self.shared.meta
    }

    /// Brings everything so far into the store: on return a head covers it.
    ///
    /// # Errors
    /// The volume's halt; waits as long as the store is away.
    pub async fn flush(&self) -> Result<()> {
        self.checkpoint().await.map(drop)
    }

    /// Takes a checkpoint now; returns the LSN that its head covers.
    ///
    /// # Errors
    /// As [`Volume::flush`].
    pub async fn checkpoint(&self) -> Result<Lsn> {
        if self.shared.options.read_only {
            return Ok(self.shared.state.read().last_lsn());
        }
        self.shared.checkpoints.run(Wish::default()).await
    }

    /// Commits everything so far at the volume's tier.
    ///
    /// # Errors
    /// As a sync operation.
    pub async fn sync(&self) -> Result<()> {
        if self.shared.options.read_only {
            return Ok(());
        }
        let lsn = self.shared.state.read().last_lsn();
        self.shared.commit(lsn).await
    }

    /// Closes the volume: what is open elsewhere in this process must be released before. With the store there, everything is
    /// in it on return and anybody may mount the volume; if it does not answer within `patience`, what is missing stays staged on the
    /// local disk, flushed, and the answer says how much.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when not even the local disk holds everything; the halt's error.
    pub async fn close(self, patience: Duration) -> Result<CloseReport> {
        let shared = &self.shared;
        let mut outcome = Ok(());
        shared.stop_hand_over().await;
        if !shared.options.read_only {
            outcome = shared.close_cleanly(patience).await;
        }
        shared.stop_tasks().await;
        shared.frames.settle().await;
        shared.engine.leave(shared.tag);
        let (segments, bytes) = shared.staging.waiting();
        let left = CloseReport { in_store: outcome.is_ok(), waiting_segments: segments, waiting_bytes: bytes };
        match outcome {
            Err(error) if error.kind() != ErrorKind::Unavailable => Err(error),
            _ => Ok(left),
        }
    }

    /// Stops at once, as a killed process would, but for the memory. For tests.
    pub async fn abandon(self) {
        self.shared.stop_tasks().await;
        self.shared.frames.settle().await;
        self.shared.engine.leave(self.shared.tag);
    }

    /// Reads all metadata and says what contradicts what; empty when nothing does.
    ///
    /// # Errors
    /// A page cannot be read.
    pub async fn check_metadata(&self) -> Result<Vec<ops::check::Fault>> {
        self.shared.view(ops::check::check_all).await
    }

    /// Changes this volume's share of the caches relative to other volumes.
    pub fn set_read_cache_weight(&self, weight: u32) {
        self.shared.engine.set_weight(self.shared.tag, weight);
    }

    /// This volume's share of the caches relative to other volumes.
    #[must_use]
    pub fn read_cache_weight(&self) -> u32 {
        self.shared.engine.weight(self.shared.tag)
    }

    /// Drops what is cached of this volume, in memory and on the local disk. What is not in the store yet stays.
    pub fn drop_all_caches(&self) {
        self.drop_caches();
        self.shared.disk.clear();
    }

    /// Drops all clean caches in memory, so that reads come from the disk's cache or the store.
    pub fn drop_caches(&self) {
        self.shared.engine.pages.drop_all();
        self.shared.frames.cache().clear();
    }
}

/// How a close went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CloseReport {
    /// Whether a clean head covers everything.
    pub in_store: bool,
    /// Segments that wait on the local disk for the next mount.
    pub waiting_segments: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
}

impl Shared {
    async fn close_cleanly(self: &Arc<Self>, patience: Duration) -> Result<()> {
        let lsn = self.state.read().last_lsn();
        let flushed = self.flusher.durable(lsn).await;
        let finish = async {
            self.checkpoints.run(Wish::default()).await?;
            self.checkpoints.run(Wish { clean: true }).await
        };
        let closed = match tokio::time::timeout(patience, finish).await {
            Ok(outcome) => outcome.map(drop),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the store did not answer in time")),
        };
        match (closed, flushed) {
            (Ok(()), _) => Ok(()),
            (Err(_), Err(error)) => Err(error),
            (Err(error), Ok(())) => Err(error),
        }
    }
}

async fn find_online(env: &Env, store: &Arc<dyn ObjectStore>, options: &VolumeOptions) -> Result<Found> {
    // A volume that can be mounted from local copies does not wait long for a store that is away.
    let known_here = !options.take_over && env.dir.read(META_COPY).is_ok();
    let patience = if known_here { options.operation_timeout.min(MOUNT_PATIENCE) } else { options.operation_timeout };
    let meta = read_volume_meta(store, patience).await?;
    let storage = Storage::new(Arc::clone(store), meta.layout, options.operation_timeout);
    let mut owner = OwnerFile::load(&*env.dir, meta.uuid)?;
    let no_head = || {
        let place = store.describe();
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "the volume at {place} has no head, so its files cannot be found; bring the objects under head/ back from a backup"
            ),
        )
    };
    let (newest, heads) = heads(&storage, known_head(env, &meta)).await?;
    let newest = newest.ok_or_else(no_head)?;
    if newest.volume != meta.uuid {
        return Err(Error::new(ErrorKind::Corrupt, format!("head {} belongs to volume {}", newest.seq, newest.volume)));
    }
    let table = read_table(&storage, &newest).await?;
    if options.read_only {
        return Ok(Found { meta, head: newest, table, owner, claimed: true, heads, away: None });
    }
    check_claimable(&newest, &owner, options)?;
    check_root(&storage, &newest).await?;
    if !owner.probed {
        check_fencing(&storage, env, options).await?;
        owner.probed = options.settle.is_none();
    }
    if !owner.claims.is_empty() && !owner.owns(newest.epoch, newest.claim) {
        set_aside(env, &owner).await?;
    }
    keep_copy(env, META_COPY, &with_checksum(meta.encode()))?;
    let head = claim(&storage, env, options, &newest, &mut owner).await.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Error::new(ErrorKind::Busy, "another owner claimed the volume at this very moment"),
        _ => e,
    })?;
    let head_seq = head.seq;
    keep_copy(env, HEAD_COPY, &head.encode_object())?;
    keep_copy(env, TABLE_COPY, &table.encode_frame())?;
    let heads = heads.into_iter().chain([head_seq]).collect();
    Ok(Found { meta, head, table, owner, claimed: true, heads, away: None })
}

/// Number of the newest head that this host has seen; 0 if none.
fn known_head(env: &Env, meta: &VolumeMeta) -> u64 {
    let copy = env.dir.read(HEAD_COPY).ok().and_then(|bytes| Head::decode_object(&Bytes::from(bytes)).ok());
    copy.filter(|head| head.volume == meta.uuid).map_or(0, |head| head.seq)
}

/// The volume as this host last knew it.
fn find_offline(env: &Env, error: Error) -> Result<Found> {
    let read = |name: &str| env.dir.read(name).map(Bytes::from).ok();
    let (Some(meta), Some(head), Some(table)) = (read(META_COPY), read(HEAD_COPY), read(TABLE_COPY)) else {
        return Err(error.context_prefix("this computer has no copy of the volume's newest head (it was never open here, or the copy could not be made)"));
    };
    let copy = |name: &str| format!("the copy {name} in the state directory is damaged, mount with the store");
    let meta = without_checksum(&meta)
        .and_then(VolumeMeta::decode)
        .map_err(|e| Error::from(e).context_prefix(&copy(META_COPY)))?;
    let owner = OwnerFile::load(&*env.dir, meta.uuid)?;
    let head = Head::decode_object(&head).map_err(|e| Error::from(e).context_prefix(&copy(HEAD_COPY)))?;
    let table = ObjectTable::decode_frame(&table).map_err(|e| Error::from(e).context_prefix(&copy(TABLE_COPY)))?;
    if head.volume != meta.uuid {
        let why = format!("head.bin in the state directory is of volume {}, volume.json of {}", head.volume, meta.uuid);
        return Err(Error::new(ErrorKind::Corrupt, why));
    }
    if !owner.owns(head.epoch, head.claim) {
        // Somebody else has had the volume since: what was written here now could never be brought in.
        return Err(error);
    }
    tracing::warn!(volume = %meta.name, "mounting without the store: {error}");
    Ok(Found { meta, heads: vec![head.seq], head, table, owner, claimed: false, away: Some(error) })
}

/// The copy of volume.json: its bytes and their CRC-32C, as a volume whose layout was misread would be written to the wrong places.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

pub(crate) fn without_checksum(copy: &Bytes) -> FormatResult<&[u8]> {
    let what = META_COPY;
    let (bytes, crc) = copy.split_last_chunk::<4>().ok_or(FormatError::Truncated { what })?;
    let (stored, computed) = (u32::from_le_bytes(*crc), crc32c::crc32c(bytes));
    if stored != computed {
        return Err(FormatError::Checksum { what, stored, computed });
    }
    Ok(bytes)
}

fn keep_copy(env: &Env, name: &str, bytes: &[u8]) -> Result<()> {
    env.dir.replace(name, bytes).map_err(|e| local_error(&format!("write {name} in the state directory"), e))
}

async fn assemble(
    engine: Arc<Engine>,
    env: Env,
    store: Arc<dyn ObjectStore>,
    options: VolumeOptions,
    found: Found,
    (tag, cache): (u32, Arc<crate::frame_cache::FrameCache>),
) -> Result<(Arc<Shared>, Publisher)> {
    let Found { meta, head, table, owner, claimed, heads, away } = found;
    let mut storage = Storage::new(store, meta.layout, options.operation_timeout);
    storage.pace = Arc::clone(&engine.pace);
    let storage = Arc::new(storage);
    let staging = Arc::new(Staging::new(Arc::clone(&env.dir), meta.frame_size, options.max_flush_size));
    let disk = Arc::new(DiskCache::open(Arc::clone(&env.dir), engine.disk_cache_bytes(tag, options.disk_cache_bytes)));
    let pages = PageLoader::new(
        Arc::clone(&storage),
        Arc::clone(&engine.pages),
        Some(Arc::clone(&disk)),
        tag,
        engine.reads_around(),
    );
    let mut publisher = Publisher::new(head.clone(), table);
    publisher.note_older(heads, env.clock.now().secs);
    pages.set_lengths(publisher.lengths());
    let recovered = {
        let tree = Tree::open(Arc::clone(&engine.pages), tag, PageLimits::default(), head.root);
        let mut recovery = Recovery {
            env: &env,
            settle: options.settle,
            storage: &storage,
            pages: &pages,
            staging: &staging,
            state: first_state(tree, &head),
            pins: PinSet::new(Arc::clone(&engine.pages)),
            nonce_max: head.nonce_floor.0,
            log_files: Vec::new(),
            lost: Vec::new(),
            replayed: 0,
            placed: Default::default(),
            after_gap: Vec::new(),
            renamed: false,
        };
        recovery.apply_overlay(&head).await?;
        if !options.read_only {
            recovery.replay_local(&owner, &head).await?;
            if claimed && meta.tier == Tier::Store {
                recovery.replay_remote(&head).await?;
                let old = old_batches(&storage, head.epoch, recovery.state.last_lsn()).await?;
                publisher.batches.extend(old);
            }
            recovery.finish_local(&owner, &head).await?;
            recovery.end_intents().await?;
            recovery.finish_staging().await?;
        }
        if recovery.replayed > 0 {
            tracing::info!(volume = %meta.name, "replayed {} operations from the log", recovery.replayed);
        }
        if !recovery.lost.is_empty() {
            tracing::warn!(volume = %meta.name, "moved aside in the state directory: {}", recovery.lost.join(", "));
        }
        (recovery.state, recovery.log_files, recovery.nonce_max, recovery.replayed)
    };
    let (mut state, log_files, nonce_max, replayed) = recovered;
    if replayed > 0 {
        state.dirty_lsn = state.last_lsn();
    }
    let last = state.last_lsn();
    let term = Term { epoch: head.epoch, claim: head.claim, claimed };
    let log =
        LocalLog::new(Arc::clone(&env.dir), last, log_files).map_err(|e| local_error("open the replay log", e))?;
    let log = Arc::new(log);
    let flusher = Arc::new(Flusher::new(Arc::clone(&env.dir), Arc::clone(&log), Arc::clone(&staging), Lsn(0)));
    engine.attach(tag, Arc::clone(&staging), Arc::clone(&disk));
    let next_nonce = nonce_max + 1;
    let disk_room = DiskRoom::new(Arc::clone(&env.dir), DISK_RESERVE_BYTES);
    let shared = Arc::new(Shared {
        frames: FrameReader::new(Arc::clone(&storage), cache, Arc::clone(&disk)),
        commits: Commits::new(meta.tier, head.lsn, last),
        engine,
        env,
        meta,
        options,
        storage,
        tag,
        disk,
        disk_room,
        state: RwLock::new(state),
        log,
        staging,
        flusher,
        pages,
        term: RwLock::new(term),
        next_nonce: AtomicU64::new(next_nonce),
        checkpoints: Checkpoints::default(),
        uploads: Uploads::default(),
        recent: Recent::default(),
        handles: Default::default(),
        follower: Default::default(),
        handing_over: tokio::sync::Mutex::new(()),
        hand_over_task: Mutex::default(),
        locks: LockTable::default(),
        health: Mutex::default(),
        meter: Arc::default(),
        dead_tasks: Mutex::default(),
        stopping: AtomicBool::new(false),
        stop: Notify::new(),
        tasks: Mutex::default(),
        deletions_held: AtomicUsize::new(0),
        room: Notify::new(),
        claimed: tokio::sync::watch::channel(claimed).0,
        opened: tokio::sync::watch::channel(false).0,
    });
    shared.note_recovered(&head);
    if let Some(error) = &away {
        shared.problem(error);
    }
    if !shared.options.read_only {
        let header = shared.log_header(last.next());
        shared.log.rotate(last.next(), header);
        shared.make_root().await?;
        shared.settle_intents(&mut publisher).await?;
        if replayed >= REPLAYED_MAX {
            shared.checkpoints.request();
        }
    }
    Ok((shared, publisher))
}

/// Log batches of earlier epochs, all of which the next head covers.
async fn old_batches(storage: &Storage, epoch: Epoch, covered: Lsn) -> Result<Vec<(Epoch, u64, Lsn)>> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = storage.store.list(0, LOG_PREFIX, after.as_deref()).await;
        let page = page.map_err(|e| store_error("list", &ObjectKey::home(LOG_PREFIX), e))?;
        let batches = page.objects.iter().filter_map(|o| parse_log_path(&o.key.path));
        found.extend(batches.filter(|(e, _)| *e < epoch).map(|(e, number)| (e, number, covered)));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}

/// The state right at a head, before its overlay and any log.
pub(crate) fn first_state(tree: Tree, head: &Head) -> State {
    State {
        tree,
        next_lsn: head.lsn.next(),
        dirty_lsn: head.lsn,
        next_ino: head.next_ino.max(Ino::ROOT.next()),
        inodes: head.inode_count,
        data_bytes: head.data_bytes,
        subtree: Default::default(),
        halted: None,
    }
}

impl Shared {
    /// A new volume gets its root directory from its first writer.
    async fn make_root(&self) -> Result<()> {
        if self.view(|kv| ops::inode::try_load(kv, Ino::ROOT)).await?.is_some() {
            return Ok(());
        }
        self.transact(self.options.root_owner, &[], |tx, cx, _| {
            ops::make_root(tx, cx, 0o755);
            Ok(())
        })
        .await
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.term.read().claimed
    }

    /// Waits until this owner's claim is in the store. False when the volume stops first.
    pub(crate) async fn wait_claimed(&self) -> bool {
        let mut claimed = self.claimed.subscribe();
        let stopped = self.stop.notified();
        if self.is_stopping() {
            return false;
        }
        tokio::select! {
            outcome = claimed.wait_for(|c| *c) => outcome.is_ok(),
            () = stopped => false,
        }
    }

    /// Waits until this epoch's first checkpoint is in the store: only from then on do its log batches follow on a head.
    pub(crate) async fn wait_writable_epoch(&self) -> Result<()> {
        let mut opened = self.opened.subscribe();
        loop {
            if *opened.borrow_and_update() {
                return Ok(());
            }
            let stopped = self.stop.notified();
            self.check_going()?;
            self.checkpoints.request();
            tokio::select! { _ = opened.changed() => {}, () = stopped => {} }
        }
    }

    /// Claims the volume if it was opened without the store.
    pub(crate) async fn until_claimed(self: &Arc<Self>, publisher: &mut Publisher) -> Result<()> {
        if self.is_claimed() {
            return Ok(());
        }
        let (newest, seqs) = self.until_stored(|| Box::pin(heads(&self.storage, 0))).await?;
        let mut owner = OwnerFile::load(&*self.env.dir, self.meta.uuid)?;
        let newest = match newest.map(|n| (standing(&n, &publisher.head, &owner), n)) {
            Some((Standing::Same, newest)) => newest,
            Some((Standing::OwnNewer, newest)) => {
                let why =
                    format!("this computer's copy of the head is older than head {} in the store; remount", newest.seq);
                self.halt(ErrorKind::Interrupted, why.clone());
                return Err(Error::new(ErrorKind::Interrupted, why));
            }
            Some((Standing::Foreign, _)) | None => return Err(self.fenced_while_away()),
        };
        let head = intend_claim(&self.env, &self.options, &newest, &mut owner)?;
        let (key, bytes) = (head_key(head.seq), Bytes::from(head.encode_object()));
        let settle = self.options.settle;
        let claimed = self.until_stored(|| Box::pin(create_head(&self.storage, &key, &bytes, settle))).await;
        claimed.map_err(|e| if e.kind() == ErrorKind::AlreadyExists { self.fenced_while_away() } else { e })?;
        if let Err(error) = keep_copy(&self.env, HEAD_COPY, &bytes) {
            // The older copy serves as well: only claims separate the two.
            tracing::warn!("cannot keep a local copy of the claim: {error}");
        }
        tracing::info!(volume = %self.meta.name, "claimed epoch {} ({} claims in line)", head.epoch, owner.claims.len());
        {
            let state = self.state.write();
            *self.term.write() = Term { epoch: head.epoch, claim: head.claim, claimed: true };
            self.log.rotate(state.next_lsn, self.log_header(state.next_lsn));
        }
        self.commits.new_epoch();
        publisher.note_older(seqs.into_iter().chain([head.seq]).collect(), self.env.clock.now().secs);
        publisher.head = head;
        self.claimed.send_replace(true);
        Ok(())
    }

    fn fenced_while_away(&self) -> Error {
        self.fenced("while this computer was offline")
    }

    fn note_recovered(&self, head: &Head) {
        self.note_head(head);
    }

    pub(crate) fn start_tasks(self: &Arc<Self>, publisher: Publisher) {
        let mut tasks = self.tasks.lock();
        if self.options.read_only {
            tasks.push(self.spawn_watched("follow", Arc::clone(self).follow_loop(Following::new(publisher.head))));
        } else {
            tasks.push(self.spawn_watched("checkpoint", Arc::clone(self).checkpoint_loop(publisher)));
            tasks.push(self.spawn_watched("upload", Arc::clone(self).upload_loop()));
            tasks.push(self.spawn_watched("seal", Arc::clone(self).seal_loop()));
            tasks.push(self.spawn_watched("flush", Arc::clone(self).flush_loop()));
            tasks.push(self.spawn_watched("reap", Arc::clone(self).reap_all()));
            *self.hand_over_task.lock() = Some(tokio::spawn(Arc::clone(self).hand_over_loop()));
        }
    }

    /// Stops handing over what a lost term left; the next mount goes on with it. What it writes must not come after the last head.
    async fn stop_hand_over(&self) {
        let task = self.hand_over_task.lock().take();
        if let Some(task) = task {
            task.abort();
            // It has nothing to say but that it was aborted.
            let _ = task.await;
        }
    }

    async fn stop_tasks(&self) {
        // First, so that nothing begins while the rest is waited for.
        self.stopping.store(true, Ordering::Release);
        self.stop.notify_waiters();
        self.log.wake();
        self.stop_hand_over().await;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            // A loop that waits for something else than the stop has nothing left to lose.
            task.abort();
            let _ = task.await;
        }
        self.follower.close();
        // What is still under way somewhere must not write into the log: its files may be another mount's by now.
        let why = "the volume is closed".to_owned();
        self.state.write().halted.get_or_insert(Halt { kind: ErrorKind::Interrupted, why });
    }
}
