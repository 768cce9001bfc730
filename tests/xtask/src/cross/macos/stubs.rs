//! Names of what macOS brings along, in the form that linkers read (`.tbd`: text-based stubs of libraries), as far as the link needs them.
//!
//! A linker asks for a library's path on macOS and for the names that it has, and for no code. Which names are needed, the link itself
//! says: what it does not find, and what by its prefix belongs to one of [`LIBRARIES`], is taken to be there. So a name that is
//! misspelt after the prefix, or that only a newer macOS has, is not found out. The system's C library is not among them: zig
//! ships its names whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A library of macOS.
#[derive(Debug)]
struct Library {
    /// Where its stub lies, below the folder of stubs.
    file: &'static str,
    /// Where the library lies on macOS.
    path: &'static str,
    /// How the names begin that are its.
    prefixes: &'static [&'static str],
}

/// All that is linked.
const LIBRARIES: &[Library] = &[
    Library {
        file: "CoreFoundation.framework/CoreFoundation.tbd",
        path: "/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation",
        prefixes: &["_CF", "_kCF"],
    },
    Library {
        file: "Security.framework/Security.tbd",
        path: "/System/Library/Frameworks/Security.framework/Versions/A/Security",
        prefixes: &["_Sec", "_kSec"],
    },
    Library { file: "libiconv.tbd", path: "/usr/lib/libiconv.2.dylib", prefixes: &["_iconv"] },
];

/// Processors and systems, in the words of the form.
const TARGETS: &str = "[ x86_64-macos, arm64-macos ]";

/// Holds the names that have been needed.
const NAMES_FILE: &str = "names";

/// Stubs in a folder.
#[derive(Debug)]
pub(super) struct Stubs {
    dir: PathBuf,
    names: BTreeSet<String>,
}

impl Stubs {
    /// Makes those that the folder says were needed before; at first they are empty.
    ///
    /// # Errors
    /// When the folder does not take them.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let known = std::fs::read_to_string(dir.join(NAMES_FILE)).unwrap_or_default();
        let stubs = Self { dir: dir.to_owned(), names: known.lines().map(str::to_owned).collect() };
        stubs.write()?;
        Ok(stubs)
    }

    /// Adds what a link has missed; says whether another attempt may do better: something is new, and all of it is macOS's.
    ///
    /// # Errors
    /// When the folder does not take it.
    pub(super) fn add(&mut self, missed: &BTreeSet<String>) -> Result<bool> {
        if missed.is_subset(&self.names) || !missed.iter().all(|name| owner(name).is_some()) {
            return Ok(false);
        }
        self.names.extend(missed.iter().cloned());
        self.write()?;
        Ok(true)
    }

    fn write(&self) -> Result<()> {
        for library in LIBRARIES {
            let path = self.dir.join(library.file);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let names = self.names.iter().filter(|name| owner(name).is_some_and(|owner| owner.file == library.file));
            let text = stub(library.path, names.map(String::as_str));
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        let names: String = self.names.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
        std::fs::write(self.dir.join(NAMES_FILE), names).context("writing the names that are needed")
    }
}

/// The library that has a name.
fn owner(name: &str) -> Option<&'static Library> {
    LIBRARIES.iter().find(|library| library.prefixes.iter().any(|prefix| name.starts_with(prefix)))
}

/// The stub of the library at `path`.
fn stub<'n>(path: &str, names: impl Iterator<Item = &'n str>) -> String {
    // In quotes, as a name may hold a dollar sign.
    let names: Vec<String> = names.map(|name| format!("'{name}'")).collect();
    let mut text = format!("--- !tapi-tbd\ntbd-version: 4\ntargets: {TARGETS}\ninstall-name: '{path}'\n");
    if !names.is_empty() {
        text += &format!("exports:\n  - targets: {TARGETS}\n    symbols: [ {} ]\n", names.join(", "));
    }
    text + "...\n"
}

/// The name that a line of the linker says is nowhere.
pub(super) fn missed(line: &str) -> Option<&str> {
    line.split_once("undefined symbol: ")?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_stub_says_where_the_library_lies_and_which_names_it_has() {
        let text = stub("/usr/lib/libx.dylib", ["_a", "_b$X"].into_iter());
        let expected = "--- !tapi-tbd\ntbd-version: 4\ntargets: [ x86_64-macos, arm64-macos ]\n\
                        install-name: '/usr/lib/libx.dylib'\nexports:\n  - targets: [ x86_64-macos, arm64-macos ]\n\
                        \x20   symbols: [ '_a', '_b$X' ]\n...\n";
        assert_eq!(text, expected);
        assert!(!stub("/x", std::iter::empty()).contains("exports"));
    }

    #[test]
    fn names_are_kept_and_go_to_the_library_that_has_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let text = |file: &str| std::fs::read_to_string(dir.path().join(file)).expect("a stub");
        let mut stubs = Stubs::open(dir.path()).expect("stubs");
        assert!(stubs.add(&names(&["_CFRelease", "_kSecClass"])).expect("room"));
        drop(stubs);
        let mut stubs = Stubs::open(dir.path()).expect("stubs");
        assert!(text(LIBRARIES[0].file).contains("[ '_CFRelease' ]"));
        assert!(text(LIBRARIES[1].file).contains("[ '_kSecClass' ]"));
        assert!(!stubs.add(&names(&["_CFRelease"])).expect("room"), "it is there, and still was not found");
    }

    #[test]
    fn a_name_that_is_not_of_macos_is_not_made_up() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut stubs = Stubs::open(dir.path()).expect("stubs");
        assert!(!stubs.add(&names(&["_CFRelease", "_fuse_mount"])).expect("room"));
        assert!(stubs.names.is_empty());
        assert!(!stubs.add(&BTreeSet::new()).expect("room"), "the link failed for another reason");
    }

    #[test]
    fn the_linker_says_which_names_are_nowhere() {
        let line = "          error: undefined symbol: _CFRelease";
        assert_eq!(missed(line), Some("_CFRelease"));
        assert_eq!(missed("    note: referenced by /x/libsecurity.rlib(a.o):_f"), None);
    }
}
