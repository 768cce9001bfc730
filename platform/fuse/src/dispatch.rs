//! Running an operation: once on the FUSE thread, and on as a task if it has to wait.
//!
//! Owns the tasks of one mount. Invariants: every request is answered exactly once, also when the operation panics; a FUSE thread
//! waits for an operation only when [`TASKS_MAX`] others already wait (then the kernel's queue is the right place to wait in); a
//! wait for a lock never holds a FUSE thread.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use fuser::Errno;
use futures_util::FutureExt;
use proxyfs_core::meter::{Meter, Op};
use proxyfs_core::types::Ino;
use proxyfs_core::{ErrorKind, Result};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, debug, debug_span, error, warn};

use crate::errno::{errno, is_fault};

/// Operations that may wait as tasks at a time. The kernel bounds its own background requests (`max_background`); the rest come
/// from threads that wait for their answer, so this many waiting threads are already a machine in trouble.
const TASKS_MAX: usize = 1024;

/// A boxed operation with its reply.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an operation does, as far as running it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Looks only.
    Query,
    /// Changes the volume: refused after a panic.
    Change,
    /// Waits for somebody else's lock, perhaps for ever.
    LockWait,
}

/// What is asked, as far as a log may tell: no names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    op: Op,
    ino: u64,
    handle: u64,
    bytes: u64,
}

impl Asked {
    /// An operation on nothing yet.
    pub(crate) fn new(op: Op) -> Self {
        Self { op, ino: 0, handle: 0, bytes: 0 }
    }

    /// On this inode: the parent where a name is meant.
    pub(crate) fn of(self, ino: Ino) -> Self {
        Self { ino: ino.0, ..self }
    }

    /// Through this handle.
    pub(crate) fn by(self, handle: proxyfs_core::fs::Handle) -> Self {
        Self { handle: handle.0, ..self }
    }

    /// On so many bytes.
    pub(crate) fn bytes(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }

    fn span(self) -> Span {
        debug_span!("operation", op = self.op.name(), ino = self.ino, handle = self.handle, bytes = self.bytes)
    }
}

/// Runs operations and owns those that wait.
pub(crate) struct Dispatcher {
    runtime: Handle,
    meter: Arc<Meter>,
    tasks: TaskTracker,
    lock_waits: TaskTracker,
    cancel: CancellationToken,
    poisoned: AtomicBool,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// A dispatcher whose tasks run on `runtime`, and which notes operations in `meter`.
    pub(crate) fn new(runtime: Handle, meter: Arc<Meter>) -> Self {
        Self {
            runtime,
            meter,
            tasks: TaskTracker::new(),
            lock_waits: TaskTracker::new(),
            cancel: CancellationToken::new(),
            poisoned: AtomicBool::new(false),
        }
    }

    /// Operations that wait as tasks now.
    pub(crate) fn waiting(&self) -> usize {
        self.tasks.len() + self.lock_waits.len()
    }

    /// Whether an operation has panicked; changes are refused from then on.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// Polls `work` once here; if it has to wait, it goes on as a task.
    pub(crate) fn drive(&self, nature: Nature, work: impl Future<Output = ()> + Send + 'static) {
        let mut work = Box::pin(work);
        let ready = {
            let _context = self.runtime.enter();
            work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        if !ready {
            self.go_on(nature, work);
        }
    }

    /// Goes on with work that has to wait.
    fn go_on(&self, nature: Nature, work: Work) {
        let tracker = if nature == Nature::LockWait { &self.lock_waits } else { &self.tasks };
        if nature != Nature::LockWait && tracker.len() >= TASKS_MAX {
            self.runtime.block_on(work);
            return;
        }
        let cancel = self.cancel.clone();
        // A cancelled operation drops its reply unsent; the protocol crate then answers EIO.
        let task = async move {
            tokio::select! {
                () = work => {}
                () = cancel.cancelled() => {}
            }
        };
        tracker.spawn_on(task, &self.runtime);
    }

    /// The outcome of an operation: its value or the errno to answer. It is noted, and stands in a span of its own. Panics are caught,
    /// logged, and poison the mount.
    pub(crate) async fn settle<T>(&self, asked: Asked, operation: impl Future<Output = Result<T>>) -> Result<T, Errno> {
        // Where nobody listens at this level, the span is one comparison.
        let span = asked.span();
        let under_way = self.meter.begin(asked.op);
        let outcome = AssertUnwindSafe(operation.instrument(span.clone())).catch_unwind().await;
        let failed = match &outcome {
            Ok(Ok(_)) => None,
            Ok(Err(e)) => Some(e.kind()),
            Err(_) => Some(ErrorKind::Internal),
        };
        let took = under_way.end(failed);
        let name = asked.op.name();
        let _in_span = span.enter();
        match outcome {
            Ok(Ok(value)) => {
                debug!(result = "ok", micros = took.as_micros(), "done");
                Ok(value)
            }
            Ok(Err(e)) if is_fault(e.kind()) => {
                warn!(operation = name, kind = ?e.kind(), "{e}");
                Err(errno(e.kind()))
            }
            Ok(Err(e)) => {
                debug!(operation = name, result = e.kind().name(), micros = took.as_micros(), "{e}");
                Err(errno(e.kind()))
            }
            Err(panic) => {
                self.poisoned.store(true, Ordering::Relaxed);
                error!(
                    operation = name,
                    "the file system panicked; changes are refused from now on: {}",
                    panic_text(&*panic)
                );
                Err(Errno::EIO)
            }
        }
    }

    /// Waits up to `patience` for the operations under way, then ends the rest. Called when the kernel asks no more.
    pub(crate) async fn finish(&self, patience: Duration) {
        self.tasks.close();
        self.lock_waits.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            warn!(operations = self.tasks.len(), "operations did not end in time after the unmount and are dropped");
        }
        self.cancel.cancel();
        self.tasks.wait().await;
        self.lock_waits.wait().await;
    }
}

/// What a panic said.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "(no message)"
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proxyfs_core::Error;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn ready_work_runs_on_the_calling_thread_without_a_task() {
        let dispatcher = Dispatcher::new(Handle::current(), Arc::default());
        let (sender, receiver) = oneshot::channel();
        dispatcher.drive(Nature::Query, async move {
            sender.send(thread::current().id()).expect("the receiver waits");
        });
        assert_eq!(dispatcher.waiting(), 0);
        assert_eq!(receiver.await, Ok(thread::current().id()));
    }

    #[tokio::test]
    async fn waiting_work_goes_on_as_a_task() {
        let dispatcher = Dispatcher::new(Handle::current(), Arc::default());
        let (go, gate) = oneshot::channel::<()>();
        let (done, answer) = oneshot::channel();
        dispatcher.drive(Nature::Query, async move {
            gate.await.expect("opened below");
            done.send(42).expect("the receiver waits");
        });
        assert_eq!(dispatcher.waiting(), 1);
        go.send(()).expect("the task waits");
        assert_eq!(answer.await, Ok(42));
        dispatcher.finish(Duration::from_secs(5)).await;
        assert_eq!(dispatcher.waiting(), 0);
    }

    #[tokio::test]
    async fn finish_ends_work_that_never_ends() {
        let dispatcher = Dispatcher::new(Handle::current(), Arc::default());
        dispatcher.drive(Nature::Change, std::future::pending());
        dispatcher.drive(Nature::LockWait, std::future::pending());
        assert_eq!(dispatcher.waiting(), 2);
        dispatcher.finish(Duration::ZERO).await;
        assert_eq!(dispatcher.waiting(), 0);
    }

    #[tokio::test]
    async fn a_panic_is_eio_and_poisons() {
        let dispatcher = Arc::new(Dispatcher::new(Handle::current(), Arc::default()));
        assert!(!dispatcher.is_poisoned());
        let outcome =
            dispatcher.settle(Asked::new(Op::Read), async { if true { panic!("broken") } else { Ok(()) } }).await;
        assert_eq!(outcome.map_err(Errno::code), Err(libc::EIO));
        assert!(dispatcher.is_poisoned());
    }

    #[tokio::test]
    async fn an_error_becomes_its_errno_and_does_not_poison() {
        let dispatcher = Dispatcher::new(Handle::current(), Arc::default());
        let outcome: Result<(), Errno> =
            dispatcher.settle(Asked::new(Op::Read), async { Err(Error::from(ErrorKind::QuotaExceeded)) }).await;
        assert_eq!(outcome.map_err(Errno::code), Err(libc::EDQUOT));
        assert!(!dispatcher.is_poisoned());
    }

    #[tokio::test]
    async fn operations_are_noted_by_kind_and_result() {
        let meter = Arc::new(Meter::default());
        let dispatcher = Dispatcher::new(Handle::current(), Arc::clone(&meter));
        let read = || Asked::new(Op::Read).bytes(1);
        dispatcher.settle(read(), async { Ok(()) }).await.expect("it succeeds");
        let failed: Result<(), Errno> = dispatcher.settle(read(), async { Err(ErrorKind::NotFound.into()) }).await;
        assert!(failed.is_err());
        let ops = meter.ops();
        assert_eq!((ops.len(), ops[0].op, ops[0].ok, ops[0].timings.count()), (1, "read", 1, 2));
        assert_eq!((ops[0].failed[0].kind, ops[0].failed[0].count), ("not_found", 1));
    }

    #[tokio::test]
    async fn work_that_is_given_up_is_no_longer_under_way() {
        let meter = Arc::new(Meter::default());
        let dispatcher = Arc::new(Dispatcher::new(Handle::current(), Arc::clone(&meter)));
        let own = Arc::clone(&dispatcher);
        dispatcher.drive(Nature::Query, async move {
            let _never = own.settle(Asked::new(Op::Read), std::future::pending::<Result<()>>()).await;
        });
        assert_eq!(meter.under_way().0, 1);
        dispatcher.finish(Duration::ZERO).await;
        assert_eq!(meter.under_way().0, 0);
        assert!(meter.ops().is_empty());
    }
}
