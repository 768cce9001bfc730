//! What changes without Windows' doing is told to Windows: a follower that moves on to another checkpoint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proxyfs_core::config::{EngineOptions, VolumeOptions};
use proxyfs_core::engine::Engine;
use proxyfs_core::fs::{Caller, FileSystem, OpenFlags, WriteFlags};
use proxyfs_core::store::ObjectStore;
use proxyfs_core::types::Ino;
use proxyfs_core::volume::{Volume, VolumeSpec, create_volume};
use proxyfs_harness::sim::{SimEnv, SimStore};
use proxyfs_winfsp::drive::{Happened, Notice};
use proxyfs_winfsp::{MountOptions, Mounted, Status};
use proxyfs_winfsp_double::{Create, Device, Notification, right};

use crate::world::{PATIENCE, World, mount_fs, options, run, runtime, status};

const ADDED: u32 = 1;
const REMOVED: u32 = 2;
const MODIFIED: u32 = 3;
const FILE_NAME: u32 = 1;
const DIR_NAME: u32 = 2;

/// A writer, and a mounted follower.
struct Pair {
    writer: Volume,
    follower: Volume,
    mounted: Mounted,
    device: Arc<Device>,
}

impl Pair {
    fn new() -> Self {
        let (writer, follower) = runtime().block_on(async {
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
            writer.mkdir(Caller::default(), Ino::ROOT, b"dir", 0o755, 0).await.expect("mkdir");
            write(&writer, "file", b"before").await;
            write(&writer, "gone", b"gone").await;
            writer.checkpoint().await.expect("checkpoint");
            (writer, open(SimEnv::new(2).env(), true).await)
        });
        let own = MountOptions { read_only: true, ..options(false) };
        let (mounted, device) = mount_fs(Arc::new(follower.clone()), own);
        Self { writer, follower, mounted, device }
    }

    fn publish(&self) {
        runtime().block_on(async {
            self.writer.checkpoint().await.expect("checkpoint");
            assert!(self.follower.refresh().await.expect("refresh"), "there is a newer checkpoint");
        });
    }

    /// Waits until the driver has been told of a path.
    fn told_of(&self, path: &str) -> Notification {
        let deadline = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        while Instant::now() < deadline {
            all.extend(self.device.take_notifications());
            if let Some(told) = all.iter().find(|told: &&Notification| told.path == path) {
                return told.clone();
            }
            std::thread::yield_now();
        }
        panic!("nothing was told of {path}: {all:?}");
    }

    fn end(self) {
        runtime().block_on(async {
            self.mounted.unmount(PATIENCE).await.expect("unmounted");
            self.follower.abandon().await;
            self.writer.abandon().await;
        });
    }
}

async fn write(volume: &Volume, name: &str, content: &[u8]) {
    let flags = OpenFlags { read: true, write: true, ..OpenFlags::default() };
    let created = volume.create(Caller::default(), Ino::ROOT, name.as_bytes(), 0o644, 0, flags).await;
    let (_, handle) = created.expect("create");
    volume.write(handle, 0, bytes::Bytes::copy_from_slice(content), WriteFlags::default()).await.expect("write");
    volume.release(handle, None).await.expect("release");
}

#[test]
fn new_and_removed_names_are_told() {
    let pair = Pair::new();
    runtime().block_on(async {
        write(&pair.writer, "new", b"new").await;
        pair.writer.unlink(Caller::default(), Ino::ROOT, b"gone").await.expect("unlink");
        pair.writer.mkdir(Caller::default(), Ino::ROOT, b"newdir", 0o755, 0).await.expect("mkdir");
    });
    pair.publish();
    let told = pair.told_of("\\new");
    assert_eq!((told.action, told.filter), (ADDED, FILE_NAME));
    pair.end();
    let pair = Pair::new();
    runtime().block_on(async {
        pair.writer.unlink(Caller::default(), Ino::ROOT, b"gone").await.expect("unlink");
    });
    pair.publish();
    assert_eq!(pair.told_of("\\gone").action, REMOVED);
    pair.end();
}

#[test]
fn a_new_name_in_a_directory_that_nobody_has_open_is_told_with_its_path() {
    let pair = Pair::new();
    runtime().block_on(async {
        let dir = pair.writer.lookup(Ino::ROOT, b"dir").await.expect("lookup").ino;
        pair.writer.mkdir(Caller::default(), dir, b"below", 0o755, 0).await.expect("mkdir");
    });
    pair.publish();
    let told = pair.told_of("\\dir\\below");
    assert_eq!((told.action, told.filter), (ADDED, DIR_NAME));
    pair.end();
}

#[test]
fn an_open_file_that_changed_is_told_and_shows_its_new_content() {
    let pair = Pair::new();
    let how = Create { access: right::READ, ..Create::default() };
    let file = pair.device.create("\\file", &how).unwrap_or_else(|s| panic!("{}", Status(s)));
    assert_eq!(file.read(0, 100), Ok(b"before".to_vec()));
    runtime().block_on(write(&pair.writer, "file", b"afterwards"));
    pair.publish();
    assert_eq!(pair.told_of("\\file").action, MODIFIED);
    assert_eq!(file.read(0, 100), Ok(b"afterwards".to_vec()));
    file.close().unwrap();
    pair.end();
}

#[test]
fn notices_by_hand_arrive_in_order_and_in_batches() {
    let world = World::model();
    run(world, |w| {
        let path = |n: usize| format!("\\dir\\{}{n:04}", "long".repeat(10));
        let notices: Vec<Notice> =
            (0..1000).map(|n| Notice { path: path(n).encode_utf16().collect(), happened: Happened::Changed }).collect();
        w.mounted.notifier().tell(&notices).unwrap();
        let told: Vec<String> = w.device.take_notifications().into_iter().map(|told| told.path).collect();
        assert_eq!(told, (0..1000).map(path).collect::<Vec<_>>());
    });
}

#[test]
fn after_the_end_nobody_is_told() {
    let world = World::model();
    let (notifier, device) = (world.mounted.notifier(), Arc::clone(&world.device));
    run(world, |_| ());
    let notice = Notice { path: vec![u16::from(b'\\')], happened: Happened::Removed };
    assert_eq!(notifier.tell(&[notice]), Ok(()));
    assert!(device.take_notifications().is_empty());
}

#[test]
fn a_read_only_mount_refuses_changes_with_the_code_of_a_protected_medium() {
    let pair = Pair::new();
    let how = Create { disposition: proxyfs_winfsp_double::disposition::CREATE, ..Create::default() };
    let refused = status(pair.device.create("\\made", &how));
    assert!([Status::MEDIA_WRITE_PROTECTED, Status::ACCESS_DENIED].contains(&refused), "{refused}");
    assert_eq!(pair.device.params().ReadOnlyVolume(), 1, "the driver refuses it before");
    pair.end();
}
