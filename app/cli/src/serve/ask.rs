//! How commands find the daemon, and what they say when it refuses.

use std::time::Duration;

use proxyfs_control::Client;
use proxyfs_control::client::CallError;
use proxyfs_control::types::names::Name;
use proxyfs_control::types::volume::VolumeDetail;
use tokio::time::timeout;

use crate::failure::{Failure, Sort};
use crate::paths::Paths;
use crate::serve::{answers, config};

/// How long a daemon may take to say that it is there; it answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// The daemon of this user, if one runs.
pub(crate) async fn daemon(paths: &Paths) -> Option<Client> {
    let configured = config::load(&paths.config_file()).ok().and_then(|config| config.daemon.socket);
    let client = Client::local(configured.unwrap_or_else(|| paths.socket().to_owned()));
    match timeout(PATIENCE, client.version()).await {
        Ok(Ok(_)) => Some(client),
        Ok(Err(CallError::Nobody(_))) => None,
        Ok(Err(e)) => {
            tracing::debug!("the daemon does not answer: {e}");
            None
        }
        Err(_) => None,
    }
}

/// The daemon and a volume's name, if one runs that knows it and `fits` says so.
pub(crate) async fn daemon_with(
    paths: &Paths,
    name: &str,
    fits: impl Fn(&VolumeDetail) -> bool,
) -> Option<(Client, Name)> {
    let name: Name = name.parse().ok()?;
    let client = daemon(paths).await?;
    let volume = timeout(PATIENCE, client.volume(&name)).await.ok()?.ok()?;
    fits(&volume).then_some((client, name))
}

/// A refusal of the daemon in this program's words.
pub(crate) fn failure(action: &str, subject: &str, error: &CallError) -> Failure {
    match error {
        CallError::Problem(problem) => answers::failure(problem),
        CallError::Nobody(_) | CallError::Broken(_) | CallError::NotUnderstood(_) => {
            let advice = "see whether the daemon runs, and its log; then try again";
            let failure = Failure::new(action, subject, format!("the daemon gave no answer: {error}"), advice);
            Failure { sort: Sort::Broken, ..failure }
        }
    }
}
