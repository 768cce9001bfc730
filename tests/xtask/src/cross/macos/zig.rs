//! zig: a compiler of C and a linker that know macOS and bring its C library's headers and names along.
//!
//! Crates and the compiler of Rust call for `cc` and `ar`, in Apple's way; two small programs (`zig-cc.sh`) put that into zig's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::write_program;
use crate::prerequisites as pre;
use crate::session::Session;

const CC: &str = include_str!("zig-cc.sh");

/// What compiles C and links, for one kind of Mac.
#[derive(Debug)]
pub(super) struct Zig {
    cc: PathBuf,
    ar: PathBuf,
    cache: PathBuf,
}

impl Zig {
    /// Makes sure of zig itself; gives its path, or the reason why there is none.
    pub(super) fn install(session: &Session) -> Result<PathBuf, String> {
        let starter = pre::python_program(session, pre::ZIG)?;
        // What Python starts lies in a folder with Python's version in its name. Hundreds of files are compiled: it is called by itself.
        let libraries = starter.parent().and_then(Path::parent).map(|root| root.join("lib")).unwrap_or_default();
        let folders = std::fs::read_dir(&libraries).map_err(|e| format!("{}: {e}", libraries.display()))?;
        let mut found = folders.flatten().map(|folder| folder.path().join("site-packages/ziglang/zig"));
        found.find(|path| path.is_file()).ok_or_else(|| format!("there is no zig below {}", libraries.display()))
    }

    /// Writes the programs into `dir`. `target`: zig's words for the Mac; `stubs`: the folder of stubs.
    ///
    /// # Errors
    /// When the folder does not take them.
    pub(super) fn prepare(zig: &Path, dir: &Path, target: &str, stubs: &Path) -> Result<Self> {
        let tools = Self { cc: dir.join(target).join("cc"), ar: dir.join(target).join("ar"), cache: dir.join("zig") };
        let zig = zig.display();
        let head = format!("#!/bin/sh\nzig='{zig}' target='{target}' stubs='{}'\n", stubs.display());
        let programs = [(&tools.cc, head + CC), (&tools.ar, format!("#!/bin/sh\nexec '{zig}' ar \"$@\"\n"))];
        for (path, text) in programs {
            write_program(path, &text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(tools)
    }

    /// Lets a build for `triple` use them. `linker`: the name of cargo's variable for it.
    pub(super) fn apply(&self, command: &mut Command, triple: &str, linker: &str) {
        let suffix = triple.replace('-', "_");
        command.env(format!("CC_{suffix}"), &self.cc).env(format!("AR_{suffix}"), &self.ar).env(linker, &self.cc);
        command.env("ZIG_GLOBAL_CACHE_DIR", &self.cache).env("ZIG_LOCAL_CACHE_DIR", &self.cache);
    }
}
