//! Runs operations: those that are waited for and those that are answered later; notes them, and contains panics.
//!
//! A panic means a broken invariant: it is logged, answered with an error, and from then on changes are refused. Not here: what the
//! operations do (`callbacks`), and on which thread a request of the driver is carried out (`operation`).

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use proxyfs_core::ErrorKind;
use proxyfs_core::meter::{Meter, Op};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, debug, debug_span, error, warn};

use crate::drive::Answer;
use crate::status::Status;

/// Operations that may be under way without a thread of the library, at most: as many as the driver lets wait.
const TASKS_MAX: usize = 1000;
/// Requests that may have a thread of their own, at most.
const THREADS_MAX: usize = 128;

/// What an operation does, as far as running it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Looks only.
    Query,
    /// Changes the volume: refused after a panic.
    Change,
    /// Ends something that was begun: carried out in any case.
    End,
}

/// What is asked, as far as a log may tell: no names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    op: Op,
    file: u64,
    nature: Nature,
}

impl Asked {
    /// A look.
    pub(crate) fn query(op: Op) -> Self {
        Self { op, file: 0, nature: Nature::Query }
    }

    /// A change.
    pub(crate) fn change(op: Op) -> Self {
        Self { op, file: 0, nature: Nature::Change }
    }

    /// An end.
    pub(crate) fn end(op: Op) -> Self {
        Self { op, file: 0, nature: Nature::End }
    }

    /// On this open file.
    pub(crate) fn on(self, file: u64) -> Self {
        Self { file, ..self }
    }

    fn span(self) -> Span {
        debug_span!("operation", op = self.op.name(), file = self.file)
    }
}

/// Runs operations and owns those that wait.
pub(crate) struct Dispatcher {
    runtime: Handle,
    meter: Arc<Meter>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    poisoned: AtomicBool,
    closing: AtomicBool,
    /// Threads of the library that carry out a request at present, and how many may.
    on_library_threads: AtomicUsize,
    on_library_threads_max: usize,
    on_own_threads: AtomicUsize,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

/// The right to carry out a request on a thread of the library.
#[derive(Debug)]
pub(crate) struct LibraryThread<'a>(&'a AtomicUsize);

impl Drop for LibraryThread<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Dispatcher {
    /// A dispatcher whose operations run on `runtime` and are noted in `meter`. Half of the library's `threads` are kept free.
    pub(crate) fn new(runtime: Handle, meter: Arc<Meter>, threads: u32) -> Self {
        Self {
            runtime,
            meter,
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
            poisoned: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            on_library_threads: AtomicUsize::new(0),
            on_library_threads_max: (threads as usize / 2).max(1),
            on_own_threads: AtomicUsize::new(0),
        }
    }

    /// Where operations run.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Where operations are noted.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Operations that are under way without a thread of the library.
    pub(crate) fn waiting(&self) -> usize {
        self.tasks.len()
    }

    /// Whether an operation has panicked; changes are refused from then on.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// Whether no new operation is begun any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Why an operation is not begun, if it is not.
    fn refusal(&self, nature: Nature) -> Option<Status> {
        match nature {
            Nature::End => None,
            _ if self.is_closing() => Some(Status::VOLUME_DISMOUNTED),
            Nature::Change if self.is_poisoned() => Some(Status::MEDIA_WRITE_PROTECTED),
            _ => None,
        }
    }

    /// The right to carry out a request on the calling thread of the library, unless half of those threads do so already.
    pub(crate) fn try_library_thread(&self) -> Option<LibraryThread<'_>> {
        let before = self.on_library_threads.fetch_add(1, Ordering::Relaxed);
        let right = LibraryThread(&self.on_library_threads);
        (before < self.on_library_threads_max).then_some(right)
    }

    /// Carries out `work` on a thread of its own. Gives it back when there are too many.
    pub(crate) fn on_own_thread(
        self: &Arc<Self>,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), impl FnOnce() + Send + 'static> {
        if self.on_own_threads.fetch_add(1, Ordering::Relaxed) >= THREADS_MAX {
            self.on_own_threads.fetch_sub(1, Ordering::Relaxed);
            return Err(work);
        }
        let own = Arc::clone(self);
        let counted = move || {
            work();
            own.on_own_threads.fetch_sub(1, Ordering::Relaxed);
        };
        drop(self.tasks.spawn_blocking_on(counted, &self.runtime));
        Ok(())
    }

    /// Carries out an operation and waits for it here.
    pub(crate) fn wait<T>(&self, asked: Asked, operation: impl Future<Output = Answer<T>>) -> Answer<T> {
        if let Some(refusal) = self.refusal(asked.nature) {
            return Err(refusal);
        }
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                answer = self.settle(asked, operation) => answer,
                () = self.cancel.cancelled(), if asked.nature != Nature::End => Err(Status::CANCELLED),
            }
        })
    }

    /// Begins an operation. Gives its answer if there is one at once; else `finish` is called with it later.
    pub(crate) fn begin<T: Send + 'static>(
        self: &Arc<Self>,
        asked: Asked,
        operation: impl Future<Output = Answer<T>> + Send + 'static,
        finish: impl FnOnce(Answer<T>) + Send + 'static,
    ) -> Option<Answer<T>> {
        if let Some(refusal) = self.refusal(asked.nature) {
            return Some(Err(refusal));
        }
        let own = Arc::clone(self);
        let mut work: Pin<Box<dyn Future<Output = Answer<T>> + Send>> =
            Box::pin(async move { own.settle(asked, operation).await });
        {
            let _context = self.runtime.enter();
            if let Poll::Ready(answer) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Some(answer);
            }
        }
        if self.tasks.len() >= TASKS_MAX {
            return Some(self.runtime.block_on(work));
        }
        let cancel = self.cancel.clone();
        let task = async move {
            let answer = tokio::select! {
                answer = work => answer,
                () = cancel.cancelled() => Err(Status::CANCELLED),
            };
            finish(answer);
        };
        drop(self.tasks.spawn_on(task, &self.runtime));
        None
    }

    /// The outcome of an operation, noted, in a span of its own. A panic is contained.
    async fn settle<T>(&self, asked: Asked, operation: impl Future<Output = Answer<T>>) -> Answer<T> {
        let span = asked.span();
        let under_way = self.meter.begin(asked.op);
        let outcome = AssertUnwindSafe(operation.instrument(span.clone())).catch_unwind().await;
        let failed = match &outcome {
            Ok(Ok(_)) => None,
            Ok(Err(status)) => status.counted_as(),
            Err(_) => Some(ErrorKind::Internal),
        };
        let took = under_way.end(failed);
        let _in_span = span.enter();
        match outcome {
            Ok(Ok(value)) => {
                debug!(result = "ok", micros = took.as_micros(), "done");
                Ok(value)
            }
            Ok(Err(status)) => {
                debug!(result = ?status, micros = took.as_micros(), "done");
                Err(status)
            }
            Err(panic) => Err(self.poison(&*panic)),
        }
    }

    /// Contains a panic of `body`.
    pub(crate) fn contain<T>(&self, body: impl FnOnce() -> Answer<T>) -> Answer<T> {
        catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(self.poison(&*panic)))
    }

    fn poison(&self, panic: &(dyn std::any::Any + Send)) -> Status {
        self.poisoned.store(true, Ordering::Relaxed);
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)");
        error!("the file system panicked; changes are refused from now on: {text}");
        Status::INTERNAL_ERROR
    }

    /// Begins no new operation from now on, waits up to `patience` for those under way, then ends the rest. On return none is left
    /// that runs without a thread of the library.
    pub(crate) async fn finish(&self, patience: Duration) {
        self.closing.store(true, Ordering::Release);
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            warn!(operations = self.tasks.len(), "operations did not end in time and are dropped");
        }
        self.cancel.cancel();
        self.tasks.wait().await;
    }
}
