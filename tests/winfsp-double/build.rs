//! Looks for WinFsp's library, which comes with the sources of its bindings, in cargo's registry. Only a hint: the tests take
//! `PROXYFS_WINFSP_DLL` before it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

const LIBRARY: &str = "winfsp/bin/winfsp-x64.dll";

fn main() {
    println!("cargo:rerun-if-env-changed=CARGO_HOME");
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let user = env::var_os("HOME").or_else(|| env::var_os("USERPROFILE")).map(|home| Path::new(&home).join(".cargo"));
    let found = [home, user].into_iter().flatten().find_map(|home| library_in(&home.join("registry/src")));
    println!("cargo:rustc-env=WINFSP_DLL_HINT={}", found.unwrap_or_default().display());
}

/// The newest library in any registry's sources.
fn library_in(sources: &Path) -> Option<PathBuf> {
    let registries = fs::read_dir(sources).ok()?.flatten();
    let crates = registries.filter_map(|registry| fs::read_dir(registry.path()).ok()).flat_map(Iterator::flatten);
    let bindings = crates.filter(|dir| dir.file_name().to_string_lossy().starts_with("winfsp-sys-"));
    bindings.map(|dir| dir.path().join(LIBRARY)).filter(|path| path.is_file()).max()
}
