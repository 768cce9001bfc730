//! The way back of a volume that another owner took: mounted anew for writing once that owner has given it up.
//!
//! Until then the mount stays as it is, readable. Nobody who has files open in it is cut off: while it is in use it is tried again. Does not
//! take a volume from anybody (`volume take-over` does), and asks the store nothing about a volume that is not fenced.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use crate::serve::host::Host;
use crate::serve::hosted::{Hosted, Live};

/// Time between looks. Each is a listing of heads and a read or two.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Watches a mount for as long as it lasts, in a task of its own.
pub(crate) fn when_free(hosted: &Arc<Hosted>, host: &Arc<Host>, live: &Arc<Live>) {
    let (hosted, host, live) = (Arc::clone(hosted), Arc::clone(host), Arc::downgrade(live));
    tokio::spawn(async move {
        while !has_ended(&hosted, &host, &live).await {
            sleep(LOOK_INTERVAL).await;
        }
    });
}

/// Looks once. Whether there is nothing more to look at.
async fn has_ended(hosted: &Arc<Hosted>, host: &Arc<Host>, live: &Weak<Live>) -> bool {
    let Some(live) = live.upgrade() else { return true };
    if !live.volume.status().fenced {
        return false;
    }
    match live.volume.is_free().await {
        Ok(true) => {}
        Ok(false) => return false,
        Err(error) => {
            tracing::debug!(volume = hosted.name, "whether it can be had again is not known: {error}");
            return false;
        }
    }
    match hosted.renew(host, live).await {
        Ok(true) => {
            tracing::info!(volume = hosted.name, "the other owner has given the volume up; it is mounted anew");
            true
        }
        Ok(false) => {
            tracing::info!(
                volume = hosted.name,
                "the volume is free again; it is mounted anew once no program uses the drive"
            );
            false
        }
        Err(failure) => {
            tracing::warn!(volume = hosted.name, "{failure}");
            false
        }
    }
}
