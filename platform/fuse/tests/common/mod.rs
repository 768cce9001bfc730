//! What the tests with real mounts share: a mounted file system on a directory of its own, and a file system with hooks.
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod hooked;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use proxyfs_core::fs::FileSystem;
use proxyfs_fuse::{MountOptions, Mounted, UnmountKind, mount};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// How long an unmount is tried before the mount is detached.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Longest that anything in a test may take before it counts as hanging.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// Whether this machine lets us mount; if not, says so aloud.
pub(crate) fn can_mount(test: &str) -> bool {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    if let Err(e) = &device {
        eprintln!("SKIPPED {test}: /dev/fuse cannot be opened: {e}");
    }
    device.is_ok()
}

/// Whether the tests run as root, which some need; if not, says so aloud.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: it must run as root");
    }
    root
}

/// A mounted file system on a directory of its own. Dropped, it is unmounted.
pub(crate) struct Lab<F: FileSystem> {
    pub(crate) fs: Arc<F>,
    pub(crate) runtime: Runtime,
    mounted: Option<Mounted>,
    dir: TempDir,
}

impl<F: FileSystem> Lab<F> {
    pub(crate) fn mount(fs: F, options: MountOptions) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let dir = TempDir::new().expect("a temporary directory");
        let fs = Arc::new(fs);
        let mounted = mount(Arc::clone(&fs), dir.path(), options, runtime.handle()).expect("a mount");
        Self { fs, runtime, mounted: Some(mounted), dir }
    }

    pub(crate) fn mounted(&self) -> &Mounted {
        self.mounted.as_ref().expect("it is taken only at the end")
    }

    /// The mount point.
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// A path below the mount point.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits until the mount has ended.
    pub(crate) fn wait_ended(&self) {
        self.runtime
            .block_on(async { tokio::time::timeout(HANG, self.mounted().ended()).await })
            .expect("the mount ends");
    }

    pub(crate) fn unmount(&self, patience: Duration) -> UnmountKind {
        self.runtime.block_on(self.mounted().unmount(patience)).expect("an unmount")
    }
}

impl<F: FileSystem> Drop for Lab<F> {
    fn drop(&mut self) {
        let Some(mounted) = self.mounted.take() else { return };
        // A failed assertion may have left files open; then the mount is detached.
        let _shown = self.runtime.block_on(mounted.unmount(Duration::from_millis(200)));
        drop(mounted);
    }
}

/// The line of the table of mounts for a mount point.
pub(crate) fn mount_line(mount_point: &Path) -> Option<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("the table of mounts");
    let wanted = mount_point.to_str().expect("a plain path");
    table.lines().find(|line| line.split(' ').nth(4) == Some(wanted)).map(str::to_owned)
}

/// This test program once more, running only the (ignored) test `role`.
pub(crate) fn again(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", role, "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

/// Set inside [`in_namespace`].
const NAMESPACE: &str = "PROXYFS_TEST_NAMESPACE";

/// Whether this process runs inside [`in_namespace`].
pub(crate) fn is_in_namespace() -> bool {
    std::env::var_os(NAMESPACE).is_some()
}

/// Runs `test` once more, in a mount namespace of its own where everybody may open /dev/fuse and fuse.conf is empty, as `uid`. The
/// machine itself is not changed. Without the rights to do so it says so aloud.
pub(crate) fn in_namespace(test: &str, uid: u32) {
    const SCRIPT: &str = "set -e
        place=/mnt; mount -t tmpfs -o mode=755 none \"$place\"; cp \"$1\" \"$place/program\"
        mknod -m 666 \"$place/fuse\" c 10 229; mount --bind \"$place/fuse\" /dev/fuse
        : > \"$place/conf\"; if [ -e /etc/fuse.conf ]; then mount --bind \"$place/conf\" /etc/fuse.conf; fi
        mkdir -m 1777 \"$place/tmp\"; export TMPDIR=\"$place/tmp\"
        cd /; exec setpriv --reuid=\"$3\" --regid=\"$3\" --clear-groups \"$place/program\" --exact \"$2\" --nocapture";
    if !is_root(test) {
        return;
    }
    let own = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
        command
    };
    if !own("mount -t tmpfs none /mnt").status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED {test}: no mount namespace of its own");
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let mut command = own(SCRIPT);
    command.arg(program).args([test, &uid.to_string()]).env(NAMESPACE, "yes");
    assert!(command.status().expect("it runs").success(), "{test} failed in its namespace");
}
