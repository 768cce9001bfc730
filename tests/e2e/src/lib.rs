//! Drives the built `proxyfs` program the way a person does: its commands, real mounts, kills, and an S3 server beside it.
//!
//! The library is for tests and developer tasks; the tests of this crate use it. It knows the program only by its command line. Every
//! mount is a child process of the test, so it is killed and waited for by its own id, and never found by name.
#![cfg(target_os = "linux")]

mod daemon;
mod home;
pub mod ledger;
pub mod load;
mod mount;
pub mod namespace;
pub mod network;
mod refusal;
mod s3;
pub mod scenarios;
pub mod shared_store;
pub mod stores;
pub mod tree;
mod wait;

pub use daemon::Daemon;
pub use home::Home;
pub use mount::{Mount, is_mounted};
pub use refusal::Expected;
pub use s3::{S3Process, Traffic};
pub use wait::{Finished, finish_within, output_within, wait_child, wait_until};
