//! Counts what a volume does: operations by kind and result, how long things take, what the caches gave.
//!
//! Plain atomics without order between them: noting takes no lock and no memory, and a snapshot may be off by what is under way. Adapters
//! note operations through [`Meter::begin`]; the engine's own parts note into their own [`Histogram`]s and [`Hits`], which
//! [`Volume::metrics`](crate::volume::Volume::metrics) gathers.

mod op;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::error::ErrorKind;

pub use op::Op;

/// Upper bounds of the classes of a [`Histogram`], in microseconds; one more class takes the rest. From a reply out of memory to a store
/// that is away.
pub const BOUNDS_MICROS: [u64; 20] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Classes of a [`Histogram`].
pub const CLASSES: usize = BOUNDS_MICROS.len() + 1;

/// Seconds that begin times are told apart for. An operation that lasts longer looks younger again; by then it has long been noticed.
const SECONDS_KEPT: usize = 4_096;

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    classes: [AtomicU64; CLASSES],
    nanos: AtomicU64,
}

impl Histogram {
    /// Notes that it took `time`.
    pub fn note(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let class = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The numbers now.
    #[must_use]
    pub fn timings(&self) -> Timings {
        let classes = self.classes.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        Timings { classes, nanos: self.nanos.load(Ordering::Relaxed) }
    }
}

/// A [`Histogram`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timings {
    /// How often, by [`BOUNDS_MICROS`] and the rest.
    pub classes: Vec<u64>,
    /// All the time together, in nanoseconds.
    pub nanos: u64,
}

impl Timings {
    /// How often in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }
}

/// How often a cache had what was asked for.
#[derive(Debug, Default)]
pub struct Hits {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Hits {
    /// Notes one question.
    pub fn note(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers now.
    #[must_use]
    pub fn counts(&self) -> HitCounts {
        HitCounts { hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }
}

/// [`Hits`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HitCounts {
    /// It was there.
    pub hits: u64,
    /// It was not.
    pub misses: u64,
}

/// What was done of one kind of operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpMetrics {
    /// [`Op::name`].
    pub op: &'static str,
    /// Those that succeeded.
    pub ok: u64,
    /// Those that failed, by the kind of error; only kinds that there were.
    pub failed: Vec<FailedOps>,
    /// How long they took, failed ones included.
    pub timings: Timings,
}

/// Operations that failed in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FailedOps {
    /// [`ErrorKind::name`].
    pub kind: &'static str,
    /// How many.
    pub count: u64,
}

#[derive(Debug)]
struct OpMeter {
    ok: AtomicU64,
    failed: [AtomicU64; ErrorKind::ALL.len()],
    timings: Histogram,
}

impl Default for OpMeter {
    fn default() -> Self {
        let failed = std::array::from_fn(|_| AtomicU64::new(0));
        Self { ok: AtomicU64::new(0), failed, timings: Histogram::default() }
    }
}

/// Operations of programs on one volume, whichever adapter they come through.
#[derive(Debug)]
pub struct Meter {
    start: Instant,
    ops: [OpMeter; Op::ALL.len()],
    /// Operations under way, by the second they began in, modulo the length.
    under_way: Box<[AtomicU32]>,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            ops: std::array::from_fn(|_| OpMeter::default()),
            under_way: (0..SECONDS_KEPT).map(|_| AtomicU32::new(0)).collect(),
            read_bytes: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
        }
    }
}

impl Meter {
    /// An operation begins. Its end must be told; one that is dropped instead is not counted, and no longer under way.
    pub fn begin(&self, op: Op) -> UnderWay<'_> {
        let begun = Instant::now();
        let slot = (!op.may_wait_for_ever()).then(|| {
            let slot = &self.under_way[self.second(begun) % SECONDS_KEPT];
            slot.fetch_add(1, Ordering::Relaxed);
            slot
        });
        UnderWay { meter: self, op, begun, slot }
    }

    /// Programs have read so many bytes.
    pub fn note_read(&self, bytes: u64) {
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Programs have written so many bytes.
    pub fn note_written(&self, bytes: u64) {
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that programs have read.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that programs have written.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// Operations by kind; only kinds that there were.
    #[must_use]
    pub fn ops(&self) -> Vec<OpMetrics> {
        let all = Op::ALL.iter().zip(&self.ops).map(|(op, meter)| {
            let count = |(kind, n): (&ErrorKind, &AtomicU64)| (kind.name(), n.load(Ordering::Relaxed));
            let failed = ErrorKind::ALL.iter().zip(&meter.failed).map(count);
            let failed = failed.filter(|(_, n)| *n > 0).map(|(kind, count)| FailedOps { kind, count });
            OpMetrics {
                op: op.name(),
                ok: meter.ok.load(Ordering::Relaxed),
                failed: failed.collect(),
                timings: meter.timings.timings(),
            }
        });
        all.filter(|op| op.timings.count() > 0).collect()
    }

    /// Operations under way, without those that may wait for ever, and for how long the oldest of them has been.
    #[must_use]
    pub fn under_way(&self) -> (u64, Option<Duration>) {
        let now = self.second(Instant::now());
        let (mut count, mut oldest) = (0, None);
        for age in 0..SECONDS_KEPT {
            let begun = now.wrapping_sub(age) % SECONDS_KEPT;
            let here = u64::from(self.under_way[begun].load(Ordering::Relaxed));
            count += here;
            if here > 0 {
                oldest = Some(Duration::from_secs(age as u64));
            }
        }
        (count, oldest)
    }

    fn second(&self, at: Instant) -> usize {
        usize::try_from(at.saturating_duration_since(self.start).as_secs()).unwrap_or(usize::MAX)
    }
}

/// An operation under way.
#[derive(Debug)]
pub struct UnderWay<'m> {
    meter: &'m Meter,
    op: Op,
    begun: Instant,
    slot: Option<&'m AtomicU32>,
}

impl UnderWay<'_> {
    /// It has ended, with an error of this kind if it failed. Gives how long it took.
    pub fn end(self, failed: Option<ErrorKind>) -> Duration {
        let took = self.begun.elapsed();
        let of = &self.meter.ops[self.op as usize];
        let counter = failed.map_or(&of.ok, |kind| &of.failed[kind as usize]);
        counter.fetch_add(1, Ordering::Relaxed);
        of.timings.note(took);
        took
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            slot.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_first_class_that_it_does_not_pass() {
        let histogram = Histogram::default();
        for micros in [0, 25, 26, 60_000_000, 60_000_001] {
            histogram.note(Duration::from_micros(micros));
        }
        let timings = histogram.timings();
        let at = |class: usize| timings.classes[class];
        assert_eq!((at(0), at(1), at(CLASSES - 2), at(CLASSES - 1), timings.count()), (2, 1, 1, 1, 5));
        assert_eq!(timings.nanos, 120_000_052_000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_operation_under_way_is_known_until_it_ends() {
        let meter = Meter::default();
        assert_eq!(meter.under_way(), (0, None));
        let first = meter.begin(Op::Read);
        let lock = meter.begin(Op::LockWait);
        tokio::time::advance(Duration::from_secs(90)).await;
        let second = meter.begin(Op::Write);
        assert_eq!(meter.under_way(), (2, Some(Duration::from_secs(90))));
        assert_eq!(first.end(None), Duration::from_secs(90));
        assert_eq!(meter.under_way(), (1, Some(Duration::ZERO)));
        drop((second, lock));
        assert_eq!(meter.under_way(), (0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn ended_operations_are_counted_by_result_and_dropped_ones_are_not() {
        let meter = Meter::default();
        meter.begin(Op::Read).end(None);
        meter.begin(Op::Read).end(Some(ErrorKind::Io));
        meter.begin(Op::Read).end(Some(ErrorKind::Io));
        drop(meter.begin(Op::Write));
        let ops = meter.ops();
        assert_eq!(ops.len(), 1);
        assert_eq!((ops[0].op, ops[0].ok, ops[0].timings.count()), ("read", 1, 3));
        assert_eq!(ops[0].failed, [FailedOps { kind: "io", count: 2 }]);
    }

    #[test]
    fn every_kind_stands_at_its_own_place() {
        for (at, op) in Op::ALL.iter().enumerate() {
            assert_eq!(*op as usize, at, "{op:?}");
        }
        for (at, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at, "{kind:?}");
        }
    }
}
