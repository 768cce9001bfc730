//! The newest so many of a sequence, and followers who read it at their own pace.
//!
//! Invariant: memory is bounded by the ring alone. A follower is only a position; one that falls behind the oldest entry is told what
//! it missed. Numbers begin at the clock's microseconds, so that they grow from one life of the process to the next and a
//! follower from an earlier life is told so, too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::watch;

/// Entries that a ring of events or log lines keeps.
pub const KEPT: usize = 1000;

/// The newest entries of a sequence.
#[derive(Debug)]
pub struct Ring<T> {
    kept: usize,
    first: u64,
    entries: Mutex<VecDeque<(u64, T)>>,
    newest: watch::Sender<u64>,
}

/// What a follower sees next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// An entry and its number.
    Entry(u64, T),
    /// Entries up to the number `last` are gone; how many, if it can be told.
    Lost {
        /// Number of the last one missed.
        last: u64,
        /// How many.
        missed: Option<u64>,
    },
}

/// A position in a ring.
#[derive(Debug)]
pub struct Follower<T> {
    ring: Arc<Ring<T>>,
    newest: watch::Receiver<u64>,
    seen: u64,
}

impl<T: Clone> Ring<T> {
    /// An empty ring that keeps [`KEPT`] entries.
    #[must_use]
    pub fn new() -> Self {
        Self::keeping(KEPT)
    }

    /// An empty ring that keeps `kept` entries, at least one.
    #[must_use]
    pub fn keeping(kept: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_micros());
        let first = u64::try_from(now).unwrap_or(0) + 1;
        Self { kept: kept.max(1), first, entries: Mutex::default(), newest: watch::channel(first - 1).0 }
    }

    /// Adds an entry and gives its number.
    pub fn publish(&self, entry: T) -> u64 {
        let mut entries = self.entries.lock();
        let id = *self.newest.borrow() + 1;
        if entries.len() == self.kept {
            entries.pop_front();
        }
        entries.push_back((id, entry));
        self.newest.send_replace(id);
        id
    }

    /// The newest `count` entries that `wanted` accepts, oldest first.
    pub fn newest(&self, count: usize, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let entries = self.entries.lock();
        let mut found: Vec<T> =
            entries.iter().rev().map(|(_, e)| e).filter(|e| wanted(e)).take(count).cloned().collect();
        found.reverse();
        found
    }

    /// A follower of what comes after the number `seen`, or of what comes from now on.
    pub fn follow(self: &Arc<Self>, seen: Option<u64>) -> Follower<T> {
        let newest = self.newest.subscribe();
        let now = *newest.borrow();
        // A number that was never given out belongs to another machine or clock: all that is kept is new.
        let seen = seen.map_or(now, |seen| if seen > now { 0 } else { seen });
        Follower { ring: Arc::clone(self), newest, seen }
    }

    fn after(&self, seen: u64) -> Option<Next<T>> {
        let entries = self.entries.lock();
        let newest = *self.newest.borrow();
        let oldest = entries.front().map_or(newest + 1, |(id, _)| *id);
        if seen + 1 < oldest {
            let missed = (seen + 1 >= self.first).then(|| oldest - seen - 1);
            return Some(Next::Lost { last: oldest - 1, missed });
        }
        let index = usize::try_from(seen + 1 - oldest).ok()?;
        entries.get(index).map(|(id, entry)| Next::Entry(*id, entry.clone()))
    }
}

impl<T: Clone> Default for Ring<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Follower<T> {
    /// What comes next; waits for it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Next<T> {
        loop {
            self.newest.borrow_and_update();
            if let Some(next) = self.ring.after(self.seen) {
                self.seen = match &next {
                    Next::Entry(id, _) => *id,
                    Next::Lost { last, .. } => *last,
                };
                return next;
            }
            // The ring holds the sender and is held by us: it cannot be gone.
            if self.newest.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_follower_sees_all_that_comes_and_resumes_where_it_was() {
        let ring = Arc::new(Ring::keeping(3));
        let mut follower = ring.follow(None);
        assert_eq!(follower.next().now_or_never(), None);
        let a = ring.publish('a');
        assert_eq!(follower.next().await, Next::Entry(a, 'a'));
        let b = ring.publish('b');
        assert_eq!((b, ring.follow(Some(a)).next().await), (a + 1, Next::Entry(b, 'b')));
        assert_eq!(ring.newest(9, |_| true), ['a', 'b']);
        assert_eq!(ring.newest(1, |c| *c == 'a'), ['a']);
    }

    #[tokio::test]
    async fn a_follower_that_falls_behind_is_told_how_much_and_the_ring_does_not_grow() {
        let ring = Arc::new(Ring::keeping(2));
        let mut follower = ring.follow(None);
        let first = ring.publish(0);
        for n in 1..5 {
            ring.publish(n);
        }
        assert_eq!(ring.newest(9, |_| true), [3, 4]);
        assert_eq!(follower.next().await, Next::Lost { last: first + 2, missed: Some(3) });
        assert_eq!(follower.next().await, Next::Entry(first + 3, 3));
        assert_eq!(follower.next().await, Next::Entry(first + 4, 4));
        assert_eq!(follower.next().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_follower_of_an_earlier_life_is_told_without_a_count() {
        let ring = Arc::new(Ring::keeping(2));
        assert_eq!(ring.follow(Some(7)).next().await, Next::Lost { last: ring.first - 1, missed: None });
        let id = ring.publish('x');
        for foreign in [7, u64::MAX] {
            let mut follower = ring.follow(Some(foreign));
            assert_eq!(follower.next().await, Next::Lost { last: ring.first - 1, missed: None });
            assert_eq!(follower.next().await, Next::Entry(id, 'x'));
        }
    }
}
