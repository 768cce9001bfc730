//! The POSIX conformance suite pjdfstest on real mounts, once on a local directory and once over S3.
//!
//! All of its tests must pass but a named few that no FUSE mount or single file system can run. Needs root.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result};

use super::minutes;
use super::mounted::{Mounted, Store};
use crate::prerequisites as pre;
use crate::process::run as run_command;
use crate::session::Session;
use crate::tally::Tally;

/// A user that the suite acts as, besides nobody.
const USER: &str = "tests";

/// Tests in the version of the suite that is installed: fewer would mean that some were lost.
const TESTS: usize = 398;

/// What may be skipped: it takes remounting read-only, a second file system, or a limit on links that is in reach.
/// The last part of their names: 15 tests by the first three, one by the last.
const MAY_SKIP: &[&str] = &["erofs_named", "erofs_new_file", "exdev_target", "link_count_max"];

const CONFIG: &str = r#"[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}
stat_st_birthtime = {}
[settings]
naptime = 0.01
allow_remount = false
[dummy_auth]
entries = [ ["nobody", "nogroup"], ["tests", "tests"] ]
"#;

/// Runs the area.
///
/// # Errors
/// When a mount or the suite cannot be started.
pub(crate) fn run(session: &Session) -> Result<Tally> {
    if !pre::is_root() {
        println!("SKIP: pjdfstest changes users, which needs root");
        return Ok(Tally::skip("pjdfstest changes users, which needs root"));
    }
    let ready = pre::mounting().and_then(|()| pre::user(USER)).and_then(|()| pre::program(session, pre::PJDFSTEST));
    let program = match ready {
        Ok(program) => program,
        Err(why) => {
            println!("SKIP: {why}");
            return Ok(Tally::skip(why));
        }
    };
    let config = session.scratch().join("pjdfstest.toml");
    fs::write(&config, CONFIG)?;
    let mut tally = Tally::default();
    for store in [Store::File, Store::S3] {
        let name = format!("pjd-{}", store.name());
        let mut mounted = Mounted::new(session, &name, store)?;
        let dir = mounted.get()?.path("suite");
        fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777))?;
        let mut command = Command::new(&program);
        command.arg("-c").arg(&config).arg("-p").arg(&dir).current_dir(&dir);
        let mut suite = Suite::default();
        let ended = run_command(&mut command, minutes(10), |line| suite.line(line))?;
        println!("pjdfstest on {}: {}", store.name(), suite.summary);
        tally.add(suite.tally(store, &ended.to_string()));
        let unmounted = mounted.unmount();
        let what = unmounted.as_ref().err().map_or_else(String::new, |e| format!("{name}: unmount: {e:#}"));
        tally.add(Tally::check(unmounted.is_ok(), what));
    }
    Ok(tally)
}

/// The suite's output, read line by line.
#[derive(Debug, Default)]
struct Suite {
    passed: usize,
    failed: BTreeSet<String>,
    skipped: BTreeSet<String>,
    summary: String,
    /// Whether the lines that follow explain a failure.
    explaining: bool,
}

impl Suite {
    /// `link::success   ok`, `... skipped`, `... FAILED`; explanations are indented.
    fn line(&mut self, line: &str) {
        if line.starts_with("Summary:") {
            line.clone_into(&mut self.summary);
            return;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [name, status] if name.contains("::") && !line.starts_with('\t') => {
                self.explaining = false;
                match status.to_ascii_lowercase().as_str() {
                    "ok" | "success" => self.passed += 1,
                    "skipped" => drop(self.skipped.insert(name.to_owned())),
                    _ => {
                        self.failed.insert(name.to_owned());
                        self.explaining = true;
                        println!("{line}");
                    }
                }
            }
            _ if self.explaining => println!("{line}"),
            _ => {}
        }
    }

    fn tally(self, store: Store, ended: &str) -> Tally {
        let on = |name: &String| format!("pjdfstest on {}: {name}", store.name());
        let mut failures: Vec<String> = self.failed.iter().map(on).collect();
        let may_skip = |name: &&String| MAY_SKIP.iter().any(|allowed| name.rsplit("::").next() == Some(allowed));
        let (skips, lost): (Vec<_>, Vec<_>) = self.skipped.iter().partition(may_skip);
        failures.extend(lost.into_iter().map(|name| format!("{}: skipped, and should not be", on(name))));
        let total = self.passed + self.failed.len() + self.skipped.len();
        if total != TESTS {
            failures.push(format!("pjdfstest on {}: {total} tests of {TESTS} ran ({ended})", store.name()));
        }
        Tally { passed: self.passed, failures, skips: skips.into_iter().map(on).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_and_only_named_ones_may_be_skipped() {
        let mut suite = Suite::default();
        for line in [
            "unlink::eloop_comp                    ok",
            "unlink::erofs_named                   skipped",
            "\tRemounts (allow_remount) are not allowed in the configuration file",
            "rename::busy                          skipped",
            "rename::enoent                        FAILED",
            "Summary: 1 failed, 2 skipped, 1 passed, 0 expected failures, 4 total",
        ] {
            suite.line(line);
        }
        let tally = suite.tally(Store::File, "exit code 1");
        assert_eq!((tally.passed, tally.skips.len()), (1, 1));
        let failures = tally.failures.join("\n");
        assert!(failures.contains("rename::enoent") && failures.contains("rename::busy: skipped"), "{failures}");
        assert!(failures.contains("4 tests of 398 ran"), "{failures}");
    }
}
