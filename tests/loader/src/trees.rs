//! Loads on names: many files made, scanned, touched.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
#[cfg(target_os = "linux")]
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::Done;
use crate::bytes_source::{Rng, random_bytes, stamp};
use crate::names::Shape;

/// Makes directories and small files in them, one after another: open, write, close.
pub(crate) fn files(top: &Path, shape: Shape, bytes: usize) -> Result<Done> {
    let mut content = random_bytes(bytes, shape.files);
    fs::create_dir_all(top)?;
    let begun = Instant::now();
    for dir in 0..shape.dirs() {
        fs::create_dir(Shape::dir_path(top, dir))?;
        for file in shape.files_of(dir) {
            stamp(&mut content, file);
            let path = shape.file_path(top, file);
            let mut file = File::create_new(&path).with_context(|| format!("making {}", path.display()))?;
            file.write_all(&content)?;
        }
    }
    Ok(Done::new(shape.files, shape.files * bytes as u64).since(begun))
}

/// Makes directories and empty files in them; each thread takes directory after directory.
pub(crate) fn empty_files(top: &Path, shape: Shape, threads: usize) -> Result<Done> {
    fs::create_dir_all(top)?;
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let work = || -> Result<()> {
        loop {
            let dir = next.fetch_add(1, Ordering::Relaxed);
            if dir >= shape.dirs() {
                return Ok(());
            }
            fs::create_dir(Shape::dir_path(top, dir))?;
            for file in shape.files_of(dir) {
                let path = shape.file_path(top, file);
                empty_file(&path).with_context(|| format!("making {}", path.display()))?;
            }
        }
    };
    in_threads(threads, |_| work())?;
    Ok(Done::new(shape.files, 0).since(begun))
}

/// Makes an empty file, in one operation where the system has one.
fn empty_file(path: &Path) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    mknodat(CWD, path, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)?;
    #[cfg(not(target_os = "linux"))]
    fs::File::create_new(path)?;
    Ok(())
}

/// Reads all directories below `top` and the attributes of every entry, as `find -printf %s` or `ls -lR` do.
pub(crate) fn scan(top: &Path) -> Result<Done> {
    let begun = Instant::now();
    let mut done = Done::default();
    let mut left = vec![top.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
            let entry = entry?;
            let attributes = entry.metadata()?;
            done.operations += 1;
            done.bytes += attributes.size();
            if attributes.is_dir() {
                left.push(entry.path());
            }
        }
    }
    Ok(done.since(begun))
}

/// Changes the mode of random files.
pub(crate) fn touch(top: &Path, shape: Shape, count: u64) -> Result<Done> {
    let mut rng = Rng::new(count);
    let begun = Instant::now();
    for _ in 0..count {
        let path = shape.file_path(top, rng.below(shape.files));
        let mode = fs::symlink_metadata(&path)?.mode() ^ 0o010;
        fs::set_permissions(&path, Permissions::from_mode(mode & 0o7777))?;
    }
    Ok(Done::new(count, 0).since(begun))
}

/// Runs `work` in several threads, each with its number.
pub(crate) fn in_threads<T: Send>(threads: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        running.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_made_scanned_and_touched() {
        let top = tempfile::tempdir().expect("a directory");
        let shape = Shape { files: 25, per_dir: 10 };
        assert_eq!(empty_files(&top.path().join("a"), shape, 4).expect("a tree").operations, 25);
        assert_eq!(scan(&top.path().join("a")).expect("a scan").operations, 28);
        let modes = || -> Vec<u32> {
            let paths = (0..25).map(|n| shape.file_path(&top.path().join("a"), n));
            paths.map(|path| fs::metadata(path).expect("attributes").mode()).collect()
        };
        let before = modes();
        touch(&top.path().join("a"), shape, 1).expect("a touch");
        assert_eq!(modes().iter().zip(&before).filter(|(now, then)| now != then).count(), 1);
    }

    #[test]
    fn small_files_have_their_length_and_differ() {
        let top = tempfile::tempdir().expect("a directory");
        let shape = Shape { files: 3, per_dir: 2 };
        assert_eq!(files(top.path(), shape, 4096).expect("files").bytes, 3 * 4096);
        let contents: Vec<_> = (0..3).map(|n| fs::read(shape.file_path(top.path(), n)).expect("a file")).collect();
        assert!(contents.iter().all(|content| content.len() == 4096));
        assert!(contents[0] != contents[1] && contents[1] != contents[2]);
    }
}
