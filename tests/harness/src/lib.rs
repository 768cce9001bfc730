//! proxyfs-harness.
