//! News of the network by rtnetlink(7), and sleep by the clock that counts it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use rustix::time::{ClockId, clock_gettime};

use super::Change;

/// RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE (linux/rtnetlink.h).
const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;
/// RTM_DELADDR (linux/rtnetlink.h): an address has gone.
const ADDRESS_GONE: u16 = 21;
/// Where a message's type stands, after its length (struct nlmsghdr).
const TYPE_AT: usize = 4;

/// A socket that hears of addresses and routes.
pub(super) fn listen() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    Ok(socket)
}

/// What a message says; news come one in a message.
pub(super) fn meaning(message: &[u8]) -> Change {
    match message.get(TYPE_AT..TYPE_AT + 2).map(|kind| u16::from_ne_bytes([kind[0], kind[1]])) {
        Some(ADDRESS_GONE) => Change::Lost,
        Some(_) | None => Change::Some,
    }
}

/// The clocks by which sleep is told.
#[derive(Debug)]
pub(super) struct Clocks;

impl Clocks {
    pub(super) fn new() -> Self {
        Self
    }

    /// How long the computer has slept since it was started: one clock counts that, the other does not.
    pub(super) fn time_asleep(&self) -> Duration {
        let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
        // In this order, a pause between the two never looks like sleep.
        let all = read(ClockId::Boottime);
        all.saturating_sub(read(ClockId::Monotonic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_has_gone_is_a_loss() {
        let message = |kind: u16| [[16, 0, 0, 0].as_slice(), &kind.to_ne_bytes(), &[0; 10]].concat();
        assert_eq!(meaning(&message(ADDRESS_GONE)), Change::Lost);
        assert_eq!((meaning(&message(20)), meaning(&[])), (Change::Some, Change::Some));
    }
}
