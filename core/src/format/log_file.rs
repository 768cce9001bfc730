//! Local log file: `log/<first lsn>.log` in the state directory. One LogFile frame, then records back to back.
//!
//! Payload of the frame: version 1; 16 bytes volume uuid; varint epoch; 16 bytes claim id; varint first LSN. FORMAT, section 7.

use bytes::Bytes;

use super::error::FormatResult;
use super::frame::{self, Codec, FrameKind};
use super::record::LogScan;
use super::uuid::{ClaimId, VolumeUuid};
use super::varint::{Reader, Writer};
use crate::types::{Epoch, Lsn};

/// Whose log a file is and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFileHeader {
    /// The volume.
    pub volume: VolumeUuid,
    /// Epoch of the writer.
    pub epoch: Epoch,
    /// The writer's claim.
    pub claim: ClaimId,
    /// LSN of the first record.
    pub first_lsn: Lsn,
}

impl LogFileHeader {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.put_u8(1);
        out.extend_from_slice(&self.volume.0);
        out.put_varint(self.epoch.0);
        out.extend_from_slice(&self.claim.0);
        out.put_varint(self.first_lsn.0);
        out
    }

    /// From the payload.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(payload: &[u8]) -> FormatResult<Self> {
        let mut r = Reader::new("log file", payload);
        r.version_1()?;
        let header = Self {
            volume: VolumeUuid(r.array()?),
            epoch: Epoch(r.varint()?),
            claim: ClaimId(r.array()?),
            first_lsn: Lsn(r.varint()?),
        };
        r.finish()?;
        Ok(header)
    }

    /// What a new file begins with: one LogFile frame.
    #[must_use]
    pub fn encode_frame(&self) -> Vec<u8> {
        frame::encode_frame(FrameKind::LogFile, (0, 0), Codec::None, &self.encode())
    }

    /// From a file's bytes; also returns the bytes behind the frame: the records, for [`LogFileHeader::scan`].
    ///
    /// # Errors
    /// The frame is damaged or newer than this program. A file that was just made may be empty or short.
    pub fn decode_file(file: &Bytes) -> FormatResult<(Self, Bytes)> {
        let (header, payload, records) = frame::decode_first_frame(file)?;
        header.require(FrameKind::LogFile)?;
        Ok((Self::decode(&payload)?, records))
    }

    /// A scan of the records behind the frame.
    #[must_use]
    pub fn scan<'a>(&self, records: &'a [u8]) -> LogScan<'a> {
        LogScan::new(records, self.first_lsn)
    }
}
