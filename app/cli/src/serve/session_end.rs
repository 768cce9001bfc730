//! Holds up the end of a Windows user's session while changes are not durable at their volume's tier, and says why; Windows shows the reason and
//! lets the user wait or go on.
//!
//! The service has the pre-shutdown control instead (see `winservice`), which the whole system waits for. A computer without a desktop is
//! fine: then nothing is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proxyfs_windows::session_end::SessionEnd;
use tokio::time::{MissedTickBehavior, interval};

use crate::serve::host::Host;
use crate::serve::risk::at_risk;
use crate::winservice::runner;

/// Time between looks; all from memory.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Looks without risk before the session may end, so that a steady writer does not hold it anew each second.
const CALM_LOOKS: u32 = 2;
/// What Windows gives a process at the end is 5 seconds; this much of it is used for unmounting.
const END_PATIENCE: Duration = Duration::from_secs(4);

/// Whether the daemon has stopped.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Looks after the session for as long as the daemon runs.
pub(crate) async fn run(host: Arc<Host>) {
    if runner::is_service() {
        return;
    }
    let session = match SessionEnd::watch(end) {
        Ok(session) => session,
        Err(e) => {
            tracing::info!("no desktop: the end of the session is not held up ({e})");
            return;
        }
    };
    let (mut held, mut calm) = (false, 0);
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let reason = at_risk(&host);
        calm = if reason.is_some() { 0 } else { calm + 1 };
        let told = match reason {
            Some(reason) if !held => {
                tracing::info!("holding up the end of the session: {reason}");
                held = true;
                session.hold(Some(&reason))
            }
            None if held && calm >= CALM_LOOKS => {
                tracing::info!("the session may end: everything is durable at its tier");
                held = false;
                session.hold(None)
            }
            _ => Ok(()),
        };
        if let Err(e) = told {
            tracing::warn!("Windows cannot be told of changes that are not safe yet: {e}");
        }
    }
}

/// The daemon has stopped: the session need not wait for it.
pub(crate) fn stopped() {
    STOPPED.store(true, Ordering::Release);
}

/// The session ends: the daemon is asked to, and gets as much time as Windows gives.
fn end() {
    runner::ask_to_stop();
    let begun = Instant::now();
    while !STOPPED.load(Ordering::Acquire) && begun.elapsed() < END_PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
}
