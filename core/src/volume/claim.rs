//! Who may write: finding the newest head, claiming an epoch, and the probe of the store.
//!
//! Owns exclusive creation of a head (conditional put, or the settle fallback that the volume opted into) and the rules of who
//! may claim: the owner whose claim the newest head carries, anybody after a clean close, anybody who says take-over.
//! All epochs share one dense sequence of heads; a claim is a head like any other that changes epoch and owner only.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::config::VolumeOptions;
use crate::env::{Env, LocalDir, Rng};
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::{HEAD_PREFIX, head_key, parse_head_path};
use crate::format::{ClaimId, Head, HeadFlags, LogStart, VolumeUuid};
use crate::limits::HEAD_PROBE_MAX;
use crate::store::{ConditionalPut, GetRange, ObjectKey, PutMode};
use crate::types::Epoch;
use crate::volume::Volume;
use crate::volume::storage::{Storage, store_error};

/// File in the state directory that says which claims are this host's.
pub(crate) const OWNER_FILE: &str = "owner.json";

/// Racers and rounds of the probe: enough that a store which checks before it writes lets two of them win.
const PROBE_RACERS: usize = 6;
const PROBE_ROUNDS: usize = 4;

/// This host's claims of a volume, oldest first, all of one uninterrupted line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnerFile {
    /// Volume, 32 hex digits.
    pub(crate) uuid: String,
    /// Epoch and claim (32 hex digits) of each claim made, or about to be made.
    pub(crate) claims: Vec<(u64, String)>,
    /// Whether the store passed the probe.
    #[serde(default)]
    pub(crate) probed: bool,
}

impl OwnerFile {
    /// Reads the file; an absent one is empty.
    pub(crate) fn load(dir: &dyn LocalDir, uuid: VolumeUuid) -> Result<Self> {
        let fresh = Self { uuid: uuid.to_string(), ..Self::default() };
        let bytes = match dir.read(OWNER_FILE) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(fresh),
            other => other.map_err(|e| crate::volume::log::local_error("read owner.json in the state directory", e))?,
        };
        let file: Self = serde_json::from_slice(&bytes).map_err(|e| {
            Error::with_source(
                ErrorKind::Corrupt,
                "owner.json in the state directory is damaged; move the directory away to mount afresh",
                e,
            )
        })?;
        if file.uuid != fresh.uuid {
            let why = format!("the state directory belongs to volume {}, not {uuid}", file.uuid);
            return Err(Error::new(ErrorKind::Config, why));
        }
        Ok(file)
    }

    /// Writes the file durably.
    pub(crate) fn store(&self, dir: &dyn LocalDir) -> Result<()> {
        let bytes =
            serde_json::to_vec_pretty(self).map_err(|e| Error::with_source(ErrorKind::Internal, "owner.json", e))?;
        dir.replace(OWNER_FILE, &bytes).map_err(|e| crate::volume::log::local_error("write owner.json", e))
    }

    /// Whether a head or log file was written under one of these claims.
    pub(crate) fn owns(&self, epoch: Epoch, claim: ClaimId) -> bool {
        let claim = claim.to_string();
        self.claims.iter().any(|(e, c)| *e == epoch.0 && *c == claim)
    }
}

/// The head with the highest number, found by listing and then, as listings may lag, by asking for the next number. `known`: the
/// newest that has been seen before, which must still be there or have been followed by others; 0 for none.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when it cannot be read or is missing; the store's errors.
pub(crate) async fn newest_head(storage: &Storage, known: u64) -> Result<Option<Head>> {
    Ok(heads(storage, known).await?.0)
}

/// The newest head, as [`newest_head`] finds it, and the numbers of all heads seen on the way.
///
/// # Errors
/// As [`newest_head`].
pub(crate) async fn heads(storage: &Storage, known: u64) -> Result<(Option<Head>, Vec<u64>)> {
    let mut newest = known;
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = storage
            .store
            .list(0, HEAD_PREFIX, after.as_deref())
            .await
            .map_err(|e| store_error("list", &ObjectKey::home(HEAD_PREFIX), e))?;
        listed.extend(page.objects.iter().filter_map(|o| parse_head_path(&o.key.path)));
        newest = listed.iter().copied().fold(newest, u64::max);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let mut found = None;
    if newest > 0 {
        found = Some(read_head(storage, newest).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let place = storage.store.describe();
                let why = "older ones do not hold what was changed since; run fsck";
                let what = format!("the newest head, object {}, is missing from {place}: {why}", head_key(newest));
                Error::new(ErrorKind::Corrupt, what)
            }
            _ => error,
        })?);
    }
    for seq in newest + 1..newest + HEAD_PROBE_MAX {
        match read_head(storage, seq).await {
            Ok(head) => {
                listed.push(seq);
                found = Some(head);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok((found, listed))
}

/// Reads and checks one head.
pub(crate) async fn read_head(storage: &Storage, seq: u64) -> Result<Head> {
    let key = head_key(seq);
    let bytes = storage.get(&key, GetRange::Full).await?;
    let head = Head::decode_object(&bytes).map_err(|e| {
        let error = Error::from(e);
        let what = format!("head {seq} (object {key}) cannot be read, run fsck");
        error.context_prefix(&what)
    })?;
    if head.seq != seq {
        return Err(Error::new(ErrorKind::Corrupt, format!("object {key} holds head {}; run fsck", head.seq)));
    }
    Ok(head)
}

/// Creates an object that nobody else may have created: by conditional put, or with `settle` by writing, waiting and reading back.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] when another's content is there.
pub(crate) async fn create_head(
    storage: &Storage,
    key: &ObjectKey,
    bytes: &Bytes,
    settle: Option<Duration>,
) -> Result<()> {
    let Some(settle) = settle else {
        return storage.put(key, vec![bytes.clone()], PutMode::CreateNew).await;
    };
    let taken = || Error::new(ErrorKind::AlreadyExists, format!("object {key} is another writer's"));
    match storage.get(key, GetRange::Full).await {
        Ok(there) if there == *bytes => {}
        Ok(_) => return Err(taken()),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            storage.put(key, vec![bytes.clone()], PutMode::Fresh).await?;
            tokio::time::sleep(settle).await;
        }
        Err(e) => return Err(e),
    }
    match storage.get(key, GetRange::Full).await? {
        there if there == *bytes => Ok(()),
        _ => Err(taken()),
    }
}

/// Makes sure that the store can fence writers, by racing if it is not known.
///
/// # Errors
/// [`ErrorKind::NotSupported`] saying what is weak and how to opt in.
pub(crate) async fn check_fencing(storage: &Storage, env: &Env, options: &VolumeOptions) -> Result<()> {
    let verdict = match (options.settle, storage.store.conditional_put()) {
        (Some(_), _) | (None, ConditionalPut::Atomic) => return Ok(()),
        (None, ConditionalPut::NotAtomic) => Some("does not create objects atomically"),
        (None, ConditionalPut::MustProbe) => probe(storage, &*env.rng).await?,
    };
    match verdict {
        None => Ok(()),
        Some(what) => Err(Error::new(
            ErrorKind::NotSupported,
            format!(
                "{} {what}, so that two computers could write to one volume at the same time and damage it; use a store with atomic conditional writes, or mount with the option settle=90s, which waits that long at each claim and checkpoint and relies on no write taking longer",
                storage.store.describe()
            ),
        )),
    }
}

/// Races conditional puts; what is wrong with the store, if anything.
async fn probe(storage: &Storage, rng: &dyn Rng) -> Result<Option<&'static str>> {
    let mut id = [0; 8];
    rng.fill(&mut id);
    let name = u64::from_le_bytes(id);
    let mut keys = Vec::new();
    let mut verdict = None;
    for round in 0..PROBE_ROUNDS {
        let key = ObjectKey::home(format!("probe/{name:016x}-{round}"));
        let racers = (0..PROBE_RACERS).map(|i| {
            let body = Bytes::from(format!("racer {i} of {name:016x}"));
            storage.store.put(&key, vec![body], PutMode::CreateNew)
        });
        let racers: Vec<_> = racers.collect();
        let outcomes = join_all(racers).await;
        keys.push(key);
        let wins = outcomes.iter().filter(|o| o.is_ok()).count();
        let unsupported =
            outcomes.iter().any(|o| matches!(o, Err(e) if e.kind == crate::store::StoreErrorKind::Unsupported));
        if unsupported {
            verdict = Some("refuses conditional writes");
        } else if wins > 1 {
            verdict = Some("lets several conditional writes of one name succeed");
        }
        if verdict.is_some() {
            break;
        }
        if wins == 0 {
            let error = outcomes.into_iter().find_map(std::result::Result::err);
            let Some(error) = error else { continue };
            return Err(store_error("probe", &keys[0], error));
        }
    }
    // Leftovers of a probe harm nobody.
    let _ = storage.delete(&keys).await;
    Ok(verdict)
}

/// Whether the owner of a head has given the volume up.
fn is_free(head: &Head) -> bool {
    head.flags.clean || head.flags.released
}

impl Volume {
    /// Whether whoever wrote the newest head in the store has closed or released the volume, so that anybody may claim it now. A
    /// fenced writer asks this to learn when it may come back.
    ///
    /// # Errors
    /// The store's, or [`ErrorKind::Corrupt`] when the newest head cannot be read.
    pub async fn is_free(&self) -> Result<bool> {
        let storage = &self.shared.storage;
        Ok(newest_head(storage, self.shared.status().head_seq).await?.is_some_and(|newest| is_free(&newest)))
    }
}

/// Who may claim after head `newest`. `ours`: this host's earlier claims.
///
/// # Errors
/// [`ErrorKind::Busy`] naming the owner and the way out.
pub(crate) fn check_claimable(newest: &Head, ours: &OwnerFile, options: &VolumeOptions) -> Result<()> {
    if is_free(newest) || options.take_over || ours.owns(newest.epoch, newest.claim) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Busy,
        format!(
            "the volume is in use by {:?} (epoch {}), or was not closed there; unmount it there, or if that machine is gone use `proxyfs volume take-over`",
            newest.owner, newest.epoch
        ),
    ))
}

/// Claims the epoch after `newest` and returns the claim's head. The intent is on disk before the store is asked.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] when somebody else was faster.
pub(crate) async fn claim(
    storage: &Storage,
    env: &Env,
    options: &VolumeOptions,
    newest: &Head,
    owner: &mut OwnerFile,
) -> Result<Head> {
    let head = intend_claim(env, options, newest, owner)?;
    create_head(storage, &head_key(head.seq), &Bytes::from(head.encode_object()), options.settle).await?;
    Ok(head)
}

/// The head that claims the epoch after `newest`, noted on the local disk. It is sent until the store answers, always the same
/// one: after a lost reply another would find its own number taken.
///
/// # Errors
/// The local disk's.
pub(crate) fn intend_claim(env: &Env, options: &VolumeOptions, newest: &Head, owner: &mut OwnerFile) -> Result<Head> {
    let mut id = [0; 16];
    env.rng.fill(&mut id);
    let epoch = newest.epoch.next();
    let mut logs = newest.logs.clone();
    logs.push(LogStart { epoch, first_batch: 0 });
    let head = Head {
        seq: newest.seq + 1,
        epoch,
        claim: ClaimId(id),
        flags: HeadFlags { clean: false, claim: true, released: false },
        written_secs: env.clock.now().secs,
        owner: options.owner.clone(),
        logs,
        ..newest.clone()
    };
    if !owner.owns(newest.epoch, newest.claim) {
        // The line of this host's claims was interrupted: what its log holds is not a continuation of the newest head.
        owner.claims.clear();
    }
    owner.claims.push((epoch.0, ClaimId(id).to_string()));
    owner.store(&*env.dir)?;
    Ok(head)
}

/// How the newest head in the store stands to the one that this host knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The same, or only claims of this host came after it, whose replies were lost.
    Same,
    /// A checkpoint of this host came after it, which its local copies do not show.
    OwnNewer,
    /// Somebody else's.
    Foreign,
}

/// How `newest` stands to `known`, a head that this host has written or claimed.
pub(crate) fn standing(newest: &Head, known: &Head, owner: &OwnerFile) -> Standing {
    if newest.seq == known.seq && newest.claim == known.claim {
        return Standing::Same;
    }
    if newest.seq < known.seq || !owner.owns(newest.epoch, newest.claim) {
        return Standing::Foreign;
    }
    let content = |h: &Head| (h.lsn, h.root, h.object_table, h.overlay);
    if newest.flags.claim && content(newest) == content(known) { Standing::Same } else { Standing::OwnNewer }
}
