//! What the driver keeps of names that are open: share modes, pending deletions, names after a renaming.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::request::{right, share};
use crate::status::{self, Status};

const READ_DATA: u32 = 0x1 | 0x20;
const WRITE_DATA: u32 = 0x2 | 0x4;

/// One open of a name, as far as sharing is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sharing {
    access: u32,
    share: u32,
}

impl Sharing {
    /// Of granted rights and what is shared.
    pub(crate) fn new(granted: u32, shared: u32) -> Self {
        let bit = |rights: u32, bit: u32| if granted & rights != 0 { bit } else { 0 };
        let access = bit(READ_DATA, share::READ) | bit(WRITE_DATA, share::WRITE) | bit(right::DELETE, share::DELETE);
        Self { access, share: shared }
    }

    fn allows(self, other: Self) -> bool {
        // Who only looks at attributes takes no part (IoCheckShareAccess).
        self.access == 0 || other.access == 0 || other.access & !self.share == 0 && self.access & !other.share == 0
    }
}

/// A name that is open.
#[derive(Debug)]
pub(crate) struct Node {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    name: String,
    opens: Vec<Sharing>,
    delete_pending: bool,
    /// It was deleted in the POSIX way: its name is free.
    detached: bool,
}

/// What is due when a handle is closed.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    /// The name at present.
    pub(crate) name: String,
    /// It is to be deleted now.
    pub(crate) delete: bool,
}

impl Node {
    pub(crate) fn name(&self) -> String {
        self.state.lock().name.clone()
    }

    pub(crate) fn set_delete_pending(&self, pending: bool) {
        self.state.lock().delete_pending = pending;
    }
}

/// All names that are open.
#[derive(Debug)]
pub(crate) struct Nodes {
    case_sensitive: bool,
    by_name: Mutex<HashMap<String, Arc<Node>>>,
}

impl Nodes {
    pub(crate) fn new(case_sensitive: bool) -> Self {
        Self { case_sensitive, by_name: Mutex::default() }
    }

    fn key(&self, name: &str) -> String {
        if self.case_sensitive { name.to_owned() } else { name.to_uppercase() }
    }

    /// Notes an open.
    pub(crate) fn open(&self, name: &str, sharing: Sharing) -> Result<Arc<Node>, Status> {
        let mut by_name = self.by_name.lock();
        let node = Arc::clone(by_name.entry(self.key(name)).or_insert_with(|| {
            let state = State { name: name.to_owned(), opens: Vec::new(), delete_pending: false, detached: false };
            Arc::new(Node { state: Mutex::new(state) })
        }));
        {
            let mut state = node.state.lock();
            if state.delete_pending {
                return Err(status::DELETE_PENDING);
            }
            if !state.opens.iter().all(|other| other.allows(sharing)) {
                return Err(status::SHARING_VIOLATION);
            }
            state.opens.push(sharing);
        }
        Ok(node)
    }

    /// Notes the end of an open. `posix`: it deletes its name, whoever else has it open.
    pub(crate) fn close(&self, node: &Arc<Node>, sharing: Sharing, posix: bool) -> Due {
        let mut by_name = self.by_name.lock();
        let mut state = node.state.lock();
        if let Some(at) = state.opens.iter().position(|open| *open == sharing) {
            state.opens.swap_remove(at);
        }
        let last = state.opens.is_empty();
        let delete = !state.detached && (posix || last && state.delete_pending);
        let key = self.key(&state.name);
        if (last || delete) && by_name.get(&key).is_some_and(|there| Arc::ptr_eq(there, node)) {
            by_name.remove(&key);
        }
        state.detached |= delete;
        Due { name: state.name.clone(), delete }
    }

    /// Whether `name`, or anything below it if it is a directory, is open.
    fn is_open_below(&self, name: &str) -> bool {
        let below = format!("{}\\", self.key(name));
        self.by_name.lock().keys().any(|key| key.starts_with(&below))
    }

    fn is_open(&self, name: &str) -> bool {
        self.by_name.lock().contains_key(&self.key(name))
    }

    /// Whether the driver lets `from` be renamed to `to`. `posix`: over what is open as well.
    pub(crate) fn may_rename(&self, from: &str, to: &str, posix: bool) -> Result<(), Status> {
        let same = self.key(from) == self.key(to);
        if !posix && (self.is_open_below(from) || !same && self.is_open(to)) {
            return Err(status::ACCESS_DENIED);
        }
        Ok(())
    }

    /// Notes that `from` is called `to`, with all that is below it. What was called so before has no name any more.
    pub(crate) fn renamed(&self, from: &str, to: &str) {
        let mut by_name = self.by_name.lock();
        if self.key(from) != self.key(to)
            && let Some(replaced) = by_name.remove(&self.key(to))
        {
            replaced.state.lock().detached = true;
        }
        let (from_key, below) = (self.key(from), format!("{}\\", self.key(from)));
        let moved: Vec<String> =
            by_name.keys().filter(|key| **key == from_key || key.starts_with(&below)).cloned().collect();
        for key in moved {
            let Some(node) = by_name.remove(&key) else { continue };
            let name = {
                let mut state = node.state.lock();
                let rest: String = state.name.chars().skip(from.chars().count()).collect();
                state.name = format!("{to}{rest}");
                state.name.clone()
            };
            by_name.insert(self.key(&name), node);
        }
    }
}
