//! Simulated wall clock and randomness.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use proxyfs_core::env::{Clock, Rng};
use proxyfs_core::types::Timestamp;

/// Where simulated time begins: 2025-01-01 00:00 UTC.
const START_SECS: i64 = 1_735_689_600;
const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A clock that moves only when told to, or by a fixed step with each look at it.
#[derive(Debug)]
pub struct SimClock {
    /// Nanoseconds since the start.
    elapsed: AtomicU64,
    step_nanos: u64,
}

impl SimClock {
    /// A clock that moves by `step_nanos` after each look.
    #[must_use]
    pub fn stepping(step_nanos: u64) -> Self {
        Self { elapsed: AtomicU64::new(0), step_nanos }
    }

    /// A clock that moves only by [`SimClock::advance_nanos`], so that any number of looks in between see the same time.
    #[must_use]
    pub fn manual() -> Self {
        Self::stepping(0)
    }

    /// Moves the clock.
    pub fn advance_nanos(&self, nanos: u64) {
        self.elapsed.fetch_add(nanos, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let elapsed = self.elapsed.fetch_add(self.step_nanos, Ordering::SeqCst);
        Timestamp::new(START_SECS + (elapsed / NANOS_PER_SEC) as i64, (elapsed % NANOS_PER_SEC) as u32)
    }
}

/// Random bytes from a seed (splitmix64).
#[derive(Debug)]
pub struct SimRng {
    state: Mutex<u64>,
}

impl SimRng {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new(seed) }
    }

    /// The next number of the sequence.
    pub fn next_u64(&self) -> u64 {
        let mut state = self.state.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

impl Rng for SimRng {
    fn fill(&self, buf: &mut [u8]) {
        for chunk in buf.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}
