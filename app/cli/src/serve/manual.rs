//! All keys for people: the long help of `serve`, and the table in docs/OPERATIONS.md, both made from the keys themselves.

use crate::options;
use crate::serve::config::SHARED_OPTIONS;
use crate::serve::keys::{CACHE, DAEMON, LIMITS, LISTEN, LOG, Live, PRICES, STORE, Shown, VOLUME};
use crate::serve::reload::LIVE_OPTION;

/// One line of either: section, key, what it takes, default, help, when it takes effect.
type Line = [String; 6];

fn lines() -> Vec<Line> {
    let mut all = Vec::new();
    let mut add = |section: &str, keys: Vec<Shown>| {
        let line = |k: Shown| [section, k.name, k.takes, k.default, k.help, k.live.name()].map(str::to_owned);
        all.extend(keys.into_iter().map(line));
    };
    add("daemon", DAEMON.iter().map(Shown::from).collect());
    add("log", LOG.iter().map(Shown::from).collect());
    add("cache", CACHE.iter().map(Shown::from).collect());
    add("limits", LIMITS.iter().map(Shown::from).collect());
    add("listen", LISTEN.iter().map(Shown::from).collect());
    add("prices", PRICES.iter().map(Shown::from).collect());
    add("stores.NAME", STORE.iter().map(Shown::from).collect());
    add("volumes.NAME", VOLUME.iter().map(Shown::from).collect());
    for [name, takes, default, help] in options::described() {
        if SHARED_OPTIONS.contains(&name.as_str()) {
            continue;
        }
        let live = if name == LIVE_OPTION { Live::Reload } else { Live::Remount };
        all.push(["volumes.NAME.options".to_owned(), name, takes, default, help, live.name().to_owned()]);
    }
    all
}

/// The table of keys for `--help`.
pub(crate) fn help() -> String {
    let mut out = String::from("Keys of the configuration, with their defaults and when a change takes effect:");
    let mut section = String::new();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut flush = |rows: &mut Vec<Vec<String>>| {
        out.push('\n');
        out.push_str(&crate::output::table(rows));
        rows.clear();
    };
    for [of, name, takes, default, help, live] in lines() {
        if of != section {
            flush(&mut rows);
            rows.push(vec![format!("[{of}]")]);
            section = of;
        }
        let default = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        rows.push(vec![format!("  {name} = {}", takes.to_uppercase()), format!("{help}{default} ({live})")]);
    }
    flush(&mut rows);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the generated part of the page begins and ends.
    const BEGIN: &str = "<!-- keys: generated, see app/cli/src/serve/manual.rs -->\n";
    const END: &str = "<!-- end of keys -->\n";

    fn table() -> String {
        let head = "| section | key | takes | default | what it does | takes effect at |\n|---|---|---|---|---|---|\n";
        let line = |[section, name, takes, default, help, live]: Line| {
            let [takes, help] = [takes, help].map(|text| text.replace('|', "\\|"));
            let default = if default.is_empty() { "-".to_owned() } else { default };
            format!("| `[{section}]` | `{name}` | {takes} | {default} | {help} | {live} |\n")
        };
        std::iter::once(head.to_owned()).chain(lines().into_iter().map(line)).collect()
    }

    /// The page shows every key as it is. `PROXYFS_WRITE_DOCS=1` writes the table instead.
    #[test]
    fn the_table_in_the_docs_is_the_one_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATIONS.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
        let (shown, after) = rest.split_once(END).expect("the table has an end");
        if std::env::var_os("PROXYFS_WRITE_DOCS").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
            return;
        }
        assert_eq!(shown, table(), "the table is stale: run this test with PROXYFS_WRITE_DOCS=1");
    }
}
