//! The standard library for a target, built once from the compiler's own sources and kept in the cache by compiler version.
//!
//! Debian packages the sources, but the built library only for the machine itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::toolchain::clean;
use crate::process::output;

/// Two minutes on two cores that do nothing else.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// What programs, their tests and procedural macros link.
const PARTS: &str = "-Zbuild-std=std,panic_unwind,panic_abort,test,proc_macro";

/// The compiler's own libraries for the machine.
const HOST: &str = "x86_64-unknown-linux-gnu";

/// Where the compiler has them.
const HOST_LIBRARIES: &str = "/usr/lib/rustlib/x86_64-unknown-linux-gnu";

/// Makes sure of a sysroot with the library for `triple`; gives its folder.
///
/// # Errors
/// When the library does not build.
pub(super) fn make(cargo: &Path, rustc: &Path, version: &str, triple: &str, cache: &Path) -> Result<PathBuf> {
    let root = cache.join(format!("sysroot-{version}"));
    // Written last, so that a build that was cut off is not taken for a whole one.
    let whole = root.join(format!("built-{triple}"));
    if whole.is_file() {
        return Ok(root);
    }
    println!("building the standard library of {version} for {triple} into {}", root.display());
    std::fs::create_dir_all(cache)?;
    let work = tempfile::Builder::new().prefix("sysroot-").tempdir_in(cache)?;
    write_package(work.path())?;
    let mut command = Command::new(cargo);
    clean(&mut command);
    command.current_dir(work.path()).env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
    command.args(["build", "--quiet", "--release", PARTS, "--target", triple, "--target-dir", "target"]);
    output(&mut command, BUILD_LIMIT)?;
    let libraries = root.join("lib/rustlib").join(triple).join("lib");
    std::fs::create_dir_all(&libraries)?;
    copy_libraries(&work.path().join("target").join(triple).join("release/deps"), &libraries)?;
    let host = root.join("lib/rustlib").join(HOST);
    if !host.exists() {
        std::os::unix::fs::symlink(HOST_LIBRARIES, &host).with_context(|| format!("linking {}", host.display()))?;
    }
    std::fs::write(whole, "")?;
    Ok(root)
}

/// Something for whose sake the library is built.
fn write_package(dir: &Path) -> Result<()> {
    std::fs::create_dir(dir.join("src"))?;
    // Line tables only: a panic in a test shows where, and the library stays small.
    let manifest = "[package]\nname = \"empty\"\nedition = \"2021\"\n[profile.release]\ndebug = 1\n[workspace]\n";
    std::fs::write(dir.join("Cargo.toml"), manifest)?;
    std::fs::write(dir.join("src/lib.rs"), "#![no_std]\n")?;
    Ok(())
}

fn copy_libraries(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with("lib") && name.ends_with(".rlib") && !name.starts_with("libempty-") {
            std::fs::copy(&path, to.join(name)).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}
