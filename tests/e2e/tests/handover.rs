//! Two daemons on two machines and one volume over S3 (the harness's server, or SeaweedFS if `PROXYFS_WEED` names it): the owner dies or is cut off, the other takes over, nothing is lost.
//!
//! The machines are network namespaces ([`proxyfs_e2e::network`]), so that a cut is one: packets vanish, and both sides go on. The volume has
//! tier `store`. Each round: a load with and without syncs on the owner; the cut; the other takes over and finds every synced call;
//! the owner publishes nothing more, says so, and everything that it had acknowledged and not published comes back in its folder.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proxyfs_e2e::ledger::{Found, Ledger};
use proxyfs_e2e::network::{Machine, Network, PREPARE};
use proxyfs_e2e::shared_store::{SharedStore, WEED_VARIABLE};
use proxyfs_e2e::{Daemon, Home, S3Process, is_mounted, namespace, wait_until};
use serde_json::Value;

/// Longest that anything may take that the test waits for.
const PATIENCE: Duration = Duration::from_secs(90);
/// Calls of a load that are synced before the cut, at least; more by this from round to round, up to as many again.
const BEFORE_CUT: usize = 60;
const BEFORE_CUT_STEP: usize = 37;
const BEFORE_CUT_MORE: usize = 300;
/// Calls of a load after the cut, which nobody else sees.
const AFTER_CUT: usize = 60;
/// Of the owner: a sync without the store fails soon, and uploads and checkpoints are under way at any moment.
const OPTIONS: &str = "operation_timeout=4s,max_flush_time=1s,checkpoint_interval=1s";
const EROFS: i32 = 30;

fn rounds() -> u64 {
    let named = std::env::var("PROXYFS_TEST_ROUNDS").ok().and_then(|text| text.parse().ok());
    named.unwrap_or(if std::env::var_os("PROXYFS_TEST_LONG").is_some() { 20 } else { 3 })
}

/// One of the two.
struct Host {
    home: Home,
    daemon: Option<Daemon>,
    point: PathBuf,
}

impl Host {
    fn start(&mut self) -> Result<()> {
        self.daemon = Some(Daemon::start(&self.home)?);
        Ok(())
    }

    fn mount(&self, more: &[&str]) -> Result<()> {
        let point = self.point.display().to_string();
        self.home.run(&[&["mount", "v", &point], more].concat()).map(drop)
    }

    fn unmount(&self) -> Result<String> {
        self.home.run(&["unmount", &self.point.display().to_string()])
    }

    fn status(&self) -> Result<Value> {
        self.home.ask(&["status", "v"])
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.dir().join("daemon.log")).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.daemon = None;
        if is_mounted(&self.point) {
            let _ = std::process::Command::new("umount").arg("-l").arg(&self.point).status();
        }
    }
}

/// The hosts go before the store, and that before its network.
struct Lab {
    one: Host,
    two: Host,
    store: SharedStore,
    network: Network,
    _scratch: tempfile::TempDir,
}

impl Lab {
    fn new(program: &Path, server: &Path, network: Network) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let weed = std::env::var_os(WEED_VARIABLE).map(PathBuf::from);
        let mut store = SharedStore::start(&network, server, weed.as_deref(), &scratch.path().join("store"))?;
        let (url, [access_key, secret_key]) = store.place()?;
        let host = |name: &str, machine| -> Result<Host> {
            let home = Home::new(&scratch.path().join(name), program)?.in_network(&network.machine(machine));
            let home = home.with_credentials(&access_key, &secret_key);
            let point = scratch.path().join(format!("{name}-m"));
            fs::create_dir(&point)?;
            Ok(Host { home, daemon: None, point })
        };
        let (mut one, mut two) = (host("one", Machine::One)?, host("two", Machine::Two)?);
        // The first has it in its registry, and mounts it whenever it runs; the second knows it by its configuration.
        one.home.create_volume("v", &url, &["--tier", "store", "-o", OPTIONS])?;
        let config = two.home.dir().join("config/proxyfs");
        fs::create_dir_all(&config)?;
        fs::write(config.join("proxyfs.toml"), format!("[volumes.v]\nstore = \"{url}\"\n"))?;
        one.start()?;
        two.start()?;
        one.mount(&[])?;
        Ok(Self { one, two, store, network, _scratch: scratch })
    }

    fn logs(&self) -> String {
        format!("--- daemon one\n{}\n--- daemon two\n{}", self.one.log(), self.two.log())
    }

    /// The epochs of all heads from `seq` on.
    fn epochs_from(&self, seq: u64) -> Result<BTreeSet<u64>> {
        let mut epochs = BTreeSet::new();
        for name in self.store.names("head")? {
            let number = name.rsplit('/').next().and_then(|n| u64::from_str_radix(n, 16).ok());
            if number.context("the number of a head")? >= seq {
                let path = self.store.file(&name)?.display().to_string();
                let head = self.two.home.ask(&["dump", &path])?;
                epochs.insert(number_at(&head, &["content", "content", "epoch"])?);
            }
        }
        Ok(epochs)
    }
}

fn number_at(value: &Value, path: &[&str]) -> Result<u64> {
    let at = path.iter().fold(value, |v, key| &v[*key]);
    at.as_u64().with_context(|| format!("{path:?} of {value}"))
}

/// Runs `body` under a load of the first machine. `body` is to end the load: it gets what stops it.
fn under_load(
    lab: &mut Lab,
    round: u64,
    body: impl FnOnce(&mut Lab, &[Ledger], &AtomicBool) -> Result<()>,
) -> Result<Vec<Ledger>> {
    let ledgers = [("a", true), ("b", true), ("c", false)]
        .map(|(name, syncs)| Ledger::new(&format!("round-{round}-{name}"), syncs));
    let root = lab.one.point.clone();
    ledgers.iter().try_for_each(|ledger| ledger.begin(&root))?;
    let stop = AtomicBool::new(false);
    let until = BEFORE_CUT + usize::try_from(round)? * BEFORE_CUT_STEP % BEFORE_CUT_MORE;
    thread::scope(|scope| {
        for (number, ledger) in ledgers.iter().enumerate() {
            let (root, stop) = (&root, &stop);
            scope.spawn(move || ledger.write(root, round * 10 + number as u64, stop));
        }
        let busy = || ledgers.iter().all(|l| if l.is_syncing() { l.synced() } else { l.answered() } >= until);
        let reached = wait_until(PATIENCE, busy) && ledgers.iter().all(|l| l.ended().is_none());
        let outcome = if reached { body(lab, &ledgers, &stop) } else { Err(anyhow::anyhow!("the load got nowhere")) };
        stop.store(true, Ordering::Release);
        if outcome.is_err() {
            // Or a writer would wait for ever.
            drop(lab.one.daemon.take());
        }
        outcome
    })?;
    Ok(ledgers.into())
}

/// The second machine takes the volume over: by a mount, or by the command and a mount after it.
fn take_over(lab: &Lab, round: u64) -> Result<()> {
    if round.is_multiple_of(2) {
        return lab.two.mount(&["--take-over"]);
    }
    lab.two.home.run(&["volume", "take-over", "v"])?;
    lab.two.mount(&[])
}

/// What the second machine finds, and changes.
fn check_taken(lab: &Lab, ledgers: &[Ledger], round: u64) -> Result<()> {
    for ledger in ledgers {
        ledger.check_prefix(&lab.two.point)?;
    }
    fs::write(lab.two.point.join("shared"), format!("two {round}"))?;
    fs::write(lab.two.point.join(format!("by-two-{round}")), "new")?;
    fs::File::open(&lab.two.point)?.sync_all().context("a sync of the new owner")
}

/// The folder that was recovered, once it is complete and its sources are gone; `None` when there was nothing to recover.
fn recovered_folder(lab: &Lab, with_rest: bool) -> Result<Option<PathBuf>> {
    // Named by this mount: the other machine may have recovered something before.
    let find = || {
        let status = lab.one.status().ok()?;
        let name = status["volume"]["recovered"].as_array()?.last()?["folder"].as_str()?.to_owned();
        name.starts_with("Recovered from ").then(|| lab.one.point.join(name))
    };
    let begun = !with_rest || wait_until(PATIENCE, || find().is_some());
    ensure!(begun, "nothing was recovered: {:#}", lab.one.status()?);
    let gone = wait_until(PATIENCE, || lab.one.status().is_ok_and(|s| s["held"].is_null()));
    ensure!(gone, "it is still held back: {:#}", lab.one.status()?);
    Ok(find())
}

/// Everything that the first machine had acknowledged is in the volume or in the folder; what the second changed is as it left it.
fn check_recovered(
    lab: &Lab,
    ledgers: &[Ledger],
    round: u64,
    own_shared: Option<&str>,
    with_rest: bool,
) -> Result<Found> {
    let folder = recovered_folder(lab, with_rest)?;
    let is_there = folder.is_some();
    let folder = folder.unwrap_or_else(|| lab.one.point.join("no folder"));
    let listing = if is_there { fs::read_to_string(folder.join("What was recovered.txt"))? } else { String::new() };
    let mut all = Found::default();
    for ledger in ledgers {
        let found = ledger.check_recovered(&lab.one.point, &folder, &listing)?;
        all.in_place += found.in_place;
        all.recovered += found.recovered;
        all.listed += found.listed;
    }
    ensure!(all.recovered > 0 || !with_rest, "nothing of the load was left to recover");
    ensure!(fs::read_to_string(lab.one.point.join("shared"))? == format!("two {round}"), "the new owner's file");
    ensure!(fs::read_to_string(lab.one.point.join(format!("by-two-{round}")))? == "new", "the new owner's new file");
    if let Some(own) = own_shared {
        ensure!(fs::read_to_string(folder.join("shared"))? == own, "the former owner's version of a file of both");
    }
    // As a person would who has looked through it.
    if is_there {
        fs::remove_dir_all(&folder)?;
    }
    for ledger in ledgers {
        fs::remove_dir_all(lab.one.point.join(&ledger.dir))?;
    }
    Ok(all)
}

fn fsck(home: &Home) -> Result<()> {
    let report = home.ask(&["fsck", "v", "--data"])?;
    // A note says that it is mounted.
    let count = |severity| number_at(&report, &[severity]);
    ensure!(count("errors")? == 0 && count("warnings")? == 0, "{report:#}");
    Ok(())
}

/// The owner is killed.
fn killed(lab: &mut Lab, round: u64) -> Result<Found> {
    // Under syncs, of which the last may have brought in everything; or with a rest that nobody has synced.
    let with_rest = round.is_multiple_of(2);
    let ledgers = under_load(lab, round, |lab, ledgers, _| {
        if with_rest {
            ledgers.iter().for_each(Ledger::end_syncs);
            let at: Vec<usize> = ledgers.iter().map(Ledger::answered).collect();
            let went_on = || ledgers.iter().zip(&at).all(|(l, at)| l.answered() >= at + AFTER_CUT);
            ensure!(wait_until(PATIENCE, went_on), "the load did not go on without syncs");
        }
        lab.one.daemon.take().context("a daemon")?.kill()?;
        // The dead mount gives each writer an error.
        let ended = wait_until(PATIENCE, || ledgers.iter().all(|l| l.ended().is_some()));
        ensure!(ended, "a writer goes on without a server");
        Ok(())
    })?;
    take_over(lab, round)?;
    check_taken(lab, &ledgers, round)?;
    // The first comes back, finds the volume taken, and says what it holds.
    lab.one.start()?;
    if with_rest {
        held_back(lab, "in use by")?;
    }
    lab.two.home.run(&["volume", "release", "v"])?;
    if with_rest {
        // It tries by itself, as the mount is wanted.
        let mounted =
            wait_until(PATIENCE, || is_mounted(&lab.one.point) && lab.one.status().is_ok_and(|s| s["mounted"] == true));
        ensure!(mounted, "it was not mounted again: {:#}", lab.one.status()?);
    } else {
        lab.one.mount(&[])?;
    }
    let found = check_recovered(lab, &ledgers, round, None, with_rest)?;
    fsck(&lab.one.home)?;
    Ok(found)
}

/// What status says of what the first machine has and could not publish.
fn held_back(lab: &Lab, why: &str) -> Result<()> {
    let status = lab.one.status()?;
    let held = &status["held"];
    ensure!(number_at(held, &["files"])? > 0 && number_at(held, &["bytes"])? > 0, "{status:#}");
    let place = held["place"].as_str().unwrap_or_default();
    ensure!(Path::new(place).is_dir(), "{status:#}");
    let text = lab.one.home.run(&["status", "v"])?;
    for part in ["held", why, place] {
        ensure!(text.contains(part), "status does not say '{part}':\n{text}");
    }
    let problems = lab.one.home.run(&["status"])?;
    ensure!(problems.contains("not published"), "the overview does not tell:\n{problems}");
    Ok(())
}

/// The owner is cut off and goes on.
fn cut_off(lab: &mut Lab, round: u64) -> Result<Found> {
    let mine = format!("one {round}");
    fs::write(lab.one.point.join("shared"), "before")?;
    let ledgers = under_load(lab, round, |lab, ledgers, stop| {
        lab.network.cut(Machine::One)?;
        fs::write(lab.one.point.join("shared"), &mine)?;
        let at: Vec<usize> = ledgers.iter().map(Ledger::answered).collect();
        take_over(lab, round)?;
        let seq = number_at(&lab.two.status()?, &["volume", "head_seq"])?;
        let epoch = number_at(&lab.two.status()?, &["volume", "epoch"])?;
        check_taken(lab, ledgers, round)?;
        let went_on = || ledgers.iter().zip(&at).all(|(l, at)| l.answered() >= at + AFTER_CUT);
        ensure!(wait_until(PATIENCE, went_on), "the load did not go on while its owner was cut off");
        let published = |lab: &Lab| -> Result<_> { Ok((lab.store.names("log")?, lab.store.names("meta")?)) };
        let old = |names: &BTreeSet<String>| -> BTreeSet<String> {
            names.iter().filter(|n| epoch_of(n).is_none_or(|e| e < epoch)).cloned().collect()
        };
        let before = published(lab)?;

        lab.network.join(Machine::One)?;
        let joined = Instant::now();
        let fenced = || lab.one.status().is_ok_and(|s| s["volume"]["fenced"] == true);
        ensure!(wait_until(PATIENCE, fenced), "the former owner did not notice: {:#}", lab.one.status()?);
        eprintln!("  fenced {:.1} s after the cable was back", joined.elapsed().as_secs_f64());
        let ended = wait_until(PATIENCE, || ledgers.iter().all(|l| l.ended().is_some()));
        ensure!(ended, "a writer goes on after the volume was lost");
        for ledger in ledgers {
            ensure!(ledger.ended() == Some(EROFS), "{} ended with {:?}", ledger.dir, ledger.ended());
        }
        stop.store(true, Ordering::Release);
        let late = fs::write(lab.one.point.join("late"), "late").err().and_then(|e| e.raw_os_error());
        ensure!(late == Some(EROFS), "a write after the volume was lost gave {late:?}");
        ensure!(fs::read_to_string(lab.one.point.join("shared"))? == mine, "it is still read as it was there");
        held_back(lab, "another owner")?;

        let after = published(lab)?;
        let more = |before, after| -> Vec<String> { old(after).difference(&old(before)).cloned().collect() };
        let log = more(&before.0, &after.0);
        ensure!(log.is_empty(), "the former owner wrote log objects after it had lost the volume: {log:?}");
        // Packets that were on their way when the cable was pulled arrive; what no head and no log names is not published.
        let strays = more(&before.1, &after.1);
        eprintln!("  {} metadata objects arrived that no head names", strays.len());
        ensure!(lab.epochs_from(seq)? == BTreeSet::from([epoch]), "a head of another epoch came after the take-over");
        for ledger in ledgers {
            ledger.check_prefix(&lab.two.point)?;
        }
        Ok(())
    })?;
    if round % 4 == 2 {
        // It comes back by itself, but not while a program uses it.
        let in_use = fs::File::open(lab.one.point.join("shared"))?;
        lab.two.home.run(&["volume", "release", "v"])?;
        let told = wait_until(PATIENCE, || lab.one.log().contains("once no program uses the drive"));
        ensure!(told && lab.one.status()?["volume"]["fenced"] == true, "it did not wait for the open file");
        drop(in_use);
        let owns = || lab.one.status().is_ok_and(|s| s["mounted"] == true && s["volume"]["fenced"] == false);
        ensure!(wait_until(PATIENCE, owns), "it did not come back by itself: {:#}", lab.one.status()?);
    } else if round.is_multiple_of(2) {
        lab.two.home.run(&["volume", "release", "v"])?;
        let said = lab.one.unmount();
        let said = said.unwrap_or_else(|e| format!("{e:#}"));
        ensure!(
            said.contains("another owner") && said.contains("proxyfs"),
            "an unmount does not say what is left:\n{said}"
        );
        ensure!(!is_mounted(&lab.one.point), "it is still mounted");
        lab.one.mount(&[])?;
    } else {
        // Back by force: the second is fenced in its turn, and has nothing that is not published.
        lab.two.home.run(&["checkpoint", "v"])?;
        lab.one.home.run(&["volume", "take-over", "v"])?;
    }
    let found = check_recovered(lab, &ledgers, round, Some(&mine), true)?;
    if !round.is_multiple_of(2) {
        let _ =
            fs::write(lab.two.point.join("too-late"), "two").and_then(|()| fs::File::open(&lab.two.point)?.sync_all());
        let fenced = || lab.two.status().is_ok_and(|s| s["volume"]["fenced"] == true);
        ensure!(wait_until(PATIENCE, fenced), "the second did not notice: {:#}", lab.two.status()?);
        ensure!(!lab.one.point.join("too-late").exists(), "the second published after it had lost the volume");
        // What it says of it is the same as above.
        let _ = lab.two.unmount();
    }
    fsck(&lab.one.home)?;
    Ok(found)
}

fn run(test: &str, round: impl Fn(&mut Lab, u64) -> Result<Found>) {
    if !namespace::is_inside() {
        namespace::enter(test, PREPARE);
        return;
    }
    let (Some(program), Some(server)) = (Home::find_program(), S3Process::find_program()) else {
        eprintln!("SKIP: the programs are not built");
        return;
    };
    let network = match Network::new() {
        Ok(network) => network,
        Err(e) => {
            eprintln!("SKIP: {test} needs network namespaces of its own: {e:#}");
            return;
        }
    };
    let mut lab = Lab::new(&program, &server, network).unwrap_or_else(|e| panic!("{e:#}"));
    for n in 0..rounds() {
        let begun = Instant::now();
        let done = round(&mut lab, n).with_context(|| format!("round {n}"));
        let found = done.unwrap_or_else(|e| panic!("{e:#}\n{}", lab.logs()));
        eprintln!("round {n}: {found:?} in {:.1} s", begun.elapsed().as_secs_f64());
    }
}

/// The epoch in an object's name: `log/EPOCH/N`, `meta/SHARD/EPOCH-NONCE`.
fn epoch_of(name: &str) -> Option<u64> {
    let words: Vec<&str> = name.split('/').collect();
    let word = match words[..] {
        ["log", epoch, _] => epoch,
        [_, _, id] => id.split('-').next()?,
        _ => return None,
    };
    u64::from_str_radix(word, 16).ok()
}

#[test]
fn an_owner_that_is_killed_loses_no_sync_and_gets_the_rest_back() {
    run("an_owner_that_is_killed_loses_no_sync_and_gets_the_rest_back", killed);
}

#[test]
fn an_owner_that_is_cut_off_publishes_nothing_and_gets_the_rest_back() {
    run("an_owner_that_is_cut_off_publishes_nothing_and_gets_the_rest_back", cut_off);
}

#[test]
fn epochs_are_read_from_names() {
    assert_eq!(epoch_of("log/0000000a/0001"), Some(10));
    assert_eq!(epoch_of("meta/3f/0000000b-0001"), Some(11));
    assert_eq!(epoch_of("volume.json"), None);
}
