//! `proxyfs status`: how volumes are, asked of the processes that have them mounted.

use std::fs;

use proxyfs_control::types::volume::VolumeState;
use serde_json::{Value, json};

use super::Context;
use crate::control::client::{self, Running};
use crate::failure::Outcome;
use crate::output::table;
use crate::paths::Paths;
use crate::registry::Registry;
use crate::serve::ask;
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
    let value = describe(Some(name), &target.uuid, &target.url.to_string(), running.as_ref());
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
        volumes.push(describe(Some(&name), &entry.uuid, &entry.store, serving.as_ref()));
    }
    for other in &running {
        let [uuid, store] = ["uuid", "store"].map(|key| other.status["volume"][key].as_str().unwrap_or("").to_owned());
        volumes.push(describe(None, &uuid, &store, Some(other)));
    }
    add_tried(cx, &mut volumes).await;
    cx.style.show(&json!({ "volumes": volumes }), || overview(&volumes));
    Ok(())
}

/// Adds what the daemon says of volumes that it tries to mount.
async fn add_tried(cx: &Context, volumes: &mut Vec<Value>) {
    let Some(daemon) = ask::daemon(&cx.paths).await else { return };
    let Ok(known) = daemon.volumes().await else { return };
    let problems = daemon.problems().await.map(|p| p.problems).unwrap_or_default();
    let tried = |state| matches!(state, VolumeState::Opening | VolumeState::Failed);
    for volume in known.volumes.into_iter().filter(|v| tried(v.state)) {
        let at = volumes.iter().position(|v| v["name"] == volume.name.as_str()).unwrap_or_else(|| {
            volumes.push(describe(Some(&volume.name), &volume.uuid, &volume.store, None));
            volumes.len() - 1
        });
        let problem = problems.iter().find(|p| p.volume.as_deref() == Some(&volume.name));
        volumes[at]["state"] = json!(volume.state);
        volumes[at]["problem"] = json!(problem.map(|p| &p.cause));
    }
}

fn describe(name: Option<&str>, uuid: &str, store: &str, running: Option<&Running>) -> Value {
    json!({
        "name": name,
        "uuid": uuid,
        "store": store,
        "mounted": running.is_some(),
        "mount_point": running.map(|r| r.mount_point().to_owned()),
        "pid": running.map(Running::pid),
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
        vec![name.to_owned(), place, text("connection"), waiting]
    });
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// Every field of a volume's status on a line of its own.
fn details(value: &Value) -> String {
    let mut rows = Vec::new();
    let outer = value.as_object().into_iter().flatten().filter(|(key, _)| *key != "volume");
    let inner = value["volume"].as_object().into_iter().flatten().filter(|(key, _)| value.get(key.as_str()).is_none());
    for (key, value) in outer.chain(inner).filter(|(_, v)| !v.is_null()) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let sized = value.as_u64().filter(|_| key.ends_with("_bytes")).map(about_size);
        rows.push(vec![format!("{}:", key.replace('_', " ")), sized.unwrap_or(text)]);
    }
    table(&rows)
}
