//! Two engines as one file system: a volume and the companion with its local-only files.

use std::sync::Arc;

use proxyfs_core::Result;
use proxyfs_core::env::Clock;
use proxyfs_core::local_only::LocalOnly;
use proxyfs_core::store::ObjectStore;
use proxyfs_core::volume::Volume;
use proxyfs_harness::diff::Subject;
use proxyfs_harness::sim::SimEnv;

use crate::{EngineSubject, Setup};

/// Both engines open, each on a machine of its own.
#[derive(Debug)]
pub struct LocalOnlySubject {
    shown: Option<LocalOnly<Volume, Volume>>,
    volume: EngineSubject,
    companion: EngineSubject,
}

impl LocalOnlySubject {
    /// Creates both in empty stores and opens them. `clock`: the one that the model reads too, if any.
    ///
    /// # Errors
    /// The engine's.
    pub async fn create(
        seed: u64,
        clock: Option<Arc<dyn Clock>>,
        stores: [Arc<dyn ObjectStore>; 2],
        setup: Setup,
    ) -> Result<Self> {
        let [store, local] = stores;
        let volume = EngineSubject::create(SimEnv::new(seed), clock.clone(), store, setup.clone()).await?;
        let companion = EngineSubject::create(SimEnv::new(!seed), clock, local, setup).await?;
        let mut subject = Self { shown: None, volume, companion };
        subject.show();
        Ok(subject)
    }

    /// Ends both as a killed process ends, and opens them again.
    ///
    /// # Errors
    /// The engine's.
    pub async fn kill(&mut self) -> Result<()> {
        self.shown = None;
        self.volume.kill().await?;
        self.companion.kill().await?;
        self.show();
        Ok(())
    }

    fn show(&mut self) {
        let (volume, companion) = (self.volume.volume().clone(), self.companion.volume().clone());
        let case = volume.meta().case;
        self.shown = Some(LocalOnly::new(volume, companion, case));
    }
}

impl Subject for LocalOnlySubject {
    type Fs = LocalOnly<Volume, Volume>;

    /// # Panics
    /// After a remount that failed.
    fn fs(&self) -> &Self::Fs {
        self.shown.as_ref().expect("both are open")
    }

    async fn checkpoint(&mut self) -> Result<()> {
        self.volume.checkpoint().await?;
        self.companion.checkpoint().await
    }

    async fn remount(&mut self) -> Result<()> {
        self.shown = None;
        self.volume.remount().await?;
        self.companion.remount().await?;
        self.show();
        Ok(())
    }

    async fn drop_caches(&mut self) -> Result<()> {
        self.volume.drop_caches().await?;
        self.companion.drop_caches().await
    }
}
