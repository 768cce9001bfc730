//! The comparison itself: a model agrees with a model, and one that lies is caught.

use std::sync::Arc;

use proxyfs_harness::diff::{Options, Plain, SequenceCheck, check_sequences, run_compare};
use proxyfs_harness::model::Model;
use proxyfs_harness::ops::{Mask, Op, Profile, Reply, Slots, apply, seeded_ops};
use proxyfs_harness::sim::SimClock;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime")
}

#[test]
fn two_models_agree_on_random_sequences() {
    let check = SequenceCheck { cases: 60, ops_max: 150, seed: 1, profile: Profile::FULL, mask: Mask::default() };
    check_sequences(&check, &runtime(), |clock| Plain(Model::new(clock)));
}

#[test]
#[should_panic(expected = "operation 0 differs")]
fn a_clock_that_is_off_is_found() {
    let check = SequenceCheck { cases: 60, ops_max: 50, seed: 2, profile: Profile::FULL, mask: Mask::default() };
    check_sequences(&check, &runtime(), |clock| {
        let other = SimClock::manual();
        other.advance_nanos(1);
        drop(clock);
        Plain(Model::new(Arc::new(other)))
    });
}

#[test]
fn a_tree_that_differs_is_found_even_if_no_operation_looks() {
    let clock = Arc::new(SimClock::manual());
    let mut left = Plain(Model::new(Arc::clone(&clock) as _));
    let mut right = Plain(Model::new(Arc::clone(&clock) as _));
    let op = seeded_ops(Profile::KERNEL, 3).find(|op| matches!(op, Op::Mkdir { path, .. } if path.dir.is_empty()));
    runtime().block_on(async {
        apply(&right.0, &mut Slots::new(Mask::default()), &op.expect("a mkdir in the root")).await;
        let options = Options { mask: Mask::default(), clock: None };
        let divergence = run_compare(&mut left, &mut right, &[], &options).await.expect_err("trees differ");
        assert!(divergence.right.contains("only right"), "{divergence}");
    });
}

#[test]
fn a_seed_determines_the_sequence() {
    let first: Vec<Op> = seeded_ops(Profile::FULL, 7).take(200).collect();
    let again: Vec<Op> = seeded_ops(Profile::FULL, 7).take(200).collect();
    let other: Vec<Op> = seeded_ops(Profile::FULL, 8).take(200).collect();
    assert_eq!(first, again);
    assert_ne!(first, other);
}

/// A generator whose operations mostly fail or do nothing would prove little.
#[test]
fn a_good_part_of_random_operations_succeeds() {
    let model = Model::new(Arc::new(SimClock::stepping(1)));
    let mut slots = Slots::new(Mask::default());
    let (mut worked, mut data) = (0, 0);
    runtime().block_on(async {
        for op in seeded_ops(Profile::FULL, 9).take(10_000) {
            match apply(&model, &mut slots, &op).await.reply {
                Reply::Failed(_) | Reply::Skipped => {}
                Reply::Data { len, .. } if len > 0 => {
                    data += 1;
                    worked += 1;
                }
                _ => worked += 1,
            }
        }
    });
    assert!(worked > 4000, "only {worked} of 10000 worked");
    assert!(data > 150, "only {data} reads found data");
}
