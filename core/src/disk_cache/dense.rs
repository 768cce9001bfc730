//! A staging file kept as a cache file: payloads side by side, then the headers that the object has between them.
//!
//! ```text
//! payload of frame 0 .. n-1   `slot_bytes` each, the last may be shorter
//! header of frame 0 .. n-1    48 bytes each, as in the object
//! trailer                     0  4 magic "PXDN"          8  8 bytes of all payloads
//!                             4  4 `slot_bytes`         16  4 frames      20  4 CRC-32C of bytes 0..20
//! ```
//!
//! Owns the arithmetic from an offset in the object to the places in the file, and the trailer. Only objects whose frames are whole
//! and uncompressed have this form: their bytes were staged once and are not written to the local disk a second time.

use std::io;

use crate::env::LocalFile;
use crate::format::FRAME_HEADER_LEN;

const MAGIC: [u8; 4] = *b"PXDN";
const TRAILER_LEN: usize = 24;
const HEADER: u64 = FRAME_HEADER_LEN as u64;

/// Where things lie in such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dense {
    slot_bytes: u32,
    frames: u32,
    payload_bytes: u64,
}

impl Dense {
    /// The layout of `frames` frames with `payload_bytes` between them; `None` if they do not fill their slots.
    pub(super) fn new(slot_bytes: u32, frames: usize, payload_bytes: u64) -> Option<Self> {
        let frames = u32::try_from(frames).ok()?;
        let whole = slot_bytes > 0 && payload_bytes.div_ceil(u64::from(slot_bytes)) == u64::from(frames) && frames > 0;
        whole.then_some(Self { slot_bytes, frames, payload_bytes })
    }

    /// From the end of a file.
    pub(super) fn load(file: &dyn LocalFile) -> io::Result<Self> {
        let mut trailer = [0; TRAILER_LEN];
        let start = file.len()?.checked_sub(TRAILER_LEN as u64).ok_or(io::ErrorKind::InvalidData)?;
        file.read_exact_at(&mut trailer, start)?;
        let dense = Self::decode(&trailer).ok_or(io::ErrorKind::InvalidData)?;
        if dense.payload_bytes + u64::from(dense.frames) * HEADER != start {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(dense)
    }

    fn decode(trailer: &[u8; TRAILER_LEN]) -> Option<Self> {
        let word = |at: usize| trailer.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        if trailer[..4] != MAGIC || word(20)? != crc32c::crc32c(&trailer[..20]) {
            return None;
        }
        let payload_bytes = u64::from(word(8)?) | u64::from(word(12)?) << 32;
        Self::new(word(4)?, usize::try_from(word(16)?).ok()?, payload_bytes)
    }

    fn trailer(self) -> [u8; TRAILER_LEN] {
        let mut out = [0; TRAILER_LEN];
        out[..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&self.slot_bytes.to_le_bytes());
        out[8..16].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[16..20].copy_from_slice(&self.frames.to_le_bytes());
        let crc = crc32c::crc32c(&out[..20]);
        out[20..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Appends what the payloads lack. `headers`: those of all frames, in order.
    pub(super) fn complete(self, file: &dyn LocalFile, headers: &[u8]) -> io::Result<()> {
        let mut end = headers.to_vec();
        end.extend_from_slice(&self.trailer());
        file.set_len(self.payload_bytes)?;
        file.write_all_at(&end, self.payload_bytes)
    }

    /// Where header and payload lie of the frame at `offset` of the object.
    pub(super) fn find(self, offset: u64) -> Option<(u64, u64)> {
        let step = HEADER + u64::from(self.slot_bytes);
        let frame = offset / step;
        (offset.is_multiple_of(step) && frame < u64::from(self.frames))
            .then(|| (self.payload_bytes + frame * HEADER, frame * u64::from(self.slot_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_in_the_object_lead_to_places_in_the_file() {
        let dense = Dense::new(1000, 3, 2500).expect("whole");
        assert_eq!(dense.find(0), Some((2500, 0)));
        assert_eq!(dense.find(1048), Some((2548, 1000)));
        assert_eq!(dense.find(2096), Some((2596, 2000)));
        assert_eq!(dense.find(3144), None, "beyond the last");
        assert_eq!(dense.find(1000), None, "inside a frame");
    }

    #[test]
    fn frames_that_leave_gaps_have_no_such_form() {
        assert_eq!(Dense::new(1000, 3, 2000), None);
        assert_eq!(Dense::new(1000, 3, 3001), None);
        assert_eq!(Dense::new(1000, 0, 0), None);
        assert_eq!(Dense::new(0, 1, 1), None);
    }

    #[test]
    fn a_trailer_survives_and_a_damaged_one_is_refused() {
        let dense = Dense::new(4096, 2, 8000).expect("whole");
        let trailer = dense.trailer();
        assert_eq!(Dense::decode(&trailer), Some(dense));
        for at in 0..TRAILER_LEN {
            let mut damaged = trailer;
            damaged[at] ^= 1;
            assert_eq!(Dense::decode(&damaged), None, "byte {at}");
        }
    }
}
