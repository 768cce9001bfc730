//! Runs an area's Rust tests, with cargo-nextest where it is installed and with `cargo test` otherwise.
//!
//! A whole run builds the whole workspace with one set of features, so that its areas share one build; a chosen area builds its own
//! package only. Limits exclude building, which comes first.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::RustTests;
use crate::prerequisites as pre;
use crate::session::Session;
use crate::tally::Tally;

/// Building everything once from nothing on two cores takes a fraction of it.
const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);

/// Members that a whole run leaves out, because they need system libraries that a server lacks.
const EXCLUDED: &[&str] = &["proxyfs-tray"];

/// Tells test programs where the built `proxyfs` is.
const PROGRAM_VARIABLE: &str = "PROXYFS_BIN";
/// Likewise the S3 server.
const S3SERVER_VARIABLE: &str = "PROXYFS_S3SERVER";

/// Programs of the workspace that tests drive from outside.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The product.
    pub(crate) proxyfs: PathBuf,
    /// The harness's S3 server.
    pub(crate) s3server: PathBuf,
}

/// The needs of tests with real mounts.
pub(crate) fn mounts() -> Result<(), String> {
    pre::mounting()?;
    pre::system(pre::MOUNTS)
}

/// The needs of the program's tests. Those of the credential store, of service managers and of networks skip aloud by themselves.
pub(crate) fn program_tests() -> Result<(), String> {
    if let Err(why) = pre::system(pre::CREDENTIALS) {
        println!("going on without a credential store: {why}");
    }
    if let Err(why) = pre::system(pre::SERVICE) {
        println!("going on without a machine to boot: {why}");
    }
    mounts()
}

/// The needs of tests of attributes on the machine's own file system.
pub(crate) fn attributes() -> Result<(), String> {
    pre::system(&[pre::ATTR, pre::ACL])
}

/// Builds all tests of the workspace.
///
/// # Errors
/// When cargo cannot be started, or the user interrupts.
pub(crate) fn build(session: &Session) -> Result<Tally> {
    if let Err(why) = pre::system(pre::BUILD) {
        println!("going on without: {why}");
    }
    let mut command = runner(session);
    command.args(whole_workspace(session)).arg("--no-run");
    session.check("building the tests", &mut command, BUILD_LIMIT)
}

/// Builds what `tests` needs, then runs them.
///
/// # Errors
/// When cargo cannot be started, or the user interrupts.
pub(crate) fn run(session: &Session, tests: &RustTests) -> Result<Tally> {
    run_with(session, tests, &[])
}

/// As [`run`], with more environment variables.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_with(session: &Session, tests: &RustTests, variables: &[(&str, String)]) -> Result<Tally> {
    if let Err(why) = (tests.needs)() {
        println!("SKIP: {}: {why}", tests.package);
        return Ok(Tally::skip(format!("{}: {why}", tests.package)));
    }
    let selection = if session.extent.whole && has_nextest() {
        whole_workspace(session)
    } else {
        vec!["--package".to_owned(), tests.package.to_owned()]
    };
    let mut build = runner(session);
    build.args(&selection).arg("--no-run");
    let built = session.check(&format!("building {}", tests.package), &mut build, BUILD_LIMIT)?;
    if !built.failures.is_empty() {
        return Ok(built);
    }
    if tests.programs {
        programs(session)?;
    }
    let mut command = runner(session);
    command.args(&selection);
    arguments(tests, &mut command);
    environment(session, &mut command);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    session.count(tests.package, &mut command, tests.limit)
}

/// What the tests are told about the run.
pub(crate) fn environment(session: &Session, command: &mut Command) {
    if session.extent.long {
        command.env("PROXYFS_TEST_LONG", "1");
    }
    if session.extent.quick {
        command.env("PROXYFS_TEST_QUICK", "1");
    }
    let programs = programs_at(session);
    command.env(PROGRAM_VARIABLE, programs.proxyfs).env(S3SERVER_VARIABLE, programs.s3server);
}

/// The programs, built as tests are: the same optimisation and the same dependencies, so that they cost next to no time to build.
///
/// # Errors
/// When they do not build.
pub(crate) fn programs(session: &Session) -> Result<Programs> {
    let programs = programs_at(session);
    // The build of a whole run has made them, with its own set of features; another build would make most of it twice.
    if session.extent.whole && programs.proxyfs.is_file() && programs.s3server.is_file() {
        return Ok(programs);
    }
    let mut command = session.cargo();
    command.args(["build", "--quiet", "--profile", "test", "--bins", "-p", "proxyfs", "-p", "proxyfs-harness"]);
    let built = session.check("building proxyfs", &mut command, BUILD_LIMIT)?;
    if let Some(failure) = built.failures.first() {
        bail!("{failure}");
    }
    Ok(programs)
}

fn programs_at(session: &Session) -> Programs {
    let dir = session.workspace.target.join("debug");
    Programs { proxyfs: dir.join("proxyfs"), s3server: dir.join("s3server") }
}

fn arguments(tests: &RustTests, command: &mut Command) {
    if has_nextest() {
        command.args(["--no-fail-fast", "--no-tests=pass", "--success-output=immediate", "--hide-progress-bar"]);
        command.args(["--filterset", &filter(tests)]);
        if tests.alone {
            command.arg("--test-threads=1");
        }
        return;
    }
    if let Some(only) = tests.only {
        command.args(["--test", only]);
    }
    command.args(["--no-fail-fast", "--", "--show-output"]);
    command.args(tests.names);
    if tests.alone {
        command.arg("--test-threads=1");
    }
}

/// The tests in cargo-nextest's language.
fn filter(tests: &RustTests) -> String {
    let mut filter = format!("package(={})", tests.package);
    for except in tests.except {
        filter.push_str(&format!(" and not binary(={except})"));
    }
    if let Some(only) = tests.only {
        filter.push_str(&format!(" and binary(={only})"));
    }
    if let Some(names) = tests.names {
        filter.push_str(&format!(" and test(/^{names}/)"));
    }
    filter
}

fn runner(session: &Session) -> Command {
    let mut command = session.cargo();
    if has_nextest() {
        command.args(["nextest", "run"]);
    } else {
        command.arg("test");
    }
    command.args(["--color", "never"]);
    command
}

fn whole_workspace(session: &Session) -> Vec<String> {
    let mut selection = vec!["--workspace".to_owned()];
    for name in EXCLUDED.iter().filter(|name| session.workspace.has_member(name)) {
        selection.extend(["--exclude".to_owned(), (*name).to_owned()]);
    }
    selection
}

fn has_nextest() -> bool {
    pre::which("cargo-nextest").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_named_by_its_package_less_what_others_run() {
        let tests = RustTests::of("proxyfs-core").except(&["fuzz_smoke"]);
        assert_eq!(filter(&tests), "package(=proxyfs-core) and not binary(=fuzz_smoke)");
        let one = RustTests { only: Some("crash"), ..RustTests::of("proxyfs-sim") };
        assert_eq!(filter(&one), "package(=proxyfs-sim) and binary(=crash)");
        let some = RustTests { names: Some("real_s3::"), ..RustTests::of("proxyfs-store") };
        assert_eq!(filter(&some), "package(=proxyfs-store) and test(/^real_s3::/)");
    }
}
