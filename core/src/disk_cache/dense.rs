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
        Self::decode(&trailer, start).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// From a trailer that begins at `start` of its file.
    fn decode(trailer: &[u8; TRAILER_LEN], start: u64) -> Option<Self> {
        let word = |at: usize| trailer.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        if trailer[..4] != MAGIC || word(20)? != crc32c::crc32c(&trailer[..20]) {
            return None;
        }
        let payload_bytes = u64::from(word(8)?) | u64::from(word(12)?) << 32;
        let dense = Self::new(word(4)?, usize::try_from(word(16)?).ok()?, payload_bytes)?;
        (payload_bytes.checked_add(u64::from(dense.frames) * HEADER)? == start).then_some(dense)
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

    /// Length of the completed file.
    pub(super) fn file_bytes(self) -> u64 {
        self.payload_bytes + u64::from(self.frames) * HEADER + TRAILER_LEN as u64
    }

    /// Takes any bytes as a trailer (its checksum made to hold), where it begins, and an offset to look for. For fuzzing.
    pub(super) fn probe(input: &[u8]) {
        let Some((trailer, rest)) = input.split_first_chunk::<TRAILER_LEN>() else { return };
        let Some((start, rest)) = rest.split_first_chunk::<8>() else { return };
        let Some(offset) = rest.first_chunk::<8>() else { return };
        let mut trailer = *trailer;
        let crc = crc32c::crc32c(&trailer[..20]);
        trailer[20..].copy_from_slice(&crc.to_le_bytes());
        let start = u64::from_le_bytes(*start);
        if let Some(dense) = Self::decode(&trailer, start)
            && let Some((header, payload)) = dense.find(u64::from_le_bytes(*offset))
        {
            assert!(payload < dense.payload_bytes && header + HEADER <= start);
        }
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
        let (trailer, start) = (dense.trailer(), 8000 + 2 * HEADER);
        assert_eq!(Dense::decode(&trailer, start), Some(dense));
        assert_eq!(Dense::decode(&trailer, start + 1), None, "of a file of another length");
        for at in 0..TRAILER_LEN {
            let mut damaged = trailer;
            damaged[at] ^= 1;
            assert_eq!(Dense::decode(&damaged, start), None, "byte {at}");
        }
    }

    #[test]
    fn any_bytes_may_be_probed() {
        let dense = Dense::new(4096, 2, 8000).expect("whole");
        let mut input = dense.trailer().to_vec();
        input.extend_from_slice(&(8000 + 2 * HEADER).to_le_bytes());
        input.extend_from_slice(&(4096 + HEADER).to_le_bytes());
        for len in 0..=input.len() {
            Dense::probe(&input[..len]);
        }
    }

    #[test]
    fn lengths_that_no_file_has_are_refused() {
        let most = u64::from(u32::MAX);
        let huge = Dense { slot_bytes: u32::MAX, frames: u32::MAX, payload_bytes: most * most };
        assert_eq!(Dense::decode(&huge.trailer(), 100), None);
    }
}
