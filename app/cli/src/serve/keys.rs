//! Every key of the configuration, each defined once: name, what it takes, default, help, how it is read, and whether a reload applies it.
//!
//! The parser, its refusals and the table in docs/OPERATIONS.md all come from here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::logging::{Format, Wish, check_level};
use crate::serve::config::{Cache, Daemon, Listen, Prices, StoreEntry, Transfer, VolumeDraft};
use crate::serve::document::Value;
use crate::units::{parse_size, parse_time};

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// At a reload.
    Reload,
    /// When the volume is mounted again.
    Remount,
    /// When the daemon is started again.
    Restart,
}

impl Live {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Remount => "remount",
            Self::Restart => "restart",
        }
    }
}

/// One key of a section that is read into a `T`.
pub(crate) struct Key<T: 'static> {
    pub(crate) name: &'static str,
    /// What it takes, for people: "size", "time", "yes|no".
    pub(crate) takes: &'static str,
    /// Empty where there is none.
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
    pub(crate) live: Live,
    pub(crate) set: fn(&mut T, &Value) -> Result<(), String>,
}

/// What the table in the docs shows of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) name: &'static str,
    pub(crate) takes: &'static str,
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
    pub(crate) live: Live,
}

impl<T> From<&Key<T>> for Shown {
    fn from(key: &Key<T>) -> Self {
        Self { name: key.name, takes: key.takes, default: key.default, help: key.help, live: key.live }
    }
}

/// Smallest memory budget that a daemon works with.
pub(crate) const MEMORY_MIN: u64 = 32 << 20;
/// Smallest limit of transfer: below, every deadline would pass.
pub(crate) const RATE_MIN: u64 = 1 << 10;
/// Smallest disk budget.
pub(crate) const DISK_MIN: u64 = 64 << 20;

/// `[daemon]`.
pub(crate) const DAEMON: &[Key<Daemon>] = &[
    Key {
        name: "socket",
        takes: "path",
        default: "/run/proxyfs/control.sock as root, else daemon.sock in the state directory",
        help: "where the daemon listens for commands of its own user and root",
        live: Live::Restart,
        set: |d, v| path(v).map(|p| d.socket = Some(p)),
    },
    Key {
        name: "stop_timeout",
        takes: "time",
        default: "60s",
        help: "how long the store may take at the end; what is not in it by then stays staged on this computer",
        live: Live::Reload,
        set: |d, v| time(v).map(|t| d.stop_timeout = t),
    },
];

/// `[log]`.
pub(crate) const LOG: &[Key<Wish>] = &[
    Key {
        name: "level",
        takes: "error|warn|info|debug|trace, or a filter",
        default: "info",
        help: "what is logged, unless `--log` or PROXYFS_LOG say otherwise",
        live: Live::Restart,
        set: |l, v| text(v).and_then(|t| check_level(&t).map(|()| l.level = Some(t))),
    },
    Key {
        name: "format",
        takes: "text|json",
        default: "text",
        help: "what a line looks like, unless `--log-format` or PROXYFS_LOG_FORMAT say otherwise",
        live: Live::Restart,
        set: |l, v| {
            let format = Format::from_str(&text(v)?, false).map_err(|_| "write \"text\" or \"json\"".to_owned())?;
            l.format = Some(format);
            Ok(())
        },
    },
];

/// `[cache]`.
pub(crate) const CACHE: &[Key<Cache>] = &[
    Key {
        name: "memory_budget",
        takes: "size",
        default: "512MiB",
        help: "memory for caches, dirty metadata and upload buffers of all volumes together",
        live: Live::Reload,
        set: |c, v| size_from(v, MEMORY_MIN).map(|n| c.memory_budget = n),
    },
    Key {
        name: "disk_budget",
        takes: "size",
        default: "16GiB",
        help: "local disk of all volumes together: data on its way to the store, and the cache",
        live: Live::Reload,
        set: |c, v| size_from(v, DISK_MIN).map(|n| c.disk_budget = n),
    },
    Key {
        name: "disk_cache",
        takes: "size",
        default: "4GiB",
        help: "the part of `disk_budget` that caches what was read or sent; 0 turns it off",
        live: Live::Reload,
        set: |c, v| size_from(v, 0).map(|n| c.disk_cache = n),
    },
];

/// `[limits]`.
pub(crate) const LIMITS: &[Key<Transfer>] = &[
    Key {
        name: "upload",
        takes: "size or \"off\"",
        default: "off",
        help: "bytes a second to all stores together, on average",
        live: Live::Reload,
        set: |l, v| rate(v).map(|n| l.upload = n),
    },
    Key {
        name: "download",
        takes: "size or \"off\"",
        default: "off",
        help: "bytes a second from all stores together, on average",
        live: Live::Reload,
        set: |l, v| rate(v).map(|n| l.download = n),
    },
];

/// `[listen]`: the control interface over TCP.
pub(crate) const LISTEN: &[Key<Listen>] = &[
    Key {
        name: "address",
        takes: "address:port",
        default: "",
        help: "also listen for commands over TCP; needs `token_file`",
        live: Live::Restart,
        set: |l, v| address(v).map(|a| l.address = Some(a)),
    },
    Key {
        name: "token_file",
        takes: "path",
        default: "",
        help: "file with the bearer token, readable by its owner alone",
        live: Live::Restart,
        set: |l, v| path(v).map(|p| l.token_file = Some(p)),
    },
    Key {
        name: "certificate",
        takes: "path",
        default: "",
        help: "PEM file with the certificate chain for TLS; needs `key`",
        live: Live::Restart,
        set: |l, v| path(v).map(|p| l.certificate = Some(p)),
    },
    Key {
        name: "key",
        takes: "path",
        default: "",
        help: "PEM file with the certificate's key",
        live: Live::Restart,
        set: |l, v| path(v).map(|p| l.key = Some(p)),
    },
    Key {
        name: "network",
        takes: "yes|no",
        default: "no",
        help: "let other machines reach `address`; needs TLS",
        live: Live::Restart,
        set: |l, v| flag(v).map(|on| l.network = on),
    },
    Key {
        name: "origins",
        takes: "list of origins",
        default: "[]",
        help: "web pages that may ask",
        live: Live::Restart,
        set: |l, v| texts(v).map(|all| l.origins = all),
    },
];

/// `[prices]`.
pub(crate) const PRICES: &[Key<Prices>] = &[
    Key {
        name: "currency",
        takes: "text",
        default: "USD",
        help: "currency of the prices",
        live: Live::Reload,
        set: |p, v| text(v).map(|t| p.currency = t),
    },
    Key {
        name: "source",
        takes: "text",
        default: "",
        help: "where the prices come from; shown with every estimate",
        live: Live::Reload,
        set: |p, v| text(v).map(|t| p.source = t),
    },
    Key {
        name: "put",
        takes: "number",
        default: "0",
        help: "price of 1,000 writes",
        live: Live::Reload,
        set: |p, v| price(v).map(|n| p.put = n),
    },
    Key {
        name: "get",
        takes: "number",
        default: "0",
        help: "price of 1,000 reads, also of lengths",
        live: Live::Reload,
        set: |p, v| price(v).map(|n| p.get = n),
    },
    Key {
        name: "list",
        takes: "number",
        default: "0",
        help: "price of 1,000 listings",
        live: Live::Reload,
        set: |p, v| price(v).map(|n| p.list = n),
    },
    Key {
        name: "delete",
        takes: "number",
        default: "0",
        help: "price of 1,000 deletions",
        live: Live::Reload,
        set: |p, v| price(v).map(|n| p.delete = n),
    },
    Key {
        name: "received_gb",
        takes: "number",
        default: "0",
        help: "price of 10^9 bytes from the store",
        live: Live::Reload,
        set: |p, v| price(v).map(|n| p.received_gb = n),
    },
    Key {
        name: "sent_gb",
        takes: "number",
        default: "0",
        help: "price of 10^9 bytes to the store",
        live: Live::Reload,
        set: |p, v| price(v).map(|n| p.sent_gb = n),
    },
];

/// `[stores.NAME]`.
pub(crate) const STORE: &[Key<StoreEntry>] = &[
    Key {
        name: "url",
        takes: "store URL",
        default: "",
        help: "where the store lies; each volume on it has its own prefix below",
        live: Live::Remount,
        set: |s, v| text(v).map(|t| s.url = Some(t)),
    },
    Key {
        name: "credentials",
        takes: "name",
        default: "those of the environment",
        help: "named credentials of volumes on this store",
        live: Live::Remount,
        set: |s, v| text(v).map(|t| s.credentials = Some(t)),
    },
];

/// `[volumes.NAME]`.
pub(crate) const VOLUME: &[Key<VolumeDraft>] = &[
    Key {
        name: "store",
        takes: "name of a store, or store URL",
        default: "",
        help: "where the volume lies; create it first: proxyfs volume create",
        live: Live::Remount,
        set: |d, v| text(v).map(|t| d.store = Some(t)),
    },
    Key {
        name: "prefix",
        takes: "text",
        default: "the volume's name",
        help: "path below a named store",
        live: Live::Remount,
        set: |d, v| text(v).map(|t| d.prefix = Some(t)),
    },
    Key {
        name: "credentials",
        takes: "name",
        default: "those of the store",
        help: "named credentials",
        live: Live::Remount,
        set: |d, v| text(v).map(|t| d.credentials = Some(t)),
    },
    Key {
        name: "mount_point",
        takes: "path",
        default: "",
        help: "an empty directory where the daemon mounts it; without one it is mounted on request only",
        live: Live::Reload,
        set: |d, v| place(v).map(|p| d.mount_point = Some(p)),
    },
    Key {
        name: "label",
        takes: "text",
        default: "",
        help: "for people",
        live: Live::Reload,
        set: |d, v| text(v).map(|t| d.label = Some(t)),
    },
];

fn expected<T>(what: &str, found: &Value) -> Result<T, String> {
    Err(format!("{what} is expected, not {found}"))
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) if !text.is_empty() => Ok(text.clone()),
        Value::Text(_) => Err("it is empty".to_owned()),
        other => expected("a text in quotes", other),
    }
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::List(items) => items.iter().map(text).collect(),
        other => expected("a list of texts", other),
    }
}

/// Where a volume may be mounted.
fn place(value: &Value) -> Result<PathBuf, String> {
    let place = PathBuf::from(text(value)?);
    let is_place = crate::sys::is_absolute_place(&place);
    if is_place { Ok(place) } else { Err(format!("{} is not an absolute path", place.display())) }
}

fn path(value: &Value) -> Result<PathBuf, String> {
    let path = PathBuf::from(text(value)?);
    if path.is_absolute() { Ok(path) } else { Err(format!("{} is not an absolute path", path.display())) }
}

fn size_from(value: &Value, least: u64) -> Result<u64, String> {
    let bytes = match value {
        Value::Text(text) => parse_size(text)?,
        Value::Number(n) if n == "0" => 0,
        other => return expected("a size in quotes, such as \"2GiB\",", other),
    };
    if bytes >= least {
        Ok(bytes)
    } else {
        Err(format!("it is too small; the least is {}", crate::units::show_size(least)))
    }
}

fn time(value: &Value) -> Result<Duration, String> {
    match value {
        Value::Text(text) => parse_time(text),
        other => expected("a time in quotes, such as \"30s\",", other),
    }
}

fn rate(value: &Value) -> Result<Option<u64>, String> {
    match value {
        Value::Text(text) if text == "off" => Ok(None),
        Value::Text(text) => match parse_size(text)? {
            n if n < RATE_MIN => Err("it is too small; the least is 1KiB, and \"off\" is no limit".to_owned()),
            n => Ok(Some(n)),
        },
        other => expected("a size in quotes, such as \"2MiB\", or \"off\"", other),
    }
}

fn flag(value: &Value) -> Result<bool, String> {
    match value {
        Value::Flag(on) => Ok(*on),
        Value::Text(text) if text == "yes" => Ok(true),
        Value::Text(text) if text == "no" => Ok(false),
        other => expected("true or false", other),
    }
}

fn price(value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Number(n) => n.replace('_', "").parse::<f64>().ok(),
        other => return expected("a number", other),
    };
    number.filter(|n| n.is_finite() && *n >= 0.0).ok_or_else(|| "it is not a price".to_owned())
}

fn address(value: &Value) -> Result<SocketAddr, String> {
    let text = text(value)?;
    text.parse().map_err(|_| format!("{text} is not an address and port, such as 127.0.0.1:7643"))
}
