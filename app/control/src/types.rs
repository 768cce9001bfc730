//! What is said over the interface: one file for each subject.
//!
//! Requests refuse unknown fields; answers may gain fields, so a client ignores those it does not know. No answer holds a
//! secret: secrets exist only inside requests, as [`Secret`](crate::secret::Secret).

mod amount;
pub mod cache;
pub mod credential;
pub mod daemon;
pub mod event;
pub mod logs;
pub mod names;
pub mod problem;
pub mod queue;
pub mod stats;
pub mod store_requests;
pub mod volume;

use std::collections::BTreeMap;

/// Settings of a volume by key, as `-o KEY=VALUE` takes them.
pub type Options = BTreeMap<String, String>;
