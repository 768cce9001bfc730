//! Whether this process can go on with its work, or only a new start will help.
//!
//! Asks every mounted volume in a thread of its own and waits for none of them long: locks that are never given back, operations that
//! never end and tasks that have died show as stuck. A store that is away, a volume that failed to mount and one that was fenced do not:
//! a new start would not mend them. That the runtime itself is stuck shows by no answer at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proxyfs_control::types::daemon::{Alive, Stuck};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::serve::host::Host;
use crate::serve::hosted::Live;

/// How long a volume's locks may be held.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at everything at once.
pub(crate) async fn look(host: &Arc<Host>) -> Alive {
    let own = Arc::clone(host);
    let listing = spawn_blocking(move || {
        let mounted = |h: Arc<super::hosted::Hosted>| h.live().map(|live| (h.name.clone(), live));
        own.all().into_iter().filter_map(mounted).collect::<Vec<_>>()
    });
    let Ok(Ok(mounted)) = timeout(PATIENCE, listing).await else {
        let why = "the list of volumes is locked".to_owned();
        return Alive { alive: false, stuck: vec![Stuck { volume: None, why }] };
    };
    let looks: Vec<_> = mounted.into_iter().map(|(name, live)| (name, tokio::spawn(look_at(live)))).collect();
    let mut stuck = Vec::new();
    for (name, look) in looks {
        let why = look.await.unwrap_or_else(|e| Some(format!("looking at it failed: {e}")));
        stuck.extend(why.map(|why| Stuck { volume: Some(name), why }));
    }
    Alive { alive: stuck.is_empty(), stuck }
}

/// Why a mounted volume is stuck, if it is.
async fn look_at(live: Arc<Live>) -> Option<String> {
    const LOCKED: &str = "its locks are never given back";
    // An earlier look that still waits is an answer, and one thread is enough to wait.
    if live.looking.swap(true, Ordering::AcqRel) {
        let waiting = async {
            while live.looking.load(Ordering::Acquire) {
                tokio::time::sleep(PATIENCE / 50).await;
            }
        };
        return timeout(PATIENCE, waiting).await.is_err().then(|| LOCKED.to_owned());
    }
    let looking = spawn_blocking(move || {
        let stuck = live.volume.stuck();
        live.looking.store(false, Ordering::Release);
        stuck
    });
    match timeout(PATIENCE, looking).await {
        Ok(Ok(stuck)) => stuck,
        Ok(Err(e)) => Some(format!("looking at it failed: {e}")),
        Err(_) => Some(LOCKED.to_owned()),
    }
}
