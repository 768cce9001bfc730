//! The table of keys in docs/OPERATIONS.md, made from the keys themselves.

use std::fmt::Write;

use crate::options;
use crate::serve::keys::{CACHE, DAEMON, LIMITS, LISTEN, Live, PRICES, STORE, Shown, VOLUME};

/// Where the generated part begins and ends.
const BEGIN: &str = "<!-- keys: generated, see app/cli/src/serve/manual.rs -->\n";
const END: &str = "<!-- end of keys -->\n";

fn rows(section: &str, keys: impl Iterator<Item = Shown>, out: &mut String) {
    for key in keys {
        let default = if key.default.is_empty() { "-" } else { key.default };
        writeln!(
            out,
            "| {section} | `{}` | {} | {default} | {} | {} |",
            key.name,
            key.takes.replace('|', "\\|"),
            key.help.replace('|', "\\|"),
            key.live.name()
        )
        .unwrap();
    }
}

/// The generated part.
fn table() -> String {
    let mut out = String::from(
        "| section | key | takes | default | what it does | takes effect at |\n|---|---|---|---|---|---|\n",
    );
    rows("`[daemon]`", DAEMON.iter().map(Shown::from), &mut out);
    rows("`[cache]`", CACHE.iter().map(Shown::from), &mut out);
    rows("`[limits]`", LIMITS.iter().map(Shown::from), &mut out);
    rows("`[listen]`", LISTEN.iter().map(Shown::from), &mut out);
    rows("`[prices]`", PRICES.iter().map(Shown::from), &mut out);
    rows("`[stores.NAME]`", STORE.iter().map(Shown::from), &mut out);
    rows("`[volumes.NAME]`", VOLUME.iter().map(Shown::from), &mut out);
    for [name, takes, default, help] in options::described() {
        if super::config::SHARED_OPTIONS.contains(&name.as_str()) {
            continue;
        }
        let live = if name == super::reload::LIVE_OPTION { Live::Reload } else { Live::Remount };
        let takes = takes.replace('|', "\\|");
        let section = "`[volumes.NAME.options]`";
        writeln!(out, "| {section} | `{name}` | {takes} | {default} | {help} | {} |", live.name()).unwrap();
    }
    out
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
