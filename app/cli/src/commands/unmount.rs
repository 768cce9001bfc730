//! `proxyfs unmount`: through the process that serves the mount, so that it ends cleanly; without one, through the OS.

use std::path::Path;

use serde_json::json;

use super::{Context, status};
use crate::control::{Request, client};
use crate::failure::{Failure, Outcome};
use crate::mounts;

/// Unmounts and waits until the process has ended.
pub(crate) async fn run(cx: &Context, dir: &Path) -> Outcome {
    let subject = dir.display().to_string();
    let path = mounts::resolve(dir).map_err(|e| Failure::io("unmount", &subject, &e))?;
    let running = status::all_running(&cx.paths).await;
    if let Some(found) = running.into_iter().find(|r| r.mount_point() == path) {
        let said = client::ask(&found.state_dir, Request::Unmount, |line| cx.style.progress(line)).await?;
        let said = said.unwrap_or_else(|| json!({ "unmounted": path }));
        cx.style.show(&said, || text(&said));
        return Ok(());
    }
    match mounts::type_at(&path).map_err(|e| Failure::io("read", "the table of mounts", &e))? {
        Some(kind) if mounts::is_ours(&kind) => {
            mounts::take_away(&path).map_err(|e| Failure::io("unmount", &subject, &e))?;
            let done = json!({ "unmounted": path });
            cx.style.show(&done, || format!("Unmounted {subject}; the process that served it does not answer."));
            Ok(())
        }
        Some(kind) => {
            let why = format!("a file system of type {kind} is mounted there, not a volume of ours");
            Err(Failure::new("unmount", subject, why, "use umount for it"))
        }
        None => {
            let advice = "look where volumes are mounted: proxyfs status";
            Err(Failure::new("unmount", subject, "nothing is mounted there", advice))
        }
    }
}

fn text(said: &serde_json::Value) -> String {
    let ended: Result<crate::session::Ended, _> = serde_json::from_value(said.clone());
    ended.map_or_else(|_| "Unmounted.".to_owned(), |ended| ended.text())
}
