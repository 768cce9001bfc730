//! `cargo xtask bench`: measures workloads on real mounts, each beside what bounds it, and says which targets are met.
//!
//! It never judges: the exit code is 0 whatever was measured, and 1 only when a workload could not be run. `docs/PERFORMANCE.md` says
//! what each workload measures, and keeps the last figures that were saved.

mod lab;
mod machine;
mod nullfs;
mod row;
mod table;
mod volume;
mod workloads;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::prerequisites as pre;
use crate::process;
use crate::session::{Extent, Session};
use lab::Lab;
use row::Row;
use workloads::{WORKLOADS, Workload};

/// The page that keeps measured figures.
const PAGE: &str = "docs/PERFORMANCE.md";

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Less of everything: done within five minutes, without building
    #[arg(long)]
    quick: bool,
    /// Only these workloads, by name
    #[arg(long, value_delimiter = ',', value_name = "WORKLOAD")]
    only: Vec<String>,
    /// Write the rows to a file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// List the workloads and stop
    #[arg(long)]
    list: bool,
    /// Replace the measured table of docs/PERFORMANCE.md
    #[arg(long)]
    save: bool,
    /// Keep volumes that take long to make in this directory, and use those that an earlier run kept
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Measures.
///
/// # Errors
/// When a workload is not known, the programs do not build, or the user interrupts.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let plan = plan(&args.only)?;
    println!("workloads:");
    for workload in &plan {
        println!("  {:<13} {}", workload.name, workload.about);
    }
    if args.list {
        return Ok(ExitCode::SUCCESS);
    }
    process::watch_interrupts()?;
    if let Err(why) = pre::mounting() {
        bail!("nothing can be mounted here: {why}");
    }
    let session = Session::new(Extent { quick: args.quick, ..Extent::default() })?;
    let page = session.workspace.root.join(PAGE);
    let keep = args.keep.as_deref().map(std::path::absolute).transpose()?;
    let lab = Lab::new(session, args.quick, keep)?;
    let machine = machine::describe(lab.scratch())?;
    let (rows, failed) = measure(&lab, &plan)?;
    println!("\n{machine}\n{}", table::plain(&rows));
    if let Some(path) = &args.json {
        write_json(path, &rows)?;
    }
    if args.save {
        save(&page, &machine, args.quick, &rows)?;
    }
    for name in &failed {
        println!("could not be run: {name}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan(only: &[String]) -> Result<Vec<&'static Workload>> {
    if let Some(unknown) = only.iter().find(|name| !WORKLOADS.iter().any(|workload| workload.name == **name)) {
        let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        bail!("there is no workload '{unknown}'; there are {}", names.join(", "));
    }
    let chosen = |workload: &&Workload| only.is_empty() || only.iter().any(|name| name == workload.name);
    Ok(WORKLOADS.iter().filter(chosen).collect())
}

/// Runs the workloads; gives the rows, and the names of those that failed. Only an interrupt stops the run.
fn measure(lab: &Lab, plan: &[&Workload]) -> Result<(Vec<Row>, Vec<&'static str>)> {
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for workload in plan {
        println!("\n=== {}: {}", workload.name, workload.about);
        let begun = Instant::now();
        match (workload.run)(lab) {
            Ok(measured) => {
                print!("{}", table::plain(&measured));
                rows.extend(measured);
            }
            Err(error) if process::interrupted() => return Err(error),
            Err(error) => {
                println!("{error:#}");
                failed.push(workload.name);
            }
        }
        println!("=== {} took {} s", workload.name, begun.elapsed().as_secs());
    }
    Ok((rows, failed))
}

fn write_json(path: &Path, rows: &[Row]) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("making {}", path.display()))?;
    for row in rows {
        writeln!(file, "{}", serde_json::to_string(row)?)?;
    }
    Ok(())
}

fn save(page: &Path, machine: &str, quick: bool, rows: &[Row]) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    let quick = if quick { ", with `--quick`" } else { "" };
    let measured = format!("{machine}{quick}.\n\n{}", table::markdown(rows));
    fs::write(page, table::replace_measured(&text, &measured)?)?;
    println!("saved to {PAGE}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_chosen_by_name_in_their_own_order() {
        let names = |only: &[&str]| -> Result<Vec<&str>> {
            let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
            Ok(plan(&only)?.iter().map(|workload| workload.name).collect())
        };
        assert_eq!(names(&["idle", "fsync"]).expect("a plan"), ["fsync", "idle"]);
        assert_eq!(names(&[]).expect("a plan").len(), WORKLOADS.len());
        assert!(names(&["nothing"]).expect_err("unknown").to_string().contains("small-files"));
    }

    #[test]
    fn saved_figures_replace_the_old_ones_and_name_the_machine() {
        let dir = tempfile::tempdir().expect("a directory");
        let page = dir.path().join("page.md");
        fs::write(&page, "# P\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nend\n").expect("a page");
        let rows = [Row::new("idle", "requests", "", &[0.0]).on("s3", "15 s")];
        save(&page, "2030-01-01: 2 cores", true, &rows).expect("a page");
        let text = fs::read_to_string(&page).expect("the page");
        assert!(text.contains("2030-01-01: 2 cores, with `--quick`.\n\n| workload |"), "{text}");
        assert!(!text.contains("old") && text.ends_with("<!-- measured: end -->\nend\n"), "{text}");
    }

    #[test]
    fn json_has_one_object_a_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("rows");
        let row = Row::new("idle", "requests", "", &[0.0]);
        write_json(&path, &[row.clone(), row]).expect("a file");
        let text = fs::read_to_string(&path).expect("the file");
        let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1]["workload"], "idle");
    }
}
