//! Named credentials without a credential store: file, systemd, environment; what a test of them says; what is refused.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{Said, World};
use proxyfs_harness::s3server::S3Server;
use tokio::runtime::Runtime;

/// A world with a server whose keys are not those of the environment.
struct Lab {
    world: World,
    server: S3Server,
    _runtime: Runtime,
}

impl Lab {
    fn new() -> Self {
        let world = World::new();
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(S3Server::start(world.dir("objects"))).unwrap();
        server.create_bucket("bucket").unwrap();
        Self { world, server, _runtime: runtime }
    }

    fn url(&self) -> String {
        self.server.url("bucket", "p")
    }

    fn lines(&self) -> String {
        format!("{}\n{}\n", self.server.access_key, self.server.secret_key)
    }

    fn file(&self) -> std::path::PathBuf {
        self.world.path("config/proxyfs/credentials.toml")
    }

    fn set(&self, lines: &str) -> Said {
        World::feed(self.world.command(&["credentials", "set", "lab", "--from-stdin", "--in", "file"]), lines)
    }
}

fn run(mut command: Command) -> Said {
    command.output().unwrap().into()
}

#[test]
fn a_volume_uses_the_credentials_that_it_names() {
    let lab = Lab::new();
    assert_eq!(lab.set(&lab.lines()).code, 0);
    assert_eq!(fs::metadata(lab.file()).unwrap().permissions().mode() & 0o7777, 0o600);
    lab.world.run(&["volume", "create", "v", "--store", &lab.url()]).fails(1, "", "credentials");
    lab.world.ok(&["volume", "create", "v", "--store", &lab.url(), "--credentials", "lab"]);
    assert!(fs::read_to_string(lab.world.registry()).unwrap().contains("credentials = \"lab\""));
    assert_eq!(lab.world.ok(&["volume", "show", "v", "--json"]).json()["credentials"], "lab");
    lab.world.ok(&["fsck", "v"]);
    lab.world.ok(&["volume", "release", "v"]);
    let tested = lab.world.ok(&["credentials", "test", "v", "--write", "--json"]).json();
    assert_eq!(tested["tried"][0]["credentials"], "lab");
    assert_eq!(tested["tried"][0]["checks"].as_array().unwrap().len(), 4);
    // By name: on the volumes that use them.
    assert!(lab.world.ok(&["credentials", "test", "lab"]).out.contains("works with credentials lab"));
    lab.world.ok(&["credentials", "delete", "lab"]);
    lab.world.run(&["fsck", "v"]).fails(1, "credentials lab", "proxyfs credentials set lab");
}

#[test]
fn what_is_shown_holds_no_secret() {
    let lab = Lab::new();
    let stored = lab.set("AKIDEXAMPLE0\nhunter2\nhunter3\n");
    let shown = lab.world.ok(&["credentials", "show", "lab"]);
    let json = lab.world.ok(&["credentials", "show", "lab", "--json"]);
    assert_eq!(json.json()["id_ends_in"], "PLE0");
    assert_eq!(json.json()["session_token"], true);
    let listed = lab.world.ok(&["credentials", "list"]);
    assert!(listed.out.contains("credentials.toml"), "{listed:?}");
    for said in [stored, shown, json, listed] {
        assert!(!format!("{said:?}").contains("hunter"), "{said:?}");
        assert!(!format!("{said:?}").contains("AKIDEXA"), "{said:?}");
    }
    lab.world.run(&["credentials", "show", "other"]).fails(1, "nowhere", "credentials set other");
}

#[test]
fn secrets_are_taken_from_standard_input_only_when_told() {
    let lab = Lab::new();
    lab.world.run(&["credentials", "set", "lab", "--in", "file"]).fails(2, "no terminal", "--from-stdin");
    lab.world.run(&["credentials", "set", "lab", "--secret-access-key", "hunter2"]).fails(2, "", "");
    assert_eq!(lab.set("only-an-id\n").code, 2);
    assert_eq!(lab.set("").code, 2);
    lab.world.run(&["credentials", "set", "../x", "--from-stdin"]).fails(2, "cannot be called so", "letters");
}

#[test]
fn without_a_keyring_the_fallback_is_named() {
    let lab = Lab::new();
    let said = World::feed(lab.world.command(&["credentials", "set", "lab", "--from-stdin"]), &lab.lines());
    said.fails(1, "no D-Bus session", "--in file");
    let error = &World::feed(lab.world.command(&["credentials", "set", "lab", "--from-stdin", "--json"]), "a\nb\n");
    assert!(error.json()["error"]["advice"].as_str().unwrap().contains("systemd"));
}

#[test]
fn what_is_wrong_with_a_store_is_said_in_plain_words() {
    let lab = Lab::new();
    lab.set(&format!("{}\nhunter2\n", lab.server.access_key));
    let test = |what: &[&str]| lab.world.run(&[&["credentials", "test"], what].concat());
    test(&["lab", "--store", &lab.url()]).fails(1, "secret does not fit", "proxyfs credentials set lab");
    lab.set("nobody\nhunter2\n");
    test(&["lab", "--store", &lab.url()]).fails(1, "does not know this access key id", "credentials set lab");
    lab.set(&lab.lines());
    test(&[&lab.server.url("none", "p"), "--credentials", "lab"]).fails(1, "no bucket `none`", "create it");
    test(&["s3://bkt?endpoint=http://127.0.0.1:1&region=r"]).fails(1, "refused", "endpoint");
    test(&["lab"]).fails(2, "no volume uses", "--store URL");
    test(&[&lab.world.url("none")]).fails(1, "none", "create");
    let json = test(&["s3://bkt?endpoint=http://127.0.0.1:1&region=r", "--json"]);
    assert_eq!((json.code, json.json()["error"]["action"].as_str()), (1, Some("use")));
}

#[test]
fn a_file_that_others_can_read_is_refused_with_the_remedy() {
    let lab = Lab::new();
    lab.set(&lab.lines());
    fs::set_permissions(lab.file(), fs::Permissions::from_mode(0o644)).unwrap();
    lab.world.run(&["credentials", "show", "lab"]).fails(1, "mode is 0644", "chmod 600");
    lab.world.run(&["volume", "create", "v", "--store", &lab.url(), "--credentials", "lab"]).fails(1, "0644", "chmod");
}

#[test]
fn systemd_and_the_environment_come_first() {
    let lab = Lab::new();
    lab.set("id\nold\n");
    let dir = lab.world.dir("handed-over");
    let test = |vars: &[(&str, &str)]| {
        let mut command = lab.world.command(&["credentials", "test", "lab", "--store", &lab.url()]);
        command.envs(vars.iter().copied());
        run(command)
    };
    assert_eq!(test(&[]).code, 1);
    let variables = [
        ("PROXYFS_CREDENTIALS_LAB_ACCESS_KEY_ID", lab.server.access_key.as_str()),
        ("PROXYFS_CREDENTIALS_LAB_SECRET_ACCESS_KEY", lab.server.secret_key.as_str()),
    ];
    assert!(test(&variables).out.contains("environment PROXYFS_CREDENTIALS_LAB_*"));
    test(&variables[..1]).fails(1, "SECRET_ACCESS_KEY is not", "set both");
    let text =
        format!("access_key_id = {:?}\nsecret_access_key = {:?}\n", lab.server.access_key, lab.server.secret_key);
    fs::write(dir.join("proxyfs-lab"), text).unwrap();
    assert!(test(&[("CREDENTIALS_DIRECTORY", dir.to_str().unwrap())]).out.contains("systemd credential"));
    fs::write(dir.join("proxyfs-lab"), "hunter2 hunter2").unwrap();
    let said = test(&[("CREDENTIALS_DIRECTORY", dir.to_str().unwrap())]);
    said.fails(1, "line 1", "access_key_id");
    assert!(!said.err.contains("hunter2"));
}
