//! Entries against the inodes that they name, and orphans against link counts, one window of inode numbers at a time.

use std::ops::ControlFlow;

use crate::format::{Dirent, InodeRecord, Key, keys};
use crate::fs::FileKind;
use crate::kv::{KvRead, Miss};
use crate::types::Ino;

use super::{Faults, each};

/// Inodes of which the checker keeps state at a time: 160 MiB.
pub(super) const WINDOW_INODES: usize = 4 << 20;

/// What an inode says of its names, and what was found.
#[derive(Debug)]
struct State {
    ino: Ino,
    parent: Ino,
    kind: FileKind,
    nlink: u32,
    named: u32,
    orphan: bool,
}

/// Inode numbers from `first` on, to the last of `states` or, if `is_last`, for ever.
#[derive(Debug)]
struct Window {
    first: u64,
    states: Vec<State>,
    is_last: bool,
}

pub(super) fn check(kv: &dyn KvRead, window_inodes: usize, faults: &mut Faults) -> Result<(), Miss> {
    let mut first = 0;
    loop {
        let mut window = load_window(kv, first, window_inodes)?;
        count_entries(kv, &mut window, faults)?;
        mark_orphans(kv, &mut window, faults)?;
        for state in &window.states {
            state.check(faults);
        }
        match window.states.last() {
            Some(last) if !window.is_last => first = last.ino.0 + 1,
            _ => return Ok(()),
        }
    }
}

/// Reads the records of up to `inodes_max` inodes with numbers from `first` on. Records that do not decode were reported by
/// the pass over the inodes and count as absent here.
fn load_window(kv: &dyn KvRead, first: u64, inodes_max: usize) -> Result<Window, Miss> {
    let mut states: Vec<State> = Vec::new();
    let mut is_last = true;
    let (_, to) = keys::all_inodes_range();
    kv.scan(&keys::inode_key(Ino(first)), &to, &mut |key, value| {
        let (Ok(Key::Inode(ino)), Ok(record)) = (Key::decode(key), InodeRecord::decode(value)) else {
            return ControlFlow::Continue(());
        };
        if states.len() == inodes_max {
            is_last = false;
            return ControlFlow::Break(());
        }
        let InodeRecord { parent, kind, nlink, .. } = record;
        states.push(State { ino, parent, kind, nlink, named: 0, orphan: false });
        ControlFlow::Continue(())
    })?;
    Ok(Window { first, states, is_last })
}

fn count_entries(kv: &dyn KvRead, window: &mut Window, faults: &mut Faults) -> Result<(), Miss> {
    each(kv, keys::all_inodes_range(), |key, value| {
        let (Ok(Key::Dirent { ino: dir, name }), Ok(dirent)) = (Key::decode(key), Dirent::decode(value)) else {
            return;
        };
        if !window.covers(dirent.ino) {
            return;
        }
        let shown = String::from_utf8_lossy(&name);
        let Some(state) = window.get(dirent.ino) else {
            return faults.inode(dir, format!("entry {shown} names inode {}, which does not exist", dirent.ino));
        };
        state.named = state.named.saturating_add(1);
        if state.kind != dirent.kind {
            let what =
                format!("entry {shown} says that inode {} is {:?}, it is {:?}", dirent.ino, dirent.kind, state.kind);
            faults.inode(dir, what);
        }
        if state.kind == FileKind::Dir && state.parent != dir {
            let what = format!("is entry {shown} of directory {dir}, and its parent is {}", state.parent);
            faults.inode(dirent.ino, what);
        }
    })
}

fn mark_orphans(kv: &dyn KvRead, window: &mut Window, faults: &mut Faults) -> Result<(), Miss> {
    each(kv, keys::orphan_range(), |key, _| {
        let Ok(Key::Orphan(ino)) = Key::decode(key) else { return };
        if !window.covers(ino) {
            return;
        }
        match window.get(ino) {
            Some(state) => state.orphan = true,
            None => faults.inode(ino, "is an orphan and does not exist"),
        }
    })
}

impl Window {
    fn covers(&self, ino: Ino) -> bool {
        ino.0 >= self.first && (self.is_last || self.states.last().is_some_and(|last| ino <= last.ino))
    }

    fn get(&mut self, ino: Ino) -> Option<&mut State> {
        let at = self.states.binary_search_by_key(&ino, |state| state.ino).ok()?;
        self.states.get_mut(at)
    }
}

impl State {
    fn check(&self, faults: &mut Faults) {
        let expected = match self.kind {
            FileKind::Dir if self.ino == Ino::ROOT || self.nlink == 0 => 0,
            FileKind::Dir => 1,
            _ => self.nlink,
        };
        if self.named != expected {
            faults.inode(self.ino, format!("named by {} entries, link count {}", self.named, self.nlink));
        }
        if self.orphan && self.nlink != 0 {
            faults.inode(self.ino, format!("is an orphan, link count {}", self.nlink));
        }
        if !self.orphan && self.nlink == 0 {
            faults.inode(self.ino, "has link count 0 and no orphan record");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Faults;
    use super::*;
    use crate::ops::testkit::World;

    #[test]
    fn small_windows_find_the_same_as_one_large_one() {
        let mut world = World::new(false);
        for i in 0..7 {
            let dir = world.mkdir(Ino::ROOT, &format!("d{i}"));
            world.mkfile(dir, "f");
        }
        world.kv.0.remove(&keys::inode_key(Ino(5)));
        world.kv.0.remove(&keys::inode_key(Ino(15)));
        world.kv.0.remove(&keys::dirent_key(Ino(2), b"f"));
        let found = |window| {
            let mut faults = Faults::default();
            check(&world.kv, window, &mut faults).expect("resident");
            let mut found: Vec<_> = faults.finish().iter().map(ToString::to_string).collect();
            found.sort();
            found
        };
        let large = found(100);
        assert_eq!(large.len(), 3, "{large:?}");
        for window in 1..16 {
            assert_eq!(found(window), large, "window {window}");
        }
    }
}
