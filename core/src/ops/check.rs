//! The checker of a volume's metadata: walks everything and says in words what contradicts what.
//!
//! [`check_all`] verifies the invariants listed in [`crate::ops`] and needs no recount to be pending-free; [`check_subtrees`]
//! compares the recursive counters and is meant for a state in which nothing is left to fold (a head). Neither changes anything.
//!
//! Both read through a [`KvRead`] from its first key to its last and begin again from nothing after a `Miss`: give them one that
//! loads what it needs. Memory, whatever the volume's size: up to 4 Mi (`WINDOW_INODES`) inodes at a time with 40 bytes each
//! (a larger volume is read once more for each such window), 48 bytes for each directory ([`check_subtrees`]: 80), 48
//! bytes for each segment, and the first [`FAULTS_MAX`] faults.

mod inodes;
mod links;
mod segments;
mod tree;

use std::fmt;
use std::ops::ControlFlow;

use crate::kv::{KvRead, Miss, OpResult};
use crate::types::{Ino, SegmentId};

pub use tree::{WrongCounters, check_subtrees, wrong_counters};

/// Most faults that one check reports; those beyond are counted in a last one.
pub const FAULTS_MAX: usize = 10_000;

/// What a fault is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An inode.
    Inode(Ino),
    /// A segment.
    Segment(SegmentId),
    /// A key that cannot be read.
    Key(Vec<u8>),
    /// The volume.
    Volume,
}

/// One inconsistency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it is about.
    pub subject: Subject,
    /// What is wrong, in words.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Inode(ino) => write!(f, "inode {ino}: {}", self.what),
            Subject::Segment(segment) => write!(f, "segment {segment}: {}", self.what),
            Subject::Key(key) => write!(f, "key {key:02x?}: {}", self.what),
            Subject::Volume => f.write_str(&self.what),
        }
    }
}

/// Checks everything but the recursive counters. An empty answer means that nothing contradicts itself.
///
/// # Errors
/// Only a `Miss`; damage is an answer.
pub fn check_all(kv: &dyn KvRead) -> OpResult<Vec<Fault>> {
    let mut faults = Faults::default();
    inodes::check(kv, &mut faults)?;
    links::check(kv, links::WINDOW_INODES, &mut faults)?;
    segments::check(kv, &mut faults)?;
    tree::check_connected(kv, &mut faults)?;
    Ok(faults.finish())
}

/// The faults found so far, bounded.
#[derive(Debug, Default)]
struct Faults {
    kept: Vec<Fault>,
    dropped: u64,
}

impl Faults {
    fn push(&mut self, subject: Subject, what: impl Into<String>) {
        if self.kept.len() < FAULTS_MAX {
            self.kept.push(Fault { subject, what: what.into() });
        } else {
            self.dropped += 1;
        }
    }

    fn inode(&mut self, ino: Ino, what: impl Into<String>) {
        self.push(Subject::Inode(ino), what);
    }

    fn finish(mut self) -> Vec<Fault> {
        if self.dropped > 0 {
            self.kept.push(Fault { subject: Subject::Volume, what: format!("{} more faults", self.dropped) });
        }
        self.kept
    }
}

/// Visits every pair of a range.
fn each(kv: &dyn KvRead, (from, to): (Vec<u8>, Vec<u8>), mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), Miss> {
    kv.scan(&from, &to, &mut |key, value| {
        visit(key, value);
        ControlFlow::Continue(())
    })
}

#[cfg(test)]
mod tests;
