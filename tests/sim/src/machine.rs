//! One computer with the volume open: a simulated disk, a clock, and a gate to the store.

use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::config::{EngineOptions, ReplayLogSync, VolumeOptions};
use proxyfs_core::engine::Engine;
use proxyfs_core::env::{Clock, Env};
use proxyfs_core::format::Tier;
use proxyfs_core::store::ObjectStore;
use proxyfs_core::volume::{Volume, VolumeSpec, create_volume};
use proxyfs_core::{ErrorKind, Result};
use proxyfs_harness::sim::{Crash, SimClock, SimDir, SimEnv, SimRng};
use proxyfs_store::MemStore;

use crate::gate::{Conditional, GateStore};

/// How long a close may take.
pub const PATIENCE: Duration = Duration::from_secs(100);
/// Attempts of an open that finds the store unavailable.
const OPEN_ATTEMPTS: usize = 5;

/// The settle time: longer than any put through a gate takes.
const SETTLE: Duration = Duration::from_millis(20);

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Memory of the engine in bytes.
    pub memory_budget: u64,
    /// The volume's options.
    pub options: VolumeOptions,
    /// What the volume is.
    pub spec: VolumeSpec,
    /// What the store makes of conditional puts.
    pub conditional: Conditional,
}

impl Setup {
    /// Small segments and frames, checkpoints every few operations: much happens in few calls.
    #[must_use]
    pub fn busy(tier: Tier, sync: ReplayLogSync) -> Self {
        let options = VolumeOptions {
            replay_log_sync: sync,
            max_flush_size: 64 << 10,
            max_flush_time: Duration::from_millis(15),
            checkpoint_interval: Duration::from_millis(40),
            delete_grace: Duration::ZERO,
            ..VolumeOptions::default()
        };
        let spec = VolumeSpec { tier, frame_size: 4 << 10, ..VolumeSpec::new("sim") };
        Self { memory_budget: 16 << 20, options, spec, conditional: Conditional::Atomic }
    }

    /// On a store whose conditional puts are `conditional`, with the opt-in that this needs.
    #[must_use]
    pub fn settling(self, conditional: Conditional) -> Self {
        let options = VolumeOptions { settle: Some(SETTLE), ..self.options };
        Self { conditional, options, ..self }
    }

    /// The engine's defaults.
    #[must_use]
    pub fn ordinary(tier: Tier) -> Self {
        let spec = VolumeSpec { tier, ..VolumeSpec::new("sim") };
        Self { memory_budget: 64 << 20, options: VolumeOptions::default(), spec, conditional: Conditional::Atomic }
    }
}

/// A computer.
#[derive(Debug)]
pub struct Machine<S = MemStore> {
    /// Its disk, and randomness.
    pub sim: SimEnv,
    /// Its clock, which stands still unless told.
    pub clock: Arc<SimClock>,
    /// Its way to the store.
    pub gate: Arc<GateStore<S>>,
    /// How it opens the volume.
    pub setup: Setup,
    store: Arc<S>,
    volume: Option<Volume>,
}

impl<S: ObjectStore + 'static> Machine<S> {
    /// A computer with an empty disk.
    #[must_use]
    pub fn new(store: Arc<S>, setup: Setup, seed: u64) -> Self {
        let sim = SimEnv::new(seed);
        Self::on(sim, Arc::new(SimClock::manual()), store, setup)
    }

    fn on(sim: SimEnv, clock: Arc<SimClock>, store: Arc<S>, setup: Setup) -> Self {
        let gate = Arc::new(GateStore::new(Arc::clone(&store), Arc::clone(sim.dir.calls()), setup.conditional));
        Self { sim, clock, gate, setup, store, volume: None }
    }

    /// Creates the volume, past the gate.
    ///
    /// # Errors
    /// The engine's.
    pub async fn create_volume(&self) -> Result<()> {
        let store: Arc<dyn ObjectStore> = Arc::clone(&self.store) as _;
        let env = self.env();
        let timeout = self.setup.options.operation_timeout;
        create_volume(&store, self.setup.spec.clone(), &*env.clock, &*env.rng, None, timeout).await.map(drop)
    }

    /// What the engine sees of the computer.
    #[must_use]
    pub fn env(&self) -> Env {
        Env { clock: Arc::clone(&self.clock) as Arc<dyn Clock>, ..self.sim.env() }
    }

    /// Opens the volume once.
    ///
    /// # Errors
    /// The engine's.
    pub async fn open_once(&mut self) -> Result<()> {
        let engine = Engine::new(&EngineOptions { memory_budget: self.setup.memory_budget });
        let store = Arc::clone(&self.gate) as Arc<dyn ObjectStore>;
        self.volume = Some(Volume::open(engine, self.env(), store, self.setup.options.clone()).await?);
        Ok(())
    }

    /// Opens the volume, again if the store or the disk failed for a moment.
    ///
    /// # Errors
    /// The engine's.
    pub async fn open(&mut self) -> Result<()> {
        let mut attempts = 0;
        loop {
            match self.open_once().await {
                Err(error)
                    if attempts < OPEN_ATTEMPTS
                        && !self.stopped()
                        && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Io | ErrorKind::Interrupted) =>
                {
                    attempts += 1;
                }
                other => return other,
            }
        }
    }

    /// Whether the simulated crash has happened.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.sim.dir.calls().stopped()
    }

    /// The open volume.
    ///
    /// # Panics
    /// When it is not open.
    #[must_use]
    pub fn volume(&self) -> &Volume {
        self.volume.as_ref().expect("the volume is open")
    }

    /// Whether the volume is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.volume.is_some()
    }

    /// Closes the volume. Whether everything is in the store.
    ///
    /// # Errors
    /// The engine's.
    pub async fn close(&mut self) -> Result<bool> {
        match self.volume.take() {
            Some(volume) => volume.close(PATIENCE).await.map(|report| report.in_store),
            None => Ok(true),
        }
    }

    /// The process dies, if the machine has not stopped already. Gives the machine as it starts again.
    pub async fn crash(mut self, crash: Crash) -> Self {
        self.gate.stop_machine();
        if let Some(volume) = self.volume.take() {
            volume.abandon().await;
        }
        Self::on(self.sim.crashed(crash), self.clock, self.store, self.setup)
    }

    /// Another machine with an empty disk, which takes the volume over.
    #[must_use]
    pub fn another(&self, seed: u64) -> Self {
        let mut setup = self.setup.clone();
        setup.options.take_over = true;
        setup.options.owner = format!("machine {seed}");
        let sim = SimEnv {
            dir: Arc::new(SimDir::new()),
            clock: Arc::clone(&self.sim.clock),
            rng: Arc::new(SimRng::new(seed)),
        };
        Self::on(sim, Arc::clone(&self.clock), Arc::clone(&self.store), setup)
    }

    /// Another machine with a copy of this one's disk as it is.
    #[must_use]
    pub fn cloned(&self, seed: u64) -> Self {
        let mut other = self.sim.crashed(Crash::ProcessKill);
        other.rng = Arc::new(SimRng::new(seed));
        Self::on(other, Arc::clone(&self.clock), Arc::clone(&self.store), self.setup.clone())
    }

    /// The raw store.
    #[must_use]
    pub fn store(&self) -> &Arc<S> {
        &self.store
    }
}
