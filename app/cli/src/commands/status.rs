//! `proxyfs status`: how volumes are, asked of the processes that have them mounted.

use std::fs;
use std::path::Path;

use proxyfs_control::types::volume::{HeldData, VolumeState};
use serde_json::{Value, json};

use super::Context;
use crate::control::client::{self, Running};
use crate::failure::Outcome;
use crate::held::{Fenced, held, sentence};
use crate::output::table;
use crate::paths::Paths;
use crate::registry::Registry;
use crate::serve::{ask, unix_now};
use crate::target::Target;
use crate::units::about_size;

/// Shows one volume, or all that are registered or mounted.
pub(crate) async fn run(cx: &Context, name: Option<&str>) -> Outcome {
    match name {
        Some(name) => one(cx, name).await,
        None => all(cx).await,
    }
}

/// Every volume that a process of this user serves.
pub(crate) async fn all_running(paths: &Paths) -> Vec<Running> {
    let entries = fs::read_dir(paths.states()).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for entry in entries {
        found.extend(client::running(&entry.path()).await);
    }
    found
}

async fn one(cx: &Context, name: &str) -> Outcome {
    let target = Target::registered(&cx.paths, name)?;
    let running = client::running(&target.state_dir(&cx.paths)).await;
    let state_dir = target.state_dir(&cx.paths);
    let value = describe(Some(name), &target.uuid, &target.url.to_string(), &state_dir, running.as_ref());
    let mut volumes = vec![value];
    add_tried(cx, &mut volumes, Some(name)).await;
    let value = volumes.swap_remove(0);
    cx.style.show(&value, || details(&value));
    Ok(())
}

async fn all(cx: &Context) -> Outcome {
    let mut running = all_running(&cx.paths).await;
    let mut volumes = Vec::new();
    for (name, entry) in Registry::new(cx.paths.registry()).load()? {
        let state_dir = cx.paths.state_of(&entry.uuid);
        let at = running.iter().position(|r| r.state_dir == state_dir);
        let serving = at.map(|at| running.swap_remove(at));
        volumes.push(describe(Some(&name), &entry.uuid, &entry.store, &state_dir, serving.as_ref()));
    }
    for other in &running {
        let [uuid, store] = ["uuid", "store"].map(|key| other.status["volume"][key].as_str().unwrap_or("").to_owned());
        volumes.push(describe(None, &uuid, &store, &other.state_dir, Some(other)));
    }
    add_tried(cx, &mut volumes, None).await;
    cx.style.show(&json!({ "volumes": volumes }), || overview(&volumes));
    Ok(())
}

/// Adds what the daemon says of volumes that it tries to mount: of all, or of one.
async fn add_tried(cx: &Context, volumes: &mut Vec<Value>, only: Option<&str>) {
    let Some(daemon) = ask::daemon(&cx.paths).await else { return };
    let Ok(known) = daemon.volumes().await else { return };
    let problems = daemon.problems().await.map(|p| p.problems).unwrap_or_default();
    let tried = |state| matches!(state, VolumeState::Opening | VolumeState::Failed);
    let is_meant = |name: &str| only.is_none_or(|only| only == name);
    for volume in known.volumes.into_iter().filter(|v| tried(v.state) && is_meant(&v.name)) {
        let at = volumes.iter().position(|v| v["name"] == volume.name.as_str()).unwrap_or_else(|| {
            let state_dir = cx.paths.state_of(&volume.uuid);
            volumes.push(describe(Some(&volume.name), &volume.uuid, &volume.store, &state_dir, None));
            volumes.len() - 1
        });
        let causes: Vec<&str> =
            problems.iter().filter(|p| p.volume.as_deref() == Some(&volume.name)).map(|p| p.cause.as_str()).collect();
        volumes[at]["state"] = json!(volume.state);
        volumes[at]["problem"] = json!((!causes.is_empty()).then(|| causes.join("; ")));
    }
}

fn describe(name: Option<&str>, uuid: &str, store: &str, state_dir: &Path, running: Option<&Running>) -> Value {
    let open = running.map(|r| Fenced(r.status["volume"]["fenced"].as_bool().unwrap_or_default()));
    let held = held(name.unwrap_or(store), state_dir, open);
    json!({
        "name": name,
        "uuid": uuid,
        "store": store,
        "mounted": running.is_some(),
        "mount_point": running.map(|r| r.mount_point().to_owned()),
        "pid": running.map(Running::pid),
        "held": held,
        "volume": running.map(|r| r.status["volume"].clone()),
    })
}

fn overview(volumes: &[Value]) -> String {
    if volumes.is_empty() {
        return "No volumes yet. Create one: proxyfs volume create NAME --store URL; or: proxyfs quickstart".to_owned();
    }
    let head = ["VOLUME", "MOUNTED ON", "STORE", "TO UPLOAD"].map(str::to_owned).to_vec();
    let rows = volumes.iter().map(|v| {
        let name = v["name"].as_str().or_else(|| v["store"].as_str()).unwrap_or("");
        let text = |key: &str| v["volume"][key].as_str().unwrap_or("-").to_owned();
        let waiting = v["volume"]["waiting_bytes"].as_u64().map_or_else(|| "-".to_owned(), about_size);
        let place = v["mount_point"].as_str().or_else(|| v["state"].as_str()).unwrap_or("-").to_owned();
        // A store that answers, and refuses, is no less of a trouble than one that is away.
        let store = if text("connection") == "online" && problem_of(v).is_some() {
            "failing".to_owned()
        } else {
            text("connection")
        };
        vec![name.to_owned(), place, store, waiting]
    });
    let mut out = table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    for volume in volumes {
        let name = volume["name"].as_str().or_else(|| volume["store"].as_str()).unwrap_or("");
        if let Some(problem) = problem_of(volume) {
            out.push_str(&format!("\n{name}: {problem}; it is tried again"));
        }
        if let Some(held) = held_of(volume) {
            out.push_str(&format!("\n{name}: {}; proxyfs status {name} says more", sentence(&held)));
        }
    }
    out
}

/// What fails at present: of a mounted volume, or of one that is tried to be mounted.
fn problem_of(volume: &Value) -> Option<&str> {
    volume["volume"]["problem"].as_str().or_else(|| volume["problem"].as_str())
}

fn held_of(volume: &Value) -> Option<HeldData> {
    serde_json::from_value(volume["held"].clone()).ok()
}

/// Every field of a volume's status on a line of its own.
fn details(value: &Value) -> String {
    let mut rows = Vec::new();
    let outer = value.as_object().into_iter().flatten().filter(|(key, _)| !["volume", "held"].contains(&key.as_str()));
    let inner = value["volume"].as_object().into_iter().flatten().filter(|(key, _)| value.get(key.as_str()).is_none());
    for (key, value) in outer.chain(inner).filter(|(_, v)| !v.is_null()) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let sized = value.as_u64().filter(|_| key.ends_with("_bytes")).map(about_size);
        let aged = value.as_i64().filter(|secs| key.ends_with("_secs") && *secs > 0).map(|secs| age(unix_now() - secs));
        let label = match key.as_str() {
            "head_secs" => "newest head written".to_owned(),
            "looked_secs" => "looked for a newer one".to_owned(),
            other => other.replace('_', " "),
        };
        rows.push(vec![format!("{label}:"), sized.or(aged).unwrap_or(text)]);
    }
    if let Some(held) = held_of(value) {
        rows.push(vec!["held back:".to_owned(), format!("{}; they are in {}", sentence(&held), held.place)]);
        rows.push(vec!["what to do:".to_owned(), held.to_do]);
    }
    table(&rows)
}

/// `12 s ago`.
fn age(secs: i64) -> String {
    match secs.max(0) {
        secs @ 0..120 => format!("{secs} s ago"),
        secs @ 120..7_200 => format!("{} min ago", secs / 60),
        secs @ 7_200..172_800 => format!("{} h ago", secs / 3_600),
        secs => format!("{} days ago", secs / 86_400),
    }
}
