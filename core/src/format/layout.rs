//! Layout: names of objects in the store, and which container each lies in.
//!
//! ```text
//! head/<seq>   log/<epoch>/<number>   data/<shard>/<epoch>-<nonce>   meta/<shard>/<epoch>-<nonce>
//! ```
//!
//! Numbers are 16 lower-case hex digits; a shard has two, or as many as `shards` needs. FORMAT, sections 1 and 8.

use serde::{Deserialize, Serialize};

use super::error::{FormatError, FormatResult};
use super::object_kind::ObjectKind;
use crate::store::ObjectKey;
use crate::types::{Epoch, Nonce, ObjectId};

/// Path of the volume's description.
pub const VOLUME_JSON: &str = "volume.json";
/// What every head's path begins with.
pub const HEAD_PREFIX: &str = "head/";
/// What every log batch's path begins with.
pub const LOG_PREFIX: &str = "log/";
/// Most shards: four hex digits.
pub const SHARDS_MAX: u32 = 65_536;
/// Most containers that objects are spread over.
pub const CONTAINERS_MAX: u32 = 65_536;
const HEX_DIGITS: usize = 16;
const SHARD_DIGITS_MIN: usize = 2;

/// How a volume spreads its data and meta objects; the part `layout` of `volume.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Folders per kind: a power of two.
    pub shards: u32,
    /// Containers that objects are spread over, unless the next field is set.
    pub containers: u32,
    /// If not 0, a new container for every so many nonces.
    pub max_objects_per_container: u64,
}

impl Default for Layout {
    fn default() -> Self {
        Self { shards: 16, containers: 1, max_objects_per_container: 0 }
    }
}

impl Layout {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Invalid, with the field.
    pub fn check(&self) -> FormatResult<()> {
        if !self.shards.is_power_of_two() || self.shards > SHARDS_MAX {
            return Err(invalid(format!("shards is {}: must be a power of two from 1 to {SHARDS_MAX}", self.shards)));
        }
        if self.containers == 0 || self.containers > CONTAINERS_MAX {
            return Err(invalid(format!("containers is {}: must be from 1 to {CONTAINERS_MAX}", self.containers)));
        }
        Ok(())
    }

    /// Where an object lies.
    #[must_use]
    pub fn object_key(&self, kind: ObjectKind, object: ObjectId) -> ObjectKey {
        let hash = hash(object);
        let container = match self.max_objects_per_container {
            0 => hash / self.shards.max(1) % self.containers.max(1),
            // Past 2^32 containers everything goes to the last.
            max => u32::try_from(object.nonce.0 / max).unwrap_or(u32::MAX),
        };
        let shard = hash % self.shards.max(1);
        let path = format!("{}/{shard:0width$x}/{object}", kind.folder(), width = self.shard_digits());
        ObjectKey { container, path }
    }

    /// Where a data object lies.
    #[must_use]
    pub fn data_key(&self, object: ObjectId) -> ObjectKey {
        self.object_key(ObjectKind::Data, object)
    }

    /// Where a meta object lies.
    #[must_use]
    pub fn meta_key(&self, object: ObjectId) -> ObjectKey {
        self.object_key(ObjectKind::Meta, object)
    }

    /// Kind and id of a data or meta object from where it lies; `None` if nothing of this volume lies there.
    #[must_use]
    pub fn parse_object(&self, key: &ObjectKey) -> Option<(ObjectKind, ObjectId)> {
        let (kind, object) = parse_object_path(&key.path)?;
        (self.object_key(kind, object) == *key).then_some((kind, object))
    }

    fn shard_digits(&self) -> usize {
        let bits = self.shards.max(1).ilog2() as usize;
        bits.div_ceil(4).max(SHARD_DIGITS_MIN)
    }
}

fn invalid(why: String) -> FormatError {
    FormatError::invalid(VOLUME_JSON, why)
}

/// CRC-32C of epoch and nonce, each as 8 bytes little-endian.
fn hash(object: ObjectId) -> u32 {
    let crc = crc32c::crc32c(&object.epoch.0.to_le_bytes());
    crc32c::crc32c_append(crc, &object.nonce.0.to_le_bytes())
}

/// Kind and id from the path of a data or meta object, whatever its shard.
#[must_use]
pub fn parse_object_path(path: &str) -> Option<(ObjectKind, ObjectId)> {
    let (folder, rest) = path.split_once('/')?;
    let kind = [ObjectKind::Data, ObjectKind::Meta].into_iter().find(|kind| kind.folder() == folder)?;
    let (_shard, name) = rest.split_once('/')?;
    let (epoch, nonce) = name.split_once('-')?;
    Some((kind, ObjectId { epoch: Epoch(parse_hex(epoch)?), nonce: Nonce(parse_hex(nonce)?) }))
}

/// Key of the volume's description.
#[must_use]
pub fn volume_json_key() -> ObjectKey {
    ObjectKey::home(VOLUME_JSON)
}

/// Key of a head.
#[must_use]
pub fn head_key(seq: u64) -> ObjectKey {
    ObjectKey::home(format!("{HEAD_PREFIX}{seq:016x}"))
}

/// Seq of a head from its path.
#[must_use]
pub fn parse_head_path(path: &str) -> Option<u64> {
    parse_hex(path.strip_prefix(HEAD_PREFIX)?)
}

/// Key of a log batch.
#[must_use]
pub fn log_key(epoch: Epoch, number: u64) -> ObjectKey {
    ObjectKey::home(format!("{}{number:016x}", log_prefix(epoch)))
}

/// What the paths of an epoch's log batches begin with.
#[must_use]
pub fn log_prefix(epoch: Epoch) -> String {
    format!("{LOG_PREFIX}{:016x}/", epoch.0)
}

/// Epoch and number of a log batch from its path.
#[must_use]
pub fn parse_log_path(path: &str) -> Option<(Epoch, u64)> {
    let (epoch, number) = path.strip_prefix(LOG_PREFIX)?.split_once('/')?;
    Some((Epoch(parse_hex(epoch)?), parse_hex(number)?))
}

/// Exactly 16 lower-case hex digits.
fn parse_hex(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (digits && text.len() == HEX_DIGITS).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(epoch: u64, nonce: u64) -> ObjectId {
        ObjectId { epoch: Epoch(epoch), nonce: Nonce(nonce) }
    }

    #[test]
    fn names_come_back_and_others_are_not_taken_for_ours() {
        assert_eq!(head_key(0x2a).path, "head/000000000000002a");
        assert_eq!(parse_head_path("head/000000000000002a"), Some(0x2a));
        assert_eq!(log_key(Epoch(1), 2).path, "log/0000000000000001/0000000000000002");
        assert_eq!(parse_log_path("log/0000000000000001/0000000000000002"), Some((Epoch(1), 2)));
        for bad in ["head/2a", "head/000000000000002A", "head/+00000000000002a", "head/000000000000002a/x", "x"] {
            assert_eq!(parse_head_path(bad), None, "{bad}");
        }
        let layout = Layout::default();
        let key = layout.data_key(id(1, 0x2a));
        assert_eq!(layout.parse_object(&key), Some((ObjectKind::Data, id(1, 0x2a))));
        let elsewhere = ObjectKey { container: 1, ..key };
        assert_eq!(layout.parse_object(&elsewhere), None);
    }

    #[test]
    fn shards_and_containers_follow_the_checksum_of_the_id() {
        let crc = crc32c::crc32c(&[1, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0]);
        for (shards, digits) in [(1, 2), (16, 2), (256, 2), (512, 3), (65_536, 4)] {
            let layout = Layout { shards, containers: 7, max_objects_per_container: 0 };
            let key = layout.meta_key(id(1, 42));
            let shard = format!("{:0digits$x}", crc % shards);
            assert_eq!(key.path, format!("meta/{shard}/0000000000000001-000000000000002a"));
            assert_eq!(key.container, crc / shards % 7);
        }
        let layout = Layout { shards: 16, containers: 1, max_objects_per_container: 1000 };
        assert_eq!(layout.data_key(id(1, 999)).container, 0);
        assert_eq!(layout.data_key(id(1, 1000)).container, 1);
    }
}
