//! Attribute changes (chmod, chown, utimensat, truncate in one request) and extended attributes.

use bytes::Bytes;
use proxyfs_core::fs::{
    Attr, FILE_BYTES_MAX, FileKind, NAME_BYTES_MAX, SetAttr, SetTime, XATTR_VALUE_BYTES_MAX, XattrMode,
};
use proxyfs_core::types::{Ino, Timestamp};
use proxyfs_core::{ErrorKind, Result};

use super::acl::Acl;
use super::state::{Inode, State};

/// The access control list that takes part in permission checks.
const XATTR_ACL_ACCESS: &[u8] = b"system.posix_acl_access";
/// The access control list that a directory's new children inherit.
const XATTR_ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// Where an attribute of some name is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    AccessAcl,
    DefaultAcl,
    /// `user.*`: on files and directories only.
    User,
    /// `trusted.*` and `security.*`.
    Other,
}

impl State {
    pub(super) fn setattr(&mut self, now: Timestamp, ino: Ino, set: SetAttr) -> Result<Attr> {
        let inode = self.inode_mut(ino)?;
        check_setattr(inode, &set)?;
        if set == SetAttr::default() {
            return Ok(inode.attr(ino));
        }
        if set.uid.is_some() || set.gid.is_some() {
            inode.uid = set.uid.unwrap_or(inode.uid);
            inode.gid = set.gid.unwrap_or(inode.gid);
            inode.kill_suid_sgid();
            inode.drop_capability();
        }
        if set.kill_suid_sgid {
            inode.kill_suid_sgid();
        }
        if let Some(size) = set.size {
            inode.content_mut()?.set_len(size);
            inode.file_modified(now);
        }
        if let Some(perm) = set.perm {
            inode.perm = perm;
            if let Some(acl) = &mut inode.access_acl {
                acl.chmod(perm);
            }
        }
        inode.atime = set.atime.map_or(inode.atime, |time| resolve(time, now));
        inode.mtime = set.mtime.map_or(inode.mtime, |time| resolve(time, now));
        inode.btime = set.btime.unwrap_or(inode.btime);
        inode.ctime = set.ctime.unwrap_or(now);
        Ok(inode.attr(ino))
    }

    pub(super) fn setxattr(
        &mut self,
        now: Timestamp,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Result<()> {
        let inode = self.inode_mut(ino)?;
        let class = classify(name)?;
        if value.len() > XATTR_VALUE_BYTES_MAX {
            return Err(ErrorKind::NameTooLong.into());
        }
        check_settable(inode, class)?;
        match class {
            Class::AccessAcl => set_access_acl(inode, Acl::decode(value)?)?,
            Class::DefaultAcl => set_default_acl(inode, Acl::decode(value)?)?,
            Class::User | Class::Other => {
                match (mode, inode.xattrs.contains_key(name)) {
                    (XattrMode::Create, true) => return Err(ErrorKind::AlreadyExists.into()),
                    (XattrMode::Replace, false) => return Err(ErrorKind::NoAttribute.into()),
                    _ => {}
                }
                inode.xattrs.insert(name.to_vec(), value.to_vec());
            }
        }
        inode.ctime = now;
        Ok(())
    }

    pub(super) fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Bytes> {
        let inode = self.inode(ino)?;
        let value = match classify(name)? {
            Class::AccessAcl => inode.access_acl.as_ref().map(Acl::encode),
            Class::DefaultAcl => inode.default_acl.as_ref().map(Acl::encode),
            Class::User | Class::Other => inode.xattrs.get(name).cloned(),
        };
        value.map(Bytes::from).ok_or_else(|| ErrorKind::NoAttribute.into())
    }

    pub(super) fn listxattr(&self, ino: Ino) -> Result<Vec<Bytes>> {
        let inode = self.inode(ino)?;
        let mut names: Vec<Bytes> = inode.xattrs.keys().map(|name| Bytes::copy_from_slice(name)).collect();
        names.extend(inode.access_acl.as_ref().map(|_| Bytes::from_static(XATTR_ACL_ACCESS)));
        names.extend(inode.default_acl.as_ref().map(|_| Bytes::from_static(XATTR_ACL_DEFAULT)));
        names.sort();
        Ok(names)
    }

    /// Removing an access control list that is not there is fine: the mode says it all then.
    pub(super) fn removexattr(&mut self, now: Timestamp, ino: Ino, name: &[u8]) -> Result<()> {
        let inode = self.inode_mut(ino)?;
        let class = classify(name)?;
        check_settable(inode, class)?;
        match class {
            Class::AccessAcl => inode.access_acl = None,
            Class::DefaultAcl => inode.default_acl = None,
            Class::User | Class::Other => {
                inode.xattrs.remove(name).ok_or(ErrorKind::NoAttribute)?;
            }
        }
        inode.ctime = now;
        Ok(())
    }
}

/// That all of a request can be done, before any of it is.
fn check_setattr(inode: &Inode, set: &SetAttr) -> Result<()> {
    if set.perm.is_some_and(|perm| perm > 0o7777) {
        return Err(ErrorKind::InvalidArgument.into());
    }
    if set.perm.is_some() && inode.kind == FileKind::Symlink {
        return Err(ErrorKind::NotSupported.into());
    }
    if let Some(size) = set.size {
        inode.content()?;
        if size > FILE_BYTES_MAX {
            return Err(ErrorKind::FileTooLarge.into());
        }
    }
    Ok(())
}

fn resolve(time: SetTime, now: Timestamp) -> Timestamp {
    match time {
        SetTime::Now => now,
        SetTime::At(time) => time,
    }
}

/// Sorts an attribute name into its class; unknown namespaces are not supported.
fn classify(name: &[u8]) -> Result<Class> {
    if name.is_empty() {
        return Err(ErrorKind::InvalidArgument.into());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(ErrorKind::NameTooLong.into());
    }
    let (class, rest) = match name {
        XATTR_ACL_ACCESS => return Ok(Class::AccessAcl),
        XATTR_ACL_DEFAULT => return Ok(Class::DefaultAcl),
        [b'u', b's', b'e', b'r', b'.', rest @ ..] => (Class::User, rest),
        _ => match name.strip_prefix(b"trusted.").or_else(|| name.strip_prefix(b"security.")) {
            Some(rest) => (Class::Other, rest),
            None => return Err(ErrorKind::NotSupported.into()),
        },
    };
    if rest.is_empty() {
        return Err(ErrorKind::InvalidArgument.into());
    }
    Ok(class)
}

/// That an inode of this kind may carry or lose attributes of a class.
fn check_settable(inode: &Inode, class: Class) -> Result<()> {
    let plain = matches!(inode.kind, FileKind::File | FileKind::Dir);
    match class {
        Class::User if !plain => Err(ErrorKind::NotPermitted.into()),
        Class::AccessAcl | Class::DefaultAcl if inode.kind == FileKind::Symlink => Err(ErrorKind::NotSupported.into()),
        _ => Ok(()),
    }
}

/// The mode follows the list; a list that says no more than the mode is not kept.
fn set_access_acl(inode: &mut Inode, acl: Option<Acl>) -> Result<()> {
    if let Some(acl) = &acl {
        acl.check()?;
        inode.perm = inode.perm & !0o777 | acl.mode();
    }
    inode.access_acl = acl.filter(|acl| !acl.is_mode_only());
    Ok(())
}

/// Only directories have one; taking it from others does nothing.
fn set_default_acl(inode: &mut Inode, acl: Option<Acl>) -> Result<()> {
    if !inode.is_dir() && acl.is_some() {
        return Err(ErrorKind::AccessDenied.into());
    }
    acl.as_ref().map_or(Ok(()), Acl::check)?;
    inode.default_acl = acl;
    Ok(())
}
