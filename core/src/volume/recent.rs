//! Files of late: which were written, read, made, renamed or removed, for people who look.
//!
//! Kept in memory only, bounded, newest last. What is open is noted when it is closed, so that reads and writes cost nothing here.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::limits::RECENT_FILES_MAX;
use crate::types::Ino;
use crate::volume::{Shared, Volume};

/// What was done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecentOp {
    /// Made.
    Create,
    /// Changed.
    Write,
    /// Read.
    Read,
    /// Given another name.
    Rename,
    /// Removed.
    Delete,
}

/// One file of late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentFile {
    /// Its path, or what is known of it: a name of late whose directory has gone is shown alone.
    pub path: String,
    /// What was done.
    pub op: RecentOp,
    /// Bytes moved.
    pub bytes: u64,
    /// Unix second.
    pub secs: i64,
}

/// Which file is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    Inode(Ino),
    Name(Ino, Vec<u8>),
}

#[derive(Clone, Debug)]
struct Noted {
    which: Which,
    op: RecentOp,
    bytes: u64,
    secs: i64,
}

/// The newest of them.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<Noted>>);

impl Recent {
    fn note(&self, noted: Noted) {
        let mut all = self.0.lock();
        if all.len() == RECENT_FILES_MAX {
            all.pop_front();
        }
        all.push_back(noted);
    }
}

impl Shared {
    /// Notes bytes moved through a handle that is closed.
    pub(crate) fn note_closed(&self, ino: Ino, read: u64, written: u64) {
        let (op, bytes) = match (read, written) {
            (0, 0) => return,
            (bytes, 0) => (RecentOp::Read, bytes),
            (_, bytes) => (RecentOp::Write, bytes),
        };
        self.recent.note(Noted { which: Which::Inode(ino), op, bytes, secs: self.env.clock.now().secs });
    }

    /// Notes what was done to a name.
    pub(crate) fn note_name(&self, op: RecentOp, parent: Ino, name: &[u8]) {
        let which = Which::Name(parent, name.to_vec());
        self.recent.note(Noted { which, op, bytes: 0, secs: self.env.clock.now().secs });
    }

    async fn shown_path(&self, which: &Which) -> Option<String> {
        let path = match which {
            Which::Inode(ino) => self.path_of(*ino).await.ok()??,
            Which::Name(parent, name) => {
                let mut path = self.path_of(*parent).await.ok().flatten().unwrap_or_default();
                if path.last() != Some(&b'/') {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
                path
            }
        };
        Some(String::from_utf8_lossy(&path).into_owned())
    }
}

impl Volume {
    /// Files of late, newest first. One that was closed and has no name any more is left out.
    pub async fn recent_files(&self) -> Vec<RecentFile> {
        let noted: Vec<Noted> = self.shared.recent.0.lock().iter().rev().cloned().collect();
        let mut shown = Vec::with_capacity(noted.len());
        for Noted { which, op, bytes, secs } in noted {
            if let Some(path) = self.shared.shown_path(&which).await {
                shown.push(RecentFile { path, op, bytes, secs });
            }
        }
        shown
    }
}
