//! proxyfs-store.
