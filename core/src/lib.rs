//! The ProxyFS engine: a log-structured file system over object storage.
//!
//! The engine has no network and no OS mount API; it reaches the world through the traits in [`store`] and [`env`]. Adapters
//! call it through [`fs::FileSystem`]. ARCHITECTURE.md is the map, docs/FORMAT.md specifies every stored byte.

pub mod acl;
pub mod changes;
pub mod config;
mod disk_cache;
mod disk_room;
pub mod dump;
pub mod engine;
pub mod env;
pub mod error;
pub mod format;
mod frame_cache;
pub mod fs;
pub mod fsck;
#[doc(hidden)]
pub mod fuzzing;
pub mod kv;
pub mod limits;
pub mod local_only;
pub mod locks;
pub mod meter;
pub mod ops;
pub mod pace;
pub mod spelling;
pub mod store;
pub mod tree;
pub mod types;
pub mod volume;

pub use error::{Error, ErrorKind, Result};
