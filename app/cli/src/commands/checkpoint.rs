//! `proxyfs checkpoint`: a checkpoint of a mounted volume, now.

use serde_json::json;

use super::Context;
use crate::control::{Request, client};
use crate::failure::{Failure, Outcome};
use crate::options::Given;
use crate::target::Target;

/// Asks the process that has the volume mounted.
pub(crate) async fn run(cx: &Context, name: &str) -> Outcome {
    let target = Target::resolve(&cx.paths, name, &Given::new()).await?;
    let asked = client::ask(&target.state_dir(&cx.paths), Request::Checkpoint, |line| cx.style.progress(line)).await?;
    let answer = asked.ok_or_else(|| {
        let advice = "mount it first; a volume that was unmounted cleanly has its checkpoint";
        Failure::new("checkpoint", target.subject(), "it is not mounted on this computer", advice)
    })?;
    let head = answer["status"]["volume"]["head_seq"].clone();
    let done = json!({ "checkpoint": target.label(), "lsn": answer["lsn"], "head_seq": head });
    cx.style.show(&done, || format!("Checkpoint of {}: head {head} covers LSN {}.", target.subject(), answer["lsn"]));
    Ok(())
}
