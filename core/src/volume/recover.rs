//! From the newest head to the present: overlay, then the replay log, then what is left over.
//!
//! Owns the rules of which records count (FORMAT section 7): LSNs without a gap, staged bytes that verify, only logs of
//! this owner's own line of claims. Whatever does not count is never deleted here: it is moved aside and named.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::env::{Env, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::format::keys::{intent_key, segment_location_key};
use crate::format::layout::log_key;
use crate::format::{
    ClaimId, DataRef, Head, Key, KeyWrite, LogBatch, LogFileHeader, ObjectKind, ObjectTable, Overlay, Record,
    SegmentLocation,
};
use crate::kv::{KvRead, PageAddr};
use crate::store::{GetRange, StoreErrorKind};
use crate::tree::PinSet;
use crate::types::{Epoch, Lsn, ObjectId, SegmentId};
use crate::volume::claim::{OwnerFile, create_head};
use crate::volume::log::{LOG_DIR, local_error};
use crate::volume::pages::PageLoader;
use crate::volume::staging::{STAGE_DIR, Staging, Uploaded, stage_path};
use crate::volume::state::{State, Writes};
use crate::volume::storage::Storage;

/// Directory for what could not be made part of the volume's history.
pub(crate) const LOST_DIR: &str = "lost";

/// What recovery works on.
pub(crate) struct Recovery<'r> {
    pub(crate) env: &'r Env,
    /// The waiting time of the fallback for stores that cannot create atomically.
    pub(crate) settle: Option<Duration>,
    pub(crate) storage: &'r Storage,
    pub(crate) pages: &'r PageLoader,
    pub(crate) staging: &'r Staging,
    pub(crate) state: State,
    pub(crate) pins: PinSet,
    /// The highest nonce seen in use, by epoch of the line.
    pub(crate) nonce_max: u64,
    /// First LSNs of the log files that are there.
    pub(crate) log_files: Vec<Lsn>,
    /// Whether anything was moved aside.
    pub(crate) lost: Vec<String>,
    pub(crate) replayed: u64,
    /// Segments whose location came from an overlay or a batch, ahead of the records that made it: their objects' intents may
    /// come, or come back, with those records.
    pub(crate) placed: BTreeSet<SegmentId>,
    /// Log files that begin after a gap, which the remote log may close.
    pub(crate) after_gap: Vec<String>,
    /// Whether names in the log directory were changed.
    pub(crate) renamed: bool,
}

/// Reads the frame at `addr` of a meta object.
async fn read_meta(storage: &Storage, addr: PageAddr, kind: crate::format::FrameKind) -> Result<Bytes> {
    let range = GetRange::Bounded { offset: addr.offset.into(), len: addr.len.into() };
    let frame = storage.get_meta(addr.object, range).await?;
    let (_, payload) = crate::format::frame::decode_frame_of(kind, &frame).map_err(|e| {
        let what =
            format!("frame at {} of object {} is damaged, run fsck", addr.offset, storage.describe_meta(addr.object));
        Error::from(e).context_prefix(&what)
    })?;
    Ok(payload)
}

/// The object table of a head.
pub(crate) async fn read_table(storage: &Storage, head: &Head) -> Result<ObjectTable> {
    match head.object_table {
        None => Ok(ObjectTable { entries: Vec::new() }),
        Some(addr) => {
            let payload = read_meta(storage, addr, crate::format::FrameKind::ObjectTable).await?;
            Ok(ObjectTable::decode(&payload)?)
        }
    }
}

/// The overlay of a head.
pub(crate) async fn read_overlay(storage: &Storage, head: &Head) -> Result<Option<Overlay>> {
    match head.overlay {
        None => Ok(None),
        Some(addr) => {
            let payload = read_meta(storage, addr, crate::format::FrameKind::Overlay).await?;
            Ok(Some(Overlay::decode(&payload)?))
        }
    }
}

impl Recovery<'_> {
    /// Applies the overlay of the head that the state was loaded from.
    pub(crate) async fn apply_overlay(&mut self, head: &Head) -> Result<()> {
        let local = head.overlay.and_then(|addr| self.pages.on_disk(addr));
        let local = local.and_then(|frame| {
            let (_, payload) = crate::format::frame::decode_frame_of(crate::format::FrameKind::Overlay, &frame).ok()?;
            Overlay::decode(&payload).ok()
        });
        let overlay = match local {
            Some(overlay) => overlay,
            None => match read_overlay(self.storage, head).await? {
                Some(overlay) => overlay,
                None => return Ok(()),
            },
        };
        for body in overlay.records {
            self.apply_locations(&body.writes).await?;
        }
        Ok(())
    }

    /// Applies location records.
    async fn apply_locations(&mut self, writes: &[KeyWrite]) -> Result<()> {
        let all: Writes = writes.iter().map(|w| (w.key.clone(), w.value.clone())).collect();
        for key in all.keys() {
            if let Ok(Key::SegmentLocation { segment, .. }) = Key::decode(key) {
                self.placed.insert(segment);
            }
        }
        self.apply(&all).await
    }

    /// Ends the intents of objects that are in use. Called when all logs are replayed.
    pub(crate) async fn end_intents(&mut self) -> Result<()> {
        let mut ended = Writes::new();
        for segment in std::mem::take(&mut self.placed) {
            if let Some(value) = self.get(&segment_location_key(segment, 0)).await? {
                ended.insert(intent_key(ObjectKind::Data, SegmentLocation::decode(&value)?.object), None);
            }
        }
        self.apply(&ended).await
    }

    async fn apply(&mut self, writes: &Writes) -> Result<()> {
        while let Err(miss) = self.state.prepare(writes) {
            self.pages.load(miss, &mut self.pins).await?;
        }
        self.state.apply(writes, self.staging)
    }

    /// Replays the local log. Files that the head's history does not go on with are moved aside.
    pub(crate) async fn replay_local(&mut self, owner: &OwnerFile, head: &Head) -> Result<()> {
        for (name, _) in self.env.dir.list(LOG_DIR).map_err(|e| local_error("list the replay log", e))? {
            self.replay_named(name, owner, head).await?;
        }
        Ok(())
    }

    /// Ends the replay: files whose gap the remote log has closed are replayed, the others moved aside.
    pub(crate) async fn finish_local(&mut self, owner: &OwnerFile, head: &Head) -> Result<()> {
        for name in std::mem::take(&mut self.after_gap) {
            self.replay_named(name, owner, head).await?;
        }
        for name in std::mem::take(&mut self.after_gap) {
            tracing::warn!("log file {name} begins after a gap at LSN {}", self.state.next_lsn);
            self.set_aside(&format!("{LOG_DIR}/{name}"))?;
        }
        if self.renamed {
            // Else a loss of power could bring an old file back among newer ones.
            let synced = self.env.dir.sync_dir(LOG_DIR).await;
            synced.map_err(|e| local_error("flush the names of the replay log", e))?;
        }
        Ok(())
    }

    async fn replay_named(&mut self, name: String, owner: &OwnerFile, head: &Head) -> Result<()> {
        let path = format!("{LOG_DIR}/{name}");
        let bytes = self.env.dir.read(&path).map_err(|e| local_error("read the replay log", e))?;
        let bytes = Bytes::from(bytes);
        let (header, records) = match LogFileHeader::decode_file(&bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::info!(
                    "log file {name} has no whole header ({error}): nothing in it was acknowledged as durable"
                );
                return self.set_aside(&path);
            }
        };
        if !owner.owns(header.epoch, header.claim) {
            tracing::warn!("log file {name} is of epoch {}, which this volume no longer continues", header.epoch);
            return self.set_aside(&path);
        }
        if !goes_on(head, header.epoch) {
            if header.scan(&records).last().is_none_or(|record| record.lsn <= head.lsn) {
                return self.remove_log(&path);
            }
            tracing::warn!("log file {name} is of epoch {}, after which head {} came", header.epoch, head.seq);
            return self.set_aside(&path);
        }
        if header.first_lsn > self.state.next_lsn {
            self.after_gap.push(name);
            return Ok(());
        }
        self.replay_file(&header, &records).await?;
        if header.first_lsn < self.state.next_lsn {
            self.log_files.push(header.first_lsn);
            return Ok(());
        }
        // Nothing in it counts, and its name is that of the file to come.
        if records.iter().any(|b| *b != 0) { self.set_aside(&path) } else { self.remove_log(&path) }
    }

    fn remove_log(&mut self, path: &str) -> Result<()> {
        self.renamed = true;
        self.env.dir.remove(path).map_err(|e| local_error("remove a log file", e))
    }

    async fn replay_file(&mut self, header: &LogFileHeader, records: &[u8]) -> Result<()> {
        let mut scan = header.scan(records);
        for record in scan.by_ref() {
            if record.lsn < self.state.next_lsn {
                continue;
            }
            if record.lsn != self.state.next_lsn || !self.stage(&record).await? {
                tracing::warn!("replay stops before LSN {}: its data is not whole", record.lsn);
                return Ok(());
            }
            self.replay(&record.writes).await?;
            self.state.next_lsn = record.lsn.next();
            self.replayed += 1;
        }
        if let Some(end) = scan.end() {
            end.check().map_err(|e| Error::from(e).context_prefix("replay log"))?;
        }
        Ok(())
    }

    async fn replay(&mut self, writes: &[KeyWrite]) -> Result<()> {
        let all: Writes = writes.iter().map(|w| (w.key.clone(), w.value.clone())).collect();
        for key in all.keys() {
            self.note_names(key);
        }
        self.apply(&all).await
    }

    /// Remembers nonces in use, so that an owner that goes on in its epoch does not use them again.
    fn note_names(&mut self, key: &[u8]) {
        let nonce = match Key::decode(key) {
            Ok(Key::SegmentUsage(SegmentId { nonce, .. })) => nonce,
            Ok(Key::Intent { object: ObjectId { nonce, .. }, .. }) => nonce,
            _ => return,
        };
        self.nonce_max = self.nonce_max.max(nonce.0);
    }

    /// Takes the staged bytes of a record back into staging. Whether all of them are there and true.
    async fn stage(&mut self, record: &Record) -> Result<bool> {
        let mut runs = Vec::new();
        for data in &record.data {
            if self.staging.get(data.segment).is_none() && self.is_located(data.segment).await? {
                continue;
            }
            let Some(bytes) = self.verify(data)? else { return Ok(false) };
            runs.push((data, bytes));
        }
        for (data, bytes) in runs {
            let segment = self.staging.recover(data.segment).map_err(|e| local_error("open a staging file", e))?;
            self.staging.recover_run(&segment, data);
            segment.note_sums(&bytes, data.position, data.crc);
            self.nonce_max = self.nonce_max.max(data.segment.nonce.0);
        }
        Ok(true)
    }

    /// Whether the segment's location is known.
    async fn is_located(&mut self, segment: SegmentId) -> Result<bool> {
        Ok(self.get(&segment_location_key(segment, 0)).await?.is_some())
    }

    async fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        loop {
            match self.state.tree.get(key) {
                Ok(found) => return Ok(found),
                Err(miss) => self.pages.load(miss, &mut self.pins).await?,
            }
        }
    }

    /// The staged bytes that a record names, if they are there and true.
    fn verify(&self, data: &DataRef) -> Result<Option<Vec<u8>>> {
        let file = match self.env.dir.open(&stage_path(data.segment), OpenMode::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(local_error("open a staging file", e)),
        };
        let mut buf = vec![0; usize::try_from(data.len).unwrap_or(usize::MAX)];
        match file.read_exact_at(&mut buf, data.place) {
            Ok(()) => Ok((crc32c::crc32c(&buf) == data.crc).then_some(buf)),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(local_error("read a staging file", e)),
        }
    }

    /// Moves a file out of the way without losing it.
    fn set_aside(&mut self, path: &str) -> Result<()> {
        let name = format!("{}-{}", self.state.next_lsn.0, path.replace('/', "-"));
        let taken = self.env.dir.list(LOST_DIR).map_err(|e| local_error("list what was moved aside", e))?;
        let is_free = |name: &String| taken.iter().all(|(n, _)| n != name);
        let name = std::iter::once(name.clone()).chain((1..).map(|i| format!("{name}.{i}"))).find(is_free);
        let target = format!("{LOST_DIR}/{}", name.unwrap_or_default());
        self.renamed = true;
        self.env.dir.rename(path, &target).map_err(|e| local_error("move a log file aside", e))?;
        self.lost.push(target);
        Ok(())
    }

    /// Ends recovery of staging: segments are sealed, files that no record names are moved aside.
    pub(crate) async fn finish_staging(&mut self) -> Result<()> {
        let state = &self.state;
        self.staging.finish_recovery(&|id| {
            let mut overlay = Vec::new();
            let (from, to) = crate::format::keys::segment_location_range(id);
            let scanned = state.tree.scan(&from, &to, &mut |key, value| {
                overlay.push((key.to_vec(), value.to_vec()));
                std::ops::ControlFlow::Continue(())
            });
            (scanned.is_ok() && !overlay.is_empty()).then(|| Uploaded { lsn: state.last_lsn(), overlay })
        });
        for (name, _) in self.env.dir.list(STAGE_DIR).map_err(|e| local_error("list staging files", e))? {
            let known = parse_segment(&name).is_some_and(|id| self.staging.get(id).is_some());
            if !known {
                let path = format!("{STAGE_DIR}/{name}");
                let located = match parse_segment(&name) {
                    Some(id) => self.is_located(id).await?,
                    None => false,
                };
                if located {
                    self.env.dir.remove(&path).map_err(|e| local_error("remove a staging file", e))?;
                } else {
                    self.set_aside(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Seals and replays the remote logs that the newest head names.
    pub(crate) async fn replay_remote(&mut self, head: &Head) -> Result<()> {
        // The last one is the present owner's own, and empty.
        for start in head.logs.iter().filter(|l| l.epoch < head.epoch) {
            let mut number = start.first_batch;
            loop {
                match self.read_batch(start.epoch, number).await? {
                    Some(batch) if batch.seal => break,
                    Some(batch) => {
                        if !self.replay_batch(&batch).await? {
                            // Its data may still be on the way. Once the log is ended its writer does not acknowledge it any more:
                            // what is there by then counts.
                            self.end_log(start.epoch, number + 1, batch_claim(head)).await?;
                            if !self.replay_batch(&batch).await? {
                                return Ok(());
                            }
                        }
                        number += 1;
                    }
                    None => {
                        if self.seal_log(start.epoch, number, batch_claim(head)).await? {
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends an old epoch's log after all its batches, the first of which may be `number`.
    async fn end_log(&self, epoch: Epoch, mut number: u64, claim: ClaimId) -> Result<()> {
        loop {
            match self.read_batch(epoch, number).await? {
                Some(batch) if batch.seal => return Ok(()),
                Some(_) => number += 1,
                None => {
                    if self.seal_log(epoch, number, claim).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn read_batch(&self, epoch: Epoch, number: u64) -> Result<Option<LogBatch>> {
        let key = log_key(epoch, number);
        match self.storage.get(&key, GetRange::Full).await {
            Ok(bytes) => {
                let batch = LogBatch::decode_object(&bytes);
                Ok(Some(batch.map_err(|e| Error::from(e).context_prefix(&format!("object {key}")))?))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends an old epoch's log by taking its next number. Whether that was possible; if not, the number holds a batch now.
    async fn seal_log(&self, epoch: Epoch, number: u64, claim: ClaimId) -> Result<bool> {
        let seal = LogBatch::seal(claim, self.state.next_lsn);
        let bytes = Bytes::from(seal.encode_object(crate::format::Codec::None));
        match create_head(self.storage, &log_key(epoch, number), &bytes, self.settle).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Applies a batch. Whether the history goes on after it.
    async fn replay_batch(&mut self, batch: &LogBatch) -> Result<bool> {
        if !self.objects_exist(&batch.locations).await? {
            return Ok(false);
        }
        for body in &batch.locations {
            self.apply_locations(&body.writes).await?;
        }
        let mut lsn = batch.first_lsn;
        for body in &batch.records {
            if lsn > self.state.next_lsn {
                tracing::warn!("the remote log has a gap before LSN {lsn}");
                return Ok(false);
            }
            if lsn == self.state.next_lsn {
                // A segment that its batch gives no location was dead when the batch was made: it is nowhere, and nothing
                // that is left at the end of the commit refers to it.
                self.replay(&body.writes).await?;
                self.state.next_lsn = lsn.next();
                self.replayed += 1;
            }
            lsn = lsn.next();
        }
        Ok(true)
    }

    async fn objects_exist(&self, locations: &[crate::format::RecordBody]) -> Result<bool> {
        let mut objects = BTreeSet::new();
        for write in locations.iter().flat_map(|b| &b.writes) {
            if let Some(value) = &write.value {
                objects.insert(SegmentLocation::decode(value)?.object);
            }
        }
        for object in objects {
            let key = self.storage.layout.data_key(object);
            match self.storage.store.len(&key).await {
                Ok(_) => {}
                Err(e) if e.kind == StoreErrorKind::NotFound => return Ok(false),
                Err(e) => return Err(crate::volume::storage::store_error("look for", &key, e)),
            }
        }
        Ok(true)
    }
}

/// Whether the history goes on from `head` with a log of `epoch`: of those epochs that the head names, or of a later one, as this
/// host's copy of the head may be older than its claim.
fn goes_on(head: &Head, epoch: Epoch) -> bool {
    epoch > head.epoch || head.logs.iter().any(|l| l.epoch == epoch)
}

fn batch_claim(head: &Head) -> ClaimId {
    head.claim
}

/// The segment that a staging file's name names.
pub(crate) fn parse_segment(name: &str) -> Option<SegmentId> {
    let (epoch, nonce) = name.split_once('-')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let id = SegmentId { epoch: Epoch(hex(epoch)?), nonce: crate::types::Nonce(hex(nonce)?) };
    (stage_path(id).strip_prefix(STAGE_DIR) == Some(&format!("/{name}"))).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_staging_gives_are_taken_for_its_files() {
        assert!(parse_segment("0000000000000001-000000000000002a").is_some());
        for other in ["1-2a", "0000000000000001-000000000000002A", "+000000000000001-000000000000002a"] {
            assert_eq!(parse_segment(other), None, "{other}");
        }
    }
}
