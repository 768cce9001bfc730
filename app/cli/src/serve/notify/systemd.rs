//! What systemd is told (sd_notify(3)).

use std::time::Duration;

use sd_notify::NotifyState;

/// Sends states; a manager that cannot be reached is only worth a line in the log.
fn send(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::debug!("the service manager cannot be told: {e}");
    }
}

/// It serves.
pub(crate) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read anew; [`ready`] follows.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(e) => tracing::debug!("the service manager is not told of the reload: {e}"),
    }
}

/// It is about to end, and may take so long.
pub(crate) fn stopping(status: &str, may_take: Duration) {
    let micros = u32::try_from(may_take.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::Stopping, NotifyState::Status(status), NotifyState::ExtendTimeoutUsec(micros)]);
}

/// A line for people who look at the service.
pub(crate) fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// How often the manager wants a sign of life, halved so that a late one is still in time.
pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|wanted| wanted / 2)
}

/// The sign of life.
pub(crate) fn alive() {
    send(&[NotifyState::Watchdog]);
}
