//! A simulated machine for `proxyfs_core::env`: a disk that can lose power, a clock, randomness. All from one seed.
//!
//! The fault model of the disk stands in [`SimDir`]; nothing here reads the real clock, the real disk or real randomness.

mod clock;

pub use clock::{SimClock, SimRng};
