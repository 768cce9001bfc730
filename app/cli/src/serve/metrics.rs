//! Prometheus metrics: names, units and help of all of them, and the text that is scraped.
//!
//! Text format 0.0.4. Every number comes from memory; scraping asks no store.

use std::fmt::Write;

use proxyfs_core::volume::{ConnectionState, VolumeStatus};
use proxyfs_store::Usage;
use proxyfs_store::count::{KINDS, LATENCY_MS};

use crate::serve::counts;
use crate::serve::host::Host;

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Counter,
    Gauge,
}

/// A metric of each mounted volume.
struct OfVolume {
    name: &'static str,
    shape: Shape,
    help: &'static str,
    value: fn(&VolumeStatus) -> u64,
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&VolumeStatus) -> u64) -> OfVolume {
    OfVolume { name, shape: Shape::Gauge, help, value }
}

/// Metrics of mounted volumes, by label `volume`.
const OF_VOLUMES: &[OfVolume] = &[
    gauge("proxyfs_volume_online", "Whether the store answers.", |s| (s.connection == ConnectionState::Online).into()),
    gauge("proxyfs_volume_writable", "Whether the volume takes changes.", |s| s.halted.is_none().into()),
    gauge("proxyfs_volume_fenced", "Whether another owner has the volume.", |s| s.fenced.into()),
    gauge("proxyfs_volume_epoch", "The writer's term.", |s| s.epoch),
    gauge("proxyfs_volume_dirty", "Whether a checkpoint is due.", |s| s.dirty.into()),
    gauge("proxyfs_volume_data_bytes", "File data in the volume.", |s| s.data_bytes),
    gauge("proxyfs_volume_inodes", "Inodes in the volume.", |s| s.inodes),
    gauge("proxyfs_volume_open_handles", "Open files and directories.", |s| s.open_handles),
    gauge("proxyfs_queue_bytes", "File data that is not in the store yet.", |s| s.waiting_bytes),
    gauge("proxyfs_queue_segments", "Segments that are not in the store yet.", |s| s.waiting_segments),
    gauge("proxyfs_staged_bytes", "Staging on the local disk.", |s| s.staged_bytes),
    gauge("proxyfs_data_cache_bytes", "Cached file data in memory.", |s| s.data_cache_bytes),
    gauge("proxyfs_disk_cache_bytes", "Cache on the local disk.", |s| s.disk_cache_bytes),
    gauge("proxyfs_dirty_metadata_bytes", "Changed metadata in memory.", |s| s.dirty_metadata_bytes),
    OfVolume {
        name: "proxyfs_operations_total",
        shape: Shape::Counter,
        help: "Last log sequence number given out: changes since the volume was created.",
        value: |s| s.lsn,
    },
    OfVolume {
        name: "proxyfs_checkpoint_lsn_total",
        shape: Shape::Counter,
        help: "Last log sequence number that the newest head covers.",
        value: |s| s.head_lsn,
    },
    OfVolume {
        name: "proxyfs_durable_lsn_total",
        shape: Shape::Counter,
        help: "Last log sequence number flushed to the local disk.",
        value: |s| s.durable_lsn,
    },
    OfVolume {
        name: "proxyfs_heads_total",
        shape: Shape::Counter,
        help: "Number of the newest head: checkpoints and claims since the volume was created.",
        value: |s| s.head_seq,
    },
];

/// All metrics now.
pub(crate) fn text(host: &Host) -> String {
    let mut out = String::new();
    of_daemon(host, &mut out);
    let all = host.all();
    let statuses: Vec<_> = all.iter().filter_map(|h| Some((h.name.as_str(), h.status()?))).collect();
    header(&mut out, "proxyfs_volume_mounted", Shape::Gauge, "Whether the volume serves a mount.");
    for hosted in &all {
        line(&mut out, "proxyfs_volume_mounted", &[("volume", &hosted.name)], u64::from(hosted.live().is_some()));
    }
    for metric in OF_VOLUMES {
        header(&mut out, metric.name, metric.shape, metric.help);
        for (name, status) in &statuses {
            line(&mut out, metric.name, &[("volume", name)], (metric.value)(status));
        }
    }
    let usages: Vec<_> = all.iter().map(|h| (h.name.as_str(), host.counts_of(h))).collect();
    of_stores(&usages, &mut out);
    out
}

fn of_daemon(host: &Host, out: &mut String) {
    let budget = host.engine.disk_budget().map_or(0, |b| b.staging + b.cache);
    let started = u64::try_from(host.started).unwrap_or(0);
    for (name, help, value) in [
        ("proxyfs_start_time_seconds", "When the daemon started, in Unix seconds.", started),
        ("proxyfs_memory_budget_bytes", "Memory budget of all volumes.", host.engine.memory_budget()),
        ("proxyfs_memory_cache_bytes", "Caches of all volumes in memory.", host.engine.cached_bytes()),
        ("proxyfs_disk_budget_bytes", "Disk budget of all volumes.", budget),
        ("proxyfs_problems", "Problems that last.", host.book.lock().all().len() as u64),
    ] {
        header(out, name, Shape::Gauge, help);
        line(out, name, &[], value);
    }
}

fn of_stores(usages: &[(&str, Usage)], out: &mut String) {
    let requests = "proxyfs_store_requests_total";
    header(out, requests, Shape::Counter, "Requests to the store, by kind and result.");
    let rows: Vec<_> = usages.iter().flat_map(|(name, usage)| counts::rows(name, usage)).collect();
    for row in &rows {
        let volume = row.volume.as_deref().unwrap_or_default();
        line(out, requests, &[("volume", volume), ("kind", &row.kind), ("result", &row.result)], row.count);
    }
    let bytes = "proxyfs_store_bytes_total";
    header(out, bytes, Shape::Counter, "Content sent (put) and received (get).");
    for row in rows.iter().filter(|row| row.result == "ok" && (row.kind == "put" || row.kind == "get")) {
        let volume = row.volume.as_deref().unwrap_or_default();
        line(out, bytes, &[("volume", volume), ("kind", &row.kind)], row.bytes);
    }
    let retries = "proxyfs_store_retries_total";
    header(out, retries, Shape::Counter, "Attempts beyond the first of each request.");
    for (name, usage) in usages {
        line(out, retries, &[("volume", name)], usage.counts.retries);
    }
    latencies(usages, out);
}

/// A histogram, by volume and kind.
fn latencies(usages: &[(&str, Usage)], out: &mut String) {
    let name = "proxyfs_store_request_seconds";
    let help = "Time of requests to the store.";
    // Text never fails to be written to memory.
    let _infallible = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram").is_ok();
    for (volume, usage) in usages {
        for (kind, detail) in KINDS.iter().zip(&usage.details) {
            let total: u64 = detail.latency.iter().sum();
            if total == 0 {
                continue;
            }
            let mut below = 0;
            for (ms, count) in LATENCY_MS.iter().zip(detail.latency) {
                below += count;
                let bound = (*ms as f64 / 1e3).to_string();
                line(out, &format!("{name}_bucket"), &[("volume", volume), ("kind", kind), ("le", &bound)], below);
            }
            line(out, &format!("{name}_bucket"), &[("volume", volume), ("kind", kind), ("le", "+Inf")], total);
            let seconds = detail.nanos as f64 / 1e9;
            let _infallible = writeln!(out, "{name}_sum{{volume=\"{volume}\",kind=\"{kind}\"}} {seconds}").is_ok();
            line(out, &format!("{name}_count"), &[("volume", volume), ("kind", kind)], total);
        }
    }
}

fn header(out: &mut String, name: &str, shape: Shape, help: &str) {
    let shape = match shape {
        Shape::Counter => "counter",
        Shape::Gauge => "gauge",
    };
    let _infallible = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {shape}").is_ok();
}

/// Names of volumes, kinds and results need no escapes.
fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _infallible = writeln!(out, "{name}{labels} {value}").is_ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_add_up_class_by_class() {
        let mut usage = Usage::default();
        usage.details[0].latency[0] = 2;
        usage.details[0].latency[11] = 1;
        usage.details[0].nanos = 1_500_000_000;
        let mut out = String::new();
        latencies(&[("a", usage)], &mut out);
        for part in [
            "_bucket{volume=\"a\",kind=\"put\",le=\"0.005\"} 2",
            "_bucket{volume=\"a\",kind=\"put\",le=\"30\"} 2",
            "_bucket{volume=\"a\",kind=\"put\",le=\"+Inf\"} 3",
            "_sum{volume=\"a\",kind=\"put\"} 1.5",
            "_count{volume=\"a\",kind=\"put\"} 3",
        ] {
            assert!(out.contains(part), "{part}: {out}");
        }
    }

    #[test]
    fn names_are_unique_and_counters_say_so() {
        let mut names: Vec<_> = OF_VOLUMES.iter().map(|m| m.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OF_VOLUMES.len());
        for metric in OF_VOLUMES {
            assert_eq!(metric.name.ends_with("_total"), metric.shape == Shape::Counter, "{}", metric.name);
        }
    }
}
