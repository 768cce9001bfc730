//! Fuzzing: mutated fixtures into every decoder, on the stable toolchain; with `--long` and a nightly toolchain also cargo-fuzz.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{RustTests, minutes, suite};
use crate::prerequisites as pre;
use crate::process::output;
use crate::session::Session;
use crate::tally::Tally;

/// The test program that runs every target for a bounded number of mutations.
pub(crate) const SMOKE: &str = "fuzz_smoke";
/// Its file.
pub(crate) const SMOKE_FILE: &str = "core/tests/fuzz_smoke.rs";

/// How much the smoke program does; its own default is for a quick look.
const ROUNDS_VARIABLE: &str = "PROXYFS_FUZZ_ROUNDS";
/// Mutations of each fixture for each target: about a minute on two cores.
const ROUNDS: u32 = 3000;
/// Likewise with `--long`.
const ROUNDS_LONG: u32 = 30_000;

/// Seconds for each target of cargo-fuzz.
const SECONDS_LONG: u32 = 60;
const FUZZ_DIR: &str = "core/fuzz";

/// Runs the area.
pub(crate) fn run(session: &Session) -> Result<Tally> {
    let rounds = match session.extent {
        extent if extent.long => ROUNDS_LONG,
        extent if extent.quick => ROUNDS / 10,
        _ => ROUNDS,
    };
    let tests = RustTests { only: Some(SMOKE), limit: minutes(30), ..RustTests::of("proxyfs-core") };
    let mut tally = suite::run_with(session, &tests, &[(ROUNDS_VARIABLE, rounds.to_string())])?;
    if session.extent.long {
        tally.add(guided(session)?);
    }
    Ok(tally)
}

/// Coverage-guided fuzzing, where the machine has what it takes.
fn guided(session: &Session) -> Result<Tally> {
    if !session.workspace.has(FUZZ_DIR) || pre::which("cargo-fuzz").is_none() || !has_nightly() {
        println!("SKIP: cargo-fuzz needs a nightly toolchain and cargo-fuzz on the path");
        return Ok(Tally::skip("guided fuzzing: no nightly toolchain or no cargo-fuzz"));
    }
    let mut tally = Tally::default();
    for target in targets(session)? {
        let mut command = Command::new("cargo");
        command.current_dir(session.workspace.root.join("core"));
        command.args(["+nightly", "fuzz", "run", &target, "--", &format!("-max_total_time={SECONDS_LONG}")]);
        tally.add(session.check(&format!("fuzz target {target}"), &mut command, minutes(15))?);
    }
    Ok(tally)
}

fn targets(session: &Session) -> Result<Vec<String>> {
    let dir = session.workspace.root.join(FUZZ_DIR).join("fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if let Some(stem) = path.file_stem().filter(|_| path.extension().is_some_and(|e| e == "rs")) {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn has_nightly() -> bool {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "--version"]);
    output(&mut command, Duration::from_secs(60)).is_ok()
}
