//! Numbers move as programs work, the same wherever they are asked for.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;
mod daemon;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use common::{World, can_mount};
use daemon::{Daemon, api, name};
use proxyfs_control::client::{Client, quietly};
use proxyfs_control::types::stats::VolumeStats;

async fn numbers(client: &Client) -> VolumeStats {
    client.stats().await.unwrap().volumes.remove(0)
}

fn done(volume: &VolumeStats, op: &str) -> u64 {
    let metrics = volume.metrics.as_ref().unwrap();
    metrics.ops.iter().find(|o| o.op == op).map_or(0, |o| o.timings.classes.iter().sum())
}

#[test]
fn operations_bytes_and_cache_hits_are_counted_and_health_is_good() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.configure(&["a"], "");
    let mut daemon = Daemon::start(&world);
    api(async {
        let client = daemon.client().await;
        let before = numbers(&client).await;
        for n in 0..7 {
            fs::create_dir(world.path(&format!("a/d{n}"))).unwrap();
        }
        assert!(fs::remove_dir(world.path("a/d0")).is_ok());
        fs::write(world.path("a/file"), vec![7; 300_000]).unwrap();
        client.flush(&name("a"), quietly).await.unwrap();
        let after = numbers(&client).await;
        assert_eq!((done(&after, "mkdir") - done(&before, "mkdir"), done(&after, "rmdir")), (7, 1));
        let metrics = after.metrics.as_ref().unwrap();
        assert_eq!(metrics.written_bytes, 300_000);
        assert!(metrics.uploads.bytes > 0 && metrics.log.bytes > 0 && metrics.checkpoints.last_secs.is_some());
        assert_eq!((metrics.under_way, metrics.oldest_under_way_secs), (0, 0));

        let read = || {
            let file = fs::File::open(world.path("a/file")).unwrap();
            // Past the kernel's cache, so that the second time is asked for, too.
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            let mut content = vec![0; 300_000];
            file.read_exact_at(&mut content, 0).unwrap();
        };
        read();
        let first = numbers(&client).await.metrics.unwrap();
        read();
        let second = numbers(&client).await.metrics.unwrap();
        assert!(first.data_cache.misses > 0 && first.read_bytes >= 300_000, "{first:?}");
        assert!(second.data_cache.hits > first.data_cache.hits, "{second:?}");
        assert_eq!(second.data_cache.misses, first.data_cache.misses);

        let metrics = client.metrics().await.unwrap();
        let line = "proxyfs_fs_operations_total{volume=\"a\",op=\"mkdir\",result=\"ok\"} 7";
        assert!(metrics.lines().any(|l| l == line), "{metrics}");
        let health = client.health().await.unwrap();
        assert!(health.alive && health.stuck.is_empty(), "{health:?}");
    });
    let shown = world.command(&["stats"]).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("a (online) on ") && text.contains("mkdir"), "{text}");
    let shown = world.command(&["stats", "a", "--json"]).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(value["volumes"][0]["name"], "a");
    let refused = world.command(&["stats", "--watch"]).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && said.contains("not a terminal"), "{said}");
    daemon.stop();
    let nobody = world.command(&["stats"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
}

#[test]
fn json_logs_are_one_object_a_line_also_by_configuration() {
    let world = World::new();
    world.write_config("[log]\nformat = \"json\"\nlevel = \"debug\"\n");
    let log = fs::File::create(world.path("log")).unwrap();
    let child = world.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let mut daemon = Daemon::of(&world, child);
    api(async { drop(daemon.client().await) });
    daemon.stop();
    let text = fs::read_to_string(world.path("log")).unwrap();
    assert!(!text.is_empty());
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(["timestamp", "level", "target", "message"].iter().all(|key| value[key].is_string()), "{line}");
    }
}

#[test]
fn watching_shows_the_numbers_until_q_and_gives_the_terminal_back() {
    if !can_mount() || Command::new("script").arg("--version").output().is_err() {
        eprintln!("SKIPPED: a terminal of its own takes script(1) and mounts");
        return;
    }
    let world = World::new();
    world.configure(&["a"], "");
    let mut daemon = Daemon::start(&world);
    let watch = world.command(&["stats", "--watch"]);
    let line = format!("stty rows 24 cols 80; exec {} stats --watch", watch.get_program().display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    command.envs(watch.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut piece) = (Vec::new(), [0; 4096]);
    let holds = |shown: &[u8], text: &str| shown.windows(text.len()).any(|w| w == text.as_bytes());
    while !holds(&shown, "next volume") {
        let read = out.read(&mut piece).unwrap();
        assert!(read > 0, "it ended early: {}", String::from_utf8_lossy(&shown));
        shown.extend(&piece[..read]);
    }
    keys.write_all(b"q").unwrap();
    out.read_to_end(&mut shown).unwrap();
    assert!(child.wait().unwrap().success());
    // The other screen is left, and the cursor shown again.
    let text = String::from_utf8_lossy(&shown);
    assert!(text.contains("\u{1b}[?1049l") && text.contains("\u{1b}[?25h"), "{text:?}");
    daemon.stop();
}
