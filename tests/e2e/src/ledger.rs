//! One writer's own account of what it did in one directory: each call that was begun, answered, and made durable.
//!
//! A volume promises that a directory equals the state after some prefix of the calls on it, never less than what was synced; the
//! ledger says for which prefix a directory does. It lives in the test's memory, which nobody kills. Each call is done whole or not at
//! all, but for one: the kernel may send an append as several requests, between pages of the file, of which the first may be done.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use parking_lot::Mutex;

/// Time between calls: fast enough that many are under way at any moment, slow enough that all can be read back.
const PACE: Duration = Duration::from_millis(4);
/// Between which the kernel splits a write.
const PAGE_BYTES: u64 = 4096;
/// Calls between one sync and the next.
const SYNC_EVERY: usize = 3;

/// A call that changes the directory.
#[derive(Clone, Debug)]
enum Call {
    Create(String),
    Append(String, Vec<u8>),
    Rename(String, String),
}

/// Length and FNV-1a of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64, u64);

impl Digest {
    const EMPTY: Self = Self(0, 0xcbf2_9ce4_8422_2325);

    fn with(self, more: &[u8]) -> Self {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(self.0 + more.len() as u64, more.iter().fold(self.1, step))
    }

    /// Of a file.
    ///
    /// # Errors
    /// As the OS gives them.
    pub fn of(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self::EMPTY.with(&bytes))
    }
}

/// Files of one directory by name.
pub type Files = BTreeMap<String, Digest>;

/// The files that a directory has.
///
/// # Errors
/// As the OS gives them.
pub fn files_in(dir: &Path) -> Result<Files> {
    let mut found = Files::new();
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let entry = entry?;
        found.insert(entry.file_name().to_string_lossy().into_owned(), Digest::of(&entry.path())?);
    }
    Ok(found)
}

/// How far a writer has come.
#[derive(Debug, Default)]
struct Progress {
    calls: Vec<Call>,
    /// Calls that were answered; the one after them may be under way.
    answered: usize,
    /// Calls that a sync has answered for.
    synced: usize,
    /// The error that ended it.
    ended: Option<i32>,
}

/// The account.
#[derive(Debug)]
pub struct Ledger {
    /// Name of the directory.
    pub dir: String,
    syncs: AtomicBool,
    progress: Mutex<Progress>,
}

/// What became of what a writer did, once it was recovered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Files that are in the volume as they were.
    pub in_place: usize,
    /// Files that are in the recovered folder.
    pub recovered: usize,
    /// Files whose new name the listing tells, and that are in the volume under their old one.
    pub listed: usize,
}

impl Ledger {
    /// Of a writer in a directory of this name that syncs, or does not.
    #[must_use]
    pub fn new(dir: &str, syncs: bool) -> Self {
        Self { dir: dir.to_owned(), syncs: AtomicBool::new(syncs), progress: Mutex::default() }
    }

    /// Calls that were answered.
    pub fn answered(&self) -> usize {
        self.progress.lock().answered
    }

    /// Calls that a sync has answered for.
    pub fn synced(&self) -> usize {
        self.progress.lock().synced
    }

    /// The error that ended the writer; none if it was told to stop.
    pub fn ended(&self) -> Option<i32> {
        self.progress.lock().ended
    }

    /// Whether the writer syncs, and none of its syncs has failed.
    pub fn is_syncing(&self) -> bool {
        self.syncs.load(Ordering::Acquire)
    }

    /// From now on the writer syncs no more.
    pub fn end_syncs(&self) {
        self.syncs.store(false, Ordering::Release);
    }

    /// Makes the directory, for good.
    ///
    /// # Errors
    /// As the OS gives them.
    pub fn begin(&self, root: &Path) -> Result<()> {
        fs::create_dir(root.join(&self.dir))?;
        File::open(root.join(&self.dir))?.sync_all().context("syncing a new directory")
    }

    /// Creates, appends, renames and syncs until told to stop, or until a call fails. After a sync that failed it goes on without.
    pub fn write(&self, root: &Path, seed: u64, stop: &AtomicBool) {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let dir = root.join(&self.dir);
        let mut names = Vec::<String>::new();
        for number in 0.. {
            if stop.load(Ordering::Acquire) {
                return;
            }
            let pick = usize::try_from(next() >> 33).unwrap_or_default();
            let bytes = |word: u64| word.to_le_bytes().repeat(1 + usize::try_from(word >> 54).unwrap_or_default());
            let call = match (pick % 5, names.len()) {
                (0 | 1, 1..) => Call::Append(names[pick % names.len()].clone(), bytes(next())),
                (2, 1..) => {
                    let to = format!("renamed-{number}");
                    let at = pick % names.len();
                    Call::Rename(std::mem::replace(&mut names[at], to.clone()), to)
                }
                _ => {
                    let name = format!("file-{number}");
                    names.push(name.clone());
                    Call::Create(name)
                }
            };
            let created = if let Call::Create(name) = &call { Some(name.clone()) } else { None };
            let filled = created.map(|name| Call::Append(name, bytes(next())));
            for call in [Some(call), filled].into_iter().flatten() {
                if let Err(error) = self.call(&dir, &call) {
                    self.progress.lock().ended = error.raw_os_error();
                    return;
                }
            }
            if self.syncs.load(Ordering::Acquire) && number % SYNC_EVERY == 0 && !self.sync(&dir) {
                self.end_syncs();
            }
            std::thread::sleep(PACE);
        }
    }

    fn call(&self, dir: &Path, call: &Call) -> std::io::Result<()> {
        self.progress.lock().calls.push(call.clone());
        match call {
            Call::Create(name) => File::create_new(dir.join(name)).map(drop)?,
            Call::Append(name, bytes) => {
                let mut file = File::options().append(true).open(dir.join(name))?;
                let written = file.write(bytes)?;
                if written != bytes.len() {
                    // What was answered is what was done; what is wrong, the next call is told.
                    let mut progress = self.progress.lock();
                    progress.calls.pop();
                    progress.calls.push(Call::Append(name.clone(), bytes[..written].to_vec()));
                }
            }
            Call::Rename(from, to) => fs::rename(dir.join(from), dir.join(to))?,
        }
        self.progress.lock().answered += 1;
        Ok(())
    }

    fn sync(&self, dir: &Path) -> bool {
        let answered = self.answered();
        let done = File::open(dir).and_then(|dir| dir.sync_all()).is_ok();
        if done {
            self.progress.lock().synced = answered;
        }
        done
    }

    /// The files after so many calls.
    #[must_use]
    pub fn after(&self, calls: usize) -> Files {
        let mut files = Files::new();
        self.progress.lock().calls.iter().take(calls).for_each(|call| apply(&mut files, call));
        files
    }

    /// The files as they may be with the call that was under way at the end: not done, done, or an append in part.
    fn at_the_end(&self) -> Vec<Files> {
        let answered = self.answered();
        let mut states = vec![self.after(answered), self.after(answered + 1)];
        if let Some(Call::Append(name, bytes)) = self.progress.lock().calls.get(answered) {
            let parts = parts(&states[0], name, bytes);
            for part in parts {
                let mut state = states[0].clone();
                state.insert(name.clone(), part);
                states.push(state);
            }
        }
        states
    }

    /// For which prefix of the calls `root` is right.
    ///
    /// # Errors
    /// When for none that holds all that was synced.
    pub fn check_prefix(&self, root: &Path) -> Result<usize> {
        let found = files_in(&root.join(&self.dir))?;
        let progress = self.progress.lock();
        let mut files = Files::new();
        for calls in 0..=progress.calls.len() {
            let next = progress.calls.get(calls);
            if calls >= progress.synced && (files == found || next.is_some_and(|call| is_in_part(&files, call, &found)))
            {
                return Ok(calls);
            }
            if let Some(call) = next {
                apply(&mut files, call);
            }
        }
        drop(progress);
        let synced = self.after(self.synced());
        let differs = |(name, digest): &(&String, &Digest)| found.get(*name) != Some(*digest);
        let wrong: Vec<_> =
            synced.iter().filter(differs).map(|(name, digest)| (name, digest, found.get(name))).collect();
        bail!(
            "{}: {} files are there, which is no state since the last sync ({} calls of {}, {} files); not as synced: {wrong:?}",
            self.dir,
            found.len(),
            self.synced(),
            self.answered(),
            synced.len()
        )
    }

    /// Where each file is that the writer had, at its end: in the volume under its name, or in the recovered folder whole.
    ///
    /// # Errors
    /// Names the first that is in neither.
    pub fn check_recovered(&self, root: &Path, recovered: &Path, listing: &str) -> Result<Found> {
        let here = files_in(&root.join(&self.dir))?;
        let folder = recovered.join(&self.dir);
        let there = if folder.exists() { files_in(&folder)? } else { Files::new() };
        let ends = self.at_the_end();
        let known = &ends[0];
        let mut found = Found::default();
        for (name, digest) in known {
            let is_it =
                |files: &Files| files.get(name).is_some_and(|d| ends.iter().any(|end| end.get(name) == Some(d)));
            if is_it(&here) {
                found.in_place += 1;
            } else if is_it(&there) {
                found.recovered += 1;
            } else if !ends[1].contains_key(name) {
                // It was being renamed.
                found.in_place += 1;
            } else if here.values().any(|d| d == digest) && listing.contains(&format!("-> /{}/{name}\n", self.dir)) {
                found.listed += 1;
            } else {
                bail!(
                    "{}/{name} is neither in the volume nor recovered; the volume has {:?}, the folder {:?}, it was {digest:?}",
                    self.dir,
                    here.get(name),
                    there.get(name)
                );
            }
        }
        ensure!(there.keys().all(|name| ends.iter().any(|end| end.contains_key(name))), "more than there was");
        Ok(found)
    }
}

/// What a file may be with an append that was done in part.
fn parts(files: &Files, name: &str, bytes: &[u8]) -> Vec<Digest> {
    let before = files.get(name).copied().unwrap_or(Digest::EMPTY);
    let cuts = (1..bytes.len()).filter(|len| (before.0 + *len as u64).is_multiple_of(PAGE_BYTES));
    cuts.map(|len| before.with(&bytes[..len])).collect()
}

/// Whether `found` is `files` with `call` done in part.
fn is_in_part(files: &Files, call: &Call, found: &Files) -> bool {
    let Call::Append(name, bytes) = call else { return false };
    let Some(digest) = found.get(name).filter(|digest| parts(files, name, bytes).contains(digest)) else {
        return false;
    };
    let mut files = files.clone();
    files.insert(name.clone(), *digest);
    files == *found
}

fn apply(files: &mut Files, call: &Call) {
    match call {
        Call::Create(name) => drop(files.insert(name.clone(), Digest::EMPTY)),
        Call::Append(name, bytes) => drop(files.entry(name.clone()).and_modify(|d| *d = d.with(bytes))),
        Call::Rename(from, to) => {
            if let Some(digest) = files.remove(from) {
                files.insert(to.clone(), digest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_some_prefix_of_its_calls_or_it_is_wrong() {
        let root = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::new("d", true);
        ledger.begin(root.path()).expect("a directory");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| ledger.write(root.path(), 7, &stop));
            assert!(crate::wait_until(Duration::from_secs(30), || ledger.synced() > 20));
            stop.store(true, Ordering::Release);
        });
        assert_eq!(ledger.check_prefix(root.path()).expect("a prefix"), ledger.answered());
        let recovered = root.path().join("nothing");
        let found = ledger.check_recovered(root.path(), &recovered, "").expect("all in place");
        assert_eq!(found, Found { in_place: ledger.after(ledger.answered()).len(), ..Found::default() });
        let name = ledger.after(ledger.synced()).into_keys().next().expect("a file");
        fs::write(root.path().join("d").join(&name), "other").expect("a write");
        let wrong = ledger.check_prefix(root.path()).expect_err("it is damaged").to_string();
        assert!(wrong.contains(&name), "{wrong}");
        assert!(ledger.check_recovered(root.path(), &recovered, "").is_err());
    }
}
