//! `proxyfs reload`: the daemon reads its configuration anew.

use proxyfs_control::types::volume::Applied;

use super::Context;
use crate::failure::{Failure, Outcome};
use crate::serve::ask;

/// Asks the daemon, and says what came of it.
pub(crate) async fn run(cx: &Context) -> Outcome {
    let Some(daemon) = ask::daemon(&cx.paths).await else {
        let advice = "start one: proxyfs serve";
        return Err(Failure::new("reload", "the configuration", "no daemon runs here", advice));
    };
    let applied = daemon.reload().await.map_err(|e| ask::failure("reload", "the configuration", &e))?;
    cx.style.show(&applied, || text(&applied));
    Ok(())
}

fn text(applied: &Applied) -> String {
    let lines =
        |title: &str, items: Vec<String>| items.into_iter().map(move |i| format!("{title} {i}")).collect::<Vec<_>>();
    let mut all = lines("applied:        ", applied.applied.clone());
    all.extend(lines("at the next mount:", applied.needs_remount.clone()));
    all.extend(lines("not applied:    ", applied.refused.iter().map(|r| format!("{}: {}", r.what, r.why)).collect()));
    if all.is_empty() { "Nothing has changed.".to_owned() } else { all.join("\n") }
}
