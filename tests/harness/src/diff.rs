//! Runs one sequence of operations on two implementations side by side and stops at the first difference.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use proxyfs_core::fs::FileSystem;
use proxyfs_core::{Error, Result};

use crate::model::Model;
use crate::ops::{Mask, Op, Outcome, Profile, Slots, apply, op_strategy};
use crate::sim::SimClock;
use crate::tree;

/// How many operations before the difference are shown.
const HISTORY_OPS: usize = 12;
/// How much time passes between two operations.
const STEP_NANOS: u64 = 1_000_000_007;

/// A file system that can also be asked what only an engine can do.
pub trait Subject: Send {
    /// The file system itself.
    type Fs: FileSystem;

    /// What operations run on.
    fn fs(&self) -> &Self::Fs;

    /// Writes a checkpoint.
    fn checkpoint(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Unmounts cleanly (everything has been closed) and mounts again.
    fn remount(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Forgets everything that can be loaded again.
    fn drop_caches(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// A file system without engine-level operations.
#[derive(Debug)]
pub struct Plain<F>(pub F);

impl<F: FileSystem> Subject for Plain<F> {
    type Fs = F;

    fn fs(&self) -> &F {
        &self.0
    }
}

/// How to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// What not to compare.
    pub mask: Mask,
    /// The clock that both sides read, set forward before each operation; `None` if they have clocks of their own.
    pub clock: Option<Arc<SimClock>>,
}

/// The first operation that two implementations answered differently.
#[derive(Debug)]
pub struct Divergence {
    /// Its place in the sequence.
    pub index: usize,
    /// The operation; `None` if all agreed and only the trees at the end differ.
    pub op: Option<Box<Op>>,
    /// What came of it on each side; errors of engine-level operations and of the final pictures are texts.
    pub left: String,
    /// See `left`.
    pub right: String,
    /// The operations before it, oldest first.
    pub history: Vec<Op>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.op {
            Some(op) => writeln!(f, "operation {} differs: {op:?}", self.index)?,
            None => writeln!(f, "trees differ after all {} operations", self.index)?,
        }
        writeln!(f, "  left:  {}", self.left)?;
        writeln!(f, "  right: {}", self.right)?;
        writeln!(f, "after:")?;
        self.history.iter().try_for_each(|op| writeln!(f, "  {op:?}"))
    }
}

impl std::error::Error for Divergence {}

/// Runs `ops` on both, comparing after each; at the end closes everything and compares pictures of the whole trees.
///
/// # Errors
/// The first difference.
pub async fn run_compare<A: Subject, B: Subject>(
    a: &mut A,
    b: &mut B,
    ops: &[Op],
    options: &Options,
) -> Result<(), Divergence> {
    let mut a_slots = Slots::new(options.mask);
    let mut b_slots = Slots::new(options.mask);
    for (index, op) in ops.iter().enumerate() {
        if let Some(clock) = &options.clock {
            clock.advance_nanos(STEP_NANOS);
        }
        let left = step(a, &mut a_slots, op).await;
        let right = step(b, &mut b_slots, op).await;
        check(ops, index, &left, &right)?;
    }
    a_slots.close_all(a.fs()).await;
    b_slots.close_all(b.fs()).await;
    compare_trees(a.fs(), b.fs(), ops, options).await
}

/// A random-sequence test against a fresh [`Model`]: `cases` sequences of up to `ops_max` operations from `seed`, shrunk to the
/// shortest that still differs. `make` builds the subject on the clock that the model reads too; it may spawn on `runtime` and
/// block on it.
///
/// # Panics
/// With the shrunk sequence, if one differs.
pub fn check_sequences<S: Subject>(
    check: &SequenceCheck,
    runtime: &tokio::runtime::Runtime,
    make: impl Fn(Arc<SimClock>) -> S,
) {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&check.seed.to_le_bytes());
    let config =
        Config { cases: check.cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let sequences = prop::collection::vec(op_strategy(check.profile), 1..=check.ops_max);
    let result = runner.run(&sequences, |ops| {
        let clock = Arc::new(SimClock::manual());
        let entered = runtime.enter();
        let mut subject = make(Arc::clone(&clock));
        drop(entered);
        let mut model = Plain(Model::new(Arc::clone(&clock) as _));
        let clock = (!check.mask.clocks_differ).then_some(clock);
        let options = Options { mask: check.mask, clock };
        let compared = runtime.block_on(run_compare(&mut model, &mut subject, &ops, &options));
        compared.map_err(|divergence| TestCaseError::fail(divergence.to_string()))
    });
    if let Err(error) = result {
        panic!("seed {}: left is the model: {error}", check.seed);
    }
}

/// What [`check_sequences`] runs.
#[derive(Clone, Copy, Debug)]
pub struct SequenceCheck {
    /// Number of sequences.
    pub cases: u32,
    /// Longest sequence.
    pub ops_max: usize,
    /// Determines all sequences.
    pub seed: u64,
    /// Which operations.
    pub profile: Profile,
    /// What not to compare.
    pub mask: Mask,
}

/// One operation on one side.
async fn step<S: Subject>(subject: &mut S, slots: &mut Slots, op: &Op) -> Result<Outcome, String> {
    let special = match op {
        Op::Checkpoint => subject.checkpoint().await,
        Op::DropCaches => subject.drop_caches().await,
        Op::Remount => {
            slots.close_all(subject.fs()).await;
            subject.remount().await
        }
        _ => Ok(()),
    };
    special.map_err(|error: Error| format!("{error:?}"))?;
    Ok(apply(subject.fs(), slots, op).await)
}

fn check(
    ops: &[Op],
    index: usize,
    left: &Result<Outcome, String>,
    right: &Result<Outcome, String>,
) -> Result<(), Divergence> {
    if left == right && left.is_ok() {
        return Ok(());
    }
    Err(divergence(ops, index, format!("{left:?}"), format!("{right:?}")))
}

fn divergence(ops: &[Op], index: usize, left: String, right: String) -> Divergence {
    let op = ops.get(index).cloned().map(Box::new);
    let history = ops[index.saturating_sub(HISTORY_OPS)..index].to_vec();
    Divergence { index, op, left, right, history }
}

async fn compare_trees<A: FileSystem, B: FileSystem>(
    a: &A,
    b: &B,
    ops: &[Op],
    options: &Options,
) -> Result<(), Divergence> {
    let taken = (tree::snapshot(a).await, tree::snapshot(b).await);
    let (Ok(left), Ok(right)) = taken else {
        let text = |s: Result<tree::TreeSnapshot>| s.map_or_else(|e| format!("{e:?}"), |_| "a picture".to_owned());
        return Err(divergence(ops, ops.len(), text(taken.0), text(taken.1)));
    };
    let mask = |snapshot: tree::TreeSnapshot| match options.mask {
        Mask { clocks_differ: true, .. } => snapshot.without_times(),
        Mask { atime: false, btime: false, .. } => snapshot,
        _ => snapshot.without_lazy_times(),
    };
    let lines = tree::diff(&mask(left), &mask(right));
    if lines.is_empty() {
        return Ok(());
    }
    Err(divergence(ops, ops.len(), "picture at the end".to_owned(), lines.join("\n")))
}
