//! fsx: random reads, writes, truncations, holes, copies and mapped access to one file, each read compared with what must be there.
//!
//! Several seeds run side by side on one mount. Then comes the killed run: the server is killed in the middle of a seed, and the file
//! that survives must be exactly what the operations acknowledged so far give. What that is, fsx itself tells: the same seed with
//! as many operations on a plain file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::minutes;
use super::mounted::{Mounted, Store};
use crate::prerequisites as pre;
use crate::process::{Ended, run as run_command};
use crate::session::Session;
use crate::tally::Tally;

/// Seeds of the plain runs.
const SEEDS: [u32; 5] = [1, 2, 3, 4, 5];
/// Operations of each.
const OPERATIONS: u32 = 100_000;
/// Likewise with `--quick`.
const OPERATIONS_QUICK: u32 = 5_000;
/// A seed more, whose mapped writes are flushed at once: each waits for the disk, so it does fewer.
const SYNCED_SEED: u32 = 6;
/// One of its operations for so many of the others.
const SYNCED_SHARE: u32 = 10;
/// Limit of all of them together.
const LIMIT: Duration = minutes(15);

/// Killed runs: seed, and the operation after which the server is killed.
const KILLS: [(u32, u32); 3] = [(11, 700), (12, 2_345), (13, 5_000)];
/// More than the longest of them does, as it is killed before.
const KILLED_OPERATIONS: u32 = 50_000;

/// Between which the kernel may split a write.
const PAGE_BYTES: usize = 4096;

const CONFIG: &str = "\
flen = 1048576
nosizechecks = false
[opsize]
max = 65536
[weights]
close_open = 1
invalidate = 1
read = 10
write = 10
truncate = 5
fsync = 1
fdatasync = 1
punch_hole = 1
posix_fallocate = 1
copy_file_range = 1
";

/// fsx's settings; `mapped` adds mapped writes, `sync_mapped` flushes each.
fn config(mapped: bool, sync_mapped: bool) -> String {
    let maps = if mapped { "mapread = 10\nmapwrite = 10\n" } else { "mapread = 10\nmapwrite = 0\n" };
    format!("nomsyncafterwrite = {}\n{CONFIG}{maps}", !sync_mapped)
}

/// Runs the area.
///
/// # Errors
/// When a mount or the suite cannot be started.
pub(crate) fn run(session: &Session) -> Result<Tally> {
    let program = match pre::mounting().and_then(|()| pre::program(session, pre::FSX)) {
        Ok(program) => program,
        Err(why) => {
            println!("SKIP: {why}");
            return Ok(Tally::skip(why));
        }
    };
    let mut mounted = Mounted::new(session, "fsx", Store::File)?;
    let mut tally = seeds(session, &program, &mut mounted)?;
    for (seed, at) in KILLS {
        let what = format!("fsx seed {seed} killed at operation {at}");
        tally.add(outcome(&what, &killed(session, &program, &mut mounted, seed, at)));
    }
    tally.add(outcome("fsx: unmount", &mounted.unmount()));
    tally.add(mounted.fsck("fsx"));
    Ok(tally)
}

fn outcome(what: &str, result: &Result<()>) -> Tally {
    if let Err(e) = result {
        println!("{what}: {e:#}");
    }
    Tally::check(result.is_ok(), what)
}

/// All seeds side by side.
fn seeds(session: &Session, program: &Path, mounted: &mut Mounted) -> Result<Tally> {
    let operations = if session.extent.quick { OPERATIONS_QUICK } else { OPERATIONS };
    let dir = mounted.get()?.dir().to_owned();
    let mut runs = Vec::new();
    for seed in SEEDS.into_iter().chain([SYNCED_SEED]) {
        let synced = seed == SYNCED_SEED;
        let fsx = Fsx::new(session, program, seed, &config(true, synced))?;
        let operations = if synced { operations / SYNCED_SHARE } else { operations };
        runs.push((fsx, dir.join(format!("seed-{seed}")), operations));
    }
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            runs.iter().map(|(fsx, file, operations)| scope.spawn(|| fsx.complete(file, *operations))).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| bail!("its thread panicked"))).collect()
    });
    let mut tally = Tally::default();
    for ((fsx, file, operations), result) in runs.iter().zip(results) {
        tally.add(outcome(&format!("fsx seed {}, {operations} operations", fsx.seed), &result));
        fs::remove_file(file).with_context(|| format!("removing {}", file.display()))?;
    }
    Ok(tally)
}

/// Kills the server while fsx works, mounts again, and compares.
fn killed(session: &Session, program: &Path, mounted: &mut Mounted, seed: u32, at: u32) -> Result<()> {
    let fsx = Fsx::new(session, program, seed, &config(false, true))?;
    let file = mounted.get()?.path(format!("killed-{seed}"));
    let mut begun = 0;
    let mut killed = false;
    // Told of each operation just before it begins.
    let ended = fsx.told(&file, KILLED_OPERATIONS, |operation| {
        begun = begun.max(operation);
        if operation >= at && !killed {
            killed = true;
            if let Ok(mount) = mounted.get() {
                // A failure shows as a run that ends well, which is refused below.
                let _ = mount.kill_server();
            }
        }
    })?;
    if ended.is_success() {
        bail!("fsx did not notice that the server was killed");
    }
    mounted.kill()?;
    mounted.mount()?;
    let survived = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let (before, after) = (fsx.expected(begun.saturating_sub(1))?, fsx.expected(begun)?);
    if !is_between(&survived, &before, &after, PAGE_BYTES) {
        bail!(
            "{begun} operations begun: the {} bytes that survived are not what the acknowledged ones give",
            survived.len()
        );
    }
    println!("seed {seed}: {begun} operations begun, all acknowledged ones survived");
    Ok(())
}

/// Whether a file that was `before` can be `survived` when the operation that makes it `after` was cut off. All before that operation
/// were acknowledged, so must be there. Each request is done whole or not at all; the kernel may send one write as several, split
/// between pages of `page` bytes, so its beginning up to such a place may be there too.
fn is_between(survived: &[u8], before: &[u8], after: &[u8], page: usize) -> bool {
    if survived == before || survived == after {
        return true;
    }
    let same = survived.iter().zip(after).take_while(|(a, b)| a == b).count();
    let is_cut = |cut: usize| {
        survived.len() == before.len().max(cut) && survived.get(cut..) == Some(before.get(cut..).unwrap_or_default())
    };
    (page..=same).step_by(page).any(is_cut)
}

/// fsx with a seed and a configuration.
#[derive(Debug)]
struct Fsx<'a> {
    program: &'a Path,
    seed: u32,
    config: PathBuf,
    artifacts: PathBuf,
}

impl<'a> Fsx<'a> {
    fn new(session: &Session, program: &'a Path, seed: u32, config: &str) -> Result<Self> {
        let artifacts = session.scratch().join(format!("fsx-{seed}"));
        fs::create_dir_all(&artifacts)?;
        let path = artifacts.join("config.toml");
        fs::write(&path, config)?;
        Ok(Self { program, seed, config: path, artifacts })
    }

    fn command(&self, file: &Path, operations: u32) -> Command {
        let mut command = Command::new(self.program);
        command.arg("-f").arg(&self.config).args(["-N", &operations.to_string(), "-S", &self.seed.to_string()]);
        command.arg("-P").arg(&self.artifacts).arg(file);
        command
    }

    /// Runs all operations, which must go well.
    fn complete(&self, file: &Path, operations: u32) -> Result<()> {
        let mut said = Vec::new();
        let ended = run_command(self.command(file, operations).arg("-q"), LIMIT, |line| said.push(line.to_owned()))?;
        if ended.is_success() {
            return Ok(());
        }
        let last = said.len().saturating_sub(40);
        bail!("{ended}\n{}", said[last..].join("\n"))
    }

    /// Runs operations, telling the number of each.
    fn told(&self, file: &Path, operations: u32, mut on_operation: impl FnMut(u32)) -> Result<Ended> {
        run_command(self.command(file, operations).arg("-vv"), LIMIT, |line| {
            if let Some(operation) = operation(line) {
                on_operation(operation);
            }
        })
    }

    /// What the file holds after so many operations, by a run on a plain file.
    fn expected(&self, operations: u32) -> Result<Vec<u8>> {
        let file = self.artifacts.join("plain");
        if file.exists() {
            fs::remove_file(&file)?;
        }
        if operations == 0 {
            return Ok(Vec::new());
        }
        self.complete(&file, operations)?;
        Ok(fs::read(&file)?)
    }
}

/// The number in a line such as `[INFO  fsx]  4 read      0x32c4 .. 0x12a30 ( 0xf76d bytes)`.
fn operation(line: &str) -> Option<u32> {
    let rest = line.strip_prefix("[INFO  fsx] ").or_else(|| line.strip_prefix("[DEBUG fsx] "))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_off_write_may_have_begun_between_pages_but_nothing_before_it_is_lost() {
        let (before, after) = (b"aaaaaa".as_slice(), b"aabbbbbb".as_slice());
        for (survived, expected) in [
            (b"aaaaaa".as_slice(), true),
            (b"aabbbbbb", true),
            (b"aabbaa", true),
            (b"aabbbb", true),
            (b"aabaaa", false),
            (b"aabbba", false),
            (b"aabbbbb", false),
            (b"aaaa", false),
            (b"aaaaab", false),
            (b"xaaaaa", false),
        ] {
            assert_eq!(is_between(survived, before, after, 2), expected, "{survived:?}");
        }
    }

    #[test]
    fn operations_are_told_by_number() {
        assert_eq!(operation("[INFO  fsx]  4 read      0x32c4 .. 0x12a30 ( 0xf76d bytes)"), Some(4));
        assert_eq!(operation("[DEBUG fsx] 12 skipping zero size copy_file_range"), Some(12));
        assert_eq!(operation("[DEBUG fsx] Using seed 3"), None);
    }
}
