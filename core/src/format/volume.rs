//! `volume.json`: what a volume is, chosen when it was made and never changed. JSON; unknown keys are refused. FORMAT, section 8.

use serde::{Deserialize, Serialize};

use super::error::{FormatError, FormatResult};
use super::layout::{Layout, VOLUME_JSON};
use super::uuid::VolumeUuid;

/// The format version that this program reads and writes.
pub const FORMAT_VERSION: u64 = 1;
/// Smallest frame size.
pub const FRAME_SIZE_MIN: u32 = 4 << 10;
/// Largest frame size.
pub const FRAME_SIZE_MAX: u32 = 1 << 20;
/// Longest name of a volume in bytes.
pub const VOLUME_NAME_BYTES_MAX: usize = 255;
/// Longest `volume.json` that is read at all.
pub const VOLUME_JSON_BYTES_MAX: usize = 64 << 10;

/// Whether names that differ only in case are one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseRule {
    /// They are two.
    #[default]
    Sensitive,
    /// They are one.
    Insensitive,
}

/// Where a change must be before it is acknowledged as committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// On the local disk.
    #[default]
    Disk,
    /// In the store.
    Store,
}

/// How new data frames are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressChoice {
    /// Not at all.
    None,
    /// LZ4.
    #[default]
    Lz4,
    /// Zstandard.
    Zstd,
}

impl CompressChoice {
    /// The codec for new frames.
    #[must_use]
    pub fn codec(self) -> super::frame::Codec {
        match self {
            Self::None => super::frame::Codec::None,
            Self::Lz4 => super::frame::Codec::Lz4,
            Self::Zstd => super::frame::Codec::Zstd,
        }
    }
}

/// The content of `volume.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMeta {
    /// Names the volume for ever.
    pub uuid: VolumeUuid,
    /// A label for people.
    pub name: String,
    /// Wall-clock second of creation, since 1970.
    pub created_secs: i64,
    /// Case rule of names.
    pub case: CaseRule,
    /// Bytes of a slot: a power of two from 4 KiB to 1 MiB.
    pub frame_size: u32,
    /// Durability.
    pub tier: Tier,
    /// Compression.
    pub compress: CompressChoice,
    /// Names and containers of objects.
    pub layout: Layout,
}

/// The JSON as it stands.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    format: u64,
    uuid: String,
    name: String,
    created: i64,
    case: CaseRule,
    frame_size: u32,
    tier: Tier,
    compress: CompressChoice,
    layout: Layout,
    cipher: Option<serde_json::Value>,
}

impl VolumeMeta {
    /// The object's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let json = Json {
            format: FORMAT_VERSION,
            uuid: self.uuid.to_string(),
            name: self.name.clone(),
            created: self.created_secs,
            case: self.case,
            frame_size: self.frame_size,
            tier: self.tier,
            compress: self.compress,
            layout: self.layout,
            cipher: None,
        };
        let mut out = serde_json::to_vec_pretty(&json).expect("plain strings and numbers are JSON");
        out.push(b'\n');
        out
    }

    /// From the object's bytes.
    ///
    /// # Errors
    /// `UnknownVersion` or `UnknownFeature` for what a newer program wrote, else Invalid with the key.
    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        if bytes.len() > VOLUME_JSON_BYTES_MAX {
            return Err(invalid(format!("{} bytes are too many", bytes.len())));
        }
        check_format(bytes)?;
        let json: Json = serde_json::from_slice(bytes).map_err(|e| invalid(e.to_string()))?;
        if json.cipher.is_some() {
            return Err(FormatError::unknown(VOLUME_JSON, "a cipher"));
        }
        let meta = Self {
            uuid: VolumeUuid::parse(&json.uuid)
                .ok_or_else(|| invalid(format!("uuid {:?} is not 32 lower-case hex digits", json.uuid)))?,
            name: json.name,
            created_secs: json.created,
            case: json.case,
            frame_size: json.frame_size,
            tier: json.tier,
            compress: json.compress,
            layout: json.layout,
        };
        meta.check()?;
        Ok(meta)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Invalid, with the key, its value and what it must be.
    pub fn check(&self) -> FormatResult<()> {
        let size = self.frame_size;
        if !size.is_power_of_two() || !(FRAME_SIZE_MIN..=FRAME_SIZE_MAX).contains(&size) {
            let rule = format!("must be a power of two from {FRAME_SIZE_MIN} to {FRAME_SIZE_MAX}");
            return Err(invalid(format!("frame_size is {size}: {rule}")));
        }
        if self.name.is_empty() || self.name.len() > VOLUME_NAME_BYTES_MAX {
            let rule = format!("must be 1 to {VOLUME_NAME_BYTES_MAX}");
            return Err(invalid(format!("name has {} bytes: {rule}", self.name.len())));
        }
        self.layout.check()
    }
}

/// Looks at the format number alone, so that a newer one is told from a damaged one.
fn check_format(bytes: &[u8]) -> FormatResult<()> {
    #[derive(Deserialize)]
    struct Probe {
        format: u64,
    }
    let probe: Probe = serde_json::from_slice(bytes).map_err(|e| invalid(e.to_string()))?;
    match probe.format {
        FORMAT_VERSION => Ok(()),
        0 => Err(invalid("format is 0".to_owned())),
        found => Err(FormatError::UnknownVersion { what: VOLUME_JSON, found }),
    }
}

fn invalid(why: String) -> FormatError {
    FormatError::invalid(VOLUME_JSON, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn meta() -> VolumeMeta {
        VolumeMeta {
            uuid: VolumeUuid([0xab; 16]),
            name: "a label".to_owned(),
            created_secs: 1_767_225_600,
            case: CaseRule::Sensitive,
            frame_size: 131_072,
            tier: Tier::Disk,
            compress: CompressChoice::Lz4,
            layout: Layout::default(),
        }
    }

    /// The error of the JSON after replacing `from` by `to`.
    fn changed(from: &str, to: &str) -> FormatError {
        let text = String::from_utf8(meta().encode()).expect("JSON");
        assert!(text.contains(from), "{from} in {text}");
        VolumeMeta::decode(text.replace(from, to).as_bytes()).expect_err(to)
    }

    #[test]
    fn what_a_newer_program_wrote_is_told_from_damage() {
        assert_eq!(VolumeMeta::decode(&meta().encode()), Ok(meta()));
        let newer = changed("\"format\": 1,", "\"format\": 2, \"wings\": 1,");
        assert_eq!(newer.kind(), ErrorKind::UnknownFormat);
        assert_eq!(newer.to_string(), "volume.json was written by a newer ProxyFS (format 2); upgrade");
        assert_eq!(changed("\"cipher\": null", "\"cipher\": {}").kind(), ErrorKind::UnknownFormat);
        assert_eq!(changed("\"format\": 1,", "\"format\": 1, \"wings\": 1,").kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (from, to, name) in [
            ("131072", "131073", "frame_size"),
            ("131072", "2048", "frame_size"),
            ("131072", "2097152", "frame_size"),
            ("\"shards\": 16", "\"shards\": 3", "shards"),
            ("\"shards\": 16", "\"shards\": 0", "shards"),
            ("\"shards\": 16", "\"shards\": 131072", "shards"),
            ("\"containers\": 1", "\"containers\": 0", "containers"),
            ("a label", "", "name"),
            ("abab", "ABAB", "uuid"),
            ("sensitive", "maybe", "maybe"),
        ] {
            let error = changed(from, to);
            assert!(error.to_string().contains(name), "{to}: {error}");
        }
    }
}
