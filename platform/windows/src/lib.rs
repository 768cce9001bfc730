//! Calls of Windows that ProxyFS needs and no library offers as safe functions: each module wraps one subject.
//!
//! Owns the unsafe code of the programs on Windows, which themselves have none. Decides nothing: who may ask, what is logged and when a
//! shutdown is held up is up to the callers. File systems are the business of the WinFsp adapter. On other systems the crate is empty.

#![cfg(windows)]

pub mod clock;
pub mod descriptor;
pub mod drives;
pub mod event_log;
pub mod identity;
pub mod network;
pub mod pipe;
pub mod process;
pub mod session_end;
pub mod stdio;
mod wide;
