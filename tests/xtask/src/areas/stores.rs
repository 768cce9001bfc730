//! Whole mounts over real object stores: for each store the scenarios of the e2e crate and the store suite.
//!
//! A store whose programs are missing and cannot be had is skipped aloud. `PROXYFS_TEST_STORES` names the stores to run, by default all;
//! `PROXYFS_TEST_SCENARIOS` a part of the names of the scenarios to run.

use std::path::Path;

use anyhow::{Context, Result};
use proxyfs_e2e::scenarios::{ALL, Lab, Server};
use proxyfs_e2e::shared_store::WEED_VARIABLE;
use proxyfs_e2e::stores::{Conditional, RealStore, StoreKind};

use super::{RustTests, minutes, suite};
use crate::prerequisites as pre;
use crate::process;
use crate::session::Session;
use crate::tally::Tally;

/// Chooses stores, by name, with commas.
const STORES_VARIABLE: &str = "PROXYFS_TEST_STORES";
/// Chooses scenarios, by a part of their names.
const SCENARIOS_VARIABLE: &str = "PROXYFS_TEST_SCENARIOS";
/// Tell the store suite which store to run on, what the store does with a conditional put, and that it may make buckets.
const S3_VARIABLE: &str = "PROXYFS_TEST_S3_URL";
const SWIFT_VARIABLE: &str = "PROXYFS_TEST_SWIFT_URL";
const CONDITIONAL_VARIABLE: &str = "PROXYFS_TEST_CONDITIONAL_PUT";
const CONTAINERS_VARIABLE: &str = "PROXYFS_TEST_CREATE_CONTAINERS";

/// Runs the area.
pub(crate) fn run(session: &Session) -> Result<Tally> {
    if let Err(why) = suite::mounts() {
        println!("SKIP: {why}");
        return Ok(Tally::skip(format!("real stores: {why}")));
    }
    let chosen = std::env::var(STORES_VARIABLE).ok();
    let is_chosen = |kind: &StoreKind| chosen.as_ref().is_none_or(|c| c.split(',').any(|name| name == kind.name()));
    let mut tally = Tally::default();
    for kind in StoreKind::ALL.into_iter().filter(is_chosen) {
        let name = kind.name();
        println!("--- {name}");
        let one = match one(session, kind) {
            Err(error) if process::interrupted() => return Err(error),
            Err(error) => {
                println!("{error:#}");
                Tally::fail(format!("{name}: {error}"))
            }
            Ok(one) => one,
        };
        println!("--- {name}: {one}");
        tally.add(one);
    }
    Ok(tally)
}

fn one(session: &Session, kind: StoreKind) -> Result<Tally> {
    let name = kind.name();
    let program = match pre::store(session, kind) {
        Ok(program) => program,
        Err(why) => {
            println!("SKIP: {name}: {why}");
            return Ok(Tally::skip(format!("{name}: {why}")));
        }
    };
    let programs = suite::programs(session)?;
    let dir = session.scratch().join(name);
    let mut store = RealStore::start(kind, program.as_deref(), &dir.join("store")).context("starting the store")?;
    let mut lab = Lab::new(&programs.proxyfs, &dir.join("lab"), &mut store)?;
    let mut tally = Tally::default();
    let part = std::env::var(SCENARIOS_VARIABLE).unwrap_or_default();
    let scenarios: Vec<_> = ALL.iter().filter(|s| lab.suits(s) && s.name.contains(&part)).collect();
    for scenario in scenarios {
        let begun = std::time::Instant::now();
        let outcome = (scenario.run)(&mut lab);
        let took = begun.elapsed().as_secs();
        match &outcome {
            Ok(()) => println!("PASS {name}: {} in {took} s", scenario.name),
            Err(error) => println!("FAIL {name}: {} in {took} s\n{error:#}", scenario.name),
        }
        tally.add(Tally::check(outcome.is_ok(), format!("{name}: {}", scenario.name)));
        anyhow::ensure!(!process::interrupted(), "interrupted");
    }
    tally.add(store_suite(session, kind, &mut store)?);
    if let (StoreKind::Seaweed, Some(program)) = (kind, &program) {
        drop(store);
        tally.add(handover(session, program)?);
    }
    Ok(tally)
}

/// The rounds of hand-over between two machines, over SeaweedFS instead of the harness's server.
fn handover(session: &Session, weed: &Path) -> Result<Tally> {
    let tests = RustTests { only: Some("handover"), limit: minutes(40), ..RustTests::of("proxyfs-e2e") };
    let tests = tests.alone().programs().needs(suite::mounts);
    suite::run_with(session, &tests, &[(WEED_VARIABLE, weed.display().to_string())])
}

/// The suite that every kind of store passes, on this one. It makes its bucket if no scenario has.
fn store_suite(session: &Session, kind: StoreKind, store: &mut RealStore) -> Result<Tally> {
    let (variable, names) =
        if kind == StoreKind::Swift { (SWIFT_VARIABLE, "real_swift::") } else { (S3_VARIABLE, "real_s3::") };
    let tests =
        RustTests { only: Some("suite"), names: Some(names), limit: minutes(15), ..RustTests::of("proxyfs-store") };
    let conditional = match kind.conditional() {
        Conditional::Atomic => "atomic",
        Conditional::InSequence => "in-sequence",
        Conditional::Ignored => "ignored",
        Conditional::Refused => "refused",
    };
    let mut variables = vec![(variable.to_owned(), store.url("suite")?)];
    variables.push((CONDITIONAL_VARIABLE.to_owned(), conditional.to_owned()));
    variables.push((CONTAINERS_VARIABLE.to_owned(), "yes".to_owned()));
    variables.extend(store.variables());
    let variables: Vec<(&str, String)> = variables.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    suite::run_with(session, &tests, &variables)
}
