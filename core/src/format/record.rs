//! Log record: one transaction, and the scan of a log's bytes for records.
//!
//! ```text
//!  0  4 length of the body                        8  8 LSN
//!  4  4 CRC-32C of LSN (8 bytes LE) and body     16  n body
//! ```
//!
//! Body: varint flags (0); varint count of key writes, each `bytes` key, `u8` op (0 remove, 1 put), with op 1 `bytes` value; varint
//! count of data references, each varint segment epoch, segment nonce, logical position, length, inode, file offset, `u32`
//! CRC-32C of the staged bytes. FORMAT, section 7.

use std::collections::BTreeMap;

use super::error::{FormatError, FormatResult};
use super::keys::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use super::varint::{Reader, Writer};
use crate::types::{Epoch, Ino, Lsn, Nonce, SegmentId};

const WHAT: &str = "log record";
/// Bytes before the body.
pub const RECORD_HEADER_LEN: usize = 16;
/// Fewest bytes of a body: flags and two counts.
pub const BODY_BYTES_MIN: usize = 3;
/// Fewest bytes of a key write: a key of one byte, and the op.
const WRITE_BYTES_MIN: usize = 3;
/// Fewest bytes of a data reference.
const DATA_BYTES_MIN: usize = 10;
const OP_REMOVE: u8 = 0;
const OP_PUT: u8 = 1;

/// One change of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyWrite {
    /// The key.
    pub key: Vec<u8>,
    /// Its new value; `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// Staged bytes that a transaction refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRef {
    /// The segment.
    pub segment: SegmentId,
    /// Logical position of the first byte.
    pub position: u64,
    /// Offset of the first byte in the segment's staging file.
    pub place: u64,
    /// Bytes.
    pub len: u64,
    /// The file.
    pub ino: Ino,
    /// Offset of the first byte in the file.
    pub file_offset: u64,
    /// CRC-32C of the bytes.
    pub crc: u32,
}

/// A transaction without its place in history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordBody {
    /// Changes of the tree.
    pub writes: Vec<KeyWrite>,
    /// Staged bytes that must be there for it to count.
    pub data: Vec<DataRef>,
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in history.
    pub lsn: Lsn,
    /// Changes of the tree.
    pub writes: Vec<KeyWrite>,
    /// Staged bytes that must be there for it to count.
    pub data: Vec<DataRef>,
}

/// Appends a record to `out`, straight from a transaction's writes.
pub fn append_record(lsn: Lsn, writes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>, data: &[DataRef], out: &mut Vec<u8>) {
    append_with_header(lsn, out, |out| append_body(writes, data, out));
}

/// Appends a record around a body that was made by [`append_body`].
pub fn append_record_of_body(lsn: Lsn, body: &[u8], out: &mut Vec<u8>) {
    append_with_header(lsn, out, |out| out.extend_from_slice(body));
}

/// Appends a record's body to `out`, straight from a transaction's writes.
pub fn append_body(writes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>, data: &[DataRef], out: &mut Vec<u8>) {
    let writes = writes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
    encode_body(writes, data, out);
}

fn append_with_header(lsn: Lsn, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u64(0);
    out.put_u64(lsn.0);
    body(out);
    let len = out.len() - start - RECORD_HEADER_LEN;
    let len = u32::try_from(len).expect("a transaction is far below 4 GiB");
    let crc = crc32c::crc32c(&out[start + 8..]);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

fn encode_body<'a>(
    writes: impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    data: &[DataRef],
    out: &mut Vec<u8>,
) {
    out.put_varint(0);
    out.put_varint(writes.len() as u64);
    for (key, value) in writes {
        out.put_bytes(key);
        match value {
            None => out.put_u8(OP_REMOVE),
            Some(value) => {
                out.put_u8(OP_PUT);
                out.put_bytes(value);
            }
        }
    }
    out.put_varint(data.len() as u64);
    for part in data {
        out.put_varint(part.segment.epoch.0);
        out.put_varint(part.segment.nonce.0);
        out.put_varint(part.position);
        out.put_varint(part.place);
        out.put_varint(part.len);
        out.put_varint(part.ino.0);
        out.put_varint(part.file_offset);
        out.put_u32(part.crc);
    }
}

impl RecordBody {
    /// Appends the body.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let writes = self.writes.iter().map(|w| (w.key.as_slice(), w.value.as_deref()));
        encode_body(writes, &self.data, out);
    }

    /// From exactly the body's bytes.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(body: &[u8]) -> FormatResult<Self> {
        let mut r = Reader::new(WHAT, body);
        let decoded = Self::decode_from(&mut r)?;
        r.finish()?;
        Ok(decoded)
    }

    /// Takes a body, which tells its own length, off a reader.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode_from(r: &mut Reader<'_>) -> FormatResult<Self> {
        match r.varint()? {
            0 => {}
            flags => return Err(FormatError::unknown(WHAT, format!("flags {flags:#x}"))),
        }
        let count = r.count(WRITE_BYTES_MIN)?;
        let writes = (0..count).map(|_| decode_write(r)).collect::<FormatResult<_>>()?;
        let count = r.count(DATA_BYTES_MIN)?;
        let data = (0..count).map(|_| decode_data_ref(r)).collect::<FormatResult<_>>()?;
        Ok(Self { writes, data })
    }

    /// The transaction at its place in history.
    #[must_use]
    pub fn at(self, lsn: Lsn) -> Record {
        Record { lsn, writes: self.writes, data: self.data }
    }
}

fn decode_write(r: &mut Reader<'_>) -> FormatResult<KeyWrite> {
    let key = r.bytes()?;
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(r.invalid(format!("key of {} bytes", key.len())));
    }
    let value = match r.u8()? {
        OP_REMOVE => None,
        OP_PUT => Some(r.bytes()?),
        op => return Err(FormatError::unknown(WHAT, format!("key write {op}"))),
    };
    if let Some(value) = value.filter(|v| v.len() > VALUE_BYTES_MAX) {
        return Err(r.invalid(format!("value of {} bytes", value.len())));
    }
    Ok(KeyWrite { key: key.to_vec(), value: value.map(<[u8]>::to_vec) })
}

fn decode_data_ref(r: &mut Reader<'_>) -> FormatResult<DataRef> {
    let part = DataRef {
        segment: SegmentId { epoch: Epoch(r.varint()?), nonce: Nonce(r.varint()?) },
        position: r.varint()?,
        place: r.varint()?,
        len: r.varint()?,
        ino: Ino(r.varint()?),
        file_offset: r.varint()?,
        crc: r.u32()?,
    };
    if [part.position, part.place, part.file_offset].iter().any(|at| at.checked_add(part.len).is_none()) {
        return Err(r.invalid(format!("data of {} bytes passes 64 bits", part.len)));
    }
    Ok(part)
}

/// Why a scan stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// The bytes end with the last record.
    Complete,
    /// Only zeros follow: room set aside.
    Zeros,
    /// The record is longer than what is left: a torn write.
    Short,
    /// The record's checksum does not hold: a torn write.
    Checksum,
    /// The record is sound but not the next one: what follows is of an older history.
    Sequence {
        /// Its LSN.
        found: Lsn,
    },
    /// The record's checksum holds, yet its body makes no sense or is newer than this program. Not an end of history: an error.
    Malformed(FormatError),
}

impl LogEnd {
    /// The error of a log that must not be taken as ended here.
    ///
    /// # Errors
    /// The body's own error for [`LogEnd::Malformed`].
    pub fn check(&self) -> FormatResult<()> {
        match self {
            Self::Malformed(error) => Err(error.clone()),
            Self::Complete | Self::Zeros | Self::Short | Self::Checksum | Self::Sequence { .. } => Ok(()),
        }
    }
}

/// Yields the records of a log's bytes with dense LSNs, up to the first that does not hold.
#[derive(Clone, Debug)]
pub struct LogScan<'a> {
    bytes: &'a [u8],
    offset: usize,
    next: Lsn,
    end: Option<LogEnd>,
}

impl<'a> LogScan<'a> {
    /// A scan of records back to back, of which the first must be `first`.
    #[must_use]
    pub fn new(bytes: &'a [u8], first: Lsn) -> Self {
        Self { bytes, offset: 0, next: first, end: None }
    }

    /// Offset behind the last record that was yielded.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// LSN of the record that would come next.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// Why the scan stopped; `None` while it has not.
    #[must_use]
    pub fn end(&self) -> Option<&LogEnd> {
        self.end.as_ref()
    }

    fn step(&mut self) -> Result<Record, LogEnd> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        if rest.is_empty() {
            return Err(LogEnd::Complete);
        }
        if rest.iter().take(RECORD_HEADER_LEN).all(|&b| b == 0) && rest.iter().all(|&b| b == 0) {
            return Err(LogEnd::Zeros);
        }
        let mut r = Reader::new(WHAT, rest);
        let short = |_| LogEnd::Short;
        let len = r.u32().map_err(short)? as usize;
        let crc = r.u32().map_err(short)?;
        let covered = len.checked_add(8).and_then(|n| r.remaining().get(..n)).ok_or(LogEnd::Short)?;
        if crc32c::crc32c(covered) != crc {
            return Err(LogEnd::Checksum);
        }
        let lsn = Lsn(r.u64().map_err(short)?);
        if lsn != self.next {
            return Err(LogEnd::Sequence { found: lsn });
        }
        let body = RecordBody::decode(&covered[8..]).map_err(LogEnd::Malformed)?;
        self.offset += RECORD_HEADER_LEN + len;
        self.next = Lsn(lsn.0.wrapping_add(1));
        Ok(body.at(lsn))
    }
}

impl Iterator for LogScan<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.end.is_some() {
            return None;
        }
        match self.step() {
            Ok(record) => Some(record),
            Err(end) => {
                self.end = Some(end);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn writes(n: u8) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        [(vec![n], Some(vec![n; 3])), (vec![n, 0], None)].into()
    }

    fn log(lsns: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        for &lsn in lsns {
            append_record(Lsn(lsn), &writes(lsn as u8), &[], &mut out);
        }
        out
    }

    /// LSNs of the records that a scan from 1 yields, where it stopped, and why.
    fn scan(bytes: &[u8]) -> (Vec<u64>, usize, LogEnd) {
        let mut scan = LogScan::new(bytes, Lsn(1));
        let lsns = scan.by_ref().map(|r| r.lsn.0).collect();
        assert_eq!(scan.next(), None);
        (lsns, scan.offset(), scan.end().expect("stopped").clone())
    }

    #[test]
    fn a_whole_log_yields_every_record() {
        let bytes = log(&[1, 2, 3]);
        assert_eq!(scan(&bytes), (vec![1, 2, 3], bytes.len(), LogEnd::Complete));
        let record = LogScan::new(&bytes, Lsn(1)).next().expect("first");
        assert_eq!(record.writes[0], KeyWrite { key: vec![1], value: Some(vec![1; 3]) });
        assert_eq!(record.writes[1], KeyWrite { key: vec![1, 0], value: None });
        assert_eq!(scan(&[]), (vec![], 0, LogEnd::Complete));
    }

    #[test]
    fn room_set_aside_is_not_a_torn_tail() {
        let sound = log(&[1, 2]);
        for zeros in [1, 15, 16, 4096] {
            let bytes = [sound.clone(), vec![0; zeros]].concat();
            assert_eq!(scan(&bytes), (vec![1, 2], sound.len(), LogEnd::Zeros), "{zeros} zeros");
        }
    }

    #[test]
    fn a_log_cut_anywhere_yields_the_records_before_the_cut() {
        let (one, bytes) = (log(&[1]).len(), log(&[1, 2]));
        for cut in one + 1..bytes.len() {
            assert_eq!(scan(&bytes[..cut]), (vec![1], one, LogEnd::Short), "cut at {cut}");
            if bytes[cut..].iter().all(|&b| b == 0) {
                continue;
            }
            let zeroed = [&bytes[..cut], &vec![0; bytes.len() - cut + 64]].concat();
            let (lsns, offset, end) = scan(&zeroed);
            assert_eq!((lsns, offset), (vec![1], one), "zeros from {cut}");
            assert!(matches!(end, LogEnd::Checksum | LogEnd::Zeros), "zeros from {cut}: {end:?}");
        }
    }

    #[test]
    fn a_record_that_is_not_the_next_ends_the_history() {
        let one = log(&[1]).len();
        for (lsns, found) in [([1, 1], 1), ([1, 3], 3), ([1, 0], 0)] {
            assert_eq!(scan(&log(&lsns)), (vec![1], one, LogEnd::Sequence { found: Lsn(found) }));
        }
    }

    #[test]
    fn a_sound_record_that_makes_no_sense_is_an_error_and_no_end() {
        let mut bytes = log(&[1]);
        append_record_of_body(Lsn(2), &[4, 0, 0], &mut bytes);
        let (lsns, _, end) = scan(&bytes);
        assert_eq!(lsns, vec![1]);
        assert_eq!(end.check().expect_err("newer").kind(), ErrorKind::UnknownFormat);
    }
}
