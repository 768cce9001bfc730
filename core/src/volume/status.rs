//! What a person or program may know of an open volume.
//!
//! Owns the health record (is the store reachable, what is the last problem) and the status that is shown. Answers from
//! memory, never from the store.

use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ErrorKind};
use crate::format::{Head, Tier};
use crate::types::Timestamp;
use crate::volume::Shared;

/// Whether the store answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionState {
    /// The last request succeeded, or none has been needed yet.
    #[default]
    Online,
    /// Requests fail; they are repeated until the store is back.
    Offline,
}

/// The store is called away after this long of failures, though calls are still repeated.
const TROUBLE_PATIENCE: Duration = Duration::from_secs(3);

/// A volume's condition at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeStatus {
    /// Label.
    pub name: String,
    /// 32 hex digits.
    pub uuid: String,
    /// The store's URL, without secrets.
    pub store: String,
    /// `disk` or `store`.
    pub tier: String,
    /// Whether the store answers.
    pub connection: ConnectionState,
    /// Second since when it does not.
    pub offline_since: Option<i64>,
    /// Why the volume takes no changes, if it does not.
    pub halted: Option<String>,
    /// Whether that is because another owner has it now.
    pub fenced: bool,
    /// The last problem with the store, if it is not over.
    pub problem: Option<String>,
    /// Whether it is open read-only, and goes with its writer.
    pub read_only: bool,
    /// On a follower: second of the last look at the store that succeeded, if any has.
    pub looked_secs: Option<i64>,
    /// Writer's term.
    pub epoch: u64,
    /// Number of the newest head.
    pub head_seq: u64,
    /// Last LSN that the newest head covers.
    pub head_lsn: u64,
    /// Second at which its writer wrote it: the age of what a read-only mount shows.
    pub head_secs: i64,
    /// Last LSN given out.
    pub lsn: u64,
    /// Last LSN that is flushed to the local disk.
    pub durable_lsn: u64,
    /// Segments not in the store yet.
    pub waiting_segments: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Bytes of staging on the local disk, including what is in the store but not covered by a head.
    pub staged_bytes: u64,
    /// Whether a checkpoint is due.
    pub dirty: bool,
    /// Inodes in the volume.
    pub inodes: u64,
    /// Bytes of file data in the volume.
    pub data_bytes: u64,
    /// Open handles.
    pub open_handles: u64,
    /// What was handed over since the mount, oldest first.
    pub recovered: Vec<RecoveredFolder>,
    /// Memory of dirty metadata pages.
    pub dirty_metadata_bytes: u64,
    /// Memory of clean metadata pages, of all volumes.
    pub page_cache_bytes: u64,
    /// Memory of cached file data of this volume.
    pub data_cache_bytes: u64,
    /// Cache on the local disk of this volume.
    pub disk_cache_bytes: u64,
}

/// A folder with what an earlier term had not published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecoveredFolder {
    /// Its name in the volume's root.
    pub folder: String,
    /// Files in it, the listing left out.
    pub files: u64,
}

/// What is known of the store's health.
#[derive(Debug, Default)]
pub(crate) struct Health {
    offline_since: Option<Timestamp>,
    problem: Option<String>,
    looked: Option<Timestamp>,
    head_seq: u64,
    head_lsn: u64,
    head_secs: i64,
    recovered: Vec<RecoveredFolder>,
}

impl Shared {
    /// Notes a background failure; the first of a row is logged.
    pub(crate) fn problem(&self, error: &Error) {
        let mut health = self.health.lock();
        let unreachable = error.kind() == ErrorKind::Unavailable;
        if unreachable && health.offline_since.is_none() {
            health.offline_since = Some(self.env.clock.now());
            let meanwhile = match self.options.read_only {
                true => "the volume is shown as it was until the store is back",
                false => "changes are kept on this computer until the store is back",
            };
            tracing::warn!(volume = %self.meta.name, "offline: {error}; {meanwhile}");
        } else if !unreachable && health.problem.is_none() {
            tracing::error!(volume = %self.meta.name, "{error}; it is tried again");
        }
        health.problem = Some(error.to_string());
    }

    /// Notes that the store answered.
    pub(crate) fn online(&self) {
        let mut health = self.health.lock();
        if health.offline_since.take().is_some() {
            tracing::info!(volume = %self.meta.name, "online again");
        }
        health.problem = None;
    }

    /// Notes that a follower's look at the store succeeded.
    pub(crate) fn looked(&self) {
        self.online();
        self.health.lock().looked = Some(self.env.clock.now());
    }

    pub(crate) fn note_head(&self, head: &Head) {
        let mut health = self.health.lock();
        health.head_seq = head.seq;
        health.head_lsn = head.lsn.0;
        health.head_secs = head.written_secs;
        drop(health);
        self.commits.covered(head.lsn);
    }

    /// Notes that what an earlier term left is in the volume now.
    pub(crate) fn note_handed_over(&self, folder: &[u8], files: usize) {
        let folder = String::from_utf8_lossy(folder).into_owned();
        self.health.lock().recovered.push(RecoveredFolder { folder, files: files as u64 });
    }

    /// The status, from memory.
    pub(crate) fn status(&self) -> VolumeStatus {
        let (waiting_segments, waiting_bytes) = self.staging.waiting();
        let trouble = self.storage.store.trouble().filter(|trouble| trouble.lasts >= TROUBLE_PATIENCE);
        let state = self.state.read();
        let health = self.health.lock();
        VolumeStatus {
            name: self.meta.name.clone(),
            uuid: self.meta.uuid.to_string(),
            store: self.storage.store.describe(),
            tier: match self.meta.tier {
                Tier::Disk => "disk".to_owned(),
                Tier::Store => "store".to_owned(),
            },
            connection: match health.offline_since.is_some() || trouble.is_some() {
                true => ConnectionState::Offline,
                false => ConnectionState::Online,
            },
            offline_since: health.offline_since.map(|t| t.secs).or_else(|| {
                let lasts = trouble.as_ref()?.lasts.as_secs().try_into().unwrap_or(i64::MAX);
                Some(self.env.clock.now().secs.saturating_sub(lasts))
            }),
            halted: state.halted.as_ref().map(|h| h.why.clone()),
            fenced: state.halted.as_ref().is_some_and(|h| h.kind == ErrorKind::Fenced),
            problem: health.problem.clone().or_else(|| trouble.map(|trouble| trouble.message)),
            read_only: self.options.read_only,
            looked_secs: health.looked.map(|t| t.secs),
            epoch: self.term.read().epoch.0,
            head_seq: health.head_seq,
            head_lsn: health.head_lsn,
            head_secs: health.head_secs,
            lsn: state.last_lsn().0,
            durable_lsn: self.flusher.durable_lsn().0,
            waiting_segments,
            waiting_bytes,
            staged_bytes: self.staging.staged_bytes(),
            dirty: state.dirty_lsn.0 > health.head_lsn,
            inodes: state.inodes,
            data_bytes: state.data_bytes,
            open_handles: self.handles.len() as u64,
            recovered: health.recovered.clone(),
            dirty_metadata_bytes: state.tree.dirty_bytes() as u64,
            page_cache_bytes: self.engine.pages.used_bytes() as u64,
            data_cache_bytes: self.frames.cache().used_bytes(),
            disk_cache_bytes: self.disk.used_bytes(),
        }
    }
}
