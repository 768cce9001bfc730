//! A local directory as a store: one file per object, written beside its name and then linked or renamed into place.
//!
//! Invariants: a name appears with its whole content or not at all, since content is flushed before the name exists; on
//! return of a put the file, its name and every directory above it up to the root are flushed (on Windows as far as
//! [`sync_names`] can). Creation is atomic through
//! link(2), which fails on a taken name. Container 0 is the root; container N is the sibling `<root>-<N in hex>`.
//!
//! Temporary files begin with a dot, which object paths cannot; listings skip them and remove those older than a day.
//! Empty directories are left in place: removing them would race with writers.

mod walk;

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use proxyfs_core::env::sync_names;
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind, StoreResult,
};

use crate::key;
use crate::url::{FileUrl, StoreUrl};

/// Objects of one listing page; larger than S3's, as each page walks its directories anew.
const PAGE_OBJECTS: usize = 10_000;

/// How files that are not yet objects begin.
const TEMP_PREFIX: &str = ".tmp-";

/// A store in a local directory.
#[derive(Clone, Debug)]
pub struct LocalStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    page_objects: usize,
    create_containers: bool,
    /// Directories whose own name is known to be flushed.
    durable_dirs: Mutex<HashSet<PathBuf>>,
    /// Sets this handle's temporary files apart from those of others, possibly on other machines.
    temp_nonce: u64,
    temp_counter: AtomicU64,
}

impl LocalStore {
    /// A store under `root`. With `create_containers`, missing root and container directories are made when first used.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, create_containers: bool) -> Self {
        Self::with_page(root, create_containers, PAGE_OBJECTS)
    }

    /// The same with at most `page_objects` objects a listing page.
    #[must_use]
    pub fn with_page(root: impl Into<PathBuf>, create_containers: bool, page_objects: usize) -> Self {
        let inner = Inner {
            root: root.into(),
            page_objects,
            create_containers,
            durable_dirs: Mutex::default(),
            temp_nonce: RandomState::new().hash_one(std::process::id()),
            temp_counter: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Checks that container 0 exists, or makes it.
    ///
    /// # Errors
    /// [`StoreErrorKind::NoContainer`], [`StoreErrorKind::Denied`] or the general kinds.
    pub async fn check(&self) -> StoreResult<()> {
        self.blocking(|inner| inner.require_container(0)).await
    }

    /// Runs a blocking step off the async threads. It completes even when the caller goes away.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let inner = Arc::clone(&self.inner);
        let joined = tokio::task::spawn_blocking(move || work(&inner)).await;
        joined.unwrap_or_else(|e| {
            Err(StoreError::new(StoreErrorKind::Unavailable, format!("local store: a worker thread failed: {e}")))
        })
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()> {
        key::check_path(&key.path)?;
        let task_key = key.clone();
        // Chunks are cheap to clone; the copy is for settling a conflict.
        let chunks = body.clone();
        let result = self.blocking(move |inner| inner.put(&task_key, &chunks, mode)).await;
        match result {
            Err(e) if e.kind == StoreErrorKind::AlreadyExists => key::settle_conflict(self, key, &body).await,
            other => other,
        }
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        key::check_path(&key.path)?;
        key::check_range(key, range)?;
        let key = key.clone();
        self.blocking(move |inner| inner.get(&key, range)).await
    }

    async fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        key::check_path(&key.path)?;
        let key = key.clone();
        self.blocking(move |inner| inner.len(&key)).await
    }

    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        let (prefix, start_after) = (prefix.to_owned(), start_after.map(str::to_owned));
        self.blocking(move |inner| inner.list(container, &prefix, start_after.as_deref())).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        let keys = keys.to_vec();
        self.blocking(move |inner| Ok(inner.delete(keys))).await
    }

    fn conditional_put(&self) -> ConditionalPut {
        ConditionalPut::Atomic
    }

    fn describe(&self) -> String {
        StoreUrl::File(FileUrl { root: self.inner.root.clone() }).to_string()
    }
}

impl Inner {
    /// The directory of a container.
    fn container_dir(&self, container: u32) -> PathBuf {
        if container == 0 {
            return self.root.clone();
        }
        let mut name = self.root.file_name().unwrap_or_default().to_owned();
        name.push(format!("-{container:x}"));
        self.root.with_file_name(name)
    }

    fn path_of(&self, key: &ObjectKey) -> PathBuf {
        self.container_dir(key.container).join(&key.path)
    }

    fn require_container(&self, container: u32) -> StoreResult<()> {
        let dir = self.container_dir(container);
        match std::fs::metadata(&dir) {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => {
                let message = format!("local store: {} is not a directory; name one that is", dir.display());
                Err(StoreError::new(StoreErrorKind::NoContainer, message))
            }
            Err(e) if e.kind() == ErrorKind::NotFound && self.create_containers => make_root(&dir),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(no_container(&dir)),
            Err(e) => Err(classify("open", &dir.display().to_string(), &e)),
        }
    }

    /// Turns "no such file" into "no such container" when the whole container is missing (a disk not mounted, say).
    fn explain(&self, verb: &str, key: &ObjectKey, error: &io::Error) -> StoreError {
        let dir = self.container_dir(key.container);
        if error.kind() == ErrorKind::NotFound && !dir.is_dir() && !(self.create_containers && key.container != 0) {
            return no_container(&dir);
        }
        if error.kind() == ErrorKind::NotADirectory && verb != "put" {
            // An object stands where the path has a directory.
            return not_found(verb, key);
        }
        if error.kind() == ErrorKind::PermissionDenied && verb == "get" && self.path_of(key).is_dir() {
            // Windows does not open a directory as a file.
            return not_found(verb, key);
        }
        classify(verb, &key.to_string(), error)
    }

    fn put(&self, key: &ObjectKey, body: &[Bytes], mode: PutMode) -> StoreResult<()> {
        let target = self.path_of(key);
        let dir = target.parent().unwrap_or(&self.root);
        let (temp, mut file) = self.create_temp(key, dir)?;
        let written = write_chunks(&mut file, body).and_then(|()| file.sync_data());
        drop(file);
        let placed = written.and_then(|()| match mode {
            PutMode::Fresh => std::fs::rename(&temp, &target),
            PutMode::CreateNew => std::fs::hard_link(&temp, &target),
        });
        if placed.is_err() || mode == PutMode::CreateNew {
            // A temporary file that stays behind is harmless: listings skip it and remove it later.
            let _ = std::fs::remove_file(&temp);
        }
        // A taken name is flushed too: it may be ours, from a put that failed between link and flush.
        if placed.as_ref().err().is_none_or(|e| e.kind() == ErrorKind::AlreadyExists) {
            self.make_durable(key, dir).map_err(|e| classify("put", &key.to_string(), &e))?;
        }
        placed.map_err(|e| classify_put(key, mode, &e))
    }

    /// A new file beside the object-to-be; missing directories below the container are made.
    fn create_temp(&self, key: &ObjectKey, dir: &Path) -> StoreResult<(PathBuf, File)> {
        let count = self.temp_counter.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMP_PREFIX}{:016x}-{count:x}", self.temp_nonce);
        let temp = dir.join(name);
        let open = || OpenOptions::new().write(true).create_new(true).open(&temp);
        let file = match open() {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.require_container(key.container)?;
                std::fs::create_dir_all(dir).and_then(|()| open())
            }
            other => other,
        };
        Ok((temp.clone(), file.map_err(|e| self.explain("put", key, &e))?))
    }

    /// Flushes the object's name, and the names of directories above it that this process has not flushed yet.
    fn make_durable(&self, key: &ObjectKey, dir: &Path) -> io::Result<()> {
        sync_names(dir)?;
        let container = self.container_dir(key.container);
        for child in dir.ancestors().take_while(|d| *d != container) {
            if self.durable_dirs.lock().contains(child) {
                break;
            }
            sync_names(child.parent().unwrap_or(&container))?;
        }
        let mut durable = self.durable_dirs.lock();
        if !durable.contains(dir) {
            durable.extend(dir.ancestors().take_while(|d| *d != container).map(Path::to_path_buf));
        }
        Ok(())
    }

    fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        let fail = |e: io::Error| self.explain("get", key, &e);
        let mut file = File::open(self.path_of(key)).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        if !meta.is_file() {
            return Err(not_found("get", key));
        }
        let (offset, len) = key::resolve_range(key, range, meta.len())?;
        if offset != 0 {
            file.seek(SeekFrom::Start(offset)).map_err(fail)?;
        }
        // Read into spare capacity: no zeroing before, no copy after.
        let mut content = Vec::with_capacity(usize::try_from(len).unwrap_or(usize::MAX));
        file.take(len).read_to_end(&mut content).map_err(fail)?;
        if content.len() as u64 != len {
            let message = format!("get {key}: {} bytes read at {offset}, {len} expected", content.len());
            return Err(StoreError::new(StoreErrorKind::Truncated, message));
        }
        Ok(content.into())
    }

    fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        let meta = std::fs::metadata(self.path_of(key)).map_err(|e| self.explain("head", key, &e))?;
        if meta.is_file() { Ok(meta.len()) } else { Err(not_found("head", key)) }
    }

    fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        let dir = self.container_dir(container);
        if !dir.is_dir() {
            self.require_container(container)?;
        }
        walk::list(&dir, container, prefix, start_after, self.page_objects)
            .map_err(|e| classify("list", &dir.join(prefix).display().to_string(), &e))
    }

    fn delete(&self, keys: Vec<ObjectKey>) -> Vec<(ObjectKey, StoreError)> {
        let mut failed = Vec::new();
        for key in keys {
            let result = key::check_path(&key.path).and_then(|()| match std::fs::remove_file(self.path_of(&key)) {
                Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    Err(self.explain("delete", &key, &e))
                }
                _ => Ok(()),
            });
            if let Err(error) = result {
                failed.push((key, error));
            }
        }
        failed
    }
}

/// Makes a container's directory and flushes its name.
fn make_root(dir: &Path) -> StoreResult<()> {
    let made = std::fs::create_dir_all(dir).and_then(|()| dir.parent().map_or(Ok(()), sync_names));
    made.map_err(|e| classify("create", &dir.display().to_string(), &e))
}

/// Writes all chunks with as few system calls as the OS allows, without joining them.
fn write_chunks(file: &mut File, body: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = body.iter().filter(|c| !c.is_empty()).map(|c| IoSlice::new(c)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut rest, n),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn classify_put(key: &ObjectKey, mode: PutMode, error: &io::Error) -> StoreError {
    let no_links = matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied);
    if mode == PutMode::CreateNew && no_links && error.raw_os_error().is_some() {
        let hint = "atomic creation needs a file system with hard links";
        return StoreError::new(StoreErrorKind::Unsupported, format!("put {key}: {error}; {hint}"));
    }
    classify("put", &key.to_string(), error)
}

fn no_container(dir: &Path) -> StoreError {
    let message = format!("local store: the directory {} does not exist; create it, or correct the URL", dir.display());
    StoreError::new(StoreErrorKind::NoContainer, message)
}

fn not_found(verb: &str, key: &ObjectKey) -> StoreError {
    StoreError::new(StoreErrorKind::NotFound, format!("{verb} {key}: no such object"))
}

fn classify(verb: &str, what: &str, error: &io::Error) -> StoreError {
    StoreError::new(kind_of(error), format!("{verb} {what}: {error}"))
}

/// What a failed system call means. Unknown failures count as worth a retry: they end at the deadline.
fn kind_of(error: &io::Error) -> StoreErrorKind {
    match error.kind() {
        ErrorKind::NotFound => StoreErrorKind::NotFound,
        ErrorKind::AlreadyExists => StoreErrorKind::AlreadyExists,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreErrorKind::Denied,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreErrorKind::NoSpace,
        ErrorKind::UnexpectedEof => StoreErrorKind::Truncated,
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::InvalidFilename | ErrorKind::InvalidInput => {
            StoreErrorKind::Invalid
        }
        ErrorKind::Unsupported => StoreErrorKind::Unsupported,
        _ => StoreErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Vec<Bytes> {
        vec![Bytes::from_static(text.as_bytes())]
    }

    #[test]
    fn system_errors_map_to_kinds() {
        for (kind, expected) in [
            (ErrorKind::NotFound, StoreErrorKind::NotFound),
            (ErrorKind::PermissionDenied, StoreErrorKind::Denied),
            (ErrorKind::ReadOnlyFilesystem, StoreErrorKind::Denied),
            (ErrorKind::StorageFull, StoreErrorKind::NoSpace),
            (ErrorKind::QuotaExceeded, StoreErrorKind::NoSpace),
            (ErrorKind::TimedOut, StoreErrorKind::Unavailable),
        ] {
            assert_eq!(kind_of(&kind.into()), expected, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn objects_are_plain_files_and_temporaries_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::new(dir.path(), false);
        store.put(&ObjectKey::home("data/3f/x"), bytes("hello"), PutMode::Fresh).await.unwrap();
        store.put(&ObjectKey::home("head/1"), bytes("one"), PutMode::CreateNew).await.unwrap();
        store.put(&ObjectKey::home("head/1"), bytes("two"), PutMode::CreateNew).await.unwrap_err();
        assert_eq!(std::fs::read(dir.path().join("data/3f/x")).unwrap(), b"hello");
        for sub in ["data/3f", "head"] {
            assert_eq!(std::fs::read_dir(dir.path().join(sub)).unwrap().count(), 1, "{sub}");
        }
    }

    #[tokio::test]
    async fn a_missing_root_is_reported_and_made_only_when_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        let strict = LocalStore::new(&root, false);
        let key = ObjectKey::home("k");
        let mut errors = vec![strict.check().await.unwrap_err(), strict.len(&key).await.unwrap_err()];
        errors.push(strict.put(&key, bytes("x"), PutMode::Fresh).await.unwrap_err());
        errors.push(strict.list(0, "", None).await.unwrap_err());
        for error in errors {
            assert_eq!(error.kind, StoreErrorKind::NoContainer, "{error}");
        }
        LocalStore::new(&root, true).check().await.unwrap();
        strict.put(&key, bytes("x"), PutMode::Fresh).await.unwrap();
    }

    #[tokio::test]
    async fn other_containers_are_siblings_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("vol");
        let store = LocalStore::new(&root, true);
        let key = ObjectKey { container: 0x1f, path: "data/x".into() };
        store.put(&key, bytes("x"), PutMode::Fresh).await.unwrap();
        assert!(dir.path().join("vol-1f/data/x").is_file());
        assert_eq!(store.list(0x1f, "", None).await.unwrap().objects.len(), 1);
        assert_eq!(store.list(0, "", None).await.unwrap().objects.len(), 0);
    }

    #[tokio::test]
    async fn a_body_of_thousands_of_chunks_is_written_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::new(dir.path(), false);
        let chunks: Vec<Bytes> = (0..5000u32).map(|i| Bytes::copy_from_slice(&i.to_le_bytes())).collect();
        store.put(&ObjectKey::home("k"), chunks.clone(), PutMode::Fresh).await.unwrap();
        assert!(key::same_bytes(&store.get(&ObjectKey::home("k"), GetRange::Full).await.unwrap(), &chunks));
    }
}
