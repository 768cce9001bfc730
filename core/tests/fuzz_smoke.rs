//! Every fuzz target on a bounded number of mutated fixtures: no panic, no broken property, no absurd allocation.
//!
//! The mutator is seeded, so that a failure comes back. `PROXYFS_FUZZ_ROUNDS` sets the mutations of each fixture.

#[path = "fixtures/mod.rs"]
#[expect(dead_code, reason = "only the encoded bytes serve as seeds")]
mod fixtures;

use std::panic::{AssertUnwindSafe, catch_unwind};

use peak_alloc::PeakAlloc;
use proxyfs_core::fuzzing::{TARGETS, allocation_max};

/// Mutations of each fixture for each target, unless the environment says otherwise.
const ROUNDS: u64 = 300;
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A small generator (SplitMix64), so that a seed gives the same mutations for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`; 0 for 0.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// One change: a bit, a byte, a run of 0xff (long varints), a cut, an insertion, a removal, or a splice with `other`.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(8) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
        2 => {
            let end = bytes.len().min(at + 1 + random.below(9));
            bytes[at..end].fill(0xff);
        }
        3 => bytes.truncate(at),
        4 => {
            let run = vec![random.next() as u8; 1 + random.below(16)];
            bytes.splice(at..at, run);
        }
        5 => {
            let end = bytes.len().min(at + random.below(16));
            bytes.drain(at..end);
        }
        6 => {
            let (from, to) = (random.below(other.len()), random.below(other.len()));
            bytes.splice(at..at, other[from.min(to)..from.max(to)].iter().copied());
        }
        _ => {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len())..]);
        }
    }
}

/// Seeds of what has no fixture, one file each.
fn extra_seeds() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/local");
    let mut paths: Vec<_> = std::fs::read_dir(folder).expect(folder).map(|e| e.expect(folder).path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).expect(folder)).collect()
}

/// The fixtures, what has none, and for each value one more with its key in front as the `values` target wants it.
fn seeds() -> Vec<Vec<u8>> {
    let all: Vec<(String, Vec<u8>)> = fixtures::all().into_iter().map(|f| (f.name, f.encoded)).collect();
    let is_key = |name: &str| name.starts_with("key-");
    let mut seeds: Vec<Vec<u8>> = all.iter().map(|(_, bytes)| bytes.clone()).collect();
    seeds.extend(extra_seeds());
    for (_, key) in all.iter().filter(|(name, _)| is_key(name)) {
        for (_, value) in all.iter().filter(|(name, _)| !is_key(name)) {
            seeds.push([&[key.len() as u8], key.as_slice(), value].concat());
        }
    }
    seeds
}

fn rounds() -> u64 {
    std::env::var("PROXYFS_FUZZ_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(ROUNDS)
}

/// Bytes as hex, to be turned into a named test.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Runs one input; fails with all that is needed to see it again.
fn run(name: &str, target: fn(&[u8]), input: &[u8], round: u64) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(outcome.is_ok(), "{name}: round {round} panics on {}", hex(input));
    assert!(
        peak <= allocation_max(name, input.len()),
        "{name}: round {round} allocates {peak} bytes for {}",
        hex(input)
    );
}

#[test]
fn no_target_panics_or_allocates_absurdly_on_mutated_fixtures() {
    let seeds = seeds();
    for (name, target) in TARGETS {
        for (number, seed) in seeds.iter().enumerate() {
            let mut random = Random(number as u64);
            // Seeds with a key in front are for one target only, and many.
            let rounds = if number < 64 || name == "values" { rounds() } else { 4 };
            run(name, target, seed, 0);
            for round in 1..=rounds {
                let mut input = seed.clone();
                for _ in 0..=random.below(4) {
                    let other = &seeds[random.below(seeds.len())];
                    mutate(&mut input, other, &mut random);
                }
                run(name, target, &input, round);
            }
        }
    }
}
