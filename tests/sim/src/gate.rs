//! One machine's way to the store: it counts calls, fails at a chosen one, and closes for good when the machine stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind, StoreResult,
};
use proxyfs_harness::sim::{CallCounter, Faults};

/// Half of the time that a call takes.
const HALF_LATENCY: Duration = Duration::from_millis(1);

/// What happens at a chosen call. Calls are numbered from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GatePlan {
    /// Nothing.
    #[default]
    Open,
    /// The machine stops before the call's effect.
    CrashBefore(u64),
    /// The machine stops after the call's effect, without seeing the reply.
    CrashAfter(u64),
    /// This call fails without effect.
    FailBefore(u64),
    /// This call has its effect and fails.
    FailAfter(u64),
    /// This call and all after it fail without effect.
    GoneFrom(u64),
}

/// What the store behind a gate makes of a put that is only to create.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conditional {
    /// One of several racers creates.
    #[default]
    Atomic,
    /// The condition is not looked at: the last racer's content stays.
    Ignored,
    /// It is looked at, and the object put a moment later: racers may all win, and the last one's content stays.
    Late,
}

/// A store behind a gate.
#[derive(Debug)]
pub struct GateStore<S> {
    inner: Arc<S>,
    local: Arc<CallCounter>,
    calls: AtomicU64,
    writes: AtomicU64,
    plan: Mutex<GatePlan>,
    conditional: Conditional,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Go,
    Lost,
    LostReply,
}

impl<S> GateStore<S> {
    /// The gate of the machine whose disk counts its calls in `local`.
    #[must_use]
    pub fn new(inner: Arc<S>, local: Arc<CallCounter>, conditional: Conditional) -> Self {
        Self { inner, local, calls: AtomicU64::new(0), writes: AtomicU64::new(0), plan: Mutex::default(), conditional }
    }

    /// Sets what happens.
    pub fn plan(&self, plan: GatePlan) {
        *self.plan.lock() = plan;
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Puts and deletes so far.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// Stops the machine: no call, local or remote, has an effect from now on.
    pub fn stop_machine(&self) {
        let stop_at = Some(self.local.count());
        self.local.plan(Faults { stop_at, ..Faults::default() });
    }

    fn fate(&self) -> Fate {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if self.local.stopped() {
            return Fate::Lost;
        }
        match *self.plan.lock() {
            GatePlan::CrashBefore(n) if n == call => {
                self.stop_machine();
                Fate::Lost
            }
            GatePlan::CrashAfter(n) if n == call => {
                self.stop_machine();
                Fate::LostReply
            }
            GatePlan::FailBefore(n) if n == call => Fate::Lost,
            GatePlan::FailAfter(n) if n == call => Fate::LostReply,
            GatePlan::GoneFrom(n) if call >= n => Fate::Lost,
            _ => Fate::Go,
        }
    }

    async fn pass<T>(&self, what: &str, call: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        tokio::time::sleep(HALF_LATENCY).await;
        let fate = self.fate();
        let unavailable = || StoreError::new(StoreErrorKind::Unavailable, format!("{what}: simulated failure"));
        if fate == Fate::Lost {
            return Err(unavailable());
        }
        let answer = call.await;
        if fate == Fate::LostReply {
            return Err(unavailable());
        }
        tokio::time::sleep(HALF_LATENCY).await;
        if self.local.stopped() { Err(unavailable()) } else { answer }
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for GateStore<S> {
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        let put = async {
            match (mode, self.conditional) {
                (PutMode::Fresh, _) | (_, Conditional::Atomic) => self.inner.put(key, body, mode).await,
                (PutMode::CreateNew, Conditional::Ignored) => self.inner.put(key, body, PutMode::Fresh).await,
                (PutMode::CreateNew, Conditional::Late) => {
                    if self.inner.get(key, GetRange::Full).await.is_ok_and(|there| *there != *body.concat()) {
                        return Err(StoreError::new(StoreErrorKind::AlreadyExists, format!("put {key}: taken")));
                    }
                    tokio::time::sleep(HALF_LATENCY).await;
                    self.inner.put(key, body, PutMode::Fresh).await
                }
            }
        };
        self.pass(&format!("put {key}"), put).await
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        self.pass(&format!("get {key}"), self.inner.get(key, range)).await
    }

    async fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        self.pass(&format!("head {key}"), self.inner.len(key)).await
    }

    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        self.pass(&format!("list {prefix}"), self.inner.list(container, prefix, start_after)).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.pass("delete", self.inner.delete(keys)).await
    }

    fn conditional_put(&self) -> ConditionalPut {
        match self.conditional {
            Conditional::Atomic => self.inner.conditional_put(),
            Conditional::Ignored | Conditional::Late => ConditionalPut::MustProbe,
        }
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
