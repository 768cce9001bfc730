//! The model against a real kernel: the same random sequences on the model and on a temporary directory.
//!
//! This is what shows that the model tells the truth about POSIX and Linux. It needs root (devices, trusted attributes) and a
//! file system with attributes and access control lists for its temporary directory; without, it says so and passes. Other
//! systems' kernels follow other rules, so there it holds nothing.
#![cfg(target_os = "linux")]

#[path = "kernel/real_dir.rs"]
mod real_dir;

use proxyfs_harness::diff::{SequenceCheck, check_sequences};
use proxyfs_harness::ops::{Mask, Profile};

use real_dir::RealDir;

fn compare(seed: u64, profile: Profile, mask: Mask) {
    if let Err(why) = RealDir::usable() {
        eprintln!("skipped: {why}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let check = SequenceCheck { cases: 150, ops_max: 120, seed, profile, mask };
    check_sequences(&check, &runtime, |_| RealDir::new().expect("a temporary directory"));
}

/// The kernel's clock is not ours, and its creation times cannot be set.
const MASK: Mask = Mask { clocks_differ: true, atime: false, btime: true };

#[test]
fn the_model_agrees_with_the_kernel() {
    compare(11, Profile::KERNEL, MASK);
}

/// Whether a copy counts as a read of its source is the file system's own affair.
#[test]
fn the_model_agrees_with_the_kernel_on_copies() {
    compare(12, Profile { copies: true, ..Profile::KERNEL }, Mask { atime: true, ..MASK });
}
