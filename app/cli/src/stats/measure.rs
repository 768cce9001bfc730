//! A process's own numbers in the terms of the control interface.

use proxyfs_control::types::stats::{EngineMetrics, KindStats, Stats, Timings, VolumeStats};
use proxyfs_control::types::volume::{EngineStatus, VolumeState};
use proxyfs_core::meter::BOUNDS_MICROS;
use proxyfs_core::volume::{Volume, VolumeMetrics};
use proxyfs_store::Usage;
use proxyfs_store::count::{KINDS, LATENCY_MS};

/// Milliseconds since 1970.
pub(crate) fn unix_now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Stats without volumes.
pub(crate) fn empty(since: i64, memory_budget: u64) -> Stats {
    Stats {
        time_ms: unix_now_ms(),
        since,
        bounds_micros: BOUNDS_MICROS.to_vec(),
        store_bounds_micros: LATENCY_MS.iter().map(|ms| ms * 1_000).collect(),
        memory_budget,
        ..Stats::default()
    }
}

/// Numbers of a volume, open or not.
pub(crate) fn of_volume(
    name: &str,
    state: VolumeState,
    mount_point: Option<String>,
    volume: Option<&Volume>,
    usage: &Usage,
) -> VolumeStats {
    let status = volume.map(Volume::status);
    VolumeStats {
        name: name.to_owned(),
        state,
        mount_point,
        fenced: status.as_ref().is_some_and(|s| s.fenced),
        paused: volume.is_some_and(Volume::holds_uploads),
        status: status.and_then(|s| same::<_, EngineStatus>(&s)),
        metrics: volume.and_then(|v| same::<VolumeMetrics, EngineMetrics>(&v.metrics())),
        requests: requests(usage),
    }
}

/// The engine's own account: both sides have the same fields.
fn same<A: serde::Serialize, B: serde::de::DeserializeOwned>(own: &A) -> Option<B> {
    serde_json::to_value(own).and_then(serde_json::from_value).ok()
}

fn requests(usage: &Usage) -> Vec<KindStats> {
    let kinds = KINDS.iter().zip(&usage.details).enumerate();
    let all = kinds.map(|(number, (kind, detail))| {
        let counts = usage.of(number);
        KindStats {
            kind: (*kind).to_owned(),
            count: counts.requests,
            failures: counts.failures,
            bytes: counts.bytes,
            timings: Timings { classes: detail.latency.to_vec(), nanos: detail.nanos },
        }
    });
    all.filter(|kind| kind.count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_metrics_keep_every_field_on_the_way() {
        let own = VolumeMetrics { read_bytes: 7, ..VolumeMetrics::default() };
        let told: EngineMetrics = same(&own).expect("the same fields");
        assert_eq!(serde_json::to_value(&told).unwrap(), serde_json::to_value(&own).unwrap());
    }
}
