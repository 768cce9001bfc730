//! The lock table: POSIX record locks (fcntl) and flock locks of all inodes, with waiting.
//!
//! Locks live in memory only and die with the mount. The two families do not see each other. Rules, as on Linux:
//!
//! - Two locks conflict if their ranges overlap, their owners differ and one of them is exclusive.
//! - A POSIX owner has at most one kind of lock on each byte: a new lock replaces what it covers, splitting and joining ranges.
//! - A flock owner has one lock on the whole file. Changing its kind gives the old lock up first, so that a change that has to wait,
//!   or may not, has lost it.
//! - A request that waits stands in a queue for its inode and family. Whatever frees a range lets the first in the queue have it who
//!   can, then the next who conflicts with none of those before it. A new request that nothing held is in the way of is
//!   granted even if others wait, unless those could be granted too.
//! - A POSIX request that would wait for an owner who waits, over however many steps, for the requester is a deadlock. The test is made
//!   when the wait begins; owners with several waiting threads can still get stuck later, as on Linux.
//!
//! The table has no bound of its own: it holds what processes hold, some 40 bytes a lock and 100 a waiter, and every request looks at
//! all locks of its inode. Nothing here is async but the wait itself; the mutex is never held across an `.await`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::fs::{FileLock, LockFamily, LockKind};
use crate::types::Ino;

/// Who holds or asks for a lock: what the kernel calls the lock owner, not the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockOwner(pub u64);

/// All locks of a volume.
#[derive(Debug, Default)]
pub struct LockTable {
    state: Mutex<State>,
}

impl LockTable {
    /// A table without locks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The POSIX lock with the lowest start that would be in the way of `lock`, if any.
    #[must_use]
    pub fn getlk(&self, ino: Ino, owner: LockOwner, lock: FileLock) -> Option<FileLock> {
        let state = self.state.lock();
        let queue = state.queues.get(&(ino, LockFamily::Posix))?;
        queue.in_the_way(&Held { owner, lock }).map(|held| held.lock).min_by_key(|held| held.start)
    }

    /// Takes, changes or releases a lock. With `wait`, the future is pending until the lock is had.
    ///
    /// Dropping the future before it is ready takes the request out of the queue and changes nothing else (but see the module
    /// for flock locks that change their kind).
    ///
    /// # Errors
    /// `WouldBlock` if a lock is in the way and `wait` is not set, `Deadlock` if waiting would never end, `InvalidArgument` for a
    /// range that ends before it starts.
    pub async fn setlk(
        &self,
        ino: Ino,
        family: LockFamily,
        owner: LockOwner,
        lock: FileLock,
        wait: bool,
    ) -> Result<()> {
        if lock.start > lock.end {
            return Err(Error::new(ErrorKind::InvalidArgument, "lock ends before it starts"));
        }
        let request = Held { owner, lock };
        if lock.kind == LockKind::Unlock {
            self.state.lock().release(ino, family, request);
            return Ok(());
        }
        if family == LockFamily::Flock {
            self.state.lock().give_up_other_kind(ino, request);
        }
        if wait {
            return Waiting { table: self, key: (ino, family), request, ticket: None }.await;
        }
        if self.state.lock().try_take((ino, family), request) { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    /// Releases everything an owner holds on an inode in one family: what closing a descriptor does. Its waits go on.
    pub fn release_owner(&self, ino: Ino, family: LockFamily, owner: LockOwner) {
        let lock = FileLock { start: 0, end: u64::MAX, kind: LockKind::Unlock, pid: 0 };
        self.state.lock().release(ino, family, Held { owner, lock });
    }

    /// Releases all locks on an inode, of both families. Who waits for one gets it.
    pub fn release_inode(&self, ino: Ino) {
        let mut state = self.state.lock();
        for family in [LockFamily::Posix, LockFamily::Flock] {
            if let Some(queue) = state.queues.get_mut(&(ino, family)) {
                queue.held.clear();
            }
            state.settle((ino, family));
        }
    }

    /// Whether nothing is held and nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.lock().queues.is_empty()
    }
}

/// Which queue a lock belongs to.
type QueueKey = (Ino, LockFamily);

/// A lock and whose it is, held or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    owner: LockOwner,
    lock: FileLock,
}

impl Held {
    fn overlaps(&self, other: &Self) -> bool {
        self.lock.start <= other.lock.end && other.lock.start <= self.lock.end
    }

    fn conflicts(&self, other: &Self) -> bool {
        let kinds = [self.lock.kind, other.lock.kind];
        self.owner != other.owner
            && self.overlaps(other)
            && kinds.contains(&LockKind::Write)
            && !kinds.contains(&LockKind::Unlock)
    }

    /// The part of it below `start`.
    fn below(&self, start: u64) -> Option<Self> {
        let end = start.checked_sub(1)?.min(self.lock.end);
        (self.lock.start <= end).then_some(Self { lock: FileLock { end, ..self.lock }, ..*self })
    }

    /// The part of it above `end`.
    fn above(&self, end: u64) -> Option<Self> {
        let start = end.checked_add(1)?.max(self.lock.start);
        (start <= self.lock.end).then_some(Self { lock: FileLock { start, ..self.lock }, ..*self })
    }

    /// Whether both can be one lock.
    fn joins(&self, other: &Self) -> bool {
        self.owner == other.owner
            && self.lock.kind == other.lock.kind
            && (self.overlaps(other)
                || self.lock.end.checked_add(1) == Some(other.lock.start)
                || other.lock.end.checked_add(1) == Some(self.lock.start))
    }
}

/// A request in a queue.
#[derive(Debug)]
struct Waiter {
    ticket: u64,
    request: Held,
    waker: Waker,
}

/// Locks of one inode and family, and who waits for some, first come first.
#[derive(Debug, Default)]
struct Queue {
    held: Vec<Held>,
    waiters: VecDeque<Waiter>,
}

impl Queue {
    fn in_the_way<'q>(&'q self, request: &'q Held) -> impl Iterator<Item = &'q Held> {
        self.held.iter().filter(move |held| held.conflicts(request))
    }

    /// Takes a range away from an owner.
    fn cut(&mut self, range: &Held) {
        let (own, mut rest): (Vec<_>, Vec<_>) =
            self.held.drain(..).partition(|held| held.owner == range.owner && held.overlaps(range));
        for held in own {
            rest.extend(held.below(range.lock.start));
            rest.extend(held.above(range.lock.end));
        }
        self.held = rest;
    }

    /// Gives an owner a lock that nothing is in the way of.
    fn take(&mut self, mut request: Held) {
        self.cut(&request);
        self.held.retain(|held| {
            let joins = held.joins(&request);
            if joins {
                request.lock.start = request.lock.start.min(held.lock.start);
                request.lock.end = request.lock.end.max(held.lock.end);
            }
            !joins
        });
        self.held.push(request);
    }

    /// The waiters that can have their locks now, all together.
    fn grantable(&self) -> Vec<&Waiter> {
        let mut chosen: Vec<&Waiter> = Vec::new();
        for waiter in &self.waiters {
            let free = self.in_the_way(&waiter.request).next().is_none();
            if free && !chosen.iter().any(|earlier| earlier.request.conflicts(&waiter.request)) {
                chosen.push(waiter);
            }
        }
        chosen
    }
}

/// What the table's mutex guards. Queues without locks and waiters are not kept.
#[derive(Debug, Default)]
struct State {
    queues: HashMap<QueueKey, Queue>,
    /// What each POSIX owner waits for.
    waiting: HashMap<LockOwner, Vec<(u64, Ino, Held)>>,
    next_ticket: u64,
}

impl State {
    fn release(&mut self, ino: Ino, family: LockFamily, range: Held) {
        if let Some(queue) = self.queues.get_mut(&(ino, family)) {
            queue.cut(&range);
        }
        self.settle((ino, family));
    }

    /// Drops the flock lock of an owner who asks for the other kind.
    fn give_up_other_kind(&mut self, ino: Ino, request: Held) {
        let key = (ino, LockFamily::Flock);
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.held.retain(|held| held.owner != request.owner || held.lock.kind == request.lock.kind);
        }
        self.settle(key);
    }

    /// Takes a lock if nothing is in the way, neither held nor about to be granted.
    fn try_take(&mut self, key: QueueKey, request: Held) -> bool {
        let queue = self.queues.entry(key).or_default();
        let free = queue.in_the_way(&request).next().is_none()
            && !queue.grantable().iter().any(|waiter| waiter.request.conflicts(&request));
        if free {
            queue.take(request);
        }
        self.settle(key);
        free
    }

    /// Puts a request at the end of its queue, for `Some` ticket; `None` if it could be granted at once.
    fn begin_wait(&mut self, key: QueueKey, request: Held, waker: &Waker) -> Result<Option<u64>> {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let queue = self.queues.entry(key).or_default();
        queue.waiters.push_back(Waiter { ticket, request, waker: waker.clone() });
        if key.1 == LockFamily::Posix {
            self.waiting.entry(request.owner).or_default().push((ticket, key.0, request));
        }
        if self.poll_ticket(key, ticket, waker) {
            return Ok(None);
        }
        if key.1 == LockFamily::Posix && self.would_deadlock(key.0, &request) {
            self.leave(key, ticket, request.owner);
            return Err(Error::new(ErrorKind::Deadlock, format!("waiting for a lock on inode {}", key.0)));
        }
        Ok(Some(ticket))
    }

    /// Grants a waiting request if it is its turn; else remembers whom to wake.
    fn poll_ticket(&mut self, key: QueueKey, ticket: u64, waker: &Waker) -> bool {
        let Some(queue) = self.queues.get_mut(&key) else { return false };
        let turn = queue.grantable().iter().find(|waiter| waiter.ticket == ticket).map(|waiter| waiter.request);
        let Some(request) = turn else {
            if let Some(waiter) = queue.waiters.iter_mut().find(|waiter| waiter.ticket == ticket) {
                waiter.waker.clone_from(waker);
            }
            return false;
        };
        queue.take(request);
        self.leave(key, ticket, request.owner);
        true
    }

    /// Takes a request out of its queue.
    fn leave(&mut self, key: QueueKey, ticket: u64, owner: LockOwner) {
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.waiters.retain(|waiter| waiter.ticket != ticket);
        }
        if let Some(waits) = self.waiting.get_mut(&owner) {
            waits.retain(|wait| wait.0 != ticket);
            if waits.is_empty() {
                self.waiting.remove(&owner);
            }
        }
        self.settle(key);
    }

    /// After any change of a queue: wakes those whose turn it is, and forgets a queue that is empty.
    fn settle(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get(&key) else { return };
        for waiter in queue.grantable() {
            waiter.waker.wake_by_ref();
        }
        if queue.held.is_empty() && queue.waiters.is_empty() {
            self.queues.remove(&key);
        }
    }

    /// Whether somebody in the way of a POSIX request waits, over any number of steps, for its owner.
    fn would_deadlock(&self, ino: Ino, request: &Held) -> bool {
        let mut seen = HashSet::new();
        let mut open = self.holders_in_the_way(ino, request);
        while let Some(holder) = open.pop() {
            if holder == request.owner {
                return true;
            }
            if seen.insert(holder) {
                for (_, ino, wanted) in self.waiting.get(&holder).into_iter().flatten() {
                    open.extend(self.holders_in_the_way(*ino, wanted));
                }
            }
        }
        false
    }

    fn holders_in_the_way(&self, ino: Ino, request: &Held) -> Vec<LockOwner> {
        let queue = self.queues.get(&(ino, LockFamily::Posix));
        queue.into_iter().flat_map(|queue| queue.in_the_way(request)).map(|held| held.owner).collect()
    }
}

/// The wait for a lock. The lock is taken inside the poll that says so, so that dropping the future at any other time has
/// nothing to give back.
#[derive(Debug)]
struct Waiting<'t> {
    table: &'t LockTable,
    key: QueueKey,
    request: Held,
    ticket: Option<u64>,
}

impl Future for Waiting<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.table.state.lock();
        if let Some(ticket) = self.ticket {
            if !state.poll_ticket(self.key, ticket, cx.waker()) {
                return Poll::Pending;
            }
            drop(state);
            self.ticket = None;
            return Poll::Ready(Ok(()));
        }
        let begun = state.begin_wait(self.key, self.request, cx.waker());
        drop(state);
        match begun {
            Ok(None) => Poll::Ready(Ok(())),
            Ok(ticket) => {
                self.ticket = ticket;
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.table.state.lock().leave(self.key, ticket, self.request.owner);
        }
    }
}

#[cfg(test)]
mod tests;
