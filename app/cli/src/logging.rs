//! The log: tracing to standard error, filtered by `--log` or `PROXYFS_LOG`.
//!
//! Libraries that log whole requests, and with them session tokens, are never heard below `info`, whatever the filter says.

use std::io::IsTerminal;
use std::panic;

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
/// request. What goes wrong for a user is logged by this program's own targets.
const QUIET: &str = "fuser=off";

/// The filter when none is given. In the background `info`, as nobody looks at the terminal; else `warn`.
fn default_filter(background: bool) -> String {
    format!("{},{QUIET}", if background { "info" } else { "warn" })
}

/// Starts logging, with `given`, the environment's filter or [`default_filter`].
pub(crate) fn start(given: Option<&str>, background: bool) -> Outcome {
    let text = given.map(str::to_owned).or_else(|| std::env::var(VARIABLE).ok()).filter(|t| !t.is_empty());
    let text = text.unwrap_or_else(|| default_filter(background));
    let filter = EnvFilter::try_new(&text).map_err(|e| {
        let advice = "write error, warn, info, debug or trace, or for example proxyfs_core=debug";
        Failure::usage("use", format!("the log level {text:?}"), e.to_string(), advice)
    })?;
    let colours = std::io::stderr().is_terminal() && !background;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    tracing_subscriber::registry().with(lines.with_filter(filter.and(filter_fn(may_be_told)))).init();
    panic::set_hook(Box::new(|what| tracing::error!("defect: {what}")));
    Ok(())
}

/// Whether an event of this kind can hold no secret.
fn may_be_told(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || !SECRETIVE.iter().any(|begin| metadata.target().starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_shows_errors_of_the_program_and_none_of_the_fuse_library() {
        for background in [false, true] {
            let filter = EnvFilter::try_new(default_filter(background)).expect("a filter");
            let subscriber = tracing_subscriber::registry().with(filter);
            tracing::subscriber::with_default(subscriber, || {
                assert!(!tracing::enabled!(target: "fuser::reply", tracing::Level::ERROR));
                assert!(tracing::enabled!(target: "proxyfs_core::volume", tracing::Level::WARN));
                assert!(tracing::enabled!(target: "proxyfs_fuse::adapter", tracing::Level::ERROR));
                assert_eq!(tracing::enabled!(target: "proxyfs", tracing::Level::INFO), background);
            });
        }
    }
}
