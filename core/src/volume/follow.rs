//! A read-only volume that goes with its writer: it looks for a newer head at an interval and shows that checkpoint from then on.
//!
//! Owns the step from one checkpoint to the next. Everything that can fail is done before it (head, table, overlay, root, what
//! changed); the step itself swaps the tree under the state lock, so that every operation, which runs on one tree, sees one
//! checkpoint. Whatever fails leaves the old checkpoint in place and shows in the status. Never writes to the store. Nothing that is
//! cached becomes stale by a step: pages, frames and objects keep their content under their names for ever.
//!
//! An inode that is open and gone after a step goes on being read in the tree that had it last, until its last handle is closed.
//!
//! One task owns [`Following`]; everybody else asks it through [`Follower`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::changes::{Change, Changes, Listeners};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Dirent, Head, InodeRecord, Key, keys};
use crate::kv::{KvRead, OpError, OpResult};
use crate::limits::{FOLLOW_CHANGES_MAX, FOLLOW_LIST_EVERY, FOLLOW_NAMES_MAX, FOLLOW_PAGES_MAX, LISTING_LAG_SECS};
use crate::ops;
use crate::tree::{DiffProgress, PageLimits, PinSet, Tree, TreeDiff};
use crate::types::Ino;
use crate::volume::claim::{heads, read_head};
use crate::volume::open::first_state;
use crate::volume::recover::{read_overlay, read_table};
use crate::volume::state::{State, Writes};
use crate::volume::{Shared, Term, Volume};

/// Those who wait for a look at the store.
type Waiters = Vec<oneshot::Sender<Result<bool>>>;

/// Those who wait now; `None` when nobody will look any more.
struct Queue(Option<Waiters>);

/// Where looks at the store are asked for, and what earlier checkpoints are still needed for.
pub(crate) struct Follower {
    queue: Mutex<Queue>,
    wake: Notify,
    /// Inodes that are open and gone, with the tree that had them last.
    departed: Mutex<HashMap<Ino, Arc<Tree>>>,
    pub(crate) listeners: Listeners,
}

impl Default for Follower {
    fn default() -> Self {
        let queue = Mutex::new(Queue(Some(Vec::new())));
        Self { queue, wake: Notify::new(), departed: Mutex::default(), listeners: Listeners::default() }
    }
}

impl Follower {
    fn take_waiters(&self) -> Waiters {
        self.queue.lock().0.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Nobody looks any more: whoever waits is told so, and all feeds end.
    pub(crate) fn close(&self) {
        self.queue.lock().0 = None;
        self.listeners.close();
    }

    fn departed(&self, ino: Ino) -> Option<Arc<Tree>> {
        self.departed.lock().get(&ino).cloned()
    }

    /// Whether `ino` is open and gone.
    pub(crate) fn has_departed(&self, ino: Ino) -> bool {
        self.departed.lock().contains_key(&ino)
    }

    /// Gives up the tree that was kept for an inode that is not open any more.
    pub(crate) fn forget(&self, ino: Ino) {
        self.departed.lock().remove(&ino);
    }
}

/// What the follower's task knows of the store.
pub(crate) struct Following {
    /// The head that is shown.
    head: Head,
    /// When the last successful look began, by the clock that stands still while the machine sleeps, and in seconds by that on the
    /// wall.
    looked: Option<(Instant, i64)>,
    /// Successful looks since the last listing.
    probes: u32,
}

impl Following {
    pub(crate) fn new(head: Head) -> Self {
        Self { head, looked: None, probes: 0 }
    }

    /// Whether asking for the next number is enough to learn of a newer head. Heads stay for a while after they were followed by
    /// others; past that the next number may have come and gone.
    fn may_probe(&self, now: i64) -> bool {
        let lag = Duration::from_secs(LISTING_LAG_SECS.unsigned_abs());
        let is_recent =
            |(at, secs): (Instant, i64)| at.elapsed() < lag && (0..LISTING_LAG_SECS).contains(&(now - secs));
        self.probes < FOLLOW_LIST_EVERY && self.looked.is_some_and(is_recent)
    }
}

/// A checkpoint that is ready to be shown.
struct Next {
    head: Head,
    state: State,
    lengths: Vec<(crate::types::ObjectId, u64)>,
    difference: Difference,
}

/// How a checkpoint differs from the one before.
struct Difference {
    changes: Changes,
    /// Inodes that are gone; `None` if that is not known.
    gone: Option<BTreeSet<Ino>>,
}

impl Volume {
    /// Looks for a newer checkpoint now, and shows it from then on. Whether there was one. A volume that is open for writing is its
    /// own newest.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`]; [`ErrorKind::Corrupt`] or [`ErrorKind::UnknownFormat`] when the newest head cannot be used. The
    /// old checkpoint is shown as before.
    pub async fn refresh(&self) -> Result<bool> {
        if !self.shared.options.read_only {
            return Ok(false);
        }
        self.shared.look_now().await
    }
}

impl Shared {
    /// Looks for newer heads at the interval and on request.
    pub(crate) async fn follow_loop(self: Arc<Self>, mut following: Following) {
        let interval = self.options.follow_interval;
        loop {
            let wake = self.follower.wake.notified();
            let stopped = self.stop.notified();
            if self.is_stopping() {
                return;
            }
            let waiters = self.follower.take_waiters();
            if waiters.is_empty() {
                tokio::select! {
                    () = wake => continue,
                    () = tokio::time::sleep(interval), if !interval.is_zero() => {}
                    () = stopped => continue,
                }
            }
            let outcome = self.look(&mut following).await;
            match &outcome {
                Ok(_) => self.looked(),
                Err(error) => {
                    if error.kind() != ErrorKind::Unavailable {
                        // The head after a damaged one may be whole.
                        following.looked = None;
                    }
                    self.problem(error);
                }
            }
            for waiter in waiters {
                // Who does not wait any more needs no answer.
                let _ = waiter.send(outcome.as_ref().copied().map_err(|e| Error::new(e.kind(), e.to_string())));
            }
        }
    }

    async fn look_now(&self) -> Result<bool> {
        let (done, outcome) = oneshot::channel();
        if let Some(waiters) = &mut self.follower.queue.lock().0 {
            waiters.push(done);
        }
        self.follower.wake.notify_one();
        outcome.await.map_err(|_| Error::new(ErrorKind::Interrupted, "the volume is being closed"))?
    }

    /// After `error`, which may come from showing a checkpoint whose objects are gone by now: whether a newer one is shown since.
    pub(crate) async fn caught_up(&self, error: &Error) -> bool {
        let may_be_old = error.kind() == ErrorKind::Corrupt && self.options.read_only;
        may_be_old && !self.options.follow_interval.is_zero() && self.look_now().await.unwrap_or(false)
    }

    /// Looks for a newer head and shows it.
    async fn look(&self, following: &mut Following) -> Result<bool> {
        let began = (Instant::now(), self.env.clock.now().secs);
        let newer = self.newer_head(following).await?;
        let stepped = match newer {
            Some(head) => {
                let next = self.prepare_step(&following.head, head).await?;
                following.head = self.step(next).await?;
                true
            }
            None => false,
        };
        following.looked = Some(began);
        if !stepped {
            self.tell(None).await;
        }
        Ok(stepped)
    }

    /// The newest head, if it is newer than the one shown.
    async fn newer_head(&self, following: &mut Following) -> Result<Option<Head>> {
        let known = following.head.seq;
        let mut newest = None;
        if following.may_probe(self.env.clock.now().secs) {
            loop {
                let seq = newest.as_ref().map_or(known, |head: &Head| head.seq) + 1;
                match read_head(&self.storage, seq).await {
                    Ok(head) => newest = Some(head),
                    Err(error) if error.kind() == ErrorKind::NotFound => break,
                    Err(error) => return Err(error),
                }
            }
            following.probes += 1;
        }
        // The answer may have taken so long that it says nothing.
        if newest.is_none() && !following.may_probe(self.env.clock.now().secs) {
            newest = heads(&self.storage, known).await?.0.filter(|head| head.seq > known);
            following.probes = 0;
        }
        match newest {
            Some(head) if head.volume != self.meta.uuid => {
                let why = format!("head {} belongs to volume {}", head.seq, head.volume);
                Err(Error::new(ErrorKind::Corrupt, why))
            }
            other => Ok(other),
        }
    }

    /// Reads what a checkpoint needs to be shown.
    async fn prepare_step(&self, shown: &Head, head: Head) -> Result<Next> {
        let table = read_table(&self.storage, &head).await?;
        let overlay = read_overlay(&self.storage, &head).await?;
        let mut pins = PinSet::new(Arc::clone(&self.engine.pages));
        if let Some(root) = head.root {
            self.pages.load(crate::kv::Miss(root), &mut pins).await?;
        }
        let tree = Tree::open(Arc::clone(&self.engine.pages), self.tag, PageLimits::default(), head.root);
        let mut state = first_state(tree, &head);
        for body in overlay.into_iter().flat_map(|overlay| overlay.records) {
            let writes: Writes = body.writes.into_iter().map(|w| (w.key, w.value)).collect();
            while let Err(miss) = state.prepare(&writes) {
                self.pages.load(miss, &mut pins).await?;
            }
            state.apply(&writes, &self.staging)?;
        }
        let difference = self.difference(shown, &head).await?;
        let lengths = table.entries.iter().filter(|e| e.stored_len > 0).map(|e| (e.object, e.stored_len)).collect();
        Ok(Next { head, state, lengths, difference })
    }

    /// How `new` differs from `old`, as far as files go.
    async fn difference(&self, old: &Head, new: &Head) -> Result<Difference> {
        match self.list_changes(old, new).await {
            Ok(Some(difference)) => return Ok(difference),
            Ok(None) => {}
            // Pages of the old checkpoint may be gone by now. Those of the new one are found missing by whoever needs them.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::debug!(volume = %self.meta.name, "cannot compare heads {} and {}: {error}", old.seq, new.seq);
            }
            Err(error) => return Err(error),
        }
        let names = self.view_shown(names_in_root).await.unwrap_or_default();
        Ok(Difference { changes: Changes::Everything { names, open: Vec::new() }, gone: None })
    }

    /// The changes from `old` to `new`; `None` if there are too many.
    async fn list_changes(&self, old: &Head, new: &Head) -> Result<Option<Difference>> {
        let cache = Arc::clone(&self.engine.pages);
        let mut pins = PinSet::new(Arc::clone(&cache));
        let (roots, range) = ((old.root, new.root), keys::all_inodes_range());
        let mut diff = TreeDiff::new(cache, self.tag, roots, range, FOLLOW_PAGES_MAX);
        let progress = loop {
            match diff.run() {
                Ok(progress) => break progress,
                Err(miss) => self.pages.load(miss, &mut pins).await?,
            }
        };
        if progress == DiffProgress::TooMuch {
            return Ok(None);
        }
        let mut found = Found::default();
        diff.visit(&mut |key, old, new| found.note(key, old, new));
        found.finish()
    }

    /// Shows a checkpoint. Returns its head.
    async fn step(&self, next: Next) -> Result<Head> {
        let Next { head, mut state, lengths, difference } = next;
        let Difference { changes, gone } = difference;
        let changes = match changes {
            Changes::Everything { names: mut all, .. } => {
                // Names that cannot be read age out of kernels by themselves.
                all.extend(self.view_tree(&state.tree, names_in_root).await.unwrap_or_default());
                all.sort_unstable();
                all.dedup();
                Changes::Everything { names: all, open: self.handles.open_inodes() }
            }
            listed => listed,
        };
        // Inodes whose presence in the new tree is known.
        let mut there: HashMap<Ino, bool> = HashMap::new();
        loop {
            let unknown = {
                let mut shown = self.state.write();
                // Before the look at who is open: a release after it finds what it has to give up.
                let mut departed = self.follower.departed.lock();
                let open = self.handles.open_inodes();
                let is_there = |ino: &Ino| match &gone {
                    Some(gone) => Some(!gone.contains(ino)),
                    None => there.get(ino).copied(),
                };
                let unknown: Vec<Ino> = open.iter().copied().filter(|ino| is_there(ino).is_none()).collect();
                if unknown.is_empty() {
                    self.pages.set_lengths(lengths.iter().copied());
                    state.halted = shown.halted.take();
                    let old = Arc::new(std::mem::replace(&mut *shown, state).tree);
                    for ino in open.into_iter().filter(|ino| is_there(ino) == Some(false)) {
                        departed.entry(ino).or_insert_with(|| Arc::clone(&old));
                    }
                    *self.term.write() = Term { epoch: head.epoch, claim: head.claim, claimed: true };
                    self.note_head(&head);
                    break;
                }
                unknown
            };
            for ino in unknown {
                let found = self.view_tree(&state.tree, |kv| ops::inode::try_load(kv, ino)).await?;
                there.insert(ino, found.is_some());
            }
        }
        tracing::debug!(volume = %self.meta.name, "following: head {} is shown", head.seq);
        self.tell(Some(&changes)).await;
        Ok(head)
    }

    /// Tells all listeners of a step, and those that have missed one of everything.
    async fn tell(&self, step: Option<&Changes>) {
        let listeners = &self.follower.listeners;
        let everything = match listeners.owed() {
            true => {
                let names = self.view_shown(names_in_root).await.unwrap_or_default();
                Some(Changes::Everything { names, open: self.handles.open_inodes() })
            }
            false => None,
        };
        listeners.tell(step, everything.as_ref());
    }

    /// As [`Shared::view`], for an inode that is open: one that is gone is looked up where it was last.
    pub(crate) async fn view_held<T>(&self, ino: Ino, mut op: impl FnMut(&dyn KvRead) -> OpResult<T>) -> Result<T> {
        match self.view(&mut op).await {
            Err(error) if error.kind() == ErrorKind::Stale => match self.follower.departed(ino) {
                Some(tree) => self.view_tree(&tree, op).await,
                None => Err(error),
            },
            other => other,
        }
    }

    /// Runs a read-only operation on a tree that nobody changes.
    pub(crate) async fn view_tree<T>(&self, tree: &Tree, mut op: impl FnMut(&dyn KvRead) -> OpResult<T>) -> Result<T> {
        let mut pins = PinSet::new(Arc::clone(&self.engine.pages));
        loop {
            match op(tree) {
                Ok(value) => return Ok(value),
                Err(OpError::Fs(error)) => return Err(error),
                Err(OpError::Miss(miss)) => self.pages.load(miss, &mut pins).await?,
            }
        }
    }
}

fn names_in_root(kv: &dyn KvRead) -> OpResult<Vec<Bytes>> {
    if ops::inode::try_load(kv, Ino::ROOT)?.is_none() {
        return Ok(Vec::new());
    }
    let entries = ops::readdir_page(kv, Ino::ROOT, None, FOLLOW_NAMES_MAX, false)?;
    Ok(entries.into_iter().map(|e| Bytes::from(e.display)).collect())
}

/// Changes found so far.
#[derive(Default)]
struct Found {
    changes: BTreeSet<Change>,
    gone: BTreeSet<Ino>,
    unreadable: Option<Error>,
}

impl Found {
    /// Takes in a pair that differs.
    fn note(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        if self.changes.len() <= FOLLOW_CHANGES_MAX
            && let Err(error) = self.try_note(key, old, new)
        {
            self.unreadable.get_or_insert(error);
        }
    }

    fn try_note(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> Result<()> {
        match Key::decode(key)? {
            Key::Inode(ino) => self.note_inode(ino, old, new)?,
            Key::Xattr { ino, .. } => {
                self.changes.insert(Change::Attributes(ino));
            }
            Key::Extent { ino, .. } => {
                self.changes.insert(Change::Content(ino));
            }
            Key::Dirent { ino: parent, name } => {
                for value in [old, new].into_iter().flatten() {
                    let name = Bytes::copy_from_slice(Dirent::decode(value)?.name(&name));
                    self.changes.insert(Change::Entry { parent, name });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn note_inode(&mut self, ino: Ino, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<()> {
        let old = old.map(InodeRecord::decode).transpose()?;
        let new = new.map(InodeRecord::decode).transpose()?;
        match (old, new) {
            (Some(_), None) => {
                self.gone.insert(ino);
                self.changes.insert(Change::Content(ino));
            }
            (Some(old), Some(new)) => {
                let (old, new) = (ops::inode::attr(&old, ino), ops::inode::attr(&new, ino));
                if old.size != new.size {
                    self.changes.insert(Change::Content(ino));
                } else if old != new {
                    self.changes.insert(Change::Attributes(ino));
                }
            }
            // Nobody can remember an inode that was not there.
            (None, _) => {}
        }
        Ok(())
    }

    /// What was found; `None` if it is too much.
    fn finish(self) -> Result<Option<Difference>> {
        if let Some(error) = self.unreadable {
            return Err(error);
        }
        if self.changes.len() > FOLLOW_CHANGES_MAX {
            return Ok(None);
        }
        let content: BTreeSet<Ino> =
            self.changes.iter().filter_map(|c| if let Change::Content(ino) = c { Some(*ino) } else { None }).collect();
        let needed = |change: &Change| !matches!(change, Change::Attributes(ino) if content.contains(ino));
        let changes = self.changes.into_iter().filter(needed).collect();
        Ok(Some(Difference { changes: Changes::Listed(changes), gone: Some(self.gone) }))
    }
}
