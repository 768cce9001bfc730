//! What a mount is asked to be.
//!
//! Owns the options and their defaults; how each becomes a flag of the kernel stands in `adapter` and in the OS modules.

use std::time::Duration;

use crate::system::{HERE, System};

/// Options of a mount. `MountOptions::default()` is a private, writable mount of the only writer.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// The source that `mount` and `df` show: the volume's name. Default `proxyfs`.
    pub fs_name: String,
    /// The part after `fuse.` in the type that `mount` shows. Default `proxyfs`.
    pub subtype: String,
    /// Refuse every change, in the kernel. Default false.
    pub read_only: bool,
    /// Let users other than the one who mounts in (permission bits and ACLs still hold). Default false.
    pub allow_other: bool,
    /// Mount over a directory that has entries, hiding them. Default false.
    pub allow_non_empty: bool,
    /// Honour set-user-id bits when running programs from the mount; root only. Default false.
    pub suid: bool,
    /// Let device nodes be opened; root only. Default false.
    pub dev: bool,
    /// Let programs be run. Default true.
    pub exec: bool,
    /// FUSE threads, each with its own channel to the kernel; at least 1, and on macOS always 1. Default 4.
    pub threads: usize,
    /// What the kernel may remember. Default [`CachePolicy::SoleWriter`].
    pub cache: CachePolicy,
    /// Who keeps fcntl locks. Default [`LockScope::Kernel`].
    pub locks: LockScope,
    /// Requests that the kernel may have under way on its own account (read-ahead, direct I/O). Default 64.
    pub max_background: u16,
    /// The kernel's read-ahead window in bytes, which bounds the size of a buffered read request. More than the kernel's own
    /// 128 KiB takes effect only when root mounts. Default 1 MiB.
    pub read_ahead_bytes: u32,
    /// How a name finds its entry. Default [`Names::Exact`] on Linux, [`Names::Equivalent`] on macOS.
    pub names: Names,
    /// What a mount on macOS is besides; without effect elsewhere.
    pub mac: MacOptions,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            fs_name: "proxyfs".to_owned(),
            subtype: "proxyfs".to_owned(),
            read_only: false,
            allow_other: false,
            allow_non_empty: false,
            suid: false,
            dev: false,
            exec: true,
            threads: 4,
            cache: CachePolicy::default(),
            locks: LockScope::default(),
            max_background: 64,
            read_ahead_bytes: 1024 * 1024,
            names: Names::default(),
            mac: MacOptions::default(),
        }
    }
}

/// How a name finds its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// By its bytes.
    Exact,
    /// By its bytes, else by its composed or decomposed spelling, as [`proxyfs_core::spelling`] says.
    Equivalent,
}

impl Default for Names {
    fn default() -> Self {
        match HERE {
            System::Linux => Self::Exact,
            System::MacOs => Self::Equivalent,
        }
    }
}

/// What a mount on macOS is besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MacOptions {
    /// The name that the Finder shows. Default: [`MountOptions::fs_name`] without what stands before its first colon.
    pub volume_name: Option<String>,
    /// Let programs make files named `._*` and `.DS_Store`. Without them nothing is lost, as extended attributes are kept as such,
    /// but the Finder forgets how its windows looked. Default false.
    pub apple_double: bool,
    /// Present the volume as a local disk rather than as a network volume: it stands in the Finder's sidebar, and programs which
    /// refuse network volumes work; but the Finder, Spotlight and backup programs may then read all of it. Default false.
    pub local: bool,
}

/// What the kernel may remember, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CachePolicy {
    /// Nobody changes the volume behind this kernel's back without telling it through [`crate::Invalidator`]: names and attributes
    /// are kept for an hour (on macOS a minute), and pages also from one open to the next.
    #[default]
    SoleWriter,
    /// Somebody else writes: names and attributes are kept for `ttl`, pages until the file is opened anew or seen changed.
    Follower {
        /// How old a name or attribute may be.
        ttl: Duration,
    },
}

/// How long names and attributes are kept under [`CachePolicy::SoleWriter`]. Shorter on macOS, where the invalidations that reach a
/// mount from elsewhere have been tried less.
const SOLE_WRITER_TTL: Duration = match HERE {
    System::Linux => Duration::from_secs(3600),
    System::MacOs => Duration::from_secs(60),
};
/// How long the absence of a name is kept under [`CachePolicy::SoleWriter`]; macFUSE keeps none. Short, since a lookup that races with an invalidation
/// can leave a wrong absence behind; long enough for compilers that search include paths.
const NEGATIVE_TTL: Duration = Duration::from_secs(10);

impl CachePolicy {
    /// How long a name or attribute may be used without asking again.
    pub(crate) fn ttl(self) -> Duration {
        match self {
            Self::SoleWriter => SOLE_WRITER_TTL,
            Self::Follower { ttl } => ttl,
        }
    }

    /// How long a name may be taken for absent without asking again.
    pub(crate) fn negative_ttl(self) -> Duration {
        self.ttl().min(NEGATIVE_TTL)
    }
}

/// Who keeps fcntl locks (POSIX and open-file-description locks).
///
/// flock locks are the kernel's in either case: the protocol crate does not pass on the flag that tells the two families apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockScope {
    /// The kernel: among all processes that use this mount. Waiting, signals and deadlock detection are the kernel's own.
    #[default]
    Kernel,
    /// The file system: locks are seen by its other users too (Linux only; macFUSE leaves locks to the kernel). The protocol crate does not handle FUSE_INTERRUPT, so a process
    /// that waits for a lock would not even die by SIGKILL; therefore its pending signals are looked up ten times a second and
    /// end the wait with EINTR.
    FileSystem,
}
