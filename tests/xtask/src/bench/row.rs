//! One measured bar: what it came to, what bounds it, and whether the target is met.
//!
//! A ratio is the median of the ratios of the rounds, since the two halves of a round share whatever else the machine was doing.

use proxyfs_e2e::Traffic;
use serde::Serialize;

/// What a bar has to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At least this part of the limit.
    Ratio(f64),
    /// No more than this.
    AtMost(f64),
    /// Less than this.
    Below(f64),
    /// This and nothing else.
    Exactly(f64),
}

impl Target {
    /// Whether it is met; `None` when it is about a ratio and there is none.
    fn is_met(self, ours: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::Ratio(least) => ratio.map(|ratio| ratio >= least),
            Self::AtMost(most) => Some(ours <= most),
            Self::Below(bound) => Some(ours < bound),
            Self::Exactly(value) => Some((ours - value).abs() < 1e-9),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ratio(least) => write!(f, "ratio >= {least}"),
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::Below(bound) => write!(f, "< {bound}"),
            Self::Exactly(value) => write!(f, "= {value}"),
        }
    }
}

/// What a round used of the store and the machine. Fields that were not looked at are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Requests and bytes at the store.
    pub(crate) traffic: Option<Traffic>,
    /// The most memory of the mounted program since its start, in bytes.
    pub(crate) rss: Option<u64>,
    /// Its processor time, in seconds.
    pub(crate) cpu_seconds: Option<f64>,
}

/// Requests by kind, as rows show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Requests {
    pub(crate) total: u64,
    pub(crate) put: u64,
    pub(crate) get: u64,
    pub(crate) head: u64,
    pub(crate) list: u64,
    pub(crate) delete: u64,
    pub(crate) other: u64,
}

/// Bytes of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Moved {
    pub(crate) put: u64,
    pub(crate) get: u64,
}

/// One bar; serialised, one row of the JSON output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// The workload that it belongs to.
    pub(crate) workload: &'static str,
    /// What of it is measured.
    pub(crate) measure: &'static str,
    /// The volume's tier.
    pub(crate) tier: &'static str,
    /// Kind of store.
    pub(crate) store: &'static str,
    /// How much was done, for a person.
    pub(crate) size: String,
    /// Unit of `ours` and `limit`.
    pub(crate) unit: &'static str,
    /// How many rounds there were.
    pub(crate) rounds: usize,
    /// Median of the rounds.
    pub(crate) ours: f64,
    pub(crate) ours_min: f64,
    pub(crate) ours_max: f64,
    /// What bounds it, if anything was measured beside it.
    pub(crate) limit_is: Option<&'static str>,
    /// Median of the rounds of that.
    pub(crate) limit: Option<f64>,
    pub(crate) limit_min: Option<f64>,
    pub(crate) limit_max: Option<f64>,
    /// Median of ours divided by limit.
    pub(crate) ratio: Option<f64>,
    /// What has to be reached.
    pub(crate) target: Option<String>,
    /// Whether it is.
    pub(crate) met: Option<bool>,
    /// Requests of a round, each kind the median over the rounds.
    pub(crate) requests: Option<Requests>,
    /// Bytes of a round, likewise.
    pub(crate) bytes: Option<Moved>,
    /// Largest peak of memory of the mounted program, in bytes.
    pub(crate) rss: Option<u64>,
    /// Processor seconds of the mounted program in a round, the median.
    pub(crate) cpu_seconds: Option<f64>,
    /// What else there is to say.
    pub(crate) note: Option<String>,
}

impl Row {
    /// A bar with what each round came to; at least one.
    pub(crate) fn new(workload: &'static str, measure: &'static str, unit: &'static str, ours: &[f64]) -> Self {
        let spread = Spread::of(ours);
        Self {
            workload,
            measure,
            tier: "disk",
            store: "s3",
            size: String::new(),
            unit,
            rounds: ours.len(),
            ours: spread.median,
            ours_min: spread.min,
            ours_max: spread.max,
            limit_is: None,
            limit: None,
            limit_min: None,
            limit_max: None,
            ratio: None,
            target: None,
            met: None,
            requests: None,
            bytes: None,
            rss: None,
            cpu_seconds: None,
            note: None,
        }
    }

    /// Where it was measured and how much was done.
    pub(crate) fn on(self, store: &'static str, size: impl Into<String>) -> Self {
        Self { store, size: size.into(), ..self }
    }

    /// With what bounds it: the same rounds, `ours` and `limit` in the same order.
    pub(crate) fn against(self, limit_is: &'static str, ours: &[f64], limit: &[f64]) -> Self {
        let spread = Spread::of(limit);
        let ratios: Vec<f64> = ours.iter().zip(limit).map(|(ours, limit)| ours / limit).collect();
        Self {
            limit_is: Some(limit_is),
            limit: Some(spread.median),
            limit_min: Some(spread.min),
            limit_max: Some(spread.max),
            ratio: Some(Spread::of(&ratios).median),
            ..self
        }
    }

    /// With a target, judged by what is known of the row so far.
    pub(crate) fn target(self, target: Target) -> Self {
        Self { met: target.is_met(self.ours, self.ratio), target: Some(target.to_string()), ..self }
    }

    /// With what the rounds used.
    pub(crate) fn using(self, rounds: &[Usage]) -> Self {
        let traffic: Vec<Traffic> = rounds.iter().filter_map(|usage| usage.traffic).collect();
        let cpu: Vec<f64> = rounds.iter().filter_map(|usage| usage.cpu_seconds).collect();
        let median = |field: fn(&Traffic) -> u64| median_count(traffic.iter().map(field).collect());
        let requests = Requests {
            total: median(Traffic::requests),
            put: median(|t| t.put),
            get: median(|t| t.get),
            head: median(|t| t.head),
            list: median(|t| t.list),
            delete: median(|t| t.delete),
            other: median(|t| t.other),
        };
        let bytes = Moved { put: median(|t| t.put_bytes), get: median(|t| t.get_bytes) };
        Self {
            requests: (!traffic.is_empty()).then_some(requests),
            bytes: (!traffic.is_empty()).then_some(bytes),
            rss: rounds.iter().filter_map(|usage| usage.rss).max(),
            cpu_seconds: (!cpu.is_empty()).then(|| Spread::of(&cpu).median),
            ..self
        }
    }

    /// With a remark.
    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }
}

/// Median and extremes of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one number; of none, not a number.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self { median: f64::NAN, min: f64::NAN, max: f64::NAN };
        };
        // Of an even count, the mean of the two in the middle.
        let median = f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Self { median, min, max }
    }
}

/// The median of counts, the upper one of two in the middle; 0 of none.
fn median_count(mut counts: Vec<u64>) -> u64 {
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_extremes_are_kept() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert!(Spread::of(&[]).median.is_nan());
        assert_eq!([median_count(vec![5, 1, 9]), median_count(vec![1, 2]), median_count(vec![])], [5, 2, 0]);
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios() {
        let (ours, limit) = ([10.0, 50.0, 30.0], [20.0, 50.0, 100.0]);
        let row = Row::new("w", "m", "u", &ours).against("x", &ours, &limit).target(Target::Ratio(0.6));
        assert_eq!((row.ours, row.limit, row.ratio), (30.0, Some(50.0), Some(0.5)));
        assert_eq!((row.met, row.target.as_deref()), (Some(false), Some("ratio >= 0.6")));
    }

    #[test]
    fn each_kind_of_target_is_judged_at_its_edge() {
        for (target, ours, met) in [
            (Target::AtMost(25.0), 25.0, true),
            (Target::AtMost(25.0), 26.0, false),
            (Target::Below(2.0), 2.0, false),
            (Target::Below(2.0), 1.99, true),
            (Target::Exactly(1.0), 200.0 / 200.0, true),
            (Target::Exactly(1.0), 201.0 / 200.0, false),
        ] {
            assert_eq!(target.is_met(ours, None), Some(met), "{target} with {ours}");
        }
        assert_eq!(Target::Ratio(0.5).is_met(1.0, None), None);
    }

    #[test]
    fn usage_is_the_median_of_the_rounds_and_the_largest_memory() {
        let round = |put: u64, rss: u64, cpu: f64| Usage {
            traffic: Some(Traffic { put, list: 1, put_bytes: put * 10, ..Traffic::default() }),
            rss: Some(rss),
            cpu_seconds: Some(cpu),
        };
        let row = Row::new("w", "m", "u", &[1.0]).using(&[round(3, 7, 0.5), round(9, 9, 0.1), round(4, 8, 0.3)]);
        let requests = row.requests.expect("requests");
        assert_eq!((requests.total, requests.put, requests.list), (5, 4, 1));
        assert_eq!(row.bytes, Some(Moved { put: 40, get: 0 }));
        assert_eq!((row.rss, row.cpu_seconds), (Some(9), Some(0.3)));
        assert_eq!(Row::new("w", "m", "u", &[1.0]).using(&[Usage::default()]).requests, None);
    }

    #[test]
    fn a_row_is_one_line_of_json_with_nothing_left_out() {
        let row = Row::new("idle", "requests", "requests", &[0.0]).on("s3", "15 s").target(Target::Exactly(0.0));
        let json = serde_json::to_string(&row).expect("JSON");
        assert!(!json.contains('\n'));
        for part in [r#""workload":"idle""#, r#""ours":0.0"#, r#""met":true"#, r#""limit":null"#, r#""rss":null"#] {
            assert!(json.contains(part), "{part} is not in {json}");
        }
    }
}
