//! Ordered keys and values, and the transaction that groups changes to them.
//!
//! Owns the seam between file-system rules (`ops`) and the B+Tree (`tree`): rules are written against [`Txn`], which reads
//! through its own pending writes to a [`KvRead`]. Nothing here does I/O: a page that is not resident surfaces as [`Miss`],
//! the caller drops its lock, loads the page and runs the whole operation again. So an operation may run several times and
//! must touch nothing but its `Txn` until it succeeds.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::error::Error;
use crate::types::ObjectId;

/// Where a B+Tree page lies: a frame inside a meta object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageAddr {
    /// The meta object.
    pub object: ObjectId,
    /// Byte offset of the page's frame.
    pub offset: u32,
    /// Stored length of the frame in bytes, header included.
    pub len: u32,
}

/// A page that must be loaded before the operation can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miss(pub PageAddr);

/// Why an operation on a [`Txn`] stopped.
#[derive(Debug)]
pub enum OpError {
    /// Load this page and run the operation again.
    Miss(Miss),
    /// The operation's own answer.
    Fs(Error),
}

impl From<Miss> for OpError {
    fn from(miss: Miss) -> Self {
        Self::Miss(miss)
    }
}

impl From<Error> for OpError {
    fn from(error: Error) -> Self {
        Self::Fs(error)
    }
}

impl From<crate::error::ErrorKind> for OpError {
    fn from(kind: crate::error::ErrorKind) -> Self {
        Self::Fs(kind.into())
    }
}

/// Result of an operation on a [`Txn`].
pub type OpResult<T> = Result<T, OpError>;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Receives pairs of a scan in key order; `Break` ends it.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// An ordered map of byte strings that may be only partly resident.
pub trait KvRead {
    /// The value of `key`.
    ///
    /// # Errors
    /// A page on the way is not resident.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Miss>;

    /// Visits pairs with `from <= key < to` in ascending order. Pairs may have been visited before a miss is returned.
    ///
    /// # Errors
    /// A page on the way is not resident.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Miss>;

    /// The last pair with `from <= key < to`.
    ///
    /// # Errors
    /// A page on the way is not resident.
    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Pair>, Miss>;
}

/// A set of key writes that will become one atomic record, readable as if already applied.
pub struct Txn<'b> {
    base: &'b dyn KvRead,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl std::fmt::Debug for Txn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Txn").field("writes", &self.writes.len()).finish()
    }
}

impl<'b> Txn<'b> {
    /// An empty transaction over `base`.
    pub fn new(base: &'b dyn KvRead) -> Self {
        Self { base, writes: BTreeMap::new() }
    }

    /// Sets a key.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    /// Removes a key; one that is absent is fine.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    /// The writes so far, in key order: `None` removes.
    #[must_use]
    pub fn writes(&self) -> &BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        &self.writes
    }

    /// The writes in key order: `None` removes.
    #[must_use]
    pub fn into_writes(self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        self.writes
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

impl KvRead for Txn<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Miss> {
        match self.writes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Miss> {
        let mut pending =
            self.writes.range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to))).peekable();
        if pending.peek().is_none() {
            return self.base.scan(from, to, visit);
        }
        let mut stopped = false;
        self.base.scan(from, to, &mut |key, value| {
            while let Some((k, v)) = pending.next_if(|(k, _)| k.as_slice() < key) {
                if let Some(v) = v
                    && visit(k, v).is_break()
                {
                    stopped = true;
                    return ControlFlow::Break(());
                }
            }
            let flow = match pending.next_if(|(k, _)| k.as_slice() == key) {
                Some((k, Some(v))) => visit(k, v),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(key, value),
            };
            stopped = flow.is_break();
            flow
        })?;
        for (k, v) in pending {
            if stopped {
                break;
            }
            if let Some(v) = v {
                stopped = visit(k, v).is_break();
            }
        }
        Ok(())
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Pair>, Miss> {
        let mut end = to.to_vec();
        loop {
            let range = (std::ops::Bound::Included(from), std::ops::Bound::Excluded(end.as_slice()));
            let own = self.writes.range::<[u8], _>(range).next_back();
            let base = self.base.last(from, &end)?;
            match (own, base) {
                (None, base) => return Ok(base),
                (Some((k, v)), base) if base.as_ref().is_none_or(|(bk, _)| bk <= k) => match v {
                    Some(v) => return Ok(Some((k.clone(), v.clone()))),
                    None => end = k.clone(),
                },
                (_, base) => return Ok(base),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fully resident map.
    struct Map(BTreeMap<Vec<u8>, Vec<u8>>);

    impl KvRead for Map {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Miss> {
            Ok(self.0.get(key).cloned())
        }

        fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Miss> {
            for (k, v) in self.0.range(from.to_vec()..to.to_vec()) {
                if visit(k, v).is_break() {
                    break;
                }
            }
            Ok(())
        }

        fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Pair>, Miss> {
            Ok(self.0.range(from.to_vec()..to.to_vec()).next_back().map(|(k, v)| (k.clone(), v.clone())))
        }
    }

    fn keys(kv: &dyn KvRead, from: &str, to: &str) -> String {
        let mut out = String::new();
        kv.scan(from.as_bytes(), to.as_bytes(), &mut |k, v| {
            out.push_str(&format!("{}={} ", String::from_utf8_lossy(k), String::from_utf8_lossy(v)));
            ControlFlow::Continue(())
        })
        .expect("resident");
        out
    }

    #[test]
    fn reads_see_pending_writes_over_the_base() {
        let base = Map([("a", "1"), ("c", "3"), ("e", "5")].map(|(k, v)| (k.into(), v.into())).into());
        let mut txn = Txn::new(&base);
        txn.put(b"b".to_vec(), b"2".to_vec());
        txn.put(b"c".to_vec(), b"33".to_vec());
        txn.delete(b"e".to_vec());
        txn.put(b"f".to_vec(), b"6".to_vec());
        assert_eq!(keys(&txn, "a", "z"), "a=1 b=2 c=33 f=6 ");
        assert_eq!(keys(&txn, "b", "c"), "b=2 ");
        assert_eq!(txn.get(b"e").expect("resident"), None);
        assert_eq!(txn.last(b"a", b"f").expect("resident").map(|p| p.0), Some(b"c".to_vec()));
        assert_eq!(txn.last(b"a", b"z").expect("resident").map(|p| p.0), Some(b"f".to_vec()));
        assert_eq!(txn.last(b"d", b"f").expect("resident"), None);
    }
}
