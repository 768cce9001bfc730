//! Planted secrets are searched for wherever this program writes: configuration, state, logs at the highest level, `/proc`, and the core
//! image of a killed process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod common;

use std::fs;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Serving, World, can_mount};
use proxyfs_harness::s3server::S3Server;
use rustix::process::Signal;
use tokio::runtime::Runtime;

/// A session token that the server takes for a header like any other.
const TOKEN: &str = "planted-session-token-5f1d";

struct Planted {
    world: World,
    server: S3Server,
    _runtime: Runtime,
}

impl Planted {
    /// A volume whose credentials lie in a file.
    fn new() -> Self {
        let world = World::new();
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(S3Server::start(world.dir("objects"))).unwrap();
        server.create_bucket("bucket").unwrap();
        let lines = format!("{}\n{}\n{TOKEN}\n", server.access_key, server.secret_key);
        let set = ["credentials", "set", "lab", "--from-stdin", "--in", "file", "--log", "trace"];
        let said = World::feed(world.command(&set), &lines);
        assert_eq!(said.code, 0, "{said:?}");
        let planted = Self { world, server, _runtime: runtime };
        planted.none_in("the log", said.err.as_bytes());
        planted
    }

    fn none_in(&self, place: &str, bytes: &[u8]) {
        for secret in [self.server.secret_key.as_str(), TOKEN] {
            assert!(!holds(bytes, secret), "{secret} is in {place}");
        }
    }

    /// Runs a command with the most talkative log.
    fn traced(&self, arguments: &[&str]) {
        let said = self.world.ok(&[arguments, &["--log", "trace"]].concat());
        self.none_in("the log", said.err.as_bytes());
        self.none_in("the answer", said.out.as_bytes());
    }

    /// Mounts with core images allowed by the limits, in a working directory of its own.
    fn mount(&self, place: &Path, cores: &Path, variables: &[(&str, &str)]) -> Serving {
        let log = File::create(self.world.path("mount.log")).unwrap();
        let mount = self.world.command(&["mount", "v", place.to_str().unwrap(), "--json", "--log", "trace"]);
        let mut command = with_cores(&mount);
        command.envs(variables.iter().copied()).stderr(Stdio::from(log)).current_dir(cores);
        World::serve_command(command)
    }
}

/// The same command, with core images allowed by the limits.
fn with_cores(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|w| w == secret.as_bytes())
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut f| f.read_to_end(&mut bytes)).unwrap();
    bytes
}

fn cores_in(dir: &Path) -> Vec<PathBuf> {
    common::files(dir).into_iter().filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("core")).collect()
}

#[test]
fn no_secret_is_in_files_logs_arguments_or_environment() {
    let planted = Planted::new();
    planted.traced(&["volume", "create", "v", "--store", &planted.server.url("bucket", "p"), "--credentials", "lab"]);
    planted.traced(&["fsck", "v"]);
    planted.traced(&["credentials", "test", "v", "--write"]);
    planted.traced(&["credentials", "list"]);
    if can_mount() {
        let serving = planted.mount(&planted.world.dir("m"), &planted.world.dir("cores"), &[]);
        fs::write(planted.world.path("m/file"), "content").unwrap();
        planted.world.ok(&["flush", "v"]);
        for file in ["cmdline", "environ"] {
            planted.none_in(file, &read(format!("/proc/{}/{file}", serving.pid())));
        }
        serving.stop();
        let log = read(planted.world.path("mount.log"));
        assert!(holds(&log, "TRACE") || holds(&log, "DEBUG"), "the log is on");
        planted.none_in("the mount's log", &log);
    }
    let kept = planted.world.path("config/proxyfs/credentials.toml");
    assert!(holds(&read(&kept), TOKEN), "the search can find what is there");
    let all = ["config", "state", "data", "home"].map(|dir| planted.world.dir(dir));
    for file in all.iter().flat_map(|dir| common::files(dir)).filter(|file| *file != kept) {
        planted.none_in(&file.display().to_string(), &read(&file));
    }
}

#[test]
fn a_killed_process_leaves_no_core_image() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if !can_mount() || pattern.starts_with(['|', '/']) {
        eprintln!("SKIPPED: core images do not go into the working directory here: {pattern}");
        return;
    }
    let planted = Planted::new();
    let url = planted.server.url("bucket", "p");
    planted.world.ok(&["volume", "create", "v", "--store", &url, "--credentials", "lab"]);
    let place = planted.world.dir("m");
    let abort = |variables: &[(&str, &str)], cores: &Path| {
        let mut serving = planted.mount(&place, cores, variables);
        serving.signal(Signal::ABORT);
        serving.ends();
        let _ = rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH);
        cores_in(cores)
    };
    // Proves that this machine writes images, and that one would hold the secret.
    let images = abort(&[("PROXYFS_CORE_DUMPS", "1")], &planted.world.dir("with"));
    let Some(image) = images.first() else {
        eprintln!("SKIPPED: this machine writes no core images");
        return;
    };
    assert!(holds(&read(image), &planted.server.secret_key), "the client of an open store holds its secret");
    assert_eq!(abort(&[], &planted.world.dir("without")), Vec::<PathBuf>::new());
}
