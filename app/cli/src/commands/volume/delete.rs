//! `proxyfs volume delete`: forgets a name. Nothing in the store and no staged data is touched.

use serde_json::json;

use super::Context;
use crate::control::client;
use crate::failure::Outcome;
use crate::registry::Registry;
use crate::target::Target;

/// Removes the name from the registry, unless the volume is mounted.
pub(crate) async fn run(cx: &Context, name: &str) -> Outcome {
    let target = Target::registered(&cx.paths, name)?;
    let state_dir = target.state_dir(&cx.paths);
    if client::running(&state_dir).await.is_some() {
        return Err(target.in_use(&cx.paths, "delete").await);
    }
    Registry::new(cx.paths.registry()).remove(name)?;
    let done = json!({ "deleted": name, "store": target.url.to_string(), "state_dir": state_dir });
    cx.style.show(&done, || {
        format!(
            "Forgot volume {name}. Its data stays at {}; mount it by that URL. Its local state stays in {}.",
            target.url,
            state_dir.display()
        )
    });
    Ok(())
}
