//! The system's credential store: Secret Service over D-Bus on Linux, the Keychain on macOS, the Credential Manager on Windows.
//!
//! Its calls block, and a locked store waits for somebody to unlock it. So each call runs on a thread of its own and has a deadline;
//! one that misses it is left behind and holds up nothing, not even the end of the process. Without a session bus nothing is tried.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use keyring_core::api::CredentialStore;
use keyring_core::{Entry, Error as KeyringError};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;

/// What our entries are filed under.
const SERVICE: &str = "proxyfs";

/// Patience when nobody can answer a prompt.
const HEADLESS_PATIENCE: Duration = Duration::from_secs(5);

/// Patience when somebody at a screen may have to type a password.
const PROMPT_PATIENCE: Duration = Duration::from_secs(60);

/// Switches the credential store off when it is `off`.
const SWITCH: &str = "PROXYFS_KEYRING";

/// For messages.
const SUBJECT: &str = "the system's credential store";

/// How the credential store is reached.
#[derive(Clone, Debug)]
pub(crate) struct Keyring {
    /// Why it is not used at all.
    absent: Option<String>,
    patience: Duration,
}

impl Keyring {
    /// As the environment says.
    pub(crate) fn from_env(var: impl Fn(&str) -> Option<String>) -> Self {
        let screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| var(name).is_some_and(|v| !v.is_empty()));
        let patience = if screen || !cfg!(target_os = "linux") { PROMPT_PATIENCE } else { HEADLESS_PATIENCE };
        Self { absent: absent(var), patience }
    }

    /// One record, if it is there.
    pub(crate) async fn load(&self, name: &str) -> Result<Option<Record>> {
        let wanted = name.to_owned();
        let text = self.call(move |store| secret_of(&entry(store, &wanted)?)).await?;
        text.map(|text| decode(name, &text)).transpose()
    }

    /// Adds or replaces one.
    pub(crate) async fn set(&self, name: &str, record: &Record) -> Result<()> {
        let (name, text) = (name.to_owned(), record.encode());
        self.call(move |store| entry(store, &name)?.set_secret(text.as_bytes())).await
    }

    /// Removes one; false if it is not there.
    pub(crate) async fn delete(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        let delete = move |store: &CredentialStore| match entry(store, &name)?.delete_credential() {
            Ok(()) => Ok(true),
            Err(KeyringError::NoEntry) => Ok(false),
            // Made by other means than ours; all of them are meant.
            Err(KeyringError::Ambiguous(entries)) => {
                entries.iter().try_for_each(Entry::delete_credential).map(|()| true)
            }
            Err(e) => Err(e),
        };
        self.call(delete).await
    }

    /// All of ours, by name. One that makes no sense is left out.
    pub(crate) async fn list(&self) -> Result<Vec<(String, Record)>> {
        let found = self.call(|store| {
            let mut found = Vec::new();
            for entry in store.search(&HashMap::from([search()]))? {
                let Some((service, name)) = entry.get_specifiers() else { continue };
                if service == SERVICE
                    && let Some(text) = secret_of(&entry)?
                {
                    found.push((name, text));
                }
            }
            Ok(found)
        });
        let decoded = found.await?.into_iter().filter_map(|(name, text)| match decode(&name, &text) {
            Ok(record) => Some((name, record)),
            Err(error) => {
                tracing::warn!(%error, "left out");
                None
            }
        });
        Ok(decoded.collect())
    }

    /// Runs `work` against the store within the patience.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CredentialStore) -> keyring_core::Result<T> + Send + 'static,
    ) -> Result<T> {
        if let Some(why) = &self.absent {
            return Err(missing(why));
        }
        within(self.patience, move || open().and_then(|store| work(store.as_ref()))).await
    }
}

/// Runs `work` on a thread of its own, which is left behind when the patience ends.
async fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> keyring_core::Result<T> + Send + 'static,
) -> Result<T> {
    let (answer, answered) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("keyring".to_owned()).spawn(move || {
        // Nobody may wait any more.
        let _late = answer.send(work()).is_err();
    });
    spawned.map_err(|e| Error::io(SUBJECT, &e))?;
    match tokio::time::timeout(patience, answered).await {
        Ok(Ok(outcome)) => outcome.map_err(|e| explain(&e)),
        Ok(Err(_)) => Err(missing("the connection to it broke")),
        Err(_) => Err(locked(&format!("no answer for {} s: it is locked or hangs", patience.as_secs()))),
    }
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn open() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(zbus_secret_service_keyring_store::Store::new()?)
}

#[cfg(target_os = "macos")]
fn open() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

#[cfg(windows)]
fn open() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(windows_native_keyring_store::Store::new()?)
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "macos", windows)))]
fn open() -> keyring_core::Result<Arc<CredentialStore>> {
    Err(KeyringError::NoDefaultStore)
}

/// What finds all of ours.
fn search() -> (&'static str, &'static str) {
    if cfg!(windows) { ("pattern", SERVICE) } else { ("service", SERVICE) }
}

/// Why there can be no credential store here, as far as the environment tells.
fn absent(var: impl Fn(&str) -> Option<String>) -> Option<String> {
    if var(SWITCH).is_some_and(|v| v == "off") {
        return Some(format!("{SWITCH} is off"));
    }
    #[cfg(target_os = "linux")]
    {
        if var("DBUS_SESSION_BUS_ADDRESS").is_some_and(|v| !v.is_empty()) {
            return None;
        }
        let uid = rustix::process::geteuid().as_raw();
        let dir = var("XDG_RUNTIME_DIR").unwrap_or_else(|| format!("/run/user/{uid}"));
        if !std::path::Path::new(&dir).join("bus").exists() {
            return Some("there is no D-Bus session here".to_owned());
        }
    }
    None
}

fn entry(store: &CredentialStore, name: &str) -> keyring_core::Result<Entry> {
    store.build(SERVICE, name, None)
}

fn secret_of(entry: &Entry) -> keyring_core::Result<Option<Zeroizing<Vec<u8>>>> {
    match entry.get_secret() {
        Ok(secret) => Ok(Some(Zeroizing::new(secret))),
        Err(KeyringError::NoEntry) => Ok(None),
        Err(e) => Err(e),
    }
}

fn decode(name: &str, text: &[u8]) -> Result<Record> {
    let decoded = std::str::from_utf8(text).map_err(|_| "it is not text".to_owned()).and_then(Record::decode);
    decoded.map_err(|why| {
        let to_do = format!("store it anew: proxyfs credentials set {name} --in keyring");
        Error::new(ErrorKind::Invalid, format!("credentials {name} in {SUBJECT}"), why, to_do)
    })
}

/// The store's error in our words. Its `Debug` form may hold a secret and is never used.
fn explain(error: &KeyringError) -> Error {
    match error {
        KeyringError::NoStorageAccess(why) => locked(&format!("it is locked, and was not unlocked ({why})")),
        KeyringError::PlatformFailure(why) => {
            let text = why.to_string();
            if is_locked(&text) { locked("it is locked") } else { missing(&text) }
        }
        KeyringError::NoDefaultStore => missing("this system has none that is known"),
        KeyringError::Ambiguous(_) => Error::new(
            ErrorKind::Invalid,
            SUBJECT,
            "it holds several entries of this name",
            "delete them and store one: proxyfs credentials delete NAME",
        ),
        other => missing(&other.to_string()),
    }
}

fn is_locked(text: &str) -> bool {
    ["IsLocked", "locked", "prompt"].iter().any(|word| text.contains(word))
}

fn locked(why: &str) -> Error {
    if cfg!(windows) {
        return Error::new(ErrorKind::KeyringLocked, SUBJECT, why, "log in, or keep them in a file (--in file)");
    }
    let to_do = "unlock it by logging in at a screen; for a machine without one keep them in a file (--in file) or hand them over by systemd (LoadCredential)";
    Error::new(ErrorKind::KeyringLocked, SUBJECT, why, to_do)
}

fn missing(why: &str) -> Error {
    if cfg!(windows) {
        let why = format!("it cannot be used: {why}");
        return Error::new(ErrorKind::KeyringMissing, SUBJECT, why, "keep them in a file (--in file)");
    }
    let to_do = "start one (gnome-keyring, KWallet), or keep them in a file (--in file), or hand them over by systemd (LoadCredential)";
    Error::new(ErrorKind::KeyringMissing, SUBJECT, format!("it cannot be used: {why}"), to_do)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn without_a_bus_nothing_is_tried_and_the_fallback_is_named() {
        let keyring = Keyring::from_env(|name| (name == "XDG_RUNTIME_DIR").then(|| "/nonexistent".to_owned()));
        let error = keyring.load("a").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::KeyringMissing);
        assert!(error.why.contains("no D-Bus session") && error.to_do.contains("--in file"), "{error}");
    }

    #[tokio::test]
    async fn it_can_be_switched_off() {
        let keyring = Keyring::from_env(|name| (name == SWITCH).then(|| "off".to_owned()));
        assert!(keyring.load("a").await.unwrap_err().why.contains(SWITCH));
    }

    /// On Linux this takes a message bus and a store on it: `app/cli/tests/keyring.rs` has both.
    #[cfg(windows)]
    #[tokio::test]
    async fn the_credential_manager_keeps_lists_and_forgets() {
        let keyring = Keyring::from_env(|_| None);
        let name = format!("test-{}", std::process::id());
        let record = |secret: &str| Record::now(proxyfs_store::Credentials::new("id", secret));
        let listed = async || keyring.list().await.unwrap().into_iter().filter(|(found, _)| *found == name).count();
        assert!(keyring.load(&name).await.unwrap().is_none());
        assert!(!keyring.delete(&name).await.unwrap());
        for secret in ["one", "two"] {
            keyring.set(&name, &record(secret)).await.unwrap();
            let found = keyring.load(&name).await.unwrap().unwrap();
            assert_eq!(secrecy::ExposeSecret::expose_secret(&found.credentials.secret), secret);
            assert_eq!(listed().await, 1);
        }
        assert!(keyring.delete(&name).await.unwrap());
        assert!(keyring.load(&name).await.unwrap().is_none());
        assert_eq!(listed().await, 0);
    }

    #[tokio::test]
    async fn what_never_answers_is_given_up() {
        let never = || -> keyring_core::Result<()> {
            loop {
                std::thread::park();
            }
        };
        let error = within(Duration::from_millis(10), never).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::KeyringLocked);
        assert!(error.why.contains("no answer"), "{error}");
    }
}
