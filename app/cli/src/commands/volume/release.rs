//! `proxyfs volume release` and `take-over`: who may write.

use serde_json::json;

use super::{Context, open_and_close};
use crate::control::client;
use crate::failure::Outcome;
use crate::target::Target;

/// Claims the volume (by force with `take_over`), brings in what is staged here, and closes it cleanly, so that any computer may have it.
pub(crate) async fn run(cx: &Context, name: &str, take_over: bool) -> Outcome {
    let target = Target::registered(&cx.paths, name)?;
    let action = if take_over { "take over" } else { "release" };
    if client::running(&target.state_dir(&cx.paths)).await.is_some() {
        return Err(target.in_use(&cx.paths, action).await);
    }
    open_and_close(cx, &target, action, take_over).await?;
    let done = json!({ "volume": name, "released": true, "taken_over": take_over });
    cx.style.show(&done, || {
        let first = if take_over { "Took it over" } else { "Released it" };
        format!("{first}: everything of volume {name} is in the store, and any computer may mount it.")
    });
    Ok(())
}
