//! A simulated machine for `proxyfs_core::env`: a disk that can lose power, a clock, randomness. All from one seed. And a store that
//! never fails.
//!
//! **Fault model of the disk.** Data is safe once `sync_data` has finished, a name once `sync_dir` on its directory has, both at
//! once with `replace`. When power is lost, what is not safe survives in part: of changed 4 KiB blocks each may be old, new, or a
//! mix of old and new 512-byte sectors; a length may be old, new or between; of changes to names any subset may be there.
//! When only the process dies, everything written stays, though the call under way may have been half done. Any call can be
//! made to fail, once or for good, and the disk can be full.
//!
//! Nothing here reads the real clock, the real disk or real randomness: the same calls with the same seed give the same bytes.

mod bytes;
mod calls;
mod clock;
mod dir;
mod disk;
mod store;

use std::sync::Arc;

use proxyfs_core::env::Env;

pub use calls::{CallCounter, Faults, is_simulated_crash};
pub use clock::{SimClock, SimRng};
pub use dir::SimDir;
pub use disk::Crash;
pub use store::SimStore;

/// A whole simulated environment.
#[derive(Clone, Debug)]
pub struct SimEnv {
    /// The disk.
    pub dir: Arc<SimDir>,
    /// The clock.
    pub clock: Arc<SimClock>,
    /// Randomness.
    pub rng: Arc<SimRng>,
}

impl SimEnv {
    /// An empty disk, a clock that moves a millisecond with each look, and randomness from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        const STEP_NANOS: u64 = 1_000_000;
        Self {
            dir: Arc::new(SimDir::new()),
            clock: Arc::new(SimClock::stepping(STEP_NANOS)),
            rng: Arc::new(SimRng::new(seed)),
        }
    }

    /// The environment in the form that the engine takes.
    #[must_use]
    pub fn env(&self) -> Env {
        Env { dir: Arc::clone(&self.dir) as _, clock: Arc::clone(&self.clock) as _, rng: Arc::clone(&self.rng) as _ }
    }

    /// The machine after a crash: the disk as the crash left it, no faults planned, clock and randomness going on.
    #[must_use]
    pub fn crashed(&self, crash: Crash) -> Self {
        Self { dir: Arc::new(self.dir.crash(crash)), clock: Arc::clone(&self.clock), rng: Arc::clone(&self.rng) }
    }
}
