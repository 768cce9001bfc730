//! News of the network and of sleep, as Windows tells them.

use std::io;
use std::time::Duration;

use proxyfs_windows::clock::time_asleep;
use proxyfs_windows::network::News;

use super::Change;

/// Begins to hear of addresses.
pub(super) fn listen() -> io::Result<News> {
    News::listen()
}

/// What was heard since the last look.
#[expect(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(super) fn news_since(news: &News) -> io::Result<Change> {
    let found = news.look();
    Ok(if found.lost {
        Change::Lost
    } else if found.changed {
        Change::Some
    } else {
        Change::None
    })
}

/// The clocks by which sleep is told; fast start-up of Windows looks like sleep to a service, which it is.
#[derive(Debug)]
pub(super) struct Clocks;

impl Clocks {
    pub(super) fn new() -> Self {
        Self
    }

    /// How long the computer has slept since it was started.
    pub(super) fn time_asleep(&self) -> Duration {
        time_asleep()
    }
}
