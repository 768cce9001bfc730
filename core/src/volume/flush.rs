//! Group flush: makes everything written so far durable on the local disk, once for all who wait.
//!
//! Owns "durable up to LSN n". Runs each flush as a task of its own, so that a caller that goes away cannot stop it half-way.
//! A failed flush is final: the kernel may have dropped the bytes, so the log is marked unusable.

use std::io;
use std::sync::Arc;

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::env::LocalDir;
use crate::error::{Error, ErrorKind, Result};
use crate::meter::Histogram;
use crate::types::Lsn;
use crate::volume::log::{LOG_DIR, LocalLog};
use crate::volume::staging::{STAGE_DIR, Staging};

struct Inner {
    durable: Lsn,
    busy: bool,
    failed: Option<String>,
}

/// The group flush of one volume.
pub(crate) struct Flusher {
    dir: Arc<dyn LocalDir>,
    log: Arc<LocalLog>,
    staging: Arc<Staging>,
    inner: Mutex<Inner>,
    progress: Notify,
    /// How long flushes to the disk took.
    pub(crate) timings: Histogram,
}

impl Flusher {
    pub(crate) fn new(dir: Arc<dyn LocalDir>, log: Arc<LocalLog>, staging: Arc<Staging>, durable: Lsn) -> Self {
        let inner = Mutex::new(Inner { durable, busy: false, failed: None });
        Self { dir, log, staging, inner, progress: Notify::new(), timings: Histogram::default() }
    }

    /// Returns once record `lsn`, all records before it and the staged bytes they name survive a power loss.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the disk failed.
    pub(crate) async fn durable(self: &Arc<Self>, lsn: Lsn) -> Result<()> {
        self.log.wait_written(lsn).await?;
        loop {
            let notified = self.progress.notified();
            {
                let mut inner = self.inner.lock();
                if inner.durable >= lsn {
                    return Ok(());
                }
                if let Some(why) = &inner.failed {
                    return Err(Error::new(ErrorKind::Io, format!("cannot flush to the local disk: {why}")));
                }
                if !inner.busy {
                    inner.busy = true;
                    tokio::spawn(Arc::clone(self).run());
                }
            }
            notified.await;
        }
    }

    /// The newest LSN known to survive a power loss.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.inner.lock().durable
    }

    async fn run(self: Arc<Self>) {
        let begun = Instant::now();
        let outcome = self.flush().await;
        self.timings.note(begun.elapsed());
        {
            let mut inner = self.inner.lock();
            inner.busy = false;
            match outcome {
                Ok(lsn) => inner.durable = inner.durable.max(lsn),
                Err(e) => {
                    self.log.fail(&format!("a flush failed: {e}"));
                    inner.failed = Some(e.to_string());
                }
            }
        }
        self.progress.notify_waiters();
    }

    async fn flush(&self) -> io::Result<Lsn> {
        // Bytes are staged before their record is written, so that the log comes first here.
        let log = self.log.take_unsynced();
        let (staged, stage_names) = self.staging.take_unsynced();
        let mut waits: Vec<_> = staged.iter().chain(&log.files).map(|f| f.sync_data()).collect();
        if stage_names {
            waits.push(self.dir.sync_dir(STAGE_DIR));
        }
        if log.new_names {
            waits.push(self.dir.sync_dir(LOG_DIR));
        }
        try_join_all(waits).await?;
        Ok(log.written)
    }
}
