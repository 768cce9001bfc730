//! Fuzzing: every target guided by coverage for a minute, two at a time, from the golden fixtures on.
//!
//! The targets are built with libFuzzer and with the compiler's own instrumentation, which the default toolchain has; no other program is
//! needed. Where they cannot be built, the same targets get mutated fixtures without guidance. With `--quick` that is all there is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{RustTests, minutes, suite};
use crate::prerequisites as pre;
use crate::process::{Ended, run as run_command, shown};
use crate::session::Session;
use crate::tally::Tally;
use crate::workspace::cargo;

/// The test program that runs every decoder's target for a bounded number of mutations.
pub(crate) const SMOKE: &str = "fuzz_smoke";
/// Its file.
pub(crate) const SMOKE_FILE: &str = "core/tests/fuzz_smoke.rs";

/// How much the smoke program does; its own default is for a quick look.
const ROUNDS_VARIABLE: &str = "PROXYFS_FUZZ_ROUNDS";
/// Mutations of each fixture for each target: seconds.
const ROUNDS: u32 = 3000;

const FUZZ_DIR: &str = "core/fuzz";
const FIXTURES_DIR: &str = "tests/golden/v1";
/// What begins the names of fixtures that are keys.
const KEY_PREFIX: &str = "key-";
/// The target whose inputs are a key's length, a key and a value.
const VALUES_TARGET: &str = "values";

/// Seconds that a target runs.
const SECONDS: u64 = 60;
/// Likewise with `--long`.
const SECONDS_LONG: u64 = 600;
/// Targets that run at the same time.
const JOBS: usize = 2;
/// What a target may use of memory: a few times what the largest frame decompresses to, and the fuzzer's own.
const MEMORY_MIB: u64 = 512;
/// Longest that one input may take.
const INPUT_SECONDS: u64 = 10;
/// Longest input: several times the largest fixture.
const INPUT_BYTES_MAX: u64 = 8192;
/// Lines of a failing target that are shown.
const LINES_SHOWN: usize = 30;
const BUILD_LIMIT: Duration = minutes(30);

/// Counters at every edge, and the operands of comparisons.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs the area.
///
/// # Errors
/// When a program cannot be started, or the user interrupts.
pub(crate) fn run(session: &Session) -> Result<Tally> {
    if session.extent.quick {
        return smoke(session, ROUNDS / 10);
    }
    let mut tally = smoke(session, ROUNDS / 10)?;
    match Guided::build(session) {
        Ok(guided) => tally.add(guided.run(session)?),
        Err(why) => {
            println!("SKIP: guided fuzzing: {why:#}");
            tally.add(Tally::skip(format!("guided fuzzing: {why:#}")));
            tally.add(smoke(session, ROUNDS)?);
        }
    }
    Ok(tally)
}

/// Mutated fixtures, without guidance.
fn smoke(session: &Session, rounds: u32) -> Result<Tally> {
    let tests = RustTests { only: Some(SMOKE), limit: minutes(30), ..RustTests::of("proxyfs-core") };
    suite::run_with(session, &tests, &[(ROUNDS_VARIABLE, rounds.to_string())])
}

/// The built targets.
#[derive(Debug)]
struct Guided {
    targets: Vec<String>,
    /// Where the programs are.
    programs: PathBuf,
    /// Where corpora and failing inputs are kept, between runs too.
    kept: PathBuf,
}

impl Guided {
    /// Builds all targets.
    fn build(session: &Session) -> Result<Self> {
        if let Err(why) = pre::system(&[pre::GCC, pre::GXX, pre::LIBC_DEV]) {
            bail!("{why}");
        }
        let kept = session.workspace.target.join("fuzz");
        let host = host()?;
        let mut command = session.cargo();
        command.current_dir(session.workspace.root.join(FUZZ_DIR));
        // With a target named, build scripts and macros are left without instrumentation.
        command.args(["build", "--quiet", "--release", "--bins", "--target", &host]);
        command.env("CARGO_TARGET_DIR", &kept).env("RUSTFLAGS", INSTRUMENTATION);
        crate::process::output(&mut command, BUILD_LIMIT)?;
        Ok(Self { targets: targets(session)?, programs: kept.join(host).join("release"), kept })
    }

    /// Runs all targets, some at a time.
    fn run(&self, session: &Session) -> Result<Tally> {
        let waiting = Mutex::new(self.targets.iter());
        let work = || -> Result<Tally> {
            let mut tally = Tally::default();
            loop {
                // Taken before the target runs, so that the others can take theirs.
                let next = waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                let Some(target) = next else { return Ok(tally) };
                tally.add(self.run_target(session, target)?);
            }
        };
        std::thread::scope(|scope| {
            let jobs: Vec<_> = (0..JOBS).map(|_| scope.spawn(work)).collect();
            let mut all = Tally::default();
            for job in jobs {
                all.add(job.join().unwrap_or_else(|_| bail!("a job panicked"))?);
            }
            Ok(all)
        })
    }

    fn run_target(&self, session: &Session, target: &str) -> Result<Tally> {
        let corpus = self.kept.join("corpus").join(target);
        let artifacts = self.kept.join("artifacts").join(target);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&artifacts)?;
        let seeds = seeds(session, target)?;
        let seconds = if session.extent.long { SECONDS_LONG } else { SECONDS };
        let mut command = Command::new(self.programs.join(target));
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-rss_limit_mb={MEMORY_MIB}"));
        command.arg(format!("-timeout={INPUT_SECONDS}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
        command.args(["-print_final_stats=1", "-use_value_profile=1"]);
        command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(&corpus).arg(&seeds);
        let mut lines = Vec::new();
        let limit = Duration::from_secs(2 * seconds) + minutes(2);
        let ended = run_command(&mut command, limit, |line| lines.push(line.to_owned()))?;
        Ok(self.judge(target, ended, &lines, &shown(&command)))
    }

    /// What a target's run came to; a failure is shown with the way to repeat it.
    fn judge(&self, target: &str, ended: Ended, lines: &[String], command: &str) -> Tally {
        let runs = stat(lines, "number_of_executed_units").unwrap_or(0);
        let memory = stat(lines, "peak_rss_mb").unwrap_or(0);
        if ended.is_success() && runs > 0 {
            println!("fuzz {target}: {runs} inputs, at most {memory} MiB");
            return Tally::pass();
        }
        println!("fuzz {target}: {ended}");
        for line in &lines[lines.len().saturating_sub(LINES_SHOWN)..] {
            println!("    {line}");
        }
        match lines.iter().find_map(|line| line.split_once("Test unit written to ")) {
            Some((_, path)) => println!("    repeat with: {} {path}", self.programs.join(target).display()),
            None => println!("    repeat with: {command}"),
        }
        Tally::fail(format!("fuzz {target} ({ended})"))
    }
}

/// The first inputs of a target: all fixtures, for values each key before each value, and what lies in the target's own folder.
fn seeds(session: &Session, target: &str) -> Result<PathBuf> {
    let dir = session.scratch().join("seeds").join(target);
    fs::create_dir_all(&dir)?;
    let root = &session.workspace.root;
    let fixtures = files(&root.join(FIXTURES_DIR), Some("bin"))?;
    for (name, content) in &fixtures {
        fs::write(dir.join(name), content)?;
    }
    if target == VALUES_TARGET {
        let (keys, values): (Vec<_>, Vec<_>) = fixtures.iter().partition(|(name, _)| name.starts_with(KEY_PREFIX));
        for (key_name, key) in keys {
            for (value_name, value) in &values {
                // Keys of fixtures are short.
                let joined = [&[key.len() as u8], key.as_slice(), value].concat();
                fs::write(dir.join(format!("{key_name}-{value_name}")), joined)?;
            }
        }
    }
    let own = root.join(FUZZ_DIR).join("seeds").join(target);
    if own.exists() {
        for (name, content) in files(&own, None)? {
            fs::write(dir.join(name), content)?;
        }
    }
    Ok(dir)
}

/// Names and contents of the files in a folder that have this extension.
fn files(dir: &Path, extension: Option<&str>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry?.path();
        if extension.is_none_or(|e| path.extension().is_some_and(|there| there == e)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, fs::read(&path)?));
        }
    }
    found.sort();
    Ok(found)
}

/// A number from the statistics at the end of a run, such as `stat::peak_rss_mb: 29`.
fn stat(lines: &[String], name: &str) -> Option<u64> {
    let rest = |line: &String| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
    lines.iter().find_map(rest)?.trim().parse().ok()
}

fn targets(session: &Session) -> Result<Vec<String>> {
    let dir = session.workspace.root.join(FUZZ_DIR).join("fuzz_targets");
    let names =
        files(&dir, Some("rs"))?.into_iter().filter_map(|(name, _)| name.strip_suffix(".rs").map(str::to_owned));
    Ok(names.collect())
}

/// The machine that the compiler builds for.
fn host() -> Result<String> {
    let mut command = cargo();
    command.arg("-vV");
    let said = crate::process::output(&mut command, minutes(1))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).with_context(|| format!("cargo names no host:\n{said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_by_name() {
        let lines =
            ["Done 12 runs in 6 second(s)", "stat::number_of_executed_units: 12", "stat::peak_rss_mb:              29"];
        let lines = lines.map(str::to_owned);
        assert_eq!(stat(&lines, "number_of_executed_units"), Some(12));
        assert_eq!(stat(&lines, "peak_rss_mb"), Some(29));
        assert_eq!(stat(&lines, "slowest_unit_time_sec"), None);
    }
}
