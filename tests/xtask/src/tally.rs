//! What an area's run came to, and how that is read from the output of test runners.
//!
//! A test that cannot run where it is says so with a line `SKIP: reason` (or `SKIPPED name: reason`) and passes; it is counted as
//! skipped, never as passed.

use std::collections::BTreeSet;

/// Counts of one area, or of the whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: usize,
    /// What failed, by name.
    pub(crate) failures: Vec<String>,
    /// What was skipped, with its reason.
    pub(crate) skips: Vec<String>,
}

impl Tally {
    /// One check that passed.
    pub(crate) fn pass() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One failure.
    pub(crate) fn fail(what: impl Into<String>) -> Self {
        Self { failures: vec![what.into()], ..Self::default() }
    }

    /// One skip.
    pub(crate) fn skip(why: impl Into<String>) -> Self {
        Self { skips: vec![why.into()], ..Self::default() }
    }

    /// One check that passed if `ok`, else failed as `what`.
    pub(crate) fn check(ok: bool, what: impl Into<String>) -> Self {
        if ok { Self::pass() } else { Self::fail(what) }
    }

    /// Adds another tally to this one.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
        self.skips.extend(other.skips);
    }

    /// Whether nothing at all was counted.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failures.len(), self.skips.len())
    }
}

/// The reason, if the line says that a test skipped itself.
pub(crate) fn skip_reason(line: &str) -> Option<&str> {
    let line = line.trim();
    ["SKIP: ", "SKIPPED: ", "SKIPPED ", "skipped: "].iter().find_map(|prefix| line.strip_prefix(prefix))
}

/// Reads the output of cargo-nextest or `cargo test` as it comes, and decides what of it is worth showing.
#[derive(Debug, Default)]
pub(crate) struct RunnerOutput {
    run: usize,
    passed: usize,
    failed_counted: usize,
    failed: BTreeSet<String>,
    skips: Vec<String>,
    /// Tests that printed at least one skip line.
    skipped_tests: BTreeSet<String>,
    current: String,
    /// Inside the captured output of a test that passed.
    quiet: bool,
}

impl RunnerOutput {
    /// Takes the next line; says whether to show it.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        if let Some(reason) = skip_reason(line) {
            self.skips.push(format!("{}: {reason}", self.current));
            self.skipped_tests.insert(self.current.clone());
            return true;
        }
        if let Some((status, name)) = nextest_status(line) {
            return self.status(status, name);
        }
        if let Some(rest) = line.trim_start().strip_prefix("Summary [") {
            self.quiet = false;
            self.nextest_summary(rest);
            return true;
        }
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            name.clone_into(&mut self.current);
            self.quiet = !self.failed.contains(name);
            return !self.quiet;
        }
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.quiet = false;
            self.libtest_result(rest);
            return true;
        }
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failed.insert(name.to_owned());
        }
        let libtest_pass = line.starts_with("test ") && (line.ends_with(" ... ok") || line.contains(" ... ignored"));
        if line == "failures:" {
            self.quiet = false;
        }
        !self.quiet && !libtest_pass && !line.trim().is_empty()
    }

    /// What the run came to.
    pub(crate) fn tally(self) -> Tally {
        let failed = self.run.saturating_sub(self.passed).max(self.failed_counted);
        let mut failures: Vec<String> = self.failed.into_iter().collect();
        failures.truncate(failed);
        failures.resize_with(failed, || "a test that was not named".to_owned());
        Tally { passed: self.passed.saturating_sub(self.skipped_tests.len()), failures, skips: self.skips }
    }

    fn status(&mut self, status: &str, name: &str) -> bool {
        name.clone_into(&mut self.current);
        let passed = matches!(status, "PASS" | "LEAK" | "FLAKY");
        self.quiet = passed;
        if !passed && status != "SLOW" {
            self.failed.insert(name.to_owned());
        }
        !passed
    }

    /// `0.5s] 10 tests run: 9 passed (1 slow), 1 failed, 2 skipped`
    fn nextest_summary(&mut self, rest: &str) {
        let Some((_, counts)) = rest.split_once("] ") else { return };
        let Some((run, counts)) = counts.split_once(" run: ") else { return };
        // An interrupted run says `9/10 tests run`: what did not run did not pass.
        let run = run.split(' ').next().unwrap_or_default();
        self.run += run.rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        self.passed += count_before(counts, "passed");
    }

    /// `ok. 9 passed; 0 failed; 1 ignored; ...`
    fn libtest_result(&mut self, rest: &str) {
        self.passed += count_before(rest, "passed");
        self.failed_counted += count_before(rest, "failed");
    }
}

/// The number that stands before `word`, 0 without it.
fn count_before(text: &str, word: &str) -> usize {
    let words: Vec<&str> = text.split([' ', ',', ';', '(', ')']).filter(|w| !w.is_empty()).collect();
    words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

/// Status and test name of a line such as `        PASS [   0.012s] (1/3) proxyfs-core kv::tests::x`.
fn nextest_status(line: &str) -> Option<(&str, &str)> {
    let (status, rest) = line.trim_start().split_once(" [")?;
    let is_status = !status.is_empty() && status.chars().all(|c| c.is_ascii_uppercase());
    let (_, name) = rest.split_once("] ")?;
    let name = name.trim_start();
    let name = if name.starts_with('(') { name.split_once(") ")?.1 } else { name };
    is_status.then_some((status, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Tally, Vec<&str>) {
        let mut output = RunnerOutput::default();
        let shown = text.lines().filter(|line| output.line(line)).collect();
        (output.tally(), shown)
    }

    const NEXTEST: &str = "\
    Starting 4 tests across 2 binaries (3 tests skipped)
        PASS [   0.003s] (1/4) proxyfs-core kv::tests::a
  stdout ───
    running 1 test
    test kv::tests::a ... ok
        PASS [   0.003s] (2/4) proxyfs-fuse::lifecycle b
  stderr ───
    SKIP: /dev/fuse cannot be opened
        FAIL [   0.010s] (3/4) proxyfs-core kv::tests::c
  stdout ───
    thread panicked
        PASS [   0.003s] (4/4) proxyfs-core kv::tests::d
────────────
     Summary [   0.020s] 4 tests run: 3 passed (1 slow), 1 failed, 3 skipped
        FAIL [   0.010s] (3/4) proxyfs-core kv::tests::c
";

    #[test]
    fn nextest_output_is_counted_and_passing_output_hidden() {
        let (tally, shown) = read(NEXTEST);
        assert_eq!(tally.passed, 2);
        assert_eq!(tally.failures, ["proxyfs-core kv::tests::c"]);
        assert_eq!(tally.skips, ["proxyfs-fuse::lifecycle b: /dev/fuse cannot be opened"]);
        assert!(shown.contains(&"    thread panicked"));
        assert!(!shown.iter().any(|line| line.contains("running 1 test")));
    }

    #[test]
    fn tests_that_an_interrupted_run_left_out_count_as_failed() {
        let (tally, _) = read("     Summary [  10.0s] 7/9 tests run: 6 passed, 1 failed, 0 skipped\n");
        assert_eq!((tally.passed, tally.failures.len()), (6, 3));
    }

    #[test]
    fn libtest_output_is_counted_over_several_binaries() {
        let text = "\
running 2 tests
test a ... ok
test b ... FAILED

successes:

---- a stdout ----
SKIP: no store

failures:

---- b stdout ----
thread panicked

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        let (tally, shown) = read(text);
        assert_eq!(tally.passed, 5);
        assert_eq!(tally.failures, ["b"]);
        assert_eq!(tally.skips, ["a: no store"]);
        assert!(shown.contains(&"thread panicked"));
    }

    #[test]
    fn the_counts_are_shown_in_the_closing_form() {
        let tally = Tally { passed: 3, failures: vec!["x".into()], skips: vec!["a".into(), "b".into()] };
        assert_eq!(tally.to_string(), "3 passed, 1 failed, 2 skipped");
    }
}
