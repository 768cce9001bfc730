//! Repeats calls that may succeed later, with jittered exponential backoff and one deadline for all attempts of a call.
//!
//! Only [`StoreErrorKind::Unavailable`] and, a few times, [`StoreErrorKind::Truncated`] are repeated. Time is tokio's, so tests can pause it.
//! A repeated create finds its own object: backends settle that by content.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind, StoreResult,
    Trouble,
};
use tokio::time::Instant;

use crate::network::Network;
use crate::rng::SplitMix64;

/// Attempts that may end truncated. A body that broke off is whole at the next try; an object that is too short stays so.
const TRUNCATED_ATTEMPTS_MAX: u32 = 4;

/// How long and how often to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Backoff after the first failure; doubles with each further one. Half of it is jitter.
    pub backoff_base: Duration,
    /// Longest backoff.
    pub backoff_max: Duration,
    /// Time for all attempts of one call; then it fails with [`StoreErrorKind::Unavailable`].
    pub operation_timeout: Duration,
    /// Seed of the jitter; `None` takes a random one.
    pub jitter_seed: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            backoff_base: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(60),
            jitter_seed: None,
        }
    }
}

/// A store whose calls are repeated.
#[derive(Debug)]
pub struct Retry<S: ?Sized> {
    repeater: Repeater,
    inner: Arc<S>,
}

/// Repeats any call by a policy.
#[derive(Debug)]
pub(crate) struct Repeater {
    policy: RetryPolicy,
    jitter: Mutex<SplitMix64>,
    retries: Arc<AtomicU64>,
    network: Network,
    failing: Failing,
}

/// The calls that have failed and are being repeated.
#[derive(Debug, Default)]
struct Failing(Mutex<FailingState>);

#[derive(Debug, Default)]
struct FailingState {
    calls: u32,
    since: Option<Instant>,
    message: String,
}

/// One of them; over when it is dropped.
#[derive(Debug)]
struct FailingCall<'f>(&'f Failing);

impl Failing {
    fn begin(&self) -> FailingCall<'_> {
        self.0.lock().calls += 1;
        FailingCall(self)
    }

    fn failed(&self, error: &StoreError) {
        let mut state = self.0.lock();
        state.since.get_or_insert_with(Instant::now);
        state.message.clone_from(&error.message);
    }

    /// The store answers: those that still fail count from their next failure.
    fn answered(&self) {
        self.0.lock().since = None;
    }

    fn trouble(&self) -> Option<Trouble> {
        let state = self.0.lock();
        state.since.map(|since| Trouble { lasts: since.elapsed(), message: state.message.clone() })
    }
}

impl Drop for FailingCall<'_> {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.calls -= 1;
        if state.calls == 0 {
            state.since = None;
        }
    }
}

impl<S: ObjectStore + ?Sized> Retry<S> {
    /// Wraps a store.
    pub fn new(inner: Arc<S>, policy: RetryPolicy) -> Self {
        Self::on(inner, policy, &Network::default())
    }

    /// Wraps a store that is reached over a network that somebody watches.
    pub fn on(inner: Arc<S>, policy: RetryPolicy, network: &Network) -> Self {
        Self { repeater: Repeater::new(policy, network), inner }
    }

    /// Attempts made beyond the first of each call, over all calls. The counter stays valid after the store is wrapped.
    pub fn retries(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.repeater.retries)
    }
}

impl Repeater {
    pub(crate) fn new(policy: RetryPolicy, network: &Network) -> Self {
        let seed = policy.jitter_seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        let jitter = Mutex::new(SplitMix64::new(seed));
        Self { policy, jitter, retries: Arc::default(), network: network.clone(), failing: Failing::default() }
    }

    /// Calls `attempt` until it succeeds, fails for good, or time is up.
    pub(crate) async fn run<T, F>(&self, what: &str, mut attempt: impl FnMut() -> F + Send) -> StoreResult<T>
    where
        F: Future<Output = StoreResult<T>> + Send,
    {
        let deadline = Instant::now() + self.policy.operation_timeout;
        let mut last: Option<StoreError> = None;
        let mut truncated = 0;
        let mut failing = None;
        let mut news = self.network.news();
        for attempts in 1u32.. {
            let outcome = tokio::select! {
                biased;
                outcome = tokio::time::timeout_at(deadline, attempt()) => outcome,
                () = news.lost() => {
                    tracing::debug!(what, attempts, "begun anew: the network was lost meanwhile");
                    self.retries.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            };
            let error = match outcome {
                Err(_) => break,
                Ok(Err(error)) if is_transient(error.kind) => error,
                Ok(done) => {
                    self.failing.answered();
                    return done;
                }
            };
            if error.kind == StoreErrorKind::Unavailable {
                failing.get_or_insert_with(|| self.failing.begin());
                self.failing.failed(&error);
            }
            truncated += u32::from(error.kind == StoreErrorKind::Truncated);
            if truncated == TRUNCATED_ATTEMPTS_MAX {
                return Err(error);
            }
            let pause = self.backoff(attempts);
            tracing::debug!(what, attempts, error = %error, ?pause, "store call failed, trying again");
            last = Some(error);
            if Instant::now() + pause >= deadline {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = news.changed() => {}
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        Err(self.gave_up(what, last))
    }

    /// The pause after this many failures: between half and all of an exponentially growing time.
    fn backoff(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        let full = self.policy.backoff_base.saturating_mul(factor).min(self.policy.backoff_max);
        full.mul_f64(0.5 + 0.5 * self.jitter.lock().unit())
    }

    fn gave_up(&self, what: &str, last: Option<StoreError>) -> StoreError {
        let limit = self.policy.operation_timeout;
        match last {
            Some(e) => StoreError::new(e.kind, format!("{} (gave up after {limit:?})", e.message)),
            None => StoreError::new(StoreErrorKind::Unavailable, format!("{what}: no answer within {limit:?}")),
        }
    }
}

/// Whether the same call may succeed later.
fn is_transient(kind: StoreErrorKind) -> bool {
    match kind {
        StoreErrorKind::Unavailable | StoreErrorKind::Truncated => true,
        StoreErrorKind::NotFound
        | StoreErrorKind::AlreadyExists
        | StoreErrorKind::NoContainer
        | StoreErrorKind::Denied
        | StoreErrorKind::Unsupported
        | StoreErrorKind::Invalid
        | StoreErrorKind::NoSpace => false,
    }
}

#[async_trait]
impl<S: ObjectStore + ?Sized> ObjectStore for Retry<S> {
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()> {
        self.repeater.run(&format!("put {key}"), || self.inner.put(key, body.clone(), mode)).await
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        self.repeater.run(&format!("get {key}"), || self.inner.get(key, range)).await
    }

    async fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        self.repeater.run(&format!("head {key}"), || self.inner.len(key)).await
    }

    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        self.repeater.run(&format!("list {prefix}"), || self.inner.list(container, prefix, start_after)).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        self.repeater.run(&format!("delete {} objects", keys.len()), || self.inner.delete(keys)).await
    }

    fn conditional_put(&self) -> ConditionalPut {
        self.inner.conditional_put()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn trouble(&self) -> Option<Trouble> {
        self.repeater.failing.trouble()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemStore;
    use crate::fault::{FailHow, FailPoint, FaultConfig, FaultHandle, FaultStore, Outage};

    fn over_faults(config: FaultConfig) -> (Retry<FaultStore<MemStore>>, FaultHandle) {
        let faults = FaultStore::new(Arc::new(MemStore::new()), config);
        let handle = faults.handle();
        let policy = RetryPolicy { jitter_seed: Some(1), ..Default::default() };
        (Retry::new(Arc::new(faults), policy), handle)
    }

    fn body(text: &'static str) -> Vec<Bytes> {
        vec![Bytes::from_static(text.as_bytes())]
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_reply_to_a_create_is_recognised_as_success() {
        let (store, faults) = over_faults(FaultConfig::default());
        faults.set_fail_point(Some(FailPoint { call: 1, how: FailHow::OnceAfter }));
        let key = ObjectKey::home("head/1");
        store.put(&key, body("mine"), PutMode::CreateNew).await.unwrap();
        assert_eq!(faults.calls(), 2);
        assert_eq!(store.retries().load(Ordering::Relaxed), 1);
        let error = store.put(&key, body("theirs"), PutMode::CreateNew).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::AlreadyExists);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_ends_in_unavailable_at_the_deadline() {
        for outage in [Outage::Refuse, Outage::Hang] {
            let (store, faults) = over_faults(FaultConfig::default());
            faults.set_outage(outage);
            let start = Instant::now();
            let error = store.len(&ObjectKey::home("k")).await.unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
            let took = start.elapsed();
            assert!(took > Duration::from_secs(54) && took < Duration::from_secs(61), "{outage:?}: {took:?}");
            assert!(faults.calls() < 30, "backoff must spread the attempts: {}", faults.calls());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_known_while_calls_still_wait_and_over_with_the_first_answer_or_the_last_caller() {
        let (store, faults) = over_faults(FaultConfig::default());
        let key = ObjectKey::home("k");
        store.put(&key, body("x"), PutMode::Fresh).await.unwrap();
        assert_eq!(store.trouble(), None);
        faults.set_outage(Outage::Refuse);
        let reading = store.get(&key, GetRange::Full);
        tokio::pin!(reading);
        assert!(tokio::time::timeout(Duration::from_secs(10), &mut reading).await.is_err());
        let trouble = store.trouble().unwrap();
        assert!(trouble.lasts >= Duration::from_secs(9) && !trouble.message.is_empty(), "{trouble:?}");
        faults.set_outage(Outage::None);
        store.len(&key).await.unwrap();
        assert_eq!(store.trouble(), None);
        assert_eq!(reading.await.unwrap(), "x");
        assert_eq!(store.trouble(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_nobody_waits_for_any_more_is_no_trouble() {
        let (store, faults) = over_faults(FaultConfig::default());
        faults.set_outage(Outage::Refuse);
        let key = ObjectKey::home("k");
        let call = tokio::time::timeout(Duration::from_secs(5), store.len(&key));
        assert!(call.await.is_err());
        assert_eq!(store.trouble(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_network_ends_the_wait_before_another_attempt() {
        let network = Network::default();
        let faults = FaultStore::new(Arc::new(MemStore::new()), FaultConfig::default());
        let handle = faults.handle();
        let backoff = Duration::from_secs(50);
        let policy = RetryPolicy { backoff_base: backoff, backoff_max: backoff, ..Default::default() };
        let store = Retry::on(Arc::new(faults), policy, &network);
        handle.set_outage(Outage::Refuse);
        let key = ObjectKey::home("k");
        let (start, put) = (Instant::now(), store.put(&key, body("x"), PutMode::Fresh));
        let back = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            handle.set_outage(Outage::None);
            network.changed();
        };
        tokio::join!(async { put.await.unwrap() }, back);
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_of_the_network_begins_an_attempt_anew_and_a_change_does_not() {
        let network = Network::default();
        let faults = FaultStore::new(Arc::new(MemStore::new()), FaultConfig::default());
        let handle = faults.handle();
        let store = Retry::on(Arc::new(faults), RetryPolicy::default(), &network);
        handle.set_outage(Outage::Hang);
        let key = ObjectKey::home("k");
        let (start, put) = (Instant::now(), store.put(&key, body("x"), PutMode::Fresh));
        let back = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            network.changed();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(handle.calls(), 1);
            network.lost();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(handle.calls(), 2);
            handle.set_outage(Outage::None);
        };
        tokio::join!(async { put.await.unwrap() }, back);
        assert_eq!(start.elapsed(), Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_is_too_short_is_reported_soon() {
        let (store, faults) = over_faults(FaultConfig::default());
        let key = ObjectKey::home("k");
        store.put(&key, body("short"), PutMode::Fresh).await.unwrap();
        let start = Instant::now();
        let error = store.get(&key, GetRange::Bounded { offset: 3, len: 5 }).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Truncated);
        assert_eq!(faults.calls(), 1 + u64::from(TRUNCATED_ATTEMPTS_MAX));
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_for_good_are_not_repeated() {
        let (store, faults) = over_faults(FaultConfig::default());
        assert_eq!(store.len(&ObjectKey::home("k")).await.unwrap_err().kind, StoreErrorKind::NotFound);
        assert_eq!(faults.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn backoff_doubles_to_its_limit_with_jitter() {
        let (store, _) = over_faults(FaultConfig::default());
        for (failures, full_ms) in [(1, 50), (2, 100), (3, 200), (8, 5000), (40, 5000)] {
            let full = Duration::from_millis(full_ms);
            let pause = store.repeater.backoff(failures);
            assert!(pause >= full / 2 && pause <= full, "{failures}: {pause:?}");
        }
    }
}
