//! Servers killed under load: everything that was acknowledged is there afterwards, byte for byte.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use proxyfs_e2e::load::{self, Acknowledged};
use proxyfs_e2e::{Home, Mount, wait_until};

/// Longest until a round's load has got as far as its kill.
const LOAD_LIMIT: Duration = Duration::from_secs(120);

fn rounds() -> u64 {
    match (std::env::var_os("PROXYFS_TEST_LONG"), std::env::var_os("PROXYFS_TEST_QUICK")) {
        (Some(_), _) => 50,
        (_, Some(_)) => 3,
        _ => 10,
    }
}

/// One round: three loads, a kill once `until` files were acknowledged, a new mount, and all checks.
fn round(
    home: &Home,
    mount: Mount,
    round: u64,
    until: u64,
    rows: &Acknowledged,
    commits: &Acknowledged,
) -> Result<Mount> {
    let files = Acknowledged::default();
    let dir = mount.dir().to_owned();
    let mut mount = mount;
    let reached = std::thread::scope(|scope| {
        scope.spawn(|| load::write_files(&dir, round, &files));
        scope.spawn(|| load::insert_rows(&dir.join("database"), rows));
        scope.spawn(|| load::commit(&dir.join("repository"), commits));
        let reached = wait_until(LOAD_LIMIT, || files.get() >= until);
        // The loads end because the server does.
        mount.kill_server().map(|()| reached)
    })?;
    if !reached {
        bail!("{} of {until} files were written in {LOAD_LIMIT:?}", files.get());
    }
    mount.kill()?;
    home.run(&["fsck", "v"])?;
    let mount = home.mount("v", &dir, &[])?;
    load::check_files(&dir, round, files.get())?;
    load::check_cut_off(&dir, round, files.get())?;
    load::check_database(&dir.join("database"), rows.get())?;
    load::check_repository(&dir.join("repository"), commits.get())?;
    Ok(mount)
}

fn kill_loop(home: &Home, dir: &Path) -> Result<()> {
    let objects = home.dir().join("store");
    std::fs::create_dir_all(&objects)?;
    home.create_volume("v", &format!("file://{}", objects.display()), &[])?;
    let mut mount = home.mount("v", dir, &[])?;
    load::make_database(&mount.path("database"))?;
    load::make_repository(&mount.path("repository"))?;
    let (rows, commits) = (Acknowledged::default(), Acknowledged::default());
    for n in 0..rounds() {
        // Of different lengths, so that kills fall before, into and after seals and checkpoints.
        let until = 5 + n.wrapping_mul(7_919) % 400;
        mount = round(home, mount, n, until, &rows, &commits).with_context(|| format!("round {n}, {until} files"))?;
    }
    mount.unmount()?;
    home.run(&["fsck", "v", "--data"]).map(drop)
}

#[test]
fn what_was_acknowledged_survives_every_kill_under_load() {
    let Some(program) = Home::find_program() else {
        eprintln!("SKIP: the program is not built");
        return;
    };
    let scratch = tempfile::tempdir().expect("a folder");
    let home = Home::new(&scratch.path().join("h"), &program).expect("a home");
    kill_loop(&home, &scratch.path().join("m")).unwrap_or_else(|e| panic!("{e:#}"));
}

/// Writes in tier `store`, loses machine and state, and takes over from another home.
fn take_over(scratch: &Path, program: &Path) -> Result<()> {
    let first = Home::new(&scratch.join("a"), program)?;
    let objects = scratch.join("store");
    std::fs::create_dir_all(&objects)?;
    let url = format!("file://{}", objects.display());
    first.create_volume("v", &url, &["--tier", "store"])?;
    let mut mount = first.mount("v", &scratch.join("m"), &[])?;
    let files = Acknowledged::default();
    let dir = mount.dir().to_owned();
    std::thread::scope(|scope| {
        scope.spawn(|| load::write_files(&dir, 0, &files));
        let reached = wait_until(LOAD_LIMIT, || files.get() >= 40);
        mount.kill_server().map(|()| assert!(reached, "the load got nowhere"))
    })?;
    mount.kill()?;
    std::fs::remove_dir_all(first.dir())?;
    let second = Home::new(&scratch.join("b"), program)?;
    let mount = second.mount(&url, &scratch.join("n"), &["--take-over"])?;
    load::check_files(mount.dir(), 0, files.get())?;
    load::check_cut_off(mount.dir(), 0, files.get())?;
    mount.unmount()
}

#[test]
fn in_tier_store_another_machine_finds_all_that_was_synced() {
    let Some(program) = Home::find_program() else {
        eprintln!("SKIP: the program is not built");
        return;
    };
    let scratch = tempfile::tempdir().expect("a folder");
    take_over(scratch.path(), &program).unwrap_or_else(|e| panic!("{e:#}"));
}
