//! What the targets share: the bound on what an input may have allocated.

use peak_alloc::PeakAlloc;
use proxyfs_core::fuzzing::{TARGETS, allocation_max};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Runs one input of a decoder's target.
///
/// # Panics
/// When a property breaks, or more is allocated than the target may.
pub fn decode(name: &str, input: &[u8]) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).expect("a target's name");
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    target(input);
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(peak <= allocation_max(name, input.len()), "{name} allocates {peak} bytes for {} of input", input.len());
}
