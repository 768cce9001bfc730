//! Counts requests, failures and bytes of a store by kind of request, without locks.
//!
//! Put below the retry layer it counts what goes over the wire, repeated attempts included. The numbers of one snapshot are
//! read one after the other, so they may differ by requests under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind, StoreResult,
    Trouble,
};
use serde::Serialize;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, debug_span};

use crate::key;

/// What one kind of request has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpCounts {
    /// Requests that have ended, failed ones included. A request whose future was dropped does not count.
    pub requests: u64,
    /// Those that failed.
    pub failures: u64,
    /// Bytes of object content sent (put) or received (get) by those that succeeded.
    pub bytes: u64,
}

/// A snapshot of all counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreCounts {
    /// Objects written.
    pub put: OpCounts,
    /// Objects or ranges read.
    pub get: OpCounts,
    /// Lengths asked.
    pub head: OpCounts,
    /// Listing pages.
    pub list: OpCounts,
    /// Delete calls; one may name many objects.
    pub delete: OpCounts,
    /// Attempts beyond the first of each call.
    pub retries: u64,
}

impl StoreCounts {
    /// Requests of all kinds.
    #[must_use]
    pub fn requests(&self) -> u64 {
        [self.put, self.get, self.head, self.list, self.delete].iter().map(|c| c.requests).sum()
    }
}

/// Upper bounds of the latency classes, in milliseconds; one more class takes the rest.
pub const LATENCY_MS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 30_000];

/// Kinds of failure, in the order of [`OpDetail::failed`].
pub const FAILURES: [StoreErrorKind; 9] = [
    StoreErrorKind::NotFound,
    StoreErrorKind::AlreadyExists,
    StoreErrorKind::NoContainer,
    StoreErrorKind::Denied,
    StoreErrorKind::Unavailable,
    StoreErrorKind::Truncated,
    StoreErrorKind::Unsupported,
    StoreErrorKind::Invalid,
    StoreErrorKind::NoSpace,
];

/// Names of the kinds of request, in the order of [`Usage::details`].
pub const KINDS: [&str; 5] = ["put", "get", "head", "list", "delete"];

/// More on one kind of request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpDetail {
    /// Failures by [`FAILURES`].
    pub failed: [u64; FAILURES.len()],
    /// Requests by the class of [`LATENCY_MS`] that their time falls into.
    pub latency: [u64; LATENCY_MS.len() + 1],
    /// Time of all requests together, in nanoseconds.
    pub nanos: u64,
}

/// Counters and details together, which can be added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The counters.
    pub counts: StoreCounts,
    /// By [`KINDS`].
    pub details: [OpDetail; KINDS.len()],
}

impl Usage {
    /// The counters of one of [`KINDS`], by its number.
    #[must_use]
    pub fn of(&self, kind: usize) -> OpCounts {
        let StoreCounts { put, get, head, list, delete, .. } = self.counts;
        [put, get, head, list, delete][kind]
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        let add = |a: OpCounts, b: OpCounts| OpCounts {
            requests: a.requests + b.requests,
            failures: a.failures + b.failures,
            bytes: a.bytes + b.bytes,
        };
        let (a, b) = (&mut self.counts, &other.counts);
        a.put = add(a.put, b.put);
        a.get = add(a.get, b.get);
        a.head = add(a.head, b.head);
        a.list = add(a.list, b.list);
        a.delete = add(a.delete, b.delete);
        a.retries += b.retries;
        for (a, b) in self.details.iter_mut().zip(&other.details) {
            a.failed.iter_mut().zip(&b.failed).for_each(|(a, b)| *a += b);
            a.latency.iter_mut().zip(&b.latency).for_each(|(a, b)| *a += b);
            a.nanos += b.nanos;
        }
        self
    }
}

/// The live counters of a store; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    ops: Arc<Ops>,
    retries: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Ops {
    put: Op,
    get: Op,
    head: Op,
    list: Op,
    delete: Op,
}

#[derive(Debug, Default)]
struct Op {
    requests: AtomicU64,
    failures: AtomicU64,
    bytes: AtomicU64,
    failed: [AtomicU64; FAILURES.len()],
    latency: [AtomicU64; LATENCY_MS.len() + 1],
    nanos: AtomicU64,
}

impl Op {
    fn note<T>(&self, begun: Instant, result: &StoreResult<T>, bytes: u64) {
        let time = begun.elapsed();
        let class = LATENCY_MS.iter().position(|ms| time <= Duration::from_millis(*ms)).unwrap_or(LATENCY_MS.len());
        self.latency[class].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Err(error) = result
            && let Some(kind) = FAILURES.iter().position(|kind| *kind == error.kind)
        {
            self.failed[kind].fetch_add(1, Ordering::Relaxed);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        if result.is_ok() {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn detail(&self) -> OpDetail {
        OpDetail {
            failed: self.failed.each_ref().map(|n| n.load(Ordering::Relaxed)),
            latency: self.latency.each_ref().map(|n| n.load(Ordering::Relaxed)),
            nanos: self.nanos.load(Ordering::Relaxed),
        }
    }

    fn snapshot(&self) -> OpCounts {
        OpCounts {
            requests: self.requests.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl Counters {
    /// The numbers now.
    #[must_use]
    pub fn snapshot(&self) -> StoreCounts {
        StoreCounts {
            put: self.ops.put.snapshot(),
            get: self.ops.get.snapshot(),
            head: self.ops.head.snapshot(),
            list: self.ops.list.snapshot(),
            delete: self.ops.delete.snapshot(),
            retries: self.retries.load(Ordering::Relaxed),
        }
    }

    /// The numbers now, with failures by kind and latencies.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let Ops { put, get, head, list, delete } = &*self.ops;
        Usage { counts: self.snapshot(), details: [put, get, head, list, delete].map(Op::detail) }
    }

    /// The same counters, with retries counted elsewhere (see [`crate::Retry::retries`]).
    #[must_use]
    pub fn with_retries(self, retries: Arc<AtomicU64>) -> Self {
        Self { retries, ..self }
    }
}

/// Says in a request's span how it went.
fn told<T>(span: &Span, begun: Instant, result: &StoreResult<T>) {
    if span.is_disabled() {
        return;
    }
    let micros = begun.elapsed().as_micros();
    span.in_scope(|| match result {
        Ok(_) => debug!(result = "ok", micros, "answered"),
        Err(error) => debug!(result = ?error.kind, micros, "failed"),
    });
}

/// A store whose requests are counted.
#[derive(Debug)]
pub struct Counted<S: ?Sized> {
    counters: Counters,
    inner: Arc<S>,
}

impl<S: ObjectStore + ?Sized> Counted<S> {
    /// Wraps a store.
    pub fn new(inner: Arc<S>) -> Self {
        Self { counters: Counters::default(), inner }
    }

    /// The live counters.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }
}

#[async_trait]
impl<S: ObjectStore + ?Sized> ObjectStore for Counted<S> {
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()> {
        let bytes = key::body_len(&body);
        let begun = Instant::now();
        let span = debug_span!("request", kind = "put", key = %key, bytes);
        let result = self.inner.put(key, body, mode).instrument(span.clone()).await;
        told(&span, begun, &result);
        self.counters.ops.put.note(begun, &result, bytes);
        result
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        let begun = Instant::now();
        let span = debug_span!("request", kind = "get", key = %key, bytes = Empty);
        let result = self.inner.get(key, range).instrument(span.clone()).await;
        if let Ok(content) = &result {
            span.record("bytes", content.len());
        }
        told(&span, begun, &result);
        self.counters.ops.get.note(begun, &result, result.as_ref().map_or(0, |content| content.len() as u64));
        result
    }

    async fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        let begun = Instant::now();
        let span = debug_span!("request", kind = "head", key = %key);
        let result = self.inner.len(key).instrument(span.clone()).await;
        told(&span, begun, &result);
        self.counters.ops.head.note(begun, &result, 0);
        result
    }

    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        let begun = Instant::now();
        let span = debug_span!("request", kind = "list", container, key = prefix);
        let result = self.inner.list(container, prefix, start_after).instrument(span.clone()).await;
        told(&span, begun, &result);
        self.counters.ops.list.note(begun, &result, 0);
        result
    }

    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        let begun = Instant::now();
        let span = debug_span!("request", kind = "delete", keys = keys.len());
        let result = self.inner.delete(keys).instrument(span.clone()).await;
        told(&span, begun, &result);
        self.counters.ops.delete.note(begun, &result, 0);
        result
    }

    fn conditional_put(&self) -> ConditionalPut {
        self.inner.conditional_put()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn trouble(&self) -> Option<Trouble> {
        self.inner.trouble()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemStore;

    #[tokio::test]
    async fn requests_failures_and_bytes_are_counted_by_kind() {
        let store = Counted::new(Arc::new(MemStore::new()));
        let key = ObjectKey::home("k");
        store.put(&key, vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de")], PutMode::Fresh).await.unwrap();
        store.get(&key, GetRange::Suffix { len: 2 }).await.unwrap();
        store.get(&ObjectKey::home("none"), GetRange::Full).await.unwrap_err();
        store.list(0, "", None).await.unwrap();
        let counts = store.counters().snapshot();
        assert_eq!(counts.put, OpCounts { requests: 1, failures: 0, bytes: 5 });
        assert_eq!(counts.get, OpCounts { requests: 2, failures: 1, bytes: 2 });
        let usage = store.counters().usage();
        assert_eq!((usage.details[1].failed[0], usage.details[1].latency.iter().sum::<u64>()), (1, 2));
        assert_eq!(usage.plus(&usage).of(1).requests, 4);
        assert_eq!((counts.head.requests, counts.list.requests, counts.requests()), (0, 1, 4));
    }
}
