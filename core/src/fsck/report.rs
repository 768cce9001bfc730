//! What a check found: faults in words, counts of everything seen.
//!
//! Owns the shape that people and programs read (it is serialised as it stands) and the bound on the list of faults.

use serde::Serialize;

use crate::types::Ino;

/// Most faults that a report lists; those beyond are only counted.
pub const FAULTS_MAX: usize = 10_000;

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, and nothing is wrong.
    Note,
    /// Something is wrong that costs space or a fallback, and no file's content.
    Warning,
    /// Files or metadata are damaged or contradict each other.
    Error,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in words.
    pub what: String,
    /// The object concerned, by its key in the store.
    pub object: Option<String>,
    /// The inode concerned.
    pub ino: Option<u64>,
    /// The path of that inode, if it could be found.
    pub path: Option<String>,
    /// What to do about it.
    pub advice: String,
}

/// What to do where a repair helps.
pub(super) const REPAIR: &str = "run fsck with --repair";
/// What to do where nothing can be computed from what is left.
pub(super) const RESTORE: &str = "restore the object from a copy of the bucket, or the files from a backup";
/// What to do about what costs space only.
pub(super) const HARMLESS: &str = "nothing has to be done";

impl Fault {
    pub(super) fn new(severity: Severity, what: impl Into<String>, advice: &str) -> Self {
        Self { severity, what: what.into(), object: None, ino: None, path: None, advice: advice.to_owned() }
    }

    pub(super) fn note(what: impl Into<String>) -> Self {
        Self::new(Severity::Note, what, HARMLESS)
    }

    pub(super) fn object(mut self, key: &impl ToString) -> Self {
        self.object = Some(key.to_string());
        self
    }

    pub(super) fn ino(mut self, ino: Ino) -> Self {
        self.ino = Some(ino.0);
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// The head that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeadSummary {
    /// Its number.
    pub seq: u64,
    /// Its writer's term.
    pub epoch: u64,
    /// The last change that it holds.
    pub lsn: u64,
    /// Whether the volume was closed in order with it.
    pub clean: bool,
    /// Who wrote it.
    pub owner: String,
    /// When, in seconds since 1970.
    pub written_secs: i64,
}

/// How much of everything was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Kept heads.
    pub heads: u64,
    /// Batches of the replay log that the newest head does not cover.
    pub log_batches: u64,
    /// Metadata objects in the store.
    pub meta_objects: u64,
    /// Their bytes.
    pub meta_bytes: u64,
    /// Data objects in the store.
    pub data_objects: u64,
    /// Their bytes.
    pub data_object_bytes: u64,
    /// Pages of the tree.
    pub pages: u64,
    /// Their stored bytes.
    pub page_bytes: u64,
    /// Inodes of all kinds.
    pub inodes: u64,
    /// Directories.
    pub directories: u64,
    /// Regular files.
    pub files: u64,
    /// Entries of directories.
    pub entries: u64,
    /// Extents of files.
    pub extents: u64,
    /// Bytes that the extents hold.
    pub file_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Inodes without a name.
    pub orphans: u64,
    /// Objects that wait for their deletion.
    pub pending_deletes: u64,
    /// Object names that may be in use.
    pub intents: u64,
    /// Objects that nothing names any more.
    pub leftovers: u64,
    /// Frames whose content was read and verified, beside pages.
    pub frames_verified: u64,
    /// Their stored bytes.
    pub frame_bytes_verified: u64,
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FsckReport {
    /// The store's URL, without secrets.
    pub store: String,
    /// Label of the volume, if its description could be read.
    pub name: Option<String>,
    /// Volume id, 32 hex digits.
    pub uuid: Option<String>,
    /// The head that was checked.
    pub head: Option<HeadSummary>,
    /// Whether changes may exist that the head does not hold yet: in the owner's replay log or in the store's.
    pub unreplayed: bool,
    /// Whether the contents of all data objects were read.
    pub data_verified: bool,
    /// Whether the check came to its end; damage can make it impossible to look at the rest.
    pub complete: bool,
    /// What was found, as far as it fits.
    pub faults: Vec<Fault>,
    /// How many notes, warnings and errors there are, listed or not.
    pub notes: u64,
    /// See [`FsckReport::notes`].
    pub warnings: u64,
    /// See [`FsckReport::notes`].
    pub errors: u64,
    /// How much of everything was seen.
    pub counts: Counts,
}

impl FsckReport {
    pub(super) fn new(store: String) -> Self {
        Self {
            store,
            name: None,
            uuid: None,
            head: None,
            unreplayed: false,
            data_verified: false,
            complete: false,
            faults: Vec::new(),
            notes: 0,
            warnings: 0,
            errors: 0,
            counts: Counts::default(),
        }
    }

    /// Whether nothing is wrong. Notes are no fault.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.complete && self.warnings == 0 && self.errors == 0
    }

    /// Takes a fault up; past the bound it is only counted.
    pub(super) fn push(&mut self, fault: Fault) {
        match fault.severity {
            Severity::Note => self.notes += 1,
            Severity::Warning => self.warnings += 1,
            Severity::Error => self.errors += 1,
        }
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_past_the_bound_are_counted_and_not_kept() {
        let mut report = FsckReport::new("mem:".to_owned());
        report.complete = true;
        report.push(Fault::note("a note"));
        assert!(report.clean());
        for _ in 0..FAULTS_MAX + 5 {
            report.push(Fault::new(Severity::Error, "an error", REPAIR));
        }
        assert_eq!((report.faults.len(), report.errors, report.notes), (FAULTS_MAX, FAULTS_MAX as u64 + 5, 1));
        assert!(!report.clean());
    }
}
