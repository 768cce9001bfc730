//! Lists object files below a directory in byte order of their whole paths, one page at a time.
//!
//! A directory is sorted as `name/`, so that `a-b` comes before `a/c` as it does in an object store. Directories that cannot
//! hold a wanted path are not opened. A file that goes away meanwhile is left out.

use std::fs::DirEntry;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use proxyfs_core::store::{ListPage, ObjectInfo, ObjectKey};

use super::TEMP_PREFIX;

/// Temporary files older than this belong to no running put.
const TEMP_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// One page of the objects below `dir` whose path begins with `prefix` and sorts after `start_after`.
pub(super) fn list(
    dir: &Path,
    container: u32,
    prefix: &str,
    start_after: Option<&str>,
    page_objects: usize,
) -> io::Result<ListPage> {
    let mut walk = Walk { container, prefix, start_after, page_objects, page: ListPage::default() };
    walk.visit(dir, "")?;
    Ok(walk.page)
}

struct Walk<'a> {
    container: u32,
    prefix: &'a str,
    start_after: Option<&'a str>,
    page_objects: usize,
    page: ListPage,
}

impl Walk<'_> {
    /// Visits a directory whose objects' paths begin with `base` (empty, or ending in a slash).
    fn visit(&mut self, dir: &Path, base: &str) -> io::Result<()> {
        for (path, entry) in self.entries(dir, base)? {
            if self.page.next.is_some() {
                break;
            }
            if path.ends_with('/') {
                self.visit(&entry.path(), &path)?;
            } else {
                self.add(path, &entry)?;
            }
        }
        Ok(())
    }

    /// The wanted entries of a directory with their paths (`/` after directories), sorted.
    fn entries(&self, dir: &Path, base: &str) -> io::Result<Vec<(String, DirEntry)>> {
        let reader = match std::fs::read_dir(dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut entries = Vec::new();
        for entry in reader {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with('.') {
                remove_if_stale(name, &entry);
                continue;
            }
            let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
            let path = format!("{base}{name}{slash}");
            if self.wants(&path) {
                entries.push((path, entry));
            }
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    /// Whether an object, or one inside a directory, may be part of the answer.
    fn wants(&self, path: &str) -> bool {
        let is_dir = path.ends_with('/');
        let in_prefix = path.starts_with(self.prefix) || (is_dir && self.prefix.starts_with(path));
        in_prefix && self.start_after.is_none_or(|after| path > after || (is_dir && after.starts_with(path)))
    }

    fn add(&mut self, path: String, entry: &DirEntry) -> io::Result<()> {
        let meta = match entry.metadata() {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        if !meta.is_file() {
            return Ok(());
        }
        if self.page.objects.len() == self.page_objects {
            self.page.next = self.page.objects.last().map(|o| o.key.path.clone());
            return Ok(());
        }
        self.page.objects.push(ObjectInfo { key: ObjectKey { container: self.container, path }, len: meta.len() });
        Ok(())
    }
}

/// Removes what a killed process left; failures do not matter, a later listing tries again.
fn remove_if_stale(name: &str, entry: &DirEntry) {
    let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
    if name.starts_with(TEMP_PREFIX) && age().is_some_and(|age| age > TEMP_AGE_MAX) {
        let _ = std::fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::SystemTime;

    #[test]
    fn paths_come_in_byte_order_across_directories() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a/c", "a-b", "a.d", "a0", "b/x/y", "b/x-y", "a/b/c"] {
            std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            File::create(dir.path().join(path)).unwrap();
        }
        let paths = |prefix: &str, after: Option<&str>, n| {
            let page = list(dir.path(), 0, prefix, after, n).unwrap();
            (page.objects.into_iter().map(|o| o.key.path).collect::<Vec<_>>(), page.next)
        };
        assert_eq!(paths("", None, 99).0, ["a-b", "a.d", "a/b/c", "a/c", "a0", "b/x-y", "b/x/y"]);
        assert_eq!(paths("a/", None, 99).0, ["a/b/c", "a/c"]);
        assert_eq!(paths("a", Some("a/b/c"), 99).0, ["a/c", "a0"]);
        assert_eq!(paths("", None, 3), (vec!["a-b".into(), "a.d".into(), "a/b/c".into()], Some("a/b/c".into())));
        assert_eq!(paths("", Some("a0"), 2), (vec!["b/x-y".into(), "b/x/y".into()], None));
    }

    #[test]
    fn temporaries_are_hidden_and_old_ones_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (young, old) = (dir.path().join(".tmp-young"), dir.path().join(".tmp-old"));
        File::create(&young).unwrap();
        File::create(&old).unwrap().set_modified(SystemTime::now() - TEMP_AGE_MAX * 2).unwrap();
        assert_eq!(list(dir.path(), 0, "", None, 9).unwrap().objects.len(), 0);
        assert!(young.exists());
        assert!(!old.exists());
    }
}
