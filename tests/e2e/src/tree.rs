//! A tree of many kinds of change whose outcome is known: small files, a large one, renames, deletes, links.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::load::content;

const DIRS: u64 = 6;
const FILES_EACH: u64 = 20;
const LARGE: &str = "large";
const LARGE_BLOCKS: u64 = 100;
const BLOCK_BYTES: usize = 1 << 20;
/// Round of [`content`] for what is written anew.
const REWRITTEN: u64 = 77;

/// What must be there: small files by path, with the round and number of their content.
#[derive(Debug)]
pub struct Grown {
    files: BTreeMap<String, (u64, u64)>,
}

/// Makes the tree in `root`; it is not flushed.
///
/// # Errors
/// As the OS gives them.
pub fn grow(root: &Path) -> Result<Grown> {
    let mut files = BTreeMap::new();
    for dir in 0..DIRS {
        fs::create_dir(root.join(format!("d{dir}")))?;
        for n in 0..FILES_EACH {
            let path = format!("d{dir}/f{n}");
            fs::write(root.join(&path), content(dir, n))?;
            files.insert(path, (dir, n));
        }
    }
    let mut large = File::create(root.join(LARGE))?;
    for block in 0..LARGE_BLOCKS {
        large.write_all(&large_block(block))?;
    }
    large.sync_all()?;
    change(root, &mut files)?;
    Ok(Grown { files })
}

fn change(root: &Path, files: &mut BTreeMap<String, (u64, u64)>) -> Result<()> {
    for n in (0..FILES_EACH).step_by(3) {
        fs::remove_file(root.join(format!("d0/f{n}")))?;
        files.remove(&format!("d0/f{n}"));
    }
    // Over a file that is there, into another directory, and of a whole directory.
    fs::rename(root.join("d1/f0"), root.join("d1/f1"))?;
    let moved = files.remove("d1/f0").context("it was made")?;
    files.insert("d1/f1".to_owned(), moved);
    fs::rename(root.join("d1/f2"), root.join("d2/new-name"))?;
    let moved = files.remove("d1/f2").context("it was made")?;
    files.insert("d2/new-name".to_owned(), moved);
    fs::rename(root.join("d3"), root.join("d2/inner"))?;
    for n in 0..FILES_EACH {
        let moved = files.remove(&format!("d3/f{n}")).context("it was made")?;
        files.insert(format!("d2/inner/f{n}"), moved);
    }
    fs::remove_dir_all(root.join("d4"))?;
    files.retain(|path, _| !path.starts_with("d4/"));
    for n in 0..5 {
        fs::write(root.join(format!("d5/f{n}")), content(REWRITTEN, n))?;
        files.insert(format!("d5/f{n}"), (REWRITTEN, n));
    }
    std::os::unix::fs::symlink("../large", root.join("d5/link"))?;
    Ok(())
}

impl Grown {
    /// Compares everything byte for byte; nothing may be missing or too much.
    ///
    /// # Errors
    /// Names the first difference.
    pub fn check(&self, root: &Path) -> Result<()> {
        for (path, (round, n)) in &self.files {
            let found = fs::read(root.join(path)).with_context(|| format!("reading {path}"))?;
            ensure!(found == content(*round, *n), "{path} is not what was written");
        }
        check_large(&root.join(LARGE))?;
        ensure!(fs::read_link(root.join("d5/link"))? == Path::new("../large"), "the link points elsewhere");
        let (found, expected) = (count(root)?, self.files.len() + 2);
        ensure!(found == expected, "{found} files are there, {expected} were left");
        Ok(())
    }
}

fn check_large(path: &Path) -> Result<()> {
    let mut file = File::open(path)?;
    let mut found = vec![0; BLOCK_BYTES];
    for block in 0..LARGE_BLOCKS {
        file.read_exact(&mut found).with_context(|| format!("reading block {block} of {}", path.display()))?;
        ensure!(found == large_block(block), "block {block} of {} is not what was written", path.display());
    }
    if file.read(&mut found)? != 0 {
        bail!("{} is longer than it was written", path.display());
    }
    Ok(())
}

fn large_block(block: u64) -> Vec<u8> {
    let mut state = block.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = (0..BLOCK_BYTES / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

/// Files and links below `dir`.
fn count(dir: &Path) -> Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_matches_itself_and_every_difference_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let tree = grow(dir.path()).expect("a tree");
        tree.check(dir.path()).expect("the same");
        let extra = dir.path().join("d5/extra");
        fs::write(&extra, b"").expect("a file");
        assert!(tree.check(dir.path()).is_err(), "one too many");
        fs::remove_file(&extra).expect("gone");
        fs::write(dir.path().join("d2/inner/f3"), b"other").expect("a file");
        assert!(tree.check(dir.path()).is_err(), "other bytes");
    }
}
