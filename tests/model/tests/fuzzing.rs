//! The targets that need a whole engine, on a bounded number of random inputs.
//!
//! `PROXYFS_FUZZ_ROUNDS` sets the inputs of each target.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::atomic::{AtomicUsize, Ordering};

use proxyfs_harness::sim::SimRng;
use proxyfs_model::fuzzing::TARGETS;

/// Inputs of each target, unless the environment says otherwise.
const ROUNDS: u64 = 300;
/// Longest input.
const INPUT_BYTES_MAX: u64 = 250;

fn rounds() -> u64 {
    std::env::var("PROXYFS_FUZZ_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(ROUNDS)
}

fn input(seed: u64) -> Vec<u8> {
    let rng = SimRng::new(seed);
    let len = 1 + rng.below(INPUT_BYTES_MAX);
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

/// A panic in a task of the engine's counts too, though nobody waits for it.
#[test]
fn no_target_panics_on_random_inputs() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let shown = take_hook();
    set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        shown(info);
    }));
    for (name, target) in TARGETS {
        for round in 0..rounds() {
            let input = input(round);
            let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
            let hex: String = input.iter().map(|b| format!("{b:02x}")).collect();
            assert!(outcome.is_ok() && PANICS.load(Ordering::SeqCst) == 0, "{name}: round {round} panics on {hex}");
        }
    }
}
