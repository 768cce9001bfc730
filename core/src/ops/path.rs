//! From an inode back to its path, for messages to people.
//!
//! There is no index from an inode to its names: the record says which directory named it last, and that directory is searched. So
//! this belongs on error paths only, and an answer of `None` is ordinary: a name may have gone while another stays.

use std::ops::ControlFlow;

use crate::format::{Dirent, InodeRecord, Key, keys};
use crate::kv::{KvRead, Miss, OpResult};
use crate::types::Ino;

use super::rename::DEPTH_MAX;
use super::successor;

/// Entries looked at in one step of a search.
const ENTRIES_PER_STEP: usize = 1024;

/// How far a search for the name of an inode has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameSearch {
    /// The name.
    Found(Vec<u8>),
    /// Not among the entries so far; go on after this key name.
    After(Vec<u8>),
    /// The directory does not name the inode.
    Absent,
}

/// The directory that named an inode last; `None` if the inode does not exist, or was never named.
///
/// # Errors
/// Only a `Miss`; a record that does not decode has no parent.
pub fn parent_of(kv: &dyn KvRead, ino: Ino) -> Result<Option<Ino>, Miss> {
    let record = kv.get(&keys::inode_key(ino))?.and_then(|value| InodeRecord::decode(&value).ok());
    Ok(record.map(|r| r.parent).filter(|parent| parent.0 != 0))
}

/// Looks for an entry of `dir` that names `ino`, from the one after `after` on, through a bounded number of entries.
///
/// # Errors
/// Only a `Miss`.
pub fn name_in(kv: &dyn KvRead, dir: Ino, ino: Ino, after: Option<&[u8]>) -> Result<NameSearch, Miss> {
    let (mut from, to) = keys::dirent_range(dir);
    if let Some(name) = after {
        from = successor(keys::dirent_key(dir, name));
    }
    let mut answer = NameSearch::Absent;
    let mut seen = 0;
    kv.scan(&from, &to, &mut |key, value| {
        let Ok(Key::Dirent { name, .. }) = Key::decode(key) else { return ControlFlow::Continue(()) };
        seen += 1;
        match Dirent::decode(value) {
            Ok(dirent) if dirent.ino == ino => {
                answer = NameSearch::Found(dirent.name(&name).to_vec());
                ControlFlow::Break(())
            }
            _ if seen == ENTRIES_PER_STEP => {
                answer = NameSearch::After(name);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    })?;
    Ok(answer)
}

/// The path of an inode from the root, if its names lead there.
///
/// # Errors
/// Only a `Miss`.
pub fn path_of(kv: &dyn KvRead, ino: Ino) -> OpResult<Option<Vec<u8>>> {
    let mut names = Vec::new();
    let mut at = ino;
    while at != Ino::ROOT {
        let Some(dir) = parent_of(kv, at)?.filter(|_| names.len() < DEPTH_MAX) else { return Ok(None) };
        let mut after = None;
        loop {
            match name_in(kv, dir, at, after.as_deref())? {
                NameSearch::Found(name) => {
                    names.push(name);
                    break;
                }
                NameSearch::After(name) => after = Some(name),
                NameSearch::Absent => return Ok(None),
            }
        }
        at = dir;
    }
    Ok(Some(join(names)))
}

/// A path of names, the last one first.
#[must_use]
pub fn join(names: Vec<Vec<u8>>) -> Vec<u8> {
    if names.is_empty() {
        return b"/".to_vec();
    }
    let mut path = Vec::new();
    for name in names.into_iter().rev() {
        path.push(b'/');
        path.extend_from_slice(&name);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testkit::World;
    use crate::ops::{link, unlink};

    #[test]
    fn the_path_goes_through_the_directory_that_named_the_inode_last() {
        let mut world = World::new(false);
        let a = world.mkdir(Ino::ROOT, "a");
        for i in 0..2 * ENTRIES_PER_STEP + 7 {
            world.mkfile(a, &format!("before{i:05}"));
        }
        let b = world.mkdir(a, "zz");
        let f = world.mkfile(b, "f");
        let path = |world: &World, ino| {
            path_of(&world.kv, ino).expect("resident").map(|p| String::from_utf8(p).expect("text"))
        };
        assert_eq!(path(&world, f).as_deref(), Some("/a/zz/f"));
        assert_eq!(path(&world, Ino::ROOT).as_deref(), Some("/"));
        assert_eq!(path(&world, Ino(99_999)), None);
        world.ok(|tx, cx, _| link(tx, cx, f, Ino::ROOT, b"g"));
        assert_eq!(path(&world, f).as_deref(), Some("/g"));
        world.ok(|tx, cx, _| unlink(tx, cx, Ino::ROOT, b"g"));
        assert_eq!(path(&world, f), None, "the other name is not searched for");
    }
}
