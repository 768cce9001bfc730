//! Makes operations at random: one proptest strategy, which the fast seeded generator samples too.

use std::ops::Range;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proxyfs_core::fs::{FallocateMode, FileKind, LockFamily, LockKind, RenameMode, SeekWhence, XattrMode};

use super::{Access, DIR_SLOTS, FILE_SLOTS, Name, Op, Path, Span, Target};

/// Borders that storage code trips over: a page, a frame, a mebibyte.
const BORDERS: [u64; 3] = [4096, 128 * 1024, 1024 * 1024];
/// An offset far past what anyone could write out in full.
const FAR: u64 = 1 << 40;

/// Bytes that one operation is made from: enough for all that differ in kind.
const OP_BYTES: usize = 4;

/// Names that mostly directories get, so that paths lead somewhere.
const DIR_NAMES: Range<u8> = 0..2;
/// Names that mostly other things get.
const FILE_NAMES: Range<u8> = 2..4;

/// Which operations a sequence may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Several callers, not only root.
    pub callers: bool,
    /// Access control lists.
    pub acls: bool,
    /// Advisory locks.
    pub locks: bool,
    /// Clearing of suid and sgid that the kernel asks for.
    pub kills: bool,
    /// Names and values past the limits, whose errors an implementation's own kernel might choose differently.
    pub limits: bool,
    /// Copies inside and between files.
    pub copies: bool,
    /// Checkpoint, remount, dropped caches.
    pub engine: bool,
}

impl Profile {
    /// Everything.
    pub const FULL: Self =
        Self { callers: true, acls: true, locks: true, kills: true, limits: true, copies: true, engine: true };
    /// What a real kernel's directory, used by root in one process, can be asked.
    pub const KERNEL: Self =
        Self { callers: false, acls: true, locks: false, kills: false, limits: false, copies: false, engine: false };
}

/// Random operations of a profile.
pub fn op_strategy(profile: Profile) -> BoxedStrategy<Op> {
    let optional = |wanted: bool, weight: u32, ops: BoxedStrategy<Op>| wanted.then_some((weight, ops));
    let mut choices =
        vec![(30, name_ops(profile)), (40, file_ops(profile)), (22, meta_ops(profile)), (8, listing_ops())];
    choices.extend(optional(profile.copies, 5, copy_ops()));
    choices.extend(optional(profile.acls, 4, acl_ops()));
    choices.extend(optional(profile.locks, 5, lock_ops()));
    choices.extend(optional(profile.engine, 3, engine_ops()));
    proptest::strategy::Union::new_weighted(choices).boxed()
}

/// An endless sequence that `seed` determines.
pub fn seeded_ops(profile: Profile, seed: u64) -> impl Iterator<Item = Op> {
    let mut runner = seeded_runner(&seed.to_le_bytes());
    let strategy = op_strategy(profile);
    std::iter::from_fn(move || strategy.new_tree(&mut runner).ok().map(|tree| tree.current()))
}

/// The operations that `bytes` stand for, at most `ops_max`: one for each few bytes, so that a change of bytes changes few operations.
#[must_use]
pub fn ops_from_bytes(profile: Profile, bytes: &[u8], ops_max: usize) -> Vec<Op> {
    let strategy = op_strategy(profile);
    let op = |seed: &[u8]| strategy.new_tree(&mut seeded_runner(seed)).ok().map(|tree| tree.current());
    bytes.chunks(OP_BYTES).take(ops_max).filter_map(op).collect()
}

/// `seed`: at most 32 bytes.
fn seeded_runner(seed: &[u8]) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..seed.len()].copy_from_slice(seed);
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn name_ops(profile: Profile) -> BoxedStrategy<Op> {
    let who = move || if profile.callers { (0..3u8).boxed() } else { Just(0).boxed() };
    let path = move || path(profile.limits);
    let path_to = move |usual| path_to(usual, profile.limits);
    prop_oneof![
        14 => ((who(), path_to(FILE_NAMES), perm(), umask()), (prop::bool::weighted(0.3), access(), file_slot())).prop_map(
            |((who, path, perm, umask), (exclusive, access, slot))| Op::Create { who, path, perm, umask, exclusive, access, slot }
        ),
        10 => (who(), path_to(DIR_NAMES), perm(), umask()).prop_map(|(who, path, perm, umask)| Op::Mkdir { who, path, perm: perm & 0o1777, umask }),
        3 => (who(), path_to(FILE_NAMES), node_kind(), perm(), umask())
            .prop_map(|(who, path, kind, perm, umask)| Op::Mknod { who, path, kind, perm, umask }),
        4 => (who(), path_to(FILE_NAMES), symlink_len(profile.limits)).prop_map(|(who, path, len)| Op::Symlink { who, path, len }),
        9 => path_to(FILE_NAMES).prop_map(|path| Op::Unlink { path }),
        9 => path_to(DIR_NAMES).prop_map(|path| Op::Rmdir { path }),
        8 => (path(), path(), rename_mode()).prop_map(|(from, to, mode)| Op::Rename { from, to, mode }),
        4 => (target(), path()).prop_map(|(target, path)| Op::Link { target, path }),
        1 => path().prop_map(|path| Op::Lookup { path }),
    ]
    .boxed()
}

fn file_ops(profile: Profile) -> BoxedStrategy<Op> {
    let who = move || if profile.callers { (0..3u8).boxed() } else { Just(0).boxed() };
    let kill = move || if profile.kills { any::<bool>().boxed() } else { Just(false).boxed() };
    prop_oneof![
        2 => (who(), dir_target(), perm(), any::<bool>(), file_slot())
            .prop_map(|(who, dir, perm, exclusive, slot)| Op::Tmpfile { who, dir, perm, exclusive, slot }),
        9 => (file_target(), access(), file_slot()).prop_map(|(target, access, slot)| Op::Open { target, access, slot }),
        2 => file_slot().prop_map(|slot| Op::Close { slot }),
        8 => (file_slot(), span()).prop_map(|(slot, span)| Op::Read { slot, span }),
        12 => (file_slot(), span(), any::<u8>(), kill(), prop::bool::weighted(0.1))
            .prop_map(|(slot, span, seed, kill, sync)| Op::Write { slot, span, seed, kill, sync }),
        5 => (file_target(), size(), kill()).prop_map(|(target, size, kill)| Op::Truncate { target, size, kill }),
        4 => (file_slot(), span(), fallocate_mode()).prop_map(|(slot, span, mode)| Op::Fallocate { slot, span, mode }),
        3 => (file_slot(), offset(), seek_whence()).prop_map(|(slot, offset, whence)| Op::Seek { slot, offset, whence }),
        2 => (file_slot(), any::<bool>()).prop_map(|(slot, data_only)| Op::Fsync { slot, data_only }),
    ]
    .boxed()
}

fn meta_ops(profile: Profile) -> BoxedStrategy<Op> {
    let id = || prop_oneof![Just(None), (0..3u32).prop_map(|i| Some(i * 1000))];
    let time = || prop_oneof![1 => Just(None), 3 => (-5..100_000i64).prop_map(Some)];
    let xattr = move || if profile.limits { 0..6u8 } else { 0..3u8 };
    let value_len = move || {
        let (large, huge) = if profile.limits { (3000..3050u32, 65_530..65_540u32) } else { (300..310, 1000..1010) };
        prop_oneof![2 => Just(0u32), 8 => 1..100u32, 1 => large, 1 => huge]
    };
    prop_oneof![
        4 => (target(), perm()).prop_map(|(target, perm)| Op::Chmod { target, perm }),
        3 => (target(), id(), id()).prop_map(|(target, uid, gid)| Op::Chown { target, uid, gid }),
        3 => (target(), time(), time())
            .prop_map(|(target, atime_secs, mtime_secs)| Op::Utimens { target, atime_secs, mtime_secs }),
        3 => target().prop_map(|target| Op::Getattr { target }),
        2 => path_to(FILE_NAMES, false).prop_map(Target::Path).prop_map(|target| Op::Readlink { target }),
        4 => (target(), xattr(), value_len(), any::<u8>(), xattr_mode())
            .prop_map(|(target, name, len, seed, mode)| Op::Setxattr { target, name, len, seed, mode }),
        2 => (target(), xattr()).prop_map(|(target, name)| Op::Getxattr { target, name }),
        2 => target().prop_map(|target| Op::Listxattr { target }),
        2 => (target(), xattr()).prop_map(|(target, name)| Op::Removexattr { target, name }),
    ]
    .boxed()
}

fn copy_ops() -> BoxedStrategy<Op> {
    (file_slot(), offset(), file_slot(), offset(), copy_len())
        .prop_map(|(from, from_offset, to, to_offset, len)| Op::Copy { from, from_offset, to, to_offset, len })
        .boxed()
}

fn acl_ops() -> BoxedStrategy<Op> {
    (target(), any::<bool>(), 0..9u8).prop_map(|(target, default, list)| Op::SetAcl { target, default, list }).boxed()
}

fn listing_ops() -> BoxedStrategy<Op> {
    let slot = || 0..DIR_SLOTS;
    prop_oneof![
        2 => (dir_target(), any::<bool>()).prop_map(|(target, with_attrs)| Op::List { target, with_attrs }),
        2 => (dir_target(), slot()).prop_map(|(target, slot)| Op::Opendir { target, slot }),
        6 => (slot(), 1..6u8).prop_map(|(slot, take)| Op::Readdir { slot, take }),
        1 => slot().prop_map(|slot| Op::Closedir { slot }),
        1 => slot().prop_map(|slot| Op::Fsyncdir { slot }),
        1 => Just(Op::Syncfs),
        1 => Just(Op::Statfs),
    ]
    .boxed()
}

fn lock_ops() -> BoxedStrategy<Op> {
    let family = || prop_oneof![3 => Just(LockFamily::Posix), 1 => Just(LockFamily::Flock)];
    let kind = || prop_oneof![Just(LockKind::Read), Just(LockKind::Write), Just(LockKind::Unlock)];
    let range = || (0..6u8, 0..4u8);
    prop_oneof![
        6 => (file_slot(), family(), 0..3u8, range(), kind()).prop_map(|(slot, family, owner, (start, len), kind)| {
            // flock knows no ranges.
            let (start, len) = if family == LockFamily::Flock { (0, 0) } else { (start, len) };
            Op::Lock { slot, family, owner, start, len, kind }
        }),
        3 => (file_slot(), 0..3u8, range(), any::<bool>())
            .prop_map(|(slot, owner, (start, len), write)| Op::Getlock { slot, owner, start, len, write }),
        1 => (file_slot(), 0..3u8).prop_map(|(slot, owner)| Op::Flush { slot, owner }),
    ]
    .boxed()
}

fn engine_ops() -> BoxedStrategy<Op> {
    prop_oneof![6 => Just(Op::Checkpoint), 1 => Just(Op::Remount), 2 => Just(Op::DropCaches)].boxed()
}

fn name(limits: bool) -> BoxedStrategy<Name> {
    let longest = if limits { Name::TOO_LONG } else { Name::LONGEST };
    prop_oneof![
        24 => (0..4u8).prop_map(Name),
        2 => Just(Name::LONGEST),
        1 => Just(longest),
    ]
    .boxed()
}

fn dirs() -> impl Strategy<Value = Vec<Name>> {
    let depth = prop_oneof![8 => Just(0usize), 6 => Just(1), 2 => Just(2), 1 => Just(3)];
    let name = prop_oneof![2 => Just(Name(0)), 1 => Just(Name(1))];
    depth.prop_flat_map(move |depth| prop::collection::vec(name.clone(), depth))
}

/// Mostly a name that is usual for what is meant.
fn path_to(usual: Range<u8>, limits: bool) -> impl Strategy<Value = Path> {
    let usual = (dirs(), usual.prop_map(Name)).prop_map(|(dir, name)| Path { dir, name });
    prop_oneof![3 => usual, 1 => path(limits)]
}

fn path(limits: bool) -> impl Strategy<Value = Path> {
    (dirs(), name(limits)).prop_map(|(dir, name)| Path { dir, name })
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![1 => Just(Target::Root), 10 => path(false).prop_map(Target::Path), 5 => file_slot().prop_map(Target::Slot)]
}

fn file_target() -> impl Strategy<Value = Target> {
    prop_oneof![2 => path_to(FILE_NAMES, false).prop_map(Target::Path), 3 => file_slot().prop_map(Target::Slot)]
}

fn dir_target() -> impl Strategy<Value = Target> {
    prop_oneof![2 => Just(Target::Root), 5 => path_to(DIR_NAMES, false).prop_map(Target::Path)]
}

fn file_slot() -> impl Strategy<Value = u8> {
    0..FILE_SLOTS
}

fn perm() -> impl Strategy<Value = u16> {
    prop_oneof![
        4 => prop::sample::select(vec![0o644u16, 0o755, 0o600, 0o777]),
        2 => prop::sample::select(vec![0o4755u16, 0o2755, 0o2770, 0o6711, 0o2644, 0o1777]),
        1 => 0..0o10000u16,
    ]
}

fn umask() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![0u16, 0o022, 0o077, 0o027])
}

fn access() -> impl Strategy<Value = Access> {
    let mode = prop_oneof![1 => Just((true, false)), 1 => Just((false, true)), 6 => Just((true, true))];
    (mode, prop::bool::weighted(0.1), prop::bool::weighted(0.1)).prop_map(|((read, write), append, truncate)| Access {
        read,
        write,
        append: append && write,
        truncate: truncate && write,
    })
}

fn offset() -> impl Strategy<Value = u64> {
    let near_border = (0..BORDERS.len(), 0..9u64).prop_map(|(border, off)| BORDERS[border] - 4 + off);
    prop_oneof![6 => Just(0u64), 6 => 0..64u64, 8 => near_border, 4 => 0..300_000u64, 1 => (0..10u64).prop_map(|off| FAR + off)]
}

fn span() -> impl Strategy<Value = Span> {
    let len = prop_oneof![
        1 => Just(0u32),
        8 => 1..64u32,
        4 => 4090..4102u32,
        2 => 8192..20_000u32,
        2 => 131_068..131_076u32,
        1 => 200_000..300_000u32,
    ];
    (offset(), len).prop_map(|(offset, len)| Span { offset, len })
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![10 => offset(), 1 => Just(FAR)]
}

fn copy_len() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0u64), 4 => 1..100u64, 4 => 4090..9000u64, 2 => 100_000..400_000u64]
}

fn symlink_len(limits: bool) -> impl Strategy<Value = u16> {
    let odd = if limits { prop_oneof![Just(0u16), Just(4096u16)].boxed() } else { (1..60u16).boxed() };
    prop_oneof![10 => 1..80u16, 1 => Just(4095u16), 1 => odd]
}

fn node_kind() -> impl Strategy<Value = FileKind> {
    prop::sample::select(vec![
        FileKind::File,
        FileKind::Fifo,
        FileKind::Socket,
        FileKind::CharDevice,
        FileKind::BlockDevice,
    ])
}

fn rename_mode() -> impl Strategy<Value = RenameMode> {
    prop_oneof![4 => Just(RenameMode::Replace), 1 => Just(RenameMode::NoReplace), 2 => Just(RenameMode::Exchange)]
}

fn xattr_mode() -> impl Strategy<Value = XattrMode> {
    prop_oneof![3 => Just(XattrMode::Set), 1 => Just(XattrMode::Create), 1 => Just(XattrMode::Replace)]
}

fn fallocate_mode() -> impl Strategy<Value = FallocateMode> {
    prop::sample::select(vec![
        FallocateMode::Allocate,
        FallocateMode::KeepSize,
        FallocateMode::PunchHole,
        FallocateMode::ZeroRange,
        FallocateMode::ZeroRangeKeepSize,
    ])
}

fn seek_whence() -> impl Strategy<Value = SeekWhence> {
    prop_oneof![Just(SeekWhence::Data), Just(SeekWhence::Hole)]
}
