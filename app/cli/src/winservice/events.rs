//! Entries of the service in Windows' Event Log: its warnings and errors, and that it started and stopped.

use std::sync::LazyLock;

use proxyfs_windows::event_log::{EventLog, Level};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::{NAME, runner};
use crate::logging::Text;

/// Numbers of events; any that the message file has (1 to 1000).
const SAID: u32 = 1;
const STARTED: u32 = 2;
const STOPPED: u32 = 3;

static LOG: LazyLock<Option<EventLog>> = LazyLock::new(|| EventLog::open(NAME).ok());

/// Tells the Event Log what is logged, if this process is the service.
pub(crate) fn layer() -> Option<Told> {
    runner::is_service().then_some(Told)
}

/// Notes that the service serves.
pub(super) fn started() {
    write(Level::Information, STARTED, "ProxyFS serves its volumes.");
}

/// Notes that the service has ended, and how.
pub(super) fn stopped(failed: bool) {
    if failed {
        write(
            Level::Error,
            STOPPED,
            "ProxyFS ended with a failure; what is not in a store yet is staged on this computer.",
        );
    } else {
        write(Level::Information, STOPPED, "ProxyFS has unmounted its volumes and ended.");
    }
}

/// Notes that the service cannot even begin.
pub(super) fn failed(text: &str) {
    write(Level::Error, SAID, text);
}

fn write(level: Level, event: u32, text: &str) {
    if let Some(Err(e)) = LOG.as_ref().map(|log| log.write(level, event, text)) {
        // Not to the log, which may have led here.
        let _nowhere_to_tell = e;
    }
}

/// The layer.
#[derive(Debug)]
pub(crate) struct Told;

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = if *event.metadata().level() == tracing::Level::ERROR { Level::Error } else { Level::Warning };
        let text = proxyfs_control::redact::redact(&format!("{}{}", text.message, text.fields));
        write(level, SAID, &text);
    }
}
