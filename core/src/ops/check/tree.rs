//! The tree of directories: whether all of it hangs on the root, and whether the recursive counters are a recount's.

use crate::format::{InodeRecord, Key, keys};
use crate::fs::FileKind;
use crate::kv::{KvRead, Miss, OpResult};
use crate::types::Ino;

use super::{Fault, Faults, each};

/// What is known of how a directory's chain of parents ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    Unknown,
    /// On the chain that is being followed.
    Open,
    /// At the root, so many steps up.
    Root(u32),
    /// Elsewhere: at a directory that is gone or was removed, or never.
    Lost,
}

/// A directory that was not removed.
#[derive(Debug)]
struct Dir {
    ino: Ino,
    parent: Ino,
    chain: Chain,
}

/// All directories that were not removed, by number.
#[derive(Debug)]
struct Dirs(Vec<Dir>);

/// Reports directories whose parents do not lead to the root.
pub(super) fn check_connected(kv: &dyn KvRead, faults: &mut Faults) -> Result<(), Miss> {
    let (dirs, _) = load(kv)?;
    for dir in dirs.0.iter().filter(|dir| dir.chain == Chain::Lost) {
        faults.inode(
            dir.ino,
            format!("the parents of this directory, {} the first, do not lead to the root", dir.parent),
        );
    }
    Ok(())
}

/// Compares the recursive counters of all directories with a recount.
///
/// Only of use when no change waits to be folded in. Directories that do not hang on the root are left out, as [`super::check_all`]
/// reports them.
///
/// # Errors
/// Only a `Miss`.
pub fn check_subtrees(kv: &dyn KvRead) -> OpResult<Vec<Fault>> {
    let (dirs, stored) = load(kv)?;
    let counted = recount(kv, &dirs)?;
    let mut faults = Faults::default();
    for ((dir, stored), counted) in dirs.0.iter().zip(stored).zip(counted) {
        if dir.chain != Chain::Lost && stored != counted {
            let what = format!(
                "{} bytes in {} inodes below it, its counters say {} in {}",
                counted.bytes, counted.inodes, stored.bytes, stored.inodes
            );
            faults.inode(dir.ino, what);
        }
    }
    Ok(faults.finish())
}

/// A directory whose recursive counters are not a recount's, and what the recount gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongCounters {
    /// The directory.
    pub dir: Ino,
    /// Allocated bytes below it.
    pub bytes: u64,
    /// Inodes below it.
    pub inodes: u64,
}

/// The directories that [`check_subtrees`] reports, for whoever mends them.
///
/// # Errors
/// Only a `Miss`.
pub fn wrong_counters(kv: &dyn KvRead) -> OpResult<Vec<WrongCounters>> {
    let (dirs, stored) = load(kv)?;
    let counted = recount(kv, &dirs)?;
    let all = dirs.0.iter().zip(stored).zip(counted);
    let wrong = all.filter(|((dir, stored), counted)| dir.chain != Chain::Lost && stored != counted);
    Ok(wrong.map(|((d, _), c)| WrongCounters { dir: d.ino, bytes: c.bytes, inodes: c.inodes }).collect())
}

/// Recursive counters of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    bytes: u64,
    inodes: u64,
}

/// Counts everything directly in its directory, then each directory into its parent, the deepest first.
fn recount(kv: &dyn KvRead, dirs: &Dirs) -> Result<Vec<Counters>, Miss> {
    let mut counters = vec![Counters::default(); dirs.0.len()];
    each_record(kv, |_, record| {
        if record.nlink > 0
            && record.kind != FileKind::Dir
            && let Some(at) = dirs.find(record.parent)
        {
            counters[at].bytes = counters[at].bytes.saturating_add(record.allocated_bytes);
            counters[at].inodes += 1;
        }
    })?;
    let mut order: Vec<(u32, usize)> = Vec::with_capacity(dirs.0.len());
    order.extend(dirs.0.iter().enumerate().filter_map(|(at, dir)| match dir.chain {
        Chain::Root(depth) => Some((depth, at)),
        Chain::Unknown | Chain::Open | Chain::Lost => None,
    }));
    order.sort_unstable_by(|a, b| b.cmp(a));
    for (depth, at) in order {
        if depth > 0
            && let Some(up) = dirs.find(dirs.0[at].parent)
        {
            let below = counters[at];
            counters[up].bytes = counters[up].bytes.saturating_add(below.bytes);
            counters[up].inodes = counters[up].inodes.saturating_add(below.inodes + 1);
        }
    }
    Ok(counters)
}

/// All directories that were not removed, with their chains resolved, and the counters they store.
fn load(kv: &dyn KvRead) -> Result<(Dirs, Vec<Counters>), Miss> {
    let mut dirs = Dirs(Vec::new());
    let mut stored = Vec::new();
    each_record(kv, |ino, record| {
        if record.kind == FileKind::Dir && record.nlink > 0 {
            dirs.0.push(Dir { ino, parent: record.parent, chain: Chain::Unknown });
            stored.push(Counters { bytes: record.subtree_bytes, inodes: record.subtree_inodes });
        }
    })?;
    for at in 0..dirs.0.len() {
        dirs.resolve(at);
    }
    Ok((dirs, stored))
}

fn each_record(kv: &dyn KvRead, mut visit: impl FnMut(Ino, &InodeRecord)) -> Result<(), Miss> {
    each(kv, keys::all_inodes_range(), |key, value| {
        if let (Ok(Key::Inode(ino)), Ok(record)) = (Key::decode(key), InodeRecord::decode(value)) {
            visit(ino, &record);
        }
    })
}

impl Dirs {
    fn find(&self, ino: Ino) -> Option<usize> {
        self.0.binary_search_by_key(&ino, |dir| dir.ino).ok()
    }

    /// Finds out where the chain of a directory ends, and so of all on it.
    fn resolve(&mut self, start: usize) {
        let mut path = Vec::new();
        let mut at = Some(start);
        let mut end = loop {
            let Some(i) = at else { break Chain::Lost };
            match self.0[i].chain {
                Chain::Unknown if self.0[i].ino == Ino::ROOT => {
                    self.0[i].chain = Chain::Root(0);
                    break Chain::Root(0);
                }
                Chain::Unknown => {
                    self.0[i].chain = Chain::Open;
                    path.push(i);
                    at = self.find(self.0[i].parent);
                }
                Chain::Open => break Chain::Lost,
                known => break known,
            }
        };
        for i in path.into_iter().rev() {
            if let Chain::Root(depth) = end {
                end = Chain::Root(depth + 1);
            }
            self.0[i].chain = end;
        }
    }
}
