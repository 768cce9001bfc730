//! `proxyfs dump`: any stored object as JSON, from a volume's store or from a local file.

use std::fs;

use bytes::Bytes;
use proxyfs_core::dump::dump_object;
use proxyfs_core::store::{GetRange, ObjectKey};

use super::Context;
use crate::failure::{Failure, Outcome};
use crate::options::Given;
use crate::output::{Style, json};
use crate::target::Target;

/// Reads the object and shows what it holds; the answer is JSON with or without `--json`.
pub(crate) async fn run(cx: &Context, what: &str, object: Option<&str>) -> Outcome {
    let (name, bytes) = match object {
        None => (what, read_file(what)?),
        Some(object) => (object, fetch(cx, what, object).await?),
    };
    let value = dump_object(name, &bytes).map_err(|e| Failure::engine("decode", name, &e))?;
    // Both styles: there is no better text for a tree than JSON.
    Style::Json.show(&value, || json(&value));
    Ok(())
}

fn read_file(path: &str) -> Outcome<Bytes> {
    fs::read(path).map(Bytes::from).map_err(|e| Failure {
        advice: "name a file, or a volume and one of its objects: proxyfs dump NAME head/0000000000000001".to_owned(),
        ..Failure::io("read", path, &e)
    })
}

async fn fetch(cx: &Context, volume: &str, object: &str) -> Outcome<Bytes> {
    let target = Target::resolve(&cx.paths, volume, &Given::new()).await?;
    let key = parse_key(object)?;
    let store = target.store(&target.settings(&Given::new())?).await?;
    let bytes = store.get(&key, GetRange::Full).await;
    bytes.map_err(|e| Failure::store("read", &format!("object {object} of {}", target.subject()), &e))
}

/// `data/..`, or `2:data/..` for container 2.
fn parse_key(text: &str) -> Outcome<ObjectKey> {
    let (container, path) = match text.split_once(':') {
        None => (Ok(0), text),
        Some((container, path)) => (container.parse(), path),
    };
    let container = container.map_err(|_| {
        let advice = "write its path, with the container's number before it if that is not 0: 2:data/00/...";
        Failure::usage("understand", format!("the object {text}"), "before `:` stands a container's number", advice)
    })?;
    Ok(ObjectKey { container, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_by_container_and_path() {
        assert_eq!(parse_key("head/1").unwrap(), ObjectKey::home("head/1"));
        assert_eq!(parse_key("2:data/x").unwrap(), ObjectKey { container: 2, path: "data/x".into() });
        assert_eq!(parse_key("x:data").unwrap_err().exit_code(), 2);
    }
}
