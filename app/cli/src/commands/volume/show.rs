//! `proxyfs volume show`: what the registry, the store and the process that has it mounted say of a volume.

use serde_json::{Value, json};

use super::Context;
use crate::control::client::{self, Running};
use crate::failure::Outcome;
use crate::options::Given;
use crate::output::table;
use crate::target::Target;

/// Shows a volume, also when its store does not answer.
pub(crate) async fn run(cx: &Context, name: &str) -> Outcome {
    let target = Target::registered(&cx.paths, name)?;
    let settings = target.settings(&Given::new())?;
    let running = client::running(&target.state_dir(&cx.paths)).await;
    let (description, problem) = match target.meta(&settings).await {
        Ok(meta) => (serde_json::from_slice(&meta.encode()).unwrap_or(Value::Null), None),
        Err(failure) => (Value::Null, Some(failure.why)),
    };
    let shown = json!({
        "name": name,
        "uuid": target.uuid,
        "store": target.url.to_string(),
        "credentials": target.credentials,
        "options": target.options,
        "state_dir": target.state_dir(&cx.paths),
        "mounted": running.is_some(),
        "mount_point": running.as_ref().map(Running::mount_point),
        "description": description,
        "problem": problem,
    });
    cx.style.show(&shown, || text(&shown));
    Ok(())
}

fn text(shown: &Value) -> String {
    let fields = shown.as_object().into_iter().flatten().filter(|(key, _)| *key != "description");
    let described =
        shown["description"].as_object().into_iter().flatten().filter(|(key, _)| *key != "name" && *key != "uuid");
    let rows: Vec<Vec<String>> = fields
        .chain(described)
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            vec![format!("{}:", key.replace('_', " ")), text]
        })
        .collect();
    table(&rows)
}
