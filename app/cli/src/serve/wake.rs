//! Notices that the world may have changed for the better: the network has another address or route, or the computer slept.
//!
//! Then whatever waits before another attempt at a store is tried at once. Trying too often costs one attempt each, so every
//! change counts and none is understood further. The kernel tells of changes (rtnetlink(7)); sleep shows in its clocks, also without logind.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval};

use crate::serve::host::Host;

/// RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE (linux/rtnetlink.h).
const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;
/// Time between looks; changes between two count as one, as a network comes up in many steps.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest sleep that counts.
const SLEEP_MIN: Duration = Duration::from_secs(2);

/// Watches network and clocks for as long as the daemon runs.
pub(crate) async fn run(host: Arc<Host>) {
    let news = listen();
    if let Err(e) = &news {
        tracing::warn!("changes of the network are not noticed: {e}");
    }
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut slept = time_asleep();
    loop {
        looks.tick().await;
        let now = time_asleep();
        if has_slept(slept, now) {
            try_again(&host, "the computer slept");
        }
        slept = now;
        match news.as_ref().map(drain) {
            Ok(Ok(true)) => try_again(&host, "the network changed"),
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(e)) => tracing::debug!("no news of the network: {e}"),
        }
    }
}

/// Ends all waits before another attempt.
pub(crate) fn try_again(host: &Host, because: &str) {
    tracing::info!("{because}: what waits for a store is tried again");
    for hosted in host.all() {
        if let Some(live) = hosted.live() {
            live.volume.retry_now();
        } else if hosted.is_kept() {
            hosted.nudge();
        }
    }
}

/// A socket that hears of addresses and routes.
fn listen() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    Ok(socket)
}

/// Takes all messages; whether there were any.
fn drain(socket: &OwnedFd) -> io::Result<bool> {
    let mut message = [0_u8; 8192];
    let mut any = false;
    loop {
        match recv(socket, message.as_mut_slice(), RecvFlags::DONTWAIT) {
            // NOBUFS: there were more than the kernel keeps.
            Ok(_) | Err(rustix::io::Errno::NOBUFS) => any = true,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(any),
            Err(e) => return Err(e.into()),
        }
    }
}

fn has_slept(before: Duration, now: Duration) -> bool {
    now.saturating_sub(before) >= SLEEP_MIN
}

/// How long the computer has slept since it was started: one clock counts that, the other does not.
fn time_asleep() -> Duration {
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    // In this order, a pause between the two never looks like sleep.
    let all = read(ClockId::Boottime);
    all.saturating_sub(read(ClockId::Monotonic))
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
        assert!(!drain(&listen().unwrap()).unwrap());
    }
}
