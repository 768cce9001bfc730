//! Mounting and unmounting: places, presentation, refusals, ends.

use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::ErrorKind;
use proxyfs_harness::model::Model;
use proxyfs_winfsp::{MountOptions, MountPoint, Presentation, Status, UnmountKind, check, mount};
use proxyfs_winfsp_double::{Create, Device, dos_devices, install};

use crate::world::{PATIENCE, World, options, runtime, status};

fn mounted_at(point: &MountPoint, own: MountOptions) -> (proxyfs_winfsp::Mounted, Arc<Device>) {
    install();
    let mounted = mount(Arc::new(Model::default()), point, own, runtime().handle()).expect("mounted");
    (mounted, Device::last_of_this_thread().expect("a device"))
}

fn prefix(device: &Device) -> String {
    String::from_utf16_lossy(&device.params().Prefix).trim_end_matches('\0').to_owned()
}

#[test]
fn a_drive_letter_is_taken_and_given_back() {
    let (mounted, _device) = mounted_at(&MountPoint::Drive('Q'), options(false));
    assert_eq!(mounted.mount_point().to_str(), Some("Q:"));
    assert!(dos_devices().contains(&("Q:".to_owned(), true)));
    assert_eq!(runtime().block_on(mounted.unmount(PATIENCE)).unwrap(), UnmountKind::Clean);
    assert!(dos_devices().contains(&("Q:".to_owned(), false)));
    assert!(mounted.has_ended());
}

#[test]
fn the_last_free_letter_is_found() {
    let (mounted, _device) = mounted_at(&MountPoint::NextFree, options(false));
    let place = mounted.mount_point().to_str().unwrap().to_owned();
    assert!(place.len() == 2 && place.ends_with(':'), "{place}");
    runtime().block_on(mounted.unmount(PATIENCE)).unwrap();
}

#[test]
fn a_network_drive_has_a_server_and_a_local_disk_has_none() {
    let own = MountOptions { name: "photos".to_owned(), ..options(false) };
    let (mounted, device) = mounted_at(&MountPoint::Drive('X'), own.clone());
    assert_eq!(prefix(&device), r"\proxyfs\photos");
    runtime().block_on(mounted.unmount(PATIENCE)).unwrap();
    let own = MountOptions { presentation: Presentation::LocalDisk, ..own };
    let (mounted, device) = mounted_at(&MountPoint::Drive('X'), own);
    assert_eq!(prefix(&device), "");
    runtime().block_on(mounted.unmount(PATIENCE)).unwrap();
}

#[test]
fn a_share_needs_no_letter() {
    let point: MountPoint = r"\\nas\photos".parse().unwrap();
    let (mounted, device) = mounted_at(&point, options(false));
    assert_eq!(prefix(&device), r"\nas\photos");
    assert_eq!(mounted.mount_point().to_str(), Some(r"\\nas\photos"));
    device.create("\\", &Create::default()).unwrap().close().unwrap();
    runtime().block_on(mounted.unmount(PATIENCE)).unwrap();
}

#[test]
fn places_that_are_taken_are_refused_with_what_to_do() {
    install();
    // Under Wine and on Windows there is a C:.
    let taken = check(&MountPoint::Drive('C'), &options(false)).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Busy);
    assert!(taken.to_string().contains("choose another"), "{taken}");
    let dir = tempfile::tempdir().unwrap();
    let there = MountPoint::Directory(dir.path().to_owned());
    assert_eq!(check(&there, &options(false)).unwrap_err().kind(), ErrorKind::Busy);
    let nowhere = MountPoint::Directory(dir.path().join("missing").join("place"));
    assert_eq!(check(&nowhere, &options(false)).unwrap_err().kind(), ErrorKind::NotFound);
    check(&MountPoint::Directory(dir.path().join("place")), &options(false)).unwrap();
    check(&MountPoint::Drive('Q'), &options(false)).unwrap();
}

#[test]
fn a_read_only_mount_says_so_to_the_driver() {
    let own = MountOptions { read_only: true, ..options(false) };
    let (mounted, device) = mounted_at(&MountPoint::Drive('X'), own);
    assert_eq!(device.params().ReadOnlyVolume(), 1);
    runtime().block_on(mounted.unmount(PATIENCE)).unwrap();
}

#[test]
fn open_files_are_waited_for_and_then_cut_off() {
    let world = World::model();
    world.make("\\f", "x");
    let file = world.open("\\f");
    let kind = runtime().block_on(world.mounted.unmount(Duration::from_millis(50))).unwrap();
    assert_eq!(kind, UnmountKind::Detached);
    assert_eq!(status(file.read(0, 1)), Status::CANCELLED);
    assert_eq!(world.mounted.open_files(), 0);
}

#[test]
fn an_unmount_waits_until_the_last_file_is_closed() {
    let world = World::model();
    world.make("\\f", "x");
    let file = world.open("\\f");
    let unmounting = runtime().spawn({
        let mounted = world.mounted;
        async move { mounted.unmount(PATIENCE).await }
    });
    file.write(0, b"last words").unwrap();
    file.close().unwrap();
    assert_eq!(runtime().block_on(unmounting).unwrap().unwrap(), UnmountKind::Clean);
}

#[test]
fn unmounting_twice_is_fine() {
    let world = World::model();
    for _ in 0..2 {
        assert_eq!(runtime().block_on(world.mounted.unmount(PATIENCE)).unwrap(), UnmountKind::Clean);
    }
    runtime().block_on(world.mounted.finish(PATIENCE));
}

#[test]
fn an_end_from_the_drivers_side_is_noticed() {
    let world = World::model();
    world.make("\\f", "x");
    let file = world.open("\\f");
    world.device.stop();
    let ended = async { tokio::time::timeout(PATIENCE, world.mounted.ended()).await };
    runtime().block_on(ended).expect("it is noticed");
    runtime().block_on(world.mounted.finish(PATIENCE));
    assert_eq!(world.mounted.open_files(), 0);
    drop(file);
}

#[test]
fn a_mount_that_is_dropped_is_taken_down() {
    let world = World::model();
    let device = Arc::clone(&world.device);
    drop(world.mounted);
    let deadline = std::time::Instant::now() + PATIENCE;
    while !device.is_stopped() {
        assert!(std::time::Instant::now() < deadline, "it is not taken down");
        std::thread::yield_now();
    }
}

#[test]
fn the_debug_log_has_requests_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("debug.log");
    let own = MountOptions { debug_log: Some(path.clone()), ..options(false) };
    let (mounted, device) = mounted_at(&MountPoint::Drive('X'), own);
    device.create("\\", &Create::default()).map(proxyfs_winfsp_double::Opened::close).unwrap().unwrap();
    runtime().block_on(mounted.unmount(PATIENCE)).unwrap();
    let log = std::fs::read(&path).unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("Create"), "{log}");
}
