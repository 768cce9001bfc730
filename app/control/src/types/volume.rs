//! Volumes: what exists, how each is, and what can be asked of it.

use std::collections::BTreeMap;

#[cfg(windows)]
use proxyfs_windows::drives::is_place;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::credential::StoreCredentials;
use super::names::{Name, StoreUrl};
use super::problem::LastingProblem;

/// Where a volume is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VolumeState {
    /// It serves a mount point.
    Mounted,
    /// Known, not in use.
    Unmounted,
    /// On its way to mounted.
    Opening,
    /// Should be mounted and is not.
    Failed,
}

/// Whether the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// The last request succeeded, or none has been needed yet.
    Online,
    /// Requests fail; they are repeated until the store is back.
    Offline,
}

/// A volume in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nothing to do.
    Good,
    /// It works, with a problem that lasts.
    Degraded,
    /// It does not work.
    Bad,
    /// Not in use.
    Unknown,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeSummary {
    /// Name on this machine.
    pub name: String,
    /// 32 hex digits.
    pub uuid: String,
    /// The store's URL, without secrets.
    pub store: String,
    /// Where it is in its life.
    pub state: VolumeState,
    /// Directories that show it.
    pub mount_points: Vec<String>,
    /// In a few words.
    pub health: Health,
}

/// All volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Volumes {
    /// By name.
    pub volumes: Vec<VolumeSummary>,
}

/// An open volume's own account, from memory. The fields are those of the engine's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineStatus {
    /// Label.
    pub name: String,
    /// 32 hex digits.
    pub uuid: String,
    /// The store's URL, without secrets.
    pub store: String,
    /// `disk` or `store`.
    pub tier: String,
    /// Whether the store answers.
    pub connection: Connection,
    /// Unix second since when it does not.
    pub offline_since: Option<i64>,
    /// Why the volume takes no changes, if it does not.
    pub halted: Option<String>,
    /// Whether that is because another owner has it now.
    #[serde(default)]
    pub fenced: bool,
    /// The last problem with the store, if it is not over.
    pub problem: Option<String>,
    /// Whether it is open read-only, and goes with its writer.
    #[serde(default)]
    pub read_only: bool,
    /// On a read-only mount: Unix second of the last look for a newer checkpoint that succeeded, if any has.
    #[serde(default)]
    pub looked_secs: Option<i64>,
    /// Writer's term.
    pub epoch: u64,
    /// Number of the newest head.
    pub head_seq: u64,
    /// Last LSN that the newest head covers.
    pub head_lsn: u64,
    /// Unix second at which the newest head was written: the age of what a read-only mount shows.
    #[serde(default)]
    pub head_secs: i64,
    /// Last LSN given out.
    pub lsn: u64,
    /// Last LSN that is flushed to the local disk.
    pub durable_lsn: u64,
    /// Segments not in the store yet.
    pub waiting_segments: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Bytes of staging on the local disk.
    pub staged_bytes: u64,
    /// Whether a checkpoint is due.
    pub dirty: bool,
    /// Inodes in the volume.
    pub inodes: u64,
    /// Bytes of file data in the volume.
    pub data_bytes: u64,
    /// Open handles.
    pub open_handles: u64,
    /// What was handed over since the mount, oldest first.
    #[serde(default)]
    pub recovered: Vec<RecoveredFolder>,
    /// Memory of dirty metadata pages.
    pub dirty_metadata_bytes: u64,
    /// Memory of clean metadata pages, of all volumes.
    pub page_cache_bytes: u64,
    /// Memory of cached file data of this volume.
    pub data_cache_bytes: u64,
    /// Cache on the local disk of this volume.
    pub disk_cache_bytes: u64,
}

/// A folder with what this machine had not published when it lost the volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoveredFolder {
    /// Its name in the volume's root.
    pub folder: String,
    /// Files in it, the listing left out.
    pub files: u64,
}

/// Changes that are on this machine alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldData {
    /// At most so many files were made or changed.
    pub files: u64,
    /// At most so many bytes were written.
    pub bytes: u64,
    /// Terms that were lost to another machine and not handed over yet; the rest waits for the next mount.
    pub lost_terms: u64,
    /// Unix second at which the first of them was found to be lost.
    pub lost_since: Option<i64>,
    /// Directory that holds them.
    pub place: String,
    /// What brings them into the volume.
    pub to_do: String,
}

/// One place where a volume is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MountInfo {
    /// Directory.
    pub mount_point: String,
    /// Whether it takes no changes.
    pub read_only: bool,
    /// Unix seconds.
    pub since: i64,
}

/// Everything about one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeDetail {
    /// The line of the list.
    pub summary: VolumeSummary,
    /// For people; none if never given.
    pub label: Option<String>,
    /// Where it is shown.
    pub mounts: Vec<MountInfo>,
    /// Settings that differ from the defaults.
    pub options: BTreeMap<String, String>,
    /// Name of its credentials; none for the default chain.
    pub credentials: Option<String>,
    /// Where staged data and the log lie on this machine.
    pub state_dir: Option<String>,
    /// Process that serves it, if it is mounted.
    pub pid: Option<u32>,
    /// The engine's account, if it is open.
    pub status: Option<EngineStatus>,
    /// What was changed here and is not published, if anything: of a volume that is not mounted, or that another machine has taken over.
    #[serde(default)]
    pub held: Option<HeldData>,
    /// What is wrong with it and lasts.
    pub problems: Vec<LastingProblem>,
}

/// Where "committed" is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// On the local disk.
    #[default]
    Disk,
    /// In the store.
    Store,
}

/// How names are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Case {
    /// `a` and `A` are two names.
    #[default]
    Sensitive,
    /// `a` and `A` are one name.
    Insensitive,
}

/// Whether data is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    /// Whatever the volume's creator takes by default.
    #[default]
    Default,
    /// Never.
    None,
    /// LZ4: fast.
    Lz4,
    /// Zstandard: smaller.
    Zstd,
}

/// Creates a volume in its store and registers it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVolume {
    /// Free name on this machine.
    pub name: Name,
    /// Where its objects go.
    pub store: StoreUrl,
    /// Where "committed" is.
    #[serde(default)]
    pub tier: Tier,
    /// How names are compared.
    #[serde(default)]
    pub case: Case,
    /// Whether data is compressed.
    #[serde(default)]
    pub compress: Compress,
    /// Name of its credentials; none for the default chain.
    #[serde(default)]
    pub credentials: Option<Name>,
    /// Settings for every mount of it.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// Tries a store without creating anything that stays.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestConnection {
    /// The store.
    pub store: StoreUrl,
    /// Name of the credentials to use.
    #[serde(default)]
    pub credentials: Option<Name>,
    /// Credentials for this one test; they are not kept.
    #[serde(default)]
    pub with: Option<StoreCredentials>,
}

/// How a test of a store or credentials went. A store that refuses is an answer, not an error of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionReport {
    /// Whether a volume could live there.
    pub ok: bool,
    /// Each step and how it went.
    pub steps: Vec<ConnectionStep>,
}

/// One step of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionStep {
    /// "list", "put", "conditional put", "get", "delete".
    pub what: String,
    /// Whether it worked.
    pub ok: bool,
    /// What was seen, or why it failed.
    pub detail: String,
}

/// Changes a volume's settings; what is not named stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditVolume {
    /// New values by key; an empty value returns to the default.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// New label.
    #[serde(default)]
    #[schema(max_length = 255)]
    pub label: Option<String>,
}

/// What an edit or reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// In force now.
    pub applied: Vec<String>,
    /// In force after the next mount.
    pub needs_remount: Vec<String>,
    /// Not taken, with the reason.
    pub refused: Vec<Refused>,
}

/// One thing not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// Key or entry.
    pub what: String,
    /// Why.
    pub why: String,
}

/// Confirms the deletion of a volume's data.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteVolume {
    /// The volume's name; asked for with `data=true` only.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// Whether the data goes, too.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteVolumeQuery {
    /// Delete all objects from the store; default is to forget the volume only.
    #[serde(default)]
    pub data: bool,
}

/// What a deletion did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deleted {
    /// The name, free again.
    pub name: String,
    /// Objects deleted from the store; none if it was forgotten only.
    pub objects: Option<u64>,
}

/// Mounts a volume.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Absolute path of the directory, on Windows also a drive (`X:`, or `*` for one that is free); without it the configured one.
    #[serde(default)]
    #[cfg_attr(unix, schema(pattern = "^/[^\u{0}]{0,4000}$"))]
    #[cfg_attr(windows, schema(max_length = 4001))]
    pub mount_point: Option<String>,
    /// Take no changes.
    #[serde(default)]
    pub read_only: bool,
    /// Take the volume from an owner that is gone for good.
    #[serde(default)]
    pub take_over: bool,
    /// Settings for this mount.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Mount {
    /// Whether the mount point is one.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.mount_point {
            Some(path) if !is_place(path) || path.contains('\0') || path.chars().count() > 4001 => {
                Err("mount_point is not an absolute path".into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(unix)]
fn is_place(path: &str) -> bool {
    path.starts_with('/')
}

/// A mount that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mounted {
    /// Name or URL.
    pub volume: String,
    /// 32 hex digits.
    pub uuid: String,
    /// The store's URL, without secrets.
    pub store: String,
    /// Without symlinks.
    pub mount_point: String,
    /// Where staged data and the log lie.
    pub state_dir: String,
    /// Process that serves it.
    pub pid: u32,
    /// Files and directories in it, without the root.
    pub files: u64,
    /// Bytes of data in it.
    pub data_bytes: u64,
    /// Whether its store answers.
    pub online: bool,
    /// Bytes found staged on this computer.
    pub waiting_bytes: u64,
}

/// Unmounts a volume.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unmount {
    /// Cut programs off at once instead of waiting for them.
    #[serde(default)]
    pub force: bool,
}

/// How a mount ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unmounted {
    /// Where it was.
    pub unmounted: String,
    /// Whether everything is in the store; else the rest is staged on this computer.
    pub in_store: bool,
    /// Bytes that wait on this computer.
    pub waiting_bytes: u64,
    /// Whether programs still had it open when it was taken away.
    pub was_busy: bool,
    /// Whether the process ends now, as one that serves a single mount does; its connections end with it.
    pub process_ends: bool,
}

/// A checkpoint that is in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checkpointed {
    /// Last change that it covers.
    pub lsn: u64,
    /// The volume after it.
    pub volume: VolumeDetail,
}

/// Confirms taking a volume from its owner, whose unpublished changes are then lost.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeOver {
    /// The volume's name.
    pub confirm: String,
}

/// A file that was changed or read of late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecentFile {
    /// Path in the volume.
    pub path: String,
    /// "write", "create", "rename", "delete", "read".
    pub op: String,
    /// Bytes moved.
    pub bytes: u64,
    /// Unix seconds.
    pub time: i64,
}

/// Files of late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recent {
    /// Newest first.
    pub files: Vec<RecentFile>,
}
