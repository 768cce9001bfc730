//! The places that may hold a named credential, and the order in which they are asked.
//!
//! 1. `$CREDENTIALS_DIRECTORY/proxyfs-NAME`, where systemd puts `LoadCredential=` and `LoadCredentialEncrypted=`;
//! 2. the environment;
//! 3. the system's credential store;
//! 4. the user's `credentials.toml`, then the machine's `/etc/proxyfs/credentials.toml` (not on Windows, where all users may read the
//!    folder that programs share; a service's account has a credential store and a file of its own).
//!
//! The first that has the name wins. A credential store that is locked or missing is passed over and named only when no later source
//! has the name. A source that has the name but makes no sense is an error, so that no older secret is used by accident.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::environment;
use crate::error::{Error, ErrorKind, Result};
use crate::file::CredentialsFile;
use crate::keyring::Keyring;
use crate::name::check_name;
use crate::record::{Described, Record};

/// The machine's file.
const SYSTEM_FILE: Option<&str> = if cfg!(windows) { None } else { Some("/etc/proxyfs/credentials.toml") };

/// Where something was found or stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file from systemd.
    Systemd(PathBuf),
    /// Environment variables that begin like this.
    Environment(String),
    /// The system's credential store.
    Keyring,
    /// A file.
    File(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Systemd(path) => write!(f, "systemd credential {}", path.display()),
            Self::Environment(base) => write!(f, "environment {base}_*"),
            Self::Keyring => f.write_str("keyring"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// Where to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The system's credential store.
    Keyring,
    /// The user's file.
    File,
}

/// A record and where it was.
#[derive(Clone, Debug)]
pub struct Found {
    /// The record.
    pub record: Record,
    /// Its place.
    pub place: Place,
}

/// What storing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it lies now.
    pub place: Place,
    /// An earlier source that has the name too and therefore wins.
    pub hidden_by: Option<Place>,
}

/// All that is known by name.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Sorted by name, then in order of the sources: the first of a name is the one in use.
    pub found: Vec<Described>,
    /// Sources that could not be asked.
    pub problems: Vec<Error>,
}

/// The sources of one user.
#[derive(Clone, Debug)]
pub struct Sources {
    systemd: Option<PathBuf>,
    variables: fn(&str) -> Option<String>,
    keyring: Keyring,
    user_file: CredentialsFile,
    system_file: Option<CredentialsFile>,
}

impl Sources {
    /// The sources of this process; the user's file lies in `config_dir`.
    #[must_use]
    pub fn from_env(config_dir: &Path) -> Self {
        let variables = |name: &str| std::env::var(name).ok();
        Self {
            systemd: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|p| p.is_absolute()),
            variables,
            keyring: Keyring::from_env(variables),
            user_file: CredentialsFile::new(config_dir.join("credentials.toml")),
            system_file: SYSTEM_FILE.map(|path| CredentialsFile::new(PathBuf::from(path))),
        }
    }

    /// The files in the order in which they are asked.
    fn files(&self) -> impl Iterator<Item = &CredentialsFile> {
        std::iter::once(&self.user_file).chain(&self.system_file)
    }

    /// The credential of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with all places that were asked; else what is wrong with the source that has it.
    pub async fn load(&self, name: &str) -> Result<Found> {
        check_name(name)?;
        if let Some(found) = self.handed_over(name)? {
            return Ok(found);
        }
        let (kept, keyring_problem) = match self.keyring.load(name).await {
            Ok(kept) => (kept, None),
            Err(e) if passed_over(&e) => (None, Some(e)),
            Err(e) => return Err(e),
        };
        if let Some(record) = kept {
            return Ok(Found { record, place: Place::Keyring });
        }
        for file in self.files() {
            if let Some(record) = self.records(file)?.remove(name) {
                if let Some(problem) = &keyring_problem {
                    tracing::debug!(%problem, "passed over");
                }
                return Ok(Found { record, place: Place::File(file.path().to_owned()) });
            }
        }
        Err(self.not_found(name, keyring_problem))
    }

    /// Stores a credential.
    ///
    /// # Errors
    /// [`ErrorKind::KeyringMissing`] or [`ErrorKind::KeyringLocked`] with the way around it; [`ErrorKind::Refused`] for a file that
    /// others may use.
    pub async fn set(&self, name: &str, record: &Record, target: Target) -> Result<Stored> {
        check_name(name)?;
        let invalid = |why: String| Error::new(ErrorKind::Invalid, format!("credentials {name}"), why, "give both");
        record.check().map_err(invalid)?;
        let mut hidden_by = self.handed_over(name)?.map(|found| found.place);
        let place = match target {
            Target::Keyring => {
                self.keyring.set(name, record).await?;
                Place::Keyring
            }
            Target::File => {
                self.user_file.set(name, record)?;
                if hidden_by.is_none() && matches!(self.keyring.load(name).await, Ok(Some(_))) {
                    hidden_by = Some(Place::Keyring);
                }
                Place::File(self.user_file.path().to_owned())
            }
        };
        Ok(Stored { place, hidden_by })
    }

    /// Deletes a credential wherever it can be written, or only at `target`; gives the places where it was.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it was in none of them; else what is wrong with a source.
    pub async fn delete(&self, name: &str, target: Option<Target>) -> Result<Vec<Place>> {
        check_name(name)?;
        let mut places = Vec::new();
        let mut problem = None;
        if target != Some(Target::File) {
            match self.keyring.delete(name).await {
                Ok(true) => places.push(Place::Keyring),
                Ok(false) => {}
                Err(e) if passed_over(&e) && target.is_none() => problem = Some(e),
                Err(e) => return Err(e),
            }
        }
        if target != Some(Target::Keyring) && self.user_file.delete(name)? {
            places.push(Place::File(self.user_file.path().to_owned()));
        }
        if places.is_empty() { Err(self.not_found(name, problem)) } else { Ok(places) }
    }

    /// What may be shown of all credentials. Names in the environment cannot be listed.
    pub async fn list(&self) -> Listing {
        let mut listing = Listing::default();
        for name in self.systemd_names() {
            match self.in_systemd(&name) {
                Ok(Some(found)) => listing.found.push(found.record.describe(&name, &found.place.to_string())),
                Ok(None) => {}
                Err(problem) => listing.problems.push(problem),
            }
        }
        match self.keyring.list().await {
            Ok(kept) => {
                let place = Place::Keyring.to_string();
                listing.found.extend(kept.iter().map(|(name, record)| record.describe(name, &place)));
            }
            Err(problem) => listing.problems.push(problem),
        }
        for file in self.files() {
            match self.records(file) {
                Ok(records) => {
                    let place = Place::File(file.path().to_owned()).to_string();
                    listing.found.extend(records.iter().map(|(name, record)| record.describe(name, &place)));
                }
                Err(problem) => listing.problems.push(problem),
            }
        }
        listing.found.sort_by(|a, b| a.name.cmp(&b.name));
        listing
    }

    /// What comes from whoever started this process.
    fn handed_over(&self, name: &str) -> Result<Option<Found>> {
        if let Some(found) = self.in_systemd(name)? {
            return Ok(Some(found));
        }
        let record = environment::read(name, self.variables)?;
        Ok(record.map(|record| Found { record, place: Place::Environment(environment::base(name)) }))
    }

    fn in_systemd(&self, name: &str) -> Result<Option<Found>> {
        let Some(path) = self.systemd.as_ref().map(|dir| dir.join(format!("proxyfs-{name}"))) else { return Ok(None) };
        let subject = || format!("the systemd credential {}", path.display());
        let text = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => Zeroizing::new(other.map_err(|e| Error::io(subject(), &e))?),
        };
        let text = std::str::from_utf8(&text).map_err(|_| "it is not text".to_owned());
        let record = text.and_then(Record::decode).map_err(|why| {
            let to_do = "write access_key_id = \"...\" and secret_access_key = \"...\" into it";
            Error::new(ErrorKind::Invalid, subject(), why, to_do)
        })?;
        Ok(Some(Found { record, place: Place::Systemd(path) }))
    }

    fn systemd_names(&self) -> Vec<String> {
        let entries = self.systemd.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
        let names = entries.filter_map(|e| Some(e.file_name().to_str()?.strip_prefix("proxyfs-")?.to_owned()));
        names.filter(|name| check_name(name).is_ok()).collect()
    }

    /// A file's records. The machine's file is root's: whoever may not read it does not have it.
    fn records(&self, file: &CredentialsFile) -> Result<crate::file::Records> {
        let unreadable = |path: &Path| fs::File::open(path).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied);
        let is_system = self.system_file.as_ref().is_some_and(|system| system.path() == file.path());
        if is_system && unreadable(file.path()) {
            return Ok(crate::file::Records::new());
        }
        file.load()
    }

    fn not_found(&self, name: &str, keyring: Option<Error>) -> Error {
        let systemd = self.systemd.as_ref().map_or_else(
            || "no systemd credentials were handed over".to_owned(),
            |dir| format!("not in {}", dir.display()),
        );
        let keyring = keyring.map_or_else(|| "not in the keyring".to_owned(), |e| format!("keyring: {}", e.why));
        let why = format!(
            "they are nowhere: {systemd}; {}_* not in the environment; {keyring}; not in {}",
            environment::base(name),
            self.files().map(|file| file.path().display().to_string()).collect::<Vec<_>>().join(" or "),
        );
        let to_do = format!("store them: proxyfs credentials set {name}; on a machine without a screen add --in file");
        Error::new(ErrorKind::NotFound, format!("credentials {name}"), why, to_do)
    }
}

/// Whether the next source may be asked.
fn passed_over(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::KeyringMissing | ErrorKind::KeyringLocked)
}

#[cfg(test)]
mod tests {
    use proxyfs_store::Credentials;
    use secrecy::ExposeSecret;

    use super::*;

    fn sources(dir: &Path, variables: fn(&str) -> Option<String>) -> Sources {
        let systemd = dir.join("systemd");
        fs::create_dir_all(&systemd).unwrap();
        Sources {
            systemd: Some(systemd),
            variables,
            keyring: Keyring::from_env(|name| (name == "PROXYFS_KEYRING").then(|| "off".to_owned())),
            user_file: CredentialsFile::new(dir.join("user/credentials.toml")),
            system_file: Some(CredentialsFile::new(dir.join("etc/credentials.toml"))),
        }
    }

    fn record(secret: &str) -> Record {
        Record::now(Credentials::new("id", secret))
    }

    async fn secret(sources: &Sources) -> (String, Place) {
        let found = sources.load("lab").await.unwrap();
        (found.record.credentials.secret.expose_secret().to_owned(), found.place)
    }

    #[tokio::test]
    async fn the_first_source_that_has_the_name_wins() {
        let dir = tempfile::tempdir().unwrap();
        let mut sources = sources(dir.path(), |_| None);
        assert_eq!(sources.load("lab").await.unwrap_err().kind, ErrorKind::NotFound);
        sources.system_file.as_ref().unwrap().set("lab", &record("machine")).unwrap();
        assert_eq!(secret(&sources).await.0, "machine");
        sources.set("lab", &record("user"), Target::File).await.unwrap();
        assert_eq!(secret(&sources).await.0, "user");
        sources.variables = |name| match name {
            "PROXYFS_CREDENTIALS_LAB_USER" => Some("id".into()),
            "PROXYFS_CREDENTIALS_LAB_KEY" => Some("environment".into()),
            _ => None,
        };
        assert_eq!(
            secret(&sources).await,
            ("environment".into(), Place::Environment("PROXYFS_CREDENTIALS_LAB".into()))
        );
        let stored = sources.set("lab", &record("user"), Target::File).await.unwrap();
        assert!(stored.hidden_by.is_some());
        fs::write(dir.path().join("systemd/proxyfs-lab"), &*record("systemd").encode()).unwrap();
        assert_eq!(secret(&sources).await.0, "systemd");
        let listed = sources.list().await;
        assert_eq!(listed.found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["lab"; 3]);
        assert!(listed.found[0].place.starts_with("systemd"));
        assert_eq!(sources.delete("lab", None).await.unwrap().len(), 1);
        assert_eq!(sources.delete("lab", None).await.unwrap_err().kind, ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_source_that_makes_no_sense_is_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let sources = sources(dir.path(), |_| None);
        sources.set("lab", &record("older"), Target::File).await.unwrap();
        fs::write(dir.path().join("systemd/proxyfs-lab"), "hunter2").unwrap();
        let error = sources.load("lab").await.unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && !error.to_string().contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn what_is_nowhere_says_where_it_was_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let error = sources(dir.path(), |_| None).load("lab").await.unwrap_err();
        for part in ["systemd", "PROXYFS_CREDENTIALS_LAB_", "PROXYFS_KEYRING", "user/credentials.toml", "etc/"] {
            assert!(error.why.contains(part), "{part}: {error}");
        }
        assert!(error.to_do.contains("--in file"));
    }
}
