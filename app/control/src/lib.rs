//! The management interface of ProxyFS: what a daemon can be asked, how the question travels, and who may ask.
//!
//! Owns the types, the HTTP server with its guards, the OpenAPI document (made from the handlers themselves) and a client. Knows
//! nothing of engines, mounts or stores: a [`backend::Control`] does what is asked. Unix sockets are in `server::unix`, named pipes of
//! Windows in `server::pipe`, and [`local`] is whichever of them the system has; all else is the same on every platform.

pub mod backend;
pub mod client;
pub mod local;
pub mod openapi;
pub mod redact;
pub mod ring;
pub mod secret;
pub mod server;
#[cfg(feature = "testing")]
pub mod testing;
pub mod types;

pub use backend::Control;
pub use client::Client;
pub use types::problem::{Kind, Problem};
