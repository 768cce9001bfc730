//! Loads that know what was acknowledged: files written and synced, rows inserted, commits made.
//!
//! A load goes on until an operation fails, as it does when the server is killed; what it counted until then must survive.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait::output_within;

/// A write from the start of a file is one request of the kernel up to this many bytes at least.
const REQUEST_BYTES: usize = 128 << 10;
/// Between which the kernel splits longer ones.
const PAGE_BYTES: usize = 4096;

const TOOL_LIMIT: Duration = Duration::from_secs(60);

/// How many operations of a load were acknowledged.
#[derive(Debug, Default)]
pub struct Acknowledged(AtomicU64);

impl Acknowledged {
    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Content of the `n`th file of a round: of many sizes, and different everywhere.
#[must_use]
pub fn content(round: u64, n: u64) -> Vec<u8> {
    let mut state = (round << 32 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let len = match n % 8 {
        0 => 300_000 + n % 7_000,
        1 => 0,
        _ => 1 + n.wrapping_mul(2_654_435_761) % 9_000,
    };
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(next).collect()
}

fn file_path(dir: &Path, round: u64, n: u64) -> PathBuf {
    dir.join(format!("file-{round}-{n}"))
}

/// Writes and syncs one file.
///
/// # Errors
/// As the OS gives them.
pub fn write_synced(dir: &Path, round: u64, n: u64) -> Result<()> {
    let mut file = File::create(file_path(dir, round, n))?;
    file.write_all(&content(round, n))?;
    file.sync_all().context("fsync")
}

/// Writes and syncs files until one fails.
pub fn write_files(dir: &Path, round: u64, acknowledged: &Acknowledged) {
    while write_synced(dir, round, acknowledged.get()).is_ok() {
        acknowledged.add();
    }
}

/// Compares the first `count` files of a round byte for byte.
///
/// # Errors
/// Names the first file that is not what was written.
pub fn check_files(dir: &Path, round: u64, count: u64) -> Result<()> {
    for n in 0..count {
        let path = file_path(dir, round, n);
        let found = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        if found != content(round, n) {
            bail!("{} is not what was written and synced", path.display());
        }
    }
    Ok(())
}

/// Checks the file whose writing the kill cut off, after `count` acknowledged ones: each request of the kernel is done whole or not at
/// all. A file that fits into one request is there in full, empty, or not at all; of a larger one the requests before some page may
/// be there. Nothing was begun after it.
///
/// # Errors
/// Says what is there instead.
pub fn check_cut_off(dir: &Path, round: u64, count: u64) -> Result<()> {
    let later = file_path(dir, round, count + 1);
    if later.exists() {
        bail!("{} is there, though the file before it was not finished", later.display());
    }
    let path = file_path(dir, round, count);
    let found = match fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.with_context(|| format!("reading {}", path.display()))?,
    };
    let whole = content(round, count);
    let cut_between_requests = found.is_empty() || (whole.len() > REQUEST_BYTES && found.len() % PAGE_BYTES == 0);
    if whole.starts_with(&found) && (found.len() == whole.len() || cut_between_requests) {
        return Ok(());
    }
    bail!(
        "{} was being written when the server died; {} of {} bytes are there",
        path.display(),
        found.len(),
        whole.len()
    )
}

fn sqlite(database: &Path, statement: &str) -> Result<String> {
    output_within(Command::new("sqlite3").arg(database).arg(statement), TOOL_LIMIT)
}

/// Makes a database with one table.
///
/// # Errors
/// When sqlite3 fails.
pub fn make_database(database: &Path) -> Result<()> {
    sqlite(database, "create table t(n integer)").map(drop)
}

/// Inserts rows, each a transaction, until one fails.
pub fn insert_rows(database: &Path, acknowledged: &Acknowledged) {
    while sqlite(database, &format!("pragma synchronous=full; insert into t values({})", acknowledged.get())).is_ok() {
        acknowledged.add();
    }
}

/// Checks that a database is sound and holds at least `count` rows.
///
/// # Errors
/// When it is not.
pub fn check_database(database: &Path, count: u64) -> Result<()> {
    let said = sqlite(database, "pragma integrity_check; select count(*) from t")?;
    let lines: Vec<&str> = said.lines().collect();
    let rows = lines.get(1).and_then(|line| line.parse::<u64>().ok());
    match (lines.first(), rows) {
        (Some(&"ok"), Some(rows)) if rows >= count => Ok(()),
        _ => bail!("{count} rows were committed; sqlite3 says {said}"),
    }
}

fn git(repository: &Path, args: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(repository).args(["-c", "core.fsync=all", "-c", "safe.directory=*", "-c", "gc.auto=0"]);
    command.args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(args);
    output_within(&mut command, TOOL_LIMIT)
}

/// Makes a repository.
///
/// # Errors
/// When git fails.
pub fn make_repository(repository: &Path) -> Result<()> {
    fs::create_dir(repository)?;
    git(repository, &["init", "--quiet", "."]).map(drop)
}

/// Commits a changed file again and again, until that fails.
pub fn commit(repository: &Path, acknowledged: &Acknowledged) {
    let once = || -> Result<()> {
        fs::write(repository.join("text"), format!("{}\n", acknowledged.get()))?;
        git(repository, &["add", "text"])?;
        git(repository, &["commit", "--quiet", "--allow-empty", "-m", "next"]).map(drop)
    };
    while once().is_ok() {
        acknowledged.add();
    }
}

/// Checks that a repository is sound and holds at least `count` commits; takes away the locks of a killed git, as a person would.
///
/// # Errors
/// When it is not.
pub fn check_repository(repository: &Path, count: u64) -> Result<()> {
    for lock in ["index.lock", "HEAD.lock", "refs/heads/master.lock", "refs/heads/main.lock"] {
        let path = repository.join(".git").join(lock);
        if path.exists() {
            fs::remove_file(&path)?;
        }
    }
    git(repository, &["fsck", "--full", "--strict"])?;
    if count == 0 {
        return Ok(());
    }
    let said = git(repository, &["rev-list", "--count", "HEAD"])?;
    let commits: u64 = said.trim().parse().with_context(|| format!("git says {said}"))?;
    if commits < count {
        bail!("{count} commits were made, {commits} are there");
    }
    Ok(())
}
