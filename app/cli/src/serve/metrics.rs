//! Prometheus metrics: names, units, labels and help of all of them ([`FAMILIES`]; the table in docs/OPERATIONS.md is made from it), and
//! the text that is scraped.
//!
//! Units are seconds and bytes; what only grows ends in `_total` and begins again at 0 with the mount (`proxyfs_fs_`, `_cache_`,
//! `_checkpoint`, `_log_`, `_upload`) or the daemon (`proxyfs_store_`). Every number comes from memory; scraping asks no store.

pub(crate) mod exposition;

use proxyfs_core::meter::{BOUNDS_MICROS, HitCounts, Timings};
use proxyfs_core::volume::{ConnectionState, VolumeMetrics, VolumeStatus};
use proxyfs_store::Usage;
use proxyfs_store::count::{KINDS, LATENCY_MS};

use self::exposition::{Exposition, Shape};
use crate::serve::counts;
use crate::serve::host::Host;

/// A mounted volume's numbers.
struct Seen {
    name: String,
    status: VolumeStatus,
    metrics: VolumeMetrics,
}

/// Everything that is told, at one moment.
#[derive(Default)]
struct Moment {
    started: i64,
    memory_budget: u64,
    memory_cache: u64,
    disk_budget: u64,
    problems: u64,
    cost: Option<(f64, String)>,
    /// All volumes: whether each is mounted.
    known: Vec<(String, bool)>,
    mounted: Vec<Seen>,
    /// Requests to stores, by volume.
    usages: Vec<(String, Usage)>,
}

/// One metric with all its labels.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    #[cfg_attr(not(test), expect(dead_code, reason = "for the docs, and for tests of what is filled in"))]
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
    fill: fn(&Moment, &mut Exposition),
}

const VOLUME: &[&str] = &["volume"];

const fn daemon(name: &'static str, help: &'static str, fill: fn(&Moment, &mut Exposition)) -> Family {
    Family { name, shape: Shape::Gauge, labels: &[], help, fill }
}

const fn gauge(name: &'static str, help: &'static str, fill: fn(&Moment, &mut Exposition)) -> Family {
    Family { name, shape: Shape::Gauge, labels: VOLUME, help, fill }
}

const fn counter(name: &'static str, help: &'static str, fill: fn(&Moment, &mut Exposition)) -> Family {
    Family { name, shape: Shape::Counter, labels: VOLUME, help, fill }
}

const fn histogram(name: &'static str, help: &'static str, fill: fn(&Moment, &mut Exposition)) -> Family {
    Family { name, shape: Shape::Histogram, labels: VOLUME, help, fill }
}

/// A number of each mounted volume.
fn each(moment: &Moment, out: &mut Exposition, value: impl Fn(&Seen) -> u64) {
    for seen in &moment.mounted {
        out.value(&[("volume", &seen.name)], value(seen));
    }
}

/// Times of each mounted volume.
fn times(moment: &Moment, out: &mut Exposition, timings: impl Fn(&VolumeMetrics) -> &Timings) {
    for seen in &moment.mounted {
        let timings = timings(&seen.metrics);
        out.histogram(&[("volume", &seen.name)], &BOUNDS_MICROS, &timings.classes, timings.nanos);
    }
}

/// Hits or misses of a volume's caches.
fn cache(moment: &Moment, out: &mut Exposition, value: fn(HitCounts) -> u64) {
    for Seen { name, metrics, .. } in &moment.mounted {
        for (cache, counts) in
            [("memory", metrics.data_cache), ("disk", metrics.disk_cache), ("metadata_disk", metrics.page_disk_cache)]
        {
            out.value(&[("volume", name), ("cache", cache)], value(counts));
        }
    }
}

/// All metrics, in the order in which they are told.
pub(crate) const FAMILIES: &[Family] = &[
    daemon("proxyfs_start_time_seconds", "When the daemon started, in Unix seconds.", |m, o| o.value(&[], m.started)),
    daemon("proxyfs_memory_budget_bytes", "Memory budget of all volumes.", |m, o| o.value(&[], m.memory_budget)),
    daemon("proxyfs_memory_cache_bytes", "Caches of all volumes in memory.", |m, o| o.value(&[], m.memory_cache)),
    daemon("proxyfs_disk_budget_bytes", "Disk budget of all volumes.", |m, o| o.value(&[], m.disk_budget)),
    daemon("proxyfs_problems", "Problems that last.", |m, o| o.value(&[], m.problems)),
    gauge("proxyfs_volume_mounted", "Whether the volume serves a mount.", |m, o| {
        m.known.iter().for_each(|(name, mounted)| o.value(&[("volume", name)], u64::from(*mounted)));
    }),
    gauge("proxyfs_volume_online", "Whether the store answers.", |m, o| {
        each(m, o, |s| (s.status.connection == ConnectionState::Online).into());
    }),
    gauge("proxyfs_volume_writable", "Whether the volume takes changes.", |m, o| {
        each(m, o, |s| s.status.halted.is_none().into());
    }),
    gauge("proxyfs_volume_fenced", "Whether another owner has the volume.", |m, o| {
        each(m, o, |s| s.status.fenced.into());
    }),
    gauge("proxyfs_volume_epoch", "The writer's term.", |m, o| each(m, o, |s| s.status.epoch)),
    gauge("proxyfs_volume_head", "Number of the newest head in the store.", |m, o| each(m, o, |s| s.status.head_seq)),
    gauge("proxyfs_volume_lsn", "Last log sequence number given out.", |m, o| each(m, o, |s| s.status.lsn)),
    gauge("proxyfs_volume_durable_lsn", "Last log sequence number flushed to the local disk.", |m, o| {
        each(m, o, |s| s.status.durable_lsn);
    }),
    gauge("proxyfs_volume_checkpoint_lsn", "Last log sequence number that the newest head covers.", |m, o| {
        each(m, o, |s| s.status.head_lsn);
    }),
    gauge("proxyfs_volume_dirty", "Whether a checkpoint is due.", |m, o| each(m, o, |s| s.status.dirty.into())),
    gauge("proxyfs_volume_data_bytes", "File data in the volume.", |m, o| each(m, o, |s| s.status.data_bytes)),
    gauge("proxyfs_volume_inodes", "Inodes in the volume.", |m, o| each(m, o, |s| s.status.inodes)),
    gauge("proxyfs_volume_open_handles", "Open files and directories.", |m, o| each(m, o, |s| s.status.open_handles)),
    gauge("proxyfs_queue_bytes", "File data that is not in the store yet.", |m, o| {
        each(m, o, |s| s.status.waiting_bytes);
    }),
    gauge("proxyfs_queue_segments", "Segments that are not in the store yet.", |m, o| {
        each(m, o, |s| s.status.waiting_segments);
    }),
    gauge("proxyfs_staged_bytes", "Staging on the local disk.", |m, o| each(m, o, |s| s.status.staged_bytes)),
    gauge("proxyfs_data_cache_bytes", "Cached file data in memory.", |m, o| each(m, o, |s| s.status.data_cache_bytes)),
    gauge("proxyfs_disk_cache_bytes", "Cache on the local disk.", |m, o| each(m, o, |s| s.status.disk_cache_bytes)),
    gauge("proxyfs_dirty_metadata_bytes", "Changed metadata in memory.", |m, o| {
        each(m, o, |s| s.status.dirty_metadata_bytes);
    }),
    Family {
        name: "proxyfs_fs_operations_total",
        shape: Shape::Counter,
        labels: &["volume", "op", "result"],
        help: "Operations of programs that have ended, by kind and result; a result other than ok names the error.",
        fill: |m, o| {
            for Seen { name, metrics, .. } in &m.mounted {
                for op in &metrics.ops {
                    o.value(&[("volume", name), ("op", op.op), ("result", "ok")], op.ok);
                    for failed in &op.failed {
                        o.value(&[("volume", name), ("op", op.op), ("result", failed.kind)], failed.count);
                    }
                }
            }
        },
    },
    Family {
        name: "proxyfs_fs_operation_seconds",
        shape: Shape::Histogram,
        labels: &["volume", "op"],
        help: "Time of operations of programs.",
        fill: |m, o| {
            for Seen { name, metrics, .. } in &m.mounted {
                for op in &metrics.ops {
                    let labels = [("volume", name.as_str()), ("op", op.op)];
                    o.histogram(&labels, &BOUNDS_MICROS, &op.timings.classes, op.timings.nanos);
                }
            }
        },
    },
    gauge("proxyfs_fs_operations_under_way", "Operations under way, without waits for locks.", |m, o| {
        each(m, o, |s| s.metrics.under_way);
    }),
    gauge("proxyfs_fs_oldest_operation_seconds", "Age of the oldest operation under way.", |m, o| {
        each(m, o, |s| s.metrics.oldest_under_way_secs);
    }),
    counter("proxyfs_fs_read_bytes_total", "Bytes that programs have read.", |m, o| {
        each(m, o, |s| s.metrics.read_bytes);
    }),
    counter("proxyfs_fs_written_bytes_total", "Bytes that programs have written.", |m, o| {
        each(m, o, |s| s.metrics.written_bytes);
    }),
    Family {
        name: "proxyfs_cache_hits_total",
        shape: Shape::Counter,
        labels: &["volume", "cache"],
        help: "Questions that a cache could answer: file data in memory (memory), file data on the local disk (disk), metadata there (metadata_disk).",
        fill: |m, o| cache(m, o, |counts| counts.hits),
    },
    Family {
        name: "proxyfs_cache_misses_total",
        shape: Shape::Counter,
        labels: &["volume", "cache"],
        help: "Questions that a cache could not answer.",
        fill: |m, o| cache(m, o, |counts| counts.misses),
    },
    Family {
        name: "proxyfs_metadata_cache_hits_total",
        shape: Shape::Counter,
        labels: &[],
        help: "Metadata pages of all volumes that were in memory.",
        fill: |m, o| o.value(&[], m.mounted.first().map_or(0, |s| s.metrics.page_cache.hits)),
    },
    Family {
        name: "proxyfs_metadata_cache_misses_total",
        shape: Shape::Counter,
        labels: &[],
        help: "Metadata pages of all volumes that were not in memory.",
        fill: |m, o| o.value(&[], m.mounted.first().map_or(0, |s| s.metrics.page_cache.misses)),
    },
    histogram("proxyfs_checkpoint_seconds", "Time of checkpoints, the upload of what they cover included.", |m, o| {
        times(m, o, |s| &s.checkpoints.timings);
    }),
    counter("proxyfs_checkpoint_failures_total", "Checkpoints that failed and are tried again.", |m, o| {
        each(m, o, |s| s.metrics.checkpoints.failures);
    }),
    counter("proxyfs_checkpoint_bytes_total", "Metadata written by checkpoints.", |m, o| {
        each(m, o, |s| s.metrics.checkpoints.bytes);
    }),
    gauge("proxyfs_checkpoint_last_bytes", "Metadata written by the last checkpoint.", |m, o| {
        each(m, o, |s| s.metrics.checkpoints.last_bytes);
    }),
    gauge(
        "proxyfs_checkpoint_last_time_seconds",
        "When the last checkpoint was, in Unix seconds; absent before the first.",
        |m, o| {
            for Seen { name, metrics, .. } in &m.mounted {
                metrics.checkpoints.last_secs.iter().for_each(|at| o.value(&[("volume", name)], at));
            }
        },
    ),
    histogram(
        "proxyfs_log_append_seconds",
        "Time of writes into the replay log, each of all records that waited.",
        |m, o| {
            times(m, o, |s| &s.log.appends);
        },
    ),
    histogram("proxyfs_log_flush_seconds", "Time of flushes of log and staged data to the local disk.", |m, o| {
        times(m, o, |s| &s.log.flushes);
    }),
    histogram("proxyfs_log_batch_seconds", "Time of log batches into the store (tier store).", |m, o| {
        times(m, o, |s| &s.log.batches);
    }),
    counter("proxyfs_log_bytes_total", "Records written into the replay log.", |m, o| {
        each(m, o, |s| s.metrics.log.bytes);
    }),
    histogram("proxyfs_upload_seconds", "Time of segments into the store, with all attempts and waits.", |m, o| {
        times(m, o, |s| &s.uploads.timings);
    }),
    counter("proxyfs_upload_bytes_total", "Objects of segments in the store.", |m, o| {
        each(m, o, |s| s.metrics.uploads.bytes);
    }),
    counter("proxyfs_upload_failures_total", "Attempts to upload a segment that failed.", |m, o| {
        each(m, o, |s| s.metrics.uploads.failures);
    }),
    Family {
        name: "proxyfs_store_requests_total",
        shape: Shape::Counter,
        labels: &["volume", "kind", "result"],
        help: "Requests to the store, by kind and result.",
        fill: |m, o| {
            for (name, usage) in &m.usages {
                for row in counts::rows(name, usage) {
                    o.value(&[("volume", name), ("kind", &row.kind), ("result", &row.result)], row.count);
                }
            }
        },
    },
    Family {
        name: "proxyfs_store_bytes_total",
        shape: Shape::Counter,
        labels: &["volume", "kind"],
        help: "Content sent (put) and received (get).",
        fill: |m, o| {
            for (name, usage) in &m.usages {
                o.value(&[("volume", name), ("kind", "put")], usage.counts.put.bytes);
                o.value(&[("volume", name), ("kind", "get")], usage.counts.get.bytes);
            }
        },
    },
    counter("proxyfs_store_retries_total", "Attempts beyond the first of each request.", |m, o| {
        m.usages.iter().for_each(|(name, usage)| o.value(&[("volume", name)], usage.counts.retries));
    }),
    Family {
        name: "proxyfs_store_request_seconds",
        shape: Shape::Histogram,
        labels: &["volume", "kind"],
        help: "Time of requests to the store.",
        fill: |m, o| {
            let bounds = LATENCY_MS.map(|ms| ms * 1_000);
            for (name, usage) in &m.usages {
                for (kind, detail) in KINDS.iter().zip(&usage.details).filter(|(_, d)| d.latency.iter().any(|n| *n > 0))
                {
                    o.histogram(&[("volume", name), ("kind", kind)], &bounds, &detail.latency, detail.nanos);
                }
            }
        },
    },
    Family {
        name: "proxyfs_store_cost_total",
        shape: Shape::Counter,
        labels: &["currency"],
        help: "About what the requests cost, by the configured prices; absent without prices.",
        fill: |m, o| m.cost.iter().for_each(|(amount, currency)| o.value(&[("currency", currency)], amount)),
    },
];

/// All metrics now.
pub(crate) fn text(host: &Host) -> String {
    exposed(&moment(host))
}

fn exposed(moment: &Moment) -> String {
    let mut out = Exposition::default();
    for family in FAMILIES {
        out.begin(family.name, family.shape, family.help);
        (family.fill)(moment, &mut out);
    }
    out.finish()
}

fn moment(host: &Host) -> Moment {
    let all = host.all();
    let mounted = all.iter().filter_map(|hosted| {
        let live = hosted.live()?;
        let (status, metrics) = (live.volume.status(), live.volume.metrics());
        Some(Seen { name: hosted.name.clone(), status, metrics })
    });
    Moment {
        started: host.started,
        memory_budget: host.engine.memory_budget(),
        memory_cache: host.engine.cached_bytes(),
        disk_budget: host.engine.disk_budget().map_or(0, |b| b.staging + b.cache),
        problems: host.book.lock().all().len() as u64,
        cost: counts::requests(host).cost.map(|cost| (cost.amount, cost.currency)),
        known: all.iter().map(|hosted| (hosted.name.clone(), hosted.live().is_some())).collect(),
        mounted: mounted.collect(),
        usages: all.iter().map(|hosted| (hosted.name.clone(), host.counts_of(hosted))).collect(),
    }
}

#[cfg(test)]
mod tests;
