//! What the control interface asks, done by the host.

mod credentials;
mod shared;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proxyfs_control::backend::{Control, Outcome, Progress};
use proxyfs_control::ring::Ring;
use proxyfs_control::types::cache::{Caches, DropCaches, EditCaches};
use proxyfs_control::types::credential::{CredentialInfo, StoreCredentials, TestCredentials};
use proxyfs_control::types::daemon::{Alive, NotReady, Readiness, Version};
use proxyfs_control::types::event::News;
use proxyfs_control::types::logs::LogLine;
use proxyfs_control::types::names::Name;
use proxyfs_control::types::problem::{LastingProblem, Problem};
use proxyfs_control::types::queue::{EditLimits, Limits, Queue};
use proxyfs_control::types::stats::Stats;
use proxyfs_control::types::store_requests::StoreRequests;
use proxyfs_control::types::volume::{
    Applied, Checkpointed, ConnectionReport, CreateVolume, Deleted, EditVolume, Mount, Mounted, RecentFile,
    TestConnection, Unmount, Unmounted, VolumeDetail, VolumeSummary,
};

use crate::failure;
use crate::serve::host::Host;
use crate::serve::hosted::{Current, Hosted, Live};
use crate::serve::{answers, counts, health, metrics};
use crate::session::answers as mount_answers;

/// How long a mount may take to answer before it counts as not ready.
const READY_PATIENCE: Duration = Duration::from_secs(2);

/// The host as the control interface sees it.
#[derive(Debug)]
pub(crate) struct Desk(pub(crate) Arc<Host>);

/// An outcome of this program as an answer.
fn answered<T>(outcome: failure::Outcome<T>) -> Outcome<T> {
    outcome.map_err(answers::problem)
}

impl Desk {
    fn hosted(&self, name: &Name) -> Outcome<Arc<Hosted>> {
        answered(self.0.find(name.as_str()))?.ok_or_else(|| Problem::no_volume(name.as_str()))
    }

    fn live(&self, name: &Name, action: &str) -> Outcome<Arc<Live>> {
        self.hosted(name)?;
        answered(self.0.mounted(name.as_str(), action))
    }

    fn detail(&self, hosted: &Hosted) -> VolumeDetail {
        answers::detail(&self.0, hosted)
    }

    /// Why a mount that should answer does not.
    async fn not_ready(hosted: &Hosted) -> Option<NotReady> {
        let wanted = hosted.wanted().mount?;
        let why = match hosted.current() {
            Current::Mounted(live) => match live.volume.status().halted {
                Some(why) => why,
                None if live.mounted.is_poisoned() => {
                    "the program met a defect of its own and takes no more changes".to_owned()
                }
                None => mount_answers(live.mount_point(), READY_PATIENCE).await.err()?.why,
            },
            Current::Idle => "it was unmounted".to_owned(),
            Current::Opening(None) => "it is being opened".to_owned(),
            Current::Opening(Some(failure)) | Current::Failed(failure) => failure.why,
        };
        let mount_point = wanted.mount_point.display().to_string();
        Some(NotReady { volume: hosted.name.clone(), mount_point, why })
    }
}

#[async_trait]
impl Control for Desk {
    fn events(&self) -> Arc<Ring<News>> {
        Arc::clone(&self.0.events)
    }

    fn logs(&self) -> Arc<Ring<LogLine>> {
        Arc::clone(&self.0.logs)
    }

    async fn version(&self) -> Outcome<Version> {
        Ok(Version {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.0.started,
            config: Some(&self.0.config_file).filter(|f| f.exists()).map(|f| f.display().to_string()),
        })
    }

    async fn health(&self) -> Outcome<Alive> {
        Ok(health::look(&self.0).await)
    }

    async fn ready(&self) -> Outcome<Readiness> {
        let mut waiting = Vec::new();
        for hosted in self.0.all() {
            waiting.extend(Self::not_ready(&hosted).await);
        }
        Ok(Readiness { ready: waiting.is_empty(), waiting })
    }

    async fn volumes(&self) -> Outcome<Vec<VolumeSummary>> {
        Ok(answered(self.0.all_now())?.iter().map(|hosted| answers::summary(hosted)).collect())
    }

    async fn volume(&self, name: Name) -> Outcome<VolumeDetail> {
        Ok(self.detail(&*self.hosted(&name)?))
    }

    async fn create(&self, volume: CreateVolume, progress: Progress) -> Outcome<VolumeDetail> {
        self.create_volume(volume, &progress).await
    }

    async fn test_connection(&self, test: TestConnection) -> Outcome<ConnectionReport> {
        self.try_store(test).await
    }

    async fn edit(&self, name: Name, edit: EditVolume) -> Outcome<Applied> {
        self.edit_volume(&name, edit)
    }

    async fn forget(&self, name: Name) -> Outcome<Deleted> {
        self.forget_volume(&name).await
    }

    async fn delete_data(&self, name: Name, progress: Progress) -> Outcome<Deleted> {
        self.delete_volume(&name, &progress).await
    }

    async fn mount(&self, name: Name, mount: Mount, progress: Progress) -> Outcome<Mounted> {
        self.mount_volume(&name, mount, &progress).await
    }

    async fn unmount(&self, name: Name, unmount: Unmount, progress: Progress) -> Outcome<Unmounted> {
        self.hosted(&name)?;
        let ended = self.0.unmount(name.as_str(), unmount.force, &|line| progress.say(line)).await;
        let ended = answered(ended)?;
        Ok(Unmounted {
            unmounted: ended.unmounted.display().to_string(),
            in_store: ended.in_store,
            waiting_bytes: ended.waiting_bytes,
            was_busy: ended.was_busy,
            process_ends: false,
        })
    }

    async fn flush(&self, name: Name, _: Progress) -> Outcome<VolumeDetail> {
        let hosted = self.hosted(&name)?;
        answered(self.0.flush(name.as_str(), &|_| {}).await)?;
        Ok(self.detail(&hosted))
    }

    async fn checkpoint(&self, name: Name, _: Progress) -> Outcome<Checkpointed> {
        let hosted = self.hosted(&name)?;
        let (_, lsn) = answered(self.0.checkpoint(name.as_str()).await)?;
        Ok(Checkpointed { lsn, volume: self.detail(&hosted) })
    }

    async fn release(&self, name: Name, progress: Progress) -> Outcome<VolumeDetail> {
        self.release_volume(&name, &progress).await
    }

    async fn take_over(&self, name: Name, progress: Progress) -> Outcome<VolumeDetail> {
        self.take_volume(&name, &progress).await
    }

    async fn queue(&self, name: Name) -> Outcome<Queue> {
        let live = self.live(&name, "look at the queue of")?;
        Ok(self.queue_of(&live).await)
    }

    async fn queue_pause(&self, name: Name) -> Outcome<Queue> {
        let live = self.live(&name, "hold the uploads of")?;
        live.volume.hold_uploads(true);
        Ok(self.queue_of(&live).await)
    }

    async fn queue_resume(&self, name: Name) -> Outcome<Queue> {
        let live = self.live(&name, "resume the uploads of")?;
        live.volume.hold_uploads(false);
        Ok(self.queue_of(&live).await)
    }

    async fn queue_retry(&self, name: Name) -> Outcome<Queue> {
        let hosted = self.hosted(&name)?;
        hosted.nudge();
        let live = self.live(&name, "retry the uploads of")?;
        live.volume.retry_now();
        Ok(self.queue_of(&live).await)
    }

    async fn queue_cancel(&self, name: Name, id: u64) -> Outcome<Queue> {
        let live = self.live(&name, "cancel the waiting in the queue of")?;
        self.end_wait(&name, &live, id)?;
        Ok(self.queue_of(&live).await)
    }

    async fn recent(&self, name: Name) -> Outcome<Vec<RecentFile>> {
        let live = self.live(&name, "look at files of")?;
        Ok(answers::recent(&live.volume).await)
    }

    async fn caches(&self) -> Outcome<Caches> {
        Ok(self.caches_now())
    }

    async fn edit_caches(&self, edit: EditCaches) -> Outcome<Caches> {
        self.change_caches(&edit)
    }

    async fn drop_caches(&self, which: DropCaches) -> Outcome<Caches> {
        self.empty_caches(which).await
    }

    async fn problems(&self) -> Outcome<Vec<LastingProblem>> {
        Ok(self.0.book.lock().all())
    }

    async fn store_requests(&self) -> Outcome<StoreRequests> {
        Ok(counts::requests(&self.0))
    }

    async fn stats(&self) -> Outcome<Stats> {
        Ok(self.stats_now())
    }

    async fn metrics(&self) -> Outcome<String> {
        Ok(metrics::text(&self.0))
    }

    async fn reload(&self) -> Outcome<Applied> {
        answered(self.0.reload().await)
    }

    async fn pause(&self) -> Outcome {
        self.0.hold_uploads(true);
        Ok(())
    }

    async fn resume(&self) -> Outcome {
        self.0.hold_uploads(false);
        Ok(())
    }

    async fn edit_limits(&self, edit: EditLimits) -> Outcome<Limits> {
        self.change_limits(edit)
    }

    async fn credentials(&self) -> Outcome<Vec<CredentialInfo>> {
        self.list_credentials().await
    }

    async fn credential(&self, name: Name) -> Outcome<CredentialInfo> {
        self.show_credential(&name).await
    }

    async fn set_credential(&self, name: Name, credential: StoreCredentials) -> Outcome<CredentialInfo> {
        self.store_credential(&name, credential).await
    }

    async fn delete_credential(&self, name: Name) -> Outcome {
        self.remove_credential(&name).await
    }

    async fn test_credential(&self, name: Name, test: TestCredentials) -> Outcome<ConnectionReport> {
        self.try_credential(&name, &test).await
    }
}
