//! Work on volumes: create, edit, forget, delete, mount, hand over.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use proxyfs_control::backend::{Outcome, Progress};
use proxyfs_control::types::event::EventKind;
use proxyfs_control::types::names::Name;
use proxyfs_control::types::volume::{
    Applied, Case, Compress, ConnectionReport, CreateVolume, Deleted, EditVolume, Mount, Mounted, Refused,
    TestConnection, Tier, VolumeDetail,
};
use proxyfs_core::format;
use proxyfs_core::volume::VolumeSpec;
use proxyfs_store::{ProbeDepth, probe};
use serde_json::json;

use super::{Desk, answered};
use crate::commands::volume::create::{NewVolume, create};
use crate::commands::volume::open_and_close;
use crate::credentials::named;
use crate::failure::Failure;
use crate::options::{self, Given, Settings};
use crate::registry::{KeptMount, Registry};
use crate::serve::config::SHARED_OPTIONS;
use crate::serve::control::credentials::usable;
use crate::serve::delete::delete_objects;
use crate::serve::events::publish;
use crate::serve::hosted::{Hosted, MountWish};
use crate::serve::reload::{LIVE_OPTION, changed_keys, weight};
use crate::serve::{answers, host};
use crate::target::parse_url;

impl Desk {
    pub(super) async fn create_volume(&self, volume: CreateVolume, progress: &Progress) -> Outcome<VolumeDetail> {
        let name = volume.name.as_str();
        progress.say(format!("Creating volume {name}."));
        let mut spec = VolumeSpec::new(name);
        spec.tier = match volume.tier {
            Tier::Disk => format::Tier::Disk,
            Tier::Store => format::Tier::Store,
        };
        spec.case = match volume.case {
            Case::Sensitive => format::CaseRule::Sensitive,
            Case::Insensitive => format::CaseRule::Insensitive,
        };
        spec.compress = match volume.compress {
            Compress::Default | Compress::Lz4 => format::CompressChoice::Lz4,
            Compress::None => format::CompressChoice::None,
            Compress::Zstd => format::CompressChoice::Zstd,
        };
        let new = NewVolume {
            name: name.to_owned(),
            url: answered(parse_url(volume.store.as_str()))?,
            spec,
            credentials: volume.credentials.map(String::from),
            options: volume.options,
            mount: None,
        };
        answered(create(&self.0.paths, new).await)?;
        Ok(self.detail(&*self.hosted(&volume.name)?))
    }

    pub(super) async fn try_store(&self, test: TestConnection) -> Outcome<ConnectionReport> {
        let url = answered(parse_url(test.store.as_str()))?;
        let mut options = Settings::default().store;
        options.credentials = match (test.with, test.credentials) {
            (Some(given), _) => Some(usable(given)),
            (None, Some(name)) => Some(answered(named(&self.0.paths, name.as_str()).await)?.record.credentials),
            (None, None) => None,
        };
        Ok(answers::connection(&probe(&url, &options, ProbeDepth::Write).await))
    }

    /// Changes what the registry says; what stands in the configuration is edited there.
    pub(super) fn edit_volume(&self, name: &Name, edit: EditVolume) -> Outcome<Applied> {
        let hosted = self.hosted(name)?;
        let mut done = Applied::default();
        let wanted = hosted.wanted();
        if wanted.configured {
            let file = self.0.config_file.display();
            let refuse =
                |what: String| Refused { what, why: format!("it stands in {file}: edit it there, then reload") };
            done.refused.extend(edit.options.into_keys().map(refuse));
            done.refused.extend(edit.label.map(|_| refuse("label".to_owned())));
            return Ok(done);
        }
        let mut given = wanted.options.clone();
        for (key, value) in edit.options {
            if SHARED_OPTIONS.contains(&key.as_str()) {
                let why = "it is for all volumes together: PATCH /v1/caches, or the section [cache]".to_owned();
                done.refused.push(Refused { what: key, why });
                continue;
            }
            let checked =
                if value.is_empty() && options::is_known(&key) { Ok(()) } else { options::check(&key, &value) };
            match checked {
                Ok(()) if value.is_empty() => drop(given.remove(&key)),
                Ok(()) => drop(given.insert(key, value)),
                Err(f) => done.refused.push(Refused { what: key, why: format!("{}; {}", f.why, f.advice) }),
            }
        }
        self.apply_options(&hosted, &wanted.options, &given, &mut done);
        if let Some(label) = edit.label {
            hosted.edit(|w| w.label = Some(label).filter(|l| !l.is_empty()));
            done.applied.push("label".to_owned());
        }
        let new = hosted.wanted();
        let registry = Registry::new(self.0.paths.registry());
        answered(registry.edit(name.as_str(), |entry| (entry.options, entry.label) = (new.options, new.label)))?;
        Ok(done)
    }

    fn apply_options(&self, hosted: &Hosted, old: &Given, new: &Given, done: &mut Applied) {
        let live = hosted.live();
        for key in changed_keys(old, new) {
            let at_once = live.is_none() || key == LIVE_OPTION;
            if at_once { &mut done.applied } else { &mut done.needs_remount }.push(key);
        }
        hosted.edit(|w| w.options = new.clone());
        if let Some(live) = live {
            live.volume.set_read_cache_weight(weight(new));
        }
    }

    fn registered(&self, hosted: &Hosted, action: &str) -> Outcome {
        if !hosted.wanted().configured {
            return Ok(());
        }
        let why = "it stands in the daemon's configuration";
        answered(Err(Failure::new(action, hosted.subject(), why, "take it out there, reload, and try again")))
    }

    pub(super) async fn forget_volume(&self, name: &Name) -> Outcome<Deleted> {
        let hosted = self.hosted(name)?;
        self.registered(&hosted, "forget")?;
        hosted.let_go();
        let registry = Registry::new(self.0.paths.registry());
        answered(hosted.closed("forget", async { registry.remove(name.as_str()) }).await)?;
        self.0.drop_volume(name.as_str());
        Ok(Deleted { name: name.to_string(), objects: None })
    }

    pub(super) async fn delete_volume(&self, name: &Name, progress: &Progress) -> Outcome<Deleted> {
        let hosted = self.hosted(name)?;
        self.registered(&hosted, "delete")?;
        hosted.let_go();
        let work = async {
            let target = hosted.target(&self.0).await?;
            let objects = delete_objects(&self.0, &target, &|line| progress.say(line)).await?;
            let state_dir = target.state_dir(&self.0.paths);
            match fs::remove_dir_all(&state_dir) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Failure::io("remove", &state_dir.display().to_string(), &e));
                }
                _ => {}
            }
            Registry::new(self.0.paths.registry()).remove(name.as_str())?;
            Ok(objects)
        };
        let objects = answered(hosted.closed("delete", work).await)?;
        self.0.drop_volume(name.as_str());
        Ok(Deleted { name: name.to_string(), objects: Some(objects) })
    }

    pub(super) async fn mount_volume(&self, name: &Name, mount: Mount, progress: &Progress) -> Outcome<Mounted> {
        let hosted = self.hosted(name)?;
        let wanted = hosted.wanted().mount;
        let mount_point = match (mount.mount_point, &wanted) {
            (Some(place), _) => PathBuf::from(place),
            (None, Some(kept)) => kept.mount_point.clone(),
            (None, None) => {
                let why = "no mount_point is given, and none is configured";
                return answered(Err(Failure::new("mount", hosted.subject(), why, "name an empty directory")));
            }
        };
        for (key, value) in &mount.options {
            answered(options::check(key, value))?;
        }
        let kept = KeptMount { mount_point, read_only: mount.read_only, options: mount.options };
        let wish = MountWish::new(kept, mount.take_over);
        let live = answered(self.0.mount(name.as_str(), wish, true, &|line| progress.say(line)).await)?;
        if mount.take_over {
            publish(&self.0.events, Some(name.as_str()), EventKind::TakenOver, json!({}));
        }
        let status = live.volume.status();
        Ok(Mounted {
            volume: name.to_string(),
            uuid: live.target.uuid.clone(),
            store: live.target.url.to_string(),
            mount_point: live.mount_point().display().to_string(),
            state_dir: live.target.state_dir(&self.0.paths).display().to_string(),
            pid: std::process::id(),
            files: status.inodes.saturating_sub(1),
            data_bytes: status.data_bytes,
            online: status.offline_since.is_none(),
            waiting_bytes: status.waiting_bytes,
        })
    }

    /// Unmounts if need be; then everything is in the store and any computer may have the volume, or it is an error.
    pub(super) async fn release_volume(&self, name: &Name, progress: &Progress) -> Outcome<VolumeDetail> {
        let hosted = self.hosted(name)?;
        let tell = |line| progress.say(line);
        if hosted.live().is_some() {
            let ended = answered(self.0.unmount(name.as_str(), false, &tell).await)?;
            if !ended.in_store {
                let why = "the store did not take everything in time; the rest is staged on this computer";
                let advice = "check the network and the store, then release it again";
                return answered(Err(Failure::new("release", hosted.subject(), why, advice)));
            }
        } else {
            self.bring_in(&hosted, "release", false).await?;
        }
        Ok(self.detail(&hosted))
    }

    /// Claims the volume by force, and mounts it again where it was, or should be.
    pub(super) async fn take_volume(&self, name: &Name, progress: &Progress) -> Outcome<VolumeDetail> {
        let hosted = self.hosted(name)?;
        let mut place = hosted.wanted().mount;
        if let Some(live) = hosted.live() {
            if !live.volume.status().fenced {
                let failure = Failure::new("take over", hosted.subject(), "it is this computer's already", "use it");
                return answered(Err(failure));
            }
            place = Some(live.kept.clone());
            drop(live);
            let tell = |line| progress.say(line);
            // A fenced volume publishes nothing more: what its end says is known.
            if let Err(failure) =
                hosted.unmount(&self.0, crate::session::BUSY_PATIENCE, host::FENCED_PATIENCE, &tell).await
            {
                tracing::warn!(volume = hosted.name, "{failure}");
            }
        }
        match place {
            Some(kept) => {
                let wish = MountWish::new(kept, true);
                answered(self.0.mount(name.as_str(), wish, true, &|line| progress.say(line)).await)?;
            }
            None => self.bring_in(&hosted, "take over", true).await?,
        }
        publish(&self.0.events, Some(name.as_str()), EventKind::TakenOver, json!({}));
        Ok(self.detail(&hosted))
    }

    /// Opens a volume only to close it: what was staged here is in the store then.
    async fn bring_in(&self, hosted: &Arc<Hosted>, action: &str, take_over: bool) -> Outcome {
        hosted.let_go();
        let work = async {
            let target = hosted.target(&self.0).await?;
            open_and_close(&self.0.paths, &target, action, take_over).await
        };
        answered(hosted.closed(action, work).await)
    }
}
