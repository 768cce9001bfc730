//! The log: tracing to standard error, filtered by `--log` or `PROXYFS_LOG`.

use std::io::IsTerminal;
use std::panic;

use tracing_subscriber::EnvFilter;

use crate::failure::{Failure, Outcome};

/// Environment variable with the filter.
const VARIABLE: &str = "PROXYFS_LOG";

/// Starts logging. In the background the default is `info`, as nobody looks at the terminal; else `warn`.
pub(crate) fn start(given: Option<&str>, background: bool) -> Outcome {
    let text = given.map(str::to_owned).or_else(|| std::env::var(VARIABLE).ok()).filter(|t| !t.is_empty());
    let text = text.unwrap_or_else(|| if background { "info" } else { "warn" }.to_owned());
    let filter = EnvFilter::try_new(&text).map_err(|e| {
        let advice = "write error, warn, info, debug or trace, or for example proxyfs_core=debug";
        Failure::usage("use", format!("the log level {text:?}"), e.to_string(), advice)
    })?;
    let colours = std::io::stderr().is_terminal() && !background;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    panic::set_hook(Box::new(|what| tracing::error!("defect: {what}")));
    Ok(())
}
