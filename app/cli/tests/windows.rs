//! The program on Windows, end to end without a drive: directories, registry, credentials, the daemon with its named pipe, and a volume on a
//! real S3 server. No WinFsp is installed where these run, which is tested as well.
#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "common/said.rs"]
mod said;

use std::fs;
use std::io::Write;
use std::os::windows::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use proxyfs_harness::s3server::S3Server;
use said::Said;
use serde_json::Value;
use tokio::runtime::Runtime;

/// CREATE_NEW_PROCESS_GROUP (Microsoft, "Process Creation Flags").
const NEW_GROUP: u32 = 0x200;
/// For what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What Wine lacks is skipped there, and fails elsewhere.
fn is_wine() -> bool {
    std::env::var_os("PROXYFS_TEST_WINE").is_some()
}

/// Whether this computer can mount, so that what is said when it cannot is not to be heard.
fn can_mount() -> bool {
    let there = ["ProgramFiles(x86)", "ProgramFiles"]
        .into_iter()
        .filter_map(std::env::var_os)
        .any(|programs| PathBuf::from(programs).join(r"WinFsp\bin\winfsp-x64.dll").exists());
    if there {
        eprintln!("SKIP: WinFsp is installed");
    }
    there
}

/// One user's directories in a temporary one.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// URL of a store below this world.
    fn url(&self, name: &str) -> String {
        format!("file:///{}", self.path(name).display().to_string().replace('\\', "/"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxyfs"));
        command
            .args(arguments)
            .env("APPDATA", self.path("roaming"))
            .env("LOCALAPPDATA", self.path("local"))
            .env("ProgramData", self.path("machine"))
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env_remove("PROXYFS_LOG")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    fn ok(&self, arguments: &[&str]) -> Value {
        let said = self.run(&[&["--json"], arguments].concat());
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        said.json()
    }

    fn feed(&self, arguments: &[&str], text: &str) -> Said {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }
}

/// A daemon that serves.
struct Daemon {
    child: Child,
    facts: Value,
}

impl Daemon {
    fn start(world: &World) -> Self {
        let mut child = world
            .command(&["--json", "serve"])
            .creation_flags(NEW_GROUP)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let said = serde_json::Deserializer::from_reader(child.stdout.take().unwrap()).into_iter().next();
        let facts = said.expect("it ended and said nothing").unwrap();
        Self { child, facts }
    }

    /// Asks it to end as Ctrl-Break does; `None` where that cannot be asked.
    fn stop(mut self) -> Option<i32> {
        if let Err(e) = proxyfs_windows::process::send_break(self.child.id()) {
            assert!(is_wine(), "{e}");
            eprintln!("SKIP: no console, through which a process is asked to end");
            return None;
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status.code().unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended already in most cases.
        let _gone = self.child.kill().is_ok();
        let _waited = self.child.wait().is_ok();
    }
}

#[test]
fn version_names_the_licence_of_what_is_linked() {
    let said = World::new().run(&["--version"]);
    assert_eq!(said.code, 0);
    assert!(
        said.out.starts_with(concat!("proxyfs ", env!("CARGO_PKG_VERSION"))) && said.out.contains("GPL-3.0"),
        "{said:?}"
    );
}

#[test]
fn a_volume_on_a_directory_is_created_checked_and_looked_at() {
    let world = World::new();
    let made = world.ok(&["volume", "create", "v", "--store", &world.url("objects")]);
    assert!(world.path("roaming").join("ProxyFS").join("volumes.toml").exists(), "the registry roams");
    let uuid = made["uuid"].as_str().unwrap();
    let shown = world.ok(&["volume", "show", "v"]);
    assert_eq!(shown["uuid"], uuid);
    assert_eq!(world.ok(&["status"])["volumes"][0]["mounted"], false);
    let checked = world.run(&["fsck", "v", "--data"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert_eq!(world.run(&["volume", "release", "v"]).code, 0);
    assert!(world.path("local").join("ProxyFS").join(uuid).exists(), "its state is local");
    let dumped = world.run(&["dump", "v", "volume.json"]);
    assert!(
        dumped.code == 0 && dumped.out.to_lowercase().contains("insensitive"),
        "made for Windows' programs: {dumped:?}"
    );
    world.run(&["volume", "create", "v", "--store", &world.url("other")]).fails(1, "v", "");
    world.ok(&["volume", "delete", "v"]);
    assert_eq!(world.ok(&["volume", "list"])["volumes"].as_array().unwrap().len(), 0);
}

#[test]
fn without_winfsp_a_mount_says_where_it_comes_from_and_nothing_is_made() {
    if can_mount() {
        return;
    }
    let world = World::new();
    world.run(&["quickstart"]).fails(
        1,
        "WinFsp is not installed, which shows drives to Windows: install it from https://winfsp.dev/rel/",
        "",
    );
    assert!(!world.path("local").join("ProxyFS").join("default-store").exists());
    world.ok(&["volume", "create", "v", "--store", &world.url("objects")]);
    for place in ["X:", "*", r"\\proxyfs\v"] {
        world.run(&["mount", "v", place]).fails(
            1,
            "WinFsp is not installed, which shows drives to Windows: install it from https://winfsp.dev/rel/",
            "",
        );
    }
    let refused = world.run(&["mount", "v", "X:", "--daemon"]);
    assert!(refused.code == 1 && refused.err.contains("https://winfsp.dev/rel/"), "{refused:?}");
    world.run(&["unmount", "X:"]).fails(1, "nothing is mounted there", "proxyfs status");
}

#[test]
fn a_configuration_names_drives_and_its_mistakes_are_shown() {
    let world = World::new();
    let dir = world.path("roaming").join("ProxyFS");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("proxyfs.toml");
    let store = world.url("objects");
    fs::write(&file, format!("[volumes.v]\nstore = \"{store}\"\nmount_point = \"X:\"\n")).unwrap();
    assert_eq!(world.ok(&["serve", "--check"])["volumes"][0], "v");
    fs::write(&file, format!("[volumes.v]\nstore = \"{store}\"\nmount_point = \"photos\"\n")).unwrap();
    let said = world.run(&["serve", "--check"]);
    assert!(said.code == 2 && said.err.contains("not an absolute path"), "{said:?}");
}

#[test]
fn commands_reach_the_daemon_through_its_pipe_until_it_is_asked_to_end() {
    if can_mount() {
        return;
    }
    let world = World::new();
    let store = world.url("objects");
    let dir = world.path("roaming").join("ProxyFS");
    fs::create_dir_all(&dir).unwrap();
    world.ok(&["volume", "create", "v", "--store", &store]);
    fs::write(dir.join("proxyfs.toml"), format!("[volumes.v]\nstore = \"{store}\"\nmount_point = \"X:\"\n")).unwrap();
    let daemon = Daemon::start(&world);
    assert_eq!(daemon.facts["volumes"][0]["name"], "v");
    let status = world.ok(&["status", "v"]);
    assert!(
        status["problem"].as_str().is_some_and(|p| p.contains("WinFsp")),
        "the daemon says why it is not mounted: {status}"
    );
    world.run(&["mount", "v", "Y:"]).fails(
        1,
        "WinFsp is not installed, which shows drives to Windows: install it from https://winfsp.dev/rel/",
        "",
    );
    world.ok(&["reload"]);
    world.run(&["serve"]).fails(1, "another daemon serves these volumes already", "proxyfs status");
    assert!(daemon.stop().is_none_or(|code| code == 0));
    world.run(&["reload"]).fails(1, "", "");
    // The next one finds the name free.
    assert!(Daemon::start(&world).stop().is_none_or(|code| code == 0));
}

/// The machine's own service, volumes and directories.
#[test]
fn the_service_is_installed_started_asked_stopped_and_removed() {
    if !is_wine() && std::env::var_os("PROXYFS_TEST_MACHINE").is_none() {
        eprintln!("SKIP: it would change this computer's services; set PROXYFS_TEST_MACHINE to let it");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = format!("file:///{}", dir.path().join("objects").display().to_string().replace('\\', "/"));
    let own = |arguments: &[&str]| -> Value {
        let said: Said =
            Command::new(env!("CARGO_BIN_EXE_proxyfs")).arg("--json").args(arguments).output().unwrap().into();
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        said.json()
    };
    let net = |action: &str| Command::new("net").args([action, "ProxyFS"]).output().unwrap().status.success();
    own(&["service", "install"]);
    let runs = own(&["service", "status"]);
    assert!(runs["state"] == "running" && runs["enabled"] == true, "{runs}");
    own(&["volume", "create", "of-the-service", "--store", &store]);
    let held = own(&["volume", "show", "of-the-service"]);
    assert_eq!(
        own(&["status", "of-the-service"])["uuid"],
        held["uuid"],
        "commands and the service mean the same volumes"
    );
    assert!(net("stop"));
    assert_eq!(own(&["service", "status"])["state"], "stopped");
    assert!(net("start"));
    let again = own(&["service", "status"]);
    assert!(again["state"] == "running" && again["pid"] != runs["pid"], "{again}");
    own(&["volume", "delete", "of-the-service"]);
    assert_eq!(own(&["service", "uninstall"])["was_installed"], true);
    assert_eq!(own(&["service", "status"])["installed"], false);
}

#[test]
fn a_volume_on_an_s3_server_is_created_with_named_credentials_and_checked() {
    let (world, runtime) = (World::new(), Runtime::new().unwrap());
    fs::create_dir(world.path("objects")).unwrap();
    let server = runtime.block_on(S3Server::start(world.path("objects"))).unwrap();
    server.create_bucket("bucket").unwrap();
    let name = format!("proxyfs-test-{}", std::process::id());
    let keys = format!("{}\n{}\n", server.access_key, server.secret_key);
    let set = world.feed(&["credentials", "set", &name, "--from-stdin", "--in", "keyring"], &keys);
    assert_eq!(set.code, 0, "{set:?}");
    let shown = world.run(&["credentials", "show", &name]);
    assert!(
        shown.code == 0 && shown.out.contains("key id ends in") && !shown.out.contains(&*server.access_key),
        "{shown:?}"
    );
    assert!(!shown.out.contains(&*server.secret_key) && !shown.err.contains(&*server.secret_key));
    let url = server.url("bucket", "v");
    let tried = world.run(&["credentials", "test", &name, "--store", &url, "--write"]);
    assert_eq!(tried.code, 0, "{tried:?}");
    world.ok(&["volume", "create", "v", "--store", &url, "--credentials", &name]);
    let checked = world.run(&["fsck", "v", "--data"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(world.run(&["dump", "v", "volume.json"]).code == 0);
    assert!(server.counts().put > 0 && server.counts().get > 0);
    let registry = fs::read_to_string(world.path("roaming").join("ProxyFS").join("volumes.toml")).unwrap();
    assert!(!registry.contains(&*server.secret_key));
    world.ok(&["credentials", "delete", &name]);
    world.run(&["fsck", "v"]).fails(1, &name, "");
}

#[test]
fn what_starts_at_logon_is_installed_shown_and_removed() {
    let world = World::new();
    let before = world.ok(&["service", "status", "--user"]);
    if before["installed"] == true {
        eprintln!("SKIP: this user's own ProxyFS starts at logon");
        return;
    }
    world.ok(&["service", "install", "--user"]);
    let shown = world.ok(&["service", "status", "--user"]);
    let command = shown["command"].as_str().unwrap();
    assert!(command.starts_with('"') && command.ends_with("proxyfs.exe\" serve --logon"), "{command}");
    assert_eq!(world.ok(&["service", "uninstall", "--user"])["was_installed"], true);
    assert_eq!(world.ok(&["service", "status", "--user"])["installed"], false);
    assert_eq!(world.ok(&["service", "uninstall", "--user"])["was_installed"], false);
}

#[test]
fn a_service_that_nobody_installed_is_told_so_and_runs_only_under_the_service_manager() {
    let world = World::new();
    assert_eq!(world.ok(&["service", "status"])["installed"], false);
    let said = world.run(&["serve", "--service"]);
    assert_eq!(said.code, 1, "{said:?}");
}
