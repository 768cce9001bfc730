//! Keeps this process's memory from ending up in a file.
//!
//! While a store is open, its client holds the secret; a core image would hold it too. So the kernel is told to write none, which
//! also keeps other processes of the same user from reading this one's memory. `PROXYFS_CORE_DUMPS=1` leaves core images on, for
//! looking into a crash.

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
