//! A volume in memory that can be opened, closed, crashed and damaged.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proxyfs_core::Result;
use proxyfs_core::config::{EngineOptions, VolumeOptions};
use proxyfs_core::engine::Engine;
use proxyfs_core::format::{Layout, Tier};
use proxyfs_core::fs::{Caller, FileSystem, OpenFlags, WriteFlags};
use proxyfs_core::fsck::{FsckOptions, FsckReport, check_volume};
use proxyfs_core::store::{ObjectKey, ObjectStore, PutMode};
use proxyfs_core::types::Ino;
use proxyfs_core::volume::{Volume, VolumeSpec, create_volume};
use proxyfs_harness::sim::{Crash, SimEnv};
use proxyfs_store::MemStore;

const PATIENCE: Duration = Duration::from_secs(600);
const TIMEOUT: Duration = Duration::from_secs(60);

/// A runtime whose clock only moves when nothing else does.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("runtime")
}

/// A computer with a volume in a store in memory.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) sim: SimEnv,
    pub(crate) store: Arc<MemStore>,
    pub(crate) options: VolumeOptions,
    pub(crate) memory: u64,
}

impl Machine {
    /// A new computer and a new volume with small frames.
    pub(crate) async fn create(seed: u64, tier: Tier) -> Self {
        let layout = VolumeSpec::new("").layout;
        Self::create_with(seed, tier, layout).await
    }

    /// The same with a placement of objects.
    pub(crate) async fn create_with(seed: u64, tier: Tier, layout: Layout) -> Self {
        let sim = SimEnv::new(seed);
        let store = Arc::new(MemStore::new());
        let env = sim.env();
        let spec = VolumeSpec { tier, frame_size: 4 << 10, layout, ..VolumeSpec::new("checked") };
        let options = VolumeOptions { max_flush_size: 64 << 10, ..VolumeOptions::default() };
        let machine = Self { sim, store, options, memory: 64 << 20 };
        create_volume(&machine.dyn_store(), spec, &*env.clock, &*env.rng, None, TIMEOUT).await.expect("a new volume");
        machine
    }

    pub(crate) fn dyn_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store) as _
    }

    pub(crate) async fn open(&self) -> Result<Volume> {
        let engine = Engine::new(&EngineOptions { memory_budget: self.memory });
        Volume::open(engine, self.sim.env(), self.dyn_store(), self.options.clone()).await
    }

    pub(crate) async fn close(&self, volume: Volume) {
        volume.close(PATIENCE).await.expect("close");
    }

    /// Checks the volume, data included.
    pub(crate) async fn fsck(&self) -> FsckReport {
        check_volume(&self.dyn_store(), &FsckOptions { data: true, ..FsckOptions::default() }).await.expect("a check")
    }

    /// The same computer, killed, with a store of its own that holds the same objects.
    pub(crate) async fn copy(&self) -> Self {
        let store = Arc::new(MemStore::new());
        for (key, content) in self.store.dump() {
            store.put(&key, vec![content], PutMode::Fresh).await.expect("memory");
        }
        Self { sim: self.sim.crashed(Crash::ProcessKill), store, ..self.clone() }
    }

    /// A computer that has never seen the volume.
    pub(crate) async fn elsewhere(&self, seed: u64) -> Self {
        Self { sim: SimEnv::new(seed), ..self.copy().await }
    }

    pub(crate) fn damage(&self, key: &ObjectKey, content: Vec<u8>) {
        self.store.overwrite(key.clone(), Bytes::from(content));
    }
}

/// Makes a file and writes it.
pub(crate) async fn write_file(volume: &Volume, parent: Ino, name: &str, content: &[u8]) -> Ino {
    let flags = OpenFlags { read: true, write: true, ..OpenFlags::default() };
    let (attr, handle) =
        volume.create(Caller::default(), parent, name.as_bytes(), 0o644, 0, flags).await.expect("create");
    let content = Bytes::copy_from_slice(content);
    volume.write(handle, 0, content, WriteFlags::default()).await.expect("write");
    volume.release(handle, None).await.expect("release");
    attr.ino
}

pub(crate) async fn mkdir(volume: &Volume, parent: Ino, name: &str) -> Ino {
    volume.mkdir(Caller::default(), parent, name.as_bytes(), 0o755, 0).await.expect("mkdir").ino
}

/// Bytes that do not compress and differ by seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |state: &mut u64| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 32) as u8
    };
    (0..len).map(|_| step(&mut state)).collect()
}
