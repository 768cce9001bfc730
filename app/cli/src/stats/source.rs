//! Where a command gets numbers: from the daemon, and from processes that serve a single mount.
//!
//! Nothing here asks a store. A process that does not answer in time is left out; if none answers at all, that is said.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proxyfs_control::Client;
use proxyfs_control::types::stats::Stats;
use tokio::time::timeout;

use crate::control::Request;
use crate::control::client;
use crate::failure::{Failure, Outcome};
use crate::paths::Paths;
use crate::serve::ask;

/// How long a process may take to answer; it answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// Gives numbers again and again.
#[derive(Debug)]
pub(crate) struct Source {
    paths: Paths,
    name: Option<String>,
    daemon: Option<Client>,
}

impl Source {
    /// Numbers of one volume, or of all.
    pub(crate) fn new(paths: Paths, name: Option<String>) -> Self {
        Self { paths, name, daemon: None }
    }

    /// The daemon, if the last look found one.
    pub(crate) fn daemon(&self) -> Option<&Client> {
        self.daemon.as_ref()
    }

    /// The numbers now.
    ///
    /// # Errors
    /// When nobody answers, or nobody has the volume.
    pub(crate) async fn look(&mut self) -> Outcome<Stats> {
        let (mut all, mut own_pid) = (None, None);
        self.daemon = ask::daemon(&self.paths).await;
        if let Some(daemon) = &self.daemon {
            match timeout(PATIENCE, daemon.stats()).await {
                Ok(Ok(stats)) => all = Some(stats),
                Ok(Err(e)) => return Err(ask::failure("watch", "the daemon", &e)),
                Err(_) => return Err(silent()),
            }
            own_pid = timeout(PATIENCE, daemon.version()).await.ok().and_then(Result::ok).map(|v| v.pid);
        }
        for entry in fs::read_dir(self.paths.states()).into_iter().flatten().flatten() {
            let Some(alone) = look_alone(&entry.path(), own_pid).await else { continue };
            match &mut all {
                Some(all) => all.volumes.extend(alone.volumes),
                None => all = Some(alone),
            }
        }
        let mut all = all.ok_or_else(nobody)?;
        all.volumes.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(name) = &self.name {
            all.volumes.retain(|volume| volume.name == *name);
            all.problems.retain(|problem| problem.volume.as_deref().is_none_or(|of| of == name));
            if all.volumes.is_empty() {
                let advice = "look at proxyfs status for the volumes that there are, and mount it";
                return Err(Failure::new("watch", format!("volume {name}"), "no process has it mounted", advice));
            }
        }
        Ok(all)
    }
}

/// Numbers of the process that serves one state directory, if it is not the daemon.
async fn look_alone(state_dir: &Path, daemon: Option<u32>) -> Option<Stats> {
    let running = client::running(state_dir).await?;
    if daemon.is_some_and(|pid| u64::from(pid) == running.pid()) {
        return None;
    }
    let asked = timeout(PATIENCE, client::ask(state_dir, Request::Stats, |_| {})).await;
    serde_json::from_value(asked.ok()?.ok()??).ok()
}

fn nobody() -> Failure {
    let why = "neither the daemon nor a mounted volume is there";
    Failure::new("watch", "volumes", why, "mount one: proxyfs mount NAME DIR, or start the daemon: proxyfs serve")
}

fn silent() -> Failure {
    Failure::new("watch", "the daemon", "it does not answer", "look at its log; if it is stuck, start it anew")
}
