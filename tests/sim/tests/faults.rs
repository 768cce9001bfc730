//! A failure of every call, once or for good, while the script runs: an error of the disk or the store, not a crash.

use proxyfs_harness::sim::Faults;
use proxyfs_sim::gate::GatePlan;
use proxyfs_sim::script::script;
use proxyfs_sim::sweep::{Case, Comeback, Expected, Fault, count_calls, full_disk, one, unnoticed};
use proxyfs_sim::{is_long, runtime};

/// Failures shown before a sweep gives up.
const FAILURES_MAX: usize = 12;

fn once(call: u64) -> Fault {
    Fault::Local(Faults { fail_once: Some(call), ..Faults::default() })
}

fn for_good(call: u64) -> Fault {
    Fault::Local(Faults { fail_from: Some(call), ..Faults::default() })
}

fn disk(case: Case) {
    let runtime = runtime();
    let mut failures = Vec::new();
    runtime.block_on(async {
        let expected = Expected::new().await;
        let (local, _) = count_calls(case, &expected).await;
        for call in 1..=local {
            let mut runs = vec![(once(call), Comeback::Kill)];
            if is_long() || call % 2 == 0 {
                runs.push((for_good(call), Comeback::Kill));
                runs.push((once(call), Comeback::PowerLoss(call)));
                runs.push((for_good(call), Comeback::NewDisk));
            }
            for (fault, comeback) in runs {
                failures.extend(one(case, &expected, fault, comeback).await.err());
            }
            if failures.len() >= FAILURES_MAX {
                break;
            }
        }
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn store(case: Case) {
    let runtime = runtime();
    let mut failures = Vec::new();
    runtime.block_on(async {
        let expected = Expected::new().await;
        let (_, calls) = count_calls(case, &expected).await;
        for call in 1..=calls {
            failures.extend(unnoticed(case, &expected, Fault::Store(GatePlan::FailBefore(call))).await.err());
            failures.extend(unnoticed(case, &expected, Fault::Store(GatePlan::FailAfter(call))).await.err());
            for comeback in [Comeback::Kill, Comeback::NewDisk, Comeback::PowerLoss(call)] {
                failures.extend(one(case, &expected, Fault::Store(GatePlan::GoneFrom(call)), comeback).await.err());
            }
            if failures.len() >= FAILURES_MAX {
                break;
            }
        }
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_failure_of_any_local_call_loses_nothing_in_tier_disk() {
    disk(Case::ALL[0]);
}

#[test]
fn a_failure_of_any_local_call_loses_nothing_in_tier_disk_with_always() {
    disk(Case::ALL[1]);
}

#[test]
fn a_failure_of_any_local_call_loses_nothing_in_tier_store() {
    disk(Case::ALL[2]);
}

#[test]
fn a_failure_of_any_call_to_the_store_loses_nothing_in_tier_disk() {
    store(Case::ALL[0]);
}

#[test]
fn a_failure_of_any_call_to_the_store_loses_nothing_in_tier_store() {
    store(Case::ALL[2]);
}

fn full(case: Case) {
    let runtime = runtime();
    let (mut failures, mut full) = (Vec::new(), 0);
    runtime.block_on(async {
        let expected = Expected::new().await;
        for at in 0..script().len() {
            for room in [0, 8 << 10, 100 << 10] {
                match full_disk(case, &expected, at, room).await {
                    Ok(failed) => full += usize::from(failed),
                    Err(error) => failures.push(error),
                }
            }
            if failures.len() >= FAILURES_MAX {
                break;
            }
        }
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(full > 0, "the disk was never full");
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_in_tier_disk() {
    full(Case::ALL[0]);
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_in_tier_store() {
    full(Case::ALL[2]);
}
