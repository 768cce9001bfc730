//! The adapter under the real user-mode library of WinFsp, driven by a double of its kernel driver.
//!
//! Cases are written from WinFsp's and Microsoft's documents, by subject. Each runs over the reference model, with names that differ by
//! case, and over the engine on a local directory, with names that do not. What the double cannot show stands in docs/PLATFORMS.md.
#![cfg(windows)]
#![allow(missing_docs, clippy::unwrap_used, clippy::needless_pass_by_value, reason = "a test program")]

mod attributes;
mod cases;
mod create;
mod data;
mod delete;
mod dir;
mod eas;
mod exchange;
#[path = "../../../fuse/tests/common/hooked.rs"]
mod hooked;
mod lifecycle;
mod names;
mod notify;
mod random;
mod rename;
mod reopen;
mod reparse;
mod security;
mod share;
mod streams;
mod threads;
mod volume;
mod wait;
mod world;
