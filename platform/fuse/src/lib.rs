//! proxyfs-fuse.
