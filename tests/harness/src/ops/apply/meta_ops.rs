//! Operations on attributes, extended attributes and symlink targets.

use proxyfs_core::Result;
use proxyfs_core::fs::{FileSystem, SetAttr, SetTime};
use proxyfs_core::types::{Ino, Timestamp};

use super::super::outcome::Reply;
use super::super::{Op, Target};
use super::{Run, caller};

/// Extended attribute names that operations choose from.
const XATTR_NAMES: [&str; 6] = ["user.a", "user.b", "trusted.c", "user.", "nowhere.e", "system.posix_acl_access"];

impl<F: FileSystem> Run<'_, F> {
    pub(super) async fn meta_op(&mut self, op: &Op) -> Result<Reply> {
        let Some(target) = target_of(op) else { return Ok(Reply::Skipped) };
        let Some(ino) = self.find(target).await? else { return Ok(Reply::Skipped) };
        match op {
            Op::Setxattr { .. }
            | Op::SetAcl { .. }
            | Op::Getxattr { .. }
            | Op::Listxattr { .. }
            | Op::Removexattr { .. } => self.xattr_op(ino, op).await,
            Op::Readlink { .. } => Ok(Reply::Bytes(vec![self.fs.readlink(ino).await?.to_vec()])),
            Op::Getattr { .. } => {
                let attr = self.fs.getattr(ino).await?;
                Ok(Reply::Attr(self.slots.view(&attr)))
            }
            _ => {
                let attr = self.fs.setattr(caller(0), ino, set_attr(op)).await?;
                Ok(Reply::Attr(self.slots.view(&attr)))
            }
        }
    }

    async fn xattr_op(&mut self, ino: Ino, op: &Op) -> Result<Reply> {
        match op {
            Op::Setxattr { name, len, seed, mode, .. } => {
                let value = vec![*seed; *len as usize];
                self.fs.setxattr(caller(0), ino, xattr_name(*name), &value, *mode).await?;
                Ok(Reply::Done)
            }
            Op::SetAcl { default, list, .. } => {
                let kind = if *default { "system.posix_acl_default" } else { "system.posix_acl_access" };
                let mode = proxyfs_core::fs::XattrMode::Set;
                self.fs.setxattr(caller(0), ino, kind.as_bytes(), &acl_value(*list), mode).await?;
                Ok(Reply::Done)
            }
            Op::Getxattr { name, .. } => {
                Ok(Reply::Bytes(vec![self.fs.getxattr(ino, xattr_name(*name)).await?.to_vec()]))
            }
            Op::Listxattr { .. } => {
                let mut names: Vec<Vec<u8>> = self.fs.listxattr(ino).await?.iter().map(|n| n.to_vec()).collect();
                names.sort();
                Ok(Reply::Bytes(names))
            }
            Op::Removexattr { name, .. } => {
                self.fs.removexattr(caller(0), ino, xattr_name(*name)).await?;
                Ok(Reply::Done)
            }
            _ => Ok(Reply::Skipped),
        }
    }
}

fn target_of(op: &Op) -> Option<&Target> {
    match op {
        Op::Readlink { target }
        | Op::Truncate { target, .. }
        | Op::Chmod { target, .. }
        | Op::Chown { target, .. }
        | Op::Utimens { target, .. }
        | Op::Getattr { target }
        | Op::Setxattr { target, .. }
        | Op::SetAcl { target, .. }
        | Op::Getxattr { target, .. }
        | Op::Listxattr { target }
        | Op::Removexattr { target, .. } => Some(target),
        _ => None,
    }
}

/// The change that an operation asks for.
fn set_attr(op: &Op) -> SetAttr {
    let none = SetAttr::default();
    match op {
        Op::Truncate { size, kill, .. } => SetAttr { size: Some(*size), kill_suid_sgid: *kill, ..none },
        Op::Chmod { perm, .. } => SetAttr { perm: Some(*perm), ..none },
        Op::Chown { uid, gid, .. } => SetAttr { uid: *uid, gid: *gid, ..none },
        Op::Utimens { atime_secs, mtime_secs, .. } => {
            let time = |secs: Option<i64>| Some(secs.map_or(SetTime::Now, |s| SetTime::At(Timestamp::new(s, 5))));
            SetAttr { atime: time(*atime_secs), mtime: time(*mtime_secs), ..none }
        }
        _ => none,
    }
}

fn xattr_name(index: u8) -> &'static [u8] {
    XATTR_NAMES[usize::from(index) % XATTR_NAMES.len()].as_bytes()
}

/// A few access control lists, as (tag, permissions, id): two that say no more than a mode, two with more, none, and four bad ones.
fn acl_value(list: u8) -> Vec<u8> {
    const ANY: u32 = u32::MAX;
    let entries: &[(u16, u16, u32)] = match list % 9 {
        0 => &[(1, 6, ANY), (4, 4, ANY), (32, 0, ANY)],
        1 => &[(1, 7, ANY), (4, 7, ANY), (32, 5, ANY)],
        2 => &[(1, 7, ANY), (2, 6, 1000), (4, 5, ANY), (16, 7, ANY), (32, 1, ANY)],
        3 => &[(1, 6, ANY), (4, 6, ANY), (8, 7, 1000), (8, 4, 1001), (16, 4, ANY), (32, 0, ANY)],
        4 => &[],
        5 => &[(1, 7, ANY), (2, 6, 1000), (4, 5, ANY), (32, 1, ANY)],
        6 => &[(4, 7, ANY), (1, 6, ANY), (32, 1, ANY)],
        7 => &[(1, 8, ANY), (4, 5, ANY), (32, 1, ANY)],
        _ => &[(1, 7, ANY), (4, 5, ANY)],
    };
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&perm.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}
