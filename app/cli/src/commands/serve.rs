//! `proxyfs serve`: the daemon, or only a check of its configuration.

use super::Context;
use crate::cli::Serve;
use crate::failure::Outcome;

/// Hosts volumes until it is told to stop.
pub(crate) async fn run(cx: &Context, args: &Serve) -> Outcome {
    crate::serve::run(&cx.paths, cx.style, args).await
}
