//! The reference model with hooks before its operations: an operation can be made to wait, or to panic.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proxyfs_core::Result;
use proxyfs_core::fs::*;
use proxyfs_core::types::Ino;
use proxyfs_harness::model::Model;
use tokio::sync::Semaphore;

/// What an operation does before it does its work.
#[derive(Clone)]
enum Hook {
    /// Takes a permit first; there is none until the test gives some.
    Wait(Arc<Gate>),
    /// Panics.
    Panic,
}

/// Something that operations wait at.
pub(crate) struct Gate {
    arrived: Semaphore,
    permits: Semaphore,
}

impl Gate {
    /// Waits until an operation has arrived.
    pub(crate) async fn arrival(&self) {
        self.arrived.acquire().await.expect("never closed").forget();
    }

    /// Lets all operations pass from now on.
    pub(crate) fn open(&self) {
        self.permits.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

/// The model with hooks.
#[derive(Default)]
pub(crate) struct Hooked {
    pub(crate) model: Model,
    hooks: Mutex<HashMap<&'static str, Hook>>,
}

impl Hooked {
    /// Makes `operation` wait at the gate that is returned.
    pub(crate) fn hold(&self, operation: &'static str) -> Arc<Gate> {
        let gate = Arc::new(Gate { arrived: Semaphore::new(0), permits: Semaphore::new(0) });
        self.hooks.lock().expect("no panic inside").insert(operation, Hook::Wait(Arc::clone(&gate)));
        gate
    }

    /// Makes `operation` panic.
    pub(crate) fn panic_in(&self, operation: &'static str) {
        self.hooks.lock().expect("no panic inside").insert(operation, Hook::Panic);
    }

    async fn before(&self, operation: &'static str) {
        let hook = self.hooks.lock().expect("no panic inside").get(operation).cloned();
        match hook {
            None => {}
            Some(Hook::Panic) => panic!("told to panic in {operation}"),
            Some(Hook::Wait(gate)) => {
                gate.arrived.add_permits(1);
                gate.permits.acquire().await.expect("never closed").forget();
            }
        }
    }
}

macro_rules! delegate {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $out:ty;)*) => { $(
        async fn $name(&self, $($arg: $kind),*) -> Result<$out> {
            self.before(stringify!($name)).await;
            self.model.$name($($arg),*).await
        }
    )* };
}

impl FileSystem for Hooked {
    delegate! {
        statfs() -> StatFs;
        lookup(parent: Ino, name: &[u8]) -> Attr;
        find(parent: Ino, name: &[u8]) -> NamedEntry;
        entries_after(dir: Ino, after: Option<&[u8]>) -> Vec<NamedEntry>;
        getattr(ino: Ino) -> Attr;
        setattr(caller: Caller, ino: Ino, set: SetAttr) -> Attr;
        readlink(ino: Ino) -> Bytes;
        mknod(caller: Caller, parent: Ino, name: &[u8], node: NewNode) -> Attr;
        mkdir(caller: Caller, parent: Ino, name: &[u8], perm: u16, umask: u16) -> Attr;
        symlink(caller: Caller, parent: Ino, name: &[u8], target: &[u8]) -> Attr;
        unlink(caller: Caller, parent: Ino, name: &[u8]) -> ();
        rmdir(caller: Caller, parent: Ino, name: &[u8]) -> ();
        rename(caller: Caller, parent: Ino, name: &[u8], new_parent: Ino, new_name: &[u8], mode: RenameMode) -> ();
        link(caller: Caller, ino: Ino, new_parent: Ino, new_name: &[u8]) -> Attr;
        create(caller: Caller, parent: Ino, name: &[u8], perm: u16, umask: u16, flags: OpenFlags) -> (Attr, Handle);
        tmpfile(caller: Caller, parent: Ino, perm: u16, umask: u16, flags: OpenFlags) -> (Attr, Handle);
        open(caller: Caller, ino: Ino, flags: OpenFlags) -> Handle;
        read(handle: Handle, offset: u64, len: u32) -> Vec<Bytes>;
        write(handle: Handle, offset: u64, data: Bytes, flags: WriteFlags) -> ();
        flush(handle: Handle, lock_owner: u64) -> ();
        release(handle: Handle, flock_owner: Option<u64>) -> ();
        fsync(handle: Handle, data_only: bool) -> ();
        opendir(caller: Caller, ino: Ino) -> Handle;
        readdir(handle: Handle, cookie: u64, with_attrs: bool) -> Vec<DirEntry>;
        releasedir(handle: Handle) -> ();
        fsyncdir(handle: Handle) -> ();
        syncfs() -> ();
        setxattr(caller: Caller, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> ();
        getxattr(ino: Ino, name: &[u8]) -> Bytes;
        listxattr(ino: Ino) -> Vec<Bytes>;
        removexattr(caller: Caller, ino: Ino, name: &[u8]) -> ();
        getlk(handle: Handle, owner: u64, lock: FileLock) -> Option<FileLock>;
        setlk(handle: Handle, family: LockFamily, owner: u64, lock: FileLock, wait: bool) -> ();
        fallocate(handle: Handle, offset: u64, len: u64, mode: FallocateMode) -> ();
        lseek(handle: Handle, offset: u64, whence: SeekWhence) -> u64;
        copy_file_range(from: Handle, from_offset: u64, to: Handle, to_offset: u64, len: u64) -> u64;
    }
}
