//! What the tests of operations run on: a map that is always resident, one that misses, and a volume with a clock.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::error::ErrorKind;
use crate::format::{InodeRecord, Key, keys};
use crate::fs::{Attr, Caller, FileKind, NewNode};
use crate::kv::{KvRead, Miss, OpError, OpResult, PageAddr, Pair, Txn, Visit};
use crate::types::{Epoch, Ino, Nonce, ObjectId, SegmentId, Timestamp};

use super::subtree::subtree_delta;
use super::{OpCx, inode};

/// A fully resident map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MapKv(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl MapKv {
    /// Makes a transaction's writes part of the map.
    pub(crate) fn apply(&mut self, writes: Writes) {
        for (key, value) in writes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }
}

impl KvRead for MapKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Miss> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Miss> {
        assert!(from <= to, "scan backwards");
        for (k, v) in self.0.range(from.to_vec()..to.to_vec()) {
            if visit(k, v).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Pair>, Miss> {
        assert!(from <= to, "range backwards");
        Ok(self.0.range(from.to_vec()..to.to_vec()).next_back().map(|(k, v)| (k.clone(), v.clone())))
    }
}

/// A map whose "pages" are not resident until they were asked for once: each key is a page of its own, and a scan misses in its
/// middle after it has visited pairs.
#[derive(Debug)]
pub(crate) struct MissKv<'m> {
    map: &'m MapKv,
    resident: RefCell<BTreeSet<Vec<u8>>>,
}

impl<'m> MissKv<'m> {
    pub(crate) fn new(map: &'m MapKv) -> Self {
        Self { map, resident: RefCell::default() }
    }

    fn fault(&self, key: &[u8]) -> Result<(), Miss> {
        if self.resident.borrow_mut().insert(key.to_vec()) {
            let object = ObjectId { epoch: Epoch(1), nonce: Nonce(1) };
            return Err(Miss(PageAddr { object, offset: 0, len: 1 }));
        }
        Ok(())
    }
}

impl KvRead for MissKv<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Miss> {
        self.fault(key)?;
        self.map.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Miss> {
        self.fault(from)?;
        let mut missed = Ok(());
        self.map.scan(from, to, &mut |key, value| {
            missed = self.fault(key);
            if missed.is_err() { ControlFlow::Break(()) } else { visit(key, value) }
        })?;
        missed
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Pair>, Miss> {
        self.fault(to)?;
        self.map.last(from, to)
    }
}

/// A transaction's writes.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Runs an operation until no page misses; its writes if it succeeded.
pub(crate) fn run_with_misses<T>(
    map: &MapKv,
    op: impl Fn(&mut Txn<'_>) -> OpResult<T>,
) -> Result<(T, Writes), ErrorKind> {
    let kv = MissKv::new(map);
    loop {
        let mut tx = Txn::new(&kv);
        match op(&mut tx) {
            Ok(value) => return Ok((value, tx.into_writes())),
            Err(OpError::Fs(error)) => return Err(error.kind()),
            Err(OpError::Miss(_)) => {}
        }
    }
}

/// A small volume: a map, a clock that ticks with each operation, the next inode number, and pending subtree reports.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) kv: MapKv,
    pub(crate) cx: OpCx,
    pub(crate) next_ino: u64,
    pub(crate) pending: BTreeMap<Ino, (i64, i64)>,
}

impl World {
    /// A volume with an empty root directory.
    pub(crate) fn new(case_insensitive: bool) -> Self {
        let caller = Caller { uid: 10, gid: 20, pid: 1 };
        let cx = OpCx { now: Timestamp::new(1000, 0), caller, case_insensitive };
        let mut world = Self { kv: MapKv::default(), cx, next_ino: 2, pending: BTreeMap::new() };
        world.ok(|tx, cx, _| {
            super::make_root(tx, cx, 0o755);
            Ok(())
        });
        world
    }

    /// Runs an operation one second later and keeps its writes if it succeeds.
    pub(crate) fn run<T>(&mut self, op: impl FnOnce(&mut Txn<'_>, &OpCx, Ino) -> OpResult<T>) -> Result<T, ErrorKind> {
        self.cx.now.secs += 1;
        let new_ino = Ino(self.next_ino);
        let mut tx = Txn::new(&self.kv);
        match op(&mut tx, &self.cx, new_ino) {
            Ok(value) => {
                let writes = tx.into_writes();
                self.report(&writes);
                self.kv.apply(writes);
                if self.kv.0.contains_key(&keys::inode_key(new_ino)) {
                    self.next_ino += 1;
                }
                Ok(value)
            }
            Err(OpError::Fs(error)) => Err(error.kind()),
            Err(OpError::Miss(_)) => unreachable!("the map is resident"),
        }
    }

    /// As [`World::run`], for what must succeed.
    pub(crate) fn ok<T>(&mut self, op: impl FnOnce(&mut Txn<'_>, &OpCx, Ino) -> OpResult<T>) -> T {
        self.run(op).expect("operation succeeds")
    }

    /// As [`World::run`], for what must fail.
    pub(crate) fn err<T: std::fmt::Debug>(
        &mut self,
        op: impl FnOnce(&mut Txn<'_>, &OpCx, Ino) -> OpResult<T>,
    ) -> ErrorKind {
        self.run(op).expect_err("operation fails")
    }

    /// Adds what a transaction's inode writes change in subtree counters.
    fn report(&mut self, writes: &Writes) {
        for (key, value) in writes {
            if let Ok(Key::Inode(ino)) = Key::decode(key) {
                let decode = |bytes: &Vec<u8>| InodeRecord::decode(bytes).expect("own record");
                let before = self.kv.0.get(key).map(decode);
                let after = value.as_ref().map(decode);
                for (dir, bytes, inodes) in subtree_delta(ino, before.as_ref(), after.as_ref()) {
                    let sum = self.pending.entry(dir).or_default();
                    sum.0 += bytes;
                    sum.1 += inodes;
                }
            }
        }
    }

    /// Folds the pending subtree reports.
    pub(crate) fn fold(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.ok(|tx, _, _| super::subtree::fold(tx, &pending));
        assert!(self.pending.is_empty(), "a fold reports nothing itself");
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.cx.now
    }

    pub(crate) fn mkdir(&mut self, parent: Ino, name: &str) -> Ino {
        self.ok(|tx, cx, ino| super::mkdir(tx, cx, parent, name.as_bytes(), 0o755, 0, ino)).ino
    }

    pub(crate) fn mkfile(&mut self, parent: Ino, name: &str) -> Ino {
        self.mknod(parent, name, FileKind::File, 0o644).ino
    }

    pub(crate) fn mknod(&mut self, parent: Ino, name: &str, kind: FileKind, perm: u16) -> Attr {
        let node = NewNode { kind, perm, umask: 0, rdev: 0 };
        self.ok(|tx, cx, ino| super::mknod(tx, cx, parent, name.as_bytes(), node, ino))
    }

    /// Writes `len` bytes that lie at `position` of segment `nonce`.
    pub(crate) fn write(&mut self, ino: Ino, offset: u64, len: u64, nonce: u64, position: u64) {
        self.ok(|tx, cx, _| super::write_extent(tx, cx, ino, offset, len, segment(nonce), position, false));
    }

    pub(crate) fn attr(&self, ino: Ino) -> Attr {
        super::getattr(&self.kv, ino).expect("inode exists")
    }

    pub(crate) fn record(&self, ino: Ino) -> InodeRecord {
        inode::load(&self.kv, ino).expect("inode exists")
    }

    /// The inode that `name` names, if any.
    pub(crate) fn find(&self, parent: Ino, name: &str) -> Option<Ino> {
        match super::lookup(&self.kv, &self.cx, parent, name.as_bytes()) {
            Ok(attr) => Some(attr.ino),
            Err(OpError::Fs(error)) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => panic!("lookup: {error:?}"),
        }
    }

    /// Display names of a directory, joined.
    pub(crate) fn names(&self, dir: Ino) -> String {
        let entries = super::readdir_page(&self.kv, dir, None, usize::MAX, true).expect("directory lists");
        let names: Vec<_> = entries.iter().map(|e| String::from_utf8_lossy(&e.display)).collect();
        names.join(" ")
    }

    pub(crate) fn usage(&self, nonce: u64) -> u64 {
        super::usage::load(&self.kv, segment(nonce)).expect("usage record")
    }

    /// Fails the test if the volume contradicts itself.
    #[track_caller]
    pub(crate) fn check(&self) {
        let faults = super::check::check_all(&self.kv).expect("checkable");
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

/// Segment `nonce` of epoch 1.
pub(crate) fn segment(nonce: u64) -> SegmentId {
    SegmentId { epoch: Epoch(1), nonce: Nonce(nonce) }
}
