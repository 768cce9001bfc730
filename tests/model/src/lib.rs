//! An engine on a simulated machine and an in-memory store, ready to be compared with the reference model.
//!
//! Owns the life of such an engine across remounts. What is compared, and how, is the harness's.

pub mod fuzzing;
pub mod local_only;

use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::Result;
use proxyfs_core::config::{EngineOptions, VolumeOptions};
use proxyfs_core::engine::Engine;
use proxyfs_core::env::{Clock, Env};
use proxyfs_core::format::Tier;
use proxyfs_core::store::ObjectStore;
use proxyfs_core::volume::{Volume, VolumeSpec, create_volume};
use proxyfs_harness::diff::Subject;
use proxyfs_harness::sim::SimEnv;

/// How long a close may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Deadline of the creation's store operations.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How the engine under test is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Memory of the engine in bytes: small ones force eviction.
    pub memory_budget: u64,
    /// The volume's options.
    pub volume: VolumeOptions,
    /// What the volume is.
    pub spec: VolumeSpec,
}

impl Setup {
    /// Ordinary budgets.
    #[must_use]
    pub fn new(tier: Tier) -> Self {
        let spec = VolumeSpec { tier, ..VolumeSpec::new("model") };
        Self { memory_budget: 64 << 20, volume: VolumeOptions::default(), spec }
    }

    /// Budgets so small that pages and frames are evicted all the time, and segments are sealed after a few writes.
    #[must_use]
    pub fn tiny(tier: Tier) -> Self {
        let mut setup = Self::new(tier);
        setup.memory_budget = 256 << 10;
        setup.volume.max_flush_size = 64 << 10;
        setup.spec.frame_size = 4 << 10;
        setup
    }
}

/// An open engine on a simulated machine.
#[derive(Debug)]
pub struct EngineSubject {
    /// The machine.
    pub sim: SimEnv,
    env: Env,
    store: Arc<dyn ObjectStore>,
    setup: Setup,
    volume: Option<Volume>,
}

impl EngineSubject {
    /// Creates a volume in `store` and opens it. `clock`: the one that the model reads too, if any.
    ///
    /// # Errors
    /// The engine's.
    pub async fn create(
        sim: SimEnv,
        clock: Option<Arc<dyn Clock>>,
        store: Arc<dyn ObjectStore>,
        setup: Setup,
    ) -> Result<Self> {
        let mut env = sim.env();
        if let Some(clock) = clock {
            env.clock = clock;
        }
        create_volume(&store, setup.spec.clone(), &*env.clock, &*env.rng, None, TIMEOUT).await?;
        let mut subject = Self { sim, env, store, setup, volume: None };
        subject.open().await?;
        Ok(subject)
    }

    /// Opens the volume on the machine as it is.
    ///
    /// # Errors
    /// The engine's.
    pub async fn open(&mut self) -> Result<()> {
        let engine = Engine::new(&EngineOptions { memory_budget: self.setup.memory_budget });
        let options = self.setup.volume.clone();
        self.volume = Some(Volume::open(engine, self.env.clone(), Arc::clone(&self.store), options).await?);
        Ok(())
    }

    /// Ends the engine as a killed process ends, and opens the volume again.
    ///
    /// # Errors
    /// The engine's.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(volume) = self.volume.take() {
            volume.abandon().await;
        }
        self.open().await
    }

    /// The open volume.
    ///
    /// # Panics
    /// When it is closed.
    #[must_use]
    pub fn volume(&self) -> &Volume {
        self.volume.as_ref().expect("the volume is open")
    }
}

impl Subject for EngineSubject {
    type Fs = Volume;

    fn fs(&self) -> &Volume {
        self.volume()
    }

    async fn checkpoint(&mut self) -> Result<()> {
        self.volume().checkpoint().await.map(drop)
    }

    async fn remount(&mut self) -> Result<()> {
        if let Some(volume) = self.volume.take() {
            volume.close(PATIENCE).await?;
        }
        self.open().await
    }

    async fn drop_caches(&mut self) -> Result<()> {
        self.volume().drop_caches();
        Ok(())
    }
}
