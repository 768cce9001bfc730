//! Developer tasks, run as `cargo xtask TASK`. `docs/TESTING.md` is the manual.
//!
//! Owns how the tests are built, grouped, run and counted. Holds no tests of the product itself: those stand beside what they test
//! and in the other crates below `tests/`; only suites that are programs of others (pjdfstest, fsx) are driven from here.
#![allow(clippy::print_stdout, reason = "this program talks to its user on standard output")]

mod areas;
mod bench;
mod cross;
mod leftovers;
mod prerequisites;
mod process;
mod session;
mod tally;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Developer tasks of ProxyFS", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run the tests, area by area, and count them
    Test(test::TestArgs),
    /// Measure workloads, each beside what bounds it
    Bench(bench::BenchArgs),
    /// Build for Windows, and run the tests under Wine
    Windows(cross::windows::WindowsArgs),
    /// Check and build for macOS
    Macos(cross::macos::MacosArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Windows(args) => cross::windows::run(&args),
        Task::Macos(args) => cross::macos::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
