//! What changed in a file system behind its users' backs, for those who remember something of it.
//!
//! Owns the vocabulary between a read-only follower, which moves from one checkpoint to the next, and its adapters, whose kernels
//! cache names, attributes and pages. Bounded: a listener that does not keep up, and a change that is too large to be listed, get
//! [`Changes::Everything`]. Does not know how changes are found.

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::types::Ino;

/// Steps from one checkpoint to the next that wait for a listener, at most.
const STEPS_MAX: usize = 16;

/// One thing that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// What a name in a directory is, or whether it is there.
    Entry {
        /// The directory.
        parent: Ino,
        /// The name.
        name: Bytes,
    },
    /// Attributes or extended attributes of an inode; not its content.
    Attributes(Ino),
    /// The content of an inode, and perhaps its attributes; also that it is gone.
    Content(Ino),
}

/// What changed in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These, and nothing else.
    Listed(Vec<Change>),
    /// Perhaps everything. What lies below the root is reached through `names`, and open files through `open`.
    Everything {
        /// Names in the root directory, those that are gone included, as far as they are known.
        names: Vec<Bytes>,
        /// Inodes that are open.
        open: Vec<Ino>,
    },
}

/// Where a listener learns of changes, in order. Each step is sent after it can be seen by operations.
#[derive(Debug)]
pub struct ChangeFeed {
    receiver: mpsc::Receiver<Changes>,
}

impl ChangeFeed {
    /// The next step; `None` when the file system is closed. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Changes> {
        self.receiver.recv().await
    }
}

/// A listener, as its speaker sees it.
#[derive(Debug)]
struct Listener {
    sender: mpsc::Sender<Changes>,
    /// Whether a step could not be sent: the next one is everything.
    missed: bool,
}

/// All listeners of one file system.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    inner: Mutex<Vec<Listener>>,
}

impl Listeners {
    /// Adds a listener.
    pub(crate) fn subscribe(&self) -> ChangeFeed {
        let (sender, receiver) = mpsc::channel(STEPS_MAX);
        self.inner.lock().push(Listener { sender, missed: false });
        ChangeFeed { receiver }
    }

    /// Whether a listener has missed a step and has room again.
    pub(crate) fn owed(&self) -> bool {
        self.inner.lock().iter().any(|l| l.missed && l.sender.capacity() > 0)
    }

    /// Tells all listeners; those that have missed a step are told `everything` instead, as soon as there is room. Never waits.
    pub(crate) fn tell(&self, step: Option<&Changes>, everything: Option<&Changes>) {
        self.inner.lock().retain_mut(|listener| {
            let Some(changes) = (if listener.missed { everything } else { step }) else {
                return !listener.sender.is_closed();
            };
            match listener.sender.try_send(changes.clone()) {
                Ok(()) => listener.missed = false,
                Err(TrySendError::Full(_)) => listener.missed = true,
                Err(TrySendError::Closed(_)) => return false,
            }
            true
        });
    }

    /// Ends all feeds.
    pub(crate) fn close(&self) {
        self.inner.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Changes {
        Changes::Everything { names: Vec::new(), open: Vec::new() }
    }

    #[test]
    fn a_listener_that_missed_a_step_is_told_everything_once_it_has_room() {
        let listeners = Listeners::default();
        let mut feed = listeners.subscribe();
        let step = |n| Changes::Listed(vec![Change::Attributes(Ino(n))]);
        for n in 0..=STEPS_MAX as u64 {
            listeners.tell(Some(&step(n)), None);
        }
        assert!(!listeners.owed(), "there is no room yet");
        assert_eq!(feed.receiver.try_recv().expect("the oldest"), step(0));
        assert!(listeners.owed());
        listeners.tell(None, Some(&everything()));
        assert!(!listeners.owed());
        for n in 1..STEPS_MAX as u64 {
            assert_eq!(feed.receiver.try_recv().expect("a step"), step(n));
        }
        assert_eq!(feed.receiver.try_recv().expect("the rest"), everything());
        assert!(feed.receiver.try_recv().is_err(), "nothing else");
    }

    #[test]
    fn a_listener_that_went_away_is_forgotten() {
        let listeners = Listeners::default();
        drop(listeners.subscribe());
        listeners.tell(Some(&everything()), None);
        assert!(listeners.inner.lock().is_empty());
    }
}
