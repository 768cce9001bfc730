//! Parts of a request in the terms of the file system.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{FileHandle, INodeNo, Request};
use proxyfs_core::Result;
use proxyfs_core::fs::{Caller, FileSystem, Handle, OpenFlags, SetAttr};
use proxyfs_core::types::Ino;

use crate::convert;

/// Set-user-id and set-group-id.
const SUID_SGID: u16 = 0o6000;

/// Who asks.
pub(super) fn caller(request: &Request) -> Caller {
    Caller { uid: request.uid(), gid: request.gid(), pid: request.pid() }
}

/// Whether the caller may keep set-user-id bits of what it writes to. Stands in for CAP_FSETID.
pub(super) fn may_keep_suid(caller: Caller) -> bool {
    caller.uid == 0
}

/// An owned copy of a name, for an operation that may outlive the request's buffer.
pub(super) fn owned(name: &OsStr) -> Box<[u8]> {
    name.as_bytes().into()
}

pub(super) fn ino(number: INodeNo) -> Ino {
    Ino(number.0)
}

pub(super) fn handle(number: FileHandle) -> Handle {
    Handle(number.0)
}

/// Open flags with the decision about set-user-id bits.
pub(super) fn open_flags(caller: Caller, flags: i32) -> OpenFlags {
    let mut open = convert::open_flags(flags);
    open.kill_suid_sgid = open.truncate && !may_keep_suid(caller);
    open
}

/// Clears set-user-id bits after a change of content whose request cannot ask for it.
pub(super) async fn clear_suid<F: FileSystem>(fs: &F, caller: Caller, ino: Ino) -> Result<()> {
    if may_keep_suid(caller) || fs.getattr(ino).await?.perm & SUID_SGID == 0 {
        return Ok(());
    }
    fs.setattr(caller, ino, SetAttr { kill_suid_sgid: true, ..SetAttr::default() }).await?;
    Ok(())
}
