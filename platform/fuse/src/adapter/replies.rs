//! Answers in the forms that the system calls want.

use bytes::Bytes;
use fuser::{
    Errno, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLock,
    ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
};
use proxyfs_core::fs::{Attr, DirEntry, FileSystem, NAME_BYTES_MAX, StatFs};

use crate::convert::{self, XattrAnswer};

/// A reply that can refuse.
pub(super) trait Refuse: Send + 'static {
    /// Answers with an errno.
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ty),*) => { $(impl Refuse for $reply {
        fn refuse(self, errno: Errno) {
            self.error(errno);
        }
    })* };
}
refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyLock,
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr
);
#[cfg(target_os = "macos")]
refuse!(fuser::ReplyXTimes);

/// Attributes of each entry; those of `.` and `..` are bare, since the kernel skips them.
pub(super) async fn entries_with_attrs<F: FileSystem>(fs: &F, entries: Vec<DirEntry>) -> Vec<(DirEntry, Option<Attr>)> {
    let mut full = Vec::with_capacity(entries.len());
    for entry in entries {
        let attr = match entry.attr {
            None if !is_dot(&entry.name) => fs.getattr(entry.ino).await.ok(),
            given => given,
        };
        full.push((entry, attr));
    }
    full
}

fn is_dot(name: &[u8]) -> bool {
    name == b"." || name == b".."
}

/// Answers as getxattr(2) and listxattr(2) want it.
pub(super) fn reply_xattr(reply: ReplyXattr, room: u32, bytes: &[u8]) {
    match convert::xattr_answer(room, bytes.len()) {
        XattrAnswer::Length(len) => reply.size(len),
        XattrAnswer::Bytes => reply.data(bytes),
        XattrAnswer::Refuse(errno) => reply.error(errno),
    }
}

/// Answers as statfs(2) wants it.
pub(super) fn reply_statfs(reply: ReplyStatfs, stat: &StatFs) {
    let room = convert::stat_blocks(stat);
    let block = convert::STATFS_BLOCK_BYTES;
    reply.statfs(room.blocks, room.free, room.free, room.files, room.files_free, block, NAME_BYTES_MAX as u32, block);
}

/// Attribute names in the form of listxattr(2): each ends with a zero byte.
pub(super) fn join_names(names: &[Bytes]) -> Vec<u8> {
    let mut list = Vec::with_capacity(names.iter().map(|name| name.len() + 1).sum());
    for name in names {
        list.extend_from_slice(name);
        list.push(0);
    }
    list
}

/// Answers a read; several pieces are joined, since the protocol crate takes one.
pub(super) fn reply_pieces(reply: ReplyData, pieces: &[Bytes]) {
    match pieces {
        [] => reply.data(&[]),
        [piece] => reply.data(piece),
        pieces => reply.data(&pieces.concat()),
    }
}
