//! Names of files in many directories, so that one can be found again without listing.

use std::path::{Path, PathBuf};

use clap::Args;

/// How many files, and how many of them share a directory.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Files in all
    #[arg(long)]
    pub(crate) files: u64,
    /// Files in one directory
    #[arg(long, default_value_t = 100)]
    pub(crate) per_dir: u64,
}

impl Shape {
    /// How many directories that takes.
    pub(crate) fn dirs(self) -> u64 {
        self.files.div_ceil(self.per_dir.max(1))
    }

    /// The numbers of the files in directory `dir`.
    pub(crate) fn files_of(self, dir: u64) -> std::ops::Range<u64> {
        let first = dir * self.per_dir;
        first..self.files.min(first + self.per_dir)
    }

    /// Path of directory `dir` below `top`.
    pub(crate) fn dir_path(top: &Path, dir: u64) -> PathBuf {
        top.join(format!("d{dir:05}"))
    }

    /// Path of file `file` below `top`.
    pub(crate) fn file_path(self, top: &Path, file: u64) -> PathBuf {
        Self::dir_path(top, file / self.per_dir.max(1)).join(format!("file-{file:07}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_lies_in_one_directory_and_the_last_directory_may_be_short() {
        let shape = Shape { files: 250, per_dir: 100 };
        assert_eq!(shape.dirs(), 3);
        assert_eq!((0..3).map(|dir| shape.files_of(dir)).collect::<Vec<_>>(), [0..100, 100..200, 200..250]);
        assert_eq!(shape.file_path(Path::new("/t"), 217), Path::new("/t/d00002/file-0000217"));
    }
}
