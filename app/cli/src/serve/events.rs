//! What happens to volumes, as events: found by looking at each mounted volume once a second, from memory.
//!
//! Nothing here asks a store. Problems that last are kept in a book, with an event when one begins and ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proxyfs_control::ring::{Next, Ring};
use proxyfs_control::types::event::{EventKind, News};
use proxyfs_control::types::logs::{Level, LogLine};
use proxyfs_control::types::problem::{LastingProblem, Severity};
use proxyfs_core::volume::{ConnectionState, VolumeStatus};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::held::sentence;
use crate::serve::host::Host;
use crate::serve::hosted::{Current, Hosted, Live};

/// Time between looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Looks from one count of what a volume holds back to the next, while it holds back anything.
const RECOUNT_EVERY: u32 = 10;

/// Seconds since 1970.
pub(crate) fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// Publishes an event; `data` is an object.
pub(crate) fn publish(ring: &Ring<News>, volume: Option<&str>, kind: EventKind, data: Value) {
    let data = match data {
        Value::Object(map) => map,
        other => Map::from_iter([("value".to_owned(), other)]),
    };
    ring.publish(News { time: unix_now(), volume: volume.map(str::to_owned), kind, data });
}

/// What is wrong with a volume: its name in the book, how bad, cause and remedy.
type Trouble = (&'static str, Severity, String, String);

/// Problems that last, by volume and name.
#[derive(Debug, Default)]
pub(crate) struct Book {
    next_id: u64,
    open: BTreeMap<(String, &'static str), LastingProblem>,
}

impl Book {
    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<LastingProblem> {
        let mut all: Vec<_> = self.open.values().cloned().collect();
        all.sort_by_key(|p| p.id);
        all
    }

    /// Takes over what is wrong with a volume now; gives what began and what ended.
    fn update(&mut self, volume: &str, now: Vec<Trouble>) -> (Vec<LastingProblem>, Vec<LastingProblem>) {
        let is_gone = |(name, key): &(String, &'static str)| name == volume && !now.iter().any(|t| t.0 == *key);
        let gone: Vec<_> = self.open.keys().filter(|k| is_gone(k)).cloned().collect();
        let ended = gone.iter().filter_map(|key| self.open.remove(key)).collect();
        let mut begun = Vec::new();
        for (key, severity, cause, remedy) in now {
            match self.open.get_mut(&(volume.to_owned(), key)) {
                Some(known) => (known.cause, known.remedy) = (cause, remedy),
                None => {
                    self.next_id += 1;
                    let (id, volume) = (self.next_id, volume.to_owned());
                    let since = unix_now();
                    let problem = LastingProblem { id, volume: Some(volume.clone()), since, severity, cause, remedy };
                    self.open.insert((volume, key), problem.clone());
                    begun.push(problem);
                }
            }
        }
        (begun, ended)
    }

    /// Forgets a volume.
    pub(crate) fn forget(&mut self, volume: &str) {
        self.open.retain(|(name, _), _| name != volume);
    }
}

/// What is wrong with a volume now.
fn troubles(hosted: &Hosted) -> Vec<Trouble> {
    let failed = |key, severity, f: &Failure| {
        (key, severity, format!("cannot {} {}: {}", f.action, f.subject, f.why), f.advice.clone())
    };
    let mut found = match hosted.current() {
        Current::Idle | Current::Opening(None) => Vec::new(),
        Current::Opening(Some(failure)) => vec![failed("opening", Severity::Warning, &failure)],
        Current::Failed(failure) => vec![failed("failed", Severity::Error, &failure)],
        Current::Mounted(live) => of_mounted(&hosted.name, &live.volume.status(), live.mounted.is_poisoned()),
    };
    if let Some(held) = hosted.held() {
        let cause = format!("{}; they are in {}", sentence(&held), held.place);
        found.push(("held", Severity::Warning, cause, held.to_do));
    }
    found
}

fn of_mounted(name: &str, status: &VolumeStatus, poisoned: bool) -> Vec<Trouble> {
    let mut found = Vec::new();
    if status.fenced {
        let cause = "another owner has the volume; changes made here since are not published".to_owned();
        let remedy = format!(
            "if it should be here: proxyfs volume take-over {name}. Once the other owner gives it up and no program uses this drive, it is mounted \
             for writing again by itself, and what was not published comes back as a folder; until then it stays on this computer"
        );
        found.push(("fenced", Severity::Error, cause, remedy));
    } else if let Some(why) = &status.halted {
        let remedy = "unmount and mount it again; if that does not help, look at the log".to_owned();
        found.push(("halted", Severity::Error, format!("the volume takes no changes: {why}"), remedy));
    }
    if poisoned {
        let cause = "the program met a defect of its own and takes no more changes to this volume".to_owned();
        found.push(("defect", Severity::Error, cause, "unmount and mount it again, and report the log".to_owned()));
    }
    if let Some(problem) = &status.problem {
        match status.connection {
            ConnectionState::Offline => {
                let remedy = "changes are kept on this computer and go up when the store is back; check the network and the store";
                found.push(("offline", Severity::Warning, problem.clone(), remedy.to_owned()));
            }
            ConnectionState::Online => {
                let remedy = "it is tried again; check the store, its space and the credentials' rights".to_owned();
                found.push(("store", Severity::Error, problem.clone(), remedy));
            }
        }
    }
    found
}

/// What was seen of a volume at the last look.
#[derive(Debug, Default)]
struct Seen {
    /// The mount that this is of: the next one begins anew.
    live: Weak<Live>,
    recovered: usize,
    offline: bool,
    fenced: bool,
    head_seq: u64,
    waiting_bytes: u64,
}

/// Looks at all volumes again and again.
pub(crate) async fn look(host: Arc<Host>) {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let (mut counted, mut looks) = (BTreeMap::new(), 0u32);
    let mut beat = tokio::time::interval(LOOK_INTERVAL);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        looks = looks.wrapping_add(1);
        for hosted in host.all() {
            let now = held_turns_on(&hosted);
            let is_due = looks % RECOUNT_EVERY == 0 && hosted.held().is_some();
            if is_due || counted.get(&hosted.name) != Some(&now) {
                hosted.count_held(&host.paths).await;
                counted.insert(hosted.name.clone(), now);
            }
            host.note_troubles(&hosted);
            match hosted.live() {
                Some(live) => {
                    let seen = seen.entry(hosted.name.clone()).or_default();
                    if !Weak::ptr_eq(&seen.live, &Arc::downgrade(&live)) {
                        *seen = Seen { live: Arc::downgrade(&live), ..Seen::default() };
                    }
                    compare(&host, &hosted.name, seen, &live.volume.status());
                }
                None => drop(seen.remove(&hosted.name)),
            }
        }
    }
}

/// What decides what a volume holds back: its uuid, whether its term is lost, and what was handed over, if it is open.
fn held_turns_on(hosted: &Hosted) -> (Option<String>, Option<(bool, usize)>) {
    (hosted.wanted().uuid, hosted.status().map(|status| (status.fenced, status.recovered.len())))
}

fn compare(host: &Host, name: &str, seen: &mut Seen, status: &VolumeStatus) {
    let say = |kind, data| publish(&host.events, Some(name), kind, data);
    let offline = status.connection == ConnectionState::Offline;
    if offline != seen.offline {
        let kind = if offline { EventKind::Offline } else { EventKind::Online };
        say(kind, json!({ "problem": status.problem }));
    }
    if status.fenced && !seen.fenced {
        say(EventKind::Fenced, json!({ "waiting_bytes": status.waiting_bytes }));
    }
    for folder in status.recovered.iter().skip(seen.recovered) {
        say(EventKind::Recovered, json!({ "folder": folder.folder, "files": folder.files }));
    }
    if status.head_seq != seen.head_seq && seen.head_seq != 0 {
        say(EventKind::Checkpoint, json!({ "head_seq": status.head_seq, "lsn": status.head_lsn }));
    }
    if status.waiting_bytes != seen.waiting_bytes {
        let data = json!({ "waiting_bytes": status.waiting_bytes, "waiting_segments": status.waiting_segments });
        say(EventKind::QueueProgress, data);
    }
    let (head_seq, waiting_bytes) = (status.head_seq, status.waiting_bytes);
    seen.recovered = status.recovered.len();
    (seen.offline, seen.fenced, seen.head_seq, seen.waiting_bytes) = (offline, status.fenced, head_seq, waiting_bytes);
}

impl Host {
    /// Brings the book up to date with a volume, and says what began and ended.
    pub(crate) fn note_troubles(&self, hosted: &Hosted) {
        let (begun, ended) = self.book.lock().update(&hosted.name, troubles(hosted));
        for (problems, kind) in [(begun, EventKind::Problem), (ended, EventKind::ProblemSolved)] {
            for p in problems {
                let data = json!({ "id": p.id, "cause": p.cause, "remedy": p.remedy });
                publish(&self.events, Some(&hosted.name), kind, data);
            }
        }
    }
}

/// Makes events of the lines of the log that matter.
pub(crate) async fn tell_log(logs: Arc<Ring<LogLine>>, events: Arc<Ring<News>>) {
    let mut follower = logs.follow(None);
    loop {
        if let Next::Entry(_, line) = follower.next().await
            && matches!(line.level, Level::Error | Level::Warn)
        {
            let data = json!({ "level": line.level, "target": line.target, "message": line.message });
            publish(&events, None, EventKind::Log, data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_begin_once_keep_their_id_and_end() {
        let mut book = Book::default();
        let trouble = |cause: &str| ("offline", Severity::Warning, cause.to_owned(), "wait".to_owned());
        assert_eq!(book.update("a", vec![trouble("x")]).0.len(), 1);
        let (begun, ended) = book.update("a", vec![trouble("y")]);
        assert!(begun.is_empty() && ended.is_empty());
        assert_eq!((book.all()[0].id, book.all()[0].cause.as_str()), (1, "y"));
        assert!(book.update("b", Vec::new()).1.is_empty());
        assert_eq!(book.update("a", Vec::new()).1.len(), 1);
        assert!(book.all().is_empty());
    }
}
