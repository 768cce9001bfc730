//! Object stores behind ProxyFS: S3, Swift, a local directory, memory.
//!
//! Each backend implements `proxyfs_core::store::ObjectStore` and makes each request once. Retries, limits, counters and
//! faults are wrappers around any store; [`open_store`](open::open_store) puts them together for a [`StoreUrl`]. What the
//! objects mean is not known here.

mod body;
pub mod containers;
pub mod count;
pub mod credentials;
pub mod fault;
mod key;
pub mod local;
pub mod mem;
pub mod network;
pub mod open;
pub mod pools;
pub mod probe;
pub mod retry;
mod rng;
pub mod s3;
pub mod swift;
pub mod url;

pub use containers::ContainerOptions;
pub use count::{Counted, Counters, StoreCounts, Usage};
pub use credentials::{Credentials, KeystoneScope};
pub use fault::FaultStore;
pub use local::LocalStore;
pub use mem::MemStore;
pub use network::Network;
pub use open::{OpenStore, StoreOptions, open_counted, open_offline, open_store};
pub use pools::Pools;
pub use probe::{Check, Finding, ProbeDepth, ProbeReport, Trouble, probe};
pub use retry::Retry;
pub use s3::S3Store;
pub use swift::SwiftStore;
pub use url::StoreUrl;
