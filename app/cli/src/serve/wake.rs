//! Notices that the world may have changed for the better: the network has another address or route, or the computer slept.
//!
//! Then whatever waits before another attempt at a store is tried at once, on connections made anew. Trying too often costs one attempt each, so
//! every change counts. One thing more is understood: when an address has gone, or the computer slept, what was connected is dead without
//! knowing it, so that attempts under way are begun anew. The kernel tells of changes (rtnetlink(7)); sleep shows in its clocks, also without logind.

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

/// RTM_DELADDR (linux/rtnetlink.h): an address has gone.
const ADDRESS_GONE: u16 = 21;
/// Where a message's type stands, after its length (struct nlmsghdr).
const TYPE_AT: usize = 4;

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
            try_again(&host, Change::Lost, "the computer slept");
        }
        slept = now;
        match news.as_ref().map(drain) {
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

/// A socket that hears of addresses and routes.
fn listen() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    Ok(socket)
}

/// Takes all messages; gives the worst that they say.
fn drain(socket: &OwnedFd) -> io::Result<Change> {
    let mut message = [0_u8; 8192];
    let mut worst = Change::None;
    loop {
        match recv(socket, message.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((len, _)) => worst = worst.max(meaning(&message[..len])),
            // There were more than the kernel keeps.
            Err(rustix::io::Errno::NOBUFS) => worst = Change::Lost,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(worst),
            Err(e) => return Err(e.into()),
        }
    }
}

/// What a message says; news come one in a message.
fn meaning(message: &[u8]) -> Change {
    match message.get(TYPE_AT..TYPE_AT + 2).map(|kind| u16::from_ne_bytes([kind[0], kind[1]])) {
        Some(ADDRESS_GONE) => Change::Lost,
        Some(_) | None => Change::Some,
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
        assert_eq!(drain(&listen().unwrap()).unwrap(), Change::None);
    }

    #[test]
    fn an_address_that_has_gone_is_a_loss() {
        let message = |kind: u16| [[16, 0, 0, 0].as_slice(), &kind.to_ne_bytes(), &[0; 10]].concat();
        assert_eq!(meaning(&message(ADDRESS_GONE)), Change::Lost);
        assert_eq!((meaning(&message(20)), meaning(&[])), (Change::Some, Change::Some));
    }
}
