//! proxyfs-harness.

pub mod s3server;
