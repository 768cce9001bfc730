//! What a writer that lost its epoch left on its disk: logs and staged bytes of a line of history that the volume has not taken.
//!
//! Owns moving it aside before a new claim, so that it survives any number of mounts, and its removal once it has been handed over.
//! Everything is in the directory `fenced` of the state directory: `N.json` says whose line it was and on which head it stood, `N-log`
//! and `N-stage` hold the files. A mark is written before anything is moved, and says `done` before anything is removed; both
//! moves and removals go on after a crash. What the files mean is in `handover`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::env::{Env, LocalDir, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::format::keys::all_inodes_range;
use crate::format::{Head, LogFileHeader, Record};
use crate::types::SegmentId;
use crate::volume::checkpoint::HEAD_COPY;
use crate::volume::claim::OwnerFile;
use crate::volume::log::{LOG_DIR, local_error};
use crate::volume::staging::STAGE_DIR;

/// Directory of what was left.
const FENCED_DIR: &str = "fenced";

/// Whose line it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    /// As in the owner file of that time.
    claims: Vec<(u64, String)>,
    /// The last head of the line that is known: its object's bytes.
    head: Vec<u8>,
    /// Second at which it was found that the line had ended.
    fenced_secs: i64,
    /// Whether everything has been handed over.
    done: bool,
}

/// One line that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Remains {
    number: u64,
    mark: Mark,
    /// The last head of the line that is known.
    pub(crate) head: Head,
}

impl Remains {
    /// All that is left, oldest first.
    pub(crate) fn list(dir: &dyn LocalDir) -> Result<Vec<Self>> {
        let files = dir.list(FENCED_DIR).map_err(|e| local_error("list what a lost term left", e))?;
        let mut numbers: Vec<u64> =
            files.iter().filter_map(|(name, _)| name.strip_suffix(".json")?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|number| Self::load(dir, number)).collect()
    }

    fn load(dir: &dyn LocalDir, number: u64) -> Result<Self> {
        let path = mark_path(number);
        let bytes = dir.read(&path).map_err(|e| local_error("read what a lost term left", e))?;
        let mark: Mark = serde_json::from_slice(&bytes).map_err(|e| {
            Error::with_source(ErrorKind::Corrupt, format!("{path} in the state directory is damaged"), e)
        })?;
        let head = Head::decode_object(&Bytes::from(mark.head.clone()))?;
        Ok(Self { number, mark, head })
    }

    /// What tells this line from all others.
    pub(crate) fn id(&self) -> Vec<u8> {
        let claim = self.mark.claims.last().map(|(_, claim)| claim.as_str()).unwrap_or_default();
        format!("{claim}-{}", self.number).into_bytes()
    }

    /// Second at which it was found that the line had ended.
    pub(crate) fn fenced_secs(&self) -> i64 {
        self.mark.fenced_secs
    }

    /// Whether everything has been handed over.
    pub(crate) fn is_done(&self) -> bool {
        self.mark.done
    }

    /// Whether a log file belongs to the line.
    pub(crate) fn owns(&self, header: &LogFileHeader) -> bool {
        let claim = header.claim.to_string();
        self.mark.claims.iter().any(|(epoch, c)| *epoch == header.epoch.0 && *c == claim)
    }

    /// The log files, in order of their LSNs.
    pub(crate) fn logs(&self, dir: &dyn LocalDir) -> Result<Vec<Bytes>> {
        let folder = folder(self.number, LOG_DIR);
        let names = dir.list(&folder).map_err(|e| local_error("list the log of a lost term", e))?;
        let read = |name: &String| dir.read(&format!("{folder}/{name}")).map(Bytes::from);
        names.iter().map(|(name, _)| read(name).map_err(|e| local_error("read the log of a lost term", e))).collect()
    }

    /// The staging file of a segment, if it is there.
    pub(crate) fn stage_file(
        &self,
        dir: &dyn LocalDir,
        segment: SegmentId,
    ) -> Result<Option<std::sync::Arc<dyn crate::env::LocalFile>>> {
        match dir.open(&format!("{}/{segment}", folder(self.number, STAGE_DIR)), OpenMode::Read) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(local_error("open a staging file of a lost term", e)),
        }
    }

    /// Removes everything. Call once a published head covers what was handed over.
    pub(crate) async fn remove(mut self, dir: &dyn LocalDir) -> Result<()> {
        let failed = |e| local_error("remove what a lost term left", e);
        if !self.mark.done {
            self.mark.done = true;
            write_mark(dir, self.number, &self.mark)?;
        }
        for kind in [LOG_DIR, STAGE_DIR] {
            let folder = folder(self.number, kind);
            let names = dir.list(&folder).map_err(failed)?;
            for (name, _) in &names {
                dir.remove(&format!("{folder}/{name}")).map_err(failed)?;
            }
            if !names.is_empty() {
                dir.sync_dir(&folder).await.map_err(failed)?;
            }
        }
        dir.remove(&mark_path(self.number)).map_err(failed)?;
        dir.sync_dir(FENCED_DIR).await.map_err(failed)
    }
}

fn mark_path(number: u64) -> String {
    format!("{FENCED_DIR}/{number}.json")
}

fn folder(number: u64, kind: &str) -> String {
    format!("{FENCED_DIR}/{number}-{kind}")
}

fn write_mark(dir: &dyn LocalDir, number: u64, mark: &Mark) -> Result<()> {
    let bytes = serde_json::to_vec(mark).map_err(|e| Error::with_source(ErrorKind::Internal, "a mark", e))?;
    dir.replace(&mark_path(number), &bytes).map_err(|e| local_error("note what a lost term left", e))
}

/// Moves the logs and the staged bytes of the line `owner` aside, which the newest head does not continue. What holds nothing that is
/// not published stays where it is.
pub(crate) async fn set_aside(env: &Env, owner: &OwnerFile) -> Result<()> {
    let dir = &*env.dir;
    let begun = Remains::list(dir)?;
    let known = begun.iter().find(|r| r.mark.claims == owner.claims && !r.mark.done);
    let number = match known {
        Some(remains) => remains.number,
        None => {
            let Some(head) = last_head(dir, owner) else { return Ok(()) };
            if head.flags.clean || !has_more(dir, owner, &head)? {
                return Ok(());
            }
            let number = begun.last().map_or(0, |r| r.number) + 1;
            let (claims, fenced_secs) = (owner.claims.clone(), env.clock.now().secs);
            write_mark(dir, number, &Mark { claims, head: head.encode_object(), fenced_secs, done: false })?;
            tracing::warn!(
                "another owner has had the volume since: what was not published here is kept and handed over"
            );
            number
        }
    };
    for kind in [LOG_DIR, STAGE_DIR] {
        let names = dir.list(kind).map_err(|e| local_error("list what a lost term left", e))?;
        let folder = folder(number, kind);
        for (name, _) in &names {
            let moved = dir.rename(&format!("{kind}/{name}"), &format!("{folder}/{name}"));
            moved.map_err(|e| local_error("move aside what a lost term left", e))?;
        }
        if !names.is_empty() {
            for place in [folder.as_str(), FENCED_DIR, kind] {
                dir.sync_dir(place).await.map_err(|e| local_error("flush what a lost term left", e))?;
            }
        }
    }
    Ok(())
}

/// The last head of the line that this host knows.
fn last_head(dir: &dyn LocalDir, owner: &OwnerFile) -> Option<Head> {
    let head = Head::decode_object(&Bytes::from(dir.read(HEAD_COPY).ok()?)).ok()?;
    owner.owns(head.epoch, head.claim).then_some(head)
}

/// Whether the logs hold any change of files that `head` does not cover: the engine's own housekeeping goes on after the last head.
fn has_more(dir: &dyn LocalDir, owner: &OwnerFile, head: &Head) -> Result<bool> {
    let failed = |e| local_error("read the replay log", e);
    for (name, _) in dir.list(LOG_DIR).map_err(failed)? {
        let bytes = Bytes::from(dir.read(&format!("{LOG_DIR}/{name}")).map_err(failed)?);
        if let Ok((header, records)) = LogFileHeader::decode_file(&bytes)
            && owner.owns(header.epoch, header.claim)
            && header.scan(&records).any(|record| record.lsn > head.lsn && changes_files(&record))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn changes_files(record: &Record) -> bool {
    let (from, to) = all_inodes_range();
    record.writes.iter().any(|write| from <= write.key && write.key < to)
}
