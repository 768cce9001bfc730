//! Runs the script with a crash or a fault at a chosen call, recovers, and holds what came back against the model.
//!
//! **What is promised.** The volume is equal to the model after some prefix of the operations. The prefix holds every
//! acknowledged operation after a death of the process, and after a loss of power those up to the last acknowledged sync operation
//! (all of them with `Always`). With a new disk it holds those up to the last sync operation (tier `store`) or checkpoint (tier
//! `disk`). It holds at most one operation that was not acknowledged: the one under way.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::ErrorKind;
use proxyfs_core::config::ReplayLogSync;
use proxyfs_core::format::{Layout, Tier};
use proxyfs_core::fs::FileSystem;
use proxyfs_harness::model::Model;
use proxyfs_harness::ops::{Mask, Op, Outcome, Reply, Slots, apply};
use proxyfs_harness::sim::{Crash, Faults, SimClock};
use proxyfs_harness::tree::{self, TreeSnapshot};
use proxyfs_store::MemStore;

use crate::gate::{Conditional, GatePlan};
use crate::machine::{Machine, PATIENCE, Setup};
use crate::reach;
use crate::script::{afterwards, is_checkpoint, is_sync, script};

/// Time between two operations on the volume's clock.
const STEP_NANOS: u64 = 1_000_000_007;
/// Time between two operations on the runtime's clock: background work gets its chance.
const PAUSE: Duration = Duration::from_millis(7);
/// How often a crash is looked for while an operation is under way.
const CRASH_POLL: Duration = Duration::from_millis(3);
/// Access times are lazy, and a root that a crash took is made again, later.
const MASK: Mask = Mask { clocks_differ: false, atime: true, btime: true };

/// The volume that is swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its tier.
    pub tier: Tier,
    /// When replies wait for the disk.
    pub sync: ReplayLogSync,
    /// Where its objects go.
    pub layout: Layout,
    /// What its store makes of conditional puts; unless atomic, the volume is opened with the opt-in to wait.
    pub conditional: Conditional,
}

impl Case {
    /// Both tiers, both kinds of reply.
    pub const ALL: [Self; 4] = [
        Self::of(Tier::Disk, ReplayLogSync::Pipelined),
        Self::of(Tier::Disk, ReplayLogSync::Always),
        Self::of(Tier::Store, ReplayLogSync::Pipelined),
        Self::of(Tier::Store, ReplayLogSync::Always),
    ];

    /// One container, an atomic store.
    const fn of(tier: Tier, sync: ReplayLogSync) -> Self {
        let layout = Layout { shards: 16, containers: 1, max_objects_per_container: 0 };
        Self { tier, sync, layout, conditional: Conditional::Atomic }
    }

    /// On a weaker store.
    #[must_use]
    pub fn settling(self, conditional: Conditional) -> Self {
        Self { conditional, ..self }
    }

    /// Spread over containers.
    #[must_use]
    pub fn spread(self, shards: u32, containers: u32, max_objects_per_container: u64) -> Self {
        Self { layout: Layout { shards, containers, max_objects_per_container }, ..self }
    }

    fn setup(self) -> Setup {
        let mut setup = Setup::busy(self.tier, self.sync);
        setup.spec.layout = self.layout;
        match self.conditional {
            Conditional::Atomic => setup,
            weaker => setup.settling(weaker),
        }
    }
}

/// Where something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing does: the run that counts the calls.
    None,
    /// On the disk.
    Local(Faults),
    /// At the store.
    Store(GatePlan),
    /// The disk has little room left from some operation on.
    FullDisk,
}

/// How the machine comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comeback {
    /// The process died and is started again.
    Kill,
    /// Power was lost.
    PowerLoss(u64),
    /// The process died and is started again, a sync operation is answered, and then power is lost.
    KillThenPowerLoss(u64),
    /// The process died and is started again without the store, which comes back later.
    Offline,
    /// The machine is gone; another takes over with an empty disk.
    NewDisk,
}

/// What the model says of the script.
#[derive(Debug)]
pub struct Expected {
    ops: Vec<Op>,
    outcomes: Vec<Outcome>,
    /// After so many operations.
    pictures: Vec<TreeSnapshot>,
}

impl Expected {
    /// Runs the script on the model.
    ///
    /// # Panics
    /// When an operation of the script fails.
    pub async fn new() -> Self {
        let ops = script();
        let clock = Arc::new(SimClock::manual());
        let model = Model::new(Arc::clone(&clock) as _);
        let mut slots = Slots::new(MASK);
        let mut outcomes = Vec::new();
        let mut pictures = vec![picture(&model.restarted()).await];
        for op in &ops {
            clock.advance_nanos(STEP_NANOS);
            let outcome = apply_to_model(&model, &mut slots, op).await;
            assert!(!matches!(outcome.reply, Reply::Failed(_) | Reply::Skipped), "{op:?}: {outcome:?}");
            outcomes.push(outcome);
            pictures.push(picture(&model.restarted()).await);
        }
        Self { ops, outcomes, pictures }
    }

    /// The model after `count` operations and a restart, on a clock that shows the same as a machine's after `steps` steps.
    async fn model_at(&self, count: usize, steps: u64) -> (Model, Arc<SimClock>) {
        let clock = Arc::new(SimClock::manual());
        let model = Model::new(Arc::clone(&clock) as _);
        let mut slots = Slots::new(MASK);
        for op in &self.ops[..count] {
            clock.advance_nanos(STEP_NANOS);
            apply_to_model(&model, &mut slots, op).await;
        }
        clock.advance_nanos((steps - count as u64) * STEP_NANOS);
        (model.restarted(), clock)
    }
}

async fn apply_to_model(model: &Model, slots: &mut Slots, op: &Op) -> Outcome {
    if *op == Op::Remount {
        slots.close_all(model).await;
    }
    apply(model, slots, op).await
}

async fn picture<F: FileSystem>(fs: &F) -> TreeSnapshot {
    try_picture(fs).await.expect("a picture of the tree")
}

async fn try_picture<F: FileSystem>(fs: &F) -> proxyfs_core::Result<TreeSnapshot> {
    tree::snapshot(fs).await.map(TreeSnapshot::without_lazy_times)
}

/// How far a run came.
#[derive(Debug, Default)]
pub struct Progress {
    /// Operations begun.
    begun: usize,
    /// Operations acknowledged.
    acked: usize,
    /// Those up to the last acknowledged sync operation.
    synced: usize,
    /// Those up to the last sync operation that was acknowledged with everything in the store, in tier `store`.
    committed: usize,
    /// Those up to the last acknowledged checkpoint.
    in_store: usize,
    /// What the first operation that failed said.
    failure: Option<String>,
}

/// A fresh volume on a fresh machine.
///
/// # Panics
/// When it cannot be created.
pub async fn fresh(case: Case) -> Machine {
    let machine = Machine::new(Arc::new(MemStore::new()), case.setup(), 1);
    machine.create_volume().await.expect("a fresh volume");
    machine
}

/// Runs the script until it ends, an operation fails, or the machine stops.
///
/// # Panics
/// When an operation succeeds with another answer than the model's.
pub async fn run(machine: &mut Machine, expected: &Expected, fault: Fault) -> Progress {
    run_watched(machine, expected, fault, |_| {}).await
}

/// As [`run`]; `before` is told the index of each operation.
async fn run_watched(machine: &mut Machine, expected: &Expected, fault: Fault, before: impl Fn(usize)) -> Progress {
    match fault {
        Fault::None | Fault::FullDisk => {}
        Fault::Local(faults) => machine.sim.dir.calls().plan(faults),
        Fault::Store(plan) => machine.gate.plan(plan),
    }
    let mut progress = Progress::default();
    if let Err(error) = machine.open().await {
        progress.failure = Some(format!("open: {error:?}"));
        return progress;
    }
    let mut slots = Slots::new(MASK);
    for (index, op) in expected.ops.iter().enumerate() {
        if machine.stopped() {
            break;
        }
        before(index);
        machine.clock.advance_nanos(STEP_NANOS);
        progress.begun = index + 1;
        let calls = Arc::clone(machine.sim.dir.calls());
        let crashed = async {
            while !calls.stopped() {
                tokio::time::sleep(CRASH_POLL).await;
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = step(machine, &mut slots, op) => outcome,
            () = crashed => break,
        };
        match outcome {
            Ok((outcome, away)) if outcome == expected.outcomes[index] => note(&mut progress, index, op, away),
            Ok((Outcome { reply: Reply::Failed(kind), .. }, _)) => {
                progress.failure = Some(format!("operation {index}, {op:?}: {kind:?}"));
                break;
            }
            // The operation was answered as it should be, but looking at it again failed, or what follows an answer (the
            // removal of a closed orphan) did.
            Ok((Outcome { reply, after }, away))
                if reply == expected.outcomes[index].reply
                    && (after.iter().any(Result::is_err) || fault != Fault::None) =>
            {
                note(&mut progress, index, op, away);
                progress.failure = Some(format!("looking at what operation {index}, {op:?}, did"));
                break;
            }
            Ok((outcome, _)) => {
                panic!("operation {index}, {op:?}: {outcome:?} instead of {:?}", expected.outcomes[index])
            }
            Err(error) => {
                progress.failure = Some(format!("operation {index}, {op:?}: {error:?}"));
                break;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    progress
}

/// `away`: a remount left something on the disk because the store did not answer.
fn note(progress: &mut Progress, index: usize, op: &Op, away: bool) {
    progress.acked = index + 1;
    if is_sync(op) {
        progress.synced = index + 1;
    }
    if is_sync(op) && !away {
        progress.committed = index + 1;
    }
    if is_checkpoint(op) && !away {
        progress.in_store = index + 1;
    }
}

/// Runs one operation; also says whether a remount left something behind.
async fn step(machine: &mut Machine, slots: &mut Slots, op: &Op) -> proxyfs_core::Result<(Outcome, bool)> {
    let mut away = false;
    match op {
        Op::Checkpoint => match tokio::time::timeout(PATIENCE, machine.volume().checkpoint()).await {
            Ok(outcome) => outcome.map(drop)?,
            Err(_) => return Err(ErrorKind::Unavailable.into()),
        },
        Op::Remount => {
            slots.close_all(machine.volume()).await;
            away = !machine.close().await?;
            machine.open().await?;
        }
        _ => {}
    }
    Ok((apply(machine.volume(), slots, op).await, away))
}

/// Brings the machine back and checks everything. The error says what is wrong.
///
/// # Errors
/// What is wrong, in words.
pub async fn come_back(
    machine: Machine,
    expected: &Expected,
    progress: &Progress,
    case: Case,
    comeback: Comeback,
) -> Result<(), String> {
    let always = case.sync == ReplayLogSync::Always;
    let (mut back, mut floor) = match comeback {
        Comeback::Offline => {
            let back = machine.crash(Crash::ProcessKill).await;
            (offline(back, expected, progress).await?, progress.acked)
        }
        Comeback::Kill | Comeback::KillThenPowerLoss(_) => (machine.crash(Crash::ProcessKill).await, progress.acked),
        Comeback::PowerLoss(seed) => {
            let floor = if always { progress.acked } else { progress.synced };
            (machine.crash(Crash::PowerLoss { seed }).await, floor)
        }
        Comeback::NewDisk => {
            let floor = if case.tier == Tier::Store { progress.committed } else { progress.in_store };
            let machine = machine.crash(Crash::ProcessKill).await;
            (machine.another(99), floor)
        }
    };
    if !back.is_open() {
        back.open().await.map_err(|e| format!("cannot open afterwards: {e:?}"))?;
    }
    if let Comeback::KillThenPowerLoss(seed) = comeback {
        back.volume().syncfs().await.map_err(|e| format!("cannot sync afterwards: {e:?}"))?;
        back = back.crash(Crash::PowerLoss { seed }).await;
        back.open().await.map_err(|e| format!("cannot open after power loss: {e:?}"))?;
        floor = progress.acked;
    }
    let there = try_picture(back.volume()).await.map_err(|e| format!("cannot read: {e:?}"))?;
    let prefix = find_prefix(expected, &there, floor, progress.begun)?;
    check(&back).await?;
    go_on(&mut back, expected, prefix).await
}

/// Mounts without the store and looks, then lets the store come back. What was on the way into the store when the process died may
/// have arrived, so that the host's copy of the head is old: then the volume asks for another mount.
async fn offline(mut back: Machine, expected: &Expected, progress: &Progress) -> Result<Machine, String> {
    back.gate.plan(GatePlan::GoneFrom(0));
    match back.open_once().await {
        Ok(()) => {}
        // It never was open here.
        Err(error) if error.kind() == ErrorKind::Unavailable && progress.acked == 0 => {
            back.gate.plan(GatePlan::Open);
            return Ok(back);
        }
        Err(error) => return Err(format!("cannot open without the store: {error:?}")),
    }
    match try_picture(back.volume()).await {
        Ok(there) => drop(find_prefix(expected, &there, progress.acked, progress.begun)?),
        // What is in the store only cannot be read without it.
        Err(error) if error.kind() == ErrorKind::Unavailable => {}
        Err(error) => return Err(format!("cannot read without the store: {error:?}")),
    }
    back.gate.plan(GatePlan::Open);
    match back.volume().checkpoint().await {
        Ok(_) => Ok(back),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(back.crash(Crash::ProcessKill).await),
        Err(error) => Err(format!("cannot go on with the store: {error:?}")),
    }
}

/// Which prefix a picture is, between `floor` and `ceiling` operations.
fn find_prefix(expected: &Expected, there: &TreeSnapshot, floor: usize, ceiling: usize) -> Result<usize, String> {
    if let Some(found) = (floor..=ceiling).rev().find(|k| expected.pictures[*k] == *there) {
        return Ok(found);
    }
    // Before the first operation the root may have to be made again.
    if floor == 0 && expected.pictures[0].clone().without_times() == there.clone().without_times() {
        return Ok(0);
    }
    let other = expected.pictures.iter().position(|p| p == there);
    let mut text = format!("not a prefix of {floor} to {ceiling} operations, but {other:?}");
    for k in floor..=ceiling.min(floor + 1) {
        let lines = tree::diff(&expected.pictures[k], there);
        let _ = write!(text, "\n  against {k}: {}", lines.join("\n    "));
    }
    Err(text)
}

async fn check(machine: &Machine) -> Result<(), String> {
    let faults = machine.volume().check_metadata().await.map_err(|e| format!("cannot check: {e:?}"))?;
    match faults.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(format!("{} faults, the first: {first}", faults.len())),
    }
}

/// The volume must go on working as the model does from there, and survive a clean remount and a look at the bare store.
async fn go_on(machine: &mut Machine, expected: &Expected, prefix: usize) -> Result<(), String> {
    let (model, clock) = expected.model_at(prefix, elapsed_steps(machine)).await;
    let (mut model_slots, mut slots) = (Slots::new(MASK), Slots::new(MASK));
    for op in afterwards() {
        machine.clock.advance_nanos(STEP_NANOS);
        clock.advance_nanos(STEP_NANOS);
        let wanted = apply(&model, &mut model_slots, &op).await;
        let got = apply(machine.volume(), &mut slots, &op).await;
        if wanted != got {
            return Err(format!("after recovery at {prefix}: {op:?} gives {got:?}, not {wanted:?}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
    let wanted = picture(&model.restarted()).await;
    machine.volume().checkpoint().await.map_err(|e| format!("cannot checkpoint afterwards: {e:?}"))?;
    check(machine).await?;
    machine.close().await.map_err(|e| format!("cannot close afterwards: {e:?}"))?;
    machine.open().await.map_err(|e| format!("cannot open once more: {e:?}"))?;
    same(&wanted, machine, "after a remount").await?;
    machine.close().await.map_err(|e| format!("cannot close the last time: {e:?}"))?;
    reach::check_store(machine.store(), false).map_err(|e| format!("the store: {e}"))?;
    let mut reader = machine.another(7);
    reader.setup.options.read_only = true;
    reader.open().await.map_err(|e| format!("cannot open from the store: {e:?}"))?;
    same(&wanted, &reader, "from the store").await?;
    reader.close().await.map(drop).map_err(|e| format!("cannot close a reader: {e:?}"))
}

async fn same(wanted: &TreeSnapshot, machine: &Machine, when: &str) -> Result<(), String> {
    let there = try_picture(machine.volume()).await.map_err(|e| format!("cannot read {when}: {e:?}"))?;
    let lines = tree::diff(wanted, &there);
    if lines.is_empty() { Ok(()) } else { Err(format!("{when}: {}", lines.join("\n"))) }
}

fn elapsed_steps(machine: &Machine) -> u64 {
    use proxyfs_core::env::Clock;
    let start = SimClock::manual().now();
    let now = machine.clock.now();
    let nanos = (now.secs - start.secs) as u64 * 1_000_000_000 + u64::from(now.nanos) - u64::from(start.nanos);
    nanos / STEP_NANOS
}

/// Calls of a whole run: local, and to the store.
///
/// # Panics
/// When the run does not get to its end.
pub async fn count_calls(case: Case, expected: &Expected) -> (u64, u64) {
    let mut machine = fresh(case).await;
    let progress = run(&mut machine, expected, Fault::None).await;
    assert_eq!((progress.acked, progress.failure.as_deref()), (expected.ops.len(), None), "{case:?}");
    let calls = (machine.sim.dir.calls().count(), machine.gate.calls());
    come_back(machine, expected, &progress, case, Comeback::Kill).await.expect("a run without faults");
    calls
}

/// One run with a fault that must not show: every operation is answered as without it.
///
/// # Errors
/// What is wrong, in words.
pub async fn unnoticed(case: Case, expected: &Expected, fault: Fault) -> Result<(), String> {
    let mut machine = fresh(case).await;
    let progress = run(&mut machine, expected, fault).await;
    match &progress.failure {
        None => come_back(machine, expected, &progress, case, Comeback::Kill)
            .await
            .map_err(|e| format!("{case:?} {fault:?}: {e}")),
        Some(failure) => Err(format!("{case:?} {fault:?}: {failure}")),
    }
}

/// One run whose disk has only `room` bytes left from operation `at` on. It goes on until an operation fails; then there is room
/// again, and the volume is started anew. Whether one failed.
///
/// # Errors
/// What is wrong, in words.
pub async fn full_disk(case: Case, expected: &Expected, at: usize, room: u64) -> Result<bool, String> {
    let mut machine = fresh(case).await;
    let dir = Arc::clone(&machine.sim.dir);
    let fill = |index| {
        if index == at {
            dir.set_room(Some(room));
        }
    };
    let progress = run_watched(&mut machine, expected, Fault::FullDisk, fill).await;
    dir.set_room(None);
    let failed = progress.failure.is_some();
    let text = |e| format!("{case:?}, {room} bytes left at operation {at}, {:?}: {e}", progress.failure);
    if failed {
        look_while_failed(&machine, expected, &progress).await.map_err(text)?;
    }
    come_back(machine, expected, &progress, case, Comeback::Kill).await.map_err(text)?;
    Ok(failed)
}

/// One run with a fault and a comeback.
///
/// # Errors
/// What is wrong, in words.
pub async fn one(case: Case, expected: &Expected, fault: Fault, comeback: Comeback) -> Result<(), String> {
    let mut machine = fresh(case).await;
    let progress = run(&mut machine, expected, fault).await;
    if progress.failure.is_some() && !machine.stopped() {
        look_while_failed(&machine, expected, &progress).await?;
    }
    let text = |e| {
        format!(
            "{case:?} {fault:?} {comeback:?} after {} of {} operations ({:?}): {e}",
            progress.acked, progress.begun, progress.failure
        )
    };
    come_back(machine, expected, &progress, case, comeback).await.map_err(text)
}

/// With the fault still there, what can be read is right.
async fn look_while_failed(machine: &Machine, expected: &Expected, progress: &Progress) -> Result<(), String> {
    if !machine.is_open() {
        return Ok(());
    }
    let Ok(there) = try_picture(machine.volume()).await else { return Ok(()) };
    find_prefix(expected, &there, progress.acked, progress.begun).map(drop).map_err(|e| format!("while failing: {e}"))
}
