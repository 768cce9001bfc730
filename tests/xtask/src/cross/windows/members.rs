//! Which members of the workspace have a meaning on Windows.

use crate::workspace::Workspace;

/// Members that are not built for Windows, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("proxyfs-fuse", "FUSE is of Linux and macOS"),
    ("proxyfs-e2e", "mounts, machines and stores of Linux"),
    ("proxyfs-loader", "loads of benchmarks, which run on Linux"),
    ("proxyfs-tray", "a window, which needs another toolchain"),
    ("xtask", "these tasks, which run on Unix"),
];

/// Members that are built and linted, but whose tests show nothing more here than they do on Linux, and why.
const NOT_TESTED: &[(&str, &str)] = &[
    ("proxyfs-sim", "its machine is simulated whole: no call of it reaches the system"),
    (
        "proxyfs-model",
        "its volumes lie in memory: no call of it reaches the system; the adapter's tests use the model here",
    ),
    ("proxyfs-harness", "tools of tests, and the model against Linux' own file system"),
];

/// Those to build.
pub(super) fn built(workspace: &Workspace) -> Vec<&str> {
    workspace.member_names().filter(|name| !among(LEFT_OUT, name)).collect()
}

/// Those to test.
pub(super) fn tested(workspace: &Workspace) -> Vec<&str> {
    built(workspace).into_iter().filter(|name| !among(NOT_TESTED, name)).collect()
}

fn among(list: &[(&str, &str)], name: &str) -> bool {
    list.iter().any(|(listed, _)| *listed == name)
}
