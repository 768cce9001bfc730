//! The WinFsp adapter: shows any [`proxyfs_core::fs::FileSystem`] as a drive of Windows.
//!
//! Two layers. [`drive`] says what Windows' operations on files mean in terms of the file-system interface, in values and async
//! calls that know no Windows API, so that it is tested wherever Rust runs. Above it, on Windows only, thin code turns WinFsp's
//! callbacks into calls of it. What belongs to neither: rules of the file system itself (the engine's), share modes, byte-range
//! locks, oplocks and caching (the driver's).
//!
//! docs/PLATFORMS.md says of each behaviour of Windows how it is mapped and tested.

pub mod drive;
pub mod ea;
pub mod meta;
pub mod name;
pub mod path;
pub mod reparse;
pub mod status;
pub mod time;

pub use drive::{Drive, DriveOptions};
pub use status::Status;
