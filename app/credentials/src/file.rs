//! A file of named credentials that only its owner may read.
//!
//! Invariants: the opened file, not its path, is checked (a regular file, mode without any right of group and others, owned by this
//! user or root; on Windows the rights are those of the folder that it lies in, the user's profile, and are not looked at); a change holds the lock file, reads anew, and replaces the file atomically and durably; a file that makes no sense
//! is an error and is never overwritten.
//!
//! ```toml
//! version = 1
//! [credentials.NAME]
//! access_key_id = "..."
//! secret_access_key = "..."
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::record::{Fields, Record, broken};

/// Version of the file that this program reads and writes.
const VERSION: u64 = 1;
/// Longest file that is read: thousands of credentials.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All records of a file.
pub(crate) type Records = BTreeMap<String, Record>;

/// The file's content.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u64,
    #[serde(default)]
    credentials: BTreeMap<String, Fields>,
}

/// A file, which need not exist.
#[derive(Clone, Debug)]
pub(crate) struct CredentialsFile {
    path: PathBuf,
}

impl CredentialsFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Everything in it; nothing if there is no file.
    pub(crate) fn load(&self) -> Result<Records> {
        match open_checked(&self.path).and_then(|file| file.map(|mut f| self.read(&mut f)).transpose())? {
            Some(text) => self.parse(&text),
            None => Ok(Records::new()),
        }
    }

    /// Adds or replaces one.
    pub(crate) fn set(&self, name: &str, record: &Record) -> Result<()> {
        self.change(|records| {
            records.insert(name.to_owned(), record.clone());
            true
        })?;
        Ok(())
    }

    /// Removes one; false if it is not there.
    pub(crate) fn delete(&self, name: &str) -> Result<bool> {
        if !self.load()?.contains_key(name) {
            return Ok(false);
        }
        self.change(|records| records.remove(name).is_some())
    }

    fn change(&self, edit: impl FnOnce(&mut Records) -> bool) -> Result<bool> {
        let failed = |e: io::Error| Error::io(self.subject(), &e);
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        make_private_dir(dir).map_err(failed)?;
        let _lock = lock(&self.path.with_extension("lock")).map_err(failed)?;
        let mut records = self.load()?;
        let changed = edit(&mut records);
        if changed {
            self.replace(dir, &encode(&records)).map_err(failed)?;
        }
        Ok(changed)
    }

    /// Writes a new file beside the old one and renames it into place, durably. Temporary files are private from their creation.
    fn replace(&self, dir: &Path, text: &str) -> io::Result<()> {
        let mut new = tempfile::Builder::new().prefix(".credentials-").tempfile_in(dir)?;
        new.write_all(text.as_bytes())?;
        new.as_file().sync_all()?;
        new.persist(&self.path).map_err(|e| e.error)?;
        #[cfg(unix)]
        File::open(dir)?.sync_all()?;
        Ok(())
    }

    fn read(&self, file: &mut File) -> Result<Zeroizing<String>> {
        let failed = |e: io::Error| Error::io(self.subject(), &e);
        let len = file.metadata().map_err(failed)?.len();
        if len > FILE_BYTES_MAX {
            return Err(self.invalid(&format!("it has {len} bytes, more than {FILE_BYTES_MAX}")));
        }
        // One more, so that reading to the end does not grow it and leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(len).unwrap_or(0) + 64));
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        Ok(text)
    }

    fn parse(&self, text: &str) -> Result<Records> {
        #[derive(Deserialize)]
        struct Probe {
            version: u64,
        }
        let version = toml::from_str::<Probe>(text).map_err(|e| self.invalid(&broken(text, &e)))?.version;
        if version != VERSION {
            let why = format!("its version is {version}, this program knows {VERSION}");
            return Err(Error::new(
                ErrorKind::Invalid,
                self.subject(),
                why,
                "upgrade proxyfs: a newer version wrote it",
            ));
        }
        let content: Content = toml::from_str(text).map_err(|e| self.invalid(&broken(text, &e)))?;
        debug_assert_eq!(content.version, VERSION);
        let mut records = Records::new();
        for (name, fields) in content.credentials {
            let record = Record::from(fields);
            record.check().map_err(|why| self.invalid(&format!("credentials.{name}: {why}")))?;
            records.insert(name, record);
        }
        Ok(records)
    }

    fn subject(&self) -> String {
        format!("the credentials file {}", self.path.display())
    }

    fn invalid(&self, why: &str) -> Error {
        let to_do = "each [credentials.NAME] has access_key_id and secret_access_key; correct it, or move it away";
        Error::new(ErrorKind::Invalid, self.subject(), why, to_do)
    }
}

fn encode(records: &Records) -> Zeroizing<String> {
    let parts: Vec<_> = records.iter().map(|(name, record)| (name, record.encode())).collect();
    let len: usize = parts.iter().map(|(name, text)| name.len() + text.len() + 32).sum();
    let mut out = Zeroizing::new(String::with_capacity(len + 256));
    let keep = if cfg!(windows) { "Let nobody else read them" } else { "Keep the mode at 0600" };
    out.push_str(&format!("# Secrets in clear text. {keep}; better: proxyfs credentials set NAME --in keyring\n"));
    out.push_str(&format!("version = {VERSION}\n"));
    for (name, text) in &parts {
        // Quoted, as a name may hold dots.
        out.push_str("\n[credentials.\"");
        out.push_str(name);
        out.push_str("\"]\n");
        out.push_str(text);
    }
    out
}

/// Opens a file that nobody else may read; `None` if there is none.
pub(crate) fn open_checked(path: &Path) -> Result<Option<File>> {
    let subject = || format!("the credentials file {}", path.display());
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A pipe in its place must not hold us up.
        options.custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0));
    }
    let refused = |why: String, to_do: String| Err(Error::new(ErrorKind::Refused, subject(), why, to_do));
    let irregular = || refused("it is not a regular file".to_owned(), "put a regular file there".to_owned());
    let file = match options.open(path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        // Windows does not open a directory as a file.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && path.is_dir() => return irregular(),
        other => other.map_err(|e| Error::io(subject(), &e))?,
    };
    let metadata = file.metadata().map_err(|e| Error::io(subject(), &e))?;
    if !metadata.is_file() {
        return irregular();
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            let why = format!("others may use it: its mode is {mode:04o}");
            return refused(why, format!("chmod 600 {}; if others could read it, change the keys too", path.display()));
        }
        let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
        if owner != own && owner != 0 {
            let why = format!("it belongs to user {owner}, not to user {own} or root");
            return refused(why, format!("chown {own} {}", path.display()));
        }
    }
    Ok(Some(file))
}

/// Makes the directory, with its parents, for this user alone; one that is there stays as it is.
fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Waits for other changes; the lock ends with the returned file.
fn lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::os::unix::fs::{PermissionsExt, symlink};

    use proxyfs_store::Credentials;
    use secrecy::ExposeSecret;

    use super::*;

    fn file() -> (tempfile::TempDir, CredentialsFile) {
        let dir = tempfile::tempdir().unwrap();
        let file = CredentialsFile::new(dir.path().join("config/credentials.toml"));
        (dir, file)
    }

    fn record(secret: &str) -> Record {
        Record::now(Credentials::new("id", secret))
    }

    /// Windows has no such modes.
    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// Makes a file of one's own such that it is not refused for its rights.
    fn make_private(path: &Path) {
        #[cfg(unix)]
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        #[cfg(windows)]
        assert!(path.is_file());
    }

    #[test]
    fn credentials_are_kept_privately_and_forgotten() {
        let (_dir, file) = file();
        assert!(file.load().unwrap().is_empty());
        file.set("a.b", &record("one")).unwrap();
        file.set("c", &record("two")).unwrap();
        #[cfg(unix)]
        assert_eq!((mode(file.path()), mode(file.path().parent().unwrap())), (0o600, 0o700));
        assert_eq!(file.load().unwrap()["a.b"].credentials.secret.expose_secret(), "one");
        assert!(file.delete("a.b").unwrap());
        assert!(!file.delete("a.b").unwrap());
        assert_eq!(file.load().unwrap().keys().collect::<Vec<_>>(), ["c"]);
        assert!(!fs::read_to_string(file.path()).unwrap().contains("one"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_remedy() {
        let (_dir, file) = file();
        file.set("a", &record("one")).unwrap();
        for bits in [0o644, 0o640, 0o602] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(bits)).unwrap();
            let error = file.load().unwrap_err();
            assert_eq!(error.kind, ErrorKind::Refused);
            assert!(error.to_do.contains("chmod 600"), "{error}");
            assert!(file.set("b", &record("two")).is_err(), "it is not overwritten either");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_of_somebody_else_is_refused() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: giving a file away needs root");
            return;
        }
        let (_dir, file) = file();
        file.set("a", &record("one")).unwrap();
        std::os::unix::fs::chown(file.path(), Some(12345), None).unwrap();
        let error = file.load().unwrap_err();
        assert!(error.why.contains("12345") && error.to_do.contains("chown"), "{error}");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let (dir, file) = file();
        fs::create_dir_all(file.path()).unwrap();
        assert_eq!(file.load().unwrap_err().kind, ErrorKind::Refused);
        fs::remove_dir(file.path()).unwrap();
        // Making one on Windows takes a right that users lack.
        #[cfg(unix)]
        {
            symlink(dir.path(), file.path()).unwrap();
            assert_eq!(file.load().unwrap_err().kind, ErrorKind::Refused);
        }
        drop(dir);
    }

    #[test]
    fn a_broken_or_newer_file_is_an_error_and_stays_as_it_is() {
        for text in ["version = 9", "hunter2", "version = 1\n[credentials.a]\naccess_key_id = 3\nkey = \"hunter2\""] {
            let (_dir, file) = file();
            fs::create_dir_all(file.path().parent().unwrap()).unwrap();
            fs::write(file.path(), text).unwrap();
            make_private(file.path());
            let error = file.set("b", &record("two")).unwrap_err();
            assert!(error.kind == ErrorKind::Invalid && !error.to_string().contains("hunter2"), "{error}");
            assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
        }
    }
}
