//! The log: tracing to standard error, filtered by `--log`, `PROXYFS_LOG` or the daemon's configuration, as text for people or, with
//! `--log-format json`, one JSON object a line ([`lines`]).
//!
//! Libraries that log whole requests, and with them session tokens, are never heard below `info`, whatever the filter says.

mod lines;

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
/// Environment variable with the format.
const FORMAT_VARIABLE: &str = "PROXYFS_LOG_FORMAT";

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object a line
    Json,
}

/// What is wished of the log in one place: a command line, the environment, a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The filter.
    pub(crate) level: Option<String>,
    pub(crate) format: Option<Format>,
}

impl Wish {
    /// The wish with what it leaves open taken from another.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { level: self.level.or(other.level), format: self.format.or(other.format) }
    }

    /// What the environment wishes.
    fn from_env() -> Outcome<Self> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let format = variable(FORMAT_VARIABLE).map(|text| {
            clap::ValueEnum::from_str(&text, true)
                .map_err(|why| Failure::usage("use", format!("{FORMAT_VARIABLE}={text}"), why, "write text or json"))
        });
        Ok(Self { level: variable(VARIABLE), format: format.transpose()? })
    }
}

/// Whether a text is a filter.
///
/// # Errors
/// Why not.
pub(crate) fn check_level(text: &str) -> Result<(), String> {
    EnvFilter::try_new(text).map(drop).map_err(|e| e.to_string())
}

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
    /// The terminal shows something else; nothing is logged unless that is asked for.
    Screen,
    /// It goes to a file.
    Background,
    /// It goes to the service's log, and the newest lines are kept for who asks.
    Service,
}

/// Starts logging as `given`, the environment, `configured` or [`default_filter`] say, in this order.
pub(crate) fn start(given: Wish, configured: Wish, purpose: Purpose) -> Outcome {
    let background = matches!(purpose, Purpose::Background | Purpose::Service);
    let wish = given.or(Wish::from_env()?).or(configured);
    let text = wish.level.unwrap_or_else(|| match purpose {
        Purpose::Screen => "off".to_owned(),
        Purpose::Terminal | Purpose::Background | Purpose::Service => default_filter(background),
    });
    let filter = EnvFilter::try_new(&text).map_err(|e| {
        let advice = "write error, warn, info, debug or trace, or for example proxyfs_core=debug";
        Failure::usage("use", format!("the log level {text:?}"), e.to_string(), advice)
    })?;
    let colours = std::io::stderr().is_terminal() && !background;
    let lines = lines::layer(wish.format.unwrap_or_default(), colours);
    let lines = lines.with_filter(filter.clone().and(filter_fn(may_be_told)));
    let kept = (purpose == Purpose::Service).then(|| Keep.with_filter(filter.and(filter_fn(may_be_told))));
    #[cfg(windows)]
    let told = crate::winservice::events::layer().map(|layer| layer.with_filter(filter_fn(is_serious)));
    #[cfg(not(windows))]
    let told: Option<tracing_subscriber::layer::Identity> = None;
    tracing_subscriber::registry().with(lines).with(kept).with(told).init();
    panic::set_hook(Box::new(|what| tracing::error!("defect: {what}")));
    Ok(())
}

/// Whether the system's own log is told, too.
#[cfg(windows)]
fn is_serious(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::WARN && may_be_told(metadata)
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
pub(crate) struct Text {
    pub(crate) message: String,
    pub(crate) fields: String,
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
