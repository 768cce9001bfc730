//! Frame: the 48-byte header and payload that everything stored is in.
//!
//! ```text
//!  0  4 magic "PXFR"      8  4 stored length     32  4 key number, 0
//!  4  1 version 1        12  4 logical length    36  4 reserved, 0
//!  5  1 kind             16  8 owner a           40  4 CRC-32C of the stored payload
//!  6  1 codec            24  8 owner b           44  4 CRC-32C of bytes 0..44
//!  7  1 cipher 0
//! ```
//!
//! A compressed payload is kept only if it is smaller than the plain one. FORMAT, section 2.

use bytes::Bytes;

use super::error::{FormatError, FormatResult};
use super::varint::{Reader, Writer};

const HEADER: &str = "frame header";
const PAYLOAD: &str = "frame payload";
const MAGIC: [u8; 4] = *b"PXFR";
const VERSION: u8 = 1;
/// zstd's own default: the knee of its speed and ratio curve.
const ZSTD_LEVEL: i32 = 3;
/// No LZ4 block grows by more: each byte of a match length stands for at most 255 bytes.
const LZ4_RATIO_MAX: u64 = 255;
/// No Zstandard block grows by more: 128 KiB from a 3-byte header and one byte to repeat.
const ZSTD_RATIO_MAX: u64 = (128 << 10) / 4;

/// Bytes of a frame's header.
pub const FRAME_HEADER_LEN: usize = 48;
/// Most bytes of a payload after decompression.
pub const LOGICAL_BYTES_MAX: usize = 64 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// Bytes of a file.
    Data,
    /// A B+Tree page.
    Page,
    /// The index of a pack.
    Index,
    /// A head.
    Head,
    /// Records of the replay log in the store.
    LogBatch,
    /// The first frame of a local log file.
    LogFile,
    /// The list of meta objects.
    ObjectTable,
    /// Records to apply over a root.
    Overlay,
}

impl FrameKind {
    /// The byte in the header.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Page => 2,
            Self::Index => 3,
            Self::Head => 4,
            Self::LogBatch => 5,
            Self::LogFile => 6,
            Self::ObjectTable => 7,
            Self::Overlay => 8,
        }
    }

    /// From the byte; `what` names the structure.
    ///
    /// # Errors
    /// `UnknownFeature`.
    pub fn from_byte(what: &'static str, byte: u8) -> FormatResult<Self> {
        Ok(match byte {
            1 => Self::Data,
            2 => Self::Page,
            3 => Self::Index,
            4 => Self::Head,
            5 => Self::LogBatch,
            6 => Self::LogFile,
            7 => Self::ObjectTable,
            8 => Self::Overlay,
            _ => return Err(FormatError::unknown(what, format!("frame kind {byte}"))),
        })
    }
}

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// LZ4, block format without a size in front.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    fn to_byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    fn from_byte(byte: u8) -> FormatResult<Self> {
        match byte {
            0 => Ok(Self::None),
            1 => Ok(Self::Lz4),
            2 => Ok(Self::Zstd),
            _ => Err(FormatError::unknown(HEADER, format!("codec {byte}"))),
        }
    }
}

/// The fields of a header that carry meaning; magic, version, cipher and the reserved ones are implied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the payload is.
    pub kind: FrameKind,
    /// How it is compressed.
    pub codec: Codec,
    /// Payload bytes that follow the header.
    pub stored_len: u32,
    /// Payload bytes after decompression.
    pub logical_len: u32,
    /// Owner a and b: Data: inode and file offset; Page: level and 0; else 0.
    pub owner: (u64, u64),
    /// CRC-32C of the stored payload.
    pub payload_crc: u32,
}

impl FrameHeader {
    /// Header and stored payload in bytes.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        FRAME_HEADER_LEN as u64 + u64::from(self.stored_len)
    }

    /// Refuses a frame of another kind.
    ///
    /// # Errors
    /// Invalid.
    pub fn require(&self, kind: FrameKind) -> FormatResult<()> {
        if self.kind != kind {
            return Err(FormatError::invalid(HEADER, format!("a {:?} frame where {kind:?} belongs", self.kind)));
        }
        Ok(())
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; FRAME_HEADER_LEN] {
        let mut out = Vec::with_capacity(FRAME_HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.kind.to_byte(), self.codec.to_byte(), 0]);
        out.put_u32(self.stored_len);
        out.put_u32(self.logical_len);
        out.put_u64(self.owner.0);
        out.put_u64(self.owner.1);
        out.put_u64(0);
        out.put_u32(self.payload_crc);
        out.put_u32(crc32c::crc32c(&out));
        let mut header = [0; FRAME_HEADER_LEN];
        header.copy_from_slice(&out);
        header
    }

    /// From the first 48 of `bytes`; more may follow. The header's checksum is checked, the payload's is not.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        let mut r = Reader::new(HEADER, bytes);
        let magic = r.array::<4>()?;
        if magic != MAGIC {
            return Err(FormatError::BadMagic { what: HEADER, found: magic });
        }
        let [version, kind, codec, cipher] = r.array()?;
        if version != VERSION {
            return Err(FormatError::UnknownVersion { what: HEADER, found: version.into() });
        }
        check_crc(HEADER, bytes, FRAME_HEADER_LEN)?;
        let header = Self {
            kind: FrameKind::from_byte(HEADER, kind)?,
            codec: Codec::from_byte(codec)?,
            stored_len: r.u32()?,
            logical_len: r.u32()?,
            owner: (r.u64()?, r.u64()?),
            payload_crc: {
                require_zero("cipher", cipher.into())?;
                require_zero("cipher key number", r.u32()?)?;
                require_zero("reserved field", r.u32()?)?;
                r.u32()?
            },
        };
        header.check_lengths()?;
        Ok(header)
    }

    fn check_lengths(&self) -> FormatResult<()> {
        let (stored, logical) = (u64::from(self.stored_len), u64::from(self.logical_len));
        let sound = match self.codec {
            Codec::None => stored == logical,
            Codec::Lz4 => stored < logical && logical <= stored * LZ4_RATIO_MAX,
            Codec::Zstd => stored < logical && logical <= stored * ZSTD_RATIO_MAX,
        };
        if !sound || logical > LOGICAL_BYTES_MAX as u64 {
            return Err(FormatError::invalid(HEADER, format!("stored length {stored}, logical length {logical}")));
        }
        Ok(())
    }
}

fn require_zero(field: &'static str, value: u32) -> FormatResult<()> {
    match value {
        0 => Ok(()),
        _ => Err(FormatError::unknown(HEADER, format!("{field} {value}"))),
    }
}

/// Checks the CRC-32C in the last 4 of the first `len` bytes, which covers those before it.
pub(crate) fn check_crc(what: &'static str, bytes: &[u8], len: usize) -> FormatResult<()> {
    let bytes = bytes.get(..len).ok_or(FormatError::Truncated { what })?;
    let (covered, stored) = bytes.split_last_chunk::<4>().ok_or(FormatError::Truncated { what })?;
    let (stored, computed) = (u32::from_le_bytes(*stored), crc32c::crc32c(covered));
    if stored != computed {
        return Err(FormatError::Checksum { what, stored, computed });
    }
    Ok(())
}

/// A frame around `payload`, compressed with `codec` if that makes it smaller.
///
/// # Panics
/// When the payload is larger than [`LOGICAL_BYTES_MAX`].
#[must_use]
pub fn encode_frame(kind: FrameKind, owner: (u64, u64), codec: Codec, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_HEADER_LEN + payload.len());
    append_frame(&mut out, kind, owner, codec, payload);
    out
}

/// As [`encode_frame`], appended to `buf`. Returns the header.
///
/// # Panics
/// When the payload is larger than [`LOGICAL_BYTES_MAX`].
pub fn append_frame(
    buf: &mut Vec<u8>,
    kind: FrameKind,
    owner: (u64, u64),
    codec: Codec,
    payload: &[u8],
) -> FrameHeader {
    assert!(payload.len() <= LOGICAL_BYTES_MAX, "payload of {} bytes is too large for a frame", payload.len());
    let start = reserve(buf);
    let used = match compress(codec, payload) {
        Some(smaller) => {
            buf.extend_from_slice(&smaller);
            codec
        }
        None => {
            buf.extend_from_slice(payload);
            Codec::None
        }
    };
    write_header(buf, start, kind, owner, used, payload.len())
}

/// Leaves room for a header at the end of `buf` and returns where. Append the payload, then call [`seal_in_place`].
pub fn reserve(buf: &mut Vec<u8>) -> usize {
    let start = buf.len();
    buf.resize(start + FRAME_HEADER_LEN, 0);
    start
}

/// Makes a frame of the payload that was appended to `buf` after [`reserve`] gave `start`: compresses it in place if `codec` makes it
/// smaller, then fills in the header, which is returned.
///
/// # Panics
/// When `start` is not from [`reserve`] on this buffer, or the payload is larger than [`LOGICAL_BYTES_MAX`].
pub fn seal_in_place(buf: &mut Vec<u8>, start: usize, kind: FrameKind, owner: (u64, u64), codec: Codec) -> FrameHeader {
    let payload = &buf[start + FRAME_HEADER_LEN..];
    let logical_len = payload.len();
    assert!(logical_len <= LOGICAL_BYTES_MAX, "payload of {logical_len} bytes is too large for a frame");
    let used = match compress(codec, payload) {
        Some(smaller) => {
            buf.truncate(start + FRAME_HEADER_LEN);
            buf.extend_from_slice(&smaller);
            codec
        }
        None => Codec::None,
    };
    write_header(buf, start, kind, owner, used, logical_len)
}

fn write_header(
    buf: &mut [u8],
    start: usize,
    kind: FrameKind,
    owner: (u64, u64),
    codec: Codec,
    logical_len: usize,
) -> FrameHeader {
    let (gap, stored) = buf[start..].split_at_mut(FRAME_HEADER_LEN);
    let header = FrameHeader {
        kind,
        codec,
        stored_len: stored.len() as u32,
        logical_len: logical_len as u32,
        owner,
        payload_crc: crc32c::crc32c(stored),
    };
    gap.copy_from_slice(&header.encode());
    header
}

/// The compressed payload, if it is smaller.
fn compress(codec: Codec, payload: &[u8]) -> Option<Vec<u8>> {
    let compressed = match codec {
        Codec::None => return None,
        Codec::Lz4 => lz4_flex::block::compress(payload),
        Codec::Zstd => zstd::bulk::compress(payload, ZSTD_LEVEL).ok()?,
    };
    (compressed.len() < payload.len()).then_some(compressed)
}

/// Decodes the one frame that `frame` is, end to end: every length and checksum is checked. The payload shares memory with
/// `frame` when it is not compressed.
///
/// # Errors
/// The bytes are damaged, more or fewer than the frame's, or newer than this program.
pub fn decode_frame(frame: &Bytes) -> FormatResult<(FrameHeader, Bytes)> {
    let header = FrameHeader::decode(frame)?;
    match (frame.len() as u64).cmp(&header.total_len()) {
        std::cmp::Ordering::Less => return Err(FormatError::Truncated { what: PAYLOAD }),
        std::cmp::Ordering::Greater => {
            let why = format!("{} bytes where the frame has {}", frame.len(), header.total_len());
            return Err(FormatError::invalid(PAYLOAD, why));
        }
        std::cmp::Ordering::Equal => {}
    }
    let stored = frame.slice(FRAME_HEADER_LEN..);
    let computed = crc32c::crc32c(&stored);
    if computed != header.payload_crc {
        return Err(FormatError::Checksum { what: PAYLOAD, stored: header.payload_crc, computed });
    }
    let payload = decompress(&header, stored)?;
    Ok((header, payload))
}

/// As [`decode_frame`], for a frame that must be of `kind`.
///
/// # Errors
/// As [`decode_frame`], or Invalid for another kind.
pub fn decode_frame_of(kind: FrameKind, frame: &Bytes) -> FormatResult<(FrameHeader, Bytes)> {
    let (header, payload) = decode_frame(frame)?;
    header.require(kind)?;
    Ok((header, payload))
}

/// Decodes the frame at the front of `bytes`; returns it with what follows.
///
/// # Errors
/// As [`decode_frame`].
pub fn decode_first_frame(bytes: &Bytes) -> FormatResult<(FrameHeader, Bytes, Bytes)> {
    let total = FrameHeader::decode(bytes)?.total_len();
    let end = usize::try_from(total).ok().filter(|&end| end <= bytes.len());
    let end = end.ok_or(FormatError::Truncated { what: PAYLOAD })?;
    let (header, payload) = decode_frame(&bytes.slice(..end))?;
    Ok((header, payload, bytes.slice(end..)))
}

/// Undoes the codec. The header's lengths have been checked, so that the output is bounded.
fn decompress(header: &FrameHeader, stored: Bytes) -> FormatResult<Bytes> {
    let logical = header.logical_len as usize;
    let out = match header.codec {
        Codec::None => return Ok(stored),
        Codec::Lz4 => lz4_flex::block::decompress(&stored, logical)
            .map_err(|e| FormatError::invalid(PAYLOAD, format!("lz4: {e}")))?,
        Codec::Zstd => {
            zstd::bulk::decompress(&stored, logical).map_err(|e| FormatError::invalid(PAYLOAD, format!("zstd: {e}")))?
        }
    };
    if out.len() != logical {
        let why = format!("{} bytes after decompression where the header says {logical}", out.len());
        return Err(FormatError::invalid(PAYLOAD, why));
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const CODECS: [Codec; 3] = [Codec::None, Codec::Lz4, Codec::Zstd];

    #[test]
    fn a_frame_comes_back_in_every_codec_and_way_of_making_it() {
        for codec in CODECS {
            for payload in [vec![], vec![7], vec![7; 10_000], (0..=255).collect::<Vec<u8>>()] {
                let frame = encode_frame(FrameKind::Data, (5, 6), codec, &payload);
                let mut buf = vec![1, 2, 3];
                let start = reserve(&mut buf);
                buf.extend_from_slice(&payload);
                seal_in_place(&mut buf, start, FrameKind::Data, (5, 6), codec);
                assert_eq!(buf[3..], frame[..]);
                let (header, back) = decode_frame(&frame.into()).expect("own frame");
                assert_eq!((header.kind, header.owner), (FrameKind::Data, (5, 6)));
                assert_eq!(back, payload);
                let kept = if payload.len() == 10_000 { codec } else { Codec::None };
                assert_eq!(header.codec, kept);
            }
        }
    }

    #[test]
    fn an_uncompressed_payload_is_not_copied() {
        let frame = Bytes::from(encode_frame(FrameKind::Data, (1, 0), Codec::None, b"bytes"));
        let (_, payload) = decode_frame(&frame).expect("own frame");
        assert_eq!(payload.as_ptr(), frame[FRAME_HEADER_LEN..].as_ptr());
    }

    /// Applies `change` to a header and renews its checksum.
    fn forged(change: impl Fn(&mut [u8])) -> ErrorKind {
        let mut frame = encode_frame(FrameKind::Head, (0, 0), Codec::Lz4, &[9; 500]);
        change(&mut frame);
        let crc = crc32c::crc32c(&frame[..44]);
        frame[44..48].copy_from_slice(&crc.to_le_bytes());
        decode_frame(&frame.into()).expect_err("forged").kind()
    }

    #[test]
    fn fields_that_only_a_newer_program_sets_are_an_unknown_format() {
        for field in [4, 5, 6, 7, 32, 36] {
            assert_eq!(forged(|f| f[field] = 99), ErrorKind::UnknownFormat, "byte {field}");
        }
    }

    #[test]
    fn lengths_that_lie_are_damage() {
        assert_eq!(forged(|f| f[12..16].copy_from_slice(&501u32.to_le_bytes())), ErrorKind::Corrupt);
        assert_eq!(forged(|f| f[12..16].copy_from_slice(&499u32.to_le_bytes())), ErrorKind::Corrupt);
        assert_eq!(forged(|f| f[12..16].copy_from_slice(&u32::MAX.to_le_bytes())), ErrorKind::Corrupt);
        assert_eq!(forged(|f| f[8..12].copy_from_slice(&500u32.to_le_bytes())), ErrorKind::Corrupt);
        assert_eq!(forged(|f| f[6] = 0), ErrorKind::Corrupt);
    }
}
