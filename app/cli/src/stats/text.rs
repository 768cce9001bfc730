//! One look as text, and numbers as people read them.

use proxyfs_control::types::stats::{HitCounts, Stats, VolumeStats};
use proxyfs_control::types::volume::{Connection, VolumeState};

use super::rates::{all_ops, part, quantile};
use crate::output::table;
use crate::units::about_size;

/// Bytes a second.
pub(crate) fn speed(bytes: f64) -> String {
    format!("{}/s", about_size(bytes.max(0.0) as u64))
}

/// Seconds in the unit that fits.
pub(crate) fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s < 0.001 => format!("{:.0} us", s * 1e6),
        Some(s) if s < 1.0 => format!("{:.1} ms", s * 1e3),
        Some(s) => format!("{s:.1} s"),
    }
}

/// A part in percent.
pub(crate) fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "-".to_owned(), |part| format!("{:.0}%", part * 100.0))
}

/// An amount of money, with as many digits as a small one needs.
pub(crate) fn money(amount: f64, currency: &str) -> String {
    if amount < 1.0 { format!("{amount:.4} {currency}") } else { format!("{amount:.2} {currency}") }
}

/// How a volume is, in a word or two.
pub(crate) fn condition(volume: &VolumeStats) -> &'static str {
    let status = volume.status.as_ref();
    if volume.fenced {
        return "fenced";
    }
    match volume.state {
        VolumeState::Unmounted => "unmounted",
        VolumeState::Opening => "opening",
        VolumeState::Failed => "failed",
        VolumeState::Mounted if status.is_some_and(|s| s.halted.is_some()) => "halted",
        VolumeState::Mounted if status.is_some_and(|s| s.connection == Connection::Offline) => "offline",
        VolumeState::Mounted if volume.paused => "paused",
        VolumeState::Mounted => "online",
    }
}

/// Everything, one look.
pub(crate) fn show(stats: &Stats) -> String {
    if stats.volumes.is_empty() {
        return "No volumes. Mount one: proxyfs mount NAME DIR".to_owned();
    }
    let mut parts: Vec<String> = stats.volumes.iter().map(|volume| of_volume(volume, stats)).collect();
    if let Some(cost) = &stats.cost {
        let amount = money(cost.amount, &cost.currency);
        parts.push(format!("About {amount} for requests since the start, by: {}", cost.source));
    }
    for problem in &stats.problems {
        let volume = problem.volume.as_deref().unwrap_or("daemon");
        parts.push(format!("{volume}: {}; what to do: {}", problem.cause, problem.remedy));
    }
    parts.join("\n\n")
}

fn of_volume(volume: &VolumeStats, stats: &Stats) -> String {
    let place = volume.mount_point.as_deref().map(|at| format!(" on {at}")).unwrap_or_default();
    let title = format!("{} ({}){place}", volume.name, condition(volume));
    let (Some(metrics), Some(status)) = (&volume.metrics, &volume.status) else { return title };
    let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
    let rate = |hits: HitCounts| percent(part(hits.hits, hits.misses));
    let facts = [
        row(&["  read by programs", &about_size(metrics.read_bytes)]),
        row(&["  written by programs", &about_size(metrics.written_bytes)]),
        row(&["  to upload", &format!("{} in {} segments", about_size(status.waiting_bytes), status.waiting_segments)]),
        row(&[
            "  memory cache",
            &format!("{}, hits {}", about_size(status.data_cache_bytes), rate(metrics.data_cache)),
        ]),
        row(&["  disk cache", &format!("{}, hits {}", about_size(status.disk_cache_bytes), rate(metrics.disk_cache))]),
        row(&[
            "  metadata cache",
            &format!("{}, hits {}", about_size(status.page_cache_bytes), rate(metrics.page_cache)),
        ]),
        row(&["  checkpoints", &checkpoints(volume, stats)]),
    ];
    let mut out = format!("{title}\n{}", table(&facts));
    if !metrics.ops.is_empty() {
        out += &format!("\n\n{}", table(&operations(volume, stats)));
    }
    if !volume.requests.is_empty() {
        out += &format!("\n\n{}", table(&requests(volume, stats)));
    }
    out
}

fn checkpoints(volume: &VolumeStats, stats: &Stats) -> String {
    let Some(all) = volume.metrics.as_ref().map(|m| &m.checkpoints) else { return String::new() };
    let count: u64 = all.timings.classes.iter().sum();
    let p99 = time(quantile(&all.timings.classes, &stats.bounds_micros, 0.99));
    format!("{count}, p99 {p99}, {} written, {} failed", about_size(all.bytes), all.failures)
}

fn operations(volume: &VolumeStats, stats: &Stats) -> Vec<Vec<String>> {
    let line = |name: &str, ok: u64, failed: u64, classes: &[u64]| {
        let quantile = |q| time(quantile(classes, &stats.bounds_micros, q));
        vec![format!("  {name}"), ok.to_string(), failed.to_string(), quantile(0.5), quantile(0.99)]
    };
    let head = ["  OPERATION", "OK", "FAILED", "P50", "P99"].map(str::to_owned).to_vec();
    let ops: Vec<_> = volume.metrics.iter().flat_map(|m| &m.ops).collect();
    let failed = |op: &proxyfs_control::types::stats::OpStats| op.failed.iter().map(|f| f.count).sum::<u64>();
    let rows = ops.iter().map(|op| line(&op.op, op.ok, failed(op), &op.timings.classes));
    let all = all_ops(volume);
    let sum = line("all", ops.iter().map(|op| op.ok).sum(), ops.iter().map(|op| failed(op)).sum(), &all.classes);
    std::iter::once(head).chain(rows).chain([sum]).collect()
}

fn requests(volume: &VolumeStats, stats: &Stats) -> Vec<Vec<String>> {
    let head = ["  REQUEST", "COUNT", "FAILED", "BYTES", "P50", "P99"].map(str::to_owned).to_vec();
    let rows = volume.requests.iter().map(|kind| {
        let quantile = |q| time(quantile(&kind.timings.classes, &stats.store_bounds_micros, q));
        let (count, failures) = (kind.count.to_string(), kind.failures.to_string());
        vec![format!("  {}", kind.kind), count, failures, about_size(kind.bytes), quantile(0.5), quantile(0.99)]
    });
    std::iter::once(head).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rates::tests::volume;
    use super::*;

    #[test]
    fn numbers_have_units_that_fit() {
        let shown = [None, Some(0.000_05), Some(0.005), Some(2.0)].map(time);
        assert_eq!(shown, ["-", "50 us", "5.0 ms", "2.0 s"]);
        assert_eq!(
            (speed(1536.0), percent(Some(0.931)), money(0.0012, "USD")),
            ("1.5 KiB/s".into(), "93%".into(), "0.0012 USD".into())
        );
    }

    #[test]
    fn a_volume_that_is_not_open_is_one_line() {
        let mut closed = volume("a", 1);
        (closed.metrics, closed.state, closed.mount_point) = (None, VolumeState::Failed, None);
        let stats = Stats { volumes: vec![closed], ..Stats::default() };
        assert_eq!(show(&stats), "a (failed)");
    }
}
