//! The service under a real systemd, on a machine that is switched off and on: the lines of the README, and what the unit promises.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;
mod daemon;
mod machine;

use std::fs;

use common::{Said, World, can_mount};
use daemon::Daemon;
use machine::{Machine, Who};
use proxyfs_harness::s3server::S3Server;
use serde_json::Value;
use tokio::runtime::Runtime;

/// What the README says.
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
/// Where the daemon of a test says what it does.
const LOG: &str = "[Service]\nStandardOutput=append:/var/log/proxyfs\nStandardError=append:/var/log/proxyfs\n";

/// A machine, and a store elsewhere that stays when it goes.
struct Site {
    machine: Machine,
    server: S3Server,
    _runtime: Runtime,
    _world: World,
}

impl Site {
    fn new() -> Option<Self> {
        let world = World::new();
        let mut machine = Machine::new(&world)?;
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(S3Server::start(world.dir("objects"))).unwrap();
        server.create_bucket("bucket").unwrap();
        machine.write("etc/systemd/system/proxyfs.service.d/log.conf", LOG);
        machine.write("etc/systemd/user/proxyfs.service.d/log.conf", "[Service]\nStandardError=append:%h/log\n");
        machine.boot();
        Some(Self { machine, server, _runtime: runtime, _world: world })
    }

    /// The keys as they are typed.
    fn typed(&self) -> String {
        format!("{}\n{}\n", self.server.access_key, self.server.secret_key)
    }

    /// A line of the README with this store in place of its placeholders.
    fn filled(&self, line: &str) -> String {
        let line = line.replace("BUCKET", "bucket").replace("https://HOST", &self.server.endpoint());
        let line = line.replace("REGION", "us-east-1");
        assert!(!line.contains("HOST"), "{line}");
        line
    }

    /// Types lines, of which the first asks for the keys; gives what each said.
    fn type_lines(&self, who: Who, lines: &[String]) -> Vec<Said> {
        let run = |(number, line): (usize, &String)| {
            let line = self.filled(line);
            if number > 0 {
                return self.machine.ok(who, &line);
            }
            let said = self.machine.type_at_terminal(who, &line, &self.typed());
            assert_eq!(said.code, 0, "{line}: {said:?}");
            // What was typed before it asked is the terminal's own echo.
            let answered = said.out.split("not shown: ").nth(1).unwrap();
            assert!(!answered.contains(&self.server.secret_key), "the secret is shown: {said:?}");
            said
        };
        lines.iter().enumerate().map(run).collect()
    }

    /// Installs the service with a volume that is mounted on /srv/photos.
    fn install(&self) {
        self.type_lines(Who::Root, &lines_of("server"));
    }

    /// A property of the service, as systemd has it.
    fn fact(&self, property: &str) -> String {
        let said = self.machine.ok(Who::Root, &format!("systemctl show --value --property={property} proxyfs"));
        said.out.trim().to_owned()
    }

    /// Waits until systemd says so.
    fn until_fact(&self, property: &str, value: &str) {
        let script = format!("test \"$(systemctl show --value --property={property} proxyfs)\" = '{value}'");
        self.machine.until(&script);
    }

    /// Waits until the service is another process than `before` and its volume is mounted.
    fn until_started_anew(&self, before: &str) {
        let script = format!(
            // The old one may be dead and still be called active, and 0 is the process of none.
            "pid=$(systemctl show --value -p MainPID proxyfs); test \"$pid\" != '{before}' && test \"$pid\" != 0 \
             && systemctl is-active proxyfs && test -e /srv/photos/file"
        );
        self.machine.until(&script);
    }

    fn service_status(&self) -> Value {
        self.machine.ok(Who::Root, "proxyfs service status --json").json()
    }

    /// The identity of the volume, which names its state directory.
    fn uuid(&self) -> String {
        let volume = self.machine.ok(Who::Root, "proxyfs volume show photos --json").json();
        volume["uuid"].as_str().unwrap().to_owned()
    }
}

/// The block of commands in the README after the comment `<!-- tested: NAME -->`.
fn lines_of(name: &str) -> Vec<String> {
    let readme = fs::read_to_string(README).unwrap();
    let mark = format!("<!-- tested: {name} -->");
    let (_, after) = readme.split_once(&mark).unwrap_or_else(|| panic!("the README has no {mark}"));
    let block = after.split("```").nth(1).unwrap();
    let lines: Vec<String> = block.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    assert!(lines.len() == 3 && lines.iter().all(|l| l.starts_with("proxyfs ")), "not three commands: {lines:?}");
    lines
}

#[test]
fn three_lines_of_the_readme_make_a_servers_drive_that_returns_after_a_reboot() {
    let Some(mut site) = Site::new() else { return };
    let said = site.type_lines(Who::Root, &lines_of("server"));
    for (said, next) in
        said.iter().zip(["proxyfs volume create", "proxyfs service install", "photos is mounted on /srv/photos"])
    {
        assert!(said.out.contains(next), "it does not say what is next: {next}: {said:?}");
    }
    site.machine.ok(Who::Root, "echo first > /srv/photos/first");
    // In good order, then the hard way, then again from what the hard way left.
    site.machine.shut_down();
    site.machine.boot();
    site.machine
        .ok(Who::Root, "mountpoint -q /srv/photos && cat /srv/photos/first && echo second > /srv/photos/second");
    for _ in 0..2 {
        site.machine.cut_power();
        site.machine.boot();
        let said = site.machine.ok(Who::Root, "cat /srv/photos/first /srv/photos/second && proxyfs flush photos");
        assert!(said.out.starts_with("first\nsecond\n"), "{said:?}");
    }
}

#[test]
fn three_lines_of_the_readme_make_a_laptops_drive_that_returns_after_a_login() {
    let Some(mut site) = Site::new() else { return };
    let mut lines = lines_of("laptop");
    if !site.unlock_keyring() {
        lines[0] += " --in file";
    }
    let said = site.type_lines(Who::Ann, &lines);
    assert!(said[1].out.contains("proxyfs service install --user"), "{:?}", said[1]);
    site.machine.until("setpriv --reuid=1000 --regid=1000 --clear-groups mountpoint -q /home/ann/photos");
    site.machine.ok(Who::Ann, "echo mine > ~/photos/file");
    let status = site.machine.ok(Who::Ann, "proxyfs service status --user --json").json();
    assert_eq!((&status["active"], &status["enabled"]), (&"active".into(), &true.into()), "{status}");
    for hard in [false, true] {
        if hard {
            site.machine.cut_power();
        } else {
            site.machine.shut_down();
        }
        site.machine.boot();
        site.machine.until("setpriv --reuid=1000 --regid=1000 --clear-groups cat /home/ann/photos/file");
    }
}

impl Site {
    /// Has a bus and an unlocked credential store begin with the login, as a desktop does; `false`, said aloud, where there is none.
    fn unlock_keyring(&self) -> bool {
        let there = "command -v dbus-daemon && command -v gnome-keyring-daemon && command -v dbus-send";
        if self.machine.run(Who::Root, there).code != 0 {
            eprintln!("SKIPPED: the keyring of the laptop; Debian: dbus, gnome-keyring");
            return false;
        }
        // It starts no services: whoever asks early would have it start a credential store that nobody unlocks.
        self.machine.write(
            "etc/bus.conf",
            "<busconfig><type>session</type><listen>unix:dir=/tmp</listen><policy context='default'><allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/></policy></busconfig>",
        );
        let bus = "[Service]\nExecStart=dbus-daemon --config-file=/etc/bus.conf --address=unix:path=%t/bus --nofork --nopidfile\n";
        let keyring = "[Unit]\nRequires=bus.service\nAfter=bus.service\n[Service]\nEnvironment=DBUS_SESSION_BUS_ADDRESS=unix:path=%t/bus\n\
            ExecStart=sh -c 'printf password | gnome-keyring-daemon --foreground --components=secrets --unlock'\n";
        for (unit, text) in [("bus", bus), ("keyring", keyring)] {
            self.machine.write(&format!("etc/systemd/user/{unit}.service"), text);
        }
        let wants = self.machine.path("etc/systemd/user/default.target.wants");
        fs::create_dir_all(&wants).unwrap();
        std::os::unix::fs::symlink("../keyring.service", wants.join("keyring.service")).unwrap();
        self.machine.ok(Who::Ann, "systemctl --user daemon-reload && systemctl --user start keyring");
        self.machine.until(
            "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus setpriv --reuid=1000 --regid=1000 --clear-groups \
             dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetNameOwner string:org.freedesktop.secrets",
        );
        true
    }
}

#[test]
fn systemd_has_the_service_ready_and_starts_it_anew_when_it_is_killed_or_silent() {
    let Some(site) = Site::new() else { return };
    site.machine.write("etc/systemd/system/proxyfs.service.d/watchdog.conf", "[Service]\nWatchdogSec=3\n");
    site.install();
    let status = site.service_status();
    for (key, value) in [("active", "active"), ("state", "running"), ("says", "1 volumes mounted, 1 wanted")] {
        assert_eq!(status[key], value, "{status}");
    }
    assert_eq!((&status["enabled"], &status["ours"]), (&true.into(), &true.into()), "{status}");
    site.machine.ok(Who::Root, "echo kept > /srv/photos/file");

    let first = site.fact("MainPID");
    site.machine.ok(Who::Root, &format!("kill -KILL {first}"));
    site.until_started_anew(&first);
    assert_eq!(site.fact("NRestarts"), "1");

    let second = site.fact("MainPID");
    site.machine.ok(Who::Root, &format!("kill -STOP {second}"));
    site.until_started_anew(&second);
    assert_eq!((site.fact("NRestarts"), site.fact("Result")), ("2".to_owned(), "success".to_owned()));
    assert_eq!(site.machine.ok(Who::Root, "cat /srv/photos/file").out, "kept\n");
}

#[test]
fn systemd_does_not_start_a_wrong_configuration_again_and_the_log_says_what_is_wrong() {
    let Some(site) = Site::new() else { return };
    site.install();
    site.machine.write("etc/proxyfs/proxyfs.toml", "[daemon]\nstop_timeoot = \"1s\"\n");
    let said = site.machine.run(Who::Root, "systemctl restart proxyfs");
    assert_ne!(said.code, 0, "{said:?}");
    site.until_fact("ActiveState", "failed");
    assert_eq!((site.fact("NRestarts"), site.fact("ExecMainStatus")), ("0".to_owned(), "2".to_owned()));
    let log = fs::read_to_string(site.machine.path("var/log/proxyfs")).unwrap();
    assert!(log.contains("proxyfs.toml:2:1") && log.contains("did you mean `stop_timeout`?"), "{log}");
    // The mistake corrected, one line brings everything back.
    site.machine.write("etc/proxyfs/proxyfs.toml", "[daemon]\nstop_timeout = \"30s\"\n");
    let said = site.machine.ok(Who::Root, "proxyfs service install");
    assert!(said.out.contains("photos is mounted on /srv/photos"), "{said:?}");
}

#[test]
fn a_stop_brings_everything_into_the_store_and_uninstall_leaves_nothing_of_the_service() {
    let Some(site) = Site::new() else { return };
    site.install();
    assert_eq!(
        fs::read_link(site.machine.path("sbin/mount.proxyfs")).unwrap().to_str(),
        Some("/usr/local/bin/proxyfs")
    );
    site.machine
        .ok(Who::Root, "echo flushed > /srv/photos/file && systemctl stop proxyfs && ! mountpoint -q /srv/photos");
    // Nothing of this computer's own copy is needed any more.
    let uuid = site.uuid();
    site.machine.ok(Who::Root, &format!("rm -r /var/lib/proxyfs/{uuid} && systemctl start proxyfs"));
    assert_eq!(site.machine.ok(Who::Root, "cat /srv/photos/file").out, "flushed\n");

    site.machine
        .ok(Who::Root, "proxyfs service uninstall && ! mountpoint -q /srv/photos && proxyfs volume show photos");
    let status = site.service_status();
    assert_eq!((&status["installed"], &status["active"]), (&false.into(), &"inactive".into()), "{status}");
    for gone in [
        "etc/systemd/system/proxyfs.service",
        "etc/systemd/system/multi-user.target.wants/proxyfs.service",
        "sbin/mount.proxyfs",
    ] {
        assert!(fs::symlink_metadata(site.machine.path(gone)).is_err(), "{gone} stays");
    }
    site.machine.ok(Who::Root, "ls /etc/proxyfs/volumes.toml /etc/proxyfs/credentials.toml /var/lib/proxyfs");
}

#[test]
fn keys_that_systemd_hands_over_open_the_store() {
    let Some(mut site) = Site::new() else { return };
    site.install();
    site.machine
        .ok(Who::Root, "echo kept > /srv/photos/file && systemctl stop proxyfs && proxyfs credentials delete lab");
    let keys =
        format!("access_key_id = \"{}\"\nsecret_access_key = \"{}\"\n", site.server.access_key, site.server.secret_key);
    site.machine.write("etc/proxyfs/lab.cred", &keys);
    site.machine.write(
        "etc/systemd/system/proxyfs.service.d/keys.conf",
        "[Service]\nLoadCredential=proxyfs-lab:/etc/proxyfs/lab.cred\n",
    );
    site.machine.ok(Who::Root, "chmod 600 /etc/proxyfs/lab.cred && systemctl daemon-reload && systemctl start proxyfs");
    // Everybody sees the mount: the credential brings no mount namespace along.
    assert_eq!(site.machine.ok(Who::Root, "cat /srv/photos/file").out, "kept\n");
    site.machine.cut_power();
    site.machine.boot();
    assert_eq!(
        site.machine.ok(Who::Root, "cat /srv/photos/file && proxyfs flush photos").out.lines().next(),
        Some("kept")
    );
}

#[test]
fn a_line_in_fstab_mounts_at_boot_and_at_the_first_use() {
    let Some(mut site) = Site::new() else { return };
    site.install();
    site.machine.ok(Who::Root, "echo kept > /srv/photos/file && proxyfs unmount /srv/photos && mkdir /mnt/photos");
    for options in ["nofail", "nofail,noauto,x-systemd.automount"] {
        site.machine.write("etc/fstab", &format!("proxyfs#photos /mnt/photos proxyfs _netdev,{options} 0 0\n"));
        site.machine.cut_power();
        site.machine.boot();
        site.machine.until("cat /mnt/photos/file");
        assert!(site.machine.ok(Who::Root, "grep ' /mnt/photos ' /proc/self/mountinfo").out.contains("fuse.proxyfs"));
    }
}

/// Starts a program by a line of the README, with its words, in a world; `typed` is its standard input.
fn in_world(world: &World, line: &str, typed: &str) -> Said {
    let line = line.replace("~/", &format!("{}/", world.path("home").display())).replace('\'', "");
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    World::feed(world.command(&words), typed)
}

#[test]
fn without_systemd_the_readmes_drive_returns_with_the_daemon() {
    if !can_mount() {
        return;
    }
    let (world, runtime) = (World::new(), Runtime::new().unwrap());
    let server = runtime.block_on(S3Server::start(world.dir("objects"))).unwrap();
    server.create_bucket("bucket").unwrap();
    let lines = lines_of("laptop");
    // Here is neither keyring nor terminal.
    let typed = format!("{}\n{}\n", server.access_key, server.secret_key);
    let said = in_world(&world, &format!("{} --in file --from-stdin", lines[0]), &typed);
    assert_eq!(said.code, 0, "{said:?}");
    let line = lines[1].replace("BUCKET", "bucket").replace("https://HOST", &server.endpoint());
    let said = in_world(&world, &line.replace("REGION", "us-east-1"), "");
    assert!(said.code == 0 && said.out.contains("proxyfs service install --user"), "{said:?}");

    // In place of the third, which has systemd do this.
    let mut daemon = Daemon::start(&world);
    let file = world.path("home/photos/file");
    fs::write(&file, "kept").unwrap();
    daemon.stop();
    assert!(!file.exists());
    for _ in 0..2 {
        let daemon = Daemon::start(&world);
        let found = fs::read_to_string(&file);
        assert_eq!(found.ok().as_deref(), Some("kept"), "{}", daemon.ready());
        daemon.kill();
    }
}

#[test]
fn a_volume_is_created_with_its_mount_in_a_running_daemon_or_not_at_all() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let mut daemon = Daemon::start(&world);
    let create = |name: &str, dir: &str| {
        let (store, dir) = (world.url(&format!("stores/{name}")), world.path(dir).display().to_string());
        world.run(&["volume", "create", name, "--store", &store, "--mount", &dir, "--json"])
    };
    let said = create("a", "new/dir").json();
    assert_eq!((said["mounted"].as_bool(), said["name"].as_str()), (Some(true), Some("a")), "{said}");
    fs::write(world.path("new/dir/file"), "x").unwrap();
    // A drive that cannot be: no volume either.
    fs::write(world.path("file"), "").unwrap();
    let said = create("b", "file");
    assert_eq!(said.code, 1, "{said:?}");
    world.run(&["volume", "show", "b"]).fails(1, "no volume of this name", "known volumes: a");
    assert!(!world.path("stores/b").exists());
    daemon.stop();
    let mut daemon = Daemon::start(&world);
    assert_eq!(fs::read_to_string(world.path("new/dir/file")).unwrap(), "x");
    daemon.stop();
}
