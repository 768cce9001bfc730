//! What a run has started and must end: mount points and processes, each recorded when it begins.
//!
//! Only what was recorded is touched: nothing is looked up by name, so other mounts and servers on the machine are safe.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The record; what is still in it when it is dropped is ended.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    mounts: RefCell<Vec<PathBuf>>,
    processes: RefCell<Vec<Pid>>,
}

impl Leftovers {
    /// A mount point is about to be mounted.
    pub(crate) fn add_mount(&self, dir: &Path) {
        self.mounts.borrow_mut().push(dir.to_owned());
    }

    /// A mount point was unmounted.
    pub(crate) fn remove_mount(&self, dir: &Path) {
        self.mounts.borrow_mut().retain(|mount| mount != dir);
    }

    /// A process was started.
    pub(crate) fn add_process(&self, pid: Pid) {
        self.processes.borrow_mut().push(pid);
    }

    /// A process has been waited for.
    pub(crate) fn remove_process(&self, pid: Pid) {
        self.processes.borrow_mut().retain(|process| *process != pid);
    }

    /// Ends what is left: processes are killed, mounts detached.
    pub(crate) fn clean(&self) {
        for pid in self.processes.take() {
            eprintln!("ending process {} that was left", pid.as_raw_nonzero());
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        for dir in self.mounts.take() {
            if is_mounted(&dir) {
                eprintln!("detaching {} that was left mounted", dir.display());
                detach(&dir);
            }
        }
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        self.clean();
    }
}

/// Whether something is mounted exactly at `dir`.
pub(crate) fn is_mounted(dir: &Path) -> bool {
    let Ok(table) = std::fs::read_to_string("/proc/self/mountinfo") else { return false };
    let wanted = dir.to_string_lossy();
    table.lines().any(|line| line.split(' ').nth(4) == Some(&*wanted))
}

/// Takes a mount out of the tree at once, even if its server is dead or files on it are open.
pub(crate) fn detach(dir: &Path) {
    let quiet = |program: &str, flags: &str| {
        let mut command = Command::new(program);
        command.arg(flags).arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !quiet("umount", "-l") && !quiet("fusermount3", "-uz") {
        eprintln!("{} stays mounted: neither umount nor fusermount3 would detach it", dir.display());
    }
}
