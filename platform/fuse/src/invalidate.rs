//! Telling the kernel that what it remembers is no longer true.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::{INodeNo, Notifier};
use proxyfs_core::changes::{Change, ChangeFeed, Changes};
use proxyfs_core::types::Ino;
use tokio::sync::watch;
use tracing::{debug, warn};

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

impl Invalidator {
    /// Forgets what changed. Of what the kernel refuses to forget, the first is returned; the rest is tried all the same.
    ///
    /// # Errors
    /// When the kernel refuses; the mount goes on, and what is remembered there ages out.
    pub fn changes(&self, changes: &Changes) -> io::Result<()> {
        let mut outcome = Ok(());
        let mut note = |result: io::Result<()>| {
            if outcome.is_ok() {
                outcome = result;
            }
        };
        match changes {
            Changes::Listed(list) => list.iter().for_each(|change| note(self.change(change))),
            Changes::Everything { names, open } => {
                open.iter().for_each(|ino| note(self.inode(*ino)));
                // With a directory's entry the kernel drops all entries below it; what is looked up anew has its attributes compared.
                names.iter().for_each(|name| note(self.entry(Ino::ROOT, name)));
                note(self.inode(Ino::ROOT));
            }
        }
        outcome
    }

    fn change(&self, change: &Change) -> io::Result<()> {
        match change {
            Change::Entry { parent, name } => self.entry(*parent, name),
            Change::Attributes(ino) => self.attributes(*ino),
            Change::Content(ino) => self.inode(*ino),
        }
    }
}

/// Passes a file system's changes on to the kernel until the mount or the file system ends.
pub(crate) async fn pass_on(mut feed: ChangeFeed, invalidator: Invalidator, mut ended: watch::Receiver<bool>) {
    loop {
        let changes = tokio::select! {
            changes = feed.next() => changes,
            _ended = ended.wait_for(|ended| *ended) => None,
        };
        let Some(changes) = changes else { return };
        debug!(?changes, "told to forget");
        let kernel = invalidator.clone();
        // The kernel may let it wait for requests under way.
        match tokio::task::spawn_blocking(move || kernel.changes(&changes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!("the kernel keeps something that changed until it ages out: {error}"),
            Err(error) => warn!("an invalidation failed: {error}"),
        }
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
