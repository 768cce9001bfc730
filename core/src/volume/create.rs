//! Making a volume: its description and its first head.
//!
//! Owns the refusal to make a volume where something lies already. The first head (number 1, epoch 0) has no root; the first
//! writer creates the root directory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::env::{Clock, Rng};
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::{head_key, volume_json_key};
use crate::format::{CaseRule, ClaimId, CompressChoice, Head, HeadFlags, Layout, Tier, VolumeMeta, VolumeUuid};
use crate::limits::FRAME_BYTES_DEFAULT;
use crate::store::{GetRange, ObjectStore, PutMode};
use crate::types::{Epoch, Ino, Lsn, Nonce};
use crate::volume::claim::create_head;
use crate::volume::storage::Storage;

/// What a new volume is to be; fixed for ever but for the name.
#[derive(Clone, Debug)]
pub struct VolumeSpec {
    /// Label.
    pub name: String,
    /// Durability tier.
    pub tier: Tier,
    /// Whether names that differ only in case are the same.
    pub case: CaseRule,
    /// Codec of data and pages.
    pub compress: CompressChoice,
    /// Bytes of a slot: a power of two.
    pub frame_size: u32,
    /// Placement of objects.
    pub layout: Layout,
}

impl VolumeSpec {
    /// Defaults: tier `disk`, case-sensitive, lz4.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            tier: Tier::Disk,
            case: CaseRule::Sensitive,
            compress: CompressChoice::Lz4,
            frame_size: FRAME_BYTES_DEFAULT,
            layout: Layout { shards: 16, containers: 1, max_objects_per_container: 0 },
        }
    }
}

/// Creates a volume in an empty prefix of a store. On return it is in the store.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] when there is a volume; [`ErrorKind::Config`] for a bad specification; the store's errors.
pub async fn create_volume(
    store: &Arc<dyn ObjectStore>,
    spec: VolumeSpec,
    clock: &dyn Clock,
    rng: &dyn Rng,
    settle: Option<Duration>,
    timeout: Duration,
) -> Result<VolumeMeta> {
    let mut uuid = [0; 16];
    rng.fill(&mut uuid);
    let meta = VolumeMeta {
        uuid: VolumeUuid(uuid),
        name: spec.name,
        created_secs: clock.now().secs,
        case: spec.case,
        frame_size: spec.frame_size,
        tier: spec.tier,
        compress: spec.compress,
        layout: spec.layout,
    };
    meta.check().map_err(|e| Error::with_source(ErrorKind::Config, "cannot create the volume", e))?;
    let storage = Storage::new(Arc::clone(store), meta.layout, timeout);
    let outcome = describe(&storage, Bytes::from(meta.encode()), settle).await;
    outcome.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => {
            let place = store.describe();
            Error::new(
                ErrorKind::AlreadyExists,
                format!("there is a volume at {place} already; mount it, or choose another prefix"),
            )
        }
        _ => e,
    })?;
    let head = first_head(&meta, clock);
    storage.put(&head_key(1), vec![Bytes::from(head.encode_object())], PutMode::Fresh).await?;
    Ok(meta)
}

/// Stores the description where none is. Looks first: a store that ignores the condition of a put would replace another volume's.
async fn describe(storage: &Storage, bytes: Bytes, settle: Option<Duration>) -> Result<()> {
    let key = volume_json_key();
    match storage.get(&key, GetRange::Full).await {
        Ok(_) => return Err(ErrorKind::AlreadyExists.into()),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    match create_head(storage, &key, &bytes, settle).await {
        // Mounting for writing will ask for the settle option.
        Err(e) if e.kind() == ErrorKind::NotSupported => storage.put(&key, vec![bytes], PutMode::Fresh).await,
        other => other,
    }
}

fn first_head(meta: &VolumeMeta, clock: &dyn Clock) -> Head {
    Head {
        volume: meta.uuid,
        seq: 1,
        epoch: Epoch(0),
        claim: ClaimId::default(),
        flags: HeadFlags { clean: true, claim: false, released: false },
        lsn: Lsn(0),
        next_ino: Ino::ROOT,
        nonce_floor: Nonce(1),
        inode_count: 0,
        data_bytes: 0,
        written_secs: clock.now().secs,
        owner: String::new(),
        root: None,
        object_table: None,
        overlay: None,
        logs: Vec::new(),
    }
}

/// Reads a volume's description from its store.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there is no volume; [`ErrorKind::UnknownFormat`] for a newer one; the store's errors.
pub async fn read_volume_meta(store: &Arc<dyn ObjectStore>, timeout: Duration) -> Result<VolumeMeta> {
    let layout = Layout { shards: 1, containers: 1, max_objects_per_container: 0 };
    let storage = Storage::new(Arc::clone(store), layout, timeout);
    let bytes = storage.get(&volume_json_key(), GetRange::Full).await.map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::new(
            ErrorKind::NotFound,
            format!("there is no volume at {}; make one with `proxyfs volume create`", store.describe()),
        ),
        _ => e,
    })?;
    VolumeMeta::decode(&bytes)
        .map_err(|e| Error::from(e).context_prefix(&format!("volume.json at {}", store.describe())))
}
