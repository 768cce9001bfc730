//! `proxyfs flush`: everything into the store, and a head that covers it.

use serde_json::json;

use super::Context;
use crate::control::{Request, client};
use crate::failure::Outcome;
use crate::options::Given;
use crate::target::Target;

/// Asks the process that has the volume mounted, or opens and closes it here to bring up what was left staged.
pub(crate) async fn run(cx: &Context, name: &str) -> Outcome {
    let target = Target::resolve(&cx.paths, name, &Given::new()).await?;
    let asked = client::ask(&target.state_dir(&cx.paths), Request::Flush, |line| cx.style.progress(line)).await?;
    let left = match asked {
        Some(status) => status["volume"]["waiting_bytes"].as_u64().unwrap_or(0),
        None => {
            super::volume::open_and_close(&cx.paths, &target, "flush", false).await?;
            0
        }
    };
    let done = json!({ "flushed": target.label(), "waiting_bytes": left });
    cx.style.show(&done, || format!("Everything in {} is in the store.", target.subject()));
    Ok(())
}
