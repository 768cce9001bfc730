//! The entries of one directory, with cookies that make listings stable.
//!
//! A name keeps its cookie as long as it exists, whatever inode it leads to; a new name gets one larger than all before. So a
//! listing in cookie order shows each name that was there throughout exactly once.

use std::collections::BTreeMap;
use std::ops::Bound;

use proxyfs_core::types::Ino;

/// Cookie of `.`.
pub(super) const COOKIE_DOT: u64 = 1;
/// Cookie of `..`.
pub(super) const COOKIE_DOT_DOT: u64 = 2;

/// Content of one directory.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    /// Where `..` leads; the root's is itself.
    pub(super) parent: Ino,
    by_name: BTreeMap<Vec<u8>, (Ino, u64)>,
    by_cookie: BTreeMap<u64, Vec<u8>>,
    next_cookie: u64,
}

impl Directory {
    /// An empty directory.
    pub(super) fn new(parent: Ino) -> Self {
        Self { parent, by_name: BTreeMap::new(), by_cookie: BTreeMap::new(), next_cookie: COOKIE_DOT_DOT + 1 }
    }

    /// The inode of a name.
    pub(super) fn get(&self, name: &[u8]) -> Option<Ino> {
        self.by_name.get(name).map(|(ino, _)| *ino)
    }

    /// Whether only `.` and `..` are left.
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Makes a name lead to `ino`; an existing name keeps its cookie.
    pub(super) fn put(&mut self, name: &[u8], ino: Ino) {
        if let Some((old, _)) = self.by_name.get_mut(name) {
            *old = ino;
            return;
        }
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.by_name.insert(name.to_vec(), (ino, cookie));
        self.by_cookie.insert(cookie, name.to_vec());
    }

    /// Takes a name away.
    pub(super) fn remove(&mut self, name: &[u8]) {
        if let Some((_, cookie)) = self.by_name.remove(name) {
            self.by_cookie.remove(&cookie);
        }
    }

    /// Names after `after` with their inodes, in the order of their bytes; without `.` and `..`.
    pub(super) fn named_after(&self, after: Option<&[u8]>) -> impl Iterator<Item = (&[u8], Ino)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_name.range::<[u8], _>((from, Bound::Unbounded)).map(|(name, (ino, _))| (name.as_slice(), *ino))
    }

    /// Names after `cookie` with their inodes and cookies, in cookie order; without `.` and `..`.
    pub(super) fn after(&self, cookie: u64) -> impl Iterator<Item = (u64, &[u8], Ino)> {
        self.by_cookie
            .range((Bound::Excluded(cookie), Bound::Unbounded))
            .map(|(cookie, name)| (*cookie, name.as_slice(), self.by_name[name].0))
    }
}
