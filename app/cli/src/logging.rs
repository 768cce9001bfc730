//! The log: tracing to standard error, filtered by `--log` or `PROXYFS_LOG`.
//!
//! Libraries that log whole requests, and with them session tokens, are never heard below `info`, whatever the filter says.

use std::fmt::{self, Write};
use std::io::IsTerminal;
use std::panic;
use std::sync::{Arc, LazyLock};

use proxyfs_control::ring::Ring;
use proxyfs_control::types::logs::{Level as Weight, LogLine};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::failure::{Failure, Outcome};

/// Environment variable with the filter.
const VARIABLE: &str = "PROXYFS_LOG";

/// Beginnings of the targets of libraries that see secrets.
const SECRETIVE: &[&str] = &["aws", "h2", "hyper", "keyring", "rustls", "secret_service", "zbus", "zvariant"];

/// Added to the default level: the FUSE library calls it an error when the kernel no longer waits for a reply, as after an interrupted
/// request, and the AWS libraries warn of each place that has no credentials, with all their internals. What goes wrong for a user is
/// said by this program itself.
const QUIET: &str = "fuser=off,aws_config=off";

/// The filter when none is given. In the background `info`, as nobody looks at the terminal; else `warn`.
fn default_filter(background: bool) -> String {
    format!("{},{QUIET}", if background { "info" } else { "warn" })
}

/// The newest lines, for who asks the daemon; filled only if [`start`] was told to keep them.
static KEPT: LazyLock<Arc<Ring<LogLine>>> = LazyLock::new(|| Arc::new(Ring::new()));

/// The newest lines of a process that keeps them.
pub(crate) fn kept() -> Arc<Ring<LogLine>> {
    Arc::clone(&KEPT)
}

/// What becomes of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A person reads it now.
    Terminal,
    /// It goes to a file.
    Background,
    /// It goes to the service's log, and the newest lines are kept for who asks.
    Service,
}

/// Starts logging, with `given`, the environment's filter or [`default_filter`].
pub(crate) fn start(given: Option<&str>, purpose: Purpose) -> Outcome {
    let background = purpose != Purpose::Terminal;
    let text = given.map(str::to_owned).or_else(|| std::env::var(VARIABLE).ok()).filter(|t| !t.is_empty());
    let text = text.unwrap_or_else(|| default_filter(background));
    let filter = EnvFilter::try_new(&text).map_err(|e| {
        let advice = "write error, warn, info, debug or trace, or for example proxyfs_core=debug";
        Failure::usage("use", format!("the log level {text:?}"), e.to_string(), advice)
    })?;
    let colours = std::io::stderr().is_terminal() && !background;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let lines = lines.with_filter(filter.clone().and(filter_fn(may_be_told)));
    let kept = (purpose == Purpose::Service).then(|| Keep.with_filter(filter.and(filter_fn(may_be_told))));
    tracing_subscriber::registry().with(lines).with(kept).init();
    panic::set_hook(Box::new(|what| tracing::error!("defect: {what}")));
    Ok(())
}

/// Keeps lines in [`KEPT`]; they lose what looks like a secret on the way.
#[derive(Debug)]
struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let weight = match *metadata.level() {
            Level::ERROR => Weight::Error,
            Level::WARN => Weight::Warn,
            Level::INFO => Weight::Info,
            Level::DEBUG => Weight::Debug,
            Level::TRACE => Weight::Trace,
        };
        let message = format!("{}{}", text.message, text.fields);
        KEPT.publish(LogLine::new(crate::serve::unix_now(), weight, metadata.target(), &message));
    }
}

/// An event's message, and its fields behind it.
#[derive(Debug, Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Text never fails to be written to memory.
        let _infallible = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        }
        .is_ok();
    }
}

/// Whether an event of this kind can hold no secret.
fn may_be_told(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || !SECRETIVE.iter().any(|begin| metadata.target().starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_shows_errors_of_the_program_and_none_of_its_libraries() {
        for background in [false, true] {
            let filter = EnvFilter::try_new(default_filter(background)).expect("a filter");
            let subscriber = tracing_subscriber::registry().with(filter);
            tracing::subscriber::with_default(subscriber, || {
                assert!(!tracing::enabled!(target: "fuser::reply", tracing::Level::ERROR));
                assert!(!tracing::enabled!(target: "aws_config::meta::credentials::chain", tracing::Level::WARN));
                assert!(tracing::enabled!(target: "proxyfs_core::volume", tracing::Level::WARN));
                assert!(tracing::enabled!(target: "proxyfs_fuse::adapter", tracing::Level::ERROR));
                assert_eq!(tracing::enabled!(target: "proxyfs", tracing::Level::INFO), background);
            });
        }
    }
}
