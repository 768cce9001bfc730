//! What the daemon answers on its control socket, asked by the typed client.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;
mod daemon;

use std::fs;

use common::{World, can_mount, files};
use daemon::{Daemon, api, eventually, name, new_volume};
use proxyfs_control::Kind;
use proxyfs_control::client::{CallError, quietly};
use proxyfs_control::types::event::EventKind;
use proxyfs_control::types::logs::Level;
use proxyfs_control::types::queue::UploadState;
use proxyfs_control::types::volume::{Mount, Unmount, VolumeState};
use serde_json::json;

fn kind<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> Kind {
    match outcome.unwrap_err() {
        CallError::Problem(problem) => problem.kind,
        other => panic!("{other}"),
    }
}

fn body<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn mount_on(world: &World, dir: &str) -> Mount {
    body(json!({ "mount_point": world.dir(dir) }))
}

#[test]
fn a_volume_is_created_mounted_edited_released_and_deleted() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let mut daemon = Daemon::start(&world);
    api(async {
        let client = daemon.client().await;
        let a = name("a");
        assert_eq!(kind(client.volume(&a).await), Kind::NotFound);
        let test = client.test_connection(&body(json!({ "store": world.url("stores/nowhere") }))).await.unwrap();
        assert!(!test.ok && !test.steps.is_empty(), "{test:?}");
        let created = client.create(&new_volume(&world, "a"), quietly).await.unwrap();
        assert_eq!((created.summary.state, created.summary.uuid.len()), (VolumeState::Unmounted, 32));
        assert_eq!(kind(client.create(&new_volume(&world, "a"), quietly).await), Kind::Conflict);
        assert_eq!(kind(client.flush(&a, quietly).await), Kind::Conflict);
        assert_eq!(kind(client.mount(&a, &Mount::default(), quietly).await), Kind::Conflict);

        let mounted = client.mount(&a, &mount_on(&world, "a"), quietly).await.unwrap();
        assert_eq!((mounted.pid, mounted.online), (daemon.pid(), true));
        assert_eq!(kind(client.mount(&a, &mount_on(&world, "other"), quietly).await), Kind::Conflict);
        fs::write(world.path("a/file"), "x").unwrap();
        let flushed = client.flush(&a, quietly).await.unwrap().status.unwrap();
        assert_eq!((flushed.waiting_bytes, flushed.dirty), (0, false));
        fs::write(world.path("a/file"), "y").unwrap();
        let checkpoint = client.checkpoint(&a, quietly).await.unwrap();
        assert!(checkpoint.lsn > flushed.head_lsn);
        assert_eq!(kind(client.take_over(&a, quietly).await), Kind::Conflict);
        assert_eq!(kind(client.forget(&a).await), Kind::Conflict);

        let edit = json!({ "label": "Photos", "options": { "read_cache_weight": "5", "max_flush_time": "2s", "memory_budget": "1GiB", "oops": "1" } });
        let applied = client.edit(&a, &body(edit)).await.unwrap();
        assert_eq!(
            (applied.applied, applied.needs_remount),
            (vec!["read_cache_weight".to_owned(), "label".to_owned()], vec!["max_flush_time".to_owned()],)
        );
        let refused: Vec<&str> = applied.refused.iter().map(|r| r.what.as_str()).collect();
        assert_eq!(refused, ["memory_budget", "oops"]);
        let detail = client.volume(&a).await.unwrap();
        assert_eq!((detail.label.as_deref(), detail.options["max_flush_time"].as_str()), (Some("Photos"), "2s"));

        let released = client.release(&a, quietly).await.unwrap();
        assert_eq!(released.summary.state, VolumeState::Unmounted);
        // Another state directory is another computer: it may have the volume now.
        let other = World::new();
        let url = world.url("stores/a");
        let dir = other.dir("m");
        other.serve(&["mount", &url, &dir.display().to_string()]).stop();

        client.delete_data(&a, quietly).await.unwrap();
        assert_eq!(kind(client.volume(&a).await), Kind::NotFound);
        assert_eq!(files(&world.path("stores/a")), Vec::<std::path::PathBuf>::new());
        client.create(&new_volume(&world, "a"), quietly).await.unwrap();
        assert_eq!(client.forget(&a).await.unwrap().objects, None);
        assert!(!files(&world.path("stores/a")).is_empty());
    });
    daemon.stop();
}

#[test]
fn uploads_are_held_shown_by_file_let_go_one_by_one_and_all_together() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.configure_with_options(&["a"], "", |_| "options.max_flush_time = \"200ms\"\n");
    let mut daemon = Daemon::start(&world);
    api(async {
        let client = daemon.client().await;
        let a = name("a");
        assert!(client.queue_pause(&a).await.unwrap().paused);
        fs::write(world.path("a/held.bin"), vec![1; 3 << 20]).unwrap();
        let queue = async || client.queue(&a).await.unwrap();
        let paused = async || queue().await.segments.iter().any(|s| s.state == UploadState::Paused);
        eventually(paused).await;
        let shown = queue().await;
        assert!(shown.waiting_bytes >= 3 << 20, "{shown:?}");
        assert!(shown.files.iter().any(|f| f.path.as_deref() == Some("/held.bin")), "{shown:?}");
        assert_eq!(kind(client.flush(&a, quietly).await), Kind::Conflict);
        assert_eq!(kind(client.queue_cancel(&a, 1).await), Kind::Conflict);
        let one = shown.segments.iter().find(|s| s.state == UploadState::Paused).unwrap();
        client.queue_cancel(&a, one.id).await.unwrap();
        let gone = async || !queue().await.segments.iter().any(|s| s.id == one.id && s.state != UploadState::Done);
        eventually(gone).await;
        // All queues, then on.
        client.queue_resume(&a).await.unwrap();
        client.pause().await.unwrap();
        fs::write(world.path("a/more.bin"), vec![2; 2 << 20]).unwrap();
        eventually(paused).await;
        client.resume().await.unwrap();
        client.queue_retry(&a).await.unwrap();
        client.flush(&a, quietly).await.unwrap();
        assert_eq!(queue().await.waiting_bytes, 0);
    });
    daemon.stop();
}

#[test]
fn what_happened_is_told_as_events_files_requests_metrics_and_lines() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.configure(&["a"], "[prices]\nsource = \"a list\"\nput = 1000\n");
    let mut daemon = Daemon::start(&world);
    api(async {
        let client = daemon.client().await;
        let a = name("a");
        let mut events = client.events(None);
        events.connect().await.unwrap();
        fs::write(world.path("a/one"), vec![0; 5000]).unwrap();
        fs::rename(world.path("a/one"), world.path("a/two")).unwrap();
        fs::remove_file(world.path("a/two")).unwrap();
        fs::write(world.path("a/three"), "abc").unwrap();
        client.checkpoint(&a, quietly).await.unwrap();
        let files = client.recent(&a).await.unwrap().files;
        let seen: Vec<(&str, &str)> = files.iter().map(|f| (f.op.as_str(), f.path.as_str())).collect();
        assert_eq!(
            seen[..5],
            [("write", "/three"), ("create", "/three"), ("delete", "/two"), ("rename", "/two"), ("create", "/one")]
        );
        assert_eq!(files[0].bytes, 3);

        let requests = client.store_requests().await.unwrap();
        let puts: u64 = requests.requests.iter().filter(|r| r.kind == "put").map(|r| r.count).sum();
        let cost = requests.cost.unwrap();
        assert_eq!((cost.amount, cost.source.as_str(), cost.currency.as_str()), (puts as f64, "a list", "USD"));
        let metrics = client.metrics().await.unwrap();
        for part in [
            "proxyfs_store_requests_total{volume=\"a\",kind=\"put\",result=\"ok\"}",
            "proxyfs_store_request_seconds_count{volume=\"a\",kind=\"put\"}",
            "proxyfs_volume_online{volume=\"a\"} 1",
        ] {
            assert!(metrics.contains(part), "{part}: {metrics}");
        }
        let ready = client.ready().await.unwrap();
        assert!(ready.ready, "{ready:?}");
        let version = client.version().await.unwrap();
        assert_eq!((version.pid, version.config), (daemon.pid(), Some(world.config_file().display().to_string())));
        client.unmount(&a, Unmount::default(), quietly).await.unwrap();
        let lines = client.logs(100, Level::Info).await.unwrap().lines;
        assert!(lines.iter().any(|l| l.message.contains("mounted")), "{lines:?}");
        assert!(!client.ready().await.unwrap().ready);
        loop {
            let event = events.next().await.unwrap();
            if event.kind == EventKind::VolumeState && event.data["state"] == "unmounted" {
                assert_eq!(event.volume.as_deref(), Some("a"));
                break;
            }
        }
    });
    daemon.stop();
}

#[test]
fn caches_and_limits_change_while_volumes_are_mounted() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.configure(&["a"], "");
    let mut daemon = Daemon::start(&world);
    api(async {
        let client = daemon.client().await;
        fs::write(world.path("a/file"), vec![3; 1 << 20]).unwrap();
        client.flush(&name("a"), quietly).await.unwrap();
        let before = client.caches().await.unwrap();
        assert!(before.disk_used > 0, "{before:?}");
        let edit = json!({ "memory_budget": 64 << 20, "disk_budget": 128 << 20, "weights": { "a": 9 } });
        let after = client.edit_caches(&body(edit)).await.unwrap();
        assert_eq!((after.memory_budget, after.disk_budget, after.volumes[0].weight), (64 << 20, 128 << 20, 9));
        assert_eq!(kind(client.edit_caches(&body(json!({ "memory_budget": 5 }))).await), Kind::Invalid);
        assert_eq!(kind(client.edit_caches(&body(json!({ "weights": { "zz": 9 } }))).await), Kind::NotFound);
        let dropped = client.drop_caches(&body(json!({ "volume": "a" }))).await.unwrap();
        assert_eq!((dropped.volumes[0].memory_used, dropped.volumes[0].disk_used), (0, 0));
        assert_eq!(fs::read(world.path("a/file")).unwrap(), vec![3; 1 << 20]);
        let limits = client.edit_limits(&body(json!({ "upload": 1 << 20 }))).await.unwrap();
        assert_eq!((limits.upload, limits.download), (Some(1 << 20), None));
        let lifted = client.edit_limits(&body(json!({ "upload": null }))).await.unwrap();
        assert_eq!(lifted.upload, None);
        assert_eq!(kind(client.edit_limits(&body(json!({ "download": 0 }))).await), Kind::Invalid);
        assert!(client.problems().await.unwrap().problems.is_empty());
    });
    daemon.stop();
}

#[test]
fn credentials_are_set_shown_without_the_secret_and_deleted() {
    let world = World::new();
    let mut daemon = Daemon::start(&world);
    api(async {
        let client = daemon.client().await;
        let lab = name("lab");
        assert_eq!(kind(client.credential(&lab).await), Kind::NotFound);
        let given = json!({ "kind": "s3", "access_key_id": "AKIAEXAMPLE1234", "secret_access_key": "planted-secret" });
        let info = client.set_credential(&lab, &body(given)).await.unwrap();
        assert_eq!((info.key_id_end.as_str(), info.kind.as_str()), ("1234", "s3"));
        assert!(info.source.contains("credentials.toml"), "{info:?}");
        assert_eq!(client.credential(&lab).await.unwrap(), info);
        let all = client.credentials().await.unwrap();
        assert!(!serde_json::to_string(&all).unwrap().contains("planted") && all.len() == 1, "{all:?}");
        let store = format!("file://{}", world.dir("stores").display());
        assert!(client.test_credential(&lab, &body(json!({ "store": store }))).await.unwrap().ok);
        client.delete_credential(&lab).await.unwrap();
        assert_eq!(kind(client.delete_credential(&lab).await), Kind::NotFound);
    });
    daemon.stop();
}

#[test]
fn a_fenced_volume_says_so_holds_back_its_changes_and_is_taken_back_with_them() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.configure(&["a"], "");
    let mut daemon = Daemon::start(&world);
    // Another computer takes the volume while this one has it.
    let other = World::new();
    let (url, dir) = (world.url("stores/a"), other.dir("m"));
    let thief = other.serve(&["mount", &url, &dir.display().to_string(), "--take-over"]);
    fs::write(dir.join("theirs"), "x").unwrap();
    thief.stop();
    api(async {
        let client = daemon.client().await;
        let a = name("a");
        let mut events = client.events(None);
        events.connect().await.unwrap();
        fs::write(world.path("a/ours"), "y").unwrap();
        // The next head is refused, and so the volume learns it.
        let _refused = client.checkpoint(&a, quietly).await.is_err();
        eventually(async || !client.problems().await.unwrap().problems.is_empty()).await;
        let problems = client.problems().await.unwrap().problems;
        assert!(problems[0].remedy.contains("take-over"), "{problems:?}");
        let held = || async { client.volume(&a).await.unwrap().held };
        eventually(async || held().await.is_some()).await;
        let held_back = held().await.unwrap();
        assert_eq!((held_back.files, held_back.bytes), (1, 1), "{held_back:?}");
        assert!(held_back.to_do.contains("take-over a"), "{held_back:?}");
        let problems = client.problems().await.unwrap().problems;
        assert!(problems.iter().any(|p| p.cause.contains("not published")), "{problems:?}");
        assert!(!client.ready().await.unwrap().ready);
        client.take_over(&a, quietly).await.unwrap();
        assert_eq!(fs::read_to_string(world.path("a/theirs")).unwrap(), "x");
        eventually(async || client.problems().await.unwrap().problems.is_empty()).await;
        assert!(client.ready().await.unwrap().ready);
        let detail = client.volume(&a).await.unwrap();
        let folders = detail.status.unwrap().recovered;
        assert_eq!((folders.len(), folders[0].files), (1, 1), "{folders:?}");
        assert_eq!(fs::read_to_string(world.path("a").join(&folders[0].folder).join("ours")).unwrap(), "y");
        assert_eq!(detail.held, None);
        let mut left = vec![EventKind::Fenced, EventKind::TakenOver, EventKind::Recovered];
        while !left.is_empty() {
            let event = events.next().await.unwrap();
            left.retain(|kind| *kind != event.kind);
            if event.kind == EventKind::Recovered {
                assert_eq!(event.data["folder"], folders[0].folder.as_str());
            }
        }
    });
    daemon.stop();
}
