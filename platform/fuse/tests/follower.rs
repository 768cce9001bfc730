//! A mounted follower: what the kernel remembers is forgotten when another checkpoint is shown.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "a test program")]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Lab, can_mount};
use proxyfs_core::config::{EngineOptions, VolumeOptions};
use proxyfs_core::engine::Engine;
use proxyfs_core::fs::{Caller, FileSystem, OpenFlags, WriteFlags};
use proxyfs_core::store::ObjectStore;
use proxyfs_core::types::Ino;
use proxyfs_core::volume::{Volume, VolumeSpec, create_volume};
use proxyfs_fuse::MountOptions;
use proxyfs_harness::sim::{SimEnv, SimStore};
use tokio::runtime::{Builder, Runtime};

/// How long the kernel may take to forget: less than an absent name is remembered for.
const FORGETS: Duration = Duration::from_secs(5);

/// A writer, and a mounted follower whose kernel is allowed to remember everything for an hour.
struct Pair {
    writer: Volume,
    follower: Volume,
    lab: Lab<Volume>,
    runtime: Runtime,
}

impl Pair {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let (writer, follower) = runtime.block_on(async {
            let store: Arc<dyn ObjectStore> = Arc::new(SimStore::default());
            let env = SimEnv::new(1).env();
            let timeout = Duration::from_secs(10);
            create_volume(&store, VolumeSpec::new("v"), &*env.clock, &*env.rng, None, timeout).await.expect("created");
            let open = async |env, read_only| {
                let options = VolumeOptions { read_only, follow_interval: Duration::ZERO, ..VolumeOptions::default() };
                let engine = Engine::new(&EngineOptions { memory_budget: 64 << 20 });
                Volume::open(engine, env, Arc::clone(&store), options).await.expect("open")
            };
            let writer = open(env, false).await;
            write(&writer, "file", b"before").await;
            write(&writer, "gone", b"gone").await;
            writer.checkpoint().await.expect("checkpoint");
            (writer, open(SimEnv::new(2).env(), true).await)
        });
        let options = MountOptions { read_only: true, ..MountOptions::default() };
        let lab = Lab::mount(follower.clone(), options);
        Self { writer, follower, lab, runtime }
    }

    /// Shows the writer's present state on the follower.
    fn publish(&self) {
        self.runtime.block_on(async {
            self.writer.checkpoint().await.expect("checkpoint");
            assert!(self.follower.refresh().await.expect("refresh"), "there is a newer checkpoint");
        });
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.lab.path(name)).ok()
    }
}

async fn write(volume: &Volume, name: &str, content: &[u8]) {
    let flags = OpenFlags { read: true, write: true, ..OpenFlags::default() };
    let created = volume.create(Caller::default(), Ino::ROOT, name.as_bytes(), 0o644, 0, flags).await;
    let (_, handle) = created.expect("create");
    let content = bytes::Bytes::copy_from_slice(content);
    volume.write(handle, 0, content, WriteFlags::default()).await.expect("write");
    volume.release(handle, None).await.expect("release");
}

/// Looks until the kernel shows it.
fn shows(what: &str, mut seen: impl FnMut() -> bool) {
    let limit = Instant::now() + FORGETS;
    while !seen() {
        assert!(Instant::now() < limit, "the kernel still remembers: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_kernel_forgets_what_a_new_checkpoint_changed() {
    if !can_mount("the_kernel_forgets_what_a_new_checkpoint_changed") {
        return;
    }
    let pair = Pair::new();
    assert_eq!(pair.read("file").expect("there"), b"before");
    assert_eq!(pair.read("gone").expect("there"), b"gone");
    assert_eq!(pair.read("new"), None);
    pair.runtime.block_on(async {
        write(&pair.writer, "file", b"after!").await;
        write(&pair.writer, "new", b"new").await;
        pair.writer.unlink(Caller::default(), Ino::ROOT, b"gone").await.expect("unlink");
    });
    pair.publish();
    shows("content", || pair.read("file").expect("there") == b"after!");
    shows("an absent name", || pair.read("new").is_some_and(|content| content == b"new"));
    shows("a removed name", || pair.read("gone").is_none());
    let set = proxyfs_core::fs::SetAttr { perm: Some(0o600), ..Default::default() };
    let mode = || fs::metadata(pair.lab.path("file")).expect("there").mode() & 0o777;
    assert_eq!(mode(), 0o644);
    pair.runtime.block_on(async {
        let ino = pair.writer.lookup(Ino::ROOT, b"file").await.expect("lookup").ino;
        pair.writer.setattr(Caller::default(), ino, set).await.expect("setattr");
    });
    pair.publish();
    shows("attributes", || mode() == 0o600);
}

#[test]
fn the_kernel_forgets_everything_after_a_change_too_large_to_be_listed() {
    if !can_mount("the_kernel_forgets_everything_after_a_change_too_large_to_be_listed") {
        return;
    }
    let pair = Pair::new();
    pair.runtime.block_on(async {
        pair.writer.mkdir(Caller::default(), Ino::ROOT, b"dir", 0o755, 0).await.expect("mkdir");
    });
    pair.publish();
    shows("an absent directory", || pair.lab.path("dir").exists());
    assert_eq!(fs::read_dir(pair.lab.path("dir")).expect("a listing").count(), 0);
    assert!(!pair.lab.path("dir/7").exists());
    assert_eq!(pair.read("gone").expect("there"), b"gone");
    pair.runtime.block_on(async {
        let dir = pair.writer.lookup(Ino::ROOT, b"dir").await.expect("lookup").ino;
        for i in 0..10_100 {
            let name = i.to_string();
            pair.writer.mkdir(Caller::default(), dir, name.as_bytes(), 0o755, 0).await.expect("mkdir");
        }
        pair.writer.unlink(Caller::default(), Ino::ROOT, b"gone").await.expect("unlink");
    });
    pair.publish();
    shows("an absent name in a directory", || pair.lab.path("dir/7").exists());
    shows("a removed name", || pair.read("gone").is_none());
    assert_eq!(fs::read_dir(pair.lab.path("dir")).expect("a listing").count(), 10_100);
}
