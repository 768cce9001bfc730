//! `proxyfs volume list`.

use serde_json::json;

use super::Context;
use crate::failure::Outcome;
use crate::output::table;
use crate::registry::Registry;

/// Lists the registry.
pub(crate) async fn run(cx: &Context) -> Outcome {
    let volumes = Registry::new(cx.paths.registry()).load()?;
    let listed: Vec<_> =
        volumes.iter().map(|(name, entry)| json!({ "name": name, "uuid": entry.uuid, "store": entry.store })).collect();
    cx.style.show(&json!({ "volumes": listed }), || {
        if volumes.is_empty() {
            return "No volumes yet. Create one: proxyfs volume create NAME --store URL; or: proxyfs quickstart"
                .to_owned();
        }
        let head = vec!["VOLUME".to_owned(), "STORE".to_owned()];
        let rows = volumes.iter().map(|(name, entry)| vec![name.clone(), entry.store.clone()]);
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    });
    Ok(())
}
