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
#[cfg(windows)]
pub mod host;
pub mod listing;
pub mod meta;
pub mod name;
pub mod options;
pub mod path;
pub mod reparse;
pub mod security;
pub mod sid;
pub mod status;
pub mod time;

pub use drive::{Drive, DriveOptions};
#[cfg(windows)]
pub use host::{Mounted, Notifier, UnmountKind, check, mount, process_identity};
pub use options::{CachePolicy, MountOptions, MountPoint, Presentation};
pub use security::Identity;
pub use sid::Sid;
pub use status::Status;
