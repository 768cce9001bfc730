//! What a daemon does for each request: the seam between this crate and whoever hosts volumes.
//!
//! Arguments arrive checked as far as their types say. Each call runs as a task of its own, so it goes on to its end although
//! the caller hangs up. No answer may hold a secret.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::ring::Ring;
use crate::types::cache::{Caches, DropCaches, EditCaches};
use crate::types::credential::{CredentialInfo, StoreCredentials, TestCredentials};
use crate::types::daemon::{Alive, Readiness, Version};
use crate::types::event::News;
use crate::types::logs::LogLine;
use crate::types::names::Name;
use crate::types::problem::{LastingProblem, Problem};
use crate::types::queue::{EditLimits, Limits, Queue};
use crate::types::stats::Stats;
use crate::types::store_requests::StoreRequests;
use crate::types::volume::{
    Applied, Checkpointed, ConnectionReport, CreateVolume, Deleted, EditVolume, Mount, Mounted, RecentFile,
    TestConnection, Unmount, Unmounted, VolumeDetail, VolumeSummary,
};

/// What a call gives.
pub type Outcome<T = ()> = Result<T, Problem>;

/// Progress lines that wait for a slow reader; further ones are dropped.
const PROGRESS_LINES_MAX: usize = 64;

/// Takes sentences for people on how the work goes on. Nobody need listen.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<mpsc::Sender<String>>);

impl Progress {
    /// One that is listened to.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel(PROGRESS_LINES_MAX);
        (Self(Some(sender)), receiver)
    }

    /// Says how it goes. Never waits; a line that finds no room is dropped.
    pub fn say(&self, line: impl Into<String>) {
        if let Some(sender) = &self.0 {
            let _dropped = sender.try_send(line.into()).is_err();
        }
    }
}

/// A daemon.
///
/// # Errors
/// Every call fails with a [`Problem`] that names what, on what, why, and what to do; its kind decides the HTTP status. A volume or
/// credentials that are not known are `NotFound`; what makes sense but not now is `Conflict`.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// What happens, for whoever follows.
    fn events(&self) -> Arc<Ring<News>>;
    /// The newest lines of the log.
    fn logs(&self) -> Arc<Ring<LogLine>>;

    /// Who answers.
    async fn version(&self) -> Outcome<Version>;
    /// Whether anything is stuck. Answers within a few seconds whatever is.
    async fn health(&self) -> Outcome<Alive>;
    /// Whether every configured mount answers.
    async fn ready(&self) -> Outcome<Readiness>;
    /// All volumes, by name.
    async fn volumes(&self) -> Outcome<Vec<VolumeSummary>>;
    /// One volume.
    async fn volume(&self, name: Name) -> Outcome<VolumeDetail>;
    /// Creates a volume in its store and registers it.
    async fn create(&self, volume: CreateVolume, progress: Progress) -> Outcome<VolumeDetail>;
    /// Tries a store.
    async fn test_connection(&self, test: TestConnection) -> Outcome<ConnectionReport>;
    /// Changes settings.
    async fn edit(&self, name: Name, edit: EditVolume) -> Outcome<Applied>;
    /// Forgets a volume; its objects stay.
    async fn forget(&self, name: Name) -> Outcome<Deleted>;
    /// Deletes a volume's objects, then forgets it. The caller has confirmed it by its name.
    async fn delete_data(&self, name: Name, progress: Progress) -> Outcome<Deleted>;
    /// Mounts; returns once the mount answers.
    async fn mount(&self, name: Name, mount: Mount, progress: Progress) -> Outcome<Mounted>;
    /// Unmounts and brings everything into the store, or says what stays staged.
    async fn unmount(&self, name: Name, unmount: Unmount, progress: Progress) -> Outcome<Unmounted>;
    /// Brings everything into the store.
    async fn flush(&self, name: Name, progress: Progress) -> Outcome<VolumeDetail>;
    /// Writes a checkpoint.
    async fn checkpoint(&self, name: Name, progress: Progress) -> Outcome<Checkpointed>;
    /// Gives the volume up, so that another machine may mount it.
    async fn release(&self, name: Name, progress: Progress) -> Outcome<VolumeDetail>;
    /// Takes the volume from its owner. The caller has confirmed it by its name.
    async fn take_over(&self, name: Name, progress: Progress) -> Outcome<VolumeDetail>;

    /// What is on its way to the store.
    async fn queue(&self, name: Name) -> Outcome<Queue>;
    /// Holds uploads.
    async fn queue_pause(&self, name: Name) -> Outcome<Queue>;
    /// Lets them go on.
    async fn queue_resume(&self, name: Name) -> Outcome<Queue>;
    /// Tries again now what waits to be tried again.
    async fn queue_retry(&self, name: Name) -> Outcome<Queue>;
    /// Cancels the waiting of a paused or retrying entry. Data is never dropped; what may not be cancelled is a `Conflict`.
    async fn queue_cancel(&self, name: Name, id: u64) -> Outcome<Queue>;
    /// Files of late, newest first.
    async fn recent(&self, name: Name) -> Outcome<Vec<RecentFile>>;

    /// Budgets and use.
    async fn caches(&self) -> Outcome<Caches>;
    /// Changes budgets.
    async fn edit_caches(&self, edit: EditCaches) -> Outcome<Caches>;
    /// Drops what is cached.
    async fn drop_caches(&self, which: DropCaches) -> Outcome<Caches>;
    /// What is wrong and lasts, oldest first.
    async fn problems(&self) -> Outcome<Vec<LastingProblem>>;
    /// Requests to stores since the start.
    async fn store_requests(&self) -> Outcome<StoreRequests>;
    /// Numbers of all volumes.
    async fn stats(&self) -> Outcome<Stats>;
    /// Prometheus text.
    async fn metrics(&self) -> Outcome<String>;
    /// Reads the configuration anew.
    async fn reload(&self) -> Outcome<Applied>;
    /// Holds the uploads of all volumes.
    async fn pause(&self) -> Outcome;
    /// Lets them go on.
    async fn resume(&self) -> Outcome;
    /// Changes limits of transfer.
    async fn edit_limits(&self, edit: EditLimits) -> Outcome<Limits>;

    /// All credentials that are known by name.
    async fn credentials(&self) -> Outcome<Vec<CredentialInfo>>;
    /// One of them.
    async fn credential(&self, name: Name) -> Outcome<CredentialInfo>;
    /// Sets credentials, also over old ones.
    async fn set_credential(&self, name: Name, credential: StoreCredentials) -> Outcome<CredentialInfo>;
    /// Deletes credentials.
    async fn delete_credential(&self, name: Name) -> Outcome;
    /// Tries credentials on a store.
    async fn test_credential(&self, name: Name, test: TestCredentials) -> Outcome<ConnectionReport>;
}
