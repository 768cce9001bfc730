//! A machine in namespaces of its own that boots a real systemd, with a disk that outlives it.
//!
//! It shares the kernel and the network with the computer that runs the test, and nothing else: its root is read-only or in memory, its
//! processes and mounts end with its process 1, its cgroups lie below one of their own.

#![allow(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Said, World, can_mount};

/// What it takes beside root; Debian packages systemd, util-linux, fuse3.
const PROGRAMS: &[&str] = &["systemctl", "unshare", "nsenter", "setpriv", "script", "fusermount3"];
/// The service manager itself.
const SYSTEMD: &str = "/lib/systemd/systemd";
/// Where the computer that runs the test keeps its cgroups of the second version: as the only ones, or beside the first.
const CGROUPS: &[&str] = &["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
/// Units that every systemd has, copied from the computer that runs the test.
const UNITS: &[&str] = &[
    "basic.target",
    "final.target",
    "local-fs.target",
    "multi-user.target",
    "network-online.target",
    "network.target",
    "nss-lookup.target",
    "paths.target",
    "poweroff.target",
    "remote-fs.target",
    "remote-fs-pre.target",
    "shutdown.target",
    "slices.target",
    "sockets.target",
    "swap.target",
    "sysinit.target",
    "systemd-poweroff.service",
    "time-sync.target",
    "timers.target",
    "umount.target",
];
/// The same of a user's manager.
const USER_UNITS: &[&str] = &[
    "basic.target",
    "default.target",
    "exit.target",
    "paths.target",
    "shutdown.target",
    "sockets.target",
    "systemd-exit.service",
    "timers.target",
];
/// A login that begins with the machine, as after `loginctl enable-linger`.
const LOGIN: &str = "[Service]\nType=notify\nUser=1000\nGroup=1000\nSlice=user.slice\nDelegate=yes\nKillMode=mixed\n\
    Environment=HOME=/home/ann XDG_RUNTIME_DIR=/run/user/1000 PATH=/usr/local/bin:/usr/bin\n\
    Environment=SYSTEMD_UNIT_PATH=/home/ann/.config/systemd/user:/etc/systemd/user\n\
    ExecStartPre=+/usr/bin/install -d -m 700 -o 1000 -g 1000 /run/user /run/user/1000\n\
    ExecStart=/lib/systemd/systemd --user --log-target=console\n";
/// Longest that anything may take on a machine under load.
const PATIENCE: Duration = Duration::from_secs(90);

/// Who types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The administrator.
    Root,
    /// An ordinary person, number 1000, who is logged in.
    Ann,
}

/// The machine; off until it is booted.
pub(crate) struct Machine {
    disk: PathBuf,
    cgroup: PathBuf,
    running: Option<Running>,
}

/// What runs it.
struct Running {
    /// `unshare`, the parent of process 1.
    child: Child,
    /// Process 1, as seen from outside.
    init: String,
}

impl Machine {
    /// A machine with an empty disk in `world`. `None`, said aloud, where it cannot be.
    pub(crate) fn new(world: &World) -> Option<Self> {
        if !can_mount() {
            return None;
        }
        let there =
            |name: &&str| std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|d| d.join(name).is_file());
        let missing: Vec<_> = PROGRAMS.iter().filter(|name| !there(name)).collect();
        let cgroups = CGROUPS.iter().map(Path::new).find(|dir| dir.join("cgroup.controllers").exists());
        let (Some(cgroups), true, true) = (cgroups, missing.is_empty(), Path::new(SYSTEMD).exists()) else {
            eprintln!("SKIPPED: a machine takes {SYSTEMD}, cgroups of version 2, and {missing:?}");
            return None;
        };
        let disk = world.dir("machine");
        let name = disk.parent().unwrap().file_name().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
        let cgroup = cgroups.join(format!("proxyfs-{name}"));
        if let Err(e) = fs::create_dir(&cgroup) {
            eprintln!("SKIPPED: a machine takes a cgroup of its own: {e}");
            return None;
        }
        let machine = Self { disk, cgroup, running: None };
        machine.install();
        Some(machine)
    }

    /// Puts on the disk what a machine has before anything is installed.
    fn install(&self) {
        for dir in [
            "etc/systemd/system/multi-user.target.wants",
            "etc/systemd/user",
            "var/log",
            "home/ann",
            "srv",
            "mnt",
            "sbin",
        ] {
            fs::create_dir_all(self.disk.join(dir)).unwrap();
        }
        for (kind, units) in [("system", UNITS), ("user", USER_UNITS)] {
            for unit in units {
                let from = PathBuf::from(format!("/usr/lib/systemd/{kind}/{unit}"));
                // Newer versions have some of them no more.
                if from.exists() {
                    fs::copy(from, self.disk.join(format!("etc/systemd/{kind}/{unit}"))).unwrap();
                }
            }
        }
        self.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n");
        self.write("etc/group", "root:x:0:\nann:x:1000:\n");
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
        self.write("etc/hosts", "127.0.0.1 localhost\n");
        self.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        self.write("etc/os-release", "ID=test\nNAME=test\n");
        self.write("etc/systemd/system/login.service", LOGIN);
        let wanted = self.disk.join("etc/systemd/system/multi-user.target.wants");
        // The second is enabled on every installed system; mounts over a network hang on it.
        for unit in ["login.service", "remote-fs.target"] {
            symlink(format!("../{unit}"), wanted.join(unit)).unwrap();
        }
        symlink("/proc/self/mounts", self.disk.join("etc/mtab")).unwrap();
        let home = self.disk.join("home/ann");
        chown(&home, Some(1000), Some(1000)).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// Writes a file of its disk, also while it runs.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.disk.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A place on its disk.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.disk.join(path)
    }

    /// Switches it on; returns once systemd has started everything.
    pub(crate) fn boot(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let log = fs::File::options().create(true).append(true).open(self.disk.join("console")).unwrap();
        // Enters the cgroup before it is made the root of a namespace.
        let enter = format!("echo $$ > '{}/cgroup.procs' && exec \"$@\"", self.cgroup.display());
        let mut command = Command::new("sh");
        command.args(["-c", &enter, "sh", "unshare", "--mount", "--propagation", "private", "--pid", "--fork"]);
        command.args(["--kill-child", "--uts", "--ipc", "--cgroup", "sh"]);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/machine/boot.sh"));
        command.arg(&self.disk).arg(env!("CARGO_BIN_EXE_proxyfs"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let init = loop {
            let children = format!("/proc/{0}/task/{0}/children", child.id());
            let init = fs::read_to_string(children).unwrap_or_default().trim().to_owned();
            let name = fs::read_to_string(format!("/proc/{init}/comm")).unwrap_or_default();
            if name.trim() == "systemd" {
                break init;
            }
            self.expect_booting(&mut child, deadline);
        };
        self.running = Some(Running { child, init });
        let state = self.until("systemctl is-system-running | grep -E 'running|degraded'");
        assert_eq!(state.out.trim(), "running", "{}", self.run(Who::Root, "systemctl --failed").out);
    }

    fn expect_booting(&self, child: &mut Child, deadline: Instant) {
        let ended = child.try_wait().unwrap();
        assert!(
            ended.is_none() && Instant::now() < deadline,
            "it does not boot: {ended:?} {}",
            fs::read_to_string(self.disk.join("console")).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(10));
    }

    /// A command that runs in it.
    fn command(&self, who: Who) -> Command {
        let init = &self.running.as_ref().expect("it is off").init;
        let mut command = Command::new("nsenter");
        command.args(["--target", init, "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd"]);
        let home = match who {
            Who::Root => "/root",
            Who::Ann => {
                command.args(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]);
                "/home/ann"
            }
        };
        command.env_clear().env("HOME", home).env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin").env("TERM", "dumb");
        if who == Who::Ann {
            command.env("XDG_RUNTIME_DIR", "/run/user/1000");
            command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/1000/bus");
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs a shell script in it.
    pub(crate) fn run(&self, who: Who, script: &str) -> Said {
        self.command(who).args(["sh", "-c", script]).output().unwrap().into()
    }

    /// The same; it must succeed.
    pub(crate) fn ok(&self, who: Who, script: &str) -> Said {
        let said = self.run(who, script);
        assert_eq!(said.code, 0, "{script}: {said:?}\n{}", self.console());
        said
    }

    /// Runs a line at a terminal of its own, where `typed` is typed.
    pub(crate) fn type_at_terminal(&self, who: Who, line: &str, typed: &str) -> Said {
        let mut command = self.command(who);
        command.args(["script", "--quiet", "--return", "--command", line, "/dev/null"]);
        World::feed(command, typed)
    }

    /// Repeats a script as root until it succeeds.
    pub(crate) fn until(&self, script: &str) -> Said {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.run(Who::Root, script);
            if said.code == 0 {
                return said;
            }
            assert!(Instant::now() < deadline, "it never came about: {script}: {said:?}\n{}", self.console());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What its console and the logs of its services show.
    fn console(&self) -> String {
        let read = |path: &str| fs::read_to_string(self.disk.join(path)).unwrap_or_default();
        let own = read("home/ann/log");
        format!("console:\n{}\nlog:\n{}\nann's log:\n{own}", read("console"), read("var/log/proxyfs"))
    }

    /// Shuts it down in good order.
    pub(crate) fn shut_down(&mut self) {
        self.ok(Who::Root, "systemctl --no-block poweroff");
        let mut running = self.running.take().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while running.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end: {}", self.console());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Cuts its power: all its processes are killed at once.
    pub(crate) fn cut_power(&mut self) {
        if let Some(mut running) = self.running.take() {
            // All others are killed with its process 1.
            let init = running.init.parse().ok().and_then(Pid::from_raw).unwrap();
            let _ = kill_process(init, Signal::KILL);
            let _ = running.child.wait();
            let deadline = Instant::now() + PATIENCE;
            while !fs::read_to_string(self.cgroup.join("cgroup.events")).unwrap_or_default().contains("populated 0") {
                if Instant::now() > deadline {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.cut_power();
        remove_cgroups(&self.cgroup);
    }
}

/// Removes a tree of cgroups, leaves first.
fn remove_cgroups(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroups(&entry.path());
        }
    }
    let _ = fs::remove_dir(dir);
}
