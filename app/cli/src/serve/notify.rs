//! Tells the service manager how it goes (sd_notify). Without one, nothing happens; that of macOS asks for nothing, that of
//! Windows for its service's state.

#[cfg(target_os = "linux")]
mod systemd;

use std::time::Duration;

#[cfg(windows)]
use crate::winservice::runner;

/// It serves.
pub(crate) fn ready(status: &str) {
    #[cfg(target_os = "linux")]
    systemd::ready(status);
    #[cfg(windows)]
    runner::ready();
    #[cfg(not(target_os = "linux"))]
    tracing::info!("ready: {status}");
}

/// The configuration is being read anew; [`ready`] follows.
pub(crate) fn reloading() {
    #[cfg(target_os = "linux")]
    systemd::reloading();
}

/// It is about to end, and may take so long.
pub(crate) fn stopping(status: &str, may_take: Duration) {
    #[cfg(target_os = "linux")]
    systemd::stopping(status, may_take);
    #[cfg(windows)]
    runner::stopping(may_take);
    #[cfg(not(target_os = "linux"))]
    tracing::info!("{status}, for up to {} s", may_take.as_secs());
}

/// A line for people who look at the service.
pub(crate) fn status(status: &str) {
    #[cfg(target_os = "linux")]
    systemd::status(status);
    #[cfg(not(target_os = "linux"))]
    tracing::info!("{status}");
}

/// How often the manager wants a sign of life, halved so that a late one is still in time.
#[cfg(target_os = "linux")]
pub(crate) fn watchdog() -> Option<Duration> {
    systemd::watchdog()
}

/// How often the manager wants a sign of life: never.
#[cfg(not(target_os = "linux"))]
pub(crate) fn watchdog() -> Option<Duration> {
    None
}

/// The sign of life.
pub(crate) fn alive() {
    #[cfg(target_os = "linux")]
    systemd::alive();
}
