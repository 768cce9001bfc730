//! The program without mounts: volumes and their registry, errors, exit codes, JSON.
#![cfg(target_os = "linux")]

mod common;

use std::fs;

use common::{World, files};

#[test]
fn a_volume_is_created_listed_shown_and_forgotten() {
    let world = World::new();
    let made =
        world.ok(&["volume", "create", "photos", "--store", &world.url("s"), "--tier", "store", "--json"]).json();
    assert_eq!(made["name"], "photos");
    let list = world.ok(&["volume", "list", "--json"]).json();
    assert_eq!(list["volumes"][0]["uuid"], made["uuid"]);
    let shown = world.ok(&["volume", "show", "photos", "--json"]).json();
    assert_eq!(shown["description"]["tier"], "store");
    assert_eq!((shown["mounted"].as_bool(), shown["problem"].is_null()), (Some(false), true));
    assert!(world.ok(&["volume", "list"]).out.contains("photos"));
    let before = files(&world.path("s"));
    assert!(world.ok(&["volume", "delete", "photos"]).out.contains("stays"));
    assert_eq!(files(&world.path("s")), before, "the store is not touched");
    world.run(&["volume", "show", "photos"]).fails(1, "no volume of this name", "create one");
}

#[test]
fn every_choice_of_creation_is_in_the_description() {
    let world = World::new();
    let url = world.url("s");
    world.ok(&[
        "volume",
        "create",
        "v",
        "--store",
        &url,
        "--case",
        "insensitive",
        "--compress",
        "zstd",
        "--shards",
        "4",
        "--containers",
        "2",
        "--frame-size",
        "64KiB",
        "-o",
        "max_flush_size=8MiB",
    ]);
    let shown = world.ok(&["volume", "show", "v", "--json"]).json();
    let description = &shown["description"];
    assert_eq!((&description["case"], &description["compress"]), (&"insensitive".into(), &"zstd".into()));
    assert_eq!((&description["layout"]["shards"], &description["layout"]["containers"]), (&4.into(), &2.into()));
    assert_eq!(description["frame_size"], 65536);
    assert_eq!(shown["options"]["max_flush_size"], "8MiB");
}

#[test]
fn names_and_places_in_use_are_refused() {
    let world = World::new();
    world.ok(&["volume", "create", "a", "--store", &world.url("s")]);
    world.run(&["volume", "create", "a", "--store", &world.url("t")]).fails(1, "registered already", "volume show a");
    world.run(&["volume", "create", "b", "--store", &world.url("s")]).fails(1, "already", "what is there");
    world.run(&["volume", "create", "a b", "--store", &world.url("t")]).fails(2, "not a volume's name", "letters");
}

#[test]
fn mistakes_on_the_command_line_are_usage_errors() {
    let world = World::new();
    world.run(&["mount", "--red-only", "x", "y"]).fails(2, "--red-only", "--read-only");
    world.run(&["mount", "x"]).fails(2, "DIR", "proxyfs mount");
    world.run(&["frobnicate"]).fails(2, "frobnicate", "proxyfs");
    world.run(&["volume", "create", "v", "--store", "ftp://x"]).fails(2, "store URL", "file:///");
    world.run(&["volume", "create", "v", "--store", "mem:"]).fails(2, "gone", "file:///");
    world.run(&["mount", "v", "/d", "-o", "max_flush_sise=1MiB"]).fails(2, "max_flush_sise", "`max_flush_size`");
    world.run(&["mount", "v", "/d", "-o", "max_flush_size=1"]).fails(2, "not a size", "max_flush_size takes a size");
    world.run(&["status", "--log", "a=b=c"]).fails(2, "log level", "debug");
    let url = world.url("s");
    let wrong = ["volume", "create", "v", "--store", &url, "--frame-size", "3KiB"];
    world.run(&wrong).fails(1, "frame_size", "correct");
}

#[test]
fn a_secret_in_a_url_is_refused_and_not_repeated() {
    let world = World::new();
    let said = world.run(&["volume", "create", "v", "--store", "s3://me:hunter2@bucket/p"]);
    assert_eq!(said.code, 2);
    assert!(!said.err.contains("hunter2") && !said.out.contains("hunter2"), "{said:?}");
    assert!(!world.registry().exists());
}

#[test]
fn errors_are_one_json_object_when_asked_for() {
    let world = World::new();
    let failed = world.run(&["volume", "show", "none", "--json"]);
    assert_eq!(failed.code, 1);
    let error = &failed.json()["error"];
    assert_eq!((&error["action"], &error["subject"]), (&"find".into(), &"volume none".into()));
    assert!(error["advice"].is_string() && failed.err.is_empty());
    let usage = world.run(&["--json", "frobnicate"]);
    assert_eq!((usage.code, &usage.json()["error"]["blame"]), (2, &"usage".into()));
}

#[test]
fn a_store_that_does_not_answer_is_named_with_what_to_do() {
    let world = World::new();
    let url = "s3://bucket/p?endpoint=http://127.0.0.1:1&region=r";
    let said = world.run(&["volume", "create", "v", "--store", url, "-o", "operation_timeout=1s"]);
    said.fails(1, "127.0.0.1:1", "network");
    assert!(!world.registry().exists());
}

#[test]
fn a_broken_or_newer_registry_is_an_error_and_stays_as_it_is() {
    let world = World::new();
    world.dir("config/proxyfs");
    for (text, why) in [("nonsense [", "does not hold"), ("version = 9", "version is 9")] {
        fs::write(world.registry(), text).unwrap();
        world.run(&["volume", "list"]).fails(1, why, "");
        world.run(&["volume", "create", "v", "--store", &world.url("s")]).fails(1, why, "");
        assert_eq!(world.run(&["quickstart"]).code, 1);
        assert_eq!(fs::read_to_string(world.registry()).unwrap(), text);
    }
}

#[test]
fn what_is_no_volume_or_a_newer_one_is_said() {
    let world = World::new();
    world.dir("empty");
    let mount = world.dir("m");
    let place = mount.to_str().unwrap();
    world.run(&["mount", &world.url("empty"), place]).fails(1, "no volume at", "check");
    world.run(&["mount", &world.url("missing"), place]).fails(1, "missing", "create");
    world.ok(&["volume", "create", "v", "--store", &world.url("s")]);
    let description = world.path("s/volume.json");
    let text = fs::read_to_string(&description).unwrap().replace("\"format\": 1", "\"format\": 2");
    fs::write(&description, text).unwrap();
    world.run(&["mount", "v", place]).fails(1, "volume.json", "upgrade");
    assert!(world.ok(&["volume", "show", "v", "--json"]).json()["problem"].is_string());
}

#[test]
fn status_and_unmount_without_a_mount_say_so() {
    let world = World::new();
    assert!(world.ok(&["status"]).out.contains("quickstart"));
    world.ok(&["volume", "create", "v", "--store", &world.url("s")]);
    assert_eq!(world.ok(&["status", "v", "--json"]).json()["mounted"], false);
    assert_eq!(world.ok(&["status", "--json"]).json()["volumes"][0]["name"], "v");
    world.run(&["checkpoint", "v"]).fails(1, "not mounted", "mount it first");
    let dir = world.dir("m");
    world.run(&["unmount", dir.to_str().unwrap()]).fails(1, "nothing is mounted", "proxyfs status");
    world.run(&["unmount", "/proc"]).fails(1, "type proc", "umount");
}

#[test]
fn a_volume_that_is_not_mounted_is_flushed_released_and_taken_over() {
    let world = World::new();
    world.ok(&["volume", "create", "v", "--store", &world.url("s")]);
    assert_eq!(world.ok(&["flush", "v", "--json"]).json()["waiting_bytes"], 0);
    assert_eq!(world.ok(&["volume", "release", "v", "--json"]).json()["released"], true);
    assert_eq!(world.ok(&["volume", "take-over", "v", "--json"]).json()["taken_over"], true);
}

#[test]
fn objects_are_dumped_from_the_store_and_from_files() {
    let world = World::new();
    world.ok(&["volume", "create", "v", "--store", &world.url("s")]);
    world.ok(&["volume", "release", "v"]);
    for file in files(&world.path("s")) {
        let dumped = world.ok(&["dump", file.to_str().unwrap()]).json();
        assert!(dumped["what"].is_string(), "{dumped}");
    }
    assert_eq!(world.ok(&["dump", "v", "volume.json"]).json()["what"], "volume description");
    world.run(&["dump", "v", "head/none"]).fails(1, "head/none", "");
    world.run(&["dump", "/no/such/file"]).fails(1, "/no/such/file", "proxyfs dump NAME");
}

#[test]
fn help_and_completions_are_printed() {
    let world = World::new();
    let help = world.ok(&["mount", "--help"]).out;
    assert!(help.contains("max_flush_size=SIZE") && help.contains("16MiB"), "{help}");
    assert!(world.ok(&["completions", "bash"]).out.contains("_proxyfs"));
    assert!(world.ok(&["--version"]).out.starts_with("proxyfs "));
    assert_eq!(world.run(&[]).code, 2);
}
