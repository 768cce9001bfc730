//! Limits of transfer: bytes a second to stores and from them, for all volumes of a process together.
//!
//! A bucket with debt: a transfer waits until no earlier one is owed for, then goes at once and is owed for itself. So the average holds
//! over a few transfers, whatever their size, and no transfer has to be cut. Without a limit nothing is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Idle time whose bytes may be used at once.
const BURST: Duration = Duration::from_secs(1);

/// Both directions.
#[derive(Debug, Default)]
pub struct Pace {
    /// To stores.
    pub upload: Limit,
    /// From stores.
    pub download: Limit,
}

/// One direction.
#[derive(Debug, Default)]
pub struct Limit {
    /// Bytes a second; 0 is none.
    rate: AtomicU64,
    /// When everything so far is paid for.
    paid: Mutex<Option<Instant>>,
    changed: Notify,
}

impl Limit {
    /// Bytes a second; `None` without a limit.
    pub fn get(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    /// Sets or lifts the limit, also for whoever waits already.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        let rate = bytes_per_second.map_or(0, |rate| rate.max(1));
        if self.rate.swap(rate, Ordering::Relaxed) != rate {
            *self.paid.lock() = None;
            self.changed.notify_waiters();
        }
    }

    /// Waits until what was transferred before is paid for.
    pub(crate) async fn ready(&self) {
        loop {
            let changed = self.changed.notified();
            let Some(paid) = self.get().and_then(|_| *self.paid.lock()) else { return };
            if paid <= Instant::now() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(paid) => {}
                () = changed => {}
            }
        }
    }

    /// Notes a transfer that begins or has been.
    pub(crate) fn spend(&self, bytes: u64) {
        let Some(rate) = self.get() else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let now = Instant::now();
        let mut paid = self.paid.lock();
        let credit = now.checked_sub(BURST).unwrap_or(now);
        *paid = Some(paid.map_or(now, |paid| paid.max(credit)) + cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn transfers_keep_to_the_rate_on_average() {
        let limit = Limit::default();
        limit.set(Some(1_000));
        let begun = Instant::now();
        for _ in 0..11 {
            limit.ready().await;
            limit.spend(500);
        }
        assert_eq!(begun.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn lifting_the_limit_wakes_whoever_waits() {
        let limit = std::sync::Arc::new(Limit::default());
        limit.set(Some(1));
        limit.spend(1_000);
        let begun = Instant::now();
        let waiting = tokio::spawn({
            let limit = std::sync::Arc::clone(&limit);
            async move { limit.ready().await }
        });
        tokio::task::yield_now().await;
        limit.set(None);
        waiting.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
