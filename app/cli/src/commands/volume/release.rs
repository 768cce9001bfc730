//! `proxyfs volume release` and `take-over`: who may write.

use proxyfs_control::types::volume::VolumeState;
use serde_json::json;

use super::{Context, open_and_close};
use crate::control::client;
use crate::failure::Outcome;
use crate::serve::ask;
use crate::target::Target;

/// Claims the volume (by force with `take_over`), brings in what is staged here, and closes it cleanly, so that any computer may have it.
pub(crate) async fn run(cx: &Context, name: &str, take_over: bool) -> Outcome {
    let target = Target::registered(&cx.paths, name)?;
    let mut place = None;
    let action = if take_over { "take over" } else { "release" };
    let in_daemon = ask::daemon_with(&cx.paths, name, |v| v.summary.state != VolumeState::Unmounted).await;
    if let Some((daemon, name)) = in_daemon {
        let progress = |line: &str| cx.style.progress(line);
        let done =
            if take_over { daemon.take_over(&name, progress).await } else { daemon.release(&name, progress).await };
        let volume = done.map_err(|e| ask::failure(action, &target.subject(), &e))?;
        place = volume.summary.mount_points.into_iter().next();
    } else if client::running(&target.state_dir(&cx.paths)).await.is_some() {
        return Err(target.in_use(&cx.paths, action).await);
    } else {
        open_and_close(&cx.paths, &target, action, take_over).await?;
    }
    let done = json!({ "volume": name, "released": place.is_none(), "taken_over": take_over, "mount_point": place });
    cx.style.show(&done, || {
        if let Some(place) = &place {
            return format!("Took it over: volume {name} is mounted on {place}.");
        }
        let first = if take_over { "Took it over" } else { "Released it" };
        format!("{first}: everything of volume {name} is in the store, and any computer may mount it.")
    });
    Ok(())
}
