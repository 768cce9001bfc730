//! A crash at every call, local or to the store, while the script runs.

use proxyfs_harness::sim::Faults;
use proxyfs_sim::gate::{Conditional, GatePlan};
use proxyfs_sim::sweep::{Case, Comeback, Expected, Fault, count_calls, one};
use proxyfs_sim::{is_long, runtime};

/// Failures shown before a sweep gives up.
const FAILURES_MAX: usize = 12;

/// One of so many runs of the sweeps that vary store and layout; odd, so that all kinds of comeback have their turn.
const SHARE: usize = 7;

fn stop_at(call: u64) -> Fault {
    Fault::Local(Faults { stop_at: Some(call), ..Faults::default() })
}

/// Seeds of what a power loss leaves.
fn seeds(call: u64) -> Vec<u64> {
    if is_long() { (0..8).map(|i| call * 8 + i).collect() } else { vec![call] }
}

/// Of all crashes and comebacks, one in `share` unless the long form is asked for.
fn sweep(case: Case, share: usize) {
    let runtime = runtime();
    let mut failures = Vec::new();
    runtime.block_on(async {
        let expected = Expected::new().await;
        let (local, store) = count_calls(case, &expected).await;
        let mut runs = Vec::new();
        let faults = (1..=local).map(stop_at);
        let faults = faults.chain(
            (1..=store).flat_map(|n| [Fault::Store(GatePlan::CrashBefore(n)), Fault::Store(GatePlan::CrashAfter(n))]),
        );
        for (index, fault) in (0..).zip(faults) {
            runs.push((fault, Comeback::Kill));
            runs.push((fault, Comeback::NewDisk));
            runs.push((fault, Comeback::Offline));
            for seed in seeds(index) {
                runs.push((fault, Comeback::PowerLoss(seed)));
                if is_long() || index % 3 == 0 {
                    runs.push((fault, Comeback::KillThenPowerLoss(seed)));
                }
            }
        }
        eprintln!("{case:?}: {local} local calls, {store} calls to the store, {} runs", runs.len());
        let share = if is_long() { 1 } else { share };
        for (fault, comeback) in runs.into_iter().step_by(share) {
            if let Err(error) = one(case, &expected, fault, comeback).await {
                failures.push(error);
                if failures.len() >= FAILURES_MAX {
                    break;
                }
            }
        }
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_crash_at_any_call_leaves_a_prefix_in_tier_disk() {
    sweep(Case::ALL[0], 1);
}

#[test]
fn a_crash_at_any_call_loses_nothing_acknowledged_in_tier_disk_with_always() {
    sweep(Case::ALL[1], 1);
}

#[test]
fn a_crash_at_any_call_leaves_a_prefix_in_tier_store() {
    sweep(Case::ALL[2], 1);
}

#[test]
fn a_crash_at_any_call_loses_nothing_acknowledged_in_tier_store_with_always() {
    sweep(Case::ALL[3], 1);
}

#[test]
fn a_crash_at_any_call_leaves_a_prefix_on_a_store_that_ignores_conditions() {
    sweep(Case::ALL[0].settling(Conditional::Ignored), SHARE);
    sweep(Case::ALL[2].settling(Conditional::Ignored), SHARE);
}

#[test]
fn a_crash_at_any_call_leaves_a_prefix_on_a_store_that_checks_conditions_late() {
    sweep(Case::ALL[2].settling(Conditional::Late), SHARE);
}

#[test]
fn a_crash_at_any_call_leaves_a_prefix_of_a_volume_in_several_containers() {
    sweep(Case::ALL[0].spread(4, 3, 0), SHARE);
    sweep(Case::ALL[2].spread(1, 5, 0), SHARE);
}

#[test]
fn a_crash_at_any_call_leaves_a_prefix_of_a_volume_that_takes_a_new_container_every_few_objects() {
    sweep(Case::ALL[0].spread(2, 1, 3), SHARE);
    sweep(Case::ALL[2].spread(2, 1, 3), SHARE);
}
