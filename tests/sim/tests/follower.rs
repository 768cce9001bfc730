//! A read-only volume goes with its writer: each look at it is one checkpoint of the writer's, and it never writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proxyfs_core::ErrorKind;
use proxyfs_core::changes::{Change, Changes};
use proxyfs_core::config::ReplayLogSync;
use proxyfs_core::format::Tier;
use proxyfs_core::format::layout::head_key;
use proxyfs_core::fs::{Caller, FileSystem, Handle, OpenFlags};
use proxyfs_core::store::ObjectStore;
use proxyfs_core::types::Ino;
use proxyfs_core::volume::ConnectionState;
use proxyfs_harness::tree::{TreeSnapshot, diff, snapshot};
use proxyfs_sim::files::{bytes, get, put, remove};
use proxyfs_sim::gate::GatePlan;
use proxyfs_sim::machine::{Machine, Setup};
use proxyfs_sim::{is_long, runtime};
use proxyfs_store::MemStore;
use tokio::time::sleep;

const INTERVAL: Duration = Duration::from_secs(10);

async fn writer(tier: Tier) -> Machine {
    let mut setup = Setup::busy(tier, ReplayLogSync::Pipelined);
    setup.options.checkpoint_interval = Duration::from_secs(36_000);
    setup.options.delete_grace = Duration::from_secs(600);
    let mut machine = Machine::new(Arc::new(MemStore::new()), setup, 1);
    machine.create_volume().await.expect("a volume");
    machine.open().await.expect("open");
    put(machine.volume(), "first", &bytes(1, 20_000)).await.expect("write");
    machine.volume().checkpoint().await.expect("checkpoint");
    machine
}

async fn follower(machine: &Machine, interval: Duration) -> Machine {
    let mut follower = machine.another(7);
    follower.setup.options.take_over = false;
    follower.setup.options.read_only = true;
    follower.setup.options.follow_interval = interval;
    follower.open().await.expect("a follower");
    follower
}

async fn open(machine: &Machine, name: &str) -> Handle {
    let attr = machine.volume().lookup(Ino::ROOT, name.as_bytes()).await.expect("lookup");
    let flags = OpenFlags { read: true, ..OpenFlags::default() };
    machine.volume().open(Caller::default(), attr.ino, flags).await.expect("open")
}

async fn content(machine: &Machine, name: &str) -> Option<Vec<u8>> {
    get(machine.volume(), name).await.expect("read")
}

#[test]
fn a_follower_shows_a_new_checkpoint_within_its_interval() {
    runtime().block_on(async {
        for tier in [Tier::Disk, Tier::Store] {
            let machine = writer(tier).await;
            let follower = follower(&machine, INTERVAL).await;
            put(machine.volume(), "second", &bytes(2, 30_000)).await.expect("write");
            remove(machine.volume(), "first").await.expect("remove");
            sleep(INTERVAL * 2).await;
            assert_eq!(content(&follower, "second").await, None, "not in a checkpoint yet");
            machine.volume().checkpoint().await.expect("checkpoint");
            sleep(INTERVAL + Duration::from_secs(1)).await;
            assert_eq!(content(&follower, "second").await, Some(bytes(2, 30_000)));
            assert_eq!(content(&follower, "first").await, None);
            let (theirs, ours) = (machine.volume().status(), follower.volume().status());
            assert_eq!((ours.head_seq, ours.epoch, ours.inodes), (theirs.head_seq, theirs.epoch, theirs.inodes));
            assert!(!ours.dirty && ours.problem.is_none() && ours.looked_secs.is_some(), "{ours:?}");
            assert_eq!(follower.volume().check_metadata().await.expect("check"), []);
            assert_eq!(follower.gate.writes(), 0, "a follower never writes to the store");
        }
    });
}

#[test]
fn an_idle_follower_sends_one_request_an_interval() {
    runtime().block_on(async {
        let machine = writer(Tier::Disk).await;
        let follower = follower(&machine, INTERVAL).await;
        sleep(INTERVAL * 3).await;
        let (before, local) = (follower.gate.calls(), follower.sim.dir.calls().count());
        sleep(INTERVAL * 20).await;
        assert!((19..=20).contains(&(follower.gate.calls() - before)), "{}", follower.gate.calls() - before);
        assert_eq!(follower.sim.dir.calls().count(), local, "nor touches the disk");
    });
}

#[test]
fn an_interval_of_zero_turns_following_off_and_a_refresh_works_all_the_same() {
    runtime().block_on(async {
        let machine = writer(Tier::Disk).await;
        let follower = follower(&machine, Duration::ZERO).await;
        put(machine.volume(), "second", b"second").await.expect("write");
        machine.volume().checkpoint().await.expect("checkpoint");
        let before = follower.gate.calls();
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(follower.gate.calls(), before);
        assert_eq!(content(&follower, "second").await, None);
        assert!(follower.volume().refresh().await.expect("refresh"));
        assert_eq!(content(&follower, "second").await, Some(b"second".to_vec()));
        assert!(!follower.volume().refresh().await.expect("refresh"), "nothing new");
    });
}

#[test]
fn an_open_file_that_was_removed_goes_on_being_read() {
    runtime().block_on(async {
        let machine = writer(Tier::Disk).await;
        machine.volume().mkdir(Caller::default(), Ino::ROOT, b"dir", 0o755, 0).await.expect("mkdir");
        machine.volume().checkpoint().await.expect("checkpoint");
        let follower = follower(&machine, INTERVAL).await;
        let volume = follower.volume();
        let handle = open(&follower, "first").await;
        let ino = volume.lookup(Ino::ROOT, b"first").await.expect("lookup").ino;
        let dir = volume.lookup(Ino::ROOT, b"dir").await.expect("lookup").ino;
        let stream = volume.opendir(Caller::default(), dir).await.expect("opendir");
        remove(machine.volume(), "first").await.expect("remove");
        machine.volume().rmdir(Caller::default(), Ino::ROOT, b"dir").await.expect("rmdir");
        for round in 0..3 {
            put(machine.volume(), "other", &bytes(round, 5_000)).await.expect("write");
            machine.volume().checkpoint().await.expect("checkpoint");
            assert!(volume.refresh().await.expect("refresh"));
            volume.drop_caches();
            assert_eq!(volume.read(handle, 0, 30_000).await.expect("read").concat(), bytes(1, 20_000));
            let attr = volume.getattr(ino).await.expect("getattr");
            assert_eq!((attr.nlink, attr.size), (0, 20_000));
            assert_eq!(volume.readdir(stream, 0, false).await.expect("readdir"), [], "a removed directory is empty");
        }
        volume.release(handle, None).await.expect("release");
        volume.releasedir(stream).await.expect("releasedir");
        assert_eq!(volume.getattr(ino).await.expect_err("gone").kind(), ErrorKind::Stale);
    });
}

#[test]
fn an_open_file_whose_objects_are_gone_too_says_that_it_is_stale() {
    runtime().block_on(async {
        let machine = writer(Tier::Disk).await;
        let follower = follower(&machine, INTERVAL).await;
        let handle = open(&follower, "first").await;
        remove(machine.volume(), "first").await.expect("remove");
        for round in 0..20 {
            machine.clock.advance_nanos(200_000_000_000);
            put(machine.volume(), "other", &bytes(round, 5_000)).await.expect("write");
            machine.volume().checkpoint().await.expect("checkpoint");
            follower.volume().refresh().await.expect("refresh");
        }
        follower.volume().drop_caches();
        let error = follower.volume().read(handle, 0, 100).await.expect_err("its segment is deleted");
        assert_eq!(error.kind(), ErrorKind::Stale, "{error}");
        assert!(error.to_string().contains("removed by the volume's writer"), "{error}");
    });
}

#[test]
fn a_follower_that_was_left_behind_catches_up_when_what_it_shows_is_gone() {
    runtime().block_on(async {
        let machine = writer(Tier::Disk).await;
        let follower = follower(&machine, Duration::from_secs(36_000)).await;
        for round in 0..30 {
            machine.clock.advance_nanos(200_000_000_000);
            put(machine.volume(), "first", &bytes(100 + round, 20_000)).await.expect("write");
            machine.volume().checkpoint().await.expect("checkpoint");
        }
        follower.volume().drop_caches();
        assert_eq!(content(&follower, "first").await, Some(bytes(129, 20_000)), "not an error, nor old bytes");
        assert_eq!(follower.volume().status().head_seq, machine.volume().status().head_seq);
    });
}

#[test]
fn without_the_store_a_follower_shows_what_it_had_and_says_so() {
    runtime().block_on(async {
        let machine = writer(Tier::Disk).await;
        let follower = follower(&machine, INTERVAL).await;
        assert_eq!(content(&follower, "first").await, Some(bytes(1, 20_000)));
        follower.gate.plan(GatePlan::GoneFrom(0));
        put(machine.volume(), "second", b"second").await.expect("write");
        machine.volume().checkpoint().await.expect("checkpoint");
        sleep(Duration::from_secs(300)).await;
        let status = follower.volume().status();
        assert_eq!((status.connection, status.halted), (ConnectionState::Offline, None));
        assert!(status.problem.is_some());
        assert_eq!(content(&follower, "first").await, Some(bytes(1, 20_000)));
        assert_eq!(content(&follower, "second").await, None);
        assert_eq!(follower.volume().refresh().await.expect_err("away").kind(), ErrorKind::Unavailable);
        // Meanwhile the heads right after the one it knows come and go.
        for round in 0..30 {
            machine.clock.advance_nanos(70_000_000_000);
            put(machine.volume(), "third", &bytes(round, 5_000)).await.expect("write");
            machine.volume().checkpoint().await.expect("checkpoint");
        }
        follower.gate.plan(GatePlan::Open);
        sleep(INTERVAL * 2).await;
        let status = follower.volume().status();
        assert_eq!((status.connection, status.problem), (ConnectionState::Online, None));
        assert_eq!(content(&follower, "second").await, Some(b"second".to_vec()));
        assert_eq!(content(&follower, "third").await, Some(bytes(29, 5_000)));
    });
}

#[test]
fn a_head_that_cannot_be_used_leaves_the_old_checkpoint_and_shows_as_a_problem() {
    runtime().block_on(async {
        for what in ["damaged", "missing table", "of another volume"] {
            let machine = writer(Tier::Disk).await;
            let follower = follower(&machine, INTERVAL).await;
            let good = machine.volume().status().head_seq;
            put(machine.volume(), "second", b"second").await.expect("write");
            machine.volume().checkpoint().await.expect("checkpoint");
            let bad = head_key(machine.volume().status().head_seq);
            let (key, whole) =
                machine.store().dump().into_iter().find(|(key, _)| *key == bad).expect("the newest head");
            match what {
                "damaged" => {
                    let mut content = whole.to_vec();
                    content[40] ^= 1;
                    machine.store().overwrite(key.clone(), Bytes::from(content));
                }
                "missing table" => {
                    let newest = machine.store().dump().into_iter().filter(|(k, _)| k.path.starts_with("meta/"));
                    let newest = newest.max_by_key(|(k, _)| k.path.rsplit('/').next().map(str::to_owned));
                    let key = newest.expect("a meta object").0;
                    machine.store().delete(&[key]).await.expect("delete");
                }
                _ => {
                    let other = writer(Tier::Disk).await;
                    let heads = other.store().dump().into_iter().filter(|(k, _)| k.path.starts_with("head/"));
                    let foreign = heads.last().expect("a head").1;
                    machine.store().overwrite(key.clone(), foreign);
                }
            }
            sleep(INTERVAL * 3).await;
            let status = follower.volume().status();
            assert_eq!((status.head_seq, status.connection), (good, ConnectionState::Online), "{what}: {status:?}");
            assert!(status.problem.is_some(), "{what}: {status:?}");
            assert_eq!(content(&follower, "first").await, Some(bytes(1, 20_000)), "{what}");
            assert_eq!(content(&follower, "second").await, None, "{what}");
            if what != "missing table" {
                machine.store().overwrite(key, whole);
                sleep(INTERVAL * 2).await;
                assert_eq!(follower.volume().status().problem, None, "{what}");
                assert_eq!(content(&follower, "second").await, Some(b"second".to_vec()), "{what}");
            }
        }
    });
}

#[test]
fn a_follower_tells_what_changed() {
    runtime().block_on(async {
        let machine = writer(Tier::Disk).await;
        put(machine.volume(), "gone", b"gone").await.expect("write");
        put(machine.volume(), "same", b"same").await.expect("write");
        machine.volume().checkpoint().await.expect("checkpoint");
        let follower = follower(&machine, INTERVAL).await;
        assert!(machine.volume().changes().is_none(), "a writer changes nothing behind its users' backs");
        let mut feed = follower.volume().changes().expect("a follower has changes");
        let ino = async |name: &str| follower.volume().lookup(Ino::ROOT, name.as_bytes()).await.expect("lookup").ino;
        let (first, gone, same) = (ino("first").await, ino("gone").await, ino("same").await);
        machine.clock.advance_nanos(1_000_000_000);
        put(machine.volume(), "first", &bytes(9, 20_000)).await.expect("overwrite");
        put(machine.volume(), "new", b"new").await.expect("write");
        remove(machine.volume(), "gone").await.expect("remove");
        machine.volume().checkpoint().await.expect("checkpoint");
        let Some(Changes::Listed(changes)) = feed.next().await else { panic!("a list") };
        let entry = |name: &'static str| Change::Entry { parent: Ino::ROOT, name: Bytes::from_static(name.as_bytes()) };
        for wanted in
            [entry("new"), entry("gone"), Change::Content(first), Change::Content(gone), Change::Attributes(Ino::ROOT)]
        {
            assert!(changes.contains(&wanted), "{wanted:?} is not in {changes:?}");
        }
        assert!(!changes.contains(&entry("first")) && !changes.contains(&entry("same")), "{changes:?}");
        assert!(!changes.iter().any(|c| *c == Change::Content(same) || *c == Change::Attributes(same)), "{changes:?}");

        let handle = open(&follower, "same").await;
        for i in 0..10_100 {
            put(machine.volume(), &format!("file {i}"), b"").await.expect("write");
        }
        remove(machine.volume(), "new").await.expect("remove");
        machine.volume().checkpoint().await.expect("checkpoint");
        let Some(Changes::Everything { names, open }) = feed.next().await else { panic!("too much for a list") };
        for name in ["same", "new", "file 1"] {
            assert!(names.iter().any(|n| n == name), "{name}");
        }
        assert_eq!(open, [same]);
        follower.volume().release(handle, None).await.expect("release");
    });
}

/// What the writer's tree was in each of its checkpoints.
#[derive(Default)]
struct History(BTreeMap<u64, TreeSnapshot>);

impl History {
    async fn note(&mut self, machine: &Machine) {
        let picture = snapshot(machine.volume()).await.expect("a picture").without_lazy_times();
        self.0.insert(machine.volume().status().head_seq, picture);
    }

    /// What a follower must show at head `seq`: claims change nothing.
    fn at(&self, seq: u64) -> &TreeSnapshot {
        self.0.range(..=seq).next_back().expect("a checkpoint").1
    }
}

/// A round of changes that leaves pairs of files equal, then a checkpoint.
async fn change(machine: &Machine, round: u64) {
    let volume = machine.volume();
    let name = |side: &str| format!("{side} {}", round % 5);
    for side in ["left", "right"] {
        put(volume, &name(side), &bytes(round, 3_000 + (round as usize % 7) * 5_000)).await.expect("write");
    }
    let dir = format!("dir {}", round % 3);
    match volume.mkdir(Caller::default(), Ino::ROOT, dir.as_bytes(), 0o755, 0).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            volume.rmdir(Caller::default(), Ino::ROOT, dir.as_bytes()).await.expect("rmdir");
        }
        Err(error) => panic!("{error}"),
    }
    if round % 4 == 3 {
        for side in ["left", "right"] {
            remove(volume, &name(side)).await.expect("remove");
        }
    }
}

/// Looks at the follower again and again; a look that no step fell into is that checkpoint of the writer.
async fn look(follower: &Machine, history: &parking_lot::Mutex<History>, seen: &mut BTreeMap<u64, u32>) {
    let before = follower.volume().status().head_seq;
    let picture = snapshot(follower.volume()).await;
    if follower.volume().status().head_seq != before {
        return;
    }
    let picture = match picture {
        Ok(picture) => picture.without_lazy_times(),
        Err(error) if error.kind() == ErrorKind::Unavailable => return,
        Err(error) => panic!("head {before}: {error}"),
    };
    let history = history.lock();
    let lines = diff(history.at(before), &picture);
    assert!(lines.is_empty(), "head {before}: {}", lines.join("\n"));
    *seen.entry(before).or_default() += 1;
}

async fn follow_a_busy_writer(seed: u64, plan: impl Fn(u64, u64) -> GatePlan) {
    let mut machine = writer(if seed.is_multiple_of(2) { Tier::Disk } else { Tier::Store }).await;
    let follower = follower(&machine, Duration::from_millis(40 + seed * 13 % 90)).await;
    let history = parking_lot::Mutex::new(History::default());
    let mut first = History::default();
    first.note(&machine).await;
    *history.lock() = first;
    let mut seen = BTreeMap::new();
    let rounds = if is_long() { 400 } else { 60 };
    for round in 0..rounds {
        machine.clock.advance_nanos(30_000_000_000);
        change(&machine, round).await;
        if round == rounds / 2 {
            // Another writer takes over; the follower goes with whoever owns the volume.
            machine.volume().checkpoint().await.expect("checkpoint");
            let mut next = History(std::mem::take(&mut history.lock().0));
            next.note(&machine).await;
            *history.lock() = next;
            let mut other = machine.another(seed + 50);
            other.open().await.expect("take over");
            put(machine.volume(), "never seen", b"fenced").await.expect("staged");
            machine.volume().checkpoint().await.expect_err("fenced");
            machine = other;
            change(&machine, round).await;
        }
        follower.gate.plan(plan(round, follower.gate.calls() + 1 + seed % 5));
        // The picture of a checkpoint is known before anybody can see it.
        let picture = snapshot(machine.volume()).await.expect("a picture").without_lazy_times();
        history.lock().0.insert(machine.volume().status().head_seq + 1, picture);
        let published = machine.volume().checkpoint();
        let (published, ()) = tokio::join!(published, look(&follower, &history, &mut seen));
        published.expect("checkpoint");
        let wait = seed.wrapping_mul(31).wrapping_add(round * 17) % 90;
        sleep(Duration::from_millis(wait)).await;
        look(&follower, &history, &mut seen).await;
    }
    follower.gate.plan(GatePlan::Open);
    sleep(Duration::from_secs(1)).await;
    look(&follower, &history, &mut seen).await;
    assert_eq!(follower.volume().status().head_seq, machine.volume().status().head_seq);
    assert!(seen.len() as u64 > rounds / 6, "seed {seed}: only {} checkpoints were looked at", seen.len());
    assert_eq!(follower.volume().check_metadata().await.expect("check"), []);
    assert_eq!(follower.gate.writes(), 0, "a follower never writes to the store");
}

#[test]
fn a_follower_sees_only_whole_checkpoints_of_a_busy_writer_and_of_its_successor() {
    for seed in 0..6 {
        runtime().block_on(follow_a_busy_writer(seed, |_, _| GatePlan::Open));
    }
}

#[test]
fn a_follower_sees_only_whole_checkpoints_when_its_requests_fail() {
    for seed in 0..6 {
        let once = |round, call| if round % 2 == 0 { GatePlan::FailBefore(call) } else { GatePlan::Open };
        runtime().block_on(follow_a_busy_writer(seed, once));
        let away = |round, call| if round % 5 < 2 { GatePlan::GoneFrom(call) } else { GatePlan::Open };
        runtime().block_on(follow_a_busy_writer(seed, away));
    }
}
