//! Translation between the protocol's values and the engine's. Pure functions only.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileType, INodeNo, OpenAccMode, RenameFlags, TimeOrNow};
use proxyfs_core::fs::{
    Attr, FallocateMode, FileKind, FileLock, LockKind, OpenFlags, RenameMode, SeekWhence, SetTime, StatFs, XattrMode,
};
use proxyfs_core::types::{Ino, Timestamp};
use proxyfs_core::{Error, ErrorKind, Result};

use crate::system::{HERE, System};

/// What `st_blksize` says, the size that programs read and write in: one data frame. Every write is a request of its own (there is
/// no write-back cache), so a small value would cost stdio and Python users dearly; a page is no better for reading.
const IO_BYTES: u32 = 128 * 1024;
/// Unit of `st_blocks`, set by POSIX tradition.
const STAT_BLOCK_BYTES: u64 = 512;
/// Block size that statfs counts in.
pub(crate) const STATFS_BLOCK_BYTES: u32 = 4096;
/// Longest value and longest list of names that Linux takes (XATTR_SIZE_MAX, XATTR_LIST_MAX).
const XATTR_ANSWER_BYTES_MAX: u32 = 65536;
/// Types of a file in a mode (`sys/stat.h`), the same on Linux and macOS.
mod mode {
    pub(super) const TYPE: u32 = 0o170_000;
    pub(super) const FIFO: u32 = 0o010_000;
    pub(super) const CHAR_DEVICE: u32 = 0o020_000;
    pub(super) const BLOCK_DEVICE: u32 = 0o060_000;
    pub(super) const FILE: u32 = 0o100_000;
    pub(super) const SOCKET: u32 = 0o140_000;
}

/// Types of a lock (`fcntl.h`): read, write, none.
const LOCK_TYPES: [i32; 3] = match HERE {
    System::Linux => [0, 1, 2],
    System::MacOs => [1, 3, 2],
};

/// The kernel's "to the end of the file" in a lock's range.
const KERNEL_LOCK_END: u64 = i64::MAX as u64;

/// The engine's file kind as the protocol's.
pub(crate) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::RegularFile,
        FileKind::Dir => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
    }
}

/// The kind that a `mknod` mode asks for. No type bits mean a regular file, as in mknod(2).
///
/// # Errors
/// `InvalidArgument` for directories, symlinks and unknown types.
pub(crate) fn node_kind(mode: u32) -> Result<FileKind> {
    match mode & mode::TYPE {
        0 | mode::FILE => Ok(FileKind::File),
        mode::FIFO => Ok(FileKind::Fifo),
        mode::SOCKET => Ok(FileKind::Socket),
        mode::CHAR_DEVICE => Ok(FileKind::CharDevice),
        mode::BLOCK_DEVICE => Ok(FileKind::BlockDevice),
        _ => Err(Error::new(ErrorKind::InvalidArgument, format!("mknod cannot make a file of mode {mode:o}"))),
    }
}

/// The permission bits of a mode.
pub(crate) fn perm_bits(mode: u32) -> u16 {
    (mode & 0o7777) as u16
}

/// Attributes in the protocol's form.
pub(crate) fn file_attr(attr: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(attr.ino.0),
        size: attr.size,
        blocks: attr.allocated_bytes.div_ceil(STAT_BLOCK_BYTES),
        atime: system_time(attr.atime),
        mtime: system_time(attr.mtime),
        ctime: system_time(attr.ctime),
        crtime: system_time(attr.btime),
        kind: file_type(attr.kind),
        perm: attr.perm,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        blksize: IO_BYTES,
        flags: 0,
    }
}

/// Attributes for an entry of which only number and type are known; never to be kept by the kernel.
pub(crate) fn bare_attr(ino: Ino, kind: FileKind) -> FileAttr {
    let zero = Timestamp::default();
    file_attr(&Attr {
        ino,
        kind,
        perm: 0,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: 0,
        allocated_bytes: 0,
        atime: zero,
        mtime: zero,
        ctime: zero,
        btime: zero,
    })
}

/// A time in the standard library's form; every time fits.
pub(crate) fn system_time(time: Timestamp) -> SystemTime {
    let whole = Duration::from_secs(time.secs.unsigned_abs());
    let start = if time.secs < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    start.and_then(|t| t.checked_add(Duration::from_nanos(u64::from(time.nanos)))).unwrap_or(UNIX_EPOCH)
}

/// A time that came with a request.
///
/// The protocol crate makes `UNIX_EPOCH - |secs| - nanos` of a time before 1970 where `+ nanos` is meant; both numbers are still
/// there, so it is put right here.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp::new(i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            Timestamp::new(0_i64.saturating_sub_unsigned(before.as_secs()), before.subsec_nanos())
        }
    }
}

/// A time to set.
pub(crate) fn set_time(time: TimeOrNow) -> SetTime {
    match time {
        TimeOrNow::Now => SetTime::Now,
        TimeOrNow::SpecificTime(at) => SetTime::At(timestamp(at)),
    }
}

/// Whether open or write flags make each write a sync operation.
pub(crate) fn is_sync(flags: i32) -> bool {
    flags & (libc::O_SYNC | libc::O_DSYNC) != 0
}

/// Flags of open(2). `kill_suid_sgid` is for the caller to set.
pub(crate) fn open_flags(flags: i32) -> OpenFlags {
    let mode = fuser::OpenFlags(flags).acc_mode();
    OpenFlags {
        read: mode != OpenAccMode::O_WRONLY,
        write: mode != OpenAccMode::O_RDONLY,
        append: flags & libc::O_APPEND != 0,
        truncate: flags & libc::O_TRUNC != 0,
        exclusive: flags & libc::O_EXCL != 0,
        sync: is_sync(flags),
        kill_suid_sgid: false,
    }
}

/// Flags of renameat2(2) or renamex_np(2).
///
/// # Errors
/// `InvalidArgument` for whiteouts, for contradictions and for unknown flags.
pub(crate) fn rename_mode(flags: RenameFlags) -> Result<RenameMode> {
    rename_mode_on(HERE, flags.bits())
}

fn rename_mode_on(system: System, flags: u32) -> Result<RenameMode> {
    let (no_replace, exchange) = match system {
        // RENAME_NOREPLACE and RENAME_EXCHANGE of `linux/fs.h`; RENAME_EXCL and RENAME_SWAP of macOS's `sys/stdio.h`.
        System::Linux => (1, 2),
        System::MacOs => (4, 2),
    };
    match flags {
        0 => Ok(RenameMode::Replace),
        flags if flags == no_replace => Ok(RenameMode::NoReplace),
        flags if flags == exchange => Ok(RenameMode::Exchange),
        other => Err(Error::new(ErrorKind::InvalidArgument, format!("rename flags {other:#x} are not known"))),
    }
}

/// Mode bits of fallocate(2).
///
/// # Errors
/// `NotSupported` for collapsing, inserting, unsharing and unknown bits.
pub(crate) fn fallocate_mode(mode: i32) -> Result<FallocateMode> {
    const KEEP_SIZE: i32 = 0x01;
    const PUNCH_HOLE: i32 = 0x02;
    const ZERO_RANGE: i32 = 0x10;
    const PUNCH_KEEP: i32 = PUNCH_HOLE | KEEP_SIZE;
    const ZERO_KEEP: i32 = ZERO_RANGE | KEEP_SIZE;
    match mode {
        0 => Ok(FallocateMode::Allocate),
        KEEP_SIZE => Ok(FallocateMode::KeepSize),
        PUNCH_KEEP => Ok(FallocateMode::PunchHole),
        ZERO_RANGE => Ok(FallocateMode::ZeroRange),
        ZERO_KEEP => Ok(FallocateMode::ZeroRangeKeepSize),
        other => Err(Error::new(ErrorKind::NotSupported, format!("fallocate mode {other:#x} is not offered"))),
    }
}

/// What lseek(2) looks for; the kernel answers the other directions itself.
///
/// # Errors
/// `InvalidArgument` for other directions.
pub(crate) fn seek_whence(whence: i32) -> Result<SeekWhence> {
    match whence {
        libc::SEEK_DATA => Ok(SeekWhence::Data),
        libc::SEEK_HOLE => Ok(SeekWhence::Hole),
        other => Err(Error::new(ErrorKind::InvalidArgument, format!("lseek direction {other} is not known"))),
    }
}

/// Flags of setxattr(2).
///
/// # Errors
/// `InvalidArgument` for both flags at once and for unknown ones.
pub(crate) fn xattr_mode(system: System, flags: i32) -> Result<XattrMode> {
    // XATTR_CREATE and XATTR_REPLACE of `sys/xattr.h`. macOS has flags beside them that concern the kernel alone.
    let (create, replace, flags) = match system {
        System::Linux => (1, 2, flags),
        System::MacOs => (2, 4, flags & 6),
    };
    match flags {
        0 => Ok(XattrMode::Set),
        flags if flags == create => Ok(XattrMode::Create),
        flags if flags == replace => Ok(XattrMode::Replace),
        other => Err(Error::new(ErrorKind::InvalidArgument, format!("setxattr flags {other:#x} are not known"))),
    }
}

/// How to answer a question for extended attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XattrAnswer {
    /// With the length of the answer.
    Length(u32),
    /// With the answer.
    Bytes,
    /// With an errno.
    Refuse(Errno),
}

/// How getxattr(2) and listxattr(2) are answered when the caller has `room` bytes for an answer of `len`; no room asks for the length.
/// What Linux could not take in any case is `E2BIG`.
pub(crate) fn xattr_answer(room: u32, len: usize) -> XattrAnswer {
    match u32::try_from(len) {
        Ok(len) if len <= XATTR_ANSWER_BYTES_MAX => match room {
            0 => XattrAnswer::Length(len),
            room if len > room => XattrAnswer::Refuse(Errno::ERANGE),
            _ => XattrAnswer::Bytes,
        },
        _ => XattrAnswer::Refuse(Errno::from_i32(libc::E2BIG)),
    }
}

/// A lock as the protocol gives it. The range is inclusive on both sides.
///
/// # Errors
/// `InvalidArgument` for an unknown type.
pub(crate) fn file_lock(start: u64, end: u64, kind: i32, pid: u32) -> Result<FileLock> {
    let [read, write, none] = LOCK_TYPES;
    let kind = match kind {
        kind if kind == read => LockKind::Read,
        kind if kind == write => LockKind::Write,
        kind if kind == none => LockKind::Unlock,
        other => return Err(Error::new(ErrorKind::InvalidArgument, format!("lock type {other} is not known"))),
    };
    let end = if end >= KERNEL_LOCK_END { u64::MAX } else { end };
    Ok(FileLock { start, end, kind, pid })
}

/// Start, end, type and process of a lock in the protocol's form.
pub(crate) fn lock_parts(lock: FileLock) -> (u64, u64, i32, u32) {
    let [read, write, none] = LOCK_TYPES;
    let kind = match lock.kind {
        LockKind::Read => read,
        LockKind::Write => write,
        LockKind::Unlock => none,
    };
    (lock.start, lock.end.min(KERNEL_LOCK_END), kind, lock.pid)
}

/// Blocks and inodes as statfs counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatBlocks {
    /// Blocks in all.
    pub(crate) blocks: u64,
    /// Free blocks.
    pub(crate) free: u64,
    /// Inodes in all.
    pub(crate) files: u64,
    /// Free inodes.
    pub(crate) files_free: u64,
}

/// Room in blocks of [`STATFS_BLOCK_BYTES`]; what is in use is rounded up.
pub(crate) fn stat_blocks(stat: &StatFs) -> StatBlocks {
    let block = u64::from(STATFS_BLOCK_BYTES);
    let blocks = stat.total_bytes / block;
    StatBlocks {
        blocks,
        free: blocks.saturating_sub(stat.used_bytes.div_ceil(block)),
        files: stat.total_inodes,
        files_free: stat.total_inodes.saturating_sub(stat.used_inodes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds_before_and_after_1970() {
        let after = Timestamp::new(1_700_000_000, 123_456_789);
        assert_eq!(timestamp(system_time(after)), after);
        let before = UNIX_EPOCH - Duration::new(1, 200_000_000);
        assert_eq!(system_time(Timestamp::new(-2, 800_000_000)), before);
    }

    #[test]
    fn a_request_time_before_1970_is_put_right() {
        // What the protocol crate makes of -2 s + 0.8 s.
        let given = UNIX_EPOCH - Duration::new(2, 800_000_000);
        assert_eq!(timestamp(given), Timestamp::new(-2, 800_000_000));
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        for secs in [i64::MIN, i64::MAX] {
            let _ = system_time(Timestamp::new(secs, 0));
        }
    }

    #[test]
    fn blocks_are_rounded_up_to_512_bytes() {
        let mut attr = bare(FileKind::File);
        for (bytes, blocks) in [(0, 0), (1, 1), (512, 1), (513, 2), (4096, 8)] {
            attr.allocated_bytes = bytes;
            assert_eq!(file_attr(&attr).blocks, blocks, "{bytes}");
        }
    }

    #[test]
    fn open_modes_become_read_and_write() {
        for (flags, read, write) in
            [(libc::O_RDONLY, true, false), (libc::O_WRONLY, false, true), (libc::O_RDWR, true, true)]
        {
            let open = open_flags(flags);
            assert_eq!((open.read, open.write), (read, write), "{flags}");
        }
        let all = open_flags(libc::O_RDWR | libc::O_APPEND | libc::O_TRUNC | libc::O_EXCL | libc::O_DSYNC);
        assert!(all.append && all.truncate && all.exclusive && all.sync && !all.kill_suid_sgid);
    }

    #[test]
    fn fallocate_modes_are_known_or_not_offered() {
        let table = [
            (0x00, Some(FallocateMode::Allocate)),
            (0x01, Some(FallocateMode::KeepSize)),
            (0x03, Some(FallocateMode::PunchHole)),
            (0x10, Some(FallocateMode::ZeroRange)),
            (0x11, Some(FallocateMode::ZeroRangeKeepSize)),
            (0x02, None),
            (0x08, None),
            (0x20, None),
            (0x40, None),
        ];
        for (mode, expected) in table {
            match (fallocate_mode(mode), expected) {
                (Ok(found), Some(expected)) => assert_eq!(found, expected, "{mode:#x}"),
                (Err(e), None) => assert_eq!(e.kind(), ErrorKind::NotSupported, "{mode:#x}"),
                (found, expected) => panic!("{mode:#x}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn rename_flags_have_each_systems_numbers() {
        // Flags, on Linux, on macOS.
        let table = [
            (0, Some(RenameMode::Replace), Some(RenameMode::Replace)),
            (1, Some(RenameMode::NoReplace), None),
            (2, Some(RenameMode::Exchange), Some(RenameMode::Exchange)),
            (3, None, None),
            (4, None, Some(RenameMode::NoReplace)),
            (6, None, None),
            (16, None, None),
        ];
        for (flags, linux, mac_os) in table {
            for (system, expected) in [(System::Linux, linux), (System::MacOs, mac_os)] {
                let found = rename_mode_on(system, flags).map_err(|e| e.kind());
                assert_eq!(found, expected.ok_or(ErrorKind::InvalidArgument), "{system:?} {flags}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_numbers_are_those_of_linux() {
        for (flag, mode) in
            [(libc::RENAME_NOREPLACE, RenameMode::NoReplace), (libc::RENAME_EXCHANGE, RenameMode::Exchange)]
        {
            assert_eq!(rename_mode_on(System::Linux, flag).ok(), Some(mode));
        }
        assert!(rename_mode_on(System::Linux, libc::RENAME_WHITEOUT).is_err());
        assert_eq!(xattr_mode(System::Linux, libc::XATTR_CREATE).ok(), Some(XattrMode::Create));
        assert_eq!(xattr_mode(System::Linux, libc::XATTR_REPLACE).ok(), Some(XattrMode::Replace));
        assert_eq!(LOCK_TYPES, [libc::F_RDLCK, libc::F_WRLCK, libc::F_UNLCK]);
        assert_eq!([mode::FIFO, mode::SOCKET, mode::TYPE], [libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFMT]);
    }

    #[cfg(target_os = "macos")]
    #[test]
    fn the_numbers_are_those_of_macos() {
        assert_eq!(rename_mode_on(System::MacOs, libc::RENAME_EXCL).ok(), Some(RenameMode::NoReplace));
        assert_eq!(rename_mode_on(System::MacOs, libc::RENAME_SWAP).ok(), Some(RenameMode::Exchange));
        assert_eq!(xattr_mode(System::MacOs, libc::XATTR_CREATE).ok(), Some(XattrMode::Create));
        assert_eq!(xattr_mode(System::MacOs, libc::XATTR_REPLACE).ok(), Some(XattrMode::Replace));
        assert_eq!(LOCK_TYPES, [libc::F_RDLCK, libc::F_WRLCK, libc::F_UNLCK].map(i32::from));
        assert_eq!(
            [mode::FIFO, mode::SOCKET, mode::TYPE],
            [libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFMT].map(u32::from)
        );
    }

    #[test]
    fn setxattr_flags_have_each_systems_numbers() {
        // Flags, on Linux, on macOS, whose other flags are for its kernel.
        let table = [
            (0, Some(XattrMode::Set), Some(XattrMode::Set)),
            (1, Some(XattrMode::Create), Some(XattrMode::Set)),
            (2, Some(XattrMode::Replace), Some(XattrMode::Create)),
            (4, None, Some(XattrMode::Replace)),
            (6, None, None),
            (2 | 8, None, Some(XattrMode::Create)),
        ];
        for (flags, linux, mac_os) in table {
            for (system, expected) in [(System::Linux, linux), (System::MacOs, mac_os)] {
                let found = xattr_mode(system, flags).map_err(|e| e.kind());
                assert_eq!(found, expected.ok_or(ErrorKind::InvalidArgument), "{system:?} {flags}");
            }
        }
    }

    #[test]
    fn a_lock_to_the_end_of_the_file_keeps_its_meaning() {
        let lock = file_lock(5, i64::MAX as u64, LOCK_TYPES[1], 7).expect("a known type");
        assert_eq!(lock, FileLock { start: 5, end: u64::MAX, kind: LockKind::Write, pid: 7 });
        assert_eq!(lock_parts(lock), (5, i64::MAX as u64, LOCK_TYPES[1], 7));
        assert!(file_lock(0, 0, 99, 0).is_err());
    }

    #[test]
    fn statfs_never_shows_more_free_than_there_is() {
        let full = StatFs { total_bytes: 8192, used_bytes: 8193, total_inodes: 1, used_inodes: 2 };
        assert_eq!(stat_blocks(&full), StatBlocks { blocks: 2, free: 0, files: 1, files_free: 0 });
        let half = StatFs { total_bytes: 8192, used_bytes: 1, total_inodes: 10, used_inodes: 2 };
        assert_eq!(stat_blocks(&half), StatBlocks { blocks: 2, free: 1, files: 10, files_free: 8 });
    }

    #[test]
    fn xattrs_follow_the_size_protocol() {
        let table = [
            (0, 0, XattrAnswer::Length(0)),
            (0, 5, XattrAnswer::Length(5)),
            (4, 5, XattrAnswer::Refuse(Errno::ERANGE)),
            (5, 5, XattrAnswer::Bytes),
            (6, 5, XattrAnswer::Bytes),
            (65_536, 65_536, XattrAnswer::Bytes),
            (0, 65_537, XattrAnswer::Refuse(Errno::from_i32(libc::E2BIG))),
            (70_000, 65_537, XattrAnswer::Refuse(Errno::from_i32(libc::E2BIG))),
        ];
        for (room, len, answer) in table {
            assert_eq!(xattr_answer(room, len), answer, "{len} into {room}");
        }
    }

    #[test]
    fn mknod_makes_anything_but_directories_and_symlinks() {
        assert_eq!(node_kind(0o644).ok(), Some(FileKind::File));
        assert_eq!(node_kind(mode::FIFO | 0o644).ok(), Some(FileKind::Fifo));
        assert!(node_kind(0o040_000).is_err());
        assert!(node_kind(0o120_000).is_err());
    }

    fn bare(kind: FileKind) -> Attr {
        let zero = Timestamp::default();
        Attr {
            ino: Ino(2),
            kind,
            perm: 0o644,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            allocated_bytes: 0,
            atime: zero,
            mtime: zero,
            ctime: zero,
            btime: zero,
        }
    }
}
