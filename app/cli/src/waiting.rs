//! Waiting for a volume's uploads, and saying meanwhile what they wait for.

use std::time::Duration;

use proxyfs_core::volume::{CloseReport, ConnectionState, Volume, VolumeStatus};
use tokio::time::{Instant, sleep_until};

use crate::units::about_size;

/// Between two lines on what is left.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between them once they say the same.
const INTERVAL_UNCHANGED: Duration = Duration::from_secs(10);

/// Closes a volume within `patience`.
///
/// # Errors
/// Those of [`Volume::close`].
pub(crate) async fn close(
    volume: &Volume,
    patience: Duration,
    tell: impl Fn(String),
) -> proxyfs_core::Result<CloseReport> {
    let deadline = Instant::now() + patience;
    watched(volume, volume.clone().close(patience), Some(deadline), tell).await
}

/// Waits until everything is in the store, however long that takes.
///
/// # Errors
/// Those of [`Volume::flush`].
pub(crate) async fn flush(volume: &Volume, tell: impl Fn(String)) -> proxyfs_core::Result<()> {
    watched(volume, volume.flush(), None, tell).await
}

async fn watched<T>(
    volume: &Volume,
    work: impl Future<Output = T>,
    deadline: Option<Instant>,
    tell: impl Fn(String),
) -> T {
    tokio::pin!(work);
    let (mut said, mut next) = (String::new(), Instant::now() + INTERVAL);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = sleep_until(next) => {
                let line = line(&volume.status());
                let unchanged = line == said;
                next += if unchanged { INTERVAL_UNCHANGED } else { INTERVAL };
                let wait = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs());
                tell(match wait {
                    Some(seconds) => format!("{line}; waiting up to {seconds} s."),
                    None => format!("{line}; waiting."),
                });
                said = line;
            }
        }
    }
}

/// What is left, and why it is not going up if it is not.
fn line(status: &VolumeStatus) -> String {
    let left = match status.waiting_bytes {
        0 => "The newest changes".to_owned(),
        bytes => about_size(bytes),
    };
    let store = match (&status.connection, &status.problem) {
        (ConnectionState::Offline, Some(problem)) => format!("; the store is away ({problem})"),
        (ConnectionState::Offline, None) => "; the store is away".to_owned(),
        _ => String::new(),
    };
    format!("{left} still to upload{store}")
}
