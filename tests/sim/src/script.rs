//! The workload of the sweeps: few operations, each kind of change, and sync points between.

use proxyfs_core::fs::{FallocateMode, RenameMode, XattrMode};
use proxyfs_harness::ops::{Access, Name, Op, Path, Span, Target};

const A: u8 = 0;
const B: u8 = 1;
const C: u8 = 2;
const D: u8 = 3;

fn path(names: &[u8]) -> Path {
    let (name, dir) = names.split_last().expect("a path has a name");
    Path { dir: dir.iter().map(|n| Name(*n)).collect(), name: Name(*name) }
}

fn create(names: &[u8], slot: u8) -> Op {
    let access = Access { read: true, write: true, ..Access::default() };
    Op::Create { who: 0, path: path(names), perm: 0o644, umask: 0o022, exclusive: true, access, slot }
}

fn open(names: &[u8], slot: u8) -> Op {
    let access = Access { read: true, write: true, ..Access::default() };
    Op::Open { target: Target::Path(path(names)), access, slot }
}

fn write(slot: u8, offset: u64, len: u32, seed: u8) -> Op {
    Op::Write { slot, span: Span { offset, len }, seed, kill: false, sync: false }
}

fn write_sync(slot: u8, offset: u64, len: u32, seed: u8) -> Op {
    Op::Write { slot, span: Span { offset, len }, seed, kill: false, sync: true }
}

fn fsync(slot: u8) -> Op {
    Op::Fsync { slot, data_only: false }
}

fn mkdir(names: &[u8]) -> Op {
    Op::Mkdir { who: 1, path: path(names), perm: 0o755, umask: 0o022 }
}

fn rename(from: &[u8], to: &[u8]) -> Op {
    Op::Rename { from: path(from), to: path(to), mode: RenameMode::Replace }
}

fn setxattr(names: &[u8], len: u32) -> Op {
    Op::Setxattr { target: Target::Path(path(names)), name: 0, len, seed: 3, mode: XattrMode::Set }
}

fn truncate(names: &[u8], size: u64) -> Op {
    Op::Truncate { target: Target::Path(path(names)), size, kill: false }
}

/// The operations, in order. All succeed.
#[must_use]
pub fn script() -> Vec<Op> {
    vec![
        mkdir(&[A]),
        create(&[A, C], 0),
        write(0, 0, 100, 1),
        write(0, 5_000, 20_000, 2),
        create(&[D], 1),
        write(1, 0, 200_000, 3),
        fsync(1),
        setxattr(&[A, C], 40),
        Op::Link { target: Target::Slot(0), path: path(&[A, D]) },
        rename(&[A, C], &[C]),
        write(0, 6_000, 3_000, 4),
        truncate(&[D], 90_000),
        Op::Checkpoint,
        mkdir(&[B]),
        Op::Symlink { who: 0, path: path(&[A, A]), len: 20 },
        Op::Unlink { path: path(&[A, D]) },
        write_sync(1, 1_000, 500, 5),
        Op::Unlink { path: path(&[D]) },
        write(1, 10, 5_000, 6),
        Op::Close { slot: 1 },
        create(&[B, C], 1),
        write(1, 0, 70_000, 7),
        rename(&[B, C], &[C]),
        Op::Syncfs,
        write(1, 70_000, 100, 8),
        Op::Remount,
        open(&[C], 0),
        write(0, 100, 10_000, 9),
        Op::Fallocate { slot: 0, span: Span { offset: 0, len: 8_192 }, mode: FallocateMode::PunchHole },
        create(&[A, B], 1),
        Op::Copy { from: 0, from_offset: 4_000, to: 1, to_offset: 0, len: 30_000 },
        fsync(1),
        Op::Chmod { target: Target::Path(path(&[A])), perm: 0o700 },
        Op::Rmdir { path: path(&[B]) },
        truncate(&[C], 20_000),
        write(0, 30_000, 6_000, 10),
        Op::Checkpoint,
        Op::Unlink { path: path(&[A, B]) },
        write(1, 0, 9_000, 11),
        create(&[A, D], 2),
        write(2, 0, 12_000, 12),
        fsync(2),
        write(2, 4_000, 100, 13),
    ]
}

/// Operations for a volume that came back: it must go on working.
#[must_use]
pub fn afterwards() -> Vec<Op> {
    vec![
        Op::Mkdir { who: 0, path: path(&[Name::LONGEST.0]), perm: 0o755, umask: 0 },
        create(&[Name::LONGEST.0, D], 0),
        write(0, 0, 9_000, 21),
        Op::Fsync { slot: 0, data_only: true },
        write(0, 3_000, 3_000, 22),
        open(&[C], 1),
        write(1, 500, 5_000, 23),
        Op::Unlink { path: path(&[C]) },
        Op::Close { slot: 1 },
        Op::Close { slot: 0 },
    ]
}

/// Whether an answered operation means that everything before it is committed at the volume's tier.
#[must_use]
pub fn is_sync(op: &Op) -> bool {
    matches!(
        op,
        Op::Fsync { .. }
            | Op::Fsyncdir { .. }
            | Op::Syncfs
            | Op::Checkpoint
            | Op::Remount
            | Op::Write { sync: true, .. }
    )
}

/// Whether an answered operation means that everything before it is in the store, whatever the tier.
#[must_use]
pub fn is_checkpoint(op: &Op) -> bool {
    matches!(op, Op::Checkpoint | Op::Remount)
}
