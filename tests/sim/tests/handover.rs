//! What a writer had not published when it lost its volume comes back as a folder, whole, whatever happens meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::ErrorKind;
use proxyfs_core::config::ReplayLogSync;
use proxyfs_core::env::LocalDir;
use proxyfs_core::format::Tier;
use proxyfs_core::fs::{Caller, FileKind, FileSystem, OpenFlags, RenameMode, SetAttr, WriteFlags};
use proxyfs_core::store::ObjectStore;
use proxyfs_core::types::Ino;
use proxyfs_core::volume::Volume;
use proxyfs_harness::sim::{Crash, Faults};
use proxyfs_sim::files::{bytes, get, put, remove};
use proxyfs_sim::gate::GatePlan;
use proxyfs_sim::machine::{Machine, Setup};
use proxyfs_sim::reach::check_store;
use proxyfs_sim::{is_long, runtime};
use proxyfs_store::MemStore;

const LISTING: &str = "What was recovered.txt";

/// A machine with an old checkpoint and much that is not published.
async fn busy(tier: Tier) -> Machine {
    let mut setup = Setup::busy(tier, ReplayLogSync::Pipelined);
    setup.options.checkpoint_interval = Duration::from_secs(36_000);
    setup.options.delete_grace = Duration::from_secs(600);
    setup.options.owner = "first host".to_owned();
    let mut machine = Machine::new(Arc::new(MemStore::new()), setup, 1);
    machine.create_volume().await.expect("a volume");
    machine.open().await.expect("open");
    let volume = machine.volume();
    put(volume, "old", &bytes(1, 100_000)).await.expect("write");
    put(volume, "removed", b"removed").await.expect("write");
    put(volume, "renamed", b"renamed").await.expect("write");
    put(volume, "untouched", &bytes(2, 30_000)).await.expect("write");
    volume.mkdir(Caller::default(), Ino::ROOT, b"dir", 0o755, 0).await.expect("mkdir");
    volume.checkpoint().await.expect("checkpoint");

    machine.clock.advance_nanos(5_000_000_000);
    let volume = machine.volume();
    put(volume, "old", &bytes(3, 20_000)).await.expect("overwrite the beginning");
    put(volume, "new", &bytes(4, 50_000)).await.expect("write");
    put(volume, "empty", b"").await.expect("write");
    let dir = volume.lookup(Ino::ROOT, b"dir").await.expect("lookup").ino;
    write_in(volume, dir, "deep", &bytes(5, 9_000)).await;
    volume.symlink(Caller::default(), dir, b"link", b"deep").await.expect("symlink");
    remove(volume, "removed").await.expect("remove");
    volume.rename(Caller::default(), Ino::ROOT, b"renamed", dir, b"moved", RenameMode::Replace).await.expect("rename");
    let ino = volume.lookup(Ino::ROOT, b"untouched").await.expect("lookup").ino;
    let set = SetAttr { perm: Some(0o600), ..SetAttr::default() };
    volume.setattr(Caller::default(), ino, set).await.expect("chmod");
    put(volume, "gone again", b"gone again").await.expect("write");
    remove(volume, "gone again").await.expect("remove");
    machine
}

async fn write_in(volume: &Volume, dir: Ino, name: &str, content: &[u8]) {
    let flags = OpenFlags { read: true, write: true, ..OpenFlags::default() };
    let created = volume.create(Caller::default(), dir, name.as_bytes(), 0o640, 0, flags).await;
    let (_, handle) = created.expect("create");
    let content = bytes::Bytes::copy_from_slice(content);
    volume.write(handle, 0, content, WriteFlags::default()).await.expect("write");
    volume.release(handle, None).await.expect("release");
}

/// Another machine takes over, changes things and closes.
async fn usurp(machine: &Machine, seed: u64) {
    let mut other = machine.another(seed);
    other.open().await.expect("take over");
    put(other.volume(), "old", &bytes(6, 70_000)).await.expect("write");
    put(other.volume(), "theirs", b"theirs").await.expect("write");
    other.close().await.expect("close");
}

/// The machine after it lost its volume and was started again.
async fn fenced(tier: Tier) -> Machine {
    let machine = busy(tier).await;
    if tier == Tier::Disk {
        machine.volume().syncfs().await.expect("flush");
    }
    usurp(&machine, 2).await;
    machine.volume().checkpoint().await.expect_err("fenced");
    machine.crash(Crash::ProcessKill).await
}

/// Everything below a directory: content of files, targets of symlinks.
async fn tree(volume: &Volume, dir: Ino) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut todo = vec![(dir, String::new())];
    while let Some((dir, path)) = todo.pop() {
        let handle = volume.opendir(Caller::default(), dir).await.expect("opendir");
        let entries = volume.readdir(handle, 0, true).await.expect("readdir");
        volume.releasedir(handle).await.expect("releasedir");
        for entry in entries.into_iter().filter(|e| *e.name != b"."[..] && *e.name != b".."[..]) {
            let path = format!("{path}/{}", String::from_utf8_lossy(&entry.name));
            match entry.kind {
                FileKind::Dir => todo.push((entry.ino, path)),
                FileKind::Symlink => {
                    drop(out.insert(path, volume.readlink(entry.ino).await.expect("readlink").to_vec()));
                }
                _ => {
                    let flags = OpenFlags { read: true, ..OpenFlags::default() };
                    let handle = volume.open(Caller::default(), entry.ino, flags).await.expect("open");
                    let content = volume.read(handle, 0, 1 << 20).await.expect("read").concat();
                    volume.release(handle, None).await.expect("release");
                    out.insert(path, content);
                }
            }
        }
    }
    out
}

/// The folders of recovered files, by name.
async fn folders(volume: &Volume) -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
    let handle = volume.opendir(Caller::default(), Ino::ROOT).await.expect("opendir");
    let entries = volume.readdir(handle, 0, true).await.expect("readdir");
    volume.releasedir(handle).await.expect("releasedir");
    let mut out = BTreeMap::new();
    for entry in entries.into_iter().filter(|e| e.name.starts_with(b"Recovered from ")) {
        if entry.kind == FileKind::Dir {
            out.insert(String::from_utf8_lossy(&entry.name).into_owned(), tree(volume, entry.ino).await);
        }
    }
    out
}

fn expected() -> BTreeMap<String, Vec<u8>> {
    let old = [bytes(3, 20_000), bytes(1, 100_000)[20_000..].to_vec()].concat();
    let all = [
        ("/old", old),
        ("/new", bytes(4, 50_000)),
        ("/empty", Vec::new()),
        ("/dir/deep", bytes(5, 9_000)),
        ("/dir/link", b"deep".to_vec()),
    ];
    all.into_iter().map(|(path, content)| (path.to_owned(), content)).collect()
}

/// Takes the listing out of a folder.
fn without_listing(mut folder: BTreeMap<String, Vec<u8>>) -> (BTreeMap<String, Vec<u8>>, String) {
    let listing = folder.remove(&format!("/{LISTING}")).expect("a listing");
    (folder, String::from_utf8(listing).expect("text"))
}

fn leftovers(machine: &Machine) -> Vec<String> {
    let list = |dir: &str| machine.sim.dir.list(dir).expect("list").into_iter().map(|(name, _)| name);
    ["fenced", "fenced/1-log", "fenced/1-stage", "fenced/2-log", "fenced/2-stage"].into_iter().flat_map(list).collect()
}

/// The volume is as the other left it, beside one folder that holds everything.
async fn check(machine: &Machine) -> Result<(), String> {
    let volume = machine.volume();
    let folders = folders(volume).await;
    if folders.len() != 1 {
        return Err(format!("folders {:?}", folders.keys()));
    }
    let (found, _) = without_listing(folders.into_iter().next().expect("one").1);
    if found != expected() {
        return Err(format!("files {:?}", found.keys()));
    }
    for (name, content) in [
        ("old", Some([bytes(6, 70_000), bytes(1, 100_000)[70_000..].to_vec()].concat())),
        ("theirs", Some(b"theirs".to_vec())),
        ("removed", Some(b"removed".to_vec())),
        ("renamed", Some(b"renamed".to_vec())),
        ("untouched", Some(bytes(2, 30_000))),
        ("new", None),
    ] {
        if get(volume, name).await.map_err(|e| e.to_string())? != content {
            return Err(format!("{name} is not as the other left it"));
        }
    }
    let faults = volume.check_metadata().await.map_err(|e| e.to_string())?;
    if !faults.is_empty() {
        return Err(format!("{faults:?}"));
    }
    match leftovers(machine) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("left over: {left:?}")),
    }
}

#[test]
fn what_a_fenced_writer_had_not_published_comes_back_as_a_folder() {
    runtime().block_on(async {
        for tier in [Tier::Disk, Tier::Store] {
            let mut machine = fenced(tier).await;
            machine.open().await.expect("open after the other closed");
            machine.volume().recover_fenced().await.expect("handed over");
            check(&machine).await.unwrap_or_else(|e| panic!("{tier:?}: {e}"));
            assert_eq!(machine.sim.dir.list("lost").expect("list"), [], "nothing was moved aside for good");
            let (name, folder) = folders(machine.volume()).await.into_iter().next().expect("one");
            assert!(name.starts_with("Recovered from first host 20"), "{name}");
            let (_, listing) = without_listing(folder);
            for line in ["/removed", "/renamed -> /dir/moved", "/untouched", "/dir/deep", "first host"] {
                assert!(listing.contains(line), "{line} is not in: {listing}");
            }
            assert!(!listing.contains("gone again") && !listing.contains("part"), "{listing}");
            assert_eq!(machine.volume().recover_fenced().await.expect("nothing left"), []);

            // It is in the store, for everybody.
            machine.close().await.expect("close");
            check_store(machine.store(), false).expect("a whole store");
            let mut other = machine.another(9);
            other.open().await.expect("open elsewhere");
            check(&other).await.unwrap_or_else(|e| panic!("{tier:?}: {e}"));
        }
    });
}

#[test]
fn it_comes_back_by_itself_after_the_mount() {
    runtime().block_on(async {
        let mut machine = fenced(Tier::Disk).await;
        machine.open().await.expect("open");
        tokio::time::sleep(Duration::from_secs(5)).await;
        check(&machine).await.expect("handed over");
    });
}

#[test]
fn a_name_that_is_taken_is_left_alone() {
    runtime().block_on(async {
        let mut machine = fenced(Tier::Disk).await;
        let mut other = machine.another(3);
        other.open().await.expect("open");
        let before = {
            let mut probe = fenced(Tier::Disk).await;
            probe.open().await.expect("open");
            probe.volume().recover_fenced().await.expect("handed over");
            folders(probe.volume()).await.into_keys().next().expect("a name")
        };
        put(other.volume(), &before, b"somebody's file").await.expect("write");
        other.close().await.expect("close");
        machine.open().await.expect("open");
        machine.volume().recover_fenced().await.expect("handed over");
        check(&machine).await.expect("one folder");
        let name = folders(machine.volume()).await.into_keys().next().expect("a name");
        assert_eq!(name, format!("{before} (2)"));
        assert_eq!(get(machine.volume(), &before).await.expect("read"), Some(b"somebody's file".to_vec()));
    });
}

#[test]
fn a_writer_that_had_published_everything_leaves_no_folder() {
    runtime().block_on(async {
        for tier in [Tier::Disk, Tier::Store] {
            let machine = busy(tier).await;
            machine.volume().checkpoint().await.expect("checkpoint");
            usurp(&machine, 2).await;
            let mut machine = machine.crash(Crash::ProcessKill).await;
            machine.open().await.expect("open");
            machine.volume().recover_fenced().await.expect("nothing to hand over");
            assert_eq!(folders(machine.volume()).await, BTreeMap::new());
            assert_eq!(leftovers(&machine), Vec::<String>::new());
        }
    });
}

#[test]
fn a_volume_that_goes_to_and_fro_between_two_hosts_leaves_nothing_behind() {
    runtime().block_on(async {
        for tier in [Tier::Disk, Tier::Store] {
            let mut machine = busy(tier).await;
            machine.close().await.expect("close");
            for round in 0..3 {
                // So long that no page of the first host's last head is left.
                let mut other = machine.another(10 + round);
                other.open().await.expect("open");
                for i in 0..20 {
                    other.clock.advance_nanos(200_000_000_000);
                    put(other.volume(), "untouched", &bytes(i, 5_000)).await.expect("write");
                    other.volume().checkpoint().await.expect("checkpoint");
                }
                other.close().await.expect("close");
                machine.open().await.expect("open");
                assert_eq!(machine.volume().recover_fenced().await.expect("nothing to hand over"), []);
                put(machine.volume(), "mine", &bytes(round, 9_000)).await.expect("write");
                machine.close().await.expect("close");
            }
            machine.open().await.expect("open");
            assert_eq!(folders(machine.volume()).await, BTreeMap::new(), "{tier:?}");
            assert_eq!(leftovers(&machine), Vec::<String>::new(), "{tier:?}");
        }
    });
}

#[test]
fn what_the_new_owner_found_in_the_store_is_not_doubled() {
    runtime().block_on(async {
        let machine = busy(Tier::Store).await;
        machine.volume().syncfs().await.expect("committed to the store");
        put(machine.volume(), "later", b"later").await.expect("write");
        let mut other = machine.another(2);
        other.open().await.expect("take over");
        other.close().await.expect("close");
        let mut machine = machine.crash(Crash::ProcessKill).await;
        machine.open().await.expect("open");
        machine.volume().recover_fenced().await.expect("handed over");
        let (_, folder) = folders(machine.volume()).await.into_iter().next().expect("a folder");
        let (files, listing) = without_listing(folder);
        assert_eq!(files, BTreeMap::from([("/later".to_owned(), b"later".to_vec())]));
        assert!(!listing.contains("Renamed") && !listing.contains("Removed"), "{listing}");
    });
}

#[test]
fn content_that_is_gone_from_the_store_makes_an_incomplete_file_and_is_said() {
    runtime().block_on(async {
        let mut machine = fenced(Tier::Disk).await;
        let first: Vec<_> = {
            let objects = machine.store().dump().into_iter().map(|(key, _)| key);
            let segments = objects.filter(|key| key.path.starts_with("data/"));
            let epoch = |path: &str| path.rsplit('/').next().and_then(|name| name.split('-').next()).map(str::to_owned);
            let all: Vec<_> = segments.collect();
            let oldest = all.iter().filter_map(|key| epoch(&key.path)).min().expect("segments");
            all.into_iter().filter(|key| epoch(&key.path).as_ref() == Some(&oldest)).collect()
        };
        machine.store().delete(&first).await.expect("delete");
        // Nor does the cache on this machine's disk have it.
        machine.setup.options.disk_cache_bytes = 0;
        machine.open().await.expect("open");
        machine.volume().recover_fenced().await.expect("handed over");
        let (_, folder) = folders(machine.volume()).await.into_iter().next().expect("a folder");
        let (mut files, listing) = without_listing(folder);
        let old = files.remove("/old (incomplete)").expect("what is left of it");
        assert_eq!(old, [bytes(3, 20_000), vec![0; 80_000]].concat());
        let mut rest = expected();
        rest.remove("/old");
        assert_eq!(files, rest);
        assert!(listing.contains("Recovered in part") && listing.contains("/old"), "{listing}");
    });
}

#[test]
fn without_the_lost_lines_last_head_everything_stays_in_the_state_directory() {
    runtime().block_on(async {
        let machine = busy(Tier::Disk).await;
        machine.volume().syncfs().await.expect("flush");
        let mut other = machine.another(2);
        other.open().await.expect("take over");
        for round in 0..20 {
            other.clock.advance_nanos(200_000_000_000);
            put(other.volume(), "untouched", &bytes(round, 5_000)).await.expect("write");
            other.volume().checkpoint().await.expect("checkpoint");
        }
        other.close().await.expect("close");
        let mut machine = machine.crash(Crash::ProcessKill).await;
        for _ in 0..2 {
            machine.open().await.expect("open");
            let error = machine.volume().recover_fenced().await.expect_err("its pages are deleted");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            let left = leftovers(&machine);
            assert!(left.iter().any(|n| n == "1.json") && left.iter().any(|n| n.ends_with(".log")), "{left:?}");
            assert_eq!(folders(machine.volume()).await, BTreeMap::new());
            put(machine.volume(), "the volume", b"works").await.expect("write");
            machine.close().await.expect("close");
        }
    });
}

#[test]
fn a_second_loss_before_the_hand_over_loses_nothing() {
    runtime().block_on(async {
        for call in [5, 40, 80, 120] {
            let mut machine = fenced(Tier::Disk).await;
            machine.sim.dir.calls().plan(Faults { stop_at: Some(call), ..Faults::default() });
            if machine.open().await.is_ok() {
                let _ = machine.volume().recover_fenced().await;
            }
            let machine = machine.crash(Crash::ProcessKill).await;
            let mut other = machine.another(4);
            other.open().await.expect("take over again");
            other.close().await.expect("close");
            let mut machine = machine;
            machine.open().await.expect("open");
            machine.volume().recover_fenced().await.expect("handed over");
            let folders = folders(machine.volume()).await;
            let all = expected();
            let whole = folders.values().any(|f| all.iter().all(|(path, content)| f.get(path) == Some(content)));
            assert!(whole, "call {call}: {:?}", folders.keys());
            assert_eq!(leftovers(&machine), Vec::<String>::new(), "call {call}");
            assert_eq!(machine.volume().check_metadata().await.expect("check"), []);
        }
    });
}

/// Opens and hands over with a crash somewhere, then again without.
async fn crash_once(plan: Option<Faults>, gate: GatePlan, crash: Crash) -> Result<bool, String> {
    let mut machine = fenced(Tier::Disk).await;
    if let Some(faults) = plan {
        machine.sim.dir.calls().plan(faults);
    }
    machine.gate.plan(gate);
    let calls = Arc::clone(machine.sim.dir.calls());
    let stopped = async {
        while !calls.stopped() {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let run = async {
        match machine.open().await {
            Ok(()) => machine.volume().recover_fenced().await.map(drop),
            Err(error) => Err(error),
        }
    };
    let finished = tokio::select! {
        biased;
        outcome = run => outcome.is_ok(),
        () = stopped => false,
    };
    let mut machine = machine.crash(crash).await;
    machine.open().await.map_err(|e| format!("open: {e:?}"))?;
    machine.volume().recover_fenced().await.map_err(|e| format!("hand over: {e:?}"))?;
    check(&machine).await?;
    machine.close().await.map_err(|e| format!("close: {e:?}"))?;
    check_store(machine.store(), false)?;
    Ok(finished)
}

#[test]
fn a_crash_at_any_call_of_the_hand_over_loses_and_doubles_nothing() {
    runtime().block_on(async {
        let (local, store) = {
            let mut machine = fenced(Tier::Disk).await;
            machine.open().await.expect("open");
            machine.volume().recover_fenced().await.expect("handed over");
            (machine.sim.dir.calls().count(), machine.gate.calls())
        };
        assert!(local > 50 && store > 10, "{local} local calls, {store} to the store");
        let mut failures = Vec::new();
        let step = if is_long() { 1 } else { 2 };
        for call in (1..=local).step_by(step) {
            let faults = Faults { stop_at: Some(call), ..Faults::default() };
            for crash in [Crash::ProcessKill, Crash::PowerLoss { seed: call }] {
                if let Err(why) = crash_once(Some(faults), GatePlan::Open, crash).await {
                    failures.push(format!("local call {call} of {local}, {crash:?}: {why}"));
                }
            }
        }
        for call in 1..=store {
            for plan in [GatePlan::CrashBefore(call), GatePlan::CrashAfter(call)] {
                if let Err(why) = crash_once(None, plan, Crash::ProcessKill).await {
                    failures.push(format!("{plan:?} of {store}: {why}"));
                }
            }
            for plan in [GatePlan::FailBefore(call), GatePlan::FailAfter(call)] {
                if let Err(why) = crash_once(None, plan, Crash::ProcessKill).await {
                    failures.push(format!("{plan:?} of {store}: {why}"));
                }
            }
        }
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures[..failures.len().min(12)].join("\n"));
    });
}
