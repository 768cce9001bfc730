//! `cargo xtask test`: plans, runs the areas one after another, and counts.
//!
//! The last line printed is `N passed, N failed, N skipped`, of the whole run; the exit code is 1 if anything failed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::areas::{self, Area, Work, suite};
use crate::process;
use crate::session::{Extent, Session};
use crate::tally::Tally;

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Only these areas, by name
    #[arg(long, value_delimiter = ',', value_name = "AREA")]
    only: Vec<String>,
    /// More rounds, longer fuzzing, and the areas that take long
    #[arg(long, conflicts_with = "quick")]
    long: bool,
    /// Fewer rounds
    #[arg(long)]
    quick: bool,
    /// Go on after an area that failed
    #[arg(long)]
    keep_going: bool,
    /// List the areas and stop
    #[arg(long)]
    list: bool,
}

/// What became of one area.
struct Done {
    name: &'static str,
    tally: Tally,
    took: Duration,
}

/// Runs the tests.
///
/// # Errors
/// When an area is not known, or the machine does not let a run begin or go on.
pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    process::watch_interrupts()?;
    let session = Session::new(Extent { long: args.long, quick: args.quick, whole: args.only.is_empty() })?;
    let plan = plan(&session, args)?;
    print_plan(&plan);
    if args.list {
        return Ok(ExitCode::SUCCESS);
    }
    let done = run_areas(&session, &plan, args.keep_going)?;
    Ok(report(&plan, &done))
}

fn plan(session: &Session, args: &TestArgs) -> Result<Vec<&'static Area>> {
    let listed = areas::listed(&session.workspace);
    if args.only.is_empty() {
        return Ok(listed.into_iter().filter(|area| args.long || args.list || !area.long_only).collect());
    }
    if let Some(unknown) = args.only.iter().find(|name| !listed.iter().any(|area| area.name == **name)) {
        let names: Vec<&str> = listed.iter().map(|area| area.name).collect();
        bail!("there is no area '{unknown}'; there are {}", names.join(", "));
    }
    Ok(listed.into_iter().filter(|area| args.only.iter().any(|name| name == area.name)).collect())
}

fn print_plan(plan: &[&Area]) {
    println!("areas:");
    for area in plan {
        let long = if area.long_only { " (long)" } else { "" };
        println!("  {:<12} {}{long}", area.name, area.about);
    }
}

fn run_areas(session: &Session, plan: &[&'static Area], keep_going: bool) -> Result<Vec<Done>> {
    let mut done = Vec::new();
    let mut built = !session.extent.whole;
    for area in plan {
        if !built && matches!(area.work, Work::Rust(_)) {
            done.push(timed("build", || suite::build(session))?);
            built = true;
        }
        if !keep_going && done.iter().any(|d| !d.tally.failures.is_empty()) {
            break;
        }
        done.push(timed(area.name, || match &area.work {
            Work::Rust(tests) => suite::run(session, tests),
            Work::Custom(run) => run(session),
        })?);
    }
    Ok(done)
}

/// Runs one area. What stops the area alone is its failure; only an interrupt stops the run.
fn timed(name: &'static str, work: impl FnOnce() -> Result<Tally>) -> Result<Done> {
    println!("\n=== {name}");
    let begun = Instant::now();
    let tally = match work() {
        Err(error) if process::interrupted() => return Err(error),
        Err(error) => {
            println!("{error:#}");
            Tally::fail(format!("{name}: {error:#}"))
        }
        Ok(tally) => tally,
    };
    let took = begun.elapsed();
    println!("=== {name}: {tally} in {} s", took.as_secs());
    Ok(Done { name, tally, took })
}

fn report(plan: &[&Area], done: &[Done]) -> ExitCode {
    let mut total = Tally::default();
    println!("\n{:<12} {:>7} {:>7} {:>8} {:>8}", "area", "passed", "failed", "skipped", "seconds");
    for Done { name, tally, took } in done {
        let (failed, skipped) = (tally.failures.len(), tally.skips.len());
        println!("{name:<12} {:>7} {failed:>7} {skipped:>8} {:>8}", tally.passed, took.as_secs());
        total.add(tally.clone());
    }
    for area in plan.iter().filter(|area| !done.iter().any(|d| d.name == area.name)) {
        println!("{:<12} not run, as an area before it failed (--keep-going runs all)", area.name);
    }
    for why in &total.skips {
        println!("skipped: {why}");
    }
    for what in &total.failures {
        println!("failed: {what}");
    }
    println!("{total}");
    if total.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
