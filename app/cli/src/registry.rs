//! The registry: which volumes this user knows by name, in one TOML file.
//!
//! Invariants: a change holds the lock file, reads the file anew, and replaces it atomically; a file that cannot be read, or was
//! written by a newer program, is an error and is never overwritten; no secret is in it, since a store URL holds none and credentials are named.
//!
//! ```toml
//! version = 1
//! [volumes.photos]
//! uuid = "32 hex digits"
//! store = "s3://bucket/prefix"
//! credentials = "lab"
//! [volumes.photos.options]
//! max_flush_size = "32MiB"
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};
use crate::options::Given;
use crate::sys::{make_private_dir, private, sync_dir};

/// Version of the file that this program reads and writes.
const VERSION: u64 = 1;
/// Longest name of a volume.
const NAME_CHARS_MAX: usize = 64;

/// What is known of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Names the volume for ever: 32 hex digits.
    pub(crate) uuid: String,
    /// Canonical store URL.
    pub(crate) store: String,
    /// Name of the credentials to use; without one, those of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credentials: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    /// Where the daemon mounts it whenever it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mount: Option<KeptMount>,
    /// Options that every mount of it begins with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) options: Given,
}

/// A mount that the daemon was asked for and makes again after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptMount {
    /// The directory.
    pub(crate) mount_point: PathBuf,
    /// Whether it takes no changes.
    #[serde(default)]
    pub(crate) read_only: bool,
    /// Options of this mount.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) options: Given,
}

impl Entry {
    /// A volume of which no more than this is known.
    pub(crate) fn new(uuid: impl Into<String>, store: impl Into<String>) -> Self {
        let (uuid, store) = (uuid.into(), store.into());
        Self { uuid, store, credentials: None, label: None, mount: None, options: Given::new() }
    }
}

/// The file's content.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u64,
    #[serde(default)]
    volumes: BTreeMap<String, Entry>,
}

impl Default for Content {
    fn default() -> Self {
        Self { version: VERSION, volumes: BTreeMap::new() }
    }
}

/// The registry of one user.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    file: PathBuf,
}

impl Registry {
    /// The registry in `file`, which need not exist.
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// All volumes by name.
    pub(crate) fn load(&self) -> Outcome<BTreeMap<String, Entry>> {
        Ok(self.read()?.volumes)
    }

    /// One volume, or a failure that names the known ones.
    pub(crate) fn get(&self, name: &str) -> Outcome<Entry> {
        let mut volumes = self.load()?;
        volumes.remove(name).ok_or_else(|| {
            let known: Vec<&str> = volumes.keys().map(String::as_str).collect();
            let advice = if known.is_empty() {
                "create one: proxyfs volume create NAME --store URL; or start with: proxyfs quickstart".to_owned()
            } else {
                format!("known volumes: {}", known.join(", "))
            };
            Failure::new("find", format!("volume {name}"), "no volume of this name is registered", advice)
        })
    }

    /// Adds a volume under a free name.
    pub(crate) fn add(&self, name: &str, entry: &Entry) -> Outcome {
        check_name(name)?;
        self.change(|volumes| {
            if volumes.contains_key(name) {
                return Err(taken(name));
            }
            volumes.insert(name.to_owned(), entry.clone());
            Ok(())
        })
    }

    /// Adds a volume, or replaces what is known of it.
    pub(crate) fn put(&self, name: &str, entry: &Entry) -> Outcome {
        check_name(name)?;
        self.change(|volumes| {
            volumes.insert(name.to_owned(), entry.clone());
            Ok(())
        })
    }

    /// Changes what is known of a volume.
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Entry)) -> Outcome {
        self.get(name)?;
        self.change(|volumes| {
            if let Some(entry) = volumes.get_mut(name) {
                edit(entry);
            }
            Ok(())
        })
    }

    /// Forgets a volume. Its objects stay in the store.
    pub(crate) fn remove(&self, name: &str) -> Outcome {
        self.get(name)?;
        self.change(|volumes| {
            volumes.remove(name);
            Ok(())
        })
    }

    fn change(&self, edit: impl FnOnce(&mut BTreeMap<String, Entry>) -> Outcome) -> Outcome {
        let _lock = self.lock().map_err(|e| self.failed("lock", &e))?;
        let mut content = self.read()?;
        edit(&mut content.volumes)?;
        let text = toml::to_string_pretty(&content).map_err(|e| self.failed("encode", &io::Error::other(e)))?;
        self.replace(&text).map_err(|e| self.failed("write", &e))
    }

    fn read(&self) -> Outcome<Content> {
        let text = match fs::read_to_string(&self.file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
            other => other.map_err(|e| self.failed("read", &e))?,
        };
        parse(&text).map_err(|(why, advice)| Failure::new("read", self.subject(), why, advice))
    }

    /// Waits for other changes; the lock ends with the returned file.
    fn lock(&self) -> io::Result<File> {
        make_private_dir(self.dir())?;
        let path = self.file.with_extension("lock");
        let lock = private(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(path)?;
        lock.lock()?;
        Ok(lock)
    }

    /// Writes a new file beside the old one and renames it into place. Runs under the lock.
    fn replace(&self, text: &str) -> io::Result<()> {
        let temp = self.file.with_extension("new");
        let mut file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&temp)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temp, &self.file)?;
        sync_dir(self.dir())
    }

    fn dir(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    fn subject(&self) -> String {
        format!("the registry {}", self.file.display())
    }

    fn failed(&self, action: &str, error: &io::Error) -> Failure {
        Failure::io(action, &self.subject(), error)
    }
}

/// The failure when a name is in use.
pub(crate) fn taken(name: &str) -> Failure {
    Failure::new(
        "create",
        format!("volume {name}"),
        "a volume of this name is registered already",
        format!("choose another name, or look at it: proxyfs volume show {name}"),
    )
}

/// Accepts names that need no quoting anywhere and cannot be taken for a URL.
pub(crate) fn check_name(name: &str) -> Outcome {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if plain && first && name.len() <= NAME_CHARS_MAX {
        return Ok(());
    }
    Err(Failure::usage(
        "use",
        format!("the name {name:?}"),
        "it is not a volume's name",
        format!("use 1 to {NAME_CHARS_MAX} letters, digits, `-`, `_` and `.`, beginning with a letter or digit"),
    ))
}

/// Looks at the version before anything else, so that a newer file is told from a broken one.
fn parse(text: &str) -> Result<Content, (String, String)> {
    #[derive(Deserialize)]
    struct Probe {
        version: u64,
    }
    let broken = |e: toml::de::Error| {
        let advice = "correct the file, or move it away to begin anew; volumes in their stores are not touched by it";
        (format!("it does not hold what it should: {}", e.message()), advice.to_owned())
    };
    let version = toml::from_str::<Probe>(text).map_err(broken)?.version;
    if version != VERSION {
        let why = format!("its version is {version}, this program knows {VERSION}");
        return Err((why, "upgrade proxyfs: a newer version wrote this file".to_owned()));
    }
    toml::from_str(text).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let options = Given::from([("k".into(), "v".into())]);
        Entry { credentials: Some("lab".into()), options, ..Entry::new("ab".repeat(16), "file:///s") }
    }

    fn registry() -> (tempfile::TempDir, Registry) {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(dir.path().join("config/volumes.toml"));
        (dir, registry)
    }

    #[test]
    fn volumes_are_added_found_and_forgotten() {
        let (_dir, registry) = registry();
        assert!(registry.load().unwrap().is_empty());
        registry.add("a", &entry()).unwrap();
        assert_eq!(registry.get("a").unwrap(), entry());
        assert!(registry.add("a", &entry()).unwrap_err().why.contains("already"));
        registry.remove("a").unwrap();
        assert!(registry.get("a").is_err());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let (_dir, registry) = registry();
        registry.add("photos", &entry()).unwrap();
        assert!(registry.get("fotos").unwrap_err().advice.contains("photos"));
    }

    #[test]
    fn a_broken_or_newer_file_is_an_error_and_stays_as_it_is() {
        for (text, part) in [
            ("version = 1\nvolumes = 3", "does not hold"),
            ("not toml [", "does not hold"),
            ("version = 2\nnew_things = true", "version is 2"),
            ("version = 1\n[volumes.a]\nuuid = \"x\"\nstore = \"s\"\nsurprise = 1", "does not hold"),
        ] {
            let (_dir, registry) = registry();
            fs::create_dir_all(registry.dir()).unwrap();
            fs::write(&registry.file, text).unwrap();
            assert!(registry.load().unwrap_err().why.contains(part), "{text}");
            assert!(registry.add("a", &entry()).is_err());
            assert_eq!(fs::read_to_string(&registry.file).unwrap(), text);
        }
    }

    #[test]
    fn additions_at_the_same_time_are_all_kept() {
        let (_dir, registry) = registry();
        std::thread::scope(|scope| {
            for i in 0..16 {
                let registry = &registry;
                scope.spawn(move || registry.add(&format!("v{i}"), &entry()).unwrap());
            }
        });
        assert_eq!(registry.load().unwrap().len(), 16);
    }

    #[test]
    fn names_are_plain_words() {
        for name in ["a", "photos-2024", "A.b_c"] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", "a b", "s3://x", "-a", "a/b", "\u{e9}", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
