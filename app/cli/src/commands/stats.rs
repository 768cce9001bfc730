//! `proxyfs stats`: what volumes do, once or again and again.

use super::Context;
use crate::cli::Stats;
use crate::failure::{Failure, Outcome};
use crate::output::Style;
use crate::stats::source::Source;
use crate::stats::{screen, text};

/// Shows the numbers of one volume or all.
pub(crate) async fn run(cx: &Context, args: &Stats) -> Outcome {
    let mut source = Source::new(cx.paths.clone(), args.name.clone());
    if !args.watch {
        let stats = source.look().await?;
        cx.style.show(&stats, || text::show(&stats));
        return Ok(());
    }
    if cx.style == Style::Json {
        let advice = "leave out one of them";
        return Err(Failure::usage("watch", "volumes", "--json and --watch do not go together", advice));
    }
    screen::run(source, args.interval).await
}
