//! Directories: finding, adding, dropping and listing entries.
//!
//! A directory's record counts its entries; every change of an entry goes through `add`, `replace` or `drop` here, and the
//! caller stores the directory's record.

use std::ops::ControlFlow;

use crate::error::{Error, ErrorKind};
use crate::format::{Dirent, InodeRecord, Key, keys};
use crate::fs::{Attr, FileKind, NamedEntry};
use crate::kv::{KvRead, OpError, OpResult, Txn};
use crate::types::Ino;

use super::{OpCx, inode, name, successor};

/// One entry of a directory as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name in its key: what the listing is ordered by, and what [`readdir_page`] goes on after.
    pub key_name: Vec<u8>,
    /// The name as it was given.
    pub display: Vec<u8>,
    /// The entry's inode.
    pub ino: Ino,
    /// Its type.
    pub kind: FileKind,
    /// Its attributes, if asked for.
    pub attr: Option<Attr>,
}

/// Finds `name` in a directory; `.` and `..` are understood.
///
/// # Errors
/// `NotFound`, `NotADirectory`, `NameTooLong`, `InvalidArgument`, `Stale`.
pub fn lookup(kv: &dyn KvRead, cx: &OpCx, parent: Ino, name: &[u8]) -> OpResult<Attr> {
    let dir = inode::load_dir(kv, parent)?;
    name::check_length(name)?;
    let ino = match name {
        b"." => return Ok(inode::attr(&dir, parent)),
        b".." => dir.parent,
        _ => get(kv, cx, parent, name)?.ino,
    };
    Ok(inode::attr(&inode::load(kv, ino)?, ino))
}

/// As [`lookup`], with the name as it was given when the entry was made.
///
/// # Errors
/// As [`lookup`].
pub fn find_named(kv: &dyn KvRead, cx: &OpCx, parent: Ino, name: &[u8]) -> OpResult<NamedEntry> {
    let attr = lookup(kv, cx, parent, name)?;
    let name = match find(kv, cx, parent, name)? {
        Some(entry) => entry.name(&name::key_name(cx, name)).to_vec(),
        None => name.to_vec(),
    };
    Ok(NamedEntry { name: name.into(), attr })
}

/// Up to `entries_max` entries after the one that is named `after`, or after where it would be, with their attributes.
///
/// # Errors
/// As [`readdir_page`].
pub fn entries_after(
    kv: &dyn KvRead,
    cx: &OpCx,
    ino: Ino,
    after: Option<&[u8]>,
    entries_max: usize,
) -> OpResult<Vec<NamedEntry>> {
    if inode::load_dir(kv, ino)?.nlink == 0 {
        return Ok(Vec::new());
    }
    let after = after.map(|name| name::key_name(cx, name));
    let found = readdir_page(kv, ino, after.as_deref(), entries_max, true)?;
    Ok(found.into_iter().filter_map(|e| Some(NamedEntry { name: e.display.into(), attr: e.attr? })).collect())
}

/// Up to `entries_max` entries after the one whose key name is `after` (from the start for `None`), in byte order of the
/// key names, without `.` and `..`. Fewer only at the end of the directory.
///
/// # Errors
/// `NotADirectory`, `Stale`; `Corrupt` for an entry whose inode does not exist, if attributes were asked for.
pub fn readdir_page(
    kv: &dyn KvRead,
    ino: Ino,
    after: Option<&[u8]>,
    entries_max: usize,
    with_attrs: bool,
) -> OpResult<Vec<Entry>> {
    inode::load_dir(kv, ino)?;
    let (mut from, to) = keys::dirent_range(ino);
    if let Some(name) = after {
        from = successor(keys::dirent_key(ino, name));
    }
    let mut found = Vec::new();
    if entries_max > 0 {
        kv.scan(&from, &to, &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            if found.len() == entries_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    found.into_iter().map(|(key, value)| listed(kv, ino, &key, &value, with_attrs)).collect()
}

/// Turns a stored entry into a listed one.
fn listed(kv: &dyn KvRead, dir: Ino, key: &[u8], value: &[u8], with_attrs: bool) -> OpResult<Entry> {
    let key_name = name_in_key(key)?;
    let dirent = Dirent::decode(value)?;
    let attr = if with_attrs {
        let record = inode::try_load(kv, dirent.ino)?.ok_or_else(|| dangling(dir, dirent.ino))?;
        Some(inode::attr(&record, dirent.ino))
    } else {
        None
    };
    let display = dirent.name(&key_name).to_vec();
    Ok(Entry { key_name, display, ino: dirent.ino, kind: dirent.kind, attr })
}

/// The entry `name`, which is neither `.` nor `..`, if there is one.
pub(crate) fn find(kv: &dyn KvRead, cx: &OpCx, dir: Ino, name: &[u8]) -> OpResult<Option<Dirent>> {
    match kv.get(&keys::dirent_key(dir, &name::key_name(cx, name)))? {
        Some(value) => Ok(Some(Dirent::decode(&value)?)),
        None => Ok(None),
    }
}

/// The entry `name`.
///
/// # Errors
/// `NotFound`.
pub(crate) fn get(kv: &dyn KvRead, cx: &OpCx, dir: Ino, name: &[u8]) -> OpResult<Dirent> {
    find(kv, cx, dir, name)?
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no such entry in directory {dir}")).into())
}

/// The record that an entry names.
///
/// # Errors
/// `Corrupt` if it does not exist.
pub(crate) fn target(kv: &dyn KvRead, dir: Ino, entry: &Dirent) -> OpResult<InodeRecord> {
    inode::try_load(kv, entry.ino)?.ok_or_else(|| dangling(dir, entry.ino))
}

/// The record of a directory in which the entry `name` can be made.
///
/// # Errors
/// `NotADirectory`, `Stale`, errors of the name, `AlreadyExists`, or `NotFound` in a removed directory; the first that applies.
pub(crate) fn load_for_new(kv: &dyn KvRead, cx: &OpCx, dir: Ino, name: &[u8]) -> OpResult<InodeRecord> {
    let record = inode::load_dir(kv, dir)?;
    name::check_length(name)?;
    if name::is_dots(name) || find(kv, cx, dir, name)?.is_some() {
        return Err(Error::new(ErrorKind::AlreadyExists, format!("entry exists in directory {dir}")).into());
    }
    name::check_new(name)?;
    inode::check_live(dir, &record)?;
    Ok(record)
}

/// Adds an entry that is known not to exist and counts it.
pub(crate) fn add(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    (dir, dir_record): (Ino, &mut InodeRecord),
    name: &[u8],
    (ino, kind): (Ino, FileKind),
) -> OpResult<()> {
    replace(tx, cx, dir, name, (ino, kind));
    dir_record.entry_count += 1;
    if kind == FileKind::Dir {
        dir_record.nlink = dir_record.nlink.checked_add(1).ok_or(ErrorKind::TooManyLinks)?;
    }
    Ok(())
}

/// Writes an entry over one that may exist, counting nothing.
pub(crate) fn replace(tx: &mut Txn<'_>, cx: &OpCx, dir: Ino, name: &[u8], (ino, kind): (Ino, FileKind)) {
    let key_name = name::key_name(cx, name);
    tx.put(keys::dirent_key(dir, &key_name), Dirent::new(kind, ino, name, &key_name).encode());
}

/// Drops an entry that is known to exist and to name something of `kind`, and counts it off.
pub(crate) fn drop(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    (dir, dir_record): (Ino, &mut InodeRecord),
    name: &[u8],
    kind: FileKind,
) -> OpResult<()> {
    tx.delete(keys::dirent_key(dir, &name::key_name(cx, name)));
    uncount(dir, dir_record, kind)
}

/// Counts off an entry of `kind`.
fn uncount(dir: Ino, record: &mut InodeRecord, kind: FileKind) -> OpResult<()> {
    let wrong = || Error::new(ErrorKind::Corrupt, format!("directory {dir} counts fewer entries than it has"));
    record.entry_count = record.entry_count.checked_sub(1).ok_or_else(wrong)?;
    if kind == FileKind::Dir {
        record.nlink = record.nlink.checked_sub(1).filter(|n| *n >= 2).ok_or_else(wrong)?;
    }
    Ok(())
}

/// The name in the key of an entry.
pub(crate) fn name_in_key(key: &[u8]) -> OpResult<Vec<u8>> {
    match Key::decode(key)? {
        Key::Dirent { name, .. } => Ok(name),
        other => Err(Error::new(ErrorKind::Corrupt, format!("{other:?} among the entries of a directory")).into()),
    }
}

fn dangling(dir: Ino, ino: Ino) -> OpError {
    Error::new(ErrorKind::Corrupt, format!("directory {dir} names inode {ino}, which does not exist")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testkit::World;

    #[test]
    fn lookup_knows_dots_and_refuses_what_is_not_there() {
        let mut world = World::new(false);
        let dir = world.mkdir(Ino::ROOT, "d");
        let file = world.mkfile(dir, "f");
        for (parent, name, found) in [
            (dir, &b"."[..], Ok(dir)),
            (dir, b"..", Ok(Ino::ROOT)),
            (Ino::ROOT, b"..", Ok(Ino::ROOT)),
            (dir, b"f", Ok(file)),
            (dir, b"F", Err(ErrorKind::NotFound)),
            (file, b"f", Err(ErrorKind::NotADirectory)),
            (Ino(99), b"f", Err(ErrorKind::Stale)),
            (dir, &[b'x'; 256], Err(ErrorKind::NameTooLong)),
        ] {
            let answer = match lookup(&world.kv, &world.cx, parent, name) {
                Ok(attr) => Ok(attr.ino),
                Err(OpError::Fs(error)) => Err(error.kind()),
                Err(OpError::Miss(_)) => panic!("resident"),
            };
            assert_eq!(answer, found, "{name:?} in {parent}");
        }
    }

    #[test]
    fn pages_follow_each_other_in_byte_order() {
        let mut world = World::new(false);
        for name in ["b", "a", "ab", "B", "\u{e4}", "c"] {
            world.mkfile(Ino::ROOT, name);
        }
        let mut seen = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = readdir_page(&world.kv, Ino::ROOT, after.as_deref(), 2, true).expect("lists");
            let Some(last) = page.last() else { break };
            after = Some(last.key_name.clone());
            for entry in page {
                assert_eq!(entry.attr.map(|attr| attr.ino), Some(entry.ino));
                seen.push(String::from_utf8(entry.display).expect("utf-8"));
            }
        }
        assert_eq!(seen, ["B", "a", "ab", "b", "c", "\u{e4}"]);
    }

    #[test]
    fn a_case_insensitive_directory_finds_any_spelling_and_shows_the_first() {
        let mut world = World::new(true);
        let file = world.mkfile(Ino::ROOT, "ReadMe \u{c4}");
        assert_eq!(world.find(Ino::ROOT, "README \u{e4}"), Some(file));
        assert_eq!(world.names(Ino::ROOT), "ReadMe \u{c4}");
        let kind = world.err(|tx, cx, new| crate::ops::mkdir(tx, cx, Ino::ROOT, "readme \u{e4}".as_bytes(), 0, 0, new));
        assert_eq!(kind, ErrorKind::AlreadyExists);
        world.ok(|tx, cx, _| crate::ops::unlink(tx, cx, Ino::ROOT, "README \u{c4}".as_bytes()));
        assert_eq!(world.names(Ino::ROOT), "");
        world.check();
    }

    #[test]
    fn pages_go_on_after_any_spelling_of_a_name_and_after_one_that_is_gone() {
        let mut world = World::new(true);
        for name in ["Delta", "alpha", "CHARLIE", "bravo"] {
            world.mkfile(Ino::ROOT, name);
        }
        let page = |world: &World, after: Option<&str>, entries_max| -> String {
            let found = entries_after(&world.kv, &world.cx, Ino::ROOT, after.map(str::as_bytes), entries_max)
                .expect("resident");
            found.iter().map(|e| String::from_utf8_lossy(&e.name).into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(page(&world, None, 2), "alpha bravo");
        assert_eq!(page(&world, Some("BRAVO"), 9), "CHARLIE Delta");
        assert_eq!(page(&world, Some("bz"), 1), "CHARLIE");
        assert_eq!(page(&world, Some("delta"), 9), "");
        let found = find_named(&world.kv, &world.cx, Ino::ROOT, b"charlie").expect("resident");
        assert_eq!((found.name.as_ref(), found.attr.ino), (&b"CHARLIE"[..], world.find(Ino::ROOT, "charlie").unwrap()));
        assert_eq!(find_named(&world.kv, &world.cx, Ino::ROOT, b"..").expect("resident").name.as_ref(), b"..");
    }
}
