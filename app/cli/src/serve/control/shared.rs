//! What all volumes share: queues, caches, limits.

use std::sync::Arc;

use proxyfs_control::backend::Outcome;
use proxyfs_control::types::cache::{CacheShare, Caches, DropCaches, EditCaches};
use proxyfs_control::types::names::Name;
use proxyfs_control::types::problem::Problem;
use proxyfs_control::types::queue::{EditLimits, Limits, Queue};
use proxyfs_control::types::stats::Stats;
use proxyfs_core::config::DiskBudget;
use proxyfs_core::volume::UploadStep;

use super::{Desk, answered};
use crate::failure::Failure;
use crate::serve::events::unix_now;
use crate::serve::hosted::Live;
use crate::serve::keys::{DISK_MIN, MEMORY_MIN, RATE_MIN};
use crate::serve::{answers, counts};
use crate::stats::measure::{empty, of_volume};
use crate::units::show_size;

impl Desk {
    /// The queue, with times by what this mount has sent since it began, or by the limit if that is lower.
    pub(super) async fn queue_of(&self, live: &Live) -> Queue {
        let seconds = u64::try_from(unix_now() - live.since).unwrap_or(0).max(1);
        let sent = live.counters.snapshot().put.bytes / seconds;
        let rate = match (Some(sent).filter(|rate| *rate > 0), self.0.engine.pace().upload.get()) {
            (Some(sent), Some(limit)) => Some(sent.min(limit)),
            (one, other) => one.or(other),
        };
        answers::queue(&live.volume, rate).await
    }

    /// Ends the wait of one entry: it is sent now. Nothing is dropped.
    pub(super) fn end_wait(&self, name: &Name, live: &Arc<Live>, id: u64) -> Outcome {
        let subject = format!("entry {id} of volume {name}");
        let refuse =
            |why: &str, advice: &str| answered(Err(Failure::new("cancel the wait of", subject.clone(), why, advice)));
        let Some(segment) = answers::queued(&live.volume, id) else {
            return refuse("there is no such entry; it may be in the store by now", "look at the queue");
        };
        if live.volume.release_upload(segment.id) {
            live.volume.retry_now();
            return Ok(());
        }
        match segment.step {
            UploadStep::Retrying => {
                live.volume.retry_now();
                Ok(())
            }
            UploadStep::Open => refuse("it still takes data and waits for nothing", "flush the volume to send it now"),
            UploadStep::Sealed | UploadStep::Uploading => refuse("it is on its way", "wait for it"),
            UploadStep::Done => refuse("it is in the store", "nothing is left to do"),
        }
    }

    /// Numbers of all volumes.
    pub(super) fn stats_now(&self) -> Stats {
        let volumes = self.0.all().into_iter().map(|hosted| {
            let (live, usage) = (hosted.live(), self.0.counts_of(&hosted));
            let place = live.as_ref().map(|live| live.mount_point().display().to_string());
            let state = answers::state_of(&hosted.current());
            of_volume(&hosted.name, state, place, live.as_ref().map(|live| &live.volume), &usage)
        });
        Stats {
            volumes: volumes.collect(),
            cost: counts::requests(&self.0).cost,
            problems: self.0.book.lock().all(),
            ..empty(self.0.started, self.0.engine.memory_budget())
        }
    }

    pub(super) fn caches_now(&self) -> Caches {
        let mut volumes = Vec::new();
        let (mut dirty, mut staged) = (0, 0);
        for hosted in self.0.all() {
            let Some(live) = hosted.live() else { continue };
            let status = live.volume.status();
            dirty += status.dirty_metadata_bytes;
            staged += status.staged_bytes;
            volumes.push(CacheShare {
                volume: hosted.name.clone(),
                weight: live.volume.read_cache_weight(),
                memory_used: status.data_cache_bytes,
                disk_used: status.disk_cache_bytes,
            });
        }
        let engine = &self.0.engine;
        let disk_cached: u64 = volumes.iter().map(|v| v.disk_used).sum();
        Caches {
            memory_budget: engine.memory_budget(),
            memory_used: engine.cached_bytes() + dirty,
            disk_budget: engine.disk_budget().map_or(0, |b| b.staging + b.cache),
            disk_used: staged + disk_cached,
            volumes,
        }
    }

    /// Changes budgets until the daemon ends or reads its configuration anew.
    pub(super) fn change_caches(&self, edit: &EditCaches) -> Outcome<Caches> {
        let invalid = |why: String| Problem::invalid("the request's body", why);
        for (bytes, least, name) in
            [(edit.memory_budget, MEMORY_MIN, "memory_budget"), (edit.disk_budget, DISK_MIN, "disk_budget")]
        {
            if bytes.is_some_and(|bytes| bytes < least) {
                return Err(invalid(format!("{name} is too small; the least is {}", show_size(least))));
            }
        }
        let mut weighted = Vec::new();
        for (name, weight) in &edit.weights {
            if !(1..=1000).contains(weight) {
                return Err(invalid(format!("the weight of {name} is not from 1 to 1000")));
            }
            let found = answered(self.0.find(name))?.ok_or_else(|| Problem::no_volume(name))?;
            weighted.push((found, *weight));
        }
        let engine = &self.0.engine;
        if let Some(bytes) = edit.memory_budget {
            engine.set_memory_budget(bytes);
        }
        if let Some(bytes) = edit.disk_budget {
            let cache = self.0.config().cache.disk_cache.min(bytes / 2);
            engine.set_disk_budget(DiskBudget { staging: bytes - cache, cache });
        }
        for (hosted, weight) in weighted {
            if let Some(live) = hosted.live() {
                live.volume.set_read_cache_weight(weight);
            }
        }
        Ok(self.caches_now())
    }

    pub(super) async fn empty_caches(&self, which: DropCaches) -> Outcome<Caches> {
        let lives: Vec<Arc<Live>> = match which.volume {
            Some(name) => vec![self.live(&name, "drop the caches of")?],
            None => self.0.all().iter().filter_map(|hosted| hosted.live()).collect(),
        };
        let dropped = tokio::task::spawn_blocking(move || lives.iter().for_each(|l| l.volume.drop_all_caches())).await;
        if let Err(e) = dropped {
            tracing::error!("dropping caches failed: {e}");
        }
        Ok(self.caches_now())
    }

    /// Changes limits until the daemon ends or reads its configuration anew.
    pub(super) fn change_limits(&self, edit: EditLimits) -> Outcome<Limits> {
        let pace = self.0.engine.pace();
        if [edit.upload, edit.download].iter().any(|l| l.flatten().is_some_and(|rate| rate < RATE_MIN)) {
            let why = format!(
                "a limit is at least {} a second; null lifts it, and a pause holds uploads",
                show_size(RATE_MIN)
            );
            return Err(Problem::invalid("the request's body", why));
        }
        for (limit, wanted) in [(&pace.upload, edit.upload), (&pace.download, edit.download)] {
            if let Some(rate) = wanted {
                limit.set(rate);
            }
        }
        Ok(Limits { upload: pace.upload.get(), download: pace.download.get() })
    }
}
