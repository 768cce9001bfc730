//! Reading the configuration anew: what can change without dropping a mount does, the rest is named.

use std::sync::Arc;

use proxyfs_control::types::event::EventKind;
use proxyfs_control::types::volume::{Applied, Refused};
use serde_json::json;

use crate::failure::Outcome;
use crate::options::Given;
use crate::serve::config::{self, Config};
use crate::serve::events::publish;
use crate::serve::host::{Host, configured};
use crate::serve::hosted::{Hosted, Wanted};
use crate::serve::notify;

/// The one option that takes effect at once.
pub(crate) const LIVE_OPTION: &str = "read_cache_weight";

impl Host {
    /// Reads the configuration anew. A file with a mistake changes nothing.
    pub(crate) async fn reload(self: &Arc<Self>) -> Outcome<Applied> {
        let _one = self.reloading.lock().await;
        let new = config::load_if_there(&self.config_file)?;
        notify::reloading();
        let old = self.config();
        let mut done = Applied::default();
        self.take_shared(&old, &new, &mut done);
        self.set_config(new.clone());
        for (name, volume) in &new.volumes {
            let wanted = configured(volume);
            match self.find(name)? {
                Some(known) if !known.wanted().configured => {
                    let uuid = known.wanted().uuid.filter(|_| known.wanted().url == wanted.url);
                    known.edit(|w| *w = Wanted { uuid, ..wanted });
                    if known.live().is_none() {
                        self.start_wanted(&known);
                    }
                    done.applied.push(format!("volume {name} added"));
                }
                Some(known) => self.change(&known, wanted, &mut done),
                None => {
                    let added = self.want(name, wanted);
                    self.start_wanted(&added);
                    done.applied.push(format!("volume {name} added"));
                }
            }
        }
        for name in old.volumes.keys().filter(|name| !new.volumes.contains_key(*name)) {
            self.remove_configured(name, &mut done)?;
        }
        let data = json!({ "applied": done.applied, "needs_remount": done.needs_remount });
        publish(&self.events, None, EventKind::ConfigReloaded, data);
        notify::ready("configuration read anew");
        Ok(done)
    }

    /// Whatever is not a volume's.
    fn take_shared(&self, old: &Config, new: &Config, done: &mut Applied) {
        let mut note = |changed: bool, what: &str| {
            if changed {
                done.applied.push(what.to_owned());
            }
            changed
        };
        if note(old.cache != new.cache, "[cache]") {
            self.engine.set_memory_budget(new.cache.memory_budget);
            self.engine.set_disk_budget(new.cache.disk());
        }
        if note(old.limits != new.limits, "[limits]") {
            self.engine.pace().upload.set(new.limits.upload);
            self.engine.pace().download.set(new.limits.download);
        }
        note(old.prices != new.prices, "[prices]");
        note(old.daemon.stop_timeout != new.daemon.stop_timeout, "[daemon] stop_timeout");
        let why = "it takes effect when the daemon is started again";
        for (changed, what) in [
            (old.daemon.socket != new.daemon.socket, "[daemon] socket"),
            (old.log != new.log, "[log]"),
            (old.listen != new.listen, "[listen]"),
        ] {
            if changed {
                done.refused.push(Refused { what: what.to_owned(), why: why.to_owned() });
            }
        }
    }

    fn start_wanted(self: &Arc<Self>, hosted: &Arc<Hosted>) {
        if let Some(kept) = hosted.wanted().mount {
            hosted.keep_mounted(self, kept);
        }
    }

    fn change(self: &Arc<Self>, hosted: &Arc<Hosted>, new: Wanted, done: &mut Applied) {
        let old = hosted.wanted();
        let uuid = if old.url == new.url { old.uuid.clone() } else { None };
        let new = Wanted { uuid, ..new };
        if old == new {
            return;
        }
        hosted.edit(|wanted| *wanted = new.clone());
        let volume = |what: &str| format!("volume {}: {what}", hosted.name);
        let live = hosted.live();
        let mut note = |at_once: bool, what: &str| {
            if at_once || live.is_none() { &mut done.applied } else { &mut done.needs_remount }.push(volume(what));
        };
        for (changed, what) in [(old.url != new.url, "store"), (old.credentials != new.credentials, "credentials")] {
            if changed {
                note(false, what);
            }
        }
        for key in changed_keys(&old.options, &new.options) {
            note(key == LIVE_OPTION, &format!("option {key}"));
        }
        if old.label != new.label {
            note(true, "label");
        }
        if old.mount != new.mount {
            note(new.mount.is_some() && live.is_none(), "mount_point");
        }
        if let Some(live) = &live {
            live.volume.set_read_cache_weight(weight(&new.options));
        } else if new.mount.is_some() {
            // One that is being tried goes on with what is wanted now.
            hosted.let_go();
            self.start_wanted(hosted);
        } else {
            hosted.let_go();
        }
    }

    fn remove_configured(&self, name: &str, done: &mut Applied) -> Outcome {
        let Some(hosted) = self.find(name)? else { return Ok(()) };
        hosted.edit(|wanted| (wanted.configured, wanted.mount) = (false, None));
        hosted.let_go();
        match hosted.live() {
            Some(live) => {
                let place = live.mount_point().display();
                let why = format!("it stays mounted on {place} until it is unmounted: proxyfs unmount {place}");
                done.refused.push(Refused { what: format!("volume {name} removed"), why });
            }
            None => {
                self.drop_volume(name);
                done.applied.push(format!("volume {name} removed"));
            }
        }
        Ok(())
    }
}

/// Keys whose values differ.
pub(crate) fn changed_keys(old: &Given, new: &Given) -> Vec<String> {
    let mut keys: Vec<String> = old.keys().chain(new.keys()).filter(|k| old.get(*k) != new.get(*k)).cloned().collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// A volume's share of the caches by its options, which have been checked.
pub(crate) fn weight(options: &Given) -> u32 {
    options.get(LIVE_OPTION).and_then(|text| text.parse().ok()).unwrap_or(1)
}
