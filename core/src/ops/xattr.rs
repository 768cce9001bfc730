//! Extended attributes, and the two that are access control lists.
//!
//! Linux's namespaces: `user.` on files and directories, `trusted.` and `security.` on everything, and of `system.` the two
//! ACLs, which stay in step with the permission bits (see [`crate::acl`]). Any other namespace is refused.

use std::ops::ControlFlow;

use crate::acl::{Acl, XATTR_ACCESS, XATTR_DEFAULT};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{InodeRecord, Key, keys, xattr};
use crate::fs::{FileKind, XATTR_VALUE_BYTES_MAX, XattrMode};
use crate::kv::{KvRead, OpResult, Txn};
use crate::types::Ino;

use super::{OpCx, inode};

/// Longest attribute name in bytes (Linux `XATTR_NAME_MAX`).
pub const XATTR_NAME_BYTES_MAX: usize = 255;
/// File capabilities; Linux drops them when content or owner change.
const XATTR_CAPABILITY: &[u8] = b"security.capability";

/// Sets an extended attribute. As in the kernel, `mode` means nothing for an ACL, and one without entries removes it.
///
/// # Errors
/// `AlreadyExists` and `NoAttribute` by `mode`; `NameTooLong` for a name or value past its limit; `InvalidArgument` for an empty
/// name or an invalid ACL; `NotSupported` for an unknown namespace or an ACL on a symlink; `NotPermitted` for `user.` on a
/// symlink or special file; `AccessDenied` for a default ACL on what is not a directory; `Stale`.
pub fn setxattr(tx: &mut Txn<'_>, cx: &OpCx, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> OpResult<()> {
    let mut record = inode::load(tx, ino)?;
    check_name(name)?;
    if value.len() > XATTR_VALUE_BYTES_MAX {
        return Err(Error::new(ErrorKind::NameTooLong, format!("xattr value of {} bytes", value.len())).into());
    }
    check_writable(&record, name)?;
    match name {
        XATTR_ACCESS => set_access_acl(tx, (ino, &mut record), Acl::decode(value)?)?,
        XATTR_DEFAULT => set_default_acl(tx, (ino, &record), Acl::decode(value)?)?,
        _ => {
            check_mode(tx, ino, name, mode)?;
            put_raw(tx, ino, name, value);
        }
    }
    record.ctime = cx.now;
    inode::store(tx, ino, &record);
    Ok(())
}

/// Value of an extended attribute.
///
/// # Errors
/// `NoAttribute`, `Stale`; `NotSupported` for an unknown namespace, `NameTooLong`, `InvalidArgument`.
pub fn getxattr(kv: &dyn KvRead, ino: Ino, name: &[u8]) -> OpResult<Vec<u8>> {
    inode::load(kv, ino)?;
    check_name(name)?;
    get_raw(kv, ino, name)?.ok_or_else(|| no_attribute(ino))
}

/// Names of all extended attributes, in byte order.
///
/// # Errors
/// `Stale`, `Corrupt`.
pub fn listxattr(kv: &dyn KvRead, ino: Ino) -> OpResult<Vec<Vec<u8>>> {
    inode::load(kv, ino)?;
    stored_keys(kv, ino)?
        .iter()
        .map(|key| match Key::decode(key)? {
            Key::Xattr { name, .. } => Ok(name),
            other => Err(Error::new(ErrorKind::Corrupt, format!("{other:?} among the xattrs of an inode")).into()),
        })
        .collect()
}

/// Removes an extended attribute. Removing an access ACL leaves the permission bits as they are; removing an ACL that is not there
/// is fine, as the permission bits say it all then.
///
/// # Errors
/// `NoAttribute`, and as [`setxattr`].
pub fn removexattr(tx: &mut Txn<'_>, cx: &OpCx, ino: Ino, name: &[u8]) -> OpResult<()> {
    let mut record = inode::load(tx, ino)?;
    check_writable(&record, name)?;
    let is_acl = name == XATTR_ACCESS || name == XATTR_DEFAULT;
    if !is_acl && get_raw(tx, ino, name)?.is_none() {
        return Err(no_attribute(ino));
    }
    tx.delete(keys::xattr_key(ino, name));
    record.ctime = cx.now;
    inode::store(tx, ino, &record);
    Ok(())
}

/// Writes an attribute without asking any rule.
pub(crate) fn put_raw(tx: &mut Txn<'_>, ino: Ino, name: &[u8], value: &[u8]) {
    tx.put(keys::xattr_key(ino, name), xattr::encode(value));
}

/// An ACL of an inode.
pub(crate) fn load_acl(kv: &dyn KvRead, ino: Ino, name: &[u8]) -> OpResult<Option<Acl>> {
    match get_raw(kv, ino, name)? {
        Some(value) => decode_stored(&value).map_err(|error| {
            Error::with_source(ErrorKind::Corrupt, format!("stored acl of inode {ino}"), error).into()
        }),
        None => Ok(None),
    }
}

fn decode_stored(value: &[u8]) -> Result<Option<Acl>> {
    let acl = Acl::decode(value)?;
    acl.as_ref().map_or(Ok(()), Acl::check)?;
    Ok(acl)
}

/// Makes the access ACL, if there is one, say what the new permission bits say.
pub(crate) fn chmod_acl(tx: &mut Txn<'_>, ino: Ino, perm: u16) -> OpResult<()> {
    if let Some(mut acl) = load_acl(tx, ino, XATTR_ACCESS)? {
        acl.chmod(perm);
        put_raw(tx, ino, XATTR_ACCESS, &acl.encode());
    }
    Ok(())
}

/// Drops the file capabilities, if there are any.
pub(crate) fn kill_capabilities(tx: &mut Txn<'_>, ino: Ino) -> OpResult<()> {
    let key = keys::xattr_key(ino, XATTR_CAPABILITY);
    if tx.get(&key)?.is_some() {
        tx.delete(key);
    }
    Ok(())
}

/// Drops every attribute of an inode.
pub(crate) fn remove_all(tx: &mut Txn<'_>, ino: Ino) -> OpResult<()> {
    for key in stored_keys(tx, ino)? {
        tx.delete(key);
    }
    Ok(())
}

/// The permission bits follow the ACL; one that says no more than they do is not kept.
fn set_access_acl(tx: &mut Txn<'_>, (ino, record): (Ino, &mut InodeRecord), acl: Option<Acl>) -> OpResult<()> {
    if let Some(acl) = &acl {
        acl.check()?;
        record.perm = acl.apply_to_perm(record.perm);
    }
    match acl.filter(|acl| !acl.is_minimal()) {
        Some(acl) => put_raw(tx, ino, XATTR_ACCESS, &acl.encode()),
        None => tx.delete(keys::xattr_key(ino, XATTR_ACCESS)),
    }
    Ok(())
}

fn set_default_acl(tx: &mut Txn<'_>, (ino, record): (Ino, &InodeRecord), acl: Option<Acl>) -> OpResult<()> {
    match acl {
        Some(_) if record.kind != FileKind::Dir => {
            Err(Error::new(ErrorKind::AccessDenied, "only directories have a default acl").into())
        }
        Some(acl) => {
            acl.check()?;
            put_raw(tx, ino, XATTR_DEFAULT, &acl.encode());
            Ok(())
        }
        None => {
            tx.delete(keys::xattr_key(ino, XATTR_DEFAULT));
            Ok(())
        }
    }
}

fn get_raw(kv: &dyn KvRead, ino: Ino, name: &[u8]) -> OpResult<Option<Vec<u8>>> {
    match kv.get(&keys::xattr_key(ino, name))? {
        Some(value) => Ok(Some(xattr::decode(&value)?.to_vec())),
        None => Ok(None),
    }
}

fn stored_keys(kv: &dyn KvRead, ino: Ino) -> OpResult<Vec<Vec<u8>>> {
    let (from, to) = keys::xattr_range(ino);
    let mut found = Vec::new();
    kv.scan(&from, &to, &mut |key, _| {
        found.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn check_mode(kv: &dyn KvRead, ino: Ino, name: &[u8], mode: XattrMode) -> OpResult<()> {
    match (mode, get_raw(kv, ino, name)?.is_some()) {
        (XattrMode::Create, true) => {
            Err(Error::new(ErrorKind::AlreadyExists, format!("inode {ino} has the xattr already")).into())
        }
        (XattrMode::Replace, false) => Err(no_attribute(ino)),
        (XattrMode::Set, _) | (XattrMode::Create, false) | (XattrMode::Replace, true) => Ok(()),
    }
}

fn no_attribute(ino: Ino) -> crate::kv::OpError {
    Error::new(ErrorKind::NoAttribute, format!("inode {ino} has no such xattr")).into()
}

/// Fails unless `name` is in a namespace that is kept, and not only the namespace.
fn check_name(name: &[u8]) -> OpResult<()> {
    if name.len() > XATTR_NAME_BYTES_MAX {
        return Err(Error::new(ErrorKind::NameTooLong, format!("xattr name of {} bytes", name.len())).into());
    }
    if name.is_empty() || name.contains(&0) {
        return Err(Error::new(ErrorKind::InvalidArgument, "empty xattr name, or one with a NUL").into());
    }
    if name == XATTR_ACCESS || name == XATTR_DEFAULT {
        return Ok(());
    }
    for space in [&b"user."[..], b"trusted.", b"security."] {
        match name.strip_prefix(space) {
            Some([]) => return Err(Error::new(ErrorKind::InvalidArgument, "xattr name is only a namespace").into()),
            Some(_) => return Ok(()),
            None => {}
        }
    }
    Err(Error::new(ErrorKind::NotSupported, "xattr namespace is not kept").into())
}

/// Fails unless an inode of this kind may have the attribute.
fn check_writable(record: &InodeRecord, name: &[u8]) -> OpResult<()> {
    check_name(name)?;
    let plain = matches!(record.kind, FileKind::File | FileKind::Dir);
    if name.starts_with(b"user.") && !plain {
        return Err(Error::new(ErrorKind::NotPermitted, "user xattrs only on files and directories").into());
    }
    if record.kind == FileKind::Symlink && (name == XATTR_ACCESS || name == XATTR_DEFAULT) {
        return Err(Error::new(ErrorKind::NotSupported, "symlinks have no acl").into());
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing {
    //! Values for tests.

    /// The binary form of an ACL from (tag, bits); named entries get id 7.
    pub(crate) fn acl_value(entries: &[(u16, u16)]) -> Vec<u8> {
        let mut value = vec![2, 0, 0, 0];
        for (tag, perm) in entries {
            let id = if matches!(tag, 2 | 8) { 7 } else { u32::MAX };
            value.extend(tag.to_le_bytes().iter().chain(&perm.to_le_bytes()).chain(&id.to_le_bytes()));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::testing::acl_value;
    use super::*;
    use crate::fs::{NewNode, OpenFlags};
    use crate::ops::testkit::World;
    use crate::ops::{create, mkdir, mknod, symlink};

    fn set(world: &mut World, ino: Ino, name: &[u8], value: &[u8]) -> Result<(), ErrorKind> {
        world.run(|tx, cx, _| setxattr(tx, cx, ino, name, value, XattrMode::Set))
    }

    fn get(world: &World, ino: Ino, name: &[u8]) -> Option<Vec<u8>> {
        getxattr(&world.kv, ino, name).ok()
    }

    #[test]
    fn attributes_are_set_listed_and_removed() {
        let mut world = World::new(false);
        let file = world.mkfile(Ino::ROOT, "f");
        let mtime = world.attr(file).mtime;
        set(&mut world, file, b"user.b", b"1").expect("set");
        set(&mut world, file, b"trusted.a", b"").expect("empty values are fine");
        set(&mut world, file, b"user.b", b"2").expect("replaced");
        assert_eq!((world.attr(file).ctime, world.attr(file).mtime), (world.now(), mtime));
        assert_eq!(listxattr(&world.kv, file).expect("lists"), [&b"trusted.a"[..], b"user.b"]);
        assert_eq!(get(&world, file, b"user.b"), Some(b"2".to_vec()));
        world.ok(|tx, cx, _| removexattr(tx, cx, file, b"user.b"));
        assert_eq!(world.attr(file).ctime, world.now());
        assert_eq!(world.err(|tx, cx, _| removexattr(tx, cx, file, b"user.b")), ErrorKind::NoAttribute);
        assert_eq!(get(&world, file, b"user.b"), None);
    }

    #[test]
    fn create_and_replace_are_told_apart() {
        let mut world = World::new(false);
        let mut put = |mode| world.run(|tx, cx, _| setxattr(tx, cx, Ino::ROOT, b"user.a", b"1", mode));
        assert_eq!(put(XattrMode::Replace), Err(ErrorKind::NoAttribute));
        assert_eq!(put(XattrMode::Create), Ok(()));
        assert_eq!(put(XattrMode::Create), Err(ErrorKind::AlreadyExists));
        assert_eq!(put(XattrMode::Replace), Ok(()));
    }

    #[test]
    fn names_values_and_kinds_have_their_rules() {
        let mut world = World::new(false);
        let file = world.mkfile(Ino::ROOT, "f");
        let link = world.ok(|tx, cx, new| symlink(tx, cx, Ino::ROOT, b"s", b"t", new)).ino;
        let fifo = world.mknod(Ino::ROOT, "p", FileKind::Fifo, 0).ino;
        let long = [&b"user."[..], &[b'x'; 251]].concat();
        let acl = acl_value(&[(1, 6), (4, 4), (32, 4)]);
        for (ino, name, value, answer) in [
            (file, &long[..255], &b""[..], Ok(())),
            (file, &long, b"", Err(ErrorKind::NameTooLong)),
            (file, b"user.", b"", Err(ErrorKind::InvalidArgument)),
            (file, b"", b"", Err(ErrorKind::InvalidArgument)),
            (file, b"other.x", b"", Err(ErrorKind::NotSupported)),
            (file, b"system.other", b"", Err(ErrorKind::NotSupported)),
            (file, b"user.big", &[0; XATTR_VALUE_BYTES_MAX], Ok(())),
            (file, b"user.big", &[0; XATTR_VALUE_BYTES_MAX + 1], Err(ErrorKind::NameTooLong)),
            (link, b"user.x", b"", Err(ErrorKind::NotPermitted)),
            (fifo, b"user.x", b"", Err(ErrorKind::NotPermitted)),
            (link, b"trusted.x", b"", Ok(())),
            (fifo, b"security.x", b"", Ok(())),
            (link, XATTR_ACCESS, &acl, Err(ErrorKind::NotSupported)),
            (file, XATTR_DEFAULT, &acl, Err(ErrorKind::AccessDenied)),
            (file, XATTR_ACCESS, b"x", Err(ErrorKind::InvalidArgument)),
            (Ino(99), b"user.x", b"", Err(ErrorKind::Stale)),
        ] {
            assert_eq!(set(&mut world, ino, name, value), answer, "{} on {ino}", String::from_utf8_lossy(name));
        }
        world.check();
    }

    #[test]
    fn a_minimal_access_acl_becomes_permission_bits() {
        let mut world = World::new(false);
        let file = world.mkfile(Ino::ROOT, "f");
        let full = acl_value(&[(1, 7), (2, 5), (4, 1), (16, 5), (32, 0)]);
        set(&mut world, file, XATTR_ACCESS, &full).expect("valid");
        assert_eq!((world.attr(file).perm, get(&world, file, XATTR_ACCESS)), (0o750, Some(full)));
        set(&mut world, file, XATTR_ACCESS, &acl_value(&[(1, 6), (4, 4), (32, 4)])).expect("valid");
        assert_eq!((world.attr(file).perm, get(&world, file, XATTR_ACCESS)), (0o644, None));
        world.ok(|tx, cx, _| removexattr(tx, cx, file, XATTR_ACCESS));
    }

    #[test]
    fn a_default_acl_is_inherited_in_place_of_the_umask() {
        let mut world = World::new(false);
        let dir = world.mkdir(Ino::ROOT, "d");
        let default = acl_value(&[(1, 7), (2, 6), (4, 5), (16, 7), (32, 5)]);
        set(&mut world, dir, XATTR_DEFAULT, &default).expect("valid");
        assert_eq!(world.attr(dir).perm, 0o755, "a default acl does not touch the directory's own bits");
        let flags = OpenFlags::default();
        let file = world.ok(|tx, cx, new| create(tx, cx, dir, b"f", 0o664, 0o77, flags, new)).attr;
        assert_eq!(file.perm, 0o664);
        let inherited = acl_value(&[(1, 6), (2, 6), (4, 5), (16, 6), (32, 4)]);
        assert_eq!(get(&world, file.ino, XATTR_ACCESS), Some(inherited));
        assert_eq!(get(&world, file.ino, XATTR_DEFAULT), None);
        let sub = world.ok(|tx, cx, new| mkdir(tx, cx, dir, b"sub", 0o750, 0o77, new));
        assert_eq!((sub.perm, get(&world, sub.ino, XATTR_DEFAULT)), (0o750, Some(default)));
        let node = NewNode { kind: FileKind::Fifo, perm: 0o600, umask: 0, rdev: 0 };
        assert_eq!(world.ok(|tx, cx, new| mknod(tx, cx, dir, b"p", node, new)).perm, 0o600);
        let link = world.ok(|tx, cx, new| symlink(tx, cx, dir, b"s", b"t", new));
        assert_eq!((link.perm, get(&world, link.ino, XATTR_ACCESS)), (0o777, None));
        world.check();
    }
}
