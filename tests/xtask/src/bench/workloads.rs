//! The table of workloads, in the order in which they are run. To add one, add a row to [`WORKLOADS`].

mod fsync;
mod idle;
mod listing;
mod random_read;
mod scan;
mod sequential;
mod small_files;

use anyhow::Result;

use super::lab::{Lab, check_interrupt, settle_disk};
use super::row::{Row, Usage};

/// A workload.
#[derive(Debug)]
pub(crate) struct Workload {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it measures, in a few words.
    pub(crate) about: &'static str,
    /// What it does.
    pub(crate) run: fn(&Lab) -> Result<Vec<Row>>,
}

/// All workloads.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload { name: "small-files", about: "making 10,000 new files of 4 KiB", run: small_files::run },
    Workload { name: "seq-write", about: "a large file until it is in the store", run: sequential::write },
    Workload { name: "seq-read", about: "a large file, on a computer that never saw it", run: sequential::read },
    Workload { name: "fsync", about: "4 KiB and a sync, again and again", run: fsync::run },
    Workload { name: "random-read", about: "4 KiB at random places of a large file, cold", run: random_read::run },
    Workload { name: "scan-million", about: "a million files in 128 MiB of memory", run: scan::run },
    Workload { name: "idle", about: "a mount that nobody uses", run: idle::run },
    Workload { name: "listing", about: "a large directory with all attributes", run: listing::run },
];

/// What a round of ours came to.
#[derive(Clone, Copy, Debug)]
struct Round {
    value: f64,
    usage: Usage,
}

/// Rounds of ours and of the limit.
#[derive(Debug, Default)]
struct Rounds {
    ours: Vec<f64>,
    usage: Vec<Usage>,
    limit: Vec<f64>,
}

impl Rounds {
    /// Measures ours, the limit, ours, the limit, and so on; each gets the number of the round.
    fn interleaved(
        count: usize,
        mut ours: impl FnMut(usize) -> Result<Round>,
        mut limit: impl FnMut(usize) -> Result<f64>,
    ) -> Result<Self> {
        let mut rounds = Self::default();
        for number in 0..count {
            check_interrupt()?;
            settle_disk();
            rounds.push(ours(number)?);
            settle_disk();
            rounds.limit.push(limit(number)?);
        }
        Ok(rounds)
    }

    fn push(&mut self, round: Round) {
        self.ours.push(round.value);
        self.usage.push(round.usage);
    }

    /// A bar of ours against the limit.
    fn row(&self, workload: &'static str, measure: &'static str, unit: &'static str, limit_is: &'static str) -> Row {
        Row::new(workload, measure, unit, &self.ours).against(limit_is, &self.ours, &self.limit).using(&self.usage)
    }
}
