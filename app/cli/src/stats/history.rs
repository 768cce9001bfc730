//! What a watcher has seen: the last answer, and rates of the last minutes for each volume.

use std::collections::{BTreeMap, VecDeque};

use proxyfs_control::types::stats::{Stats, VolumeStats};

use super::rates::{Rates, between};

/// Looks whose rates are kept: some minutes at the usual interval.
const KEPT: usize = 240;

/// Everything that is shown.
#[derive(Debug, Default)]
pub(crate) struct History {
    last: Option<Stats>,
    rates: BTreeMap<String, VecDeque<Rates>>,
    /// Name of the volume that is shown.
    chosen: Option<String>,
    /// Why there is no newer answer, if there is none.
    pub(crate) gone: Option<String>,
}

impl History {
    /// Takes an answer.
    pub(crate) fn take(&mut self, stats: Stats) {
        if let Some(before) = &self.last {
            let seconds = (stats.time_ms - before.time_ms) as f64 / 1e3;
            for now in &stats.volumes {
                let Some(old) = before.volumes.iter().find(|v| v.name == now.name) else { continue };
                let seen = self.rates.entry(now.name.clone()).or_default();
                seen.push_back(between(old, now, &stats.bounds_micros, seconds));
                if seen.len() > KEPT {
                    seen.pop_front();
                }
            }
        }
        self.gone = None;
        self.last = Some(stats);
    }

    /// Notes that there was no answer; the last one stays.
    pub(crate) fn miss(&mut self, why: String) {
        self.gone = Some(why);
    }

    /// The last answer.
    pub(crate) fn last(&self) -> Option<&Stats> {
        self.last.as_ref()
    }

    fn place(&self) -> usize {
        let volumes = self.last.as_ref().map_or(&[][..], |last| &last.volumes);
        volumes.iter().position(|v| Some(&v.name) == self.chosen.as_ref()).unwrap_or(0)
    }

    /// The volume that is shown.
    pub(crate) fn chosen(&self) -> Option<&VolumeStats> {
        self.last.as_ref()?.volumes.get(self.place())
    }

    /// Chooses the next volume, or the one before.
    pub(crate) fn step(&mut self, forward: bool) {
        let Some(last) = self.last.as_ref().filter(|last| !last.volumes.is_empty()) else { return };
        let (place, count) = (self.place(), last.volumes.len());
        let next = if forward { (place + 1) % count } else { (place + count - 1) % count };
        self.chosen = Some(last.volumes[next].name.clone());
    }

    /// The newest rates of a volume.
    pub(crate) fn rates(&self, name: &str) -> Rates {
        self.rates.get(name).and_then(|seen| seen.back()).copied().unwrap_or_default()
    }

    /// The last values of one rate, oldest first, at most `count`.
    pub(crate) fn trace(&self, name: &str, count: usize, value: fn(&Rates) -> f64) -> Vec<u64> {
        let seen = self.rates.get(name).into_iter().flatten();
        let all: Vec<u64> = seen.map(|rates| value(rates) as u64).collect();
        all[all.len().saturating_sub(count)..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rates::tests::volume;
    use super::*;

    fn stats(time_ms: i64, n: u64) -> Stats {
        let volumes = vec![volume("a", n), volume("b", n)];
        Stats { time_ms, bounds_micros: vec![1_000, 10_000], volumes, ..Stats::default() }
    }

    #[test]
    fn looks_make_a_trace_that_has_an_end() {
        let mut history = History::default();
        for n in 0..300 {
            history.take(stats(i64::try_from(n).unwrap() * 1000, n));
        }
        assert_eq!(history.trace("a", 1000, |r| r.ops).len(), KEPT);
        assert_eq!(history.trace("a", 3, |r| r.ops), [100, 100, 100]);
    }

    #[test]
    fn the_chosen_volume_goes_around_and_stays_when_others_come() {
        let mut history = History::default();
        history.step(true);
        history.take(stats(0, 1));
        let name = |h: &History| h.chosen().map(|v| v.name.clone()).unwrap_or_default();
        assert_eq!(name(&history), "a");
        history.step(false);
        assert_eq!(name(&history), "b");
        let mut more = stats(1000, 2);
        more.volumes.insert(0, volume("0", 1));
        history.take(more);
        assert_eq!(name(&history), "b");
        history.miss("away".into());
        assert_eq!(name(&history), "b", "what was seen last stays");
    }
}
