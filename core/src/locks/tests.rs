//! Rules of the lock table one by one, against a map of single bytes, and with waits that are polled and dropped at random.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use futures_util::future::BoxFuture;
use proptest::prelude::*;

use super::*;

const A: LockOwner = LockOwner(1);
const B: LockOwner = LockOwner(2);
const C: LockOwner = LockOwner(3);
const FILE: Ino = Ino(7);
const OTHER: Ino = Ino(8);

/// A waker that notes whether it was called.
#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A future with its own waker, polled only when told.
struct Task {
    future: BoxFuture<'static, Result<()>>,
    flag: Arc<Flag>,
}

impl Task {
    /// Starts to wait for a lock and polls once.
    fn start(
        table: &Arc<LockTable>,
        ino: Ino,
        family: LockFamily,
        owner: LockOwner,
        lock: FileLock,
    ) -> (Self, Poll<Result<()>>) {
        let table = Arc::clone(table);
        let future = Box::pin(async move { table.setlk(ino, family, owner, lock, true).await });
        let mut task = Self { future, flag: Arc::default() };
        let poll = task.poll();
        (task, poll)
    }

    fn poll(&mut self) -> Poll<Result<()>> {
        self.flag.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.flag));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn is_woken(&self) -> bool {
        self.flag.0.load(Ordering::SeqCst)
    }
}

fn lock(kind: LockKind, start: u64, end: u64) -> FileLock {
    FileLock { start, end, kind, pid: 1 }
}

/// Asks without waiting.
fn ask(table: &LockTable, ino: Ino, family: LockFamily, owner: LockOwner, lock: FileLock) -> Result<(), ErrorKind> {
    let future = pin!(table.setlk(ino, family, owner, lock, false));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.map_err(|error| error.kind()),
        Poll::Pending => panic!("a request without wait is answered at once"),
    }
}

fn posix(table: &LockTable, owner: LockOwner, kind: LockKind, start: u64, end: u64) -> Result<(), ErrorKind> {
    ask(table, FILE, LockFamily::Posix, owner, lock(kind, start, end))
}

fn flock(table: &LockTable, owner: LockOwner, kind: LockKind) -> Result<(), ErrorKind> {
    ask(table, FILE, LockFamily::Flock, owner, lock(kind, 0, u64::MAX))
}

/// What an owner holds, as text.
fn held(table: &LockTable, owner: LockOwner) -> String {
    let state = table.state.lock();
    let queue = state.queues.get(&(FILE, LockFamily::Posix));
    let mut held: Vec<_> = queue.iter().flat_map(|q| &q.held).filter(|h| h.owner == owner).map(|h| h.lock).collect();
    held.sort_by_key(|lock| lock.start);
    held.iter().map(|l| format!("{:?} {}-{}", l.kind, l.start, l.end)).collect::<Vec<_>>().join(", ")
}

#[test]
fn own_ranges_split_and_join() {
    let table = LockTable::new();
    posix(&table, A, LockKind::Write, 0, 9).expect("free");
    posix(&table, A, LockKind::Unlock, 3, 4).expect("unlock");
    assert_eq!(held(&table, A), "Write 0-2, Write 5-9");
    posix(&table, A, LockKind::Read, 2, 6).expect("own");
    assert_eq!(held(&table, A), "Write 0-1, Read 2-6, Write 7-9");
    posix(&table, A, LockKind::Write, 2, 6).expect("own");
    assert_eq!(held(&table, A), "Write 0-9");
    posix(&table, A, LockKind::Write, 10, u64::MAX).expect("own");
    assert_eq!(held(&table, A), format!("Write 0-{}", u64::MAX));
    posix(&table, A, LockKind::Unlock, 0, u64::MAX).expect("unlock");
    assert!(table.is_empty());
}

#[test]
fn readers_share_and_writers_do_not() {
    let table = LockTable::new();
    posix(&table, A, LockKind::Read, 0, 9).expect("free");
    posix(&table, B, LockKind::Read, 5, 14).expect("shared");
    assert_eq!(posix(&table, C, LockKind::Write, 9, 9), Err(ErrorKind::WouldBlock));
    assert_eq!(posix(&table, A, LockKind::Write, 0, 9), Err(ErrorKind::WouldBlock));
    assert_eq!(held(&table, A), "Read 0-9", "a failed change leaves the lock");
    posix(&table, A, LockKind::Write, 0, 4).expect("own alone");
    assert_eq!(table.getlk(FILE, C, lock(LockKind::Read, 0, 20)), Some(lock(LockKind::Write, 0, 4)));
    assert_eq!(table.getlk(FILE, C, lock(LockKind::Write, 10, 20)), Some(lock(LockKind::Read, 5, 14)));
    assert_eq!(table.getlk(FILE, C, lock(LockKind::Read, 5, 20)), None);
    assert_eq!(table.getlk(OTHER, C, lock(LockKind::Write, 0, 20)), None);
    assert_eq!(table.getlk(FILE, C, lock(LockKind::Unlock, 0, 20)), None);
}

#[test]
fn families_do_not_see_each_other() {
    let table = LockTable::new();
    posix(&table, A, LockKind::Write, 0, u64::MAX).expect("free");
    flock(&table, B, LockKind::Write).expect("free");
    assert_eq!(flock(&table, A, LockKind::Read), Err(ErrorKind::WouldBlock));
    table.release_owner(FILE, LockFamily::Flock, B);
    flock(&table, A, LockKind::Read).expect("released");
    assert_eq!(posix(&table, B, LockKind::Read, 0, 0), Err(ErrorKind::WouldBlock));
    table.release_inode(FILE);
    assert!(table.is_empty());
}

#[test]
fn a_flock_change_that_fails_has_lost_the_lock() {
    let table = LockTable::new();
    flock(&table, A, LockKind::Read).expect("free");
    flock(&table, B, LockKind::Read).expect("shared");
    assert_eq!(flock(&table, A, LockKind::Write), Err(ErrorKind::WouldBlock));
    flock(&table, B, LockKind::Write).expect("nobody else");
}

#[test]
fn a_range_that_ends_before_it_starts_is_refused() {
    assert_eq!(posix(&LockTable::new(), A, LockKind::Read, 2, 1), Err(ErrorKind::InvalidArgument));
}

#[test]
fn waiters_get_their_turn_in_order() {
    let table = Arc::new(LockTable::new());
    posix(&table, A, LockKind::Write, 0, 9).expect("free");
    let wait = |owner| Task::start(&table, FILE, LockFamily::Posix, owner, lock(LockKind::Write, 0, 0));
    let (mut second, poll) = wait(B);
    assert!(poll.is_pending());
    let (mut third, poll) = wait(C);
    assert!(poll.is_pending());
    posix(&table, A, LockKind::Unlock, 0, 9).expect("unlock");
    assert!(second.is_woken() && !third.is_woken());
    assert!(third.poll().is_pending(), "not before its turn");
    assert_eq!(posix(&table, A, LockKind::Write, 0, 0), Err(ErrorKind::WouldBlock), "not past the queue");
    assert!(second.poll().is_ready());
    posix(&table, B, LockKind::Unlock, 0, 0).expect("unlock");
    assert!(third.is_woken() && third.poll().is_ready());
    assert_eq!(held(&table, C), "Write 0-0");
}

#[test]
fn a_dropped_wait_leaves_no_trace_and_passes_its_turn_on() {
    let table = Arc::new(LockTable::new());
    posix(&table, A, LockKind::Write, 0, 9).expect("free");
    let wait = |owner| Task::start(&table, FILE, LockFamily::Posix, owner, lock(LockKind::Write, 0, 0)).0;
    let (second, third) = (wait(B), wait(C));
    table.release_owner(FILE, LockFamily::Posix, A);
    assert!(second.is_woken() && !third.is_woken());
    drop(second);
    assert!(third.is_woken());
    drop(third);
    assert!(table.is_empty());
}

#[test]
fn a_downgrade_lets_readers_in() {
    let table = Arc::new(LockTable::new());
    posix(&table, A, LockKind::Write, 0, 9).expect("free");
    let (mut reader, _) = Task::start(&table, FILE, LockFamily::Posix, B, lock(LockKind::Read, 3, 3));
    posix(&table, A, LockKind::Read, 0, 9).expect("own");
    assert!(reader.is_woken() && reader.poll().is_ready());
}

#[test]
fn a_circle_of_waits_is_a_deadlock() {
    let table = Arc::new(LockTable::new());
    let on = |ino, owner| Task::start(&table, ino, LockFamily::Posix, owner, lock(LockKind::Write, 0, 0));
    for (ino, owner) in [(FILE, A), (OTHER, B), (Ino(9), C)] {
        assert!(on(ino, owner).1.is_ready());
    }
    let (_first, poll) = on(OTHER, A);
    assert!(poll.is_pending());
    let (second, poll) = on(Ino(9), B);
    assert!(poll.is_pending());
    let (_, poll) = on(FILE, C);
    assert!(matches!(poll, Poll::Ready(Err(ref error)) if error.kind() == ErrorKind::Deadlock));
    drop(second);
    let (_third, poll) = on(FILE, C);
    assert!(poll.is_pending(), "the circle is open again");
}

#[test]
fn two_readers_who_both_want_to_write_are_a_deadlock() {
    let table = Arc::new(LockTable::new());
    posix(&table, A, LockKind::Read, 0, 9).expect("free");
    posix(&table, B, LockKind::Read, 0, 9).expect("shared");
    let (_wait, poll) = Task::start(&table, FILE, LockFamily::Posix, A, lock(LockKind::Write, 0, 9));
    assert!(poll.is_pending());
    let (_, poll) = Task::start(&table, FILE, LockFamily::Posix, B, lock(LockKind::Write, 0, 9));
    assert!(matches!(poll, Poll::Ready(Err(ref error)) if error.kind() == ErrorKind::Deadlock));
}

/// Bytes of the naive model; the last one stands for all that follow.
const BYTES: u64 = 10;

/// Who holds what on each byte.
type Model = Vec<BTreeMap<LockOwner, LockKind>>;

fn model_free(model: &Model, owner: LockOwner, lock: FileLock) -> bool {
    model_range(lock).all(|byte| {
        model[byte].iter().all(|(o, k)| *o == owner || (*k == LockKind::Read && lock.kind == LockKind::Read))
    })
}

fn model_range(lock: FileLock) -> std::ops::Range<usize> {
    lock.start as usize..(lock.end.min(BYTES - 1) + 1) as usize
}

fn model_set(model: &mut Model, owner: LockOwner, lock: FileLock) {
    for byte in model_range(lock) {
        match lock.kind {
            LockKind::Unlock => model[byte].remove(&owner),
            kind => model[byte].insert(owner, kind),
        };
    }
}

/// The table's POSIX locks on an inode in the model's form.
fn as_model(table: &LockTable) -> Model {
    let mut model = vec![BTreeMap::new(); BYTES as usize];
    let state = table.state.lock();
    for held in state.queues.get(&(FILE, LockFamily::Posix)).into_iter().flat_map(|queue| &queue.held) {
        for byte in model_range(held.lock) {
            assert_eq!(model[byte].insert(held.owner, held.lock.kind), None, "one lock of an owner on a byte");
        }
    }
    model
}

fn requests() -> impl Strategy<Value = (LockOwner, FileLock)> {
    let kinds = prop::sample::select(vec![LockKind::Read, LockKind::Write, LockKind::Unlock]);
    (1..4u64, kinds, 0..BYTES, 0..BYTES).prop_map(|(owner, kind, a, b)| {
        let end = if a.max(b) == BYTES - 1 { u64::MAX } else { a.max(b) };
        (LockOwner(owner), lock(kind, a.min(b), end))
    })
}

proptest! {
    #[test]
    fn table_answers_like_a_map_of_bytes(sequence in prop::collection::vec(requests(), 1..60)) {
        let table = LockTable::new();
        let mut model: Model = vec![BTreeMap::new(); BYTES as usize];
        for (owner, lock) in sequence {
            let free = lock.kind == LockKind::Unlock || model_free(&model, owner, lock);
            if lock.kind != LockKind::Unlock {
                prop_assert_eq!(table.getlk(FILE, owner, lock).is_none(), free);
            }
            let answer = ask(&table, FILE, LockFamily::Posix, owner, lock);
            prop_assert_eq!(answer, if free { Ok(()) } else { Err(ErrorKind::WouldBlock) });
            if free {
                model_set(&mut model, owner, lock);
            }
            prop_assert_eq!(&as_model(&table), &model);
        }
        for owner in 1..4 {
            table.release_owner(FILE, LockFamily::Posix, LockOwner(owner));
        }
        prop_assert!(table.is_empty());
    }

    /// Requests wait, are polled only when woken, and are dropped at random. Whoever can have his lock is woken, what is held
    /// never conflicts, and nothing is left in the end.
    #[test]
    fn no_wake_up_is_lost(sequence in prop::collection::vec((requests(), 0..8u8, any::<u8>(), any::<bool>()), 1..60)) {
        let table = Arc::new(LockTable::new());
        let mut tasks: Vec<(Task, LockOwner, FileLock)> = Vec::new();
        let mut model: Model = vec![BTreeMap::new(); BYTES as usize];
        for ((owner, lock), action, pick, drain) in sequence {
            match action {
                0 if !tasks.is_empty() => {
                    let _ = tasks.swap_remove(usize::from(pick) % tasks.len());
                }
                _ if lock.kind == LockKind::Unlock => {
                    ask(&table, FILE, LockFamily::Posix, owner, lock).expect("unlock");
                    model_set(&mut model, owner, lock);
                }
                _ => match Task::start(&table, FILE, LockFamily::Posix, owner, lock) {
                    (task, Poll::Pending) => tasks.push((task, owner, lock)),
                    (_, Poll::Ready(Ok(()))) => model_set(&mut model, owner, lock),
                    (_, Poll::Ready(Err(error))) => prop_assert_eq!(error.kind(), ErrorKind::Deadlock),
                },
            }
            while let (true, Some(at)) = (drain, tasks.iter().position(|task| task.0.is_woken())) {
                if tasks[at].0.poll().is_ready() {
                    let (_, owner, lock) = tasks.swap_remove(at);
                    prop_assert!(model_free(&model, owner, lock), "granted against a held lock");
                    model_set(&mut model, owner, lock);
                }
            }
            prop_assert_eq!(&as_model(&table), &model);
            let any_woken = tasks.iter().any(|task| task.0.is_woken());
            let any_free = tasks.iter().any(|(_, owner, lock)| model_free(&model, *owner, *lock));
            prop_assert!(any_woken || !any_free, "somebody could go on and sleeps");
        }
        tasks.clear();
        for owner in 1..4 {
            table.release_owner(FILE, LockFamily::Posix, LockOwner(owner));
        }
        prop_assert!(table.is_empty());
        prop_assert!(table.state.lock().waiting.is_empty());
    }
}
