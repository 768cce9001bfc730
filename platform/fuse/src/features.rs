//! What is agreed with the kernel when a mount begins.

use fuser::{FopenFlags, InitFlags, KernelConfig};
use tracing::{debug, warn};

use crate::options::{CachePolicy, LockScope, MountOptions};

/// Largest write request in bytes; also the most that Linux accepts by default (`fs.fuse.max_pages_limit`).
const WRITE_BYTES_MAX: u32 = 1024 * 1024;

/// Features wanted on every mount; each is left out where the kernel lacks it.
///
/// - `FUSE_DONT_MASK`, `FUSE_POSIX_ACL`: the engine applies umask and default ACL; the kernel enforces ACLs.
/// - `FUSE_HANDLE_KILLPRIV_V2`: the file system clears set-user-id bits, so the kernel need not ask for `security.capability` before
///   each write. Only the flag on writes reaches us; see `adapter` for truncation, opening and fallocate.
/// - `FUSE_EXPORT_SUPPORT`: `.` and `..` are understood by lookup, so file handles (NFS export) outlive the kernel's cache.
/// - No `FUSE_ATOMIC_O_TRUNC`: the kernel would send the truncation with the open, before it looks whether the file is a running
///   program (ETXTBSY): the program would be cut all the same. A separate setattr comes after that look.
/// - No `FUSE_WRITEBACK_CACHE`: it acknowledges writes before the engine knows of them.
/// - No `FUSE_FLOCK_LOCKS`: see [`LockScope`].
const WANTED: &[InitFlags] = &[
    InitFlags::FUSE_ASYNC_READ,
    InitFlags::FUSE_BIG_WRITES,
    InitFlags::FUSE_MAX_PAGES,
    InitFlags::FUSE_EXPORT_SUPPORT,
    InitFlags::FUSE_DONT_MASK,
    InitFlags::FUSE_POSIX_ACL,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
];

/// Tells the kernel what we do.
pub(crate) fn negotiate(options: &MountOptions, config: &mut KernelConfig) {
    let pages = match options.cache {
        CachePolicy::SoleWriter => InitFlags::FUSE_EXPLICIT_INVAL_DATA,
        CachePolicy::Follower { .. } => InitFlags::FUSE_AUTO_INVAL_DATA,
    };
    let locks = match options.locks {
        LockScope::Kernel => InitFlags::empty(),
        LockScope::FileSystem => InitFlags::FUSE_POSIX_LOCKS,
    };
    for flag in WANTED.iter().copied().chain([pages, locks]) {
        if config.add_capabilities(flag).is_err() {
            debug!(?flag, "the kernel does not have this feature");
        }
    }
    if let Err(nearest) = config.set_max_write(WRITE_BYTES_MAX) {
        warn!(nearest, "a write size of {WRITE_BYTES_MAX} was refused");
    }
    // The kernel offers its own window as the most; a larger one is set from outside once mounted.
    if let Err(most) = config.set_max_readahead(options.read_ahead_bytes.max(1)) {
        let _unchanged = config.set_max_readahead(most);
    }
    if let Err(nearest) = config.set_max_background(options.max_background.max(1)) {
        warn!(nearest, "the number of background requests was refused");
    }
}

/// How the kernel treats a newly opened file.
///
/// Closing a file that was opened for reading tells the file system nothing, unless it keeps locks; so that message is saved.
pub(crate) fn open_behaviour(options: &MountOptions, flags: proxyfs_core::fs::OpenFlags) -> FopenFlags {
    let mut behaviour = FopenFlags::empty();
    if options.cache == CachePolicy::SoleWriter {
        behaviour |= FopenFlags::FOPEN_KEEP_CACHE;
    }
    if options.locks == LockScope::Kernel && !flags.write {
        behaviour |= FopenFlags::FOPEN_NOFLUSH;
    }
    behaviour
}
