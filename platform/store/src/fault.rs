//! A store that misbehaves on purpose: latency, lost replies, duplicates, throttling, truncation, stale listings, outages.
//!
//! Every call has a number, counted from 1. What happens to a call follows from the seed and its number alone, so a run on
//! one thread with tokio's paused clock repeats exactly. For a sweep over all I/O calls, set a [`FailPoint`] at call
//! 1, 2, 3 ... until a run ends with fewer calls than that.

use std::collections::HashMap;
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
use tokio::sync::watch;
use tokio::time::Instant;

use crate::rng::SplitMix64;

/// How often and how a store misbehaves. Chances are probabilities per call, 0.0 to 1.0; the default never misbehaves.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultConfig {
    /// Chooses the run.
    pub seed: u64,
    /// Shortest time a call takes.
    pub latency_min: Duration,
    /// Longest time a call takes; half of it passes before the effect and half after it.
    pub latency_max: Duration,
    /// The call fails and has no effect.
    pub error_before: f64,
    /// The call has its effect, then the reply is lost.
    pub error_after: f64,
    /// A put takes effect twice, as when a proxy repeats a request.
    pub duplicate: f64,
    /// The store asks to slow down; no effect.
    pub throttle: f64,
    /// A get breaks off, and the backend has noticed ([`StoreErrorKind::Truncated`]).
    pub truncated: f64,
    /// A get answers with too few bytes, and no one has noticed.
    pub short_body: f64,
    /// A get answers with one bit changed.
    pub bit_flip: f64,
    /// An object put less than this ago is missing from listings.
    pub stale_list: Duration,
}

impl Default for FaultConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            latency_min: Duration::ZERO,
            latency_max: Duration::ZERO,
            error_before: 0.0,
            error_after: 0.0,
            duplicate: 0.0,
            throttle: 0.0,
            truncated: 0.0,
            short_body: 0.0,
            bit_flip: 0.0,
            stale_list: Duration::ZERO,
        }
    }
}

/// A failure at a chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailPoint {
    /// Number of the call, from 1.
    pub call: u64,
    /// What happens then.
    pub how: FailHow,
}

/// What a [`FailPoint`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailHow {
    /// That call fails without effect; later ones work.
    OnceBefore,
    /// That call has its effect and its reply is lost; later ones work.
    OnceAfter,
    /// That call and all later ones fail without effect.
    ForGood,
}

/// Whether the store can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outage {
    /// It can.
    #[default]
    None,
    /// Calls fail at once; the replies of those under way are lost.
    Refuse,
    /// Calls, and the replies of those under way, wait until the outage ends.
    Hang,
}

/// A store that misbehaves as its [`FaultHandle`] says.
#[derive(Debug)]
pub struct FaultStore<S: ?Sized> {
    handle: FaultHandle,
    inner: Arc<S>,
}

/// Switches faults at run time. Clones steer the same store.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Mutex<FaultConfig>,
    fail_point: Mutex<Option<FailPoint>>,
    outage: watch::Sender<Outage>,
    calls: AtomicU64,
    injected: AtomicU64,
    recent_puts: Mutex<HashMap<ObjectKey, Instant>>,
}

impl<S: ObjectStore + ?Sized> FaultStore<S> {
    /// Wraps a store.
    pub fn new(inner: Arc<S>, config: FaultConfig) -> Self {
        let shared = Shared {
            config: Mutex::new(config),
            fail_point: Mutex::default(),
            outage: watch::Sender::new(Outage::None),
            calls: AtomicU64::new(0),
            injected: AtomicU64::new(0),
            recent_puts: Mutex::default(),
        };
        Self { handle: FaultHandle { shared: Arc::new(shared) }, inner }
    }

    /// The switch of this store.
    pub fn handle(&self) -> FaultHandle {
        self.handle.clone()
    }

    /// The store below.
    pub fn inner(&self) -> &Arc<S> {
        &self.inner
    }
}

impl FaultHandle {
    /// Replaces the configuration from the next call on.
    pub fn set_config(&self, config: FaultConfig) {
        *self.shared.config.lock() = config;
    }

    /// Sets or removes the failure at a chosen call.
    pub fn set_fail_point(&self, point: Option<FailPoint>) {
        *self.shared.fail_point.lock() = point;
    }

    /// Begins or ends an outage.
    pub fn set_outage(&self, outage: Outage) {
        self.shared.outage.send_replace(outage);
    }

    /// Calls begun so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Starts counting calls from 1 again.
    pub fn reset_calls(&self) {
        self.shared.calls.store(0, Ordering::Relaxed);
    }

    /// Faults injected so far: failures, duplicates, damaged bodies.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.shared.injected.load(Ordering::Relaxed)
    }

    fn count_injected(&self) {
        self.shared.injected.fetch_add(1, Ordering::Relaxed);
    }

    fn fail(&self, what: &str, how: &str) -> StoreError {
        self.count_injected();
        StoreError::new(StoreErrorKind::Unavailable, format!("{what}: injected fault: {how}"))
    }

    /// Waits out or reports an outage.
    async fn reach(&self, what: &str) -> StoreResult<()> {
        let mut outage = self.shared.outage.subscribe();
        let now = match outage.wait_for(|o| *o != Outage::Hang).await {
            Ok(state) => *state,
            // The sender lives in `self`; without it there is no outage.
            Err(_) => Outage::None,
        };
        if now == Outage::Refuse { Err(self.fail(what, "the store is down")) } else { Ok(()) }
    }

    /// Gives the next call its number and its fate.
    fn plan(&self) -> Plan {
        let call = self.shared.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let point = *self.shared.fail_point.lock();
        Plan::draw(&self.shared.config.lock(), call, point)
    }

    fn note_put(&self, key: &ObjectKey) {
        let stale = self.shared.config.lock().stale_list;
        if !stale.is_zero() {
            let mut recent = self.shared.recent_puts.lock();
            recent.retain(|_, at| at.elapsed() < stale);
            recent.insert(key.clone(), Instant::now());
        }
    }

    fn hide_recent(&self, page: &mut ListPage) {
        let stale = self.shared.config.lock().stale_list;
        let recent = self.shared.recent_puts.lock();
        page.objects.retain(|o| recent.get(&o.key).is_none_or(|at| at.elapsed() >= stale));
    }
}

/// The fate of one call.
#[derive(Debug)]
struct Plan {
    half_latency: Duration,
    before: Option<&'static str>,
    after: bool,
    duplicate: bool,
    truncated: bool,
    short_body: bool,
    bit_flip: bool,
    rng: SplitMix64,
}

impl Plan {
    /// Draws the same numbers in the same order whatever the chances are, so that changing one leaves the others alone.
    fn draw(config: &FaultConfig, call: u64, point: Option<FailPoint>) -> Self {
        let mut rng = SplitMix64::new(config.seed ^ call.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let spread = config.latency_max.saturating_sub(config.latency_min);
        let latency = config.latency_min + spread.mul_f64(rng.unit());
        let before = rng.chance(config.error_before).then_some("failed before its effect");
        let throttle = rng.chance(config.throttle).then_some("slow down");
        let mut plan = Self {
            half_latency: latency / 2,
            before: before.or(throttle),
            after: rng.chance(config.error_after),
            duplicate: rng.chance(config.duplicate),
            truncated: rng.chance(config.truncated),
            short_body: rng.chance(config.short_body),
            bit_flip: rng.chance(config.bit_flip),
            rng,
        };
        plan.apply(call, point);
        plan
    }

    fn apply(&mut self, call: u64, point: Option<FailPoint>) {
        match point {
            Some(FailPoint { call: at, how: FailHow::OnceBefore }) if call == at => {
                self.before = Some("fail point, before");
            }
            Some(FailPoint { call: at, how: FailHow::OnceAfter }) if call == at => self.after = true,
            Some(FailPoint { call: at, how: FailHow::ForGood }) if call >= at => {
                self.before = Some("fail point, for good");
            }
            _ => {}
        }
    }

    fn damage(&mut self, handle: &FaultHandle, content: Bytes) -> Bytes {
        if content.is_empty() || !(self.short_body || self.bit_flip) {
            return content;
        }
        handle.count_injected();
        let at = self.rng.below(content.len() as u64) as usize;
        if self.short_body {
            return content.slice(..at);
        }
        let mut damaged = content.to_vec();
        damaged[at] ^= 1 << self.rng.below(8);
        damaged.into()
    }
}

impl<S: ObjectStore + ?Sized> FaultStore<S> {
    /// The way to the store.
    async fn begin(&self, what: &str) -> StoreResult<Plan> {
        let plan = self.handle.plan();
        sleep(plan.half_latency).await;
        self.handle.reach(what).await?;
        match plan.before {
            Some(how) => Err(self.handle.fail(what, how)),
            None => Ok(plan),
        }
    }

    /// The way back.
    async fn end(&self, what: &str, plan: &Plan) -> StoreResult<()> {
        sleep(plan.half_latency).await;
        self.handle.reach(what).await?;
        if plan.after { Err(self.handle.fail(what, "its reply was lost")) } else { Ok(()) }
    }
}

/// Sleeps, but does not even yield for no time at all.
async fn sleep(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl<S: ObjectStore + ?Sized> ObjectStore for FaultStore<S> {
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()> {
        let what = format!("put {key}");
        let plan = self.begin(&what).await?;
        if plan.duplicate {
            self.handle.count_injected();
            self.inner.put(key, body.clone(), mode).await?;
        }
        let result = self.inner.put(key, body, mode).await;
        if result.is_ok() {
            self.handle.note_put(key);
        }
        self.end(&what, &plan).await.and(result)
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        let what = format!("get {key}");
        let mut plan = self.begin(&what).await?;
        let result = self.inner.get(key, range).await;
        self.end(&what, &plan).await?;
        let content = result?;
        if plan.truncated && !content.is_empty() {
            self.handle.count_injected();
            return Err(StoreError::new(StoreErrorKind::Truncated, format!("{what}: injected fault: body truncated")));
        }
        Ok(plan.damage(&self.handle, content))
    }

    async fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        let what = format!("head {key}");
        let plan = self.begin(&what).await?;
        let result = self.inner.len(key).await;
        self.end(&what, &plan).await.and(result)
    }

    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        let what = format!("list {prefix}");
        let plan = self.begin(&what).await?;
        let mut result = self.inner.list(container, prefix, start_after).await;
        if let Ok(page) = &mut result {
            self.handle.hide_recent(page);
        }
        self.end(&what, &plan).await.and(result)
    }

    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        let what = format!("delete {} objects", keys.len());
        let plan = self.begin(&what).await?;
        let result = self.inner.delete(keys).await;
        self.end(&what, &plan).await.and(result)
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

    fn faulty(config: FaultConfig) -> FaultStore<MemStore> {
        FaultStore::new(Arc::new(MemStore::new()), config)
    }

    fn body(text: &'static str) -> Vec<Bytes> {
        vec![Bytes::from_static(text.as_bytes())]
    }

    /// Outcome of a put (`true` is success) and whether the object is there.
    async fn put(store: &FaultStore<MemStore>, path: &str) -> (bool, bool) {
        let key = ObjectKey::home(path);
        let done = store.put(&key, body("0123456789"), PutMode::Fresh).await.is_ok();
        (done, store.inner().len(&key).await.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_seed_repeats_its_run_and_another_differs() {
        let mut runs = Vec::new();
        for seed in [1, 1, 2] {
            let latency_max = Duration::from_millis(100);
            let store =
                faulty(FaultConfig { seed, error_before: 0.3, error_after: 0.3, latency_max, ..Default::default() });
            let start = Instant::now();
            let mut run = Vec::new();
            for i in 0..40 {
                run.push((put(&store, &format!("k{i}")).await, start.elapsed()));
            }
            runs.push(run);
        }
        assert_eq!(runs[0], runs[1]);
        assert_ne!(runs[0], runs[2]);
        let outcomes: std::collections::HashSet<_> = runs[0].iter().map(|r| r.0).collect();
        assert_eq!(outcomes.len(), 3, "done, failed before, failed after: {outcomes:?}");
    }

    #[tokio::test]
    async fn a_fail_point_strikes_its_call_before_or_after_the_effect_or_for_good() {
        for (how, expected) in [
            (FailHow::OnceBefore, [(true, true), (false, false), (true, true)]),
            (FailHow::OnceAfter, [(true, true), (false, true), (true, true)]),
            (FailHow::ForGood, [(true, true), (false, false), (false, false)]),
        ] {
            let store = faulty(FaultConfig::default());
            store.handle().set_fail_point(Some(FailPoint { call: 2, how }));
            let run = [put(&store, "a").await, put(&store, "b").await, put(&store, "c").await];
            assert_eq!(run, expected, "{how:?}");
            assert_eq!(store.handle().calls(), 3);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_refuses_or_hangs_until_it_ends() {
        let store = Arc::new(faulty(FaultConfig::default()));
        store.handle().set_outage(Outage::Refuse);
        assert_eq!(put(&store, "a").await, (false, false));
        store.handle().set_outage(Outage::Hang);
        let hanging = tokio::spawn({
            let store = Arc::clone(&store);
            async move { put(&store, "b").await }
        });
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(!hanging.is_finished());
        store.handle().set_outage(Outage::None);
        assert_eq!(hanging.await.unwrap(), (true, true));
    }

    #[tokio::test]
    async fn bodies_are_truncated_cut_or_flipped() {
        let key = ObjectKey::home("k");
        let store = faulty(FaultConfig::default());
        put(&store, "k").await;
        store.handle().set_config(FaultConfig { truncated: 1.0, ..Default::default() });
        assert_eq!(store.get(&key, GetRange::Full).await.unwrap_err().kind, StoreErrorKind::Truncated);
        store.handle().set_config(FaultConfig { short_body: 1.0, ..Default::default() });
        assert!(store.get(&key, GetRange::Full).await.unwrap().len() < 10);
        store.handle().set_config(FaultConfig { bit_flip: 1.0, ..Default::default() });
        let flipped = store.get(&key, GetRange::Full).await.unwrap();
        let bits: u32 = flipped.iter().zip(b"0123456789").map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((flipped.len(), bits), (10, 1));
        assert_eq!(store.handle().injected(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn young_objects_are_missing_from_listings() {
        let store = faulty(FaultConfig { stale_list: Duration::from_secs(5), ..Default::default() });
        put(&store, "a").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        put(&store, "b").await;
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(store.list(0, "", None).await.unwrap().objects.len());
            tokio::time::sleep(Duration::from_millis(2500)).await;
        }
        assert_eq!(seen, [0, 1, 2]);
    }
}
