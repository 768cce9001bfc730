//! What two answers of one volume say together: rates, times and hit rates in between.

use proxyfs_control::types::stats::{HitCounts, KindStats, Timings, VolumeStats};

/// A volume between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// Bytes a second that programs read.
    pub(crate) read: f64,
    /// Bytes a second that programs wrote.
    pub(crate) written: f64,
    /// Bytes a second into the store.
    pub(crate) up: f64,
    /// Bytes a second out of the store.
    pub(crate) down: f64,
    /// Operations a second.
    pub(crate) ops: f64,
    /// Requests a second.
    pub(crate) requests: f64,
    /// Seconds within which half of the operations ended; none without operations.
    pub(crate) p50: Option<f64>,
    /// The same for 99 of 100.
    pub(crate) p99: Option<f64>,
    /// Part of the frames that were in memory; none if none were asked for.
    pub(crate) memory_hits: Option<f64>,
    /// Part of the rest that was on the local disk.
    pub(crate) disk_hits: Option<f64>,
}

/// A counter's growth; one that began again counts from 0.
fn grown(now: u64, before: u64) -> u64 {
    if now >= before { now - before } else { now }
}

/// What came since `before`.
fn since(now: &Timings, before: Option<&Timings>) -> Vec<u64> {
    let began_again = before.is_some_and(|b| b.classes.iter().sum::<u64>() > now.classes.iter().sum());
    let before = before.filter(|_| !began_again);
    let old = |class: usize| before.and_then(|b| b.classes.get(class)).copied().unwrap_or(0);
    now.classes.iter().enumerate().map(|(class, n)| n.saturating_sub(old(class))).collect()
}

/// Seconds within which the part `q` of all ended, evenly spread inside each class; the last bound for what passes it.
pub(crate) fn quantile(classes: &[u64], bounds_micros: &[u64], q: f64) -> Option<f64> {
    let total: u64 = classes.iter().sum();
    if total == 0 || bounds_micros.is_empty() {
        return None;
    }
    let wanted = q * total as f64;
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, bound) in classes.iter().zip(bounds_micros) {
        let (count, bound) = (*count as f64, *bound as f64);
        if count > 0.0 && below + count >= wanted {
            return Some((lower + (bound - lower) * ((wanted - below) / count).clamp(0.0, 1.0)) / 1e6);
        }
        below += count;
        lower = bound;
    }
    Some(lower / 1e6)
}

/// Part of the questions that hit.
pub(crate) fn part(hits: u64, misses: u64) -> Option<f64> {
    (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64)
}

fn hit_rate(now: HitCounts, before: HitCounts) -> Option<f64> {
    part(grown(now.hits, before.hits), grown(now.misses, before.misses))
}

/// All classes of all operations together.
pub(crate) fn all_ops(volume: &VolumeStats) -> Timings {
    let mut sum = Timings::default();
    for op in volume.metrics.iter().flat_map(|m| &m.ops) {
        sum.classes.resize(sum.classes.len().max(op.timings.classes.len()), 0);
        sum.classes.iter_mut().zip(&op.timings.classes).for_each(|(a, b)| *a += b);
        sum.nanos += op.timings.nanos;
    }
    sum
}

/// Requests of a kind.
pub(crate) fn kind<'a>(volume: &'a VolumeStats, name: &str) -> Option<&'a KindStats> {
    volume.requests.iter().find(|kind| kind.kind == name)
}

fn bytes_of(volume: &VolumeStats, name: &str) -> u64 {
    kind(volume, name).map_or(0, |kind| kind.bytes)
}

/// Rates of a volume over `seconds` between two looks.
pub(crate) fn between(before: &VolumeStats, now: &VolumeStats, bounds_micros: &[u64], seconds: f64) -> Rates {
    let (Some(new), Some(old)) = (&now.metrics, &before.metrics) else { return Rates::default() };
    if seconds <= 0.0 {
        return Rates::default();
    }
    let per_second = |now: u64, before: u64| grown(now, before) as f64 / seconds;
    let classes = since(&all_ops(now), Some(&all_ops(before)));
    let count = |v: &VolumeStats| v.requests.iter().map(|kind| kind.count).sum();
    Rates {
        read: per_second(new.read_bytes, old.read_bytes),
        written: per_second(new.written_bytes, old.written_bytes),
        up: per_second(bytes_of(now, "put"), bytes_of(before, "put")),
        down: per_second(bytes_of(now, "get"), bytes_of(before, "get")),
        ops: classes.iter().sum::<u64>() as f64 / seconds,
        requests: per_second(count(now), count(before)),
        p50: quantile(&classes, bounds_micros, 0.5),
        p99: quantile(&classes, bounds_micros, 0.99),
        memory_hits: hit_rate(new.data_cache, old.data_cache),
        disk_hits: hit_rate(new.disk_cache, old.disk_cache),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proxyfs_control::types::stats::{EngineMetrics, OpStats};
    use proxyfs_control::types::volume::VolumeState;

    use super::*;

    /// A volume that has done `n` times the same.
    pub(crate) fn volume(name: &str, n: u64) -> VolumeStats {
        let timings = Timings { classes: vec![98 * n, n, n], nanos: 1_000_000 * n };
        let metrics = EngineMetrics {
            ops: vec![OpStats { op: "read".into(), ok: 100 * n, failed: Vec::new(), timings }],
            read_bytes: n << 20,
            written_bytes: n << 10,
            data_cache: HitCounts { hits: 9 * n, misses: n },
            ..EngineMetrics::default()
        };
        let put =
            KindStats { kind: "put".into(), count: 2 * n, failures: 0, bytes: n << 19, timings: Timings::default() };
        VolumeStats {
            name: name.into(),
            state: VolumeState::Mounted,
            mount_point: Some(format!("/mnt/{name}")),
            fenced: false,
            paused: false,
            status: None,
            metrics: Some(metrics),
            requests: vec![put],
        }
    }

    #[test]
    fn rates_are_differences_over_time() {
        let rates = between(&volume("a", 1), &volume("a", 3), &[1_000, 10_000], 2.0);
        assert_eq!((rates.read, rates.written, rates.up), (f64::from(1 << 20), 1024.0, f64::from(1 << 19)));
        assert_eq!((rates.ops, rates.requests, rates.memory_hits, rates.disk_hits), (100.0, 2.0, Some(0.9), None));
        assert!(rates.p50.is_some_and(|p| p < 0.001) && rates.p99.is_some_and(|p| p > 0.001), "{rates:?}");
    }

    #[test]
    fn counters_that_began_again_give_no_negative_rates() {
        let rates = between(&volume("a", 5), &volume("a", 1), &[1_000, 10_000], 1.0);
        assert_eq!((rates.ops, rates.written), (100.0, 1024.0));
    }

    #[test]
    fn quantiles_lie_inside_their_class() {
        assert_eq!(quantile(&[0, 0, 0], &[10, 20], 0.5), None);
        assert_eq!(quantile(&[10, 0, 0], &[10, 20], 0.5), Some(0.000_005));
        assert_eq!(quantile(&[0, 0, 4], &[10, 20], 0.5), Some(0.000_02));
    }
}
