//! Log batch: `log/<epoch>/<number>`, one LogBatch frame.
//!
//! Payload: version 1; varint flags (bit 0 seal, bit 1 end of a clean release); 16 bytes claim id; varint first LSN, count; then `bytes`
//! body per record, LSNs dense. FORMAT, section 7.

use bytes::Bytes;

use super::error::{FormatError, FormatResult};
use super::frame::{self, Codec, FrameKind};
use super::record::{BODY_BYTES_MIN, RecordBody};
use super::uuid::ClaimId;
use super::varint::{Reader, Writer};
use crate::types::Lsn;

const WHAT: &str = "log batch";
const SEAL: u64 = 1;
const RELEASE_END: u64 = 2;

/// Records of one epoch's log in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// Ends the epoch's log; has no records.
    pub seal: bool,
    /// The writer released the volume with this batch.
    pub release_end: bool,
    /// The writer's claim; of a seal: the sealer's.
    pub claim: ClaimId,
    /// LSN of the first record.
    pub first_lsn: Lsn,
    /// Location records of the segments that the records name: applied before them, without LSNs.
    pub locations: Vec<RecordBody>,
    /// The records with LSNs from `first_lsn`.
    pub records: Vec<RecordBody>,
}

impl LogBatch {
    /// A batch that ends a log.
    #[must_use]
    pub fn seal(claim: ClaimId, next_lsn: Lsn) -> Self {
        Self { seal: true, claim, first_lsn: next_lsn, ..Self::default() }
    }

    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let bodies: Vec<Vec<u8>> = self.records.iter().map(encode_body).collect();
        self.encode_with(&bodies)
    }

    /// The payload with `bodies`, made by [`super::record::append_body`], in place of this batch's records.
    #[must_use]
    pub fn encode_with<B: AsRef<[u8]>>(&self, bodies: &[B]) -> Vec<u8> {
        let mut out = Vec::with_capacity(40 + bodies.iter().map(|b| b.as_ref().len() + 4).sum::<usize>());
        out.put_u8(1);
        out.put_varint(if self.seal { SEAL } else { 0 } | if self.release_end { RELEASE_END } else { 0 });
        out.extend_from_slice(&self.claim.0);
        out.put_varint(self.first_lsn.0);
        out.put_varint(self.locations.len() as u64);
        for location in &self.locations {
            out.put_bytes(&encode_body(location));
        }
        out.put_varint(bodies.len() as u64);
        for body in bodies {
            out.put_bytes(body.as_ref());
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
        let flags = r.varint()?;
        if flags & !(SEAL | RELEASE_END) != 0 {
            return Err(FormatError::unknown(WHAT, format!("flags {flags:#x}")));
        }
        let claim = ClaimId(r.array()?);
        let first_lsn = Lsn(r.varint()?);
        let count = r.count(1 + BODY_BYTES_MIN)?;
        let locations = (0..count).map(|_| RecordBody::decode(r.bytes()?)).collect::<FormatResult<_>>()?;
        let count = r.count(1 + BODY_BYTES_MIN)?;
        let seal = flags & SEAL != 0;
        if seal && count != 0 {
            return Err(r.invalid(format!("a seal with {count} records")));
        }
        if first_lsn.0.checked_add(count as u64).is_none() {
            return Err(r.invalid("LSNs pass 64 bits"));
        }
        let records = (0..count).map(|_| RecordBody::decode(r.bytes()?)).collect::<FormatResult<_>>()?;
        r.finish()?;
        Ok(Self { seal, release_end: flags & RELEASE_END != 0, claim, first_lsn, locations, records })
    }

    /// The stored object: one LogBatch frame.
    #[must_use]
    pub fn encode_object(&self, codec: Codec) -> Vec<u8> {
        frame::encode_frame(FrameKind::LogBatch, (0, 0), codec, &self.encode())
    }

    /// From the stored object.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode_object(object: &Bytes) -> FormatResult<Self> {
        let (_, payload) = frame::decode_frame_of(FrameKind::LogBatch, object)?;
        Self::decode(&payload)
    }
}

fn encode_body(record: &RecordBody) -> Vec<u8> {
    let mut body = Vec::new();
    record.encode_into(&mut body);
    body
}
