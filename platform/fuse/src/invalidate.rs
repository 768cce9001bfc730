//! Telling the kernel that what it remembers is no longer true.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::{INodeNo, Notifier};
use proxyfs_core::types::Ino;

/// Drops parts of the kernel's caches of one mount. Cheap to clone.
///
/// A call may wait for requests under way on the same inode; so it must not be made while something that such a request needs
/// is held, nor from within an operation of the file system. Something that the kernel does not remember is no error; nor is a
/// mount that has ended.
#[derive(Clone)]
pub struct Invalidator(Arc<Notifier>);

impl fmt::Debug for Invalidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalidator")
    }
}

impl Invalidator {
    pub(crate) fn new(notifier: Notifier) -> Self {
        Self(Arc::new(notifier))
    }

    /// Forgets the attributes and all cached pages of an inode.
    ///
    /// # Errors
    /// When the kernel refuses; the mount goes on.
    pub fn inode(&self, ino: Ino) -> io::Result<()> {
        forgive(self.0.inval_inode(INodeNo(ino.0), 0, 0))
    }

    /// Forgets the attributes, and leaves cached pages alone.
    ///
    /// # Errors
    /// When the kernel refuses; the mount goes on.
    pub fn attributes(&self, ino: Ino) -> io::Result<()> {
        forgive(self.0.inval_inode(INodeNo(ino.0), -1, 0))
    }

    /// Forgets what `name` in `parent` is, also that it is absent.
    ///
    /// # Errors
    /// When the kernel refuses; the mount goes on.
    pub fn entry(&self, parent: Ino, name: &[u8]) -> io::Result<()> {
        forgive(self.0.inval_entry(INodeNo(parent.0), OsStr::from_bytes(name)))
    }
}

/// Takes "no such thing is remembered" and "the mount is gone" for success.
fn forgive(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::EPERM | libc::ENOTCONN)) => {
            Ok(())
        }
        other => other,
    }
}
