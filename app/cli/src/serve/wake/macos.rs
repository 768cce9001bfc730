//! News of the network by route(4), and sleep by the clock that counts it.
//!
//! IOKit would tell of sleep too, on a run loop of its own thread and through calls of C. It would be a second earlier, which does not matter
//! here: what waits for a store waits for the network to come back anyway.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::time::{ClockId, clock_gettime};

use super::Change;

/// RTM_DELADDR (net/route.h): an address has gone.
const ADDRESS_GONE: u8 = 13;
/// Where a message's type stands, after its length and version (struct rt_msghdr).
const TYPE_AT: usize = 3;

/// A socket that hears of addresses and routes.
pub(super) fn listen() -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::ROUTE, SocketType::RAW, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    Ok(socket)
}

/// What a message says; news come one in a message.
pub(super) fn meaning(message: &[u8]) -> Change {
    if message.get(TYPE_AT) == Some(&ADDRESS_GONE) { Change::Lost } else { Change::Some }
}

/// The clocks by which sleep is told: the system's monotonic one goes on in sleep, the standard library's stands still (it reads
/// CLOCK_UPTIME_RAW).
#[derive(Debug)]
pub(super) struct Clocks {
    start: Instant,
    start_with_sleep: Duration,
}

impl Clocks {
    pub(super) fn new() -> Self {
        let start_with_sleep = with_sleep();
        Self { start: Instant::now(), start_with_sleep }
    }

    /// How long the computer has slept since these clocks were made.
    pub(super) fn time_asleep(&self) -> Duration {
        // In this order, a pause between the two never looks like sleep.
        let all = with_sleep().saturating_sub(self.start_with_sleep);
        all.saturating_sub(self.start.elapsed())
    }
}

fn with_sleep() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_has_gone_is_a_loss() {
        let message = |kind: u8| [[16, 0, 5, kind].as_slice(), &[0; 12]].concat();
        assert_eq!(meaning(&message(ADDRESS_GONE)), Change::Lost);
        assert_eq!((meaning(&message(12)), meaning(&[])), (Change::Some, Change::Some));
    }
}
