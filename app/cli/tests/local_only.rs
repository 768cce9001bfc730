//! Files that stay on this computer, on real mounts: alone, in the daemon, killed, on a second computer, with a damaged companion.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;
mod daemon;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{World, can_mount, files};
use daemon::{Daemon, api, eventually, name};
use rustix::fs::{XattrFlags, getxattr, setxattr};

/// In the names, contents and attributes of local-only files.
const MARKER: &str = "stays-here-5d1f0c";
/// In the content of one that goes into the store.
const STORED: &str = "goes-up-9a27e3";

fn text(path: &Path) -> &str {
    path.to_str().expect("paths in a temporary directory are text")
}

/// Whether a text is in a file below a directory.
fn holds(dir: &Path, wanted: &str) -> bool {
    files(dir).iter().any(|file| {
        let bytes = fs::read(file).unwrap();
        bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
    })
}

/// Local-only files in a directory, with an attribute each.
fn litter(dir: &Path) -> Vec<PathBuf> {
    let names = [".DS_Store".to_owned(), "~$x.docx".to_owned(), "Thumbs.db".to_owned(), format!("._{MARKER}")];
    let made: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
    for file in &made {
        fs::write(file, format!("content {MARKER}")).unwrap();
        setxattr(file, "user.mark", MARKER.as_bytes(), XattrFlags::CREATE).unwrap();
    }
    made
}

fn check_litter(made: &[PathBuf]) {
    for file in made {
        assert_eq!(fs::read_to_string(file).unwrap(), format!("content {MARKER}"), "{}", file.display());
        let mut value = [0; 64];
        let len = getxattr(file, "user.mark", &mut value[..]).unwrap();
        assert_eq!(&value[..len], MARKER.as_bytes());
    }
}

/// Names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn they_survive_a_kill_and_never_reach_the_store_or_another_computer() {
    if !can_mount() {
        return;
    }
    let (here, there) = (World::new(), World::new());
    let (drive, other) = (here.dir("drive"), there.dir("drive"));
    let (url, store) = (here.url("s"), here.path("s"));
    here.ok(&["volume", "create", "v", "--store", &url, "-o", "local_only"]);
    let serving = here.serve(&["mount", "v", text(&drive)]);
    fs::create_dir(drive.join("d")).unwrap();
    let made: Vec<PathBuf> = [drive.clone(), drive.join("d")].iter().flat_map(|dir| litter(dir)).collect();
    fs::write(drive.join("plain"), STORED).unwrap();
    assert_eq!(fs::metadata(&made[0]).unwrap().dev(), fs::metadata(drive.join("plain")).unwrap().dev());
    here.ok(&["flush", "v"]);
    serving.kill();

    let serving = here.serve(&["mount", "v", text(&drive)]);
    check_litter(&made);
    // The volume's files are its own; the companion's are none of them, nor do they wait for its store.
    assert_eq!(serving.ready["files"], 2);
    here.ok(&["flush", "v"]);
    let status = here.ok(&["status", "v", "--json"]).json();
    assert_eq!((&status["volume"]["waiting_bytes"], &status["volume"]["connection"]), (&0.into(), &"online".into()));
    fs::write(drive.join("d/~$late"), MARKER).unwrap();
    let waiting =
        |status: serde_json::Value| (status["volume"]["waiting_bytes"].clone(), status["volume"]["dirty"].clone());
    assert_eq!(waiting(here.ok(&["status", "v", "--json"]).json()), (0.into(), false.into()));
    serving.stop();
    assert!(holds(&store, STORED), "what is searched for is found");
    assert!(!holds(&store, MARKER));
    assert!(holds(&here.path("state"), MARKER));

    let serving = there.serve(&["mount", &url, text(&other), "-o", "local_only"]);
    assert_eq!(names(&other), ["d", "plain"]);
    assert!(names(&other.join("d")).is_empty());
    fs::write(other.join(".DS_Store"), "another").unwrap();
    serving.stop();

    let serving = here.serve(&["mount", "v", text(&drive)]);
    check_litter(&made);
    // Off: they are not shown. On again: there they are.
    serving.stop();
    let serving = here.serve(&["mount", "v", text(&drive), "-o", "local_only=no"]);
    assert_eq!(names(&drive), ["d", "plain"]);
    serving.stop();
    let serving = here.serve(&["mount", "v", text(&drive), "-o", "ro"]);
    assert_eq!(names(&drive), ["d", "plain"], "a read-only mount has none");
    serving.stop();
}

#[test]
fn programs_use_them_as_any_files() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let drive = world.dir("drive");
    world.ok(&["volume", "create", "v", "--store", &world.url("s"), "-o", "local_only"]);
    let serving = world.serve(&["mount", "v", text(&drive)]);
    let run = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).current_dir(&drive).output().unwrap();
        assert!(done.status.success(), "{program} {arguments:?}: {done:?}");
    };
    fs::create_dir_all(drive.join("a/b")).unwrap();
    for dir in ["a", "a/b"] {
        litter(&drive.join(dir));
        fs::write(drive.join(dir).join("plain"), STORED).unwrap();
    }
    // Moved in and out, they are copied.
    run("mv", &["a/plain", "a/._plain"]);
    run("mv", &["a/._plain", "a/plain"]);
    run("cp", &["a/plain", "a/._copy"]);
    assert_eq!(fs::read_to_string(drive.join("a/._copy")).unwrap(), STORED);
    fs::rename(drive.join("a/._copy"), drive.join("a/b/._moved")).unwrap();
    let across = fs::rename(drive.join("a/plain"), drive.join("a/._x")).unwrap_err();
    assert_eq!(across.kind(), std::io::ErrorKind::CrossesDevices);
    assert_eq!(fs::hard_link(drive.join("a/plain"), drive.join("a/._x")).unwrap_err().kind(), across.kind());
    // Many, so that listings are gone on with.
    fs::create_dir(drive.join("many")).unwrap();
    for n in 0..1500 {
        fs::write(drive.join(format!("many/f{n}")), "").unwrap();
        fs::write(drive.join(format!("many/._f{n}")), "").unwrap();
    }
    assert_eq!(names(&drive.join("many")).len(), 3000);
    run("cp", &["-a", "a", "c"]);
    assert_eq!(names(&drive.join("a/b")), names(&drive.join("c/b")));
    run("rm", &["-r", "a", "many"]);
    // A directory that shows nothing else goes with them.
    fs::remove_file(drive.join("c/b/plain")).unwrap();
    fs::remove_dir(drive.join("c/b")).unwrap();
    fs::create_dir(drive.join("empty")).unwrap();
    fs::remove_file(drive.join("c/plain")).unwrap();
    fs::rename(drive.join("empty"), drive.join("c")).unwrap();
    assert!(names(&drive.join("c")).is_empty());
    assert_eq!(names(&drive), ["c"]);
    serving.stop();
}

#[test]
fn the_daemon_keeps_them_over_mounts_and_a_kill() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let options = |_: &str| "options.local_only = true\n";
    world.configure_with_options(&["v"], "", options);
    let mut daemon = Daemon::start(&world);
    let made = litter(&world.path("v"));
    world.ok(&["unmount", text(&world.path("v"))]);
    world.ok(&["mount", "v", text(&world.path("v"))]);
    check_litter(&made);
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.ends(), 0);
    let daemon = Daemon::start(&world);
    check_litter(&made);
    fs::write(world.path("v/~$more"), "more").unwrap();
    daemon.kill();
    let mut daemon = Daemon::start(&world);
    check_litter(&made);
    assert_eq!(fs::read_to_string(world.path("v/~$more")).unwrap(), "more");
    api(async {
        let client = daemon.client().await;
        eventually(async || client.volume(&name("v")).await.unwrap().status.is_some_and(|s| s.waiting_bytes == 0))
            .await;
    });
    daemon.stop();
    assert!(!holds(&world.path("stores"), MARKER));
}

#[test]
fn a_damaged_companion_is_named_and_can_be_deleted() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let drive = world.dir("drive");
    world.ok(&["volume", "create", "v", "--store", &world.url("s"), "-o", "local_only"]);
    let serving = world.serve(&["mount", "v", text(&drive)]);
    fs::write(drive.join("plain"), STORED).unwrap();
    litter(&drive);
    serving.stop();
    let state = fs::read_dir(world.path("state/proxyfs")).unwrap().map(|e| e.unwrap().path());
    let companion = state.map(|dir| dir.join("local-only")).find(|dir| dir.exists()).unwrap();
    for head in files(&companion.join("store/head")) {
        fs::write(head, "damaged").unwrap();
    }
    let refused = world.run(&["mount", "v", text(&drive)]);
    refused.fails(1, text(&companion), "delete it");
    fs::remove_dir_all(&companion).unwrap();
    let serving = world.serve(&["mount", "v", text(&drive)]);
    assert_eq!(names(&drive), ["plain"]);
    litter(&drive);
    serving.stop();
}
