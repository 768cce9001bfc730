//! The daemon: real processes, real mounts, a store in a local directory.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;
mod daemon;

use std::fs;

use common::{World, can_mount};
use daemon::{Daemon, api, eventually, name};
use proxyfs_control::types::volume::{Mount, Unmount, VolumeState};
use rustix::process::Signal;

#[test]
fn a_wrong_configuration_is_refused_with_its_place_and_nothing_is_started() {
    let world = World::new();
    let file = world
        .write_config("[cache]\nmemory_budget = \"1GiB\"\n[volumes.a]\nstore = \"file:///x\"\nmont_point = \"/x\"\n");
    let place = format!("{}:5:1", file.display());
    for arguments in [&["serve"][..], &["serve", "--check"]] {
        let said = world.run(arguments);
        said.fails(2, "there is no key `mont_point` here", "did you mean `mount_point`?");
        assert!(said.err.contains(&place), "{said:?}");
    }
    let missing = world.run(&["serve", "--check", "--config", "/nowhere/x.toml"]);
    missing.fails(2, "No such file", "check the path");
    assert!(!world.path("state").exists());
}

#[test]
fn a_right_configuration_is_only_checked() {
    let world = World::new();
    world.write_config("[volumes.a]\nstore = \"file:///x\"\nmount_point = \"/nowhere\"\n");
    let said = world.ok(&["serve", "--check", "--json"]).json();
    assert_eq!((said["valid"].as_bool(), said["volumes"][0].as_str()), (Some(true), Some("a")));
    assert!(!world.path("state").exists());
}

#[test]
fn configured_volumes_are_mounted_and_a_terminated_daemon_leaves_everything_in_the_store() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.configure(&["a", "b"], "");
    let mut daemon = Daemon::start(&world);
    for volume in ["a", "b"] {
        fs::write(world.path(volume).join("file"), volume).unwrap();
    }
    let status = world.ok(&["status", "--json"]).json();
    assert_eq!(status["volumes"].as_array().unwrap().iter().filter(|v| v["mounted"] == true).count(), 2);
    assert_eq!(world.run(&["serve"]).code, 1, "a second daemon on the same state");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends(), 0);
    assert_eq!(fs::read_dir(world.path("a")).unwrap().count(), 0, "unmounted");
    // All of it is in the store: without its state, too.
    fs::remove_dir_all(world.path("state")).unwrap();
    let mut again = Daemon::start(&world);
    assert_eq!(fs::read_to_string(world.path("b/file")).unwrap(), "b");
    again.stop();
}

#[test]
fn a_killed_daemon_brings_everything_back_also_what_it_was_asked_for() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.configure(&["a"], "");
    world.ok(&["volume", "create", "asked", "--store", &world.url("stores/asked")]);
    let daemon = Daemon::start(&world);
    let dir = world.dir("asked");
    let said = world.ok(&["mount", "asked", &dir.display().to_string(), "--json"]).json();
    assert_eq!(said["pid"].as_u64(), Some(u64::from(daemon.pid())));
    fs::write(dir.join("x"), "kept").unwrap();
    fs::write(world.path("a/y"), "kept too").unwrap();
    daemon.kill();
    assert!(fs::read_dir(&dir).is_err(), "a dead mount is left");
    let mut daemon = Daemon::start(&world);
    assert_eq!(fs::read_to_string(dir.join("x")).unwrap(), "kept");
    assert_eq!(fs::read_to_string(world.path("a/y")).unwrap(), "kept too");
    world.ok(&["unmount", &dir.display().to_string()]);
    daemon.stop();
    let mut daemon = Daemon::start(&world);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "not mounted any more, as it was unmounted");
    daemon.stop();
}

#[test]
fn one_dead_store_holds_up_no_other_volume_and_is_mounted_when_it_is_back() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    // Its store refuses connections, and nothing of it is known here.
    let dead = format!(
        "[volumes.dead]\nstore = \"s3://bucket/x?endpoint=http://127.0.0.1:9&region=r\"\nmount_point = \"{}\"\n",
        world.dir("dead").display()
    );
    world.configure(&["a"], &dead);
    let daemon = Daemon::start_without_waiting(&world);
    api(async {
        let client = daemon.client().await;
        // The good one is there while the dead one is still being tried.
        eventually(async || client.volume(&name("a")).await.unwrap().summary.state == VolumeState::Mounted).await;
        let dead = client.volume(&name("dead")).await.unwrap().summary.state;
        assert!(matches!(dead, VolumeState::Opening), "{dead:?}");
        fs::write(world.path("a/file"), "x").unwrap();
        client.flush(&name("a"), |_| {}).await.unwrap();
        let status = world.ok(&["status", "--json"]).json();
        let shown = status["volumes"].as_array().unwrap().iter().find(|v| v["name"] == "dead").unwrap();
        assert_eq!(shown["state"], "opening", "{status}");
        let ready = client.ready().await.unwrap();
        assert_eq!((ready.ready, ready.waiting[0].volume.as_str()), (false, "dead"));
    });
    daemon.signal(Signal::TERM);
    let mut daemon = daemon;
    assert_eq!(daemon.ends(), 0);
}

#[test]
fn a_reload_applies_what_it_can_without_dropping_a_mount() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.create(&["a", "b"]);
    world.configure(&["a"], "");
    let mut daemon = Daemon::start(&world);
    fs::write(world.path("a/file"), "stays").unwrap();
    let open = fs::File::open(world.path("a/file")).unwrap();
    world.configure(
        &["a", "b"],
        "[limits]\nupload = \"5MiB\"\n[cache]\nmemory_budget = \"64MiB\"\n[daemon]\nsocket = \"/nowhere/x.sock\"\n",
    );
    let text = fs::read_to_string(world.config_file()).unwrap();
    let text = text
        .replace("[volumes.a]\n", "[volumes.a]\noptions.read_cache_weight = 7\noptions.max_flush_size = \"2MiB\"\n");
    fs::write(world.config_file(), text.replace("socket = \"/nowhere/x.sock\"\n", "stop_timeout = \"20s\"\n")).unwrap();
    let said = world.ok(&["reload", "--json"]).json();
    let list = |key: &str| said[key].to_string();
    for part in ["[cache]", "[limits]", "volume b added", "volume a: option read_cache_weight", "stop_timeout"] {
        assert!(list("applied").contains(part), "{part}: {said}");
    }
    assert!(list("needs_remount").contains("volume a: option max_flush_size"), "{said}");
    api(async {
        let client = daemon.client().await;
        eventually(async || client.volume(&name("b")).await.unwrap().summary.state == VolumeState::Mounted).await;
        let caches = client.caches().await.unwrap();
        assert_eq!(caches.memory_budget, 64 << 20);
        assert_eq!(caches.volumes.iter().find(|v| v.volume == "a").unwrap().weight, 7);
    });
    // Taken out while mounted: it stays until somebody unmounts it. A mistake changes nothing.
    world.configure(&["a"], "");
    let said = world.ok(&["reload", "--json"]).json();
    assert!(said["refused"].to_string().contains("volume b removed"), "{said}");
    assert!(world.path("b").join(".").exists());
    world.write_config("[oops]\n");
    world.run(&["reload"]).fails(2, "no section or key `oops`", "known here");
    assert_eq!(fs::read_to_string(world.path("a/file")).unwrap(), "stays");
    drop(open);
    daemon.stop();
}

#[test]
fn commands_go_through_the_daemon_and_leave_it_running() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.configure(&["a"], "");
    let mut daemon = Daemon::start(&world);
    fs::write(world.path("a/file"), "x").unwrap();
    assert_eq!(world.ok(&["flush", "a", "--json"]).json()["waiting_bytes"], 0);
    fs::write(world.path("a/file"), "y").unwrap();
    assert!(world.ok(&["checkpoint", "a", "--json"]).json()["lsn"].as_u64().unwrap() > 0);
    world.run(&["volume", "delete", "a"]).fails(1, "mounted on", "proxyfs unmount");
    world.ok(&["volume", "release", "a"]);
    assert_eq!(world.ok(&["status", "a", "--json"]).json()["mounted"], false);
    world.ok(&["fsck", "a", "--data"]);
    let place = world.path("a").display().to_string();
    world.ok(&["mount", "a", &place]);
    world.run(&["mount", "a", &place]).fails(1, "mounted on", "unmount it first");
    world.ok(&["unmount", &place]);
    daemon.stop();
    world.run(&["reload"]).fails(1, "no daemon runs here", "proxyfs serve");
}

#[test]
fn sighup_reloads_too() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.create(&["a"]);
    let mut daemon = Daemon::start(&world);
    world.configure(&["a"], "");
    daemon.signal(Signal::HUP);
    api(async {
        let client = daemon.client().await;
        let there = async || client.volume(&name("a")).await.is_ok_and(|v| v.summary.state == VolumeState::Mounted);
        eventually(there).await;
    });
    daemon.stop();
}

#[test]
fn a_volume_unmounted_from_outside_is_closed_and_can_be_mounted_again() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.configure(&["a"], "");
    let mut daemon = Daemon::start(&world);
    fs::write(world.path("a/file"), "x").unwrap();
    rustix::mount::unmount(world.path("a"), rustix::mount::UnmountFlags::empty()).unwrap();
    api(async {
        let client = daemon.client().await;
        eventually(async || client.volume(&name("a")).await.unwrap().summary.state == VolumeState::Unmounted).await;
        client.mount(&name("a"), &Mount::default(), |_| {}).await.unwrap();
        assert_eq!(fs::read_to_string(world.path("a/file")).unwrap(), "x");
        let ended = client.unmount(&name("a"), Unmount::default(), |_| {}).await.unwrap();
        assert!(ended.in_store && !ended.process_ends, "{ended:?}");
    });
    daemon.stop();
}

/// The most memory that a process has had at a time.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn fifty_volumes_on_one_store_share_one_budget() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let names: Vec<String> = (0..50).map(|n| format!("v{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    world.write_config("[cache]\nmemory_budget = \"64MiB\"\ndisk_budget = \"1GiB\"\ndisk_cache = \"256MiB\"\n");
    let mut first = Daemon::start(&world);
    api(async {
        let client = first.client().await;
        for volume in &names {
            client.create(&daemon::new_volume(&world, volume), |_| {}).await.unwrap();
        }
    });
    first.stop();
    world.configure_with_options(
        &names,
        "[cache]\nmemory_budget = \"64MiB\"\ndisk_budget = \"1GiB\"\ndisk_cache = \"256MiB\"\n",
        |volume| if volume == "v0" { "options.read_cache_weight = 51\n" } else { "" },
    );
    let mut daemon = Daemon::start(&world);
    let data = vec![7u8; 256 << 10];
    for volume in &names {
        fs::write(world.path(volume).join("data"), &data).unwrap();
    }
    api(async {
        let client = daemon.client().await;
        let volumes = client.volumes().await.unwrap().volumes;
        assert_eq!(volumes.iter().filter(|v| v.state == VolumeState::Mounted).count(), 50);
        for volume in &names {
            assert_eq!(fs::read(world.path(volume).join("data")).unwrap(), data);
        }
        let caches = client.caches().await.unwrap();
        assert!(caches.memory_used <= caches.memory_budget, "{caches:?}");
        assert!(caches.disk_used <= caches.disk_budget, "{caches:?}");
        // Beside the budget: the program itself, and what its FUSE threads have room for, of which each holds one request.
        assert!(peak(daemon.pid()) <= (64 + 5 * 50 + 64) << 20, "{} bytes", peak(daemon.pid()));
        let weights: Vec<u32> = caches.volumes.iter().map(|v| v.weight).collect();
        assert_eq!((weights.iter().max(), weights.iter().sum::<u32>()), (Some(&51), 100));
        let metrics = client.metrics().await.unwrap();
        assert!(metrics.contains("proxyfs_volume_mounted{volume=\"v49\"} 1"), "{metrics}");
        assert!(metrics.contains("proxyfs_memory_budget_bytes 67108864"));
    });
    daemon.stop();
}
