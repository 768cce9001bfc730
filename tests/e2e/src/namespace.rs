//! Tests in a mount namespace of their own, where they may change devices, programs and limits without changing the machine.

use std::process::Command;

/// Set inside.
const VARIABLE: &str = "PROXYFS_TEST_NAMESPACE";

/// Whether this process is inside.
#[must_use]
pub fn is_inside() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Runs `test` of this program once more as root in a mount namespace of its own, after the shell commands of `prepare`, in which
/// `$place` is a directory in memory that ends with the namespace. Needs root; without it, it says so aloud.
///
/// # Panics
/// When the test fails inside.
pub fn enter(test: &str, prepare: &str) {
    let own = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
        command
    };
    let probe = own("mount -t tmpfs none /mnt").stderr(std::process::Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("SKIP: {test} needs root and a mount namespace of its own");
        return;
    }
    let script = format!(
        "set -e; place=/mnt; mount -t tmpfs -o mode=755 none \"$place\"; export PROXYFS_TEST_PLACE=\"$place\"; {prepare}
         exec \"$1\" --exact \"$2\" --nocapture"
    );
    let done =
        std::env::current_exe().and_then(|program| own(&script).arg(program).arg(test).env(VARIABLE, "yes").status());
    assert!(done.is_ok_and(|status| status.success()), "{test} failed in its namespace");
}

/// The directory in memory, inside.
#[must_use]
pub fn place() -> std::path::PathBuf {
    std::env::var_os("PROXYFS_TEST_PLACE").unwrap_or_default().into()
}
