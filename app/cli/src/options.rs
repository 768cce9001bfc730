//! The settings that a volume may be given: `-o KEY=VALUE,...` on the command line, `options` in the registry.
//!
//! Each key is defined once, in [`KEYS`]: name, unit, help, how it is read and set. The parser, the help text and the defaults shown
//! all come from there. The numbers are the engine's and the store crate's own defaults.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use proxyfs_core::config::{EngineOptions, ReplayLogSync, VolumeOptions};
use proxyfs_store::StoreOptions;

use crate::failure::{Failure, Outcome};
use crate::sys;
use crate::units::{parse_size, parse_time, show_size, show_time};

/// Options as they were given, by key: what the registry keeps.
pub(crate) type Given = BTreeMap<String, String>;

/// Everything that can be set, filled with defaults at first.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// For the process.
    pub(crate) engine: EngineOptions,
    /// For the volume.
    pub(crate) volume: VolumeOptions,
    /// For its store.
    pub(crate) store: StoreOptions,
    /// Whether other users may enter the mount.
    pub(crate) allow_other: bool,
    /// Whether programs in the mount may be started.
    pub(crate) exec: bool,
    /// How names find their entries.
    pub(crate) names: NameRule,
    /// The name that the system shows for the drive, if not the volume's.
    pub(crate) volume_name: Option<String>,
    /// Whether the drive is presented as a local disk.
    pub(crate) local: bool,
    /// Whether a Mac may leave its own files everywhere.
    pub(crate) apple_double: bool,
    /// Whether files that systems litter drives with stay on this computer.
    pub(crate) local_only: bool,
}

/// How names find their entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// As the system's users expect.
    #[default]
    Auto,
    /// By their bytes.
    Exact,
    /// By their bytes, else in another spelling of the same characters.
    Equivalent,
}

impl NameRule {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Auto, "auto"), (Self::Exact, "exact"), (Self::Equivalent, "equivalent")];

    fn show(self) -> &'static str {
        Self::ALL.iter().find(|(rule, _)| *rule == self).map_or("auto", |(_, name)| name)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text).map(|(rule, _)| *rule);
        found.ok_or_else(|| format!("`{text}` is neither auto nor exact nor equivalent"))
    }
}

impl Default for Settings {
    fn default() -> Self {
        let volume =
            VolumeOptions { owner: sys::host_name(), root_owner: sys::this_user(), ..VolumeOptions::default() };
        let engine = EngineOptions::default();
        Self {
            engine,
            volume,
            store: StoreOptions::default(),
            allow_other: false,
            exec: true,
            names: NameRule::default(),
            volume_name: None,
            local: false,
            apple_double: false,
            local_only: false,
        }
    }
}

/// One key.
struct Key {
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    show: fn(&Settings) -> String,
    set: fn(&mut Settings, &str) -> Result<(), String>,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Every key, in the order of the help text.
const KEYS: &[Key] = &[
    Key {
        name: "max_flush_size",
        unit: "size",
        help: "a segment is sealed and uploaded at this size",
        show: |s| show_size(s.volume.max_flush_size),
        set: |s, v| size(v, MIB..=512 * MIB).map(|n| s.volume.max_flush_size = n),
    },
    Key {
        name: "max_flush_time",
        unit: "time",
        help: "a segment with data is sealed and uploaded at this age",
        show: |s| show_time(s.volume.max_flush_time),
        set: |s, v| time(v, 100..=86_400_000).map(|t| s.volume.max_flush_time = t),
    },
    Key {
        name: "checkpoint_interval",
        unit: "time",
        help: "time between checkpoints while something is dirty",
        show: |s| show_time(s.volume.checkpoint_interval),
        set: |s, v| time(v, 100..=86_400_000).map(|t| s.volume.checkpoint_interval = t),
    },
    Key {
        name: "read_cache_weight",
        unit: "count",
        help: "share of the read cache relative to other volumes",
        show: |s| s.volume.read_cache_weight.to_string(),
        set: |s, v| count(v, 1..=1000).map(|n| s.volume.read_cache_weight = u32::try_from(n).unwrap_or(1)),
    },
    Key {
        name: "read_ahead",
        unit: "size",
        help: "largest read-ahead window of an open file; 0 turns it off",
        show: |s| show_size(s.volume.read_ahead_max),
        set: |s, v| size(v, 0..=GIB).map(|n| s.volume.read_ahead_max = n),
    },
    Key {
        name: "write_connections",
        unit: "count",
        help: "writes to the store under way at once, one of them kept for metadata",
        show: |s| s.store.write_connections.to_string(),
        set: |s, v| count(v, 2..=1024).map(|n| set_write_connections(s, n)),
    },
    Key {
        name: "read_connections",
        unit: "count",
        help: "reads from the store under way at once",
        show: |s| s.store.read_connections.to_string(),
        set: |s, v| count(v, 1..=1024).map(|n| s.store.read_connections = to_usize(n)),
    },
    Key {
        name: "memory_budget",
        unit: "size",
        help: "memory for caches, dirty metadata and upload buffers",
        show: |s| show_size(s.engine.memory_budget),
        set: |s, v| size(v, 32 * MIB..=u64::MAX).map(|n| s.engine.memory_budget = n),
    },
    Key {
        name: "disk_budget",
        unit: "size",
        help: "local disk that data on its way to the store may take before writers wait",
        show: |s| show_size(s.volume.disk_budget),
        set: |s, v| size(v, 64 * MIB..=u64::MAX).map(|n| s.volume.disk_budget = n),
    },
    Key {
        name: "disk_cache",
        unit: "size",
        help: "local disk for caching what was read; 0 turns it off",
        show: |s| show_size(s.volume.disk_cache_bytes),
        set: |s, v| size(v, 0..=u64::MAX).map(|n| s.volume.disk_cache_bytes = n),
    },
    Key {
        name: "replay_log",
        unit: "always|pipelined",
        help: "whether each reply waits for the disk, or at most the last milliseconds are open to a power loss",
        show: |s| show_replay_log(s.volume.replay_log_sync).to_owned(),
        set: |s, v| replay_log(v).map(|sync| s.volume.replay_log_sync = sync),
    },
    Key {
        name: "operation_timeout",
        unit: "time",
        help: "deadline of whatever waits on the store",
        show: |s| show_time(s.volume.operation_timeout),
        set: |s, v| time(v, 1_000..=3_600_000).map(|t| set_operation_timeout(s, t)),
    },
    Key {
        name: "settle",
        unit: "time",
        help: "accept a store without atomic conditional put: claims are weaker, and acted on only after this time",
        show: |s| s.volume.settle.map_or_else(|| "off".to_owned(), show_time),
        set: |s, v| settle(v).map(|t| s.volume.settle = t),
    },
    Key {
        name: "create_containers",
        unit: "yes|no",
        help: "make missing buckets, containers or directories",
        show: |s| yes_no(s.store.create_containers).to_owned(),
        set: |s, v| flag(v).map(|on| s.store.create_containers = on),
    },
    Key {
        name: "read_only",
        unit: "yes|no",
        help: "change nothing, claim nothing (`ro` for short)",
        show: |s| yes_no(s.volume.read_only).to_owned(),
        set: |s, v| flag(v).map(|on| s.volume.read_only = on),
    },
    Key {
        name: "follow_interval",
        unit: "time",
        help: "read-only: time between looks for a newer checkpoint of the volume's writer; 0 shows the same one for ever",
        show: |s| show_time(s.volume.follow_interval),
        set: |s, v| time(v, 0..=86_400_000).map(|t| s.volume.follow_interval = t),
    },
    Key {
        name: "allow_other",
        unit: "yes|no",
        help: "let other users into the mount; permissions still hold",
        show: |s| yes_no(s.allow_other).to_owned(),
        set: |s, v| flag(v).map(|on| s.allow_other = on),
    },
    Key {
        name: "exec",
        unit: "yes|no",
        help: "let programs in the mount be started",
        show: |s| yes_no(s.exec).to_owned(),
        set: |s, v| flag(v).map(|on| s.exec = on),
    },
    Key {
        name: "names",
        unit: "auto|exact|equivalent",
        help: "whether a name also finds the other Unicode spelling of its characters; auto: on macOS it does",
        show: |s| s.names.show().to_owned(),
        set: |s, v| NameRule::parse(v).map(|rule| s.names = rule),
    },
    Key {
        name: "volume_name",
        unit: "text",
        help: "macOS and Windows: the name that the system shows; empty: the volume's",
        show: |s| s.volume_name.clone().unwrap_or_default(),
        set: |s, v| {
            s.volume_name = Some(v.to_owned()).filter(|name| !name.is_empty());
            Ok(())
        },
    },
    Key {
        name: "local",
        unit: "yes|no",
        help: "macOS and Windows: present the drive as a local disk instead of a network volume",
        show: |s| yes_no(s.local).to_owned(),
        set: |s, v| flag(v).map(|on| s.local = on),
    },
    Key {
        name: "apple_double",
        unit: "yes|no",
        help: "macOS: let programs make files named `._*` and `.DS_Store`",
        show: |s| yes_no(s.apple_double).to_owned(),
        set: |s, v| flag(v).map(|on| s.apple_double = on),
    },
    Key {
        name: "local_only",
        unit: "yes|no",
        help: "keep files named `._*`, `.DS_Store`, `Thumbs.db`, `desktop.ini`, `~$*` on this computer only",
        show: |s| yes_no(s.local_only).to_owned(),
        set: |s, v| flag(v).map(|on| s.local_only = on),
    },
];

impl Settings {
    /// Defaults with `given` applied.
    ///
    /// # Errors
    /// A usage failure that names the key, and the nearest known one.
    pub(crate) fn with(given: &Given) -> Outcome<Self> {
        let mut settings = Self::default();
        given.iter().try_for_each(|(key, value)| settings.set(key, value))?;
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Outcome {
        let key = KEYS.iter().find(|k| k.name == name).ok_or_else(|| unknown(name))?;
        (key.set)(self, value).map_err(|why| {
            let advice = format!("{name} takes a {}: {}", key.unit, key.help);
            Failure::usage("use", format!("option {name}"), why, advice)
        })
    }
}

/// Whether there is such a key.
pub(crate) fn is_known(name: &str) -> bool {
    KEYS.iter().any(|k| k.name == name)
}

/// Checks one option.
///
/// # Errors
/// As [`Settings::with`].
pub(crate) fn check(name: &str, value: &str) -> Outcome {
    Settings::default().set(name, value)
}

/// Name, unit, default and help of every key, for the docs.
pub(crate) fn described() -> impl Iterator<Item = [String; 4]> {
    let defaults = Settings::default();
    KEYS.iter().map(move |k| [k.name.to_owned(), k.unit.to_owned(), (k.show)(&defaults), k.help.to_owned()])
}

/// Splits and checks `-o` arguments. A key given twice: the last one counts. A key alone means yes; `ro` means `read_only`.
pub(crate) fn parse_given(arguments: &[String]) -> Outcome<Given> {
    let mut given = Given::new();
    for word in arguments.iter().flat_map(|a| a.split(',')).map(str::trim).filter(|w| !w.is_empty()) {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key.trim(), value.trim()),
            None if word == "ro" => ("read_only", "yes"),
            None if word == "rw" => ("read_only", "no"),
            None => (word, "yes"),
        };
        Settings::default().set(key, value)?;
        given.insert(key.to_owned(), value.to_owned());
    }
    Ok(given)
}

/// The table of keys for `--help`.
pub(crate) fn help() -> String {
    let defaults = Settings::default();
    let rows: Vec<Vec<String>> = KEYS
        .iter()
        .map(|k| {
            vec![format!("  {}={}", k.name, k.unit.to_uppercase()), format!("{} [{}]", k.help, (k.show)(&defaults))]
        })
        .collect();
    format!("Options for -o, with their defaults:\n{}", crate::output::table(&rows))
}

fn unknown(name: &str) -> Failure {
    let nearest = KEYS.iter().map(|k| (strsim::damerau_levenshtein(k.name, name), k.name)).min();
    let near = nearest.filter(|(distance, known)| *distance <= known.len() / 2).map(|(_, known)| known);
    let advice = match near {
        Some(known) => format!("did you mean `{known}`? All keys stand in `proxyfs mount --help`"),
        None => format!("known keys: {}", KEYS.iter().map(|k| k.name).collect::<Vec<_>>().join(", ")),
    };
    Failure::usage("use", format!("option {name}"), "there is no such key", advice)
}

fn size(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    within(parse_size(text)?, &range, show_size)
}

fn time(text: &str, millis: RangeInclusive<u64>) -> Result<Duration, String> {
    let time = parse_time(text)?;
    let found = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    within(found, &millis, |n| show_time(Duration::from_millis(n)))?;
    Ok(time)
}

fn count(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let count = text.parse().map_err(|_| format!("`{text}` is not a whole number"))?;
    within(count, &range, |n| n.to_string())
}

fn within(value: u64, range: &RangeInclusive<u64>, show: impl Fn(u64) -> String) -> Result<u64, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (show(*range.start()), show(*range.end()));
    Err(match *range.end() {
        u64::MAX => format!("{} is too small; the least is {low}", show(value)),
        _ => format!("{} is out of range; write {low} to {high}", show(value)),
    })
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" | "on" | "1" => Ok(true),
        "no" | "false" | "off" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither yes nor no")),
    }
}

fn yes_no(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

fn replay_log(text: &str) -> Result<ReplayLogSync, String> {
    [ReplayLogSync::Always, ReplayLogSync::Pipelined]
        .into_iter()
        .find(|sync| show_replay_log(*sync) == text)
        .ok_or_else(|| format!("`{text}` is neither always nor pipelined"))
}

fn show_replay_log(sync: ReplayLogSync) -> &'static str {
    match sync {
        ReplayLogSync::Always => "always",
        ReplayLogSync::Pipelined => "pipelined",
    }
}

/// Shorter than a slow PUT, a settle time would prove nothing.
fn settle(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" { Ok(None) } else { time(text, 1_000..=3_600_000).map(Some) }
}

fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn set_write_connections(settings: &mut Settings, count: u64) {
    settings.store.write_connections = to_usize(count);
    settings.volume.uploads_max = to_usize(count - 1);
}

/// One deadline for the engine's waits and the store's attempts.
fn set_operation_timeout(settings: &mut Settings, time: Duration) {
    settings.volume.operation_timeout = time;
    settings.store.operation_timeout = time.as_secs().max(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Outcome<Settings> {
        Settings::with(&parse_given(&[text.to_owned()])?)
    }

    #[test]
    fn keys_reach_the_options_they_name() {
        let s = parsed("max_flush_size=8MiB,max_flush_time=2s,write_connections=9,replay_log=always,ro,settle=30s")
            .unwrap();
        assert_eq!((s.volume.max_flush_size, s.volume.max_flush_time), (8 << 20, Duration::from_secs(2)));
        assert_eq!((s.store.write_connections, s.volume.uploads_max), (9, 8));
        assert_eq!(s.volume.replay_log_sync, ReplayLogSync::Always);
        assert_eq!((s.volume.read_only, s.volume.settle), (true, Some(Duration::from_secs(30))));
    }

    #[test]
    fn how_a_mac_sees_the_drive_can_be_said_on_any_system() {
        let s = parsed("names=equivalent,volume_name=Our Photos,local,apple_double=yes").unwrap();
        assert_eq!((s.names, s.volume_name.as_deref()), (NameRule::Equivalent, Some("Our Photos")));
        assert!(s.local && s.apple_double);
        assert!(
            !s.local_only && parsed("local_only").unwrap().local_only && parsed("local_only=true").unwrap().local_only
        );
        assert_eq!(parsed("volume_name=").unwrap().volume_name, None);
    }

    #[test]
    fn every_default_that_the_help_shows_is_accepted() {
        for key in KEYS {
            let mut settings = Settings::default();
            let shown = (key.show)(&settings);
            assert_eq!((key.set)(&mut settings, &shown), Ok(()), "{}={shown}", key.name);
            assert_eq!((key.show)(&settings), shown, "{}", key.name);
            assert!(help().contains(key.name));
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let failure = parsed("max_flush_sise=1MiB").unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.subject.contains("max_flush_sise") && failure.advice.contains("`max_flush_size`"), "{failure}");
        assert!(parsed("zzz=1").unwrap_err().advice.contains("known keys: max_flush_size"));
    }

    #[test]
    fn values_out_of_range_or_shape_are_refused_with_the_rule() {
        for (text, part) in [
            ("max_flush_size=12", "not a size"),
            ("max_flush_size=1KiB", "1MiB to 512MiB"),
            ("memory_budget=1MiB", "the least is 32MiB"),
            ("operation_timeout=soon", "not a time"),
            ("read_connections=0", "1 to 1024"),
            ("replay_log=never", "neither always nor pipelined"),
            ("read_only=maybe", "neither yes nor no"),
            ("names=nfc", "neither auto nor exact nor equivalent"),
        ] {
            let failure = parsed(text).unwrap_err();
            assert!(failure.why.contains(part), "{text}: {failure}");
            assert_eq!(failure.exit_code(), 2);
        }
    }
}
