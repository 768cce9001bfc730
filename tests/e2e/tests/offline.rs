//! Reading without the store, and handing a volume over.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use proxyfs_e2e::{Expected, Home, S3Process, wait_until};

/// What a program sees that waits for a store that is away.
const ETIMEDOUT: i32 = 110;
const EIO: i32 = 5;
/// The limit that the volume is given.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(3);

struct Lab {
    home: Home,
    server: S3Process,
    url: String,
    scratch: tempfile::TempDir,
}

fn run(test: impl FnOnce(&mut Lab) -> Result<()>) {
    let (Some(program), Some(server)) = (Home::find_program(), S3Process::find_program()) else {
        eprintln!("SKIP: the programs are not built");
        return;
    };
    let begin = || -> Result<Lab> {
        let scratch = tempfile::tempdir()?;
        let mut server = S3Process::start(&server, &scratch.path().join("objects"))?;
        let home = Home::new(&scratch.path().join("h"), &program)?;
        let home = home.with_credentials(&server.access_key, &server.secret_key);
        let url = server.url("bucket", "p")?;
        Ok(Lab { home, server, url, scratch })
    };
    begin().and_then(|mut lab| test(&mut lab)).unwrap_or_else(|e| panic!("{e:#}"));
}

fn look_around(dir: &Path) -> Result<()> {
    rustix::fs::statvfs(dir)?;
    ensure!(fs::read_dir(dir)?.count() == 2, "a listing");
    ensure!(fs::metadata(dir.join("unread"))?.len() == 3_000_000, "attributes");
    Ok(())
}

#[test]
fn what_was_read_before_is_read_without_the_store_and_the_rest_fails_in_time() {
    run(|lab| {
        let dir = lab.scratch.path().join("m");
        let option = ["-o", "operation_timeout=3s"];
        lab.home.create_volume("v", &lab.url, &option)?;
        let mount = lab.home.mount("v", &dir, &[])?;
        fs::write(dir.join("read"), vec![5; 3_000_000])?;
        lab.home.run(&["checkpoint", "v"])?;
        fs::write(dir.join("unread"), vec![6; 3_000_000])?;
        mount.unmount()?;

        // Nothing is remembered; then one file is read, and all names are seen.
        fs::remove_dir_all(lab.home.state_dir())?;
        let mount = lab.home.mount("v", &dir, &[])?;
        ensure!(fs::read(dir.join("read"))? == vec![5; 3_000_000], "the file");
        look_around(&dir)?;
        mount.unmount()?;

        lab.server.stop()?;
        let mount = lab.home.mount("v", &dir, &[])?;
        look_around(&dir)?;
        ensure!(fs::read(dir.join("read"))? == vec![5; 3_000_000], "what is cached");
        let begun = Instant::now();
        let error = fs::read(dir.join("unread")).expect_err("it is nowhere on this computer");
        ensure!(matches!(error.raw_os_error(), Some(EIO | ETIMEDOUT)), "{error}");
        ensure!(begun.elapsed() < OPERATION_TIMEOUT * 5, "it failed after {:?}", begun.elapsed());
        look_around(&dir)?;
        fs::write(dir.join("new"), "written offline")?;
        ensure!(fs::read(dir.join("new"))? == b"written offline", "what was just written");
        lab.server.restart()?;
        lab.home.run(&["flush", "v"])?;
        ensure!(fs::read(dir.join("unread"))? == vec![6; 3_000_000], "the store is back");
        mount.unmount()
    });
}

#[test]
fn a_store_that_is_away_is_shown_within_seconds_and_a_flush_says_what_it_waits_for() {
    run(|lab| {
        let dir = lab.scratch.path().join("m");
        lab.home.create_volume("v", &lab.url, &[])?;
        let mount = lab.home.mount("v", &dir, &["-o", "max_flush_time=200ms"])?;
        lab.server.stop()?;
        fs::write(dir.join("new"), vec![1; 100_000])?;
        let connection = || lab.home.ask(&["status", "v"]).map(|status| status["volume"]["connection"].clone());
        // Calls to the store go on being repeated for a minute.
        let shown = wait_until(Duration::from_secs(20), || connection().is_ok_and(|c| c == "offline"));
        ensure!(shown, "it is {:?}", connection());
        let mut flush = lab.home.command(["flush", "v"]);
        let mut flush = flush.stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let mut line = String::new();
        let told = flush.stderr.take().map(BufReader::new).map(|mut lines| lines.read_line(&mut line));
        lab.server.restart()?;
        let ended = flush.wait()?;
        ensure!(told.is_some_and(|read| read.is_ok()) && ended.success(), "flush: {ended}, {line}");
        ensure!(line.contains("still to upload") && line.contains("the store is away"), "{line}");
        ensure!(connection()? == "online", "it is {:?}", connection());
        mount.unmount()
    });
}

/// Mounts on another machine, checks the file, adds one, and unmounts.
fn use_there(lab: &Lab, home: &Home, more: &[&str]) -> Result<()> {
    let dir = lab.scratch.path().join("there");
    let mount = home.mount(&lab.url, &dir, more)?;
    ensure!(fs::read(dir.join("file"))? == b"one", "the file");
    fs::write(dir.join("other"), "two")?;
    mount.unmount()
}

#[test]
fn a_released_volume_is_mounted_elsewhere_without_taking_over() {
    run(|lab| {
        let dir = lab.scratch.path().join("m");
        lab.home.create_volume("v", &lab.url, &[])?;
        let program = Home::find_program().ok_or_else(|| anyhow::anyhow!("the program has gone"))?;
        let there = Home::new(&lab.scratch.path().join("h2"), &program)?;
        let there = there.with_credentials(&lab.server.access_key, &lab.server.secret_key);
        let place = lab.scratch.path().join("there");
        fs::create_dir(&place)?;
        // Killed: its owner may come back with more. A release brings what it had left into the store, and gives it up.
        let mount = lab.home.mount("v", &dir, &[])?;
        fs::write(dir.join("file"), "one")?;
        mount.kill()?;
        let refused = Expected { code: 1, why: &["the volume at s3://"], advice: "--take-over" };
        there.refuses(&["mount", &lab.url, &place.to_string_lossy()], &[], refused)?;
        ensure!(lab.home.run(&["volume", "release", "v"])?.contains("any computer may mount it"), "a release says so");
        use_there(lab, &there, &[])?;

        // Back at the first, which sees what the other wrote.
        let mount = lab.home.mount("v", &dir, &[])?;
        ensure!(fs::read(dir.join("other"))? == b"two", "what the other wrote");
        mount.kill()?;
        // Taken over, the first is told, and keeps what it has.
        use_there(lab, &there, &["--take-over"])?;
        let mount = lab.home.mount("v", &dir, &[])?;
        ensure!(fs::read(dir.join("file"))? == b"one", "the file");
        mount.kill()?;
        ensure!(lab.home.run(&["volume", "take-over", "v", "--json"])?.contains("taken_over"), "a take-over says so");
        use_there(lab, &there, &[])
    });
}
