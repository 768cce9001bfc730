//! The simulated disk: files, names, and which changes of names a loss of power may undo.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::bytes::FileBytes;
use super::clock::SimRng;

/// How the machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies; the operating system lives on and keeps everything written.
    ProcessKill,
    /// Power is lost: only what was synced is sure; the seed decides about the rest.
    PowerLoss {
        /// Determines what survives of the unsynced changes.
        seed: u64,
    },
}

/// A file apart from its names. Open files hold it too.
pub(super) type File = Arc<Mutex<FileBytes>>;

/// A change of names that is not safe yet.
#[derive(Clone, Debug)]
enum NameChange {
    Link { path: String, id: u64 },
    Unlink { path: String },
    Rename { from: String, to: String, id: u64 },
}

/// All state of one disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    files: BTreeMap<u64, File>,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    unsynced: Vec<NameChange>,
    next_id: u64,
    /// Bytes that fit in all; `None` is no limit.
    pub(super) capacity: Option<u64>,
}

impl Disk {
    /// The file of a name.
    pub(super) fn get(&self, path: &str) -> Option<File> {
        self.names.get(path).map(|id| Arc::clone(&self.files[id]))
    }

    /// A new name for a new file. It replaces what had the name.
    pub(super) fn create(&mut self, path: &str, bytes: FileBytes) -> File {
        let id = self.next_id;
        self.next_id += 1;
        let file = Arc::new(Mutex::new(bytes));
        self.files.insert(id, Arc::clone(&file));
        self.change(NameChange::Link { path: path.to_owned(), id });
        file
    }

    /// Takes a name away; `false` if there is none.
    pub(super) fn remove(&mut self, path: &str) -> bool {
        let there = self.names.contains_key(path);
        if there {
            self.change(NameChange::Unlink { path: path.to_owned() });
        }
        there
    }

    /// Moves a name over another; `false` if there is none.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(id) = self.names.get(from).copied() else { return false };
        self.change(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), id });
        true
    }

    /// Names directly in a directory, with lengths.
    pub(super) fn list(&self, dir: &str) -> Vec<(String, u64)> {
        let inside = self.names.iter().filter(|(path, _)| parent(path) == dir);
        inside.map(|(path, id)| (base_name(path).to_owned(), self.files[id].lock().len())).collect()
    }

    /// Makes all changes of names in a directory safe.
    pub(super) fn sync_dir(&mut self, dir: &str) {
        let (safe, rest): (Vec<_>, Vec<_>) = self.unsynced.drain(..).partition(|change| change.is_in(dir));
        self.unsynced = rest;
        for change in &safe {
            change.apply(&mut self.synced_names);
            // A file that has moved to another directory for good does not come back under the name it came from.
            if let NameChange::Rename { from, .. } = change {
                self.unsynced.retain(|older| !matches!(older, NameChange::Link { path, .. } if path == from));
            }
        }
        self.drop_unreachable();
    }

    /// Bytes in use.
    pub(super) fn used_bytes(&self) -> u64 {
        self.files.values().map(|file| file.lock().disk_bytes()).sum()
    }

    /// The disk as it is after a crash, in a copy.
    pub(super) fn after(&self, crash: Crash) -> Self {
        match crash {
            Crash::ProcessKill => self.copy(),
            Crash::PowerLoss { seed } => self.after_power_loss(&SimRng::new(seed)),
        }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
        self.drop_unreachable();
    }

    /// Forgets files that no name, safe or not, can lead to any more.
    fn drop_unreachable(&mut self) {
        let named = self.names.values().chain(self.synced_names.values()).copied();
        let reachable: BTreeSet<u64> = named.chain(self.unsynced.iter().filter_map(NameChange::id)).collect();
        self.files.retain(|id, _| reachable.contains(id));
    }

    fn copy(&self) -> Self {
        let copy_file = |file: &File| Arc::new(Mutex::new(file.lock().clone()));
        Self {
            files: self.files.iter().map(|(id, file)| (*id, copy_file(file))).collect(),
            names: self.names.clone(),
            synced_names: self.synced_names.clone(),
            unsynced: self.unsynced.clone(),
            next_id: self.next_id,
            capacity: self.capacity,
        }
    }

    fn after_power_loss(&self, rng: &SimRng) -> Self {
        let mut names = self.synced_names.clone();
        for change in &self.unsynced {
            if rng.below(2) == 1 {
                change.apply(&mut names);
            }
        }
        let files =
            names.values().map(|id| (*id, Arc::new(Mutex::new(self.files[id].lock().after_power_loss(rng))))).collect();
        Self {
            files,
            synced_names: names.clone(),
            names,
            unsynced: Vec::new(),
            next_id: self.next_id,
            capacity: self.capacity,
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link { path, id } => {
                names.insert(path.clone(), *id);
            }
            Self::Unlink { path } => {
                names.remove(path);
            }
            Self::Rename { from, to, id } => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
        }
    }

    fn is_in(&self, dir: &str) -> bool {
        match self {
            Self::Link { path, .. } | Self::Unlink { path } => parent(path) == dir,
            Self::Rename { from, to, .. } => parent(from) == dir || parent(to) == dir,
        }
    }

    fn id(&self) -> Option<u64> {
        match self {
            Self::Link { id, .. } | Self::Rename { id, .. } => Some(*id),
            Self::Unlink { .. } => None,
        }
    }
}

/// The directory of a path; empty for the top.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
