//! Random sequences of operations: after each one the volume must not contradict itself, a run with misses must write the same,
//! and the content of files must be what a map of single bytes says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::error::ErrorKind;
use crate::fs::{FallocateMode, FileKind, NewNode, OpenFlags, RenameMode, SetAttr, XattrMode};
use crate::kv::{OpResult, Txn};
use crate::types::{Ino, SegmentId};

use super::testkit::{World, run_with_misses, segment};
use super::{OpCx, ReapProgress, Source};

/// Inodes are named by a number, taken modulo those of the kind that the operation wants; now and then modulo all that were ever
/// made, so that the wrong kind and the dead are tried too.
type Pick = u8;

/// One in so many picks takes any inode.
const ANY_ONE_IN: u8 = 16;

#[derive(Clone, Debug)]
enum Op {
    Mknod { dir: Pick, name: u8, fifo: bool },
    Create { dir: Pick, name: u8, truncate: bool },
    Mkdir { dir: Pick, name: u8 },
    Symlink { dir: Pick, name: u8 },
    Tmpfile { dir: Pick },
    Link { ino: Pick, dir: Pick, name: u8 },
    Unlink { dir: Pick, name: u8 },
    Rmdir { dir: Pick, name: u8 },
    Rename { dir: Pick, name: u8, to_dir: Pick, to_name: u8, mode: RenameMode },
    Write { ino: Pick, offset: u8, len: u8, segment: u8, joined: bool },
    Truncate { ino: Pick, size: u8 },
    Fallocate { ino: Pick, offset: u8, len: u8, mode: FallocateMode },
    Share { from: Pick, from_offset: u8, to: Pick, to_offset: u8, len: u8 },
    SetXattr { ino: Pick, acl: bool },
    Chmod { ino: Pick, perm: u16 },
    Reap { ino: Pick },
    Fold,
}

const NAMES: [&str; 6] = ["a", "b", "A", "ä", "Ä", "c"];

fn modes() -> impl Strategy<Value = RenameMode> {
    prop_oneof![3 => Just(RenameMode::Replace), 1 => Just(RenameMode::NoReplace), 2 => Just(RenameMode::Exchange)]
}

fn fallocate_modes() -> impl Strategy<Value = FallocateMode> {
    prop::sample::select(vec![
        FallocateMode::Allocate,
        FallocateMode::KeepSize,
        FallocateMode::PunchHole,
        FallocateMode::ZeroRange,
        FallocateMode::ZeroRangeKeepSize,
    ])
}

fn ops() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES.len() as u8;
    let pick = any::<u8>;
    let byte = || 0..40u8;
    prop_oneof![
        2 => (pick(), name(), any::<bool>()).prop_map(|(dir, name, fifo)| Op::Mknod { dir, name, fifo }),
        3 => (pick(), name(), any::<bool>()).prop_map(|(dir, name, truncate)| Op::Create { dir, name, truncate }),
        4 => (pick(), name()).prop_map(|(dir, name)| Op::Mkdir { dir, name }),
        1 => (pick(), name()).prop_map(|(dir, name)| Op::Symlink { dir, name }),
        1 => pick().prop_map(|dir| Op::Tmpfile { dir }),
        3 => (pick(), pick(), name()).prop_map(|(ino, dir, name)| Op::Link { ino, dir, name }),
        3 => (pick(), name()).prop_map(|(dir, name)| Op::Unlink { dir, name }),
        2 => (pick(), name()).prop_map(|(dir, name)| Op::Rmdir { dir, name }),
        6 => (pick(), name(), pick(), name(), modes())
            .prop_map(|(dir, name, to_dir, to_name, mode)| Op::Rename { dir, name, to_dir, to_name, mode }),
        6 => (pick(), byte(), 0..20u8, 0..3u8, any::<bool>())
            .prop_map(|(ino, offset, len, segment, joined)| Op::Write { ino, offset, len, segment, joined }),
        2 => (pick(), byte()).prop_map(|(ino, size)| Op::Truncate { ino, size }),
        2 => (pick(), byte(), byte(), fallocate_modes())
            .prop_map(|(ino, offset, len, mode)| Op::Fallocate { ino, offset, len, mode }),
        2 => (pick(), byte(), pick(), byte(), byte())
            .prop_map(|(from, from_offset, to, to_offset, len)| Op::Share { from, from_offset, to, to_offset, len }),
        1 => (pick(), any::<bool>()).prop_map(|(ino, acl)| Op::SetXattr { ino, acl }),
        1 => (pick(), 0..0o1000u16).prop_map(|(ino, perm)| Op::Chmod { ino, perm }),
        4 => pick().prop_map(|ino| Op::Reap { ino }),
        1 => Just(Op::Fold),
    ]
}

/// What each byte of a file is: a hole, or a byte of a segment.
type Content = Vec<Option<(SegmentId, u64)>>;

/// The volume under test and the naive content of its files.
struct Run {
    world: World,
    content: BTreeMap<Ino, Content>,
    next_position: u64,
}

impl Run {
    fn new(case_insensitive: bool) -> Self {
        Self { world: World::new(case_insensitive), content: BTreeMap::new(), next_position: 0 }
    }

    /// Any inode, living or not.
    fn any(&self, pick: Pick) -> Ino {
        Ino(1 + u64::from(pick) % (self.world.next_ino - 1))
    }

    /// An existing inode of a kind.
    fn pick(&self, pick: Pick, kind: FileKind) -> Ino {
        let is_kind = |ino: &Ino| super::getattr(&self.world.kv, *ino).is_ok_and(|attr| attr.kind == kind);
        let inos: Vec<Ino> = (1..self.world.next_ino).map(Ino).filter(is_kind).collect();
        if pick.is_multiple_of(ANY_ONE_IN) || inos.is_empty() {
            return self.any(pick / ANY_ONE_IN);
        }
        inos[usize::from(pick) % inos.len()]
    }

    fn dir(&self, pick: Pick) -> Ino {
        self.pick(pick, FileKind::Dir)
    }

    fn file(&self, pick: Pick) -> Ino {
        self.pick(pick, FileKind::File)
    }

    /// A name in a directory, mostly one that exists.
    fn existing(&self, dir: Ino, name: u8) -> Vec<u8> {
        let entries = super::readdir_page(&self.world.kv, dir, None, usize::MAX, false).unwrap_or_default();
        match entries.get(usize::from(name)) {
            Some(entry) => entry.display.clone(),
            None => NAMES[usize::from(name)].into(),
        }
    }

    /// Runs an operation plainly and with misses, and compares.
    fn both<T: std::fmt::Debug + PartialEq>(
        &mut self,
        op: impl Fn(&mut Txn<'_>, &OpCx, Ino) -> OpResult<T>,
    ) -> Result<T, ErrorKind> {
        let before = self.world.clone();
        let plain = self.world.run(&op);
        let (cx, new_ino) = (self.world.cx, Ino(before.next_ino));
        let missed = run_with_misses(&before.kv, |tx| op(tx, &cx, new_ino));
        match (&plain, missed) {
            (Ok(value), Ok((again, writes))) => {
                assert_eq!(*value, again, "answer after misses");
                let mut kv = before.kv;
                kv.apply(writes);
                assert_eq!(kv, self.world.kv, "writes after misses");
            }
            (Err(kind), Err(again)) => assert_eq!(*kind, again, "error after misses"),
            (plain, missed) => panic!("{plain:?}, but after misses {missed:?}"),
        }
        plain
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Mknod { dir, name, fifo } => {
                let kind = if fifo { FileKind::Fifo } else { FileKind::File };
                let node = NewNode { kind, perm: 0o666, umask: 0o22, rdev: 0 };
                let (dir, name) = (self.dir(dir), NAMES[usize::from(name)].as_bytes());
                let _ = self.both(|tx, cx, new| super::mknod(tx, cx, dir, name, node, new));
            }
            Op::Create { dir, name, truncate } => {
                let flags = OpenFlags { truncate, ..OpenFlags::default() };
                let (dir, name) = (self.dir(dir), NAMES[usize::from(name)].as_bytes());
                let made = self.both(|tx, cx, new| super::create(tx, cx, dir, name, 0o666, 0o22, flags, new));
                if let (Ok(made), true) = (made, truncate) {
                    self.content.remove(&made.attr.ino);
                }
            }
            Op::Mkdir { dir, name } => {
                let (dir, name) = (self.dir(dir), NAMES[usize::from(name)].as_bytes());
                let _ = self.both(|tx, cx, new| super::mkdir(tx, cx, dir, name, 0o777, 0o22, new));
            }
            Op::Symlink { dir, name } => {
                let (dir, name) = (self.dir(dir), NAMES[usize::from(name)].as_bytes());
                let _ = self.both(|tx, cx, new| super::symlink(tx, cx, dir, name, b"target", new));
            }
            Op::Tmpfile { dir } => {
                let dir = self.dir(dir);
                let _ = self.both(|tx, cx, new| super::tmpfile(tx, cx, dir, 0o600, 0, OpenFlags::default(), new));
            }
            Op::Link { ino, dir, name } => {
                let (ino, dir, name) = (self.file(ino), self.dir(dir), NAMES[usize::from(name)].as_bytes());
                let _ = self.both(|tx, cx, _| super::link(tx, cx, ino, dir, name));
            }
            Op::Unlink { dir, name } => {
                let dir = self.dir(dir);
                let name = self.existing(dir, name);
                let _ = self.both(|tx, cx, _| super::unlink(tx, cx, dir, &name));
            }
            Op::Rmdir { dir, name } => {
                let dir = self.dir(dir);
                let name = self.existing(dir, name);
                let _ = self.both(|tx, cx, _| super::rmdir(tx, cx, dir, &name));
            }
            Op::Rename { dir, name, to_dir, to_name, mode } => {
                let dir = self.dir(dir);
                let name = self.existing(dir, name);
                let (to_dir, to_name) = (self.dir(to_dir), NAMES[usize::from(to_name)].as_bytes());
                let _ = self.both(|tx, cx, _| super::rename(tx, cx, dir, &name, to_dir, to_name, mode));
            }
            Op::Reap { ino } => self.reap(ino),
            Op::SetXattr { ino, acl } => self.set_xattr(ino, acl),
            Op::Chmod { ino, perm } => {
                let ino = self.any(ino);
                let set = SetAttr { perm: Some(perm), ..SetAttr::default() };
                let _ = self.both(|tx, cx, _| super::setattr(tx, cx, ino, set));
            }
            Op::Fold => {
                self.world.fold();
                assert_eq!(super::check::check_subtrees(&self.world.kv).expect("resident"), [], "after a fold");
            }
            Op::Write { .. } | Op::Truncate { .. } | Op::Fallocate { .. } | Op::Share { .. } => self.step_content(op),
        }
    }

    fn set_xattr(&mut self, ino: Pick, acl: bool) {
        let ino = self.any(ino);
        if acl {
            let mut value = vec![2, 0, 0, 0];
            for (tag, perm, id) in
                [(1u16, 7u16, u32::MAX), (2, 5, 3), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 1, u32::MAX)]
            {
                value.extend(tag.to_le_bytes().iter().chain(&perm.to_le_bytes()).chain(&id.to_le_bytes()));
            }
            for name in [crate::acl::XATTR_DEFAULT, crate::acl::XATTR_ACCESS] {
                let _ = self.both(|tx, cx, _| super::setxattr(tx, cx, ino, name, &value, XattrMode::Set));
            }
        } else {
            let _ = self.both(|tx, cx, _| super::setxattr(tx, cx, ino, b"user.x", b"1", XattrMode::Create));
        }
    }

    fn reap(&mut self, ino: Pick) {
        let ino = self.any(ino);
        if super::orphan::orphans(&self.world.kv, Ino(ino.0 - 1), 1).expect("resident") != [ino] {
            return;
        }
        loop {
            let progress = self.both(|tx, cx, _| super::reap_step(tx, cx, ino, 2)).expect("an orphan is reaped");
            self.world.check();
            if progress == ReapProgress::Done {
                break;
            }
        }
        self.content.remove(&ino);
    }

    fn step_content(&mut self, op: &Op) {
        match *op {
            Op::Write { ino, offset, len, segment: nonce, joined } => {
                let (ino, offset, len) = (self.file(ino), u64::from(offset), u64::from(len));
                let id = segment(u64::from(nonce));
                let position = if joined { self.next_position } else { self.next_position + 1 };
                self.next_position = position + len;
                if self.both(|tx, cx, _| super::write_extent(tx, cx, ino, offset, len, id, position, true)).is_ok()
                    && len > 0
                {
                    let pieces: Content = (0..len).map(|i| Some((id, position + i))).collect();
                    self.overwrite(ino, offset, &pieces);
                }
            }
            Op::Truncate { ino, size } => {
                let (ino, size) = (self.file(ino), usize::from(size));
                let set = SetAttr { size: Some(size as u64), ..SetAttr::default() };
                if self.both(|tx, cx, _| super::setattr(tx, cx, ino, set)).is_ok() {
                    self.content.entry(ino).or_default().resize(size, None);
                }
            }
            Op::Fallocate { ino, offset, len, mode } => {
                let (ino, offset, len) = (self.file(ino), u64::from(offset), u64::from(len));
                if self.both(|tx, cx, _| super::fallocate(tx, cx, ino, offset, len, mode)).is_ok() {
                    self.fallocated(ino, offset as usize, len as usize, mode);
                }
            }
            Op::Share { from, from_offset, to, to_offset, len } => {
                let (from, to) = (self.file(from), self.file(to));
                let (from_offset, to_offset, len) = (u64::from(from_offset), u64::from(to_offset), u64::from(len));
                let shared = self.both(|tx, cx, _| super::share_range(tx, cx, from, from_offset, to, to_offset, len));
                if let Ok(shared) = shared {
                    let source = self.content.get(&from).cloned().unwrap_or_default();
                    let start = (from_offset as usize).min(source.len());
                    let end = (start + len as usize).min(source.len());
                    assert_eq!(shared, (end - start) as u64);
                    if start < end {
                        self.overwrite(to, to_offset, &source[start..end]);
                    }
                }
            }
            _ => {}
        }
    }

    fn overwrite(&mut self, ino: Ino, offset: u64, pieces: &[Option<(SegmentId, u64)>]) {
        let content = self.content.entry(ino).or_default();
        let start = offset as usize;
        content.resize(content.len().max(start + pieces.len()), None);
        content[start..start + pieces.len()].clone_from_slice(pieces);
    }

    fn fallocated(&mut self, ino: Ino, start: usize, len: usize, mode: FallocateMode) {
        let content = self.content.entry(ino).or_default();
        if matches!(mode, FallocateMode::Allocate | FallocateMode::ZeroRange) {
            content.resize(content.len().max(start + len), None);
        }
        if !matches!(mode, FallocateMode::Allocate | FallocateMode::KeepSize) {
            let end = (start + len).min(content.len());
            content[start.min(end)..end].fill(None);
        }
    }

    /// Compares the maps of all files with their naive contents.
    fn check_content(&self) {
        for (&ino, expected) in &self.content {
            let pieces = super::map_range(&self.world.kv, ino, 0, u64::MAX).expect("file maps");
            let mut found = Content::new();
            for piece in pieces {
                assert_eq!(piece.file_offset, found.len() as u64, "pieces without gaps");
                found.extend((0..piece.len).map(|i| match piece.source {
                    Source::Hole => None,
                    Source::Data { segment, position } => Some((segment, position + i)),
                }));
            }
            assert_eq!(found, *expected, "content of inode {ino}");
            self.check_seeks(ino, expected);
        }
    }

    fn check_seeks(&self, ino: Ino, content: &Content) {
        for from in 0..content.len() {
            let data = content[from..].iter().position(Option::is_some).map(|i| (from + i) as u64);
            let hole = content[from..].iter().position(Option::is_none).map_or(content.len(), |i| from + i) as u64;
            assert_eq!(super::seek_data(&self.world.kv, ino, from as u64).ok(), data, "data from {from}");
            assert_eq!(super::seek_hole(&self.world.kv, ino, from as u64).ok(), Some(hole), "hole from {from}");
        }
        assert!(super::seek_data(&self.world.kv, ino, content.len() as u64).is_err());
        assert!(super::seek_hole(&self.world.kv, ino, content.len() as u64).is_err());
    }
}

proptest! {
    #[test]
    fn random_operations_keep_the_volume_whole(insensitive: bool, sequence in prop::collection::vec(ops(), 1..120)) {
        let mut run = Run::new(insensitive);
        for op in &sequence {
            run.step(op);
            run.world.check();
            run.check_content();
        }
        run.step(&Op::Fold);
    }
}
