//! The program with real mounts: the life of a drive, signals, a killed process, the background, two owners.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::{World, can_mount, files};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;

/// Longest until a volume's state is told.
const PATIENCE: Duration = Duration::from_secs(60);

fn text(path: &Path) -> &str {
    path.to_str().expect("paths in a temporary directory are text")
}

#[test]
fn quickstart_twice_keeps_the_files() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let drive = world.path("drive");
    let serving = world.serve(&["quickstart", text(&drive)]);
    assert_eq!((serving.ready["files"].as_u64(), &serving.ready["mount_point"]), (Some(0), &text(&drive).into()));
    fs::write(drive.join("a"), "one").unwrap();
    fs::create_dir(drive.join("d")).unwrap();
    fs::write(drive.join("d/b"), vec![7; 3_000_000]).unwrap();
    serving.stop();
    assert!(files(&drive).is_empty(), "unmounted");

    let serving = world.serve(&["quickstart", text(&drive)]);
    assert_eq!(serving.ready["files"], 3);
    assert_eq!(fs::read_to_string(drive.join("a")).unwrap(), "one");
    assert_eq!(fs::read(drive.join("d/b")).unwrap(), vec![7; 3_000_000]);
    world.run(&["quickstart", text(&drive)]).fails(1, "mounted on", "proxyfs unmount");
    serving.stop();
}

#[test]
fn a_killed_drive_comes_back_with_its_files_and_its_dead_mount_is_cleaned() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let drive = world.path("drive");
    let serving = world.serve(&["quickstart", text(&drive)]);
    fs::write(drive.join("a"), "acknowledged").unwrap();
    serving.kill();
    assert!(fs::read_dir(&drive).is_err(), "a dead mount");

    let serving = world.serve(&["quickstart", text(&drive)]);
    assert_eq!(fs::read_to_string(drive.join("a")).unwrap(), "acknowledged");
    serving.kill();
    let said = world.ok(&["unmount", text(&drive)]);
    assert!(said.out.contains("does not answer"), "{said:?}");
    assert!(files(&drive).is_empty());
}

#[test]
fn a_drive_in_the_background_is_asked_for_everything_and_unmounted() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (drive, store) = (world.dir("drive"), world.path("s"));
    world.ok(&["volume", "create", "v", "--store", &world.url("s")]);
    let ready = world.ok(&["mount", "v", text(&drive), "--daemon", "--json"]).json();
    assert_eq!((&ready["volume"], &ready["mount_point"]), (&"v".into(), &text(&drive).into()));
    fs::write(drive.join("a"), vec![1; 200_000]).unwrap();
    assert_eq!(files(&store.join("head")).len(), 2);

    let status = world.ok(&["status", "v", "--json"]).json();
    assert_eq!((&status["mounted"], &status["pid"]), (&true.into(), &ready["pid"]));
    assert!(status["volume"]["waiting_bytes"].as_u64() >= Some(200_000), "{status}");
    assert!(world.ok(&["status"]).out.contains(text(&drive)));
    assert_eq!(world.ok(&["flush", "v", "--json"]).json()["waiting_bytes"], 0);
    let head = world.ok(&["checkpoint", "v", "--json"]).json();
    assert!(head["head_seq"].as_u64() >= Some(3), "{head}");

    let other = world.dir("other");
    world.run(&["mount", "v", text(&other)]).fails(1, "mounted on", "proxyfs unmount");
    world.run(&["mount", "v", text(&other), "--daemon"]).fails(1, "mounted on", "proxyfs unmount");
    world.run(&["volume", "delete", "v"]).fails(1, "mounted on", "proxyfs unmount");

    let ended = world.ok(&["unmount", text(&drive), "--json"]).json();
    assert_eq!((&ended["in_store"], &ended["was_busy"]), (&true.into(), &false.into()));
    assert_eq!(world.ok(&["status", "v", "--json"]).json()["mounted"], false);
    world.run(&["unmount", text(&drive)]).fails(1, "nothing is mounted", "proxyfs status");
    for file in files(&store) {
        assert!(world.ok(&["dump", text(&file)]).json()["what"].is_string());
    }
}

#[test]
fn the_overview_tells_of_a_store_that_fails_until_it_no_longer_does() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (drive, store) = (world.dir("drive"), world.path("s"));
    world.ok(&["volume", "create", "v", "--store", &world.url("s"), "-o", "max_flush_time=100ms"]);
    world.ok(&["mount", "v", text(&drive), "--daemon"]);
    let says = |word: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !world.ok(&["status"]).out.contains(word) {
            assert!(Instant::now() < deadline, "it never says {word}: {:?}", world.ok(&["status"]));
            thread::sleep(Duration::from_millis(100));
        }
    };
    says("online");
    // As when its disk is pulled out.
    fs::rename(&store, world.path("away")).unwrap();
    fs::write(drive.join("a"), "kept").unwrap();
    says("failing");
    let said = world.ok(&["status"]).out;
    assert!(said.contains("v: ") && said.contains("does not exist; create it"), "{said}");
    fs::rename(world.path("away"), &store).unwrap();
    says("online");
    world.ok(&["flush", "v"]);
    world.ok(&["unmount", text(&drive)]);
}

#[test]
fn an_unfit_mount_point_is_refused_with_the_reason() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.ok(&["volume", "create", "v", "--store", &world.url("s")]);
    let missing = world.path("missing");
    world.run(&["mount", "v", text(&missing)]).fails(1, "does not exist", "");
    world.run(&["mount", "v", text(&missing), "--daemon"]).fails(1, "does not exist", "");
    let full = world.dir("full");
    fs::write(full.join("x"), "").unwrap();
    world.run(&["mount", "v", text(&full)]).fails(1, "not empty", "empty directory");
    world.run(&["mount", "v", text(&full.join("x"))]).fails(1, "not a directory", "directory");
    world.run(&["mount", "v", "/proc"]).fails(1, "mount point already", "");
    let drive = world.dir("drive");
    world.ok(&["mount", "v", text(&drive), "--daemon"]);
    world.ok(&["unmount", text(&drive)]);
}

#[test]
fn sigterm_and_an_unmount_from_outside_end_it_cleanly() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let drive = world.path("drive");
    let mut serving = world.serve(&["quickstart", text(&drive)]);
    fs::write(drive.join("a"), "one").unwrap();
    serving.signal(Signal::TERM);
    assert_eq!(serving.ends(), 0);
    let mut serving = world.serve(&["quickstart", text(&drive)]);
    fs::write(drive.join("b"), "two").unwrap();
    unmount(&drive, UnmountFlags::empty()).unwrap();
    assert_eq!(serving.ends(), 0);
    let serving = world.serve(&["quickstart", text(&drive)]);
    assert_eq!(serving.ready["files"], 2);
    serving.stop();
}

#[test]
fn a_read_only_mount_refuses_changes() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let drive = world.dir("drive");
    world.ok(&["volume", "create", "v", "--store", &world.url("s")]);
    world.ok(&["mount", "v", text(&drive), "--daemon"]);
    fs::write(drive.join("a"), "one").unwrap();
    world.ok(&["unmount", text(&drive)]);
    world.ok(&["mount", "v", text(&drive), "--daemon", "-o", "ro"]);
    assert_eq!(fs::read_to_string(drive.join("a")).unwrap(), "one");
    assert_eq!(fs::write(drive.join("b"), "two").unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    world.ok(&["unmount", text(&drive)]);
}

#[test]
fn a_volume_of_a_dead_owner_is_mounted_elsewhere_only_by_taking_over() {
    if !can_mount() {
        return;
    }
    let (first, second) = (World::new(), World::new());
    let (here, there) = (first.dir("drive"), second.dir("drive"));
    let url = first.url("s");
    first.ok(&["volume", "create", "v", "--store", &url]);
    let serving = first.serve(&["mount", "v", text(&here)]);
    fs::write(here.join("a"), "one").unwrap();
    first.ok(&["flush", "v"]);
    serving.kill();
    second.run(&["mount", &url, text(&there)]).fails(1, "", "--take-over");
    let serving = second.serve(&["mount", &url, text(&there), "--take-over"]);
    assert_eq!(fs::read_to_string(there.join("a")).unwrap(), "one");
    serving.stop();
}

#[test]
fn a_second_interrupt_ends_it_at_once_and_nothing_is_lost() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let drive = world.path("drive");
    let mut serving = world.serve(&["quickstart", text(&drive)]);
    fs::write(drive.join("a"), "acknowledged").unwrap();
    let user = fs::File::open(drive.join("a")).unwrap();
    // A drive in use makes the first request wait, and it says so.
    let mut unmounting = world.command(&["unmount", text(&drive)]).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(unmounting.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("still use"), "{line}");
    serving.signal(Signal::INT);
    assert_eq!(serving.ends(), 1);
    assert_eq!(unmounting.wait().unwrap().code(), Some(1));
    drop(user);

    let serving = world.serve(&["quickstart", text(&drive)]);
    assert_eq!(fs::read_to_string(drive.join("a")).unwrap(), "acknowledged");
    serving.stop();
}
