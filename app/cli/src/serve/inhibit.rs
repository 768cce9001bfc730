//! What logind has to do with the daemon: it holds up a shutdown while changes are not durable at their volume's tier, and says when the
//! computer wakes.
//!
//! Invariant: the lock is held from the first look that finds a volume at risk until [`CALM_LOOKS`] looks in a row find none; it is a file
//! descriptor, so it ends with the process however that ends. A computer without logind or D-Bus is fine: then nothing is held.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{MissedTickBehavior, interval, sleep};
use zbus::zvariant::OwnedFd;
use zbus::{Connection, Proxy};

use crate::serve::host::Host;
use crate::serve::risk::at_risk;
use crate::serve::wake::{Change, try_again};

/// Where logind answers (org.freedesktop.login1(5)).
const SERVICE: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
/// Time between looks; all from memory.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Looks without risk before the lock is let go, so that a steady writer does not take it anew each second.
const CALM_LOOKS: u32 = 2;
/// Wait before logind is looked for again.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(60);

/// Works with logind for as long as the daemon runs.
pub(crate) async fn run(host: Arc<Host>) {
    let mut said = false;
    loop {
        if let Err(e) = work(&host).await
            && !std::mem::replace(&mut said, true)
        {
            tracing::info!("no logind: a shutdown is not held up, and waking is noticed by the clock ({e})");
        }
        sleep(RECONNECT_INTERVAL).await;
    }
}

/// Works on one connection until it breaks.
async fn work(host: &Arc<Host>) -> zbus::Result<()> {
    let connection = Connection::system().await?;
    let logind = Proxy::new(&connection, SERVICE, PATH, MANAGER).await?;
    let mut sleeps = logind.receive_signal("PrepareForSleep").await?;
    // Asks once, so that a bus without logind is known for what it is.
    logind.introspect().await?;
    let mut lock = Lock::default();
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => lock.follow(&logind, at_risk(host)).await?,
            told = sleeps.next() => {
                let Some(told) = told else { return Ok(()) };
                let begins: bool = told.body().deserialize()?;
                if !begins {
                    try_again(host, Change::Lost, "the computer woke up");
                }
            }
        }
    }
}

/// The lock, if it is held.
#[derive(Debug, Default)]
struct Lock {
    held: Option<OwnedFd>,
    calm: u32,
}

impl Lock {
    /// Takes it while there is a reason, lets it go after.
    async fn follow(&mut self, logind: &Proxy<'_>, reason: Option<String>) -> zbus::Result<()> {
        match reason {
            Some(reason) => {
                self.calm = 0;
                if self.held.is_none() {
                    let lock: OwnedFd =
                        logind.call("Inhibit", &("shutdown", "ProxyFS", reason.as_str(), "block")).await?;
                    self.held = Some(lock);
                    tracing::info!("holding up a shutdown: {reason}");
                }
            }
            None if self.held.is_some() => {
                self.calm += 1;
                if self.calm >= CALM_LOOKS {
                    self.held = None;
                    tracing::info!("a shutdown may go on: everything is durable at its tier");
                }
            }
            None => {}
        }
        Ok(())
    }
}
