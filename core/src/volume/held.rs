//! What this computer holds that is in no checkpoint: changes that wait for the next mount, and those of terms that were lost.
//!
//! Owns counting them in a state directory, open or not, from the logs alone; nothing is changed, and no store is asked. Both
//! counts are upper bounds: bytes that were overwritten count again, and what a commit of tier `store` has brought into the store's log
//! counts until a head covers it. Whether another owner has the volume cannot be known from here.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use serde::Serialize;

use crate::env::{LocalDir, OsDir};
use crate::error::Result;
use crate::format::{Head, InodeRecord, Key, LogFileHeader};
use crate::fs::FileKind;
use crate::types::Lsn;
use crate::volume::checkpoint::HEAD_COPY;
use crate::volume::fenced::Remains;
use crate::volume::log::{LOG_DIR, local_error};

/// Changes that are on this computer alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// At most so many files were made or changed.
    pub files: u64,
    /// At most so many bytes were written.
    pub bytes: u64,
    /// Terms that were lost and not handed over yet; the rest waits for the next mount.
    pub lost_terms: u64,
    /// Second at which the first of them was found to be lost.
    pub lost_since: Option<i64>,
}

impl Held {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files == 0 && self.bytes == 0 && self.lost_terms == 0
    }
}

/// What the state directory `root` holds. `with_own`: also what the last term has not published, which a volume that is open and has its
/// term publishes by itself. No other process is kept out.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io), [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when a file cannot be read.
pub fn held(root: &Path, with_own: bool) -> Result<Held> {
    let dir = OsDir::open_to_look(root);
    let mut tally = Tally::default();
    let mut held = Held::default();
    for remains in Remains::list(&dir)?.into_iter().filter(|r| !r.is_done()) {
        held.lost_terms += 1;
        held.lost_since = held.lost_since.or(Some(remains.fenced_secs()));
        tally.begin_line();
        remains.logs(&dir)?.iter().for_each(|log| tally.add(log, remains.head.lsn));
    }
    if with_own && let Some(head) = dir.read(HEAD_COPY).ok().and_then(|b| Head::decode_object(&Bytes::from(b)).ok()) {
        tally.begin_line();
        for (name, _) in dir.list(LOG_DIR).map_err(|e| local_error("list the replay log", e))? {
            match dir.read(&format!("{LOG_DIR}/{name}")) {
                Ok(log) => tally.add(&Bytes::from(log), head.lsn),
                // A checkpoint has covered it just now.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(local_error("read the replay log", e)),
            }
        }
    }
    Ok(Held { files: tally.files, bytes: tally.bytes, ..held })
}

#[derive(Default)]
struct Tally {
    files: u64,
    bytes: u64,
    seen: BTreeSet<crate::types::Ino>,
}

impl Tally {
    /// Inodes of different lines are different files.
    fn begin_line(&mut self) {
        self.seen.clear();
    }

    fn add(&mut self, log: &Bytes, covered: Lsn) {
        let Ok((header, records)) = LogFileHeader::decode_file(log) else { return };
        for record in header.scan(&records).filter(|record| record.lsn > covered) {
            self.bytes += record.data.iter().map(|data| data.len).sum::<u64>();
            for write in &record.writes {
                let (Ok(Key::Inode(ino)), Some(value)) = (Key::decode(&write.key), &write.value) else { continue };
                let is_file = InodeRecord::decode(value).is_ok_and(|r| r.kind != FileKind::Dir && r.nlink > 0);
                if is_file && self.seen.insert(ino) {
                    self.files += 1;
                }
            }
        }
    }
}
