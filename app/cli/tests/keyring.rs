//! Named credentials in a real credential store (gnome-keyring on a private D-Bus): kept, used, deleted, locked.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::World;
use proxyfs_harness::s3server::S3Server;
use tokio::runtime::Runtime;

/// Programs that the tests need; Debian packages dbus, gnome-keyring, libglib2.0-bin.
const PROGRAMS: &[&str] = &["dbus-daemon", "gnome-keyring-daemon", "gdbus"];

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A session bus of its own, and a credential store on it.
struct Session {
    address: String,
    world: World,
    keyring: Option<Ends>,
    _bus: Ends,
}

impl Session {
    /// With an unlocked credential store; says so if that is not possible here.
    fn start() -> Option<Self> {
        let there =
            |name: &&&str| std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|d| d.join(name).is_file());
        let missing: Vec<_> = PROGRAMS.iter().filter(|name| !there(name)).collect();
        if !missing.is_empty() {
            eprintln!("SKIPPED: {missing:?} missing (Debian: dbus, gnome-keyring, libglib2.0-bin)");
            return None;
        }
        let world = World::new();
        fs::create_dir(world.path("run")).unwrap();
        fs::set_permissions(world.path("run"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--session", "--nofork", "--nopidfile", "--print-address"]);
        let mut bus = Ends(private(&mut bus, &world).stdout(Stdio::piped()).spawn().unwrap());
        let mut address = String::new();
        BufReader::new(bus.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let mut session = Self { address: address.trim().to_owned(), world, keyring: None, _bus: bus };
        session.start_keyring(Some("password"));
        Some(session)
    }

    /// Starts the credential store, unlocked by a password or locked.
    fn start_keyring(&mut self, password: Option<&str>) {
        self.keyring = None;
        let mut command = Command::new("gnome-keyring-daemon");
        command.args(["--foreground", "--components=secrets"]).arg(if password.is_some() {
            "--unlock"
        } else {
            "--start"
        });
        private(&mut command, &self.world).env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(password.unwrap_or("").as_bytes()).unwrap();
        self.keyring = Some(Ends(child));
        let mut wait = Command::new("gdbus");
        wait.args(["wait", "--session", "--timeout", "20", "org.freedesktop.secrets"]);
        assert!(
            private(&mut wait, &self.world).env("DBUS_SESSION_BUS_ADDRESS", &self.address).status().unwrap().success()
        );
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command(arguments);
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command
    }

    fn ok(&self, arguments: &[&str]) -> common::Said {
        let said: common::Said = self.command(arguments).output().unwrap().into();
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        said
    }
}

/// Directories of its own and no screen.
fn private<'a>(command: &'a mut Command, world: &World) -> &'a mut Command {
    command
        .env("HOME", world.path("home"))
        .env("XDG_RUNTIME_DIR", world.path("run"))
        .env("XDG_DATA_HOME", world.path("data"))
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stderr(Stdio::null())
}

fn set(session: &Session, name: &str, lines: &str) -> common::Said {
    World::feed(session.command(&["credentials", "set", name, "--from-stdin"]), lines)
}

fn holds(dir: &Path, text: &str) -> bool {
    let holds = |path: &Path| fs::read(path).unwrap_or_default().windows(text.len()).any(|w| w == text.as_bytes());
    dir.is_dir() && common::files(dir).iter().any(|path| holds(path))
}

#[test]
fn credentials_in_the_keyring_open_a_store_and_are_deleted() {
    let Some(session) = Session::start() else { return };
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(S3Server::start(session.world.dir("objects"))).unwrap();
    server.create_bucket("bucket").unwrap();
    let said = set(&session, "lab", &format!("{}\n{}\n", server.access_key, server.secret_key));
    assert!(said.code == 0 && said.out.contains("keyring"), "{said:?}");
    assert!(!session.world.path("config/proxyfs/credentials.toml").exists());
    for dir in ["config", "data", "state"] {
        assert!(!holds(&session.world.path(dir), &server.secret_key), "the keyring's file is encrypted");
    }
    assert_eq!(session.ok(&["credentials", "show", "lab", "--json"]).json()["place"], "keyring");
    assert_eq!(session.ok(&["credentials", "list", "--json"]).json()["credentials"][0]["name"], "lab");
    let url = server.url("bucket", "p");
    session.ok(&["volume", "create", "v", "--store", &url, "--credentials", "lab"]);
    session.ok(&["fsck", "v"]);
    // Stored again: replaced, not doubled.
    assert_eq!(set(&session, "lab", "nobody\nwrong\n").code, 0);
    let said: common::Said = session.command(&["credentials", "test", "v"]).output().unwrap().into();
    said.fails(1, "does not know", "credentials set lab");
    assert!(session.ok(&["credentials", "delete", "lab"]).out.contains("keyring"));
    let said: common::Said = session.command(&["fsck", "v"]).output().unwrap().into();
    said.fails(1, "not in the keyring", "credentials set lab");
}

#[test]
fn a_locked_keyring_is_said_in_time_and_the_file_is_used_instead() {
    let Some(mut session) = Session::start() else { return };
    assert_eq!(set(&session, "lab", "id\nhunter2\n").code, 0);
    session.start_keyring(None);
    let begin = Instant::now();
    let said: common::Said = session.command(&["credentials", "show", "lab"]).output().unwrap().into();
    said.fails(1, "locked", "--in file");
    set(&session, "other", "id\nhunter2\n").fails(1, "locked", "systemd");
    assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", begin.elapsed());
    let mut command = session.command(&["credentials", "set", "lab", "--in", "file", "--from-stdin"]);
    command.stderr(Stdio::null());
    assert_eq!(World::feed(command, "id\nhunter2\n").code, 0);
    assert!(session.ok(&["credentials", "show", "lab"]).out.contains("credentials.toml"));
}

#[test]
fn a_bus_that_never_answers_is_given_up() {
    let world = World::new();
    let silent = world.path("silent");
    // Takes connections and says nothing.
    let _listener = std::os::unix::net::UnixListener::bind(&silent).unwrap();
    let mut command = world.command(&["credentials", "show", "lab"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", silent.display()));
    let begin = Instant::now();
    let said: common::Said = command.output().unwrap().into();
    said.fails(1, "no answer for 5 s", "--in file");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn a_bus_without_a_credential_store_is_said_in_time() {
    let world = World::new();
    let mut command = world.command(&["credentials", "show", "lab"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", world.path("none").display()));
    let begin = Instant::now();
    let said: common::Said = command.output().unwrap().into();
    said.fails(1, "keyring: it cannot be used", "--in file");
    assert!(begin.elapsed() < Duration::from_secs(10));
}
