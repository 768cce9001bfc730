//! One method for each thing that can be asked.
//!
//! # Errors
//! Every call fails with [`CallError`](super::CallError): what the daemon says, or that it cannot be reached.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Body, CallError, Client, Outcome, decoded, refused, whole};
use crate::secret::Secret;
use crate::types::cache::{Caches, DropCaches, EditCaches};
use crate::types::credential::{CredentialInfo, StoreCredentials, TestCredentials};
use crate::types::daemon::{Alive, Readiness, Version};
use crate::types::logs::{Level, Logs};
use crate::types::names::Name;
use crate::types::problem::Problems;
use crate::types::queue::{EditLimits, Limits, Paused, Queue};
use crate::types::stats::Stats;
use crate::types::store_requests::StoreRequests;
use crate::types::volume::{
    Applied, Checkpointed, ConnectionReport, CreateVolume, Deleted, EditVolume, Mount, Mounted, Recent, TestConnection,
    Unmount, Unmounted, VolumeDetail, Volumes,
};

fn volume(name: &Name, rest: &str) -> String {
    // A name has no letter that a path would need to escape.
    format!("/v1/volumes/{name}{rest}")
}

impl Client {
    /// Who answers.
    pub async fn version(&self) -> Outcome<Version> {
        self.get("/v1/version").await
    }

    /// Whether every configured mount answers.
    pub async fn ready(&self) -> Outcome<Readiness> {
        let (response, _alive) = self.request(Method::GET, "/v1/ready", None, &[]).await?;
        match response.status() {
            // Both statuses carry the same body, unless the daemon itself is in trouble.
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => decoded(&whole(response).await?),
            _ => Err(refused(response).await),
        }
    }

    /// Whether anything is stuck.
    pub async fn health(&self) -> Outcome<Alive> {
        let (response, _alive) = self.request(Method::GET, "/v1/health", None, &[]).await?;
        match response.status() {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => decoded(&whole(response).await?),
            _ => Err(refused(response).await),
        }
    }

    /// The OpenAPI document.
    pub async fn openapi(&self) -> Outcome<Value> {
        self.get("/v1/openapi.json").await
    }

    /// All volumes.
    pub async fn volumes(&self) -> Outcome<Volumes> {
        self.get("/v1/volumes").await
    }

    /// One volume.
    pub async fn volume(&self, name: &Name) -> Outcome<VolumeDetail> {
        self.get(&volume(name, "")).await
    }

    /// Creates a volume.
    pub async fn create(&self, create: &CreateVolume, progress: impl FnMut(&str)) -> Outcome<VolumeDetail> {
        Ok(self.work(Method::POST, "/v1/volumes", Body::json(create)?, progress).await?.0)
    }

    /// Tries a store.
    pub async fn test_connection(&self, test: &TestConnection) -> Outcome<ConnectionReport> {
        let mut body = json!({ "store": test.store, "credentials": test.credentials });
        if let Some(credentials) = &test.with {
            body["with"] = exposed(credentials);
        }
        self.call(Method::POST, "/v1/volumes/test-connection", Body::value(&body)?).await
    }

    /// Changes settings.
    pub async fn edit(&self, name: &Name, edit: &EditVolume) -> Outcome<Applied> {
        self.call(Method::PATCH, &volume(name, ""), Body::json(edit)?).await
    }

    /// Forgets a volume; its objects stay.
    pub async fn forget(&self, name: &Name) -> Outcome<Deleted> {
        self.call(Method::DELETE, &volume(name, ""), None).await
    }

    /// Deletes a volume's objects, then forgets it.
    pub async fn delete_data(&self, name: &Name, progress: impl FnMut(&str)) -> Outcome<Deleted> {
        let body = Body::value(&json!({ "confirm": name }))?;
        Ok(self.work(Method::DELETE, &volume(name, "?data=true"), body, progress).await?.0)
    }

    /// Mounts.
    pub async fn mount(&self, name: &Name, mount: &Mount, progress: impl FnMut(&str)) -> Outcome<Mounted> {
        Ok(self.work(Method::POST, &volume(name, "/mount"), Body::json(mount)?, progress).await?.0)
    }

    /// Unmounts. When the process ends with it, returns once the process has ended.
    pub async fn unmount(&self, name: &Name, unmount: Unmount, progress: impl FnMut(&str)) -> Outcome<Unmounted> {
        let body = Body::json(&unmount)?;
        let (ended, connection) =
            self.work::<Unmounted>(Method::POST, &volume(name, "/unmount"), body, progress).await?;
        if ended.process_ends {
            connection.ended().await;
        }
        Ok(ended)
    }

    /// Brings everything into the store.
    pub async fn flush(&self, name: &Name, progress: impl FnMut(&str)) -> Outcome<VolumeDetail> {
        Ok(self.work(Method::POST, &volume(name, "/flush"), None, progress).await?.0)
    }

    /// Writes a checkpoint.
    pub async fn checkpoint(&self, name: &Name, progress: impl FnMut(&str)) -> Outcome<Checkpointed> {
        Ok(self.work(Method::POST, &volume(name, "/checkpoint"), None, progress).await?.0)
    }

    /// Gives a volume up.
    pub async fn release(&self, name: &Name, progress: impl FnMut(&str)) -> Outcome<VolumeDetail> {
        Ok(self.work(Method::POST, &volume(name, "/release"), None, progress).await?.0)
    }

    /// Takes a volume from its owner.
    pub async fn take_over(&self, name: &Name, progress: impl FnMut(&str)) -> Outcome<VolumeDetail> {
        let body = Body::value(&json!({ "confirm": name }))?;
        Ok(self.work(Method::POST, &volume(name, "/take-over"), body, progress).await?.0)
    }

    /// Files of late.
    pub async fn recent(&self, name: &Name) -> Outcome<Recent> {
        self.get(&volume(name, "/recent")).await
    }

    /// What is on its way to the store.
    pub async fn queue(&self, name: &Name) -> Outcome<Queue> {
        self.get(&volume(name, "/queue")).await
    }

    /// Holds uploads.
    pub async fn queue_pause(&self, name: &Name) -> Outcome<Queue> {
        self.post(&volume(name, "/queue/pause")).await
    }

    /// Lets uploads go on.
    pub async fn queue_resume(&self, name: &Name) -> Outcome<Queue> {
        self.post(&volume(name, "/queue/resume")).await
    }

    /// Tries again now what waits to be tried again.
    pub async fn queue_retry(&self, name: &Name) -> Outcome<Queue> {
        self.post(&volume(name, "/queue/retry")).await
    }

    /// Cancels the waiting of an entry.
    pub async fn queue_cancel(&self, name: &Name, id: u64) -> Outcome<Queue> {
        self.post(&volume(name, &format!("/queue/{id}/cancel"))).await
    }

    /// Budgets and use of caches.
    pub async fn caches(&self) -> Outcome<Caches> {
        self.get("/v1/caches").await
    }

    /// Changes budgets.
    pub async fn edit_caches(&self, edit: &EditCaches) -> Outcome<Caches> {
        self.call(Method::PATCH, "/v1/caches", Body::json(edit)?).await
    }

    /// Drops what is cached.
    pub async fn drop_caches(&self, which: &DropCaches) -> Outcome<Caches> {
        self.call(Method::POST, "/v1/caches/drop", Body::json(which)?).await
    }

    /// What is wrong and lasts.
    pub async fn problems(&self) -> Outcome<Problems> {
        self.get("/v1/problems").await
    }

    /// The newest lines of the log.
    pub async fn logs(&self, lines: u32, level: Level) -> Outcome<Logs> {
        let level = serde_json::to_value(level).unwrap_or_default();
        self.get(&format!("/v1/logs?lines={lines}&level={}", level.as_str().unwrap_or("trace"))).await
    }

    /// Requests to stores since the start.
    pub async fn store_requests(&self) -> Outcome<StoreRequests> {
        self.get("/v1/requests").await
    }

    /// Numbers of all volumes.
    pub async fn stats(&self) -> Outcome<Stats> {
        self.get("/v1/stats").await
    }

    /// Numbers for Prometheus.
    pub async fn metrics(&self) -> Outcome<String> {
        let (response, _alive) = self.send(Method::GET, "/v1/metrics", None, &[]).await?;
        String::from_utf8(whole(response).await?.into()).map_err(|e| CallError::NotUnderstood(e.to_string()))
    }

    /// Reads the configuration anew.
    pub async fn reload(&self) -> Outcome<Applied> {
        self.post("/v1/reload").await
    }

    /// Holds the uploads of all volumes.
    pub async fn pause(&self) -> Outcome<Paused> {
        self.post("/v1/pause").await
    }

    /// Lets them go on.
    pub async fn resume(&self) -> Outcome<Paused> {
        self.post("/v1/resume").await
    }

    /// Changes limits of transfer.
    pub async fn edit_limits(&self, edit: &EditLimits) -> Outcome<Limits> {
        self.call(Method::PATCH, "/v1/limits", Body::json(edit)?).await
    }

    /// All credentials that are known by name.
    pub async fn credentials(&self) -> Outcome<Vec<CredentialInfo>> {
        self.get("/v1/credentials").await
    }

    /// Where credentials lie and since when.
    pub async fn credential(&self, name: &Name) -> Outcome<CredentialInfo> {
        self.get(&format!("/v1/credentials/{name}")).await
    }

    /// Sets credentials.
    pub async fn set_credential(&self, name: &Name, credential: &StoreCredentials) -> Outcome<CredentialInfo> {
        self.call(Method::PUT, &format!("/v1/credentials/{name}"), Body::value(&exposed(credential))?).await
    }

    /// Deletes credentials.
    pub async fn delete_credential(&self, name: &Name) -> Outcome {
        self.send(Method::DELETE, &format!("/v1/credentials/{name}"), None, &[]).await.map(drop)
    }

    /// Tries credentials on a store.
    pub async fn test_credential(&self, name: &Name, test: &TestCredentials) -> Outcome<ConnectionReport> {
        self.call(Method::POST, &format!("/v1/credentials/{name}/test"), Body::json(test)?).await
    }
}

/// Credentials as they are sent, which serialisation would not do.
fn exposed(credentials: &StoreCredentials) -> Value {
    match credentials {
        StoreCredentials::S3 { access_key_id, secret_access_key, session_token } => json!({
            "kind": "s3",
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key.expose(),
            "session_token": session_token.as_ref().map(Secret::expose),
        }),
        StoreCredentials::Swift { user, key, project, domain } => json!({
            "kind": "swift", "user": user, "key": key.expose(), "project": project, "domain": domain,
        }),
    }
}
