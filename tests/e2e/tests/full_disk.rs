//! A staging disk that is really full: writers wait, then get ENOSPC; reads go on; nothing acknowledged is lost; with room it goes on.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use proxyfs_e2e::namespace::{self, is_inside, place};
use proxyfs_e2e::{Home, Mount, S3Process, wait_until};

const MIB: usize = 1 << 20;
/// Options that make a small disk enough.
const OPTIONS: [&str; 2] =
    ["-o", "checkpoint_interval=1s,max_flush_time=1s,max_flush_size=2MiB,operation_timeout=3s,disk_budget=1GiB"];
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `test` as root in a namespace of its own, where the state directory is a small file system in memory.
fn inside(name: &str, test: impl FnOnce(&Lab) -> Result<()>) {
    let (Some(program), Some(server)) = (Home::find_program(), S3Process::find_program()) else {
        eprintln!("SKIP: the programs are not built");
        return;
    };
    if !is_inside() {
        let prepare = "mkdir -p \"$place/home/state\"; mount -t tmpfs -o size=40m none \"$place/home/state\";";
        return namespace::enter(name, prepare);
    }
    let begin = || -> Result<Lab> {
        let home = Home::new(&place().join("home"), &program)?;
        let objects = tempfile::tempdir()?;
        let mut server = S3Process::start(&server, objects.path())?;
        let home = home.with_credentials(&server.access_key, &server.secret_key);
        let url = server.url("bucket", "p")?;
        home.create_volume("v", &url, &OPTIONS)?;
        Ok(Lab { home, server: std::cell::RefCell::new(server), _objects: objects })
    };
    begin().and_then(|lab| test(&lab)).unwrap_or_else(|e| panic!("{e:#}"));
}

struct Lab {
    home: Home,
    server: std::cell::RefCell<S3Process>,
    _objects: tempfile::TempDir,
}

impl Lab {
    fn mount(&self) -> Result<Mount> {
        self.home.mount("v", &place().join("m"), &[])
    }

    /// Takes all that is left of the disk, as another program would.
    fn fill(&self) -> Result<PathBuf> {
        let hog = self.home.state_dir().join("hog");
        let mut file = File::create(&hog)?;
        loop {
            match file.write(&[1; 4096]) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::StorageFull => return Ok(hog),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

fn content(n: usize) -> Vec<u8> {
    let mut state = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..MIB).map(next).collect()
}

/// Writes and syncs the files `from..to`; those that were acknowledged, or the first other error than a full disk.
fn write(dir: &Path, from: usize, to: usize) -> Result<Vec<usize>> {
    let mut acknowledged = Vec::new();
    for n in from..to {
        let one = || -> std::io::Result<()> {
            let mut file = File::create(dir.join(format!("f{n}")))?;
            file.write_all(&content(n))?;
            file.sync_all()
        };
        match one() {
            Ok(()) => acknowledged.push(n),
            Err(e) if e.kind() == ErrorKind::StorageFull => {}
            Err(e) => bail!("file {n}: {e}"),
        }
    }
    Ok(acknowledged)
}

fn check(dir: &Path, acknowledged: &[usize]) -> Result<()> {
    for n in acknowledged {
        ensure!(fs::read(dir.join(format!("f{n}")))? == content(*n), "file {n} is not what was acknowledged");
    }
    Ok(())
}

#[test]
fn a_small_disk_slows_writers_and_fails_none_while_the_store_takes_data() {
    inside("a_small_disk_slows_writers_and_fails_none_while_the_store_takes_data", |lab| {
        let mount = lab.mount()?;
        // Three times the disk.
        let all: Vec<usize> = (0..120).collect();
        ensure!(write(mount.dir(), 0, 120)? == all, "a write failed\n{}", mount.log());
        check(mount.dir(), &all)?;
        mount.unmount()?;
        lab.home.run(&["fsck", "v", "--data"]).map(drop)
    });
}

#[test]
fn a_full_disk_is_enospc_and_with_room_it_goes_on() {
    inside("a_full_disk_is_enospc_and_with_room_it_goes_on", |lab| {
        let mount = lab.mount()?;
        let mut acknowledged = write(mount.dir(), 0, 5)?;
        ensure!(acknowledged.len() == 5, "there is room for five");
        let hog = lab.fill()?;
        let begun = Instant::now();
        let meanwhile = write(mount.dir(), 5, 10)?;
        ensure!(meanwhile.len() < 5, "the disk is full");
        ensure!(begun.elapsed() < LIMIT, "it took {:?}", begun.elapsed());
        acknowledged.extend(meanwhile);
        check(mount.dir(), &acknowledged)?;
        // Names too: done or ENOSPC, and nothing else.
        for n in 0..50 {
            match fs::create_dir(mount.path(format!("d{n}"))) {
                Ok(()) => {}
                Err(e) => ensure!(e.kind() == ErrorKind::StorageFull, "{e}"),
            }
        }
        ensure!(fs::read_dir(mount.dir())?.count() >= acknowledged.len(), "listing goes on");
        fs::remove_file(hog)?;
        let again = || write(mount.dir(), 10, 11).is_ok_and(|done| done == [10]);
        ensure!(wait_until(LIMIT, again), "it does not go on\n{}", mount.log());
        acknowledged.push(10);
        lab.home.run(&["flush", "v"])?;
        // Killed and mounted again, all that was acknowledged is there.
        mount.kill()?;
        let mount = lab.mount()?;
        check(mount.dir(), &acknowledged)?;
        mount.unmount()?;
        lab.home.run(&["fsck", "v", "--data"]).map(drop)
    });
}

#[test]
fn without_the_store_a_full_disk_is_enospc_in_time_and_nothing_is_lost() {
    inside("without_the_store_a_full_disk_is_enospc_in_time_and_nothing_is_lost", |lab| {
        let mount = lab.mount()?;
        let mut acknowledged = write(mount.dir(), 0, 5)?;
        lab.server.borrow_mut().stop()?;
        // More than the disk takes.
        let begun = Instant::now();
        let more = write(mount.dir(), 5, 38)?;
        ensure!(!more.is_empty() && more.len() < 33, "{} of 33 files were taken", more.len());
        ensure!(begun.elapsed() < Duration::from_secs(300), "it took {:?}", begun.elapsed());
        acknowledged.extend(more);
        check(mount.dir(), &acknowledged[5..])?;
        mount.kill()?;
        let mount = lab.mount()?;
        lab.server.borrow_mut().restart()?;
        ensure!(wait_until(LIMIT, || write(mount.dir(), 50, 51).is_ok_and(|done| done == [50])), "{}", mount.log());
        acknowledged.push(50);
        check(mount.dir(), &acknowledged)?;
        mount.unmount()?;
        lab.home.run(&["fsck", "v", "--data"]).map(drop)
    });
}
