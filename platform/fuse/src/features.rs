//! What is agreed with the kernel when a mount begins.

use fuser::{FopenFlags, InitFlags, KernelConfig};
use tracing::{debug, warn};

use crate::options::{CachePolicy, LockScope, MountOptions};
use crate::system::{HERE, System};

/// Largest write request in bytes; also the most that Linux accepts by default (`fs.fuse.max_pages_limit`).
const WRITE_BYTES_MAX: u32 = 1024 * 1024;

/// Features wanted on every mount on Linux; each is left out where the kernel lacks it.
///
/// - `FUSE_DONT_MASK`, `FUSE_POSIX_ACL`: the engine applies umask and default ACL; the kernel enforces ACLs.
/// - `FUSE_HANDLE_KILLPRIV_V2`: the file system clears set-user-id bits, so the kernel need not ask for `security.capability` before
///   each write. Only the flag on writes reaches us; see `adapter` for truncation, opening and fallocate.
/// - `FUSE_EXPORT_SUPPORT`: `.` and `..` are understood by lookup, so file handles (NFS export) outlive the kernel's cache.
/// - No `FUSE_ATOMIC_O_TRUNC`: the kernel would send the truncation with the open, before it looks whether the file is a running
///   program (ETXTBSY): the program would be cut all the same. A separate setattr comes after that look.
/// - No `FUSE_WRITEBACK_CACHE`: it acknowledges writes before the engine knows of them.
/// - No `FUSE_FLOCK_LOCKS`: see [`LockScope`].
const WANTED_ON_LINUX: &[InitFlags] = &[
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

/// Features wanted on macOS. macFUSE speaks version 7.19 of the protocol and gives the bits from 23 on meanings of its own, so
/// nothing later may be asked for under Linux's names: `FUSE_EXPLICIT_INVAL_DATA` is its `FUSE_RENAME_SWAP`, for one.
///
/// - Not `FUSE_RENAME_SWAP` (bit 25) and `FUSE_RENAME_EXCL` (bit 26): the protocol crate does not pass on the flags of a rename, so a
///   swap would be carried out as a replacement. Without them renamex_np(2) answers ENOTSUP, and programs do it another way.
/// - The protocol crate itself asks for `FUSE_CASE_INSENSITIVE`, `FUSE_VOL_RENAME` and `FUSE_XTIMES`, and cannot be told not to.
const WANTED_ON_MACOS: &[InitFlags] = &[InitFlags::FUSE_ASYNC_READ, InitFlags::FUSE_BIG_WRITES];

/// The features to ask for.
fn wanted(system: System, options: &MountOptions) -> Vec<InitFlags> {
    let mut flags = match system {
        System::MacOs => return WANTED_ON_MACOS.to_vec(),
        System::Linux => WANTED_ON_LINUX.to_vec(),
    };
    flags.push(match options.cache {
        CachePolicy::SoleWriter => InitFlags::FUSE_EXPLICIT_INVAL_DATA,
        CachePolicy::Follower { .. } => InitFlags::FUSE_AUTO_INVAL_DATA,
    });
    if options.locks == LockScope::FileSystem {
        flags.push(InitFlags::FUSE_POSIX_LOCKS);
    }
    flags
}

/// Tells the kernel what we do.
pub(crate) fn negotiate(options: &MountOptions, config: &mut KernelConfig) {
    for flag in wanted(HERE, options) {
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
    if HERE == System::Linux && options.locks == LockScope::Kernel && !flags.write {
        behaviour |= FopenFlags::FOPEN_NOFLUSH;
    }
    behaviour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_macos_no_bit_is_asked_for_that_means_something_else_there() {
        for cache in [CachePolicy::SoleWriter, CachePolicy::Follower { ttl: std::time::Duration::ZERO }] {
            for locks in [LockScope::Kernel, LockScope::FileSystem] {
                let options = MountOptions { cache, locks, ..MountOptions::default() };
                let bits = wanted(System::MacOs, &options).into_iter().fold(0, |bits, flag| bits | flag.bits());
                assert_eq!(bits >> 20, 0, "{bits:#x}");
            }
        }
    }

    #[test]
    fn on_linux_the_kernel_keeps_pages_as_the_cache_policy_says() {
        let follower =
            MountOptions { cache: CachePolicy::Follower { ttl: std::time::Duration::ZERO }, ..MountOptions::default() };
        let sole = MountOptions { locks: LockScope::FileSystem, ..MountOptions::default() };
        let (follower, sole) = (wanted(System::Linux, &follower), wanted(System::Linux, &sole));
        assert!(
            follower.contains(&InitFlags::FUSE_AUTO_INVAL_DATA) && !follower.contains(&InitFlags::FUSE_POSIX_LOCKS)
        );
        assert!(sole.contains(&InitFlags::FUSE_EXPLICIT_INVAL_DATA) && sole.contains(&InitFlags::FUSE_POSIX_LOCKS));
    }
}
