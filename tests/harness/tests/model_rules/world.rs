//! A model with short names for what tests do all the time.

use std::sync::Arc;

use futures_util::FutureExt;
use proxyfs_core::env::Clock;
use proxyfs_core::fs::{Attr, Caller, FileSystem, Handle, OpenFlags, RenameMode, SetAttr, WriteFlags, XattrMode};
use proxyfs_core::types::{Ino, Timestamp};
use proxyfs_core::{ErrorKind, Result};
use proxyfs_harness::model::Model;
use proxyfs_harness::sim::SimClock;

pub(crate) const ROOT: Ino = Ino::ROOT;
pub(crate) const ME: Caller = Caller { uid: 1000, gid: 100, pid: 7 };
pub(crate) const READ_WRITE: OpenFlags = OpenFlags {
    read: true,
    write: true,
    append: false,
    truncate: false,
    exclusive: false,
    sync: false,
    kill_suid_sgid: false,
};

/// A model and its clock.
pub(crate) struct World {
    pub(crate) fs: Model,
    clock: Arc<SimClock>,
}

/// The result of a future of the model, which never waits (but for locks).
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the model answers at once")
}

/// The kind of an error.
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("must fail").kind()
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(SimClock::manual());
        Self { fs: Model::new(Arc::clone(&clock) as _), clock }
    }

    /// The time now.
    pub(crate) fn time(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock by a second; gives the new time.
    pub(crate) fn tick(&self) -> Timestamp {
        self.clock.advance_nanos(1_000_000_000);
        self.time()
    }

    /// A file `name` in `dir`, closed.
    pub(crate) fn file(&self, dir: Ino, name: &str) -> Ino {
        let (attr, handle) = self.create(dir, name);
        now(self.fs.release(handle, None)).expect("release");
        attr.ino
    }

    /// A file `name` in `dir`, open.
    pub(crate) fn create(&self, dir: Ino, name: &str) -> (Attr, Handle) {
        now(self.fs.create(ME, dir, name.as_bytes(), 0o644, 0, READ_WRITE)).expect("create")
    }

    pub(crate) fn dir(&self, parent: Ino, name: &str) -> Ino {
        now(self.fs.mkdir(ME, parent, name.as_bytes(), 0o755, 0)).expect("mkdir").ino
    }

    pub(crate) fn attr(&self, ino: Ino) -> Attr {
        now(self.fs.getattr(ino)).expect("getattr")
    }

    pub(crate) fn set(&self, ino: Ino, set: SetAttr) -> Attr {
        now(self.fs.setattr(ME, ino, set)).expect("setattr")
    }

    pub(crate) fn chmod(&self, ino: Ino, perm: u16) -> Attr {
        self.set(ino, SetAttr { perm: Some(perm), ..SetAttr::default() })
    }

    pub(crate) fn lookup(&self, dir: Ino, name: &str) -> Result<Attr> {
        now(self.fs.lookup(dir, name.as_bytes()))
    }

    pub(crate) fn unlink(&self, dir: Ino, name: &str) -> Result<()> {
        now(self.fs.unlink(ME, dir, name.as_bytes()))
    }

    pub(crate) fn rmdir(&self, dir: Ino, name: &str) -> Result<()> {
        now(self.fs.rmdir(ME, dir, name.as_bytes()))
    }

    pub(crate) fn link(&self, ino: Ino, dir: Ino, name: &str) -> Result<Attr> {
        now(self.fs.link(ME, ino, dir, name.as_bytes()))
    }

    pub(crate) fn rename(&self, from: (Ino, &str), to: (Ino, &str), mode: RenameMode) -> Result<()> {
        now(self.fs.rename(ME, from.0, from.1.as_bytes(), to.0, to.1.as_bytes(), mode))
    }

    pub(crate) fn open(&self, ino: Ino) -> Result<Handle> {
        now(self.fs.open(ME, ino, READ_WRITE))
    }

    pub(crate) fn close(&self, handle: Handle) {
        now(self.fs.release(handle, None)).expect("release");
    }

    pub(crate) fn write(&self, handle: Handle, offset: u64, data: &[u8]) -> Result<()> {
        now(self.fs.write(handle, offset, data.to_vec().into(), WriteFlags::default()))
    }

    pub(crate) fn read(&self, handle: Handle, offset: u64, len: u32) -> Vec<u8> {
        now(self.fs.read(handle, offset, len)).expect("read").concat()
    }

    pub(crate) fn setxattr(&self, ino: Ino, name: &str, value: &[u8]) -> Result<()> {
        now(self.fs.setxattr(ME, ino, name.as_bytes(), value, XattrMode::Set))
    }

    pub(crate) fn getxattr(&self, ino: Ino, name: &str) -> Result<Vec<u8>> {
        now(self.fs.getxattr(ino, name.as_bytes())).map(|value| value.to_vec())
    }
}
