//! The table of areas: what can be tested, when it is there, and how it is run.
//!
//! To add an area, add a row to [`AREAS`]. An area whose parts the workspace does not have is not listed. Areas run in this order:
//! cheap and general first, so that what is wrong shows early.

mod control;
mod fsx;
mod fuzz;
mod licences;
mod mounted;
mod pjdfstest;
mod rules;
mod stores;
mod style;
pub(crate) mod suite;
mod workflows;

use std::time::Duration;

use anyhow::Result;

use crate::cross::{macos, windows};
use crate::session::Session;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Something that can be tested by itself.
#[derive(Debug)]
pub(crate) struct Area {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it shows, in a few words.
    pub(crate) about: &'static str,
    /// Only with `--long`, or when chosen by name.
    pub(crate) long_only: bool,
    /// Whether the workspace has what it tests.
    exists: fn(&Workspace) -> bool,
    /// What it does.
    pub(crate) work: Work,
}

/// How an area is run.
#[derive(Debug)]
pub(crate) enum Work {
    /// Tests written in Rust.
    Rust(RustTests),
    /// Anything else.
    Custom(fn(&Session) -> Result<Tally>),
}

/// Which of the workspace's Rust tests an area runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RustTests {
    /// The package that holds them.
    pub(crate) package: &'static str,
    /// Test programs left to other areas.
    pub(crate) except: &'static [&'static str],
    /// The one test program to run, if not all.
    pub(crate) only: Option<&'static str>,
    /// The beginning of the names of the tests to run, if not all.
    pub(crate) names: Option<&'static str>,
    /// One test at a time: for tests that measure time or load the machine.
    pub(crate) alone: bool,
    /// Whether they drive the built programs.
    pub(crate) programs: bool,
    /// What the tests need that a machine may lack; the error is the reason of the skip.
    pub(crate) needs: fn() -> Result<(), String>,
    /// Bound of the whole area, without building.
    pub(crate) limit: Duration,
}

impl RustTests {
    pub(crate) const fn of(package: &'static str) -> Self {
        Self {
            package,
            except: &[],
            only: None,
            names: None,
            alone: false,
            programs: false,
            needs: nothing,
            limit: minutes(10),
        }
    }

    const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    pub(crate) const fn programs(self) -> Self {
        Self { programs: true, ..self }
    }

    const fn except(self, except: &'static [&'static str]) -> Self {
        Self { except, ..self }
    }

    pub(crate) const fn needs(self, needs: fn() -> Result<(), String>) -> Self {
        Self { needs, ..self }
    }

    const fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}

impl Area {
    const fn rust(name: &'static str, about: &'static str, exists: fn(&Workspace) -> bool, tests: RustTests) -> Self {
        Self { name, about, long_only: false, exists, work: Work::Rust(tests) }
    }

    const fn custom(
        name: &'static str,
        about: &'static str,
        exists: fn(&Workspace) -> bool,
        run: fn(&Session) -> Result<Tally>,
    ) -> Self {
        Self { name, about, long_only: false, exists, work: Work::Custom(run) }
    }
}

/// All areas.
pub(crate) const AREAS: &[Area] = &[
    Area::custom("style", "formatting, lints, licences, workflows, house rules", |_| true, style::run),
    Area::rust("xtask", "this program", |_| true, RustTests::of("xtask")),
    Area::rust(
        "core",
        "the engine: formats, tree, rules, log, volume",
        |w| w.has_member("proxyfs-core"),
        RustTests::of("proxyfs-core").except(&[fuzz::SMOKE]),
    ),
    Area::rust(
        "store",
        "object stores: S3, local directory, retries, limits, faults",
        |w| w.has_member("proxyfs-store"),
        RustTests::of("proxyfs-store"),
    ),
    Area::rust(
        "harness",
        "the reference model against a real kernel, and the test tools",
        |w| w.has_member("proxyfs-harness"),
        RustTests::of("proxyfs-harness").needs(suite::attributes),
    ),
    Area::rust(
        "model",
        "the engine against the reference model",
        |w| w.has_member("proxyfs-model"),
        RustTests::of("proxyfs-model").limit(minutes(20)),
    ),
    Area::rust(
        "sim",
        "crashes at every I/O call, faults, and recovery",
        |w| w.has_member("proxyfs-sim"),
        RustTests::of("proxyfs-sim").limit(minutes(20)),
    ),
    Area::custom("fuzz", "damaged and hostile bytes into every decoder", |w| w.has(fuzz::SMOKE_FILE), fuzz::run),
    Area::rust(
        "fuse",
        "the FUSE adapter on real mounts",
        |w| w.has("platform/fuse/tests"),
        RustTests::of("proxyfs-fuse").needs(suite::mounts),
    ),
    Area::rust(
        "winfsp",
        "the adapter to Windows, as far as it is the same everywhere",
        |w| w.has_member("proxyfs-winfsp"),
        RustTests::of("proxyfs-winfsp"),
    ),
    Area::custom(
        "control",
        "the management interface: who may ask, bad requests, every call, its OpenAPI document",
        |w| w.has_member("proxyfs-control"),
        control::run,
    ),
    Area::rust(
        "credentials",
        "named credentials: sources, their order, files that others may read",
        |w| w.has_member("proxyfs-credentials"),
        RustTests::of("proxyfs-credentials"),
    ),
    Area::rust(
        "cli",
        "the program's commands",
        |w| w.has("app/cli/tests"),
        RustTests::of("proxyfs").needs(suite::program_tests),
    ),
    Area::custom("pjdfstest", "POSIX conformance of a real mount", has_program, pjdfstest::run),
    Area::custom("fsx", "random operations on one file of a real mount, also killed half-way", has_program, fsx::run),
    Area::rust(
        "e2e",
        "killed servers, lost stores and take-over on real mounts",
        |w| w.has_member("proxyfs-e2e") && has_program(w),
        RustTests::of("proxyfs-e2e")
            .except(&[windows::exchange::TEST])
            .alone()
            .programs()
            .needs(suite::mounts)
            .limit(minutes(25)),
    ),
    Area::custom(
        "windows",
        "lints and tests for Windows, the tests under Wine",
        |w| w.has_member("proxyfs-core"),
        windows::area,
    ),
    Area::custom(
        "macos",
        "the workspace compiles for macOS, and the program links",
        |w| w.has_member("proxyfs-core"),
        macos::area,
    ),
    Area {
        long_only: true,
        ..Area::custom("stores", "whole mounts over SeaweedFS, Ceph, Swift and Garage", has_program, stores::run)
    },
];

/// The areas that this workspace has.
pub(crate) fn listed(workspace: &Workspace) -> Vec<&'static Area> {
    AREAS.iter().filter(|area| (area.exists)(workspace)).collect()
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Whether the program is there, and not only its crate.
fn has_program(workspace: &Workspace) -> bool {
    workspace.has("app/cli/src/commands/mount.rs")
}

const fn nothing() -> Result<(), String> {
    Ok(())
}
