//! A volume made through the driver is opened by the engine directly, and the other way round, with all that was made.

use proxyfs_core::format::volume::CaseRule;
use proxyfs_core::fs::{FileKind, FileSystem};
use proxyfs_core::types::Ino;
use proxyfs_harness::tree::{diff, snapshot};
use proxyfs_winfsp::reparse::of_symlink;
use proxyfs_winfsp::{UnmountKind, ea, time};
use proxyfs_winfsp_double::{Create, Device, Opened, Times, disposition, option};
use std::sync::Arc;

use crate::world::{OnDisk, PATIENCE, mount_fs, options, runtime};

const CREATION: u64 = 132_444_736_000_000_100;
const ACCESS: u64 = 132_444_736_000_000_200;
const WRITE: u64 = 132_444_736_000_000_300;
const CHANGE: u64 = 132_444_736_000_000_400;

fn make(device: &Arc<Device>, name: &str, options: u32) -> Opened {
    let how = Create { disposition: disposition::CREATE, options, ..Create::default() };
    device.create(name, &how).unwrap_or_else(|s| panic!("{name}: {s:#x}"))
}

/// Everything that Windows can give a file.
fn furnish(device: &Arc<Device>) {
    make(device, "\\Dir", option::DIRECTORY).close().unwrap();
    let file = make(device, "\\Dir\\File.bin", option::NON_DIRECTORY);
    let data: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    file.write(0, &data).unwrap();
    let eas = [ea::Ea { flags: 0, name: b"Author".to_vec(), value: b"me".to_vec() }];
    file.set_eas(&ea::build(&eas).unwrap()).unwrap();
    file.close().unwrap();
    let stream = make(device, "\\Dir\\File.bin:zone", option::NON_DIRECTORY);
    stream.write(0, b"[ZoneTransfer]").unwrap();
    stream.close().unwrap();
    let file = device.create("\\Dir\\File.bin", &Create::default()).unwrap();
    let times = Times { creation: CREATION, access: ACCESS, write: WRITE, change: CHANGE };
    file.set_basic(Some(0x2 | 0x1), times).unwrap();
    file.close().unwrap();
    let link = make(device, "\\link", option::NON_DIRECTORY | option::OPEN_REPARSE_POINT);
    link.set_reparse_point(&of_symlink(b"Dir/File.bin")).unwrap();
    link.close().unwrap();
    make(device, "\\a\u{f03a}b", option::NON_DIRECTORY).close().unwrap();
    device.set_label("Holidays").unwrap();
}

#[test]
fn what_windows_made_is_there_for_the_engine_after_a_restart() {
    let on_disk = OnDisk::new(CaseRule::Insensitive);
    let volume = on_disk.open();
    let (mounted, device) = mount_fs(Arc::new(volume.clone()), own_options(&volume));
    furnish(&device);
    assert_eq!(runtime().block_on(mounted.unmount(PATIENCE)).unwrap(), UnmountKind::Clean);
    drop(mounted);
    let before = runtime().block_on(snapshot(&volume)).unwrap();
    OnDisk::close(volume);

    let volume = on_disk.open();
    let after = runtime().block_on(snapshot(&volume)).unwrap();
    // Taking the first picture was an access itself; the creation time is looked at below.
    let differences = diff(&before.without_lazy_times(), &after.without_lazy_times());
    assert!(differences.is_empty(), "{differences:#?}");
    runtime().block_on(async {
        let dir = volume.lookup(Ino::ROOT, b"Dir").await.unwrap();
        let file = volume.lookup(dir.ino, b"File.bin").await.unwrap();
        assert_eq!(file.size, 300_000);
        let times = [file.btime, file.atime, file.mtime, file.ctime].map(time::to_windows);
        assert_eq!([times[0], times[2], times[3]], [CREATION, WRITE, CHANGE]);
        assert_eq!(&volume.getxattr(file.ino, b"user.Author").await.unwrap()[..], b"me");
        assert_eq!(&volume.getxattr(file.ino, b"user.DosStream.zone:$DATA").await.unwrap()[..], b"[ZoneTransfer]\0");
        assert_eq!(&volume.getxattr(file.ino, b"trusted.win.attributes").await.unwrap()[..], b"0x3");
        let link = volume.lookup(Ino::ROOT, b"link").await.unwrap();
        assert_eq!(link.kind, FileKind::Symlink);
        assert_eq!(&volume.readlink(link.ino).await.unwrap()[..], b"Dir/File.bin");
        assert_eq!(volume.lookup(Ino::ROOT, b"a:b").await.unwrap().kind, FileKind::File);
        assert_eq!(&volume.getxattr(Ino::ROOT, b"trusted.win.label").await.unwrap()[..], b"Holidays");
        let faults = volume.check_metadata().await.unwrap();
        assert!(faults.is_empty(), "{faults:?}");
    });
    OnDisk::close(volume);
}

#[test]
fn what_windows_made_is_there_for_windows_after_a_restart() {
    let on_disk = OnDisk::new(CaseRule::Insensitive);
    let volume = on_disk.open();
    let (mounted, device) = mount_fs(Arc::new(volume.clone()), own_options(&volume));
    furnish(&device);
    runtime().block_on(mounted.unmount(PATIENCE)).unwrap();
    drop(mounted);
    OnDisk::close(volume);

    let volume = on_disk.open();
    let (mounted, device) = mount_fs(Arc::new(volume.clone()), own_options(&volume));
    let file = device.create("\\DIR\\file.BIN", &Create { access: 0x12_0089, ..Create::default() }).unwrap();
    assert_eq!(file.name(), "\\Dir\\File.bin");
    let info = file.query().unwrap();
    assert_eq!((info.FileSize, info.FileAttributes), (300_000, 0x3));
    assert_eq!((info.CreationTime, info.LastWriteTime), (CREATION, WRITE));
    assert_eq!(file.streams().unwrap().len(), 2);
    assert_eq!(ea::parse(&file.eas().unwrap()).unwrap().len(), 1);
    let content = file.read_all().unwrap();
    assert!(content.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251));
    file.close().unwrap();
    let how = Create { access: 0x12_0089, ..Create::default() };
    let linked = device.create("\\link", &how).unwrap();
    assert_eq!(linked.query().unwrap().FileSize, 300_000);
    linked.close().unwrap();
    assert_eq!(device.volume().unwrap().2, "Holidays");
    runtime().block_on(mounted.unmount(PATIENCE)).unwrap();
    drop(mounted);
    OnDisk::close(volume);
}

/// Options under which whoever runs the tests owns the volume.
fn own_options(volume: &proxyfs_core::volume::Volume) -> proxyfs_winfsp::MountOptions {
    let root = runtime().block_on(volume.getattr(Ino::ROOT)).expect("the root");
    let who = proxyfs_winfsp::process_identity(root.uid, root.gid).expect("a user");
    proxyfs_winfsp::MountOptions { who: Some(who), ..options(true) }
}
