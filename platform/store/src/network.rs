//! What whoever watches the network tells stores: connections made before a change are worth little.
//!
//! A connection whose path has gone gives no sign of it: what was sent is repeated by the kernel for minutes, and each attempt on one
//! waits for its timeout. So a change has unused connections forgotten and waits before another attempt ended; a loss also has
//! attempts under way begun anew. Beginning an attempt anew is what its timeout would do: a repeated call finds its own effects.

use std::sync::Arc;

use tokio::sync::watch;

/// The network as the stores of a process share it. Clones are the same network.
#[derive(Clone, Debug, Default)]
pub struct Network {
    changes: Arc<watch::Sender<Changes>>,
}

/// Changes so far.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    all: u64,
    losses: u64,
}

impl Network {
    /// It changed, perhaps for the better: unused connections are forgotten, and waits before another attempt end.
    pub fn changed(&self) {
        self.changes.send_modify(|c| c.all += 1);
    }

    /// What was connected is so no more (an address went, or the computer slept): attempts under way are begun anew, too.
    pub fn lost(&self) {
        self.changes.send_modify(|c| {
            c.all += 1;
            c.losses += 1;
        });
    }

    /// Number of changes, by which connections are known to be old.
    pub(crate) fn count(&self) -> u64 {
        self.changes.borrow().all
    }

    /// News from now on.
    pub(crate) fn news(&self) -> News {
        let receiver = self.changes.subscribe();
        let seen = *receiver.borrow();
        News { receiver, seen }
    }
}

/// One listener's view of the changes.
#[derive(Debug)]
pub(crate) struct News {
    receiver: watch::Receiver<Changes>,
    seen: Changes,
}

impl News {
    /// Waits for a change.
    pub(crate) async fn changed(&mut self) {
        let all = self.seen.all;
        self.wait(|c| c.all != all).await;
    }

    /// Waits for a loss.
    pub(crate) async fn lost(&mut self) {
        let losses = self.seen.losses;
        self.wait(|c| c.losses != losses).await;
    }

    async fn wait(&mut self, is_news: impl Fn(&Changes) -> bool) {
        let news = self.receiver.wait_for(|c| is_news(c)).await.map(|c| *c);
        match news {
            Ok(now) => self.seen = now,
            // Nobody is left who could tell.
            Err(_) => std::future::pending().await,
        }
    }
}
