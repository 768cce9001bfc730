//! Ends the mounts that a run has left below its own folder.
//!
//! Only what lies in that folder is touched: nothing is looked up by name, so other mounts on the machine are safe. Servers of such
//! mounts are children of what started them and end with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Detaches every mount below `dir`, the innermost first.
pub(crate) fn detach_below(dir: &Path) {
    let Ok(table) = std::fs::read_to_string("/proc/self/mountinfo") else { return };
    for mount in mounts_below(&table, dir).into_iter().rev() {
        eprintln!("detaching {} that was left mounted", mount.display());
        if !detach(&mount) {
            eprintln!("{} stays mounted: neither umount nor fusermount3 would detach it", mount.display());
        }
    }
}

/// Detaches the mount at `dir`, if there is one, without a word.
pub(crate) fn detach_quietly(dir: &Path) {
    // Without a mount both programs fail, and nothing was to be done.
    let _ = detach(dir);
}

fn mounts_below(table: &str, dir: &Path) -> Vec<PathBuf> {
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(dir)).collect()
}

fn detach(dir: &Path) -> bool {
    let quiet = |program: &str, flags: &str| {
        let mut command = Command::new(program);
        command.arg(flags).arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    quiet("umount", "-l") || quiet("fusermount3", "-uz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_inside_the_folder_are_found() {
        let table = "36 35 98:0 / /tmp/run rw - fuse x rw\n37 35 98:0 / /tmp/run/a/m rw - fuse x rw\n38 35 98:0 / /tmp/runner rw - fuse x rw\n";
        assert_eq!(mounts_below(table, Path::new("/tmp/run")), [Path::new("/tmp/run"), Path::new("/tmp/run/a/m")]);
    }
}
