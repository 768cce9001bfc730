//! Named credentials over the control interface. No answer holds a secret.

use proxyfs_control::backend::Outcome;
use proxyfs_control::secret::Secret;
use proxyfs_control::types::credential::{CredentialInfo, StoreCredentials, TestCredentials};
use proxyfs_control::types::names::Name;
use proxyfs_control::types::problem::Problem;
use proxyfs_control::types::volume::ConnectionReport;
use proxyfs_credentials::{Described, Error, ErrorKind, Record, Target};
use proxyfs_store::{Credentials, KeystoneScope, ProbeDepth, probe};
use secrecy::SecretString;

use super::{Desk, answered};
use crate::credentials::failure;
use crate::options::Settings;
use crate::serve::answers;
use crate::target::parse_url;

/// Credentials from a request as stores take them.
pub(super) fn usable(given: StoreCredentials) -> Credentials {
    let hidden = |secret: &Secret| SecretString::from(secret.expose());
    match given {
        StoreCredentials::S3 { access_key_id, secret_access_key, session_token } => Credentials {
            session_token: session_token.as_ref().map(hidden),
            ..Credentials::new(access_key_id, hidden(&secret_access_key))
        },
        StoreCredentials::Swift { user, key, project, domain } => {
            let scope = KeystoneScope { project, user_domain: domain.clone(), project_domain: domain };
            Credentials { scope, ..Credentials::new(user, hidden(&key)) }
        }
    }
}

fn info(shown: &Described) -> CredentialInfo {
    // Only Keystone credentials have a project; all others are told apart by their store alone.
    let kind = if shown.project.is_some() { "swift" } else { "s3" };
    CredentialInfo {
        name: shown.name.clone(),
        kind: kind.to_owned(),
        source: shown.place.clone(),
        since: shown.since.and_then(|since| i64::try_from(since).ok()),
        key_id_end: shown.id_ends_in.clone(),
    }
}

fn problem(action: &str, name: &Name, error: &Error) -> Problem {
    if error.kind == ErrorKind::NotFound {
        return Problem::no_credentials(name.as_str());
    }
    answers::problem(failure(action, &format!("credentials {name}"), error))
}

impl Desk {
    pub(super) async fn list_credentials(&self) -> Outcome<Vec<CredentialInfo>> {
        let listing = self.0.paths.credentials().list().await;
        for problem in &listing.problems {
            tracing::debug!("not looked at: {problem}");
        }
        Ok(listing.found.iter().map(info).collect())
    }

    pub(super) async fn show_credential(&self, name: &Name) -> Outcome<CredentialInfo> {
        let found = self.0.paths.credentials().load(name.as_str()).await.map_err(|e| problem("show", name, &e))?;
        Ok(info(&found.record.describe(name.as_str(), &found.place.to_string())))
    }

    /// Into the system's credential store, or into the file where there is none that can be used.
    pub(super) async fn store_credential(&self, name: &Name, given: StoreCredentials) -> Outcome<CredentialInfo> {
        let sources = self.0.paths.credentials();
        let record = Record::now(usable(given));
        let stored = match sources.set(name.as_str(), &record, Target::Keyring).await {
            Err(e) if matches!(e.kind, ErrorKind::KeyringMissing | ErrorKind::KeyringLocked) => {
                sources.set(name.as_str(), &record, Target::File).await
            }
            other => other,
        };
        let stored = stored.map_err(|e| problem("store", name, &e))?;
        Ok(info(&record.describe(name.as_str(), &stored.place.to_string())))
    }

    pub(super) async fn remove_credential(&self, name: &Name) -> Outcome {
        let deleted = self.0.paths.credentials().delete(name.as_str(), None).await;
        deleted.map(drop).map_err(|e| problem("delete", name, &e))
    }

    pub(super) async fn try_credential(&self, name: &Name, test: &TestCredentials) -> Outcome<ConnectionReport> {
        let found = self.0.paths.credentials().load(name.as_str()).await.map_err(|e| problem("test", name, &e))?;
        let url = answered(parse_url(test.store.as_str()))?;
        let mut options = Settings::default().store;
        options.credentials = Some(found.record.credentials);
        Ok(answers::connection(&probe(&url, &options, ProbeDepth::Read).await))
    }
}
