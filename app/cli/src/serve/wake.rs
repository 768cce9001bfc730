//! Notices that the world may have changed for the better: the network has another address or route, or the computer slept.
//!
//! Then whatever waits before another attempt at a store is tried at once, on connections made anew. Trying too often costs one attempt each, so
//! every change counts. One thing more is understood: when an address has gone, or the computer slept, what was connected is dead without
//! knowing it, so that attempts under way are begun anew. The kernel tells of changes, in each system's own messages ([`sys`]); sleep shows in
//! its clocks, without any service that would have to be asked.

#[cfg(target_os = "linux")]
#[path = "wake/linux.rs"]
mod sys;
#[cfg(target_os = "macos")]
#[path = "wake/macos.rs"]
mod sys;
#[cfg(windows)]
#[path = "wake/windows.rs"]
mod sys;

#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

#[cfg(unix)]
use rustix::net::{RecvFlags, recv};
use tokio::time::{MissedTickBehavior, interval};

use crate::serve::host::Host;
#[cfg(windows)]
use sys::news_since;

/// Time between looks; changes between two count as one, as a network comes up in many steps.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest sleep that counts.
const SLEEP_MIN: Duration = Duration::from_secs(2);

/// What happened between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// Something, perhaps for the better.
    Some,
    /// What was connected is so no more.
    Lost,
}

/// Watches network and clocks for as long as the daemon runs.
pub(crate) async fn run(host: Arc<Host>) {
    let news = sys::listen();
    if let Err(e) = &news {
        tracing::warn!("changes of the network are not noticed: {e}");
    }
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let clocks = sys::Clocks::new();
    let mut slept = clocks.time_asleep();
    loop {
        looks.tick().await;
        let now = clocks.time_asleep();
        if has_slept(slept, now) {
            try_again(&host, Change::Lost, "the computer slept");
        }
        slept = now;
        match news.as_ref().map(news_since) {
            Ok(Ok(Change::None)) | Err(_) => {}
            Ok(Ok(change)) => try_again(&host, change, "the network changed"),
            Ok(Err(e)) => tracing::debug!("no news of the network: {e}"),
        }
    }
}

/// Ends all waits before another attempt; has attempts under way begun anew if what they use is lost.
pub(crate) fn try_again(host: &Host, change: Change, because: &str) {
    match change {
        Change::None => return,
        Change::Some => host.network.changed(),
        Change::Lost => host.network.lost(),
    }
    tracing::info!("{because}: what waits for a store is tried again");
    for hosted in host.all() {
        if let Some(live) = hosted.live() {
            live.volume.retry_now();
        } else if hosted.is_kept() {
            hosted.nudge();
        }
    }
}

/// Takes all messages; gives the worst that they say.
#[cfg(unix)]
fn news_since(socket: &OwnedFd) -> io::Result<Change> {
    let mut message = [0_u8; 8192];
    let mut worst = Change::None;
    loop {
        match recv(socket, message.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((len, _)) => worst = worst.max(sys::meaning(&message[..len])),
            // There were more than the kernel keeps.
            Err(rustix::io::Errno::NOBUFS) => worst = Change::Lost,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(worst),
            Err(e) => return Err(e.into()),
        }
    }
}

fn has_slept(before: Duration, now: Duration) -> bool {
    now.saturating_sub(before) >= SLEEP_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_sleep_counts() {
        let at = Duration::from_millis;
        assert!(!has_slept(at(0), at(0)) && !has_slept(at(500), at(1_900)) && !has_slept(at(10), at(0)));
        assert!(has_slept(at(500), at(2_500)));
    }

    #[test]
    fn a_silent_network_is_no_news() {
        assert_eq!(news_since(&sys::listen().unwrap()).unwrap(), Change::None);
    }

    #[test]
    fn a_computer_that_stays_awake_has_not_slept() {
        let clocks = sys::Clocks::new();
        let before = clocks.time_asleep();
        assert!(!has_slept(before, clocks.time_asleep()));
    }
}
