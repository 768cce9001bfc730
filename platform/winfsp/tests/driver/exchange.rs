//! Turns of Windows on a volume that Linux has in between: `tests/e2e/tests/exchange.rs` begins, and runs these.
//!
//! Both sides describe what they see in the same words, in files beside the store: by path, what Unix calls it. A turn compares what it
//! finds with what the other side left, then changes things and describes all anew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use proxyfs_core::fs::FileSystem;
use proxyfs_core::types::Ino;
use proxyfs_winfsp::{UnmountKind, ea, meta, name, reparse};
use proxyfs_winfsp_double::{Create, Device, Opened, Times, disposition, option, right};
use serde_json::{Value, json};

use crate::world::{OnDisk, PATIENCE, mount_fs, options, runtime};

type Picture = BTreeMap<String, Value>;

/// Where the two meet, as Wine sees it.
fn place() -> PathBuf {
    let dir = std::env::var("PROXYFS_EXCHANGE_DIR").expect("the other side names the directory");
    PathBuf::from(format!("Z:{dir}"))
}

#[test]
#[ignore = "a turn of an exchange that Linux begins"]
fn what_linux_left_is_seen_and_added_to() {
    turn(2, |device| {
        dir(device, "\\Win").close().unwrap();
        let file = make(device, "\\Win\\Report.docx");
        file.write(0, &b"words ".repeat(20_000)).unwrap();
        let eas = [ea::Ea { flags: 0, name: b"Author".to_vec(), value: b"somebody".to_vec() }];
        file.set_eas(&ea::build(&eas).unwrap()).unwrap();
        file.close().unwrap();
        let stream = make(device, "\\Win\\Report.docx:Zone.Identifier");
        stream.write(0, b"[ZoneTransfer]\r\nZoneId=3\r\n").unwrap();
        stream.close().unwrap();
        let file = open(device, "\\Win\\Report.docx");
        let day = 864_000_000_000;
        let creation: u64 = 132_444_736_000_000_100;
        let times = Times { creation, access: creation + day, write: creation + 2 * day, change: creation + 3 * day };
        file.set_basic(Some(0x1 | 0x2 | 0x20), times).unwrap();
        file.close().unwrap();
        let link = make_with(device, "\\Win\\shortcut", option::NON_DIRECTORY | option::OPEN_REPARSE_POINT);
        link.set_reparse_point(&reparse::of_symlink(b"Report.docx")).unwrap();
        link.close().unwrap();

        // What Linux made, changed.
        let big = open(device, "\\docs\\BIG.bin");
        let end = big.query().unwrap().FileSize;
        big.write(end, b"and a tail").unwrap();
        big.close().unwrap();
        let deep = open(device, "\\Docs\\Deep");
        deep.rename("\\Docs\\Deeper", false).unwrap();
        deep.close().unwrap();
        let plan = open(device, "\\Docs\\Plan.txt");
        plan.set_basic(Some(0x2), Times::default()).unwrap();
        plan.close().unwrap();
        let stream = make(device, "\\Docs\\Plan.txt:second");
        stream.write(0, b"2").unwrap();
        stream.close().unwrap();
        let gone = open(device, "\\Docs\\gone.txt");
        gone.set_delete(true).unwrap();
        gone.close().unwrap();
    });
}

#[test]
#[ignore = "a turn of an exchange that Linux begins"]
fn what_linux_changed_is_seen_and_the_rest_is_as_it_was() {
    let found = turn(4, |_| {});
    // Linux touched neither of these, so that all is equal to what Windows itself described before.
    let before: Picture = read(2);
    for path in ["Docs/Plan.txt", "Win", "Win/shortcut"] {
        let untimed = |picture: &Picture| {
            let mut entry = picture[path].clone();
            for time in ["accessed", "written", "changed"].into_iter().filter(|_| path == "Win") {
                entry.as_object_mut().expect("an entry").remove(time);
            }
            entry
        };
        assert_eq!(untimed(&found), untimed(&before), "{path}");
    }
    assert_eq!(found["Win/Final.docx"]["attributes"], 0x1 | 0x2 | 0x20);
    for (path, before) in before.iter().filter(|(path, _)| found.contains_key(*path)) {
        assert_eq!(found[path]["created"], before["created"], "{path}");
    }
    assert_eq!(found["Win/Final.docx"]["created"], before["Win/Report.docx"]["created"]);
}

/// Mounts the shared volume, compares it with what the other side described, makes changes, and describes it. Gives what was found.
fn turn(number: u32, change: impl FnOnce(&Arc<Device>)) -> Picture {
    let state = tempfile::TempDir::new().unwrap();
    let on_disk = OnDisk { dir: state };
    let volume = on_disk.open_with(&place().join("store"));
    let root = runtime().block_on(volume.getattr(Ino::ROOT)).unwrap();
    let who = proxyfs_winfsp::process_identity(root.uid, root.gid).unwrap();
    let options = proxyfs_winfsp::MountOptions { who: Some(who), ..options(true) };
    let (mounted, device) = mount_fs(Arc::new(volume.clone()), options);
    let (found, left) = (picture(&device), read(number - 1));
    compare(&left, &found);
    change(&device);
    let described = serde_json::to_string_pretty(&picture(&device)).unwrap();
    assert_eq!(runtime().block_on(mounted.unmount(PATIENCE)).unwrap(), UnmountKind::Clean);
    drop(mounted);
    OnDisk::close(volume);
    std::fs::write(place().join(format!("{number}.json")), described).unwrap();
    found
}

fn read(number: u32) -> Picture {
    serde_json::from_slice(&std::fs::read(place().join(format!("{number}.json"))).unwrap()).unwrap()
}

/// Everything is equal, but for what the other side does not see: creation times, and file attributes that are not stored.
fn compare(left: &Picture, found: &Picture) {
    let names = |picture: &Picture| picture.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(left));
    for (path, entry) in left {
        let mut found = found[path].clone();
        for key in ["attributes", "created"] {
            if entry[key].is_null() {
                found[key] = Value::Null;
            }
        }
        assert_eq!(&found, entry, "{path}");
    }
}

fn picture(device: &Arc<Device>) -> Picture {
    let mut picture = Picture::new();
    look_into(device, "", "", &mut picture);
    picture
}

fn look_into(device: &Arc<Device>, windows: &str, unix: &str, picture: &mut Picture) {
    let how = Create { access: right::READ, options: option::DIRECTORY, ..Create::default() };
    let at = if windows.is_empty() { "\\" } else { windows };
    let opened = device.create(at, &how).unwrap_or_else(|s| panic!("{at}: {s:#x}"));
    let entries = opened.list(4096).unwrap();
    opened.close().unwrap();
    for entry in entries.into_iter().filter(|entry| entry.name != "." && entry.name != "..") {
        let units: Vec<u16> = entry.name.encode_utf16().collect();
        let own = String::from_utf8(name::from_windows(&units)).unwrap();
        let unix = if unix.is_empty() { own } else { format!("{unix}/{own}") };
        let windows = format!("{windows}\\{}", entry.name);
        let seen = look(device, &windows);
        let is_dir = seen["kind"] == "dir";
        picture.insert(unix.clone(), seen);
        if is_dir {
            look_into(device, &windows, &unix, picture);
        }
    }
}

fn look(device: &Arc<Device>, path: &str) -> Value {
    let how = Create { access: right::READ, options: option::OPEN_REPARSE_POINT, ..Create::default() };
    let file = device.create(path, &how).unwrap_or_else(|s| panic!("{path}: {s:#x}"));
    let info = file.query().unwrap();
    let mut seen = json!({
        "created": info.CreationTime, "written": info.LastWriteTime, "changed": info.ChangeTime,
        "attributes": info.FileAttributes & (meta::file_attribute::STORED),
    });
    if info.FileAttributes & meta::file_attribute::REPARSE_POINT != 0 {
        let buffer = file.reparse_point().unwrap();
        let target = reparse::symlink_target(reparse::parse(&buffer).unwrap().1).unwrap();
        seen["kind"] = "symlink".into();
        seen["target"] = String::from_utf8(target).unwrap().into();
    } else {
        let is_dir = info.FileAttributes & meta::file_attribute::DIRECTORY != 0;
        seen["kind"] = if is_dir { "dir" } else { "file" }.into();
        if !is_dir {
            seen["content"] = digest(&file.read_all().unwrap());
        }
        for (stream, _) in file.streams().unwrap().into_iter().filter(|(stream, _)| !stream.is_empty()) {
            let opened = open_to_read(device, &format!("{path}:{stream}"));
            seen["streams"][&stream] = digest(&opened.read_all().unwrap());
            opened.close().unwrap();
        }
        for ea in ea::parse(&file.eas().unwrap()).unwrap() {
            seen["eas"][String::from_utf8(ea.name).unwrap()] = digest(&ea.value);
        }
    }
    file.close().unwrap();
    seen
}

/// Length and FNV-1a.
fn digest(bytes: &[u8]) -> Value {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    format!("{} bytes, {hash:016x}", bytes.len()).into()
}

fn make(device: &Arc<Device>, path: &str) -> Opened {
    make_with(device, path, option::NON_DIRECTORY)
}

fn dir(device: &Arc<Device>, path: &str) -> Opened {
    make_with(device, path, option::DIRECTORY)
}

fn make_with(device: &Arc<Device>, path: &str, options: u32) -> Opened {
    let how = Create { disposition: disposition::CREATE, options, ..Create::default() };
    device.create(path, &how).unwrap_or_else(|s| panic!("{path}: {s:#x}"))
}

fn open(device: &Arc<Device>, path: &str) -> Opened {
    device.create(path, &Create::default()).unwrap_or_else(|s| panic!("{path}: {s:#x}"))
}

fn open_to_read(device: &Arc<Device>, path: &str) -> Opened {
    device
        .create(path, &Create { access: right::READ, ..Create::default() })
        .unwrap_or_else(|s| panic!("{path}: {s:#x}"))
}
