//! The daemon as a service: the units before systemd's own tools, `proxyfs service` with a systemctl that notes what it is asked, and
//! `mount -t proxyfs` through the real mount(8).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Said, World, can_mount};

/// Where the packaged units lie.
const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../installer/systemd");
/// What `systemd-analyze security` says of the machine's service, in tenths; docs/OPERATIONS.md states it.
const EXPOSURE: u32 = 40;

/// The version that says exactly this.
const MEASURED_WITH: &str = "systemd 252 ";

/// Whether a program is there; if not, says so.
fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !there {
        eprintln!("SKIPPED: there is no {program}");
    }
    there
}

fn output(command: &mut Command) -> Said {
    command.stdin(Stdio::null()).output().unwrap().into()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if !has("systemd-analyze") {
        return;
    }
    let world = World::new();
    for kind in ["system", "user"] {
        let unit = fs::read_to_string(format!("{UNITS}/{kind}/proxyfs.service")).unwrap();
        // A program that is not there would be found wrong.
        let unit = unit.replace("/usr/bin/proxyfs", env!("CARGO_BIN_EXE_proxyfs"));
        let file = world.dir(kind).join("proxyfs.service");
        fs::write(&file, unit).unwrap();
        let mut command = Command::new("systemd-analyze");
        command.env("XDG_RUNTIME_DIR", world.dir("run"));
        let scope = format!("--{kind}");
        let said = output(command.args([&scope, "--man=no", "verify"]).arg(&file));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{kind}: {said:?}");
    }
}

#[test]
fn the_machines_service_is_as_confined_as_the_docs_say() {
    if !has("systemd-analyze") {
        return;
    }
    let unit = format!("{UNITS}/system/proxyfs.service");
    let mut command = Command::new("systemd-analyze");
    let threshold = format!("--threshold={EXPOSURE}");
    let said = output(command.args(["security", "--offline=yes", "--no-pager", &threshold, &unit]));
    assert_eq!(said.code, 0, "{said:?}");
    // Other versions look at more or less.
    if output(Command::new("systemd-analyze").arg("--version")).out.starts_with(MEASURED_WITH) {
        let exactly = format!("exposure level for proxyfs.service: {}.{} ", EXPOSURE / 10, EXPOSURE % 10);
        assert!(said.out.contains(&exactly), "not {exactly}: {}", said.out.lines().last().unwrap_or(""));
    }
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATIONS.md")).unwrap();
    let stated = format!("exposure of {}.{}", EXPOSURE / 10, EXPOSURE % 10);
    assert!(docs.contains(&stated), "the docs do not say: {stated}");
}

/// A systemctl that notes its arguments, and a unit's state as `state` says.
fn fake_systemctl(world: &World, state: &str) -> PathBuf {
    let dir = world.dir("bin");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> '{}'\ncase \"$*\" in *ActiveState*) /bin/cat '{}' ;; esac\n",
        world.path("asked").display(),
        world.path("state-of-unit").display()
    );
    fs::write(world.path("state-of-unit"), state).unwrap();
    fs::write(dir.join("systemctl"), script).unwrap();
    fs::set_permissions(dir.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Runs a command that finds its systemctl in `bin` alone.
fn service(world: &World, bin: &Path, arguments: &[&str]) -> Said {
    output(world.command(&[&["service"], arguments].concat()).env("PATH", bin))
}

/// What systemctl was asked to do since the last look, beyond looking.
fn asked(world: &World) -> Vec<String> {
    let all = fs::read_to_string(world.path("asked")).unwrap_or_default();
    let _ = fs::remove_file(world.path("asked"));
    let changes = all.lines().filter(|l| !l.contains(" show ")).map(|l| l.replace("--user --no-pager ", ""));
    changes.collect()
}

#[test]
fn a_users_service_is_installed_once_and_removed_without_its_data() {
    let world = World::new();
    let bin = fake_systemctl(&world, "ActiveState=inactive\n");
    let unit = world.path("config/systemd/user/proxyfs.service");
    let said = service(&world, &bin, &["install", "--user", "--json"]);
    assert_eq!((said.code, said.json()["changed"].as_bool()), (0, Some(true)), "{said:?}");
    assert_eq!(asked(&world), ["daemon-reload", "enable proxyfs.service", "start proxyfs.service"]);
    let text = fs::read_to_string(&unit).unwrap();
    assert!(text.contains(&format!("ExecStart=\"{}\" serve\n", env!("CARGO_BIN_EXE_proxyfs"))), "{text}");
    assert_eq!(fs::metadata(&unit).unwrap().permissions().mode() & 0o777, 0o644);

    let said = service(&world, &bin, &["install", "--user", "--json"]);
    assert_eq!((said.code, said.json()["changed"].as_bool()), (0, Some(false)), "{said:?}");
    assert_eq!(asked(&world), ["enable proxyfs.service", "start proxyfs.service"]);

    let config = world.path("config/proxyfs/proxyfs.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, "").unwrap();
    let said = service(&world, &bin, &["uninstall", "--user", "--json"]);
    assert_eq!((said.code, said.json()["was_installed"].as_bool()), (0, Some(true)), "{said:?}");
    assert_eq!(asked(&world), ["stop proxyfs.service", "disable proxyfs.service", "daemon-reload"]);
    assert!(!unit.exists() && config.exists());
    let said = service(&world, &bin, &["uninstall", "--user", "--json"]);
    assert_eq!((said.code, said.json()["was_installed"].as_bool()), (0, Some(false)), "{said:?}");
    assert!(asked(&world).is_empty());
}

#[test]
fn a_running_service_whose_unit_changes_is_not_restarted_under_its_users() {
    let world = World::new();
    let bin = fake_systemctl(&world, "ActiveState=active\n");
    assert_eq!(service(&world, &bin, &["install", "--user"]).code, 0);
    let unit = world.path("config/systemd/user/proxyfs.service");
    let text = fs::read_to_string(&unit).unwrap();
    fs::write(&unit, text.replace("WatchdogSec=60", "WatchdogSec=61")).unwrap();
    let said = service(&world, &bin, &["install", "--user"]);
    assert!(said.out.contains("systemctl restart proxyfs"), "{said:?}");
    assert!(!asked(&world).iter().any(|a| a.contains("restart")));
    assert_eq!(fs::read_to_string(&unit).unwrap(), text);
}

#[test]
fn a_unit_of_somebody_else_is_left_alone() {
    let world = World::new();
    let bin = fake_systemctl(&world, "ActiveState=inactive\n");
    let unit = world.dir("config/systemd/user").join("proxyfs.service");
    fs::write(&unit, "[Service]\nExecStart=/bin/true\n").unwrap();
    for action in ["install", "uninstall"] {
        service(&world, &bin, &[action, "--user"]).fails(1, "somebody else wrote this unit", "systemctl");
    }
    assert!(asked(&world).is_empty());
    assert!(fs::read_to_string(&unit).unwrap().contains("/bin/true"));
}

#[test]
fn the_state_of_the_service_is_said_in_words_and_in_json() {
    let world = World::new();
    let bin = fake_systemctl(
        &world,
        "MainPID=42\nStatusText=2 volumes mounted, 2 wanted\nFragmentPath=/etc/systemd/system/proxyfs.service\n\
         ActiveState=active\nSubState=running\nUnitFileState=enabled\nNeedDaemonReload=no\n",
    );
    let shown = service(&world, &bin, &["status", "--json"]).json();
    assert_eq!((&shown["pid"], &shown["enabled"], &shown["active"]), (&42.into(), &true.into(), &"active".into()));
    let said = service(&world, &bin, &["status"]);
    assert!(said.out.contains("active (running)") && said.out.contains("2 volumes mounted"), "{said:?}");
    fake_systemctl(&world, "FragmentPath=\nActiveState=inactive\n");
    assert!(service(&world, &bin, &["status"]).out.contains("not installed"));
}

#[test]
fn without_systemd_nothing_is_written_and_the_other_way_is_named() {
    let world = World::new();
    let empty = world.dir("empty");
    service(&world, &empty, &["install", "--user"]).fails(1, "no systemctl", "proxyfs serve");
    let script = "#!/bin/sh\necho 'System has not been booted with systemd' >&2\nexit 1\n";
    fs::write(empty.join("systemctl"), script).unwrap();
    fs::set_permissions(empty.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    service(&world, &empty, &["install", "--user"]).fails(1, "not been booted with systemd", "proxyfs serve");
    assert!(!world.path("config/systemd").exists());
}

/// Runs a shell script in a mount namespace of its own, in which this program is mount(8)'s helper for `proxyfs`.
fn in_namespace(world: &World, script: &str) -> Said {
    let sbin = world.dir("sbin");
    if !sbin.join("mount.proxyfs").exists() {
        symlink(env!("CARGO_BIN_EXE_proxyfs"), sbin.join("mount.proxyfs")).unwrap();
    }
    // mount(8) looks for helpers in /sbin alone; only this namespace sees ours there.
    let set_up = format!(
        "set -e; real=$(readlink -f /sbin); mkdir '{0}/work' '{0}/upper' 2>/dev/null || true; mount -t tmpfs none '{0}/work'; \
         mkdir '{0}/work/u' '{0}/work/w'; cp -P '{0}/mount.proxyfs' '{0}/work/u/'; \
         mount -t overlay -o lowerdir=$real,upperdir='{0}/work/u',workdir='{0}/work/w' none $real; ",
        sbin.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &(set_up + script)]);
    // The same user's world as that of the program.
    for (key, value) in world.command(&[]).get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    output(&mut command)
}

#[test]
fn mount_of_the_system_mounts_a_volume_that_keeps_its_files() {
    if !can_mount() || !has("unshare") {
        return;
    }
    let world = World::new();
    world.ok(&["volume", "create", "photos", "--store", &world.url("store")]);
    let dir = world.dir("d").display().to_string();
    let wait = "while [ -e \"$state\"/*/control.sock ]; do sleep 0.1; done; ";
    let state = world.path("state/proxyfs").display().to_string();
    let script = format!(
        "state='{state}'; mount -t proxyfs 'proxyfs#photos' '{dir}' -o rw,_netdev,nofail,noexec,x-systemd.automount,max_flush_time=1s; \
         echo kept > '{dir}/file'; grep ' {dir} ' /proc/self/mountinfo; umount '{dir}'; {wait}\
         mount -t proxyfs photos '{dir}' -o ro; cat '{dir}/file'; touch '{dir}/x' 2>&1 || true; umount '{dir}'; {wait}"
    );
    let said = in_namespace(&world, &script);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("noexec") && said.out.contains("fuse.proxyfs"), "{said:?}");
    assert!(said.out.contains("\nkept\n") && said.out.contains("Read-only file system"), "{said:?}");
}

#[test]
fn mount_of_the_system_says_what_is_wrong() {
    if !can_mount() || !has("unshare") {
        return;
    }
    let world = World::new();
    let dir = world.dir("d").display().to_string();
    let said = in_namespace(&world, &format!("mount -t proxyfs nosuch '{dir}'"));
    assert_eq!(said.code, 32, "{said:?}");
    assert!(said.err.contains("proxyfs: cannot ") && said.err.contains("what to do: "), "{said:?}");
    let said = in_namespace(&world, &format!("mount -t proxyfs nosuch '{dir}' -o max_flush_tine=1s"));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("did you mean `max_flush_time`?"), "{said:?}");
    let said = in_namespace(&world, &format!("mount -f -t proxyfs nosuch '{dir}' && ! mountpoint -q '{dir}'"));
    assert_eq!(said.code, 0, "{said:?}");
}
