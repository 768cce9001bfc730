//! The volume's background loops.
//!
//! Owns when things happen: the checkpoint interval, the age at which segments are sealed, the flush that is kept in flight,
//! the reaping of orphans. What happens is elsewhere. Every loop ends when the volume stops. With nothing dirty none of them
//! sends a request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{ErrorKind, Result};
use crate::format::keys::{intent_key, intent_range, pending_delete_key};
use crate::format::{Key, ObjectKind, PendingDelete};
use crate::fs::Caller;
use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX, REAP_EXTENTS_MAX};
use crate::ops::{self, ReapProgress};
use crate::types::{Ino, ObjectId};
use crate::volume::checkpoint::Publisher;
use crate::volume::fenced::Remains;
use crate::volume::{Shared, Volume};

/// Orphans looked up at a time at mount.
const ORPHANS_PER_STEP: usize = 256;

impl Shared {
    /// Takes checkpoints at the interval and on request.
    pub(crate) async fn checkpoint_loop(self: Arc<Self>, mut publisher: Publisher) {
        let mut backoff = BACKOFF_FIRST;
        loop {
            let wake = self.checkpoints.wake.notified();
            tokio::pin!(wake);
            wake.as_mut().enable();
            let (forced, wish, waiters) = self.checkpoints.take();
            if !forced {
                let stopped = self.stop.notified();
                if self.is_stopping() {
                    return;
                }
                tokio::select! {
                    () = wake => continue,
                    () = tokio::time::sleep(self.options.checkpoint_interval) => {}
                    () = stopped => continue,
                }
                if !self.is_dirty(&publisher) {
                    continue;
                }
            }
            let outcome = self.checkpoint(&mut publisher, wish).await;
            if outcome.is_ok() && self.is_claimed() {
                self.opened.send_replace(true);
            }
            let failed = outcome.as_ref().err().map(crate::error::Error::kind);
            if let Err(error) = &outcome {
                self.checkpoints.meter.failures.fetch_add(1, Ordering::Relaxed);
                self.problem(error);
            }
            for waiter in waiters {
                let _ = waiter
                    .send(outcome.as_ref().copied().map_err(|e| crate::error::Error::new(e.kind(), e.to_string())));
            }
            match failed {
                None => backoff = BACKOFF_FIRST,
                Some(ErrorKind::Interrupted) if self.is_stopping() => return,
                Some(_) => {
                    let stopped = self.stop.notified();
                    if self.is_stopping() {
                        return;
                    }
                    tokio::select! { () = tokio::time::sleep(backoff) => {}, () = stopped => {} }
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    fn is_dirty(&self, publisher: &Publisher) -> bool {
        let state = self.state.read();
        state.halted.is_none()
            && !self.options.read_only
            && (state.dirty_lsn > publisher.head.lsn
                || !state.subtree.is_empty()
                || publisher.head.flags.claim
                || !self.is_claimed())
    }

    /// Seals open segments that have reached their age.
    pub(crate) async fn seal_loop(self: Arc<Self>) {
        let age = self.options.max_flush_time;
        while !self.is_stopping() {
            let now = tokio::time::Instant::now();
            let next = match self.staging.oldest_open() {
                Some(opened) => opened + age,
                None => now + age,
            };
            let stopped = self.stop.notified();
            if self.is_stopping() {
                return;
            }
            tokio::select! { () = tokio::time::sleep_until(next.max(now)) => {}, () = stopped => {} }
            if let Some(limit) = tokio::time::Instant::now().checked_sub(age) {
                self.staging.seal_older(limit);
            }
        }
    }

    /// Keeps one flush to the local disk in flight whenever records are pending.
    pub(crate) async fn flush_loop(self: Arc<Self>) {
        while !self.is_stopping() {
            let written = self.log.wait_beyond(self.flusher.durable_lsn()).await;
            if self.is_stopping() {
                return;
            }
            if let Err(error) = self.flusher.durable(written).await {
                self.halt(error.kind(), error.to_string());
                return;
            }
        }
    }

    /// Finishes the removal of inodes that had no name when the volume was last closed or killed.
    pub(crate) async fn reap_all(self: Arc<Self>) {
        let mut after = Ino(0);
        while !self.is_stopping() {
            let Ok(orphans) = self.view(|kv| ops::orphans(kv, after, ORPHANS_PER_STEP)).await else { return };
            let Some(last) = orphans.last() else { return };
            after = *last;
            for ino in orphans {
                if let Err(error) = self.reap(ino).await {
                    tracing::debug!("cannot reap inode {ino} now: {error}");
                    return;
                }
            }
        }
    }

    /// Hands over what a lost term left on this host, if anything.
    pub(crate) async fn hand_over_loop(self: Arc<Self>) {
        let mut backoff = BACKOFF_FIRST;
        if Remains::list(&*self.env.dir).is_ok_and(|left| left.is_empty()) || !self.wait_claimed().await {
            return;
        }
        let volume = Volume { shared: Arc::clone(&self) };
        while let Err(error) = volume.recover_fenced().await {
            if self.is_stopping() || self.check_writable().is_err() {
                return;
            }
            tracing::warn!(volume = %self.meta.name, "what a lost term left stays in the state directory for now: {error}");
            if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NoSpace) {
                return;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Removes an inode without names unless it is open.
    pub(crate) async fn reap(&self, ino: Ino) -> Result<()> {
        loop {
            let step = self.transact(Caller::default(), &[], |tx, cx, _| {
                if self.handles.is_held(ino) {
                    return Ok(ReapProgress::Done);
                }
                ops::reap_step(tx, cx, ino, REAP_EXTENTS_MAX)
            });
            if step.await? == ReapProgress::Done {
                return Ok(());
            }
        }
    }

    /// Turns the intents left by a crash into deletions: what they name is not referenced.
    pub(crate) async fn settle_intents(&self, publisher: &mut Publisher) -> Result<()> {
        let mut left: Vec<(ObjectKind, ObjectId)> = Vec::new();
        self.view(|kv| {
            left.clear();
            let (from, to) = intent_range();
            Ok(kv.scan(&from, &to, &mut |key, _| {
                if let Ok(Key::Intent { kind, object }) = Key::decode(key) {
                    left.push((kind, object));
                }
                std::ops::ControlFlow::Continue(())
            })?)
        })
        .await?;
        if left.is_empty() {
            return Ok(());
        }
        let now = self.env.clock.now().secs;
        for (_, object) in left.iter().filter(|(kind, _)| *kind == ObjectKind::Meta) {
            if !publisher.knows_meta(*object) {
                publisher.add_leaked_meta(*object, now);
            }
        }
        let lsn = self.state.read().next_lsn;
        let ((), lsn) = self
            .housekeep_queued(|tx| {
                for &(kind, object) in &left {
                    tx.delete(intent_key(kind, object));
                    if kind == ObjectKind::Data {
                        let pending = PendingDelete { died_lsn: lsn, died_secs: now, stored_len: 0 };
                        tx.put(pending_delete_key(kind, object), pending.encode());
                    }
                }
                Ok(())
            })
            .await?;
        self.logged(lsn).await
    }
}
