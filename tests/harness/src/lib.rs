//! The test harness of ProxyFS: the reference model, random operations, and a simulated environment.
//!
//! [`model`] defines what correct means; [`ops`], [`tree`] and [`diff`] hold any two implementations of
//! [`proxyfs_core::fs::FileSystem`] against each other; [`sim`] replaces disk, clock and randomness below the engine.

pub mod diff;
pub mod model;
pub mod ops;
pub mod sim;
pub mod tree;

#[cfg(feature = "s3server")]
pub mod s3server;
