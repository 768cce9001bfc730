//! Finding out that a thread has a signal to handle, for want of FUSE_INTERRUPT.

use std::fs;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// How often a waiting thread is looked at: the longest that Ctrl-C seems to hang.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Ends when `thread` has a signal pending that it does not block, or is gone. Never ends for thread 0 (unknown to us, as
/// from another pid namespace).
pub(crate) async fn pending(thread: u32) {
    if thread == 0 {
        return std::future::pending().await;
    }
    let path = format!("/proc/{thread}/status");
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match fs::read_to_string(&path) {
            Ok(status) if !has_pending(&status) => {}
            _ => return,
        }
    }
}

/// Whether a `/proc/PID/status` shows a signal, of the thread or its process, that is pending and not blocked.
fn has_pending(status: &str) -> bool {
    let mask = |field: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
            .unwrap_or(0)
    };
    (mask("SigPnd:") | mask("ShdPnd:")) & !mask("SigBlk:") != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_signal_counts_unless_it_is_blocked() {
        let status = |own: &str, shared: &str, blocked: &str| {
            format!("Name:\tx\nSigPnd:\t{own}\nShdPnd:\t{shared}\nSigBlk:\t{blocked}\nSigIgn:\t0\n")
        };
        let zero = "0000000000000000";
        let kill = "0000000000000100";
        assert!(!has_pending(&status(zero, zero, zero)));
        assert!(has_pending(&status(kill, zero, zero)));
        assert!(has_pending(&status(zero, kill, zero)));
        assert!(!has_pending(&status(zero, kill, kill)));
    }

    #[tokio::test]
    async fn a_thread_that_is_gone_ends_the_wait() {
        // Linux gives no process a number this high.
        pending(u32::MAX).await;
    }
}
