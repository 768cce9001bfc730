//! Advisory locks: fcntl byte ranges and flock, who holds them and who waits.
//!
//! Invariant: two locks of one inode and family that overlap have the same owner or are both shared; locks of one owner never
//! overlap each other, and neighbours of one kind are one lock. A waiting request is listed here only so that a circle of
//! waiting owners can be seen; it is served by whoever sees the lock free first.

use std::collections::{BTreeMap, BTreeSet};

use proxyfs_core::fs::{FileLock, LockFamily, LockKind};
use proxyfs_core::types::Ino;

/// All locks of a volume.
#[derive(Clone, Debug, Default)]
pub(super) struct LockTable {
    held: BTreeMap<Ino, Vec<Owned>>,
    waiting: BTreeMap<u64, (Ino, Owned)>,
    next_ticket: u64,
}

/// A lock, or a wish for one, with its owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned {
    pub(super) family: LockFamily,
    pub(super) owner: u64,
    pub(super) lock: FileLock,
}

impl Owned {
    /// Whether the two cannot be held together.
    fn conflicts(&self, other: &Self) -> bool {
        self.family == other.family
            && self.owner != other.owner
            && (self.lock.kind == LockKind::Write || other.lock.kind == LockKind::Write)
            && self.lock.kind != LockKind::Unlock
            && overlap(&self.lock, &other.lock)
    }

    fn same_owner(&self, other: &Self) -> bool {
        self.family == other.family && self.owner == other.owner
    }
}

impl LockTable {
    /// The lock with the lowest start that is in the way of a wish.
    pub(super) fn blocker(&self, ino: Ino, wish: &Owned) -> Option<FileLock> {
        self.blockers(ino, wish).map(|held| held.lock).min_by_key(|lock| lock.start)
    }

    /// Takes a lock that nothing is in the way of, or releases a range. What the owner held inside the range is replaced.
    pub(super) fn set(&mut self, ino: Ino, new: Owned) {
        let held = self.held.entry(ino).or_default();
        let (own, mut rest): (Vec<Owned>, Vec<Owned>) = held.drain(..).partition(|h| h.same_owner(&new));
        let mut own: Vec<Owned> = own.iter().flat_map(|old| outside(old, &new.lock)).collect();
        if new.lock.kind != LockKind::Unlock {
            own.push(new);
        }
        rest.extend(join_neighbours(own));
        *held = rest;
        if held.is_empty() {
            self.held.remove(&ino);
        }
    }

    /// Lists a waiting request; `false` if its owner would wait for itself in the end.
    pub(super) fn enqueue(&mut self, ino: Ino, wish: Owned) -> Option<u64> {
        if wish.family == LockFamily::Posix && self.waits_for_itself(ino, &wish) {
            return None;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, (ino, wish));
        Some(ticket)
    }

    /// Ends a wait, served or given up.
    pub(super) fn dequeue(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
    }

    /// The inode is gone.
    pub(super) fn forget(&mut self, ino: Ino) {
        self.held.remove(&ino);
    }

    fn blockers<'a>(&'a self, ino: Ino, wish: &'a Owned) -> impl Iterator<Item = &'a Owned> {
        self.held.get(&ino).into_iter().flatten().filter(|held| wish.conflicts(held))
    }

    /// Follows who waits for whom, from a wish, and looks for its owner.
    fn waits_for_itself(&self, ino: Ino, wish: &Owned) -> bool {
        let mut seen = BTreeSet::new();
        let mut to_see: Vec<u64> = self.blockers(ino, wish).map(|held| held.owner).collect();
        while let Some(owner) = to_see.pop() {
            if owner == wish.owner {
                return true;
            }
            if seen.insert(owner) {
                let wishes = self.waiting.values().filter(|(_, w)| w.family == LockFamily::Posix && w.owner == owner);
                to_see.extend(wishes.flat_map(|(ino, w)| self.blockers(*ino, w)).map(|held| held.owner));
            }
        }
        false
    }
}

fn overlap(a: &FileLock, b: &FileLock) -> bool {
    a.start <= b.end && b.start <= a.end
}

/// What is left of a lock when a range is taken out of it.
fn outside(old: &Owned, range: &FileLock) -> Vec<Owned> {
    if !overlap(&old.lock, range) {
        return vec![*old];
    }
    let mut left = Vec::new();
    if old.lock.start < range.start {
        left.push(Owned { lock: FileLock { end: range.start - 1, ..old.lock }, ..*old });
    }
    if old.lock.end > range.end {
        left.push(Owned { lock: FileLock { start: range.end + 1, ..old.lock }, ..*old });
    }
    left
}

/// Joins adjoining locks of one kind. All belong to one owner and none overlap.
fn join_neighbours(mut locks: Vec<Owned>) -> Vec<Owned> {
    locks.sort_by_key(|owned| owned.lock.start);
    let mut joined: Vec<Owned> = Vec::new();
    for next in locks {
        match joined.last_mut() {
            Some(last) if last.lock.kind == next.lock.kind && last.lock.end.checked_add(1) == Some(next.lock.start) => {
                last.lock.end = next.lock.end;
            }
            _ => joined.push(next),
        }
    }
    joined
}
