//! Head: `head/<seq>`, one Head frame. The one with the highest seq is the volume's state.
//!
//! Payload: version 1; 16 bytes volume uuid; varint seq, epoch; 16 bytes claim id; varint flags (bit 0 clean, 1 claim, 2 sealed by a
//! release), LSN covered, next inode, nonce floor, inode count, data bytes; zigzag second; `bytes` owner; root, object table, overlay
//! each `u8` present and an address; varint count of log epochs, each varint epoch, first batch. FORMAT, section 6.

use bytes::Bytes;

use super::addr;
use super::error::{FormatError, FormatResult};
use super::frame::{self, Codec, FrameKind};
use super::uuid::{ClaimId, VolumeUuid};
use super::varint::{Reader, Writer};
use crate::kv::PageAddr;
use crate::types::{Epoch, Ino, Lsn, Nonce};

const WHAT: &str = "head";
const CLEAN: u64 = 1;
const CLAIM: u64 = 2;
const RELEASED: u64 = 4;

/// What kind of head it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadFlags {
    /// The volume was closed in order: nothing in logs or staging belongs to it.
    pub clean: bool,
    /// This head claims its epoch.
    pub claim: bool,
    /// Sealed by a release: the owner gave the volume up.
    pub released: bool,
}

impl HeadFlags {
    fn to_bits(self) -> u64 {
        let bit = |set, bit| if set { bit } else { 0 };
        bit(self.clean, CLEAN) | bit(self.claim, CLAIM) | bit(self.released, RELEASED)
    }

    fn from_bits(bits: u64) -> FormatResult<Self> {
        if bits & !(CLEAN | CLAIM | RELEASED) != 0 {
            return Err(FormatError::unknown(WHAT, format!("flags {bits:#x}")));
        }
        Ok(Self { clean: bits & CLEAN != 0, claim: bits & CLAIM != 0, released: bits & RELEASED != 0 })
    }
}

/// An epoch whose log must be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStart {
    /// The epoch.
    pub epoch: Epoch,
    /// First batch to read.
    pub first_batch: u64,
}

/// A checkpoint or a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The volume.
    pub volume: VolumeUuid,
    /// Place in the one sequence of heads, from 1; its name.
    pub seq: u64,
    /// Epoch of the writer.
    pub epoch: Epoch,
    /// The writer's claim.
    pub claim: ClaimId,
    /// What kind of head it is.
    pub flags: HeadFlags,
    /// The last transaction that the tree holds.
    pub lsn: Lsn,
    /// Next inode number to give out.
    pub next_ino: Ino,
    /// All nonces of this epoch below it may be in use.
    pub nonce_floor: Nonce,
    /// Inodes of the volume.
    pub inode_count: u64,
    /// Sum of inodes' allocated bytes.
    pub data_bytes: u64,
    /// Wall-clock second of writing, since 1970.
    pub written_secs: i64,
    /// Host name of the writer.
    pub owner: String,
    /// Root page; `None` for an empty tree.
    pub root: Option<PageAddr>,
    /// `ObjectTable` frame.
    pub object_table: Option<PageAddr>,
    /// Overlay frame.
    pub overlay: Option<PageAddr>,
    /// Logs in the store to replay, in order.
    pub logs: Vec<LogStart>,
}

impl Head {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        out.put_u8(1);
        out.extend_from_slice(&self.volume.0);
        out.put_varint(self.seq);
        out.put_varint(self.epoch.0);
        out.extend_from_slice(&self.claim.0);
        out.put_varint(self.flags.to_bits());
        out.put_varint(self.lsn.0);
        out.put_varint(self.next_ino.0);
        out.put_varint(self.nonce_floor.0);
        out.put_varint(self.inode_count);
        out.put_varint(self.data_bytes);
        out.put_zigzag(self.written_secs);
        out.put_bytes(self.owner.as_bytes());
        for frame in [&self.root, &self.object_table, &self.overlay] {
            addr::encode_option_into(frame.as_ref(), &mut out);
        }
        out.put_varint(self.logs.len() as u64);
        for log in &self.logs {
            out.put_varint(log.epoch.0);
            out.put_varint(log.first_batch);
        }
        out
    }

    /// From the payload.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(payload: &[u8]) -> FormatResult<Self> {
        let mut r = Reader::new(WHAT, payload);
        r.version_1()?;
        let head = Self {
            volume: VolumeUuid(r.array()?),
            seq: r.varint()?,
            epoch: Epoch(r.varint()?),
            claim: ClaimId(r.array()?),
            flags: HeadFlags::from_bits(r.varint()?)?,
            lsn: Lsn(r.varint()?),
            next_ino: Ino(r.varint()?),
            nonce_floor: Nonce(r.varint()?),
            inode_count: r.varint()?,
            data_bytes: r.varint()?,
            written_secs: r.zigzag()?,
            owner: decode_owner(&mut r)?,
            root: addr::decode_option(&mut r)?,
            object_table: addr::decode_option(&mut r)?,
            overlay: addr::decode_option(&mut r)?,
            logs: decode_logs(&mut r)?,
        };
        r.finish()?;
        Ok(head)
    }

    /// The stored object: one Head frame.
    #[must_use]
    pub fn encode_object(&self) -> Vec<u8> {
        frame::encode_frame(FrameKind::Head, (0, 0), Codec::None, &self.encode())
    }

    /// From the stored object.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode_object(object: &Bytes) -> FormatResult<Self> {
        let (_, payload) = frame::decode_frame_of(FrameKind::Head, object)?;
        Self::decode(&payload)
    }
}

fn decode_owner(r: &mut Reader<'_>) -> FormatResult<String> {
    let owner = r.bytes()?;
    String::from_utf8(owner.to_vec()).map_err(|_| r.invalid("owner is not UTF-8"))
}

fn decode_logs(r: &mut Reader<'_>) -> FormatResult<Vec<LogStart>> {
    let count = r.count(2)?;
    (0..count).map(|_| Ok(LogStart { epoch: Epoch(r.varint()?), first_batch: r.varint()? })).collect()
}
