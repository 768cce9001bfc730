//! Builds for Windows and macOS on this machine: their toolchains, what is built, and running the Windows tests under Wine.
//!
//! A target that the running toolchain has (`rustup target add`) is built with it. Elsewhere Debian's compiler and the standard
//! library that is built here from Debian's sources do it. What cannot be had is the reason of a skip. No third-party source and no
//! binary is kept in the tree.

mod json;
pub(crate) mod macos;
mod sysroot;
mod toolchain;
pub(crate) mod windows;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::process;
use crate::session::{Extent, Session};
use crate::tally::Tally;

/// Dependencies are optimised for tests on this machine; elsewhere they run shortly or not at all. That goes for procedural macros too.
const UNOPTIMISED_DEPENDENCIES: &str = "profile.dev.package.\"*\".opt-level=0";

/// Does one task by itself, outside of a run of the tests. What an area would skip, is an error here.
fn alone(work: impl FnOnce(&Session) -> Result<Tally>) -> Result<ExitCode> {
    process::watch_interrupts()?;
    let session = Session::new(Extent::default())?;
    let tally = work(&session)?;
    if let (0, Some(why)) = (tally.passed, tally.skips.first())
        && tally.failures.is_empty()
    {
        bail!("{why}");
    }
    for what in &tally.failures {
        println!("failed: {what}");
    }
    println!("{tally}");
    Ok(if tally.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A tally of what could not be done, said aloud.
fn skipped(why: String) -> Tally {
    println!("SKIP: {why}");
    Tally::skip(why)
}

/// `--package NAME` for each.
fn packages<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names.into_iter().flat_map(|name| ["--package".to_owned(), name.to_owned()]).collect()
}
