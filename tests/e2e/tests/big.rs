//! Big things on a mount: a sparse file of 20 GiB, a directory of many entries.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use proxyfs_e2e::{Home, Mount};
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const FILE_BYTES: u64 = 20 * GIB;
const ISLAND_BYTES: u64 = 3 * MIB;

/// Where data lies in the file: at the start, in the middle and before the end.
fn islands() -> Vec<u64> {
    let mut at: Vec<u64> = (0..20).map(|n| n * GIB + n * 4096).collect();
    at.push(FILE_BYTES - ISLAND_BYTES);
    at
}

fn content(at: u64) -> Vec<u8> {
    let mut state = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..ISLAND_BYTES).map(next).collect()
}

fn run(test: impl FnOnce(&Home, &Path) -> Result<()>) {
    let Some(program) = Home::find_program() else {
        eprintln!("SKIP: the program is not built");
        return;
    };
    let begin = || -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let home = Home::new(&scratch.path().join("h"), &program)?;
        home.create_volume("v", &format!("file://{}", scratch.path().join("s").display()), &[])?;
        test(&home, &scratch.path().join("m"))
    };
    begin().unwrap_or_else(|e| panic!("{e:#}"));
}

/// Unmounts, drops everything that this computer remembers, and mounts again.
fn remount_cold(home: &Home, mount: Mount) -> Result<Mount> {
    let dir = mount.dir().to_owned();
    mount.unmount()?;
    fs::remove_dir_all(home.state_dir())?;
    home.mount("v", &dir, &[])
}

/// The map of data as SEEK_DATA and SEEK_HOLE show it, coarsened to MiB.
fn map(file: &File) -> Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        match seek(file, SeekFrom::Data(at)) {
            Ok(data) => {
                at = seek(file, SeekFrom::Hole(data))?;
                found.push((data, at));
            }
            Err(Errno::NXIO) => return Ok(found),
            Err(e) => return Err(e.into()),
        }
    }
}

fn check_map(file: &File, expected: &[u64]) -> Result<()> {
    let found = map(file)?;
    let wanted: Vec<_> = expected.iter().map(|at| (*at, at + ISLAND_BYTES)).collect();
    ensure!(found == wanted, "the map is {found:?}, not {wanted:?}");
    Ok(())
}

fn check_islands(file: &File, expected: &[u64]) -> Result<()> {
    let mut bytes = vec![0; usize::try_from(ISLAND_BYTES)?];
    for at in expected {
        file.read_exact_at(&mut bytes, *at)?;
        ensure!(bytes == content(*at), "the island at {at} is not what was written");
    }
    Ok(())
}

#[test]
fn a_sparse_file_of_20_gib_keeps_its_islands_and_its_holes() {
    run(|home, dir| {
        let mount = home.mount("v", dir, &[])?;
        let file = File::create(mount.path("big"))?;
        file.set_len(FILE_BYTES)?;
        let mut expected = islands();
        expected.iter().try_for_each(|at| file.write_all_at(&content(*at), *at))?;
        file.sync_all()?;
        check_map(&file, &expected)?;
        drop(file);
        home.run(&["flush", "v"])?;

        let mount = remount_cold(home, mount)?;
        let file = File::options().read(true).write(true).open(mount.path("big"))?;
        let attributes = file.metadata()?;
        ensure!(attributes.len() == FILE_BYTES, "its length is {}", attributes.len());
        let data = expected.len() as u64 * ISLAND_BYTES;
        ensure!((data..data + 64 * MIB).contains(&(attributes.blocks() * 512)), "{} blocks", attributes.blocks());
        check_map(&file, &expected)?;
        check_islands(&file, &expected)?;
        let mut gap = vec![1; 65_536];
        file.read_exact_at(&mut gap, 10 * GIB + GIB / 2)?;
        ensure!(gap.iter().all(|b| *b == 0), "a hole reads as zeros");

        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&file, flags, expected[7], ISLAND_BYTES)?;
        expected.remove(7);
        file.set_len(15 * GIB)?;
        expected.retain(|at| *at < 15 * GIB);
        file.sync_all()?;
        check_map(&file, &expected)?;
        drop(file);
        let mount = remount_cold(home, mount)?;
        let file = File::open(mount.path("big"))?;
        ensure!(file.metadata()?.len() == 15 * GIB, "its length after the cut");
        check_map(&file, &expected)?;
        check_islands(&file, &expected)?;
        drop(file);
        mount.unmount()?;
        home.run(&["fsck", "v", "--data"]).map(drop)
    });
}

fn entries() -> usize {
    if std::env::var_os("PROXYFS_TEST_LONG").is_some() { 200_000 } else { 20_000 }
}

fn name(n: usize) -> String {
    format!("an entry with a name of some length {n:07}")
}

fn check_names(dir: &Path, expected: &BTreeSet<String>) -> Result<()> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        ensure!(found.insert(name.clone()), "{name} is listed twice");
    }
    ensure!(found == *expected, "{} names are listed, {} are there", found.len(), expected.len());
    Ok(())
}

#[test]
fn a_directory_of_many_entries_is_listed_changed_and_emptied() {
    run(|home, dir| {
        let mount = home.mount("v", dir, &[])?;
        let big = mount.path("big");
        fs::create_dir(&big)?;
        let mut names: BTreeSet<String> = (0..entries()).map(name).collect();
        names.iter().try_for_each(|name| File::create(big.join(name)).map(drop))?;
        check_names(&big, &names)?;

        let mount = remount_cold(home, mount)?;
        check_names(&big, &names)?;
        let with_attributes =
            fs::read_dir(&big)?.map(|e| e?.metadata()).filter(|m| m.as_ref().is_ok_and(fs::Metadata::is_file));
        ensure!(with_attributes.count() == names.len(), "a listing with attributes");
        for n in (0..entries()).step_by(97) {
            ensure!(big.join(name(n)).is_file(), "lookup of {n}");
            ensure!(!big.join(format!("{n}-absent")).exists(), "lookup of what is not there");
        }
        for n in (0..entries()).step_by(10) {
            fs::rename(big.join(name(n)), big.join(format!("renamed {n}")))?;
            names.remove(&name(n));
            names.insert(format!("renamed {n}"));
        }
        check_names(&big, &names)?;

        // Deleting what a listing shows while it goes on: each entry that stays until it is reached is shown once.
        let mut shown = 0;
        for entry in fs::read_dir(&big)? {
            fs::remove_file(entry?.path()).context("an entry that was just listed")?;
            shown += 1;
        }
        ensure!(shown == names.len(), "{shown} of {} were listed", names.len());
        fs::remove_dir(&big).context("it is empty")?;
        mount.unmount()?;
        home.run(&["fsck", "v"]).map(drop)
    });
}
