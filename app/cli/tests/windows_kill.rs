//! A process that writes to a volume on Windows is killed at random moments; what it was told is safe is there afterwards.
//!
//! The writer is this test program itself, started again with [`WRITER`] set. It has no drive, since that takes WinFsp's driver: it writes
//! through the engine's file-system interface, as the adapter does.
#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proxyfs_core::config::{EngineOptions, VolumeOptions};
use proxyfs_core::engine::Engine;
use proxyfs_core::env::{Env, OsClock, OsDir, OsRng};
use proxyfs_core::fs::{Caller, FileSystem, OpenFlags, WriteFlags};
use proxyfs_core::types::Ino;
use proxyfs_core::volume::Volume;
use proxyfs_store::local::LocalStore;
use tokio::runtime::Runtime;

/// Names the directory of the world to the writer.
const WRITER: &str = "PROXYFS_TEST_WRITER";
const ROUNDS: u64 = 12;
/// Longest life of a writer after its first acknowledgement.
const LIFE_MAX_MS: u64 = 400;
const FILE_BYTES_MAX: u64 = 96 << 10;

fn open(runtime: &Runtime, dir: &Path, uuid: &str) -> Volume {
    let _context = runtime.enter();
    let state = dir.join("local").join("ProxyFS").join(uuid);
    std::fs::create_dir_all(&state).unwrap();
    let env =
        Env { clock: Arc::new(OsClock), rng: Arc::new(OsRng), dir: Arc::new(OsDir::open_locked(&state).unwrap()) };
    let store = Arc::new(LocalStore::new(dir.join("objects"), true));
    let engine = Engine::new(&EngineOptions { memory_budget: 64 << 20 });
    runtime.block_on(Volume::open(engine, env, store, VolumeOptions::default())).unwrap()
}

/// The content of a file, from its name.
fn content(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let len = state % FILE_BYTES_MAX;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect()
}

/// Writes and syncs files, and names each on standard output once it is acknowledged, until it is killed.
#[test]
fn writer() {
    let Some(dir) = std::env::var_os(WRITER) else { return };
    let (dir, uuid) = (Path::new(&dir), std::env::var("PROXYFS_TEST_UUID").unwrap());
    let first: u64 = std::env::var("PROXYFS_TEST_FIRST").unwrap().parse().unwrap();
    let runtime = Runtime::new().unwrap();
    let volume = open(&runtime, dir, &uuid);
    runtime.block_on(async {
        for number in first.. {
            let name = format!("f{number}");
            let flags = OpenFlags { write: true, exclusive: true, ..OpenFlags::default() };
            let (_, handle) =
                volume.create(Caller::default(), Ino::ROOT, name.as_bytes(), 0o644, 0, flags).await.unwrap();
            volume.write(handle, 0, Bytes::from(content(number)), WriteFlags::default()).await.unwrap();
            volume.fsync(handle, false).await.unwrap();
            volume.release(handle, None).await.unwrap();
            // Not println, which the test runner holds back.
            let mut out = std::io::stdout().lock();
            writeln!(out, "acknowledged {number}").unwrap();
            out.flush().unwrap();
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    if std::env::var_os(WRITER).is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_proxyfs"))
            .args(arguments)
            .env("APPDATA", dir.path().join("roaming"))
            .env("LOCALAPPDATA", dir.path().join("local"))
            .env("ProgramData", dir.path().join("machine"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let url = format!("file:///{}", dir.path().join("objects").display().to_string().replace('\\', "/"));
    let made: serde_json::Value =
        serde_json::from_str(&program(&["--json", "volume", "create", "v", "--store", &url])).unwrap();
    let uuid = made["uuid"].as_str().unwrap();
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let runtime = Runtime::new().unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let first = round * 1_000_000;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["writer", "--exact", "--nocapture", "--test-threads=1"])
            .env(WRITER, dir.path())
            .env("PROXYFS_TEST_UUID", uuid)
            .env("PROXYFS_TEST_FIRST", first.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let heard = Arc::new(AtomicUsize::new(0));
        let reader = {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || {
                let mut numbers = Vec::new();
                for line in out.lines().map_while(Result::ok) {
                    if let Some(number) = line.split("acknowledged ").nth(1).and_then(|n| n.trim().parse::<u64>().ok())
                    {
                        numbers.push(number);
                        heard.fetch_add(1, Ordering::Relaxed);
                    }
                }
                numbers
            })
        };
        while heard.load(Ordering::Relaxed) == 0 {
            assert!(child.try_wait().unwrap().is_none(), "the writer ended by itself");
            std::thread::sleep(Duration::from_millis(5));
        }
        let life = content(seed + round).iter().take(8).fold(seed + round, |a, b| a.wrapping_mul(31) + u64::from(*b));
        std::thread::sleep(Duration::from_millis(life % LIFE_MAX_MS));
        child.kill().unwrap();
        child.wait().unwrap();
        let numbers = reader.join().unwrap();
        acknowledged.extend(numbers.into_iter().map(|number| (number, round)));

        let volume = open(&runtime, dir.path(), uuid);
        runtime.block_on(async {
            for (number, round) in &acknowledged {
                let name = format!("f{number}");
                let attr = volume.lookup(Ino::ROOT, name.as_bytes()).await;
                let attr = attr.unwrap_or_else(|e| panic!("{name} of round {round} is lost: {e}"));
                let handle = volume
                    .open(Caller::default(), attr.ino, OpenFlags { read: true, ..OpenFlags::default() })
                    .await
                    .unwrap();
                let read = volume.read(handle, 0, u32::try_from(FILE_BYTES_MAX).unwrap()).await.unwrap().concat();
                assert!(read == content(*number), "{name} of round {round} has another content");
                volume.release(handle, None).await.unwrap();
            }
            assert!(volume.close(Duration::from_secs(60)).await.unwrap().in_store);
        });
        program(&["fsck", "v", "--data"]);
    }
    assert!(acknowledged.len() >= usize::try_from(ROUNDS).unwrap());
    println!("{} acknowledged files survived {ROUNDS} kills", acknowledged.len());
}
