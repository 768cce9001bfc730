//! The tree of a head as something to read from: pages are loaded as they are needed and forgotten again.
//!
//! Owns two ways of reading: [`Reader::view`] for small questions, which are asked again after each missing page, and
//! [`Reader::scan_all`] for passes over everything, which run on a thread of their own while the pages are loaded here.
//! Memory: the page cache's budget, and the path to the page at hand.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, ErrorKind, Result};
use crate::format::keys::intent_key;
use crate::format::{Head, ObjectKind, ObjectTable, Overlay, SegmentLocation};
use crate::kv::{KvRead, Miss, OpError, OpResult, PageAddr, Pair, Txn, Visit};
use crate::tree::{Node, PageCache, PageLimits, PinSet, Tree};
use crate::volume::pages::PageLoader;
use crate::volume::storage::Storage;

/// The tag of the one tree in a check's own page cache.
const TAG: u32 = 0;
/// Pages that a scanning thread may ask for before it gets one: it asks for one at a time.
const REQUESTS: usize = 1;

/// Key writes over the tree, as in a transaction.
type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The metadata that a head names.
#[derive(Clone)]
pub(super) struct Reader {
    cache: Arc<PageCache>,
    loader: Arc<PageLoader>,
    root: Option<PageAddr>,
    overlay: Arc<Writes>,
}

/// A page that a scanning thread waits for.
struct Request {
    addr: PageAddr,
    answer: std::sync::mpsc::SyncSender<Result<Arc<Node>>>,
}

impl Reader {
    /// A reader of `head`. `table` gives the lengths of objects, for reading ahead.
    pub(super) fn new(
        storage: &Arc<Storage>,
        head: &Head,
        table: &ObjectTable,
        overlay: Option<&Overlay>,
        memory: usize,
    ) -> Result<Self> {
        let cache = Arc::new(PageCache::new(memory));
        let loader = PageLoader::new(Arc::clone(storage), Arc::clone(&cache), None, TAG, true);
        loader.set_lengths(table.entries.iter().filter(|e| e.stored_len > 0).map(|e| (e.object, e.stored_len)));
        let overlay = Arc::new(overlay_writes(overlay)?);
        Ok(Self { cache, loader: Arc::new(loader), root: head.root, overlay })
    }

    /// The root page's address.
    pub(super) fn root(&self) -> Option<PageAddr> {
        self.root
    }

    /// Loads one page.
    pub(super) async fn page(&self, addr: PageAddr) -> Result<Arc<Node>> {
        let mut pins = PinSet::new(Arc::clone(&self.cache));
        self.loader.load(Miss(addr), &mut pins).await?;
        self.cache.get(TAG, addr).ok_or_else(|| Error::new(ErrorKind::Internal, "a pinned page is gone"))
    }

    /// Runs a small read-only operation, loading pages as needed. `op` may run several times.
    pub(super) async fn view<T>(&self, mut op: impl FnMut(&dyn KvRead) -> OpResult<T>) -> Result<T> {
        let mut pins = PinSet::new(Arc::clone(&self.cache));
        loop {
            let outcome = {
                let tree = self.tree();
                let kv = self.over(&tree);
                op(&kv)
            };
            match outcome {
                Ok(value) => return Ok(value),
                Err(OpError::Fs(error)) => return Err(error),
                Err(OpError::Miss(miss)) => self.loader.load(miss, &mut pins).await?,
            }
        }
    }

    /// Runs `pass` once over a map that loads its own pages. It sees a miss only when a page cannot be loaded, and that page's error
    /// is the answer then.
    pub(super) async fn scan_all<T: Send + 'static>(
        &self,
        pass: impl FnOnce(&dyn KvRead) -> OpResult<T> + Send + 'static,
    ) -> Result<T> {
        let (requests, mut wanted) = mpsc::channel(REQUESTS);
        let (done, mut outcome) = oneshot::channel();
        let reader = self.clone();
        // Not a task: the pass blocks, and only this function's own awaiting moves it on.
        let thread = std::thread::Builder::new().name("fsck".to_owned()).spawn(move || {
            let loading = Loading { reader: &reader, tree: reader.tree(), requests, failed: RefCell::default() };
            let answer = pass(&reader.over(&loading)).map_err(|error| match error {
                OpError::Fs(error) => error,
                OpError::Miss(_) => loading.failed.take().unwrap_or_else(|| ErrorKind::Interrupted.into()),
            });
            // Nobody waits any more when the check was given up.
            let _ = done.send(answer);
        });
        let thread = thread.map_err(|e| Error::with_source(ErrorKind::Io, "cannot start a thread for the check", e))?;
        while let Some(Request { addr, answer }) = wanted.recv().await {
            let _ = answer.send(self.page(addr).await);
        }
        match (&mut outcome).await {
            Ok(answer) => answer,
            Err(_) => {
                if let Err(panic) = thread.join() {
                    std::panic::resume_unwind(panic);
                }
                Err(Error::new(ErrorKind::Internal, "a pass of the check ended without an answer"))
            }
        }
    }

    fn tree(&self) -> Tree {
        Tree::open(Arc::clone(&self.cache), TAG, PageLimits::default(), self.root)
    }

    /// `kv` with the head's overlay applied.
    fn over<'k>(&self, kv: &'k dyn KvRead) -> Txn<'k> {
        let mut txn = Txn::new(kv);
        for (key, value) in self.overlay.iter() {
            match value {
                Some(value) => txn.put(key.clone(), value.clone()),
                None => txn.delete(key.clone()),
            }
        }
        txn
    }
}

/// What an overlay changes: it places segments, and so ends the intents of the objects that hold them.
fn overlay_writes(overlay: Option<&Overlay>) -> Result<Writes> {
    let mut writes = Vec::new();
    for write in overlay.iter().flat_map(|o| &o.records).flat_map(|r| &r.writes) {
        if let Some(value) = &write.value {
            let object = SegmentLocation::decode(value)?.object;
            writes.push((intent_key(ObjectKind::Data, object), None));
        }
        writes.push((write.key.clone(), write.value.clone()));
    }
    Ok(writes)
}

/// A tree that waits for its missing pages.
struct Loading<'r> {
    reader: &'r Reader,
    tree: Tree,
    requests: mpsc::Sender<Request>,
    failed: RefCell<Option<Error>>,
}

impl Loading<'_> {
    fn load(&self, Miss(addr): Miss, pins: &mut PinSet) -> Result<(), Miss> {
        let (answer, page) = std::sync::mpsc::sync_channel(1);
        let asked = self.requests.blocking_send(Request { addr, answer });
        match asked.map(|()| page.recv()) {
            Ok(Ok(Ok(node))) => {
                pins.pin(TAG, addr, node);
                Ok(())
            }
            Ok(Ok(Err(error))) => {
                *self.failed.borrow_mut() = Some(error);
                Err(Miss(addr))
            }
            Ok(Err(_)) | Err(_) => Err(Miss(addr)),
        }
    }

    fn until_resident<T>(&self, op: impl Fn(&Tree) -> Result<T, Miss>) -> Result<T, Miss> {
        let mut pins = PinSet::new(Arc::clone(&self.reader.cache));
        loop {
            match op(&self.tree) {
                Err(miss) => self.load(miss, &mut pins)?,
                done => return done,
            }
        }
    }
}

impl KvRead for Loading<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Miss> {
        self.until_resident(|tree| tree.get(key))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Miss> {
        let mut from = from.to_vec();
        let mut pins = PinSet::new(Arc::clone(&self.reader.cache));
        loop {
            let mut last: Option<Vec<u8>> = None;
            let outcome = self.tree.scan(&from, to, &mut |key, value| {
                let last = last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(key);
                visit(key, value)
            });
            let Err(miss) = outcome else { return Ok(()) };
            if let Some(mut passed) = last {
                // Pairs up to here were visited: go on behind them, and let the pages before go.
                passed.push(0);
                from = passed;
                pins = PinSet::new(Arc::clone(&self.reader.cache));
            }
            self.load(miss, &mut pins)?;
        }
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Pair>, Miss> {
        self.until_resident(|tree| tree.last(from, to))
    }
}

/// Up to `max` pairs of a range, copied.
pub(super) fn take_pairs(kv: &dyn KvRead, from: &[u8], to: &[u8], max: usize) -> Result<Vec<Pair>, Miss> {
    let mut pairs = Vec::new();
    kv.scan(from, to, &mut |key, value| {
        pairs.push((key.to_vec(), value.to_vec()));
        if pairs.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(pairs)
}
