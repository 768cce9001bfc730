//! Keeps this process's memory from ending up in a file, and in use without need.
//!
//! While a store is open, its client holds the secret; a core image would hold it too. So the kernel is told to write none, which
//! also keeps other processes of the same user from reading this one's memory. `PROXYFS_CORE_DUMPS=1` leaves core images on, for
//! looking into a crash.

/// Allocations of this size and more are pages of their own, which cost nothing until they are touched. Each FUSE thread has a buffer for the largest
/// request that there could ever be, just above it, and hardly uses any of it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_PAGES_BYTES: libc::c_int = 16 << 20;

/// Has large allocations cost what is used of them. The C library would raise the bound once one of them is freed, and clear all
/// of those that follow by hand: 16 MiB for each thread of each mount.
pub(crate) fn take_no_more_than_used() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // Memory given back at the end of the heap is kept up to twice as much, as the C library would come to do, too.
        for (parameter, bytes) in
            [(libc::M_MMAP_THRESHOLD, OWN_PAGES_BYTES), (libc::M_TRIM_THRESHOLD, 2 * OWN_PAGES_BYTES)]
        {
            // SAFETY: mallopt(3) takes two integers by value; it is called before any other thread exists.
            if unsafe { libc::mallopt(parameter, bytes) } == 0 {
                tracing::debug!(parameter, "the C library does not know this parameter");
            }
        }
    }
}

/// Leaves core images on when it is `1`.
#[cfg(target_os = "linux")]
const VARIABLE: &str = "PROXYFS_CORE_DUMPS";

/// Forbids core images of this process. Children that run another program decide anew.
pub(crate) fn keep_private() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if std::env::var_os(VARIABLE).is_some_and(|v| v == "1") {
            return;
        }
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "core images of this process stay possible");
        }
    }
}
