//! The configuration of the daemon: one TOML file, read whole or not at all.
//!
//! Owns what the sections mean together. What each key takes is in [`keys`](super::keys), where things stand in the text in
//! [`document`](super::document). A refusal names file, line and column, and what to write instead; of several mistakes the first counts.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proxyfs_core::config::DiskBudget;
use proxyfs_store::StoreUrl;

use crate::failure::{Blame, Failure, Outcome};
use crate::logging::Wish;
use crate::options::{self, Given};
use crate::registry::check_name;
use crate::serve::document::{Entry, Mistake, Value, entries, instead, line_and_column, nearest, parse};
use crate::serve::keys::{CACHE, DAEMON, Key, LIMITS, LISTEN, LOG, PRICES, STORE, VOLUME};
use crate::target::parse_url;

/// Sections, for refusals.
const SECTIONS: &[&str] = &["daemon", "log", "cache", "limits", "listen", "prices", "stores", "volumes"];

/// Options of a volume that the daemon has for all volumes together.
pub(crate) const SHARED_OPTIONS: &[&str] = &["memory_budget", "disk_budget", "disk_cache"];

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Daemon {
    pub(crate) socket: Option<PathBuf>,
    pub(crate) stop_timeout: Duration,
}

/// `[cache]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cache {
    pub(crate) memory_budget: u64,
    pub(crate) disk_budget: u64,
    pub(crate) disk_cache: u64,
}

impl Cache {
    /// How the disk is split between data on its way and the cache.
    pub(crate) fn disk(self) -> DiskBudget {
        DiskBudget { staging: self.disk_budget - self.disk_cache.min(self.disk_budget), cache: self.disk_cache }
    }
}

/// `[limits]`, bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) upload: Option<u64>,
    pub(crate) download: Option<u64>,
}

/// `[listen]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) network: bool,
    pub(crate) origins: Vec<String>,
}

/// `[prices]`: of 1,000 requests and of 10^9 bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prices {
    pub(crate) currency: String,
    pub(crate) source: String,
    pub(crate) put: f64,
    pub(crate) get: f64,
    pub(crate) list: f64,
    pub(crate) delete: f64,
    pub(crate) received_gb: f64,
    pub(crate) sent_gb: f64,
}

/// `[stores.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreEntry {
    pub(crate) url: Option<String>,
    pub(crate) credentials: Option<String>,
}

/// `[volumes.NAME]` as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VolumeDraft {
    pub(crate) store: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) credentials: Option<String>,
    pub(crate) mount_point: Option<PathBuf>,
    pub(crate) label: Option<String>,
}

/// A volume as it is to be hosted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeConfig {
    pub(crate) url: StoreUrl,
    pub(crate) credentials: Option<String>,
    pub(crate) mount_point: Option<PathBuf>,
    pub(crate) label: Option<String>,
    pub(crate) options: Given,
}

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) daemon: Daemon,
    pub(crate) log: Wish,
    pub(crate) cache: Cache,
    pub(crate) limits: Transfer,
    pub(crate) listen: Listen,
    pub(crate) prices: Option<Prices>,
    pub(crate) volumes: BTreeMap<String, VolumeConfig>,
}

impl Default for Config {
    fn default() -> Self {
        let daemon = Daemon { socket: None, stop_timeout: Duration::from_secs(60) };
        let cache = Cache { memory_budget: 512 << 20, disk_budget: 16 << 30, disk_cache: 4 << 30 };
        Self {
            daemon,
            log: Wish::default(),
            cache,
            limits: Transfer::default(),
            listen: Listen::default(),
            prices: None,
            volumes: BTreeMap::new(),
        }
    }
}

impl Default for Prices {
    fn default() -> Self {
        let (put, get, list, delete, received_gb, sent_gb) = Default::default();
        let currency = "USD".to_owned();
        Self { currency, source: String::new(), put, get, list, delete, received_gb, sent_gb }
    }
}

/// Reads a file.
///
/// # Errors
/// A usage failure that names file, line and column.
pub(crate) fn load(file: &Path) -> Outcome<Config> {
    let subject = format!("the configuration {}", file.display());
    let text =
        fs::read_to_string(file).map_err(|e| Failure { blame: Blame::Usage, ..Failure::io("read", &subject, &e) })?;
    understand(&text).map_err(|mistake| {
        let (line, column) = line_and_column(&text, mistake.at);
        Failure::usage("use", format!("{}:{line}:{column}", file.display()), mistake.why, mistake.advice)
    })
}

/// The same, where no file means all defaults.
pub(crate) fn load_if_there(file: &Path) -> Outcome<Config> {
    if file.exists() { load(file) } else { Ok(Config::default()) }
}

/// Reads a text; of all mistakes the first in the text, but what is missing after what is wrong.
pub(crate) fn understand(text: &str) -> Result<Config, Mistake> {
    let document = parse(text)?;
    let mut reader = Reader::default();
    for section in entries(document.get_ref()) {
        if let Err(mistake) = reader.section(&section) {
            reader.mistakes.push(mistake);
        }
    }
    reader.finish()
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    config: Config,
    stores: BTreeMap<String, StoreEntry>,
    drafts: Vec<Draft>,
    mistakes: Vec<Mistake>,
}

/// A volume with the places that later refusals name.
struct Draft {
    name: String,
    at: usize,
    places: BTreeMap<&'static str, usize>,
    draft: VolumeDraft,
    options: Given,
}

impl Reader {
    fn section(&mut self, section: &Entry<'_, '_>) -> Result<(), Mistake> {
        let unknown = || {
            let why = format!("there is no section or key `{}`", section.name);
            Mistake::new(section.at(), why, instead(section.name, SECTIONS.iter().copied()))
        };
        if !SECTIONS.contains(&section.name) {
            return Err(unknown());
        }
        let inside = section.table()?;
        let Self { config, mistakes, .. } = self;
        match section.name {
            "daemon" => drop(fill(&mut config.daemon, DAEMON, &inside, mistakes)),
            "log" => drop(fill(&mut config.log, LOG, &inside, mistakes)),
            "cache" => {
                let places = fill(&mut config.cache, CACHE, &inside, mistakes);
                if config.cache.disk_cache > config.cache.disk_budget {
                    let at = places.get("disk_cache").or(places.get("disk_budget")).copied().unwrap_or(section.at());
                    let why = "`disk_cache` is larger than `disk_budget`, of which it is a part";
                    mistakes.push(Mistake::new(at, why, "make `disk_budget` larger or `disk_cache` smaller"));
                }
            }
            "limits" => drop(fill(&mut config.limits, LIMITS, &inside, mistakes)),
            "listen" => {
                let before = mistakes.len();
                let places = fill(&mut config.listen, LISTEN, &inside, mistakes);
                // What makes no sense by itself makes none together.
                if mistakes.len() == before {
                    let at = |key: &str| places.get(key).copied().unwrap_or(section.at());
                    mistakes.extend(check_listen(&config.listen, at));
                }
            }
            "prices" => {
                let mut prices = Prices::default();
                drop(fill(&mut prices, PRICES, &inside, mistakes));
                if prices.source.is_empty() {
                    let advice = "write source = \"NAME AND DATE OF THE PRICE LIST\"";
                    mistakes.push(Mistake::missing(section.at(), "the prices have no `source`", advice));
                }
                config.prices = Some(prices);
            }
            "stores" => inside.iter().for_each(|store| self.store(store)),
            _ => inside.iter().for_each(|volume| self.volume(volume)),
        }
        Ok(())
    }

    fn store(&mut self, entry: &Entry<'_, '_>) {
        let mut store = StoreEntry::default();
        match named_table(entry) {
            Ok(inside) => {
                let places = fill(&mut store, STORE, &inside, &mut self.mistakes);
                if store.url.is_none() && !places.contains_key("url") {
                    let why = format!("store {} has no `url`", entry.name);
                    self.mistakes.push(Mistake::missing(
                        entry.at(),
                        why,
                        "write url = \"s3://BUCKET\" or \"file:///DIR\"",
                    ));
                }
            }
            Err(mistake) => self.mistakes.push(mistake),
        }
        self.stores.insert(entry.name.to_owned(), store);
    }

    fn volume(&mut self, entry: &Entry<'_, '_>) {
        let inside = match named_table(entry) {
            Ok(inside) => inside,
            Err(mistake) => return self.mistakes.push(mistake),
        };
        let (own, options): (Vec<_>, Vec<_>) = inside.into_iter().partition(|e| e.name != "options");
        let mut draft = VolumeDraft::default();
        let extra = ["options"];
        let places = fill_with(&mut draft, VOLUME, &extra, &own, &mut self.mistakes);
        let mut given = Given::new();
        for table in &options {
            match table.table() {
                Ok(inside) => inside.iter().for_each(|option| match option_value(option) {
                    Ok(value) => drop(given.insert(option.name.to_owned(), value)),
                    Err(mistake) => self.mistakes.push(mistake),
                }),
                Err(mistake) => self.mistakes.push(mistake),
            }
        }
        self.drafts.push(Draft { name: entry.name.to_owned(), at: entry.at(), places, draft, options: given });
    }

    fn finish(mut self) -> Result<Config, Mistake> {
        let mut urls: BTreeMap<String, String> = BTreeMap::new();
        let mut dirs: BTreeMap<PathBuf, String> = BTreeMap::new();
        for draft in std::mem::take(&mut self.drafts) {
            let at = |key: &str| draft.places.get(key).copied().unwrap_or(draft.at);
            let volume = match self.resolve(&draft) {
                Ok(volume) => volume,
                Err(mistake) => {
                    self.mistakes.push(mistake);
                    continue;
                }
            };
            if let Some(other) = urls.insert(volume.url.to_string(), draft.name.clone()) {
                let why = format!("volume {other} lies at the same place");
                self.mistakes.push(Mistake::new(at("store"), why, "give one of them another store or prefix"));
            }
            if let Some(dir) = &volume.mount_point
                && let Some(other) = dirs.insert(dir.clone(), draft.name.clone())
            {
                let why = format!("volume {other} is mounted there");
                self.mistakes.push(Mistake::new(at("mount_point"), why, "choose another directory"));
            }
            self.config.volumes.insert(draft.name, volume);
        }
        match self.mistakes.into_iter().min_by_key(|m| (m.missing, m.at)) {
            Some(first) => Err(first),
            None => Ok(self.config),
        }
    }

    fn resolve(&self, draft: &Draft) -> Result<VolumeConfig, Mistake> {
        let at = |key: &str| draft.places.get(key).copied().unwrap_or(draft.at);
        let VolumeDraft { store, prefix, credentials, mount_point, label } = draft.draft.clone();
        let Some(store) = store else {
            let why = format!("volume {} has no `store`", draft.name);
            return Err(Mistake::missing(
                at("store"),
                why,
                "write store = \"URL\", or the name of a section [stores.NAME]",
            ));
        };
        let (text, from_store) = if store.contains(':') {
            if prefix.is_some() {
                let why = "a `prefix` belongs to a named store";
                return Err(Mistake::new(at("prefix"), why, "write it into the URL"));
            }
            (store, None)
        } else {
            let known = self.stores.get(&store).ok_or_else(|| {
                let advice = match nearest(&store, self.stores.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("add a section [stores.{store}] with its url"),
                };
                Mistake::new(at("store"), format!("there is no store `{store}`"), advice)
            })?;
            let prefix = prefix.as_deref().unwrap_or(&draft.name);
            (below(known.url.as_deref().unwrap_or_default(), prefix), known.credentials.clone())
        };
        let url = parse_url(&text).map_err(|f| Mistake::new(at("store"), f.why, f.advice))?;
        Ok(VolumeConfig {
            url,
            credentials: credentials.or(from_store),
            mount_point,
            label,
            options: draft.options.clone(),
        })
    }
}

/// The URL of a place below another.
fn below(url: &str, prefix: &str) -> String {
    let (place, query) = url.split_once('?').map_or((url, None), |(place, query)| (place, Some(query)));
    let mut text = format!("{}/{}", place.trim_end_matches('/'), prefix.trim_matches('/'));
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    text
}

fn named_table<'a, 'i>(entry: &Entry<'a, 'i>) -> Result<Vec<Entry<'a, 'i>>, Mistake> {
    check_name(entry.name).map_err(|f| Mistake::new(entry.at(), f.why, f.advice))?;
    entry.table()
}

/// Reads the keys of a section; gives where each stands.
fn fill<T>(
    into: &mut T,
    keys: &[Key<T>],
    inside: &[Entry<'_, '_>],
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<&'static str, usize> {
    fill_with(into, keys, &[], inside, mistakes)
}

/// The same, with the names of tables that may stand there too.
fn fill_with<T>(
    into: &mut T,
    keys: &[Key<T>],
    extra: &[&'static str],
    inside: &[Entry<'_, '_>],
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<&'static str, usize> {
    let mut places = BTreeMap::new();
    for entry in inside {
        let Some(key) = keys.iter().find(|k| k.name == entry.name) else {
            let known: Vec<&str> = keys.iter().map(|k| k.name).chain(extra.iter().copied()).collect();
            let why = format!("there is no key `{}` here", entry.name);
            mistakes.push(Mistake::new(entry.at(), why, instead(entry.name, known)));
            continue;
        };
        places.insert(key.name, entry.value_at());
        if let Err(why) = (key.set)(into, &entry.value()) {
            let advice = format!("{} takes {}: {}", key.name, key.takes, key.help);
            mistakes.push(Mistake::new(entry.value_at(), format!("`{}`: {why}", key.name), advice));
        }
    }
    places
}

/// An option's value as `-o` takes it.
fn option_value(entry: &Entry<'_, '_>) -> Result<String, Mistake> {
    if SHARED_OPTIONS.contains(&entry.name) {
        let why = format!("`{}` is for all volumes together", entry.name);
        return Err(Mistake::new(entry.at(), why, "write it into the section [cache]"));
    }
    let text = match entry.value() {
        Value::Text(text) => text,
        Value::Number(n) => n,
        Value::Flag(on) => if on { "yes" } else { "no" }.to_owned(),
        other => {
            let why = format!("`{}` is {other}", entry.name);
            return Err(Mistake::new(entry.value_at(), why, "write a text, a number, or true or false"));
        }
    };
    match options::check(entry.name, &text) {
        Ok(()) => Ok(text),
        Err(failure) if options::is_known(entry.name) => {
            Err(Mistake::new(entry.value_at(), format!("`{}`: {}", entry.name, failure.why), failure.advice))
        }
        Err(failure) => Err(Mistake::new(entry.at(), format!("there is no option `{}`", entry.name), failure.advice)),
    }
}

fn check_listen(listen: &Listen, at: impl Fn(&str) -> usize) -> Option<Mistake> {
    let mistake = |key: &str, why: &str, advice: &str| Some(Mistake::new(at(key), why, advice));
    let Some(address) = listen.address else {
        return mistake(
            "",
            "[listen] has no `address`",
            "write address = \"127.0.0.1:7643\", or leave the section out",
        );
    };
    if listen.token_file.is_none() {
        return mistake(
            "address",
            "an `address` needs a `token_file`",
            "write a long random token into a file with mode 0600, and its path here",
        );
    }
    if listen.certificate.is_some() != listen.key.is_some() {
        return mistake("", "`certificate` and `key` belong together", "name both files, or neither");
    }
    if address.ip().is_loopback() {
        return None;
    }
    if !listen.network {
        return mistake(
            "address",
            "other machines can reach this address",
            "write an address of 127.0.0.0/8, or network = true",
        );
    }
    if listen.certificate.is_none() {
        return mistake(
            "address",
            "other machines can reach this address, which needs TLS",
            "name `certificate` and `key`",
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [cache]
        memory_budget = "1GiB"
        [limits]
        upload = "2MiB"
        [stores.lab]
        url = "s3://bucket/base?endpoint=http://h"
        credentials = "lab"
        [volumes.photos]
        store = "lab"
        mount_point = "/srv/photos"
        [volumes.photos.options]
        max_flush_size = "8MiB"
        read_cache_weight = 3
        allow_other = true
        [volumes.other]
        store = "file:///srv/other"
    "#;

    /// The same text with this system's paths; what is before them stays where it is.
    fn native(text: &str) -> String {
        if cfg!(windows) {
            text.replace("file:///", "file:///C:/")
                .replace("\"/srv/photos\"", "\"P:\"")
                .replace("\"/m\"", "\"M:\"")
                .replace("\"/t\"", "\"C:/t\"")
        } else {
            text.to_owned()
        }
    }

    #[test]
    fn sections_reach_what_they_name() {
        let config = understand(&native(GOOD)).unwrap();
        assert_eq!((config.cache.memory_budget, config.limits.upload), (1 << 30, Some(2 << 20)));
        let photos = &config.volumes["photos"];
        assert!(photos.url.to_string().starts_with("s3://bucket/base/photos?endpoint=http://h"), "{}", photos.url);
        assert_eq!(photos.credentials.as_deref(), Some("lab"));
        assert_eq!(photos.options["read_cache_weight"], "3");
        assert_eq!(photos.options["allow_other"], "yes");
        assert_eq!(config.volumes["other"].mount_point, None);
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        assert_eq!(understand("").unwrap(), Config::default());
    }

    /// Text, line and column, a part of the cause, a part of the advice.
    const REFUSED: &[(&str, (usize, usize), &str, &str)] = &[
        ("[cahce]\n", (1, 2), "no section or key `cahce`", "did you mean `cache`"),
        ("x = 1\n", (1, 1), "no section or key `x`", "known here: daemon"),
        ("[cache]\nmemory_buget = \"1GiB\"\n", (2, 1), "no key `memory_buget`", "did you mean `memory_budget`"),
        ("[cache]\nmemory_budget = 5\n", (2, 17), "not the number 5", "memory_budget takes size"),
        ("[cache]\nmemory_budget = \"5\"\n", (2, 17), "not a size", "memory_budget takes size"),
        ("[cache]\nmemory_budget = \"1MiB\"\n", (2, 17), "the least is 32MiB", "takes size"),
        ("[cache]\ndisk_budget = \"1GiB\"\ndisk_cache = \"2GiB\"\n", (3, 14), "larger than `disk_budget`", "smaller"),
        ("[limits]\nupload = true\n", (2, 10), "not true", "takes size"),
        ("[limits]\nupload = \"0\"\n", (2, 10), "the least is 1KiB", "upload takes"),
        ("cache = 3\n", (1, 1), "should be a table", "[cache]"),
        ("[cache\n", (1, 7), "", "TOML"),
        ("[daemon]\nsocket = \"a/b\"\n", (2, 10), "not an absolute path", "socket takes path"),
        ("[volumes.a]\n", (1, 10), "has no `store`", "[stores.NAME]"),
        ("[volumes.\"a b\"]\nstore = \"file:///a\"\n", (1, 10), "not a volume's name", "letters, digits"),
        (
            "[stores.lab]\nurl = \"file:///s\"\n[volumes.a]\nstore = \"lob\"\n",
            (4, 9),
            "no store `lob`",
            "did you mean `lab`",
        ),
        ("[stores.lab]\n", (1, 9), "has no `url`", "s3://BUCKET"),
        ("[volumes.a]\nstore = \"ftp://x\"\n", (2, 9), "", "file:///"),
        (
            "[volumes.a]\nstore = \"file:///a\"\n[volumes.b]\nstore = \"file:///a\"\n",
            (4, 9),
            "volume a lies at the same place",
            "another store",
        ),
        (
            "[volumes.a]\nstore = \"file:///a\"\nmount_point = \"/m\"\n[volumes.b]\nstore = \"file:///b\"\nmount_point = \"/m\"\n",
            (6, 15),
            "volume a is mounted there",
            "another directory",
        ),
        ("[volumes.a]\nstore = \"file:///a\"\nprefix = \"x\"\n", (3, 10), "belongs to a named store", "into the URL"),
        (
            "[volumes.a]\nstore = \"file:///a\"\noptions.max_flush_sise = \"8MiB\"\n",
            (3, 9),
            "no option `max_flush_sise`",
            "did you mean `max_flush_size`",
        ),
        (
            "[volumes.a]\nstore = \"file:///a\"\noptions.max_flush_size = \"8KiB\"\n",
            (3, 26),
            "1MiB to 512MiB",
            "max_flush_size takes",
        ),
        (
            "[volumes.a]\nstore = \"file:///a\"\noptions.disk_cache = \"8MiB\"\n",
            (3, 9),
            "for all volumes together",
            "[cache]",
        ),
        ("[listen]\naddress = \"127.0.0.1:1\"\n", (2, 11), "needs a `token_file`", "0600"),
        ("[listen]\naddress = \"here\"\ntoken_file = \"/t\"\n", (2, 11), "not an address and port", "address takes"),
        ("[listen]\naddress = \"0.0.0.0:1\"\ntoken_file = \"/t\"\n", (2, 11), "other machines", "network = true"),
        (
            "[listen]\naddress = \"0.0.0.0:1\"\ntoken_file = \"/t\"\nnetwork = true\n",
            (2, 11),
            "needs TLS",
            "`certificate` and `key`",
        ),
        ("[prices]\nput = 5\n", (1, 2), "no `source`", "PRICE LIST"),
        ("[prices]\nsource = \"x\"\nput = -1\n", (3, 7), "not a price", "put takes number"),
    ];

    #[test]
    fn mistakes_are_refused_with_their_place_and_what_to_write() {
        for (text, place, why, advice) in REFUSED {
            let text = &native(text);
            let mistake = understand(text).expect_err(text);
            assert_eq!(line_and_column(text, mistake.at), *place, "{text}{mistake:?}");
            assert!(mistake.why.contains(why) && mistake.advice.contains(advice), "{text}{mistake:?}");
        }
    }

    #[test]
    fn the_first_of_several_mistakes_is_named() {
        let mistake = understand("[log]\ny = 1\n[cache]\nx = 1\n").unwrap_err();
        assert!(mistake.why.contains("no key `y`"), "{mistake:?}");
        let mistake = understand("[volumes.a]\n[volumes.b]\n").unwrap_err();
        assert!(mistake.why.contains("volume a has no `store`"), "{mistake:?}");
    }

    #[test]
    fn a_misspelt_key_is_named_rather_than_the_one_it_leaves_missing() {
        let mistake = understand("[volumes.a]\nstroe = \"file:///a\"\n").unwrap_err();
        assert!(mistake.why.contains("no key `stroe`") && mistake.advice.contains("`store`"), "{mistake:?}");
    }

    #[test]
    fn every_default_of_the_tables_is_the_one_in_force() {
        let text = |keys: Vec<(&str, &str)>| -> String {
            let lines = keys.into_iter().filter(|(_, d)| !d.is_empty() && !d.contains(' '));
            lines.map(|(name, d)| format!("{name} = \"{d}\"\n")).collect()
        };
        let daemon = text(DAEMON.iter().map(|k| (k.name, k.default)).collect());
        let cache = text(CACHE.iter().map(|k| (k.name, k.default)).collect());
        let limits = text(LIMITS.iter().map(|k| (k.name, k.default)).collect());
        let all = format!("[daemon]\n{daemon}[cache]\n{cache}[limits]\n{limits}");
        assert_eq!(understand(&all).unwrap(), Config::default(), "{all}");
    }
}
