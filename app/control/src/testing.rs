//! A daemon without an engine: volumes, queues, caches and credentials exist in memory only.
//!
//! It keeps the rules that a real one would (a mounted volume cannot be forgotten, a name is taken once), so that a client can be
//! tried on it. Names that begin with `fail` fail their work, `panic` panics, and `slow` waits for [`Fake::let_go`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Map;
use tokio::sync::Semaphore;

use crate::backend::{Control, Outcome, Progress};
use crate::ring::Ring;
use crate::types::Options;
use crate::types::cache::{CacheShare, Caches, DropCaches, EditCaches};
use crate::types::credential::{CredentialInfo, StoreCredentials, TestCredentials};
use crate::types::daemon::{Alive, NotReady, Readiness, Stuck, Version};
use crate::types::event::{EventKind, News};
use crate::types::logs::{Level, LogLine};
use crate::types::names::Name;
use crate::types::problem::{Kind, LastingProblem, Problem, Severity};
use crate::types::queue::{EditLimits, Limits, Queue, QueueEntry, UploadState};
use crate::types::stats::{EngineMetrics, Stats, VolumeStats};
use crate::types::store_requests::{Cost, RequestCount, StoreRequests};
use crate::types::volume::{
    Applied, Checkpointed, Connection, ConnectionReport, ConnectionStep, CreateVolume, Deleted, EditVolume,
    EngineStatus, Health, Mount, MountInfo, Mounted, RecentFile, Refused, TestConnection, Unmount, Unmounted,
    VolumeDetail, VolumeState, VolumeSummary,
};

/// The daemon.
#[derive(Debug)]
pub struct Fake {
    events: Arc<Ring<News>>,
    logs: Arc<Ring<LogLine>>,
    state: Mutex<State>,
    gate: Semaphore,
}

#[derive(Debug)]
struct State {
    volumes: BTreeMap<Name, Volume>,
    credentials: BTreeMap<Name, CredentialInfo>,
    memory_budget: u64,
    disk_budget: u64,
    limits: Limits,
}

#[derive(Clone, Debug)]
struct Volume {
    store: String,
    tier: String,
    label: Option<String>,
    options: Options,
    credentials: Option<Name>,
    mount: Option<MountInfo>,
    paused: bool,
    weight: u32,
    lsn: u64,
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl Fake {
    /// A daemon with the mounted volume `photos`, the unmounted `backup`, and the credentials `main`.
    #[must_use]
    pub fn new() -> Self {
        let name = |text: &str| text.parse::<Name>().ok();
        let mount = MountInfo { mount_point: "/mnt/photos".into(), read_only: false, since: now() };
        let volumes = [("photos", Some(mount)), ("backup", None)];
        let volumes =
            volumes.into_iter().filter_map(|(n, mount)| Some((name(n)?, Volume { mount, ..volume("s3://bucket") })));
        let main = CredentialInfo {
            name: "main".into(),
            kind: "s3".into(),
            source: "memory".into(),
            since: Some(now()),
            key_id_end: "MPLE".into(),
        };
        let fake = Self {
            events: Arc::default(),
            logs: Arc::default(),
            state: Mutex::new(State {
                volumes: volumes.collect(),
                credentials: name("main").into_iter().map(|n| (n, main.clone())).collect(),
                memory_budget: 256 << 20,
                disk_budget: 1 << 30,
                limits: Limits::default(),
            }),
            gate: Semaphore::new(0),
        };
        fake.logs.publish(LogLine::new(now(), Level::Info, "fake", "started with token=never-shown"));
        fake
    }

    /// Lets one call on a `slow` volume go on.
    pub fn let_go(&self) {
        self.gate.add_permits(1);
    }

    /// Publishes an event.
    pub fn tell(&self, kind: EventKind, volume: Option<&Name>) -> u64 {
        let volume = volume.map(ToString::to_string);
        self.events.publish(News { time: now(), volume, kind, data: Map::new() })
    }

    fn on<T>(&self, name: &Name, work: impl FnOnce(&mut Volume) -> Outcome<T>) -> Outcome<T> {
        let mut state = self.state.lock();
        work(state.volumes.get_mut(name).ok_or_else(|| Problem::no_volume(name.as_str()))?)
    }

    fn detail(&self, name: &Name) -> Outcome<VolumeDetail> {
        self.on(name, |volume| Ok(volume.detail(name)))
    }

    /// What names make happen.
    async fn behave(&self, name: &Name, progress: &Progress) -> Outcome {
        progress.say("half of it is done");
        match name.as_str() {
            n if n.starts_with("fail") => Err(conflict("finish", name, "it is a volume that fails")),
            n if n.starts_with("panic") => panic!("a volume that panics"),
            n if n.starts_with("slow") => {
                if let Ok(permit) = self.gate.acquire().await {
                    permit.forget();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn queue_of(&self, name: &Name, paused: Option<bool>) -> Outcome<Queue> {
        self.on(name, |volume| {
            volume.paused = paused.unwrap_or(volume.paused);
            let state = if volume.paused { UploadState::Paused } else { UploadState::Uploading };
            let entry = |id, path| QueueEntry {
                id,
                path,
                bytes: 4096,
                state,
                sent: 1024,
                eta_s: Some(3),
                attempts: 1,
                last_error: None,
            };
            Ok(Queue {
                paused: volume.paused,
                waiting_bytes: 4096,
                segments: vec![entry(1, None)],
                files: vec![entry(2, Some("a/b.txt".into()))],
            })
        })
    }

    fn all_paused(&self, paused: bool) {
        for volume in self.state.lock().volumes.values_mut() {
            volume.paused = paused;
        }
    }
}

fn volume(store: &str) -> Volume {
    Volume {
        store: store.to_owned(),
        tier: "disk".into(),
        label: None,
        options: Options::new(),
        credentials: None,
        mount: None,
        paused: false,
        weight: 1,
        lsn: 7,
    }
}

impl Volume {
    fn summary(&self, name: &Name) -> VolumeSummary {
        let mounted = self.mount.is_some();
        VolumeSummary {
            name: name.to_string(),
            uuid: "0".repeat(32),
            store: self.store.clone(),
            state: if mounted { VolumeState::Mounted } else { VolumeState::Unmounted },
            mount_points: self.mount.iter().map(|m| m.mount_point.clone()).collect(),
            health: if mounted { Health::Good } else { Health::Unknown },
        }
    }

    fn detail(&self, name: &Name) -> VolumeDetail {
        VolumeDetail {
            summary: self.summary(name),
            label: self.label.clone(),
            mounts: self.mount.iter().cloned().collect(),
            options: self.options.clone(),
            credentials: self.credentials.as_ref().map(ToString::to_string),
            state_dir: Some(format!("/var/lib/proxyfs/{name}")),
            pid: self.mount.is_some().then(std::process::id),
            status: self.mount.is_some().then(|| self.status(name)),
            held: None,
            problems: Vec::new(),
        }
    }

    fn status(&self, name: &Name) -> EngineStatus {
        EngineStatus {
            name: name.to_string(),
            uuid: "0".repeat(32),
            store: self.store.clone(),
            tier: self.tier.clone(),
            connection: Connection::Online,
            offline_since: None,
            halted: None,
            fenced: false,
            problem: None,
            read_only: false,
            looked_secs: None,
            epoch: 1,
            head_seq: 2,
            head_lsn: 7,
            head_secs: 0,
            lsn: self.lsn,
            durable_lsn: self.lsn,
            waiting_segments: 1,
            waiting_bytes: 4096,
            staged_bytes: 8192,
            dirty: self.lsn > 7,
            inodes: 2,
            data_bytes: 4096,
            open_handles: 0,
            recovered: Vec::new(),
            dirty_metadata_bytes: 0,
            page_cache_bytes: 0,
            data_cache_bytes: 0,
            disk_cache_bytes: 0,
        }
    }
}

fn conflict(what: &str, name: &Name, why: &str) -> Problem {
    Problem::new(Kind::Conflict, what, format!("volume {name}"), why, "change that first, then try again")
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| i64::try_from(t.as_secs()).unwrap_or(0))
}

fn report(store: &str) -> ConnectionReport {
    let ok = !store.contains("refuse");
    let detail = if ok { "12 ms".to_owned() } else { "access denied".to_owned() };
    ConnectionReport { ok, steps: vec![ConnectionStep { what: "list".into(), ok, detail }] }
}

#[async_trait]
impl Control for Fake {
    fn events(&self) -> Arc<Ring<News>> {
        Arc::clone(&self.events)
    }

    fn logs(&self) -> Arc<Ring<LogLine>> {
        Arc::clone(&self.logs)
    }

    async fn version(&self) -> Outcome<Version> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(Version { version, pid: std::process::id(), started: now(), config: None })
    }

    async fn health(&self) -> Outcome<Alive> {
        let state = self.state.lock();
        let stuck = state.volumes.iter().filter(|(_, volume)| volume.options.contains_key("stuck"));
        let stuck: Vec<Stuck> =
            stuck.map(|(name, _)| Stuck { volume: Some(name.to_string()), why: "it hangs".into() }).collect();
        Ok(Alive { alive: stuck.is_empty(), stuck })
    }

    async fn ready(&self) -> Outcome<Readiness> {
        let state = self.state.lock();
        let waiting = state.volumes.iter().filter(|(_, volume)| volume.options.contains_key("never_ready"));
        let waiting: Vec<NotReady> = waiting
            .map(|(name, _)| NotReady { volume: name.to_string(), mount_point: "/mnt".into(), why: "it waits".into() })
            .collect();
        Ok(Readiness { ready: waiting.is_empty(), waiting })
    }

    async fn volumes(&self) -> Outcome<Vec<VolumeSummary>> {
        Ok(self.state.lock().volumes.iter().map(|(name, volume)| volume.summary(name)).collect())
    }

    async fn volume(&self, name: Name) -> Outcome<VolumeDetail> {
        self.detail(&name)
    }

    async fn create(&self, create: CreateVolume, progress: Progress) -> Outcome<VolumeDetail> {
        self.behave(&create.name, &progress).await?;
        let tier = serde_json::to_value(create.tier).ok().and_then(|t| t.as_str().map(str::to_owned));
        {
            let mut state = self.state.lock();
            if state.volumes.contains_key(&create.name) {
                return Err(conflict("create", &create.name, "the name is taken"));
            }
            let made = Volume {
                tier: tier.unwrap_or_default(),
                options: create.options,
                credentials: create.credentials,
                ..volume(create.store.as_str())
            };
            state.volumes.insert(create.name.clone(), made);
        }
        self.tell(EventKind::VolumeState, Some(&create.name));
        self.detail(&create.name)
    }

    async fn test_connection(&self, test: TestConnection) -> Outcome<ConnectionReport> {
        Ok(report(test.store.as_str()))
    }

    async fn edit(&self, name: Name, edit: EditVolume) -> Outcome<Applied> {
        self.on(&name, |volume| {
            let mut applied = Applied::default();
            if edit.label.is_some() {
                volume.label = edit.label;
                applied.applied.push("label".into());
            }
            for (key, value) in edit.options {
                if value.is_empty() {
                    volume.options.remove(&key);
                    applied.applied.push(key);
                } else if key == "unknown" {
                    applied.refused.push(Refused { what: key, why: "there is no such option".into() });
                } else {
                    applied.needs_remount.push(key.clone());
                    volume.options.insert(key, value);
                }
            }
            Ok(applied)
        })
    }

    async fn forget(&self, name: Name) -> Outcome<Deleted> {
        if self.on(&name, |volume| Ok(volume.mount.is_some()))? {
            return Err(conflict("forget", &name, "it is mounted"));
        }
        self.state.lock().volumes.remove(&name);
        Ok(Deleted { name: name.to_string(), objects: None })
    }

    async fn delete_data(&self, name: Name, progress: Progress) -> Outcome<Deleted> {
        self.behave(&name, &progress).await?;
        let deleted = self.forget(name).await?;
        Ok(Deleted { objects: Some(3), ..deleted })
    }

    async fn mount(&self, name: Name, mount: Mount, progress: Progress) -> Outcome<Mounted> {
        self.detail(&name)?;
        self.behave(&name, &progress).await?;
        let mounted = self.on(&name, |volume| {
            if volume.mount.is_some() {
                return Err(conflict("mount", &name, "it is mounted already"));
            }
            let mount_point = mount.mount_point.unwrap_or_else(|| format!("/mnt/{name}"));
            volume.mount =
                Some(MountInfo { mount_point: mount_point.clone(), read_only: mount.read_only, since: now() });
            Ok(Mounted {
                volume: name.to_string(),
                uuid: "0".repeat(32),
                store: volume.store.clone(),
                mount_point,
                state_dir: format!("/var/lib/proxyfs/{name}"),
                pid: std::process::id(),
                files: 1,
                data_bytes: 4096,
                online: true,
                waiting_bytes: 0,
            })
        })?;
        self.tell(EventKind::VolumeState, Some(&name));
        Ok(mounted)
    }

    async fn unmount(&self, name: Name, unmount: Unmount, progress: Progress) -> Outcome<Unmounted> {
        self.detail(&name)?;
        self.behave(&name, &progress).await?;
        let unmounted = self.on(&name, |volume| {
            let mount = volume.mount.take().ok_or_else(|| conflict("unmount", &name, "it is not mounted"))?;
            let process_ends = volume.options.contains_key("stand_alone");
            Ok(Unmounted {
                unmounted: mount.mount_point,
                in_store: true,
                waiting_bytes: 0,
                was_busy: unmount.force,
                process_ends,
            })
        })?;
        self.tell(EventKind::VolumeState, Some(&name));
        Ok(unmounted)
    }

    async fn flush(&self, name: Name, progress: Progress) -> Outcome<VolumeDetail> {
        self.detail(&name)?;
        self.behave(&name, &progress).await?;
        self.detail(&name)
    }

    async fn checkpoint(&self, name: Name, progress: Progress) -> Outcome<Checkpointed> {
        self.detail(&name)?;
        self.behave(&name, &progress).await?;
        self.tell(EventKind::Checkpoint, Some(&name));
        self.on(&name, |volume| Ok(Checkpointed { lsn: volume.lsn, volume: volume.detail(&name) }))
    }

    async fn release(&self, name: Name, progress: Progress) -> Outcome<VolumeDetail> {
        self.flush(name, progress).await
    }

    async fn take_over(&self, name: Name, progress: Progress) -> Outcome<VolumeDetail> {
        self.tell(EventKind::TakenOver, Some(&name));
        self.flush(name, progress).await
    }

    async fn queue(&self, name: Name) -> Outcome<Queue> {
        self.queue_of(&name, None)
    }

    async fn queue_pause(&self, name: Name) -> Outcome<Queue> {
        self.queue_of(&name, Some(true))
    }

    async fn queue_resume(&self, name: Name) -> Outcome<Queue> {
        self.queue_of(&name, Some(false))
    }

    async fn queue_retry(&self, name: Name) -> Outcome<Queue> {
        self.queue_of(&name, None)
    }

    async fn queue_cancel(&self, name: Name, id: u64) -> Outcome<Queue> {
        let queue = self.queue_of(&name, None)?;
        let known = queue.segments.iter().chain(&queue.files).any(|entry| entry.id == id);
        if !known {
            let subject = format!("entry {id} of volume {name}");
            return Err(Problem::new(Kind::NotFound, "cancel", subject, "it is not in the queue", "look at the queue"));
        }
        if queue.paused { Ok(queue) } else { Err(conflict("cancel an upload of", &name, "it is under way")) }
    }

    async fn recent(&self, name: Name) -> Outcome<Vec<RecentFile>> {
        self.detail(&name)?;
        Ok(vec![RecentFile { path: "a/b.txt".into(), op: "write".into(), bytes: 4096, time: now() }])
    }

    async fn caches(&self) -> Outcome<Caches> {
        let state = self.state.lock();
        let share = |(name, volume): (&Name, &Volume)| CacheShare {
            volume: name.to_string(),
            weight: volume.weight,
            memory_used: 0,
            disk_used: 0,
        };
        Ok(Caches {
            memory_budget: state.memory_budget,
            memory_used: 0,
            disk_budget: state.disk_budget,
            disk_used: 0,
            volumes: state.volumes.iter().map(share).collect(),
        })
    }

    async fn edit_caches(&self, edit: EditCaches) -> Outcome<Caches> {
        {
            let mut state = self.state.lock();
            if let Some(unknown) = edit.weights.keys().find(|n| !state.volumes.keys().any(|v| v.as_str() == *n)) {
                return Err(Problem::no_volume(unknown));
            }
            state.memory_budget = edit.memory_budget.unwrap_or(state.memory_budget);
            state.disk_budget = edit.disk_budget.unwrap_or(state.disk_budget);
            for (name, volume) in &mut state.volumes {
                volume.weight = edit.weights.get(name.as_str()).copied().unwrap_or(volume.weight);
            }
        }
        self.caches().await
    }

    async fn drop_caches(&self, which: DropCaches) -> Outcome<Caches> {
        if let Some(name) = which.volume {
            self.detail(&name)?;
        }
        self.caches().await
    }

    async fn problems(&self) -> Outcome<Vec<LastingProblem>> {
        Ok(vec![LastingProblem {
            id: 1,
            volume: Some("backup".into()),
            since: now(),
            severity: Severity::Warning,
            cause: "the store is slow".into(),
            remedy: "check the network".into(),
        }])
    }

    async fn store_requests(&self) -> Outcome<StoreRequests> {
        let count = RequestCount {
            volume: Some("photos".into()),
            kind: "put".into(),
            result: "ok".into(),
            count: 3,
            bytes: 4096,
        };
        let cost = Cost { amount: 0.000_015, currency: "USD".into(), source: "configuration".into() };
        Ok(StoreRequests { since: now(), requests: vec![count], cost: Some(cost) })
    }

    async fn stats(&self) -> Outcome<Stats> {
        let state = self.state.lock();
        let volumes = state.volumes.iter().map(|(name, volume)| VolumeStats {
            name: name.to_string(),
            state: volume.summary(name).state,
            mount_point: volume.mount.as_ref().map(|mount| mount.mount_point.clone()),
            fenced: false,
            paused: volume.paused,
            status: volume.mount.is_some().then(|| volume.status(name)),
            metrics: volume.mount.is_some().then(EngineMetrics::default),
            requests: Vec::new(),
        });
        Ok(Stats { time_ms: now() * 1000, since: now(), volumes: volumes.collect(), ..Stats::default() })
    }

    async fn metrics(&self) -> Outcome<String> {
        Ok("# TYPE proxyfs_up gauge\nproxyfs_up 1\n".to_owned())
    }

    async fn reload(&self) -> Outcome<Applied> {
        self.tell(EventKind::ConfigReloaded, None);
        Ok(Applied::default())
    }

    async fn pause(&self) -> Outcome {
        self.all_paused(true);
        Ok(())
    }

    async fn resume(&self) -> Outcome {
        self.all_paused(false);
        Ok(())
    }

    async fn edit_limits(&self, edit: EditLimits) -> Outcome<Limits> {
        let limits = &mut self.state.lock().limits;
        limits.upload = edit.upload.unwrap_or(limits.upload);
        limits.download = edit.download.unwrap_or(limits.download);
        Ok(*limits)
    }

    async fn credentials(&self) -> Outcome<Vec<CredentialInfo>> {
        Ok(self.state.lock().credentials.values().cloned().collect())
    }

    async fn credential(&self, name: Name) -> Outcome<CredentialInfo> {
        let state = self.state.lock();
        state.credentials.get(&name).cloned().ok_or_else(|| Problem::no_credentials(name.as_str()))
    }

    async fn set_credential(&self, name: Name, credential: StoreCredentials) -> Outcome<CredentialInfo> {
        let kind = match &credential {
            StoreCredentials::S3 { .. } => "s3",
            StoreCredentials::Swift { .. } => "swift",
        };
        let info = CredentialInfo {
            name: name.to_string(),
            kind: kind.into(),
            source: "memory".into(),
            since: Some(now()),
            key_id_end: credential.hint(),
        };
        self.state.lock().credentials.insert(name, info.clone());
        Ok(info)
    }

    async fn delete_credential(&self, name: Name) -> Outcome {
        let gone = self.state.lock().credentials.remove(&name);
        gone.map(drop).ok_or_else(|| Problem::no_credentials(name.as_str()))
    }

    async fn test_credential(&self, name: Name, test: TestCredentials) -> Outcome<ConnectionReport> {
        self.credential(name).await?;
        Ok(report(test.store.as_str()))
    }
}
